import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.work.matmul_roofline import (
    critical_batch_asymptotic,
    critical_batch_exact,
    grouped_matmul_limit,
    matmul_flop,
    matmul_flop_exact,
    matmul_intensity,
    per_example_intensity,
)

widths = st.integers(16, 65536)
sizes = st.sampled_from([0.5, 0.53125, 0.5625, 1.0, 2.0, 4.0])


@given(widths, widths, sizes, sizes, sizes, st.floats(1, 1000))
def test_exact_batch_sits_on_the_ridge_above_the_asymptote_or_is_never_reached(
        d: int, f: int, bx: float, bw: float, bo: float, ridge: float) -> None:
    shape = {"d_in": d, "d_out": f, "bytes_in": bx, "bytes_weight": bw, "bytes_out": bo}
    exact = critical_batch_exact(ridge=ridge, **shape)
    limit = grouped_matmul_limit(d_in=d, d_out=f, bytes_in=bx, bytes_out=bo)
    assert exact >= critical_batch_asymptotic(ridge=ridge, bytes_weight=bw) * (1 - 1e-12)
    if math.isinf(exact):
        assert limit <= ridge * (1 + 1e-12)
    elif exact < 1e9:
        assert matmul_intensity(batch_size=exact, **shape) == pytest.approx(ridge, rel=1e-6)


@given(widths, widths, st.floats(1, 1e5), st.floats(1.1, 10))
def test_intensity_grows_with_the_batch_up_to_the_activation_limit(
        d: int, f: int, batch: float, factor: float) -> None:
    shape = {"d_in": d, "d_out": f, "bytes_in": 2.0, "bytes_weight": 1.0, "bytes_out": 2.0}
    low, high = (matmul_intensity(batch_size=b, **shape) for b in (batch, batch * factor))
    assert low < high < grouped_matmul_limit(d_in=d, d_out=f, bytes_in=2.0, bytes_out=2.0)
    assert matmul_intensity(batch_size=1.0, **shape) == per_example_intensity(**shape)


def test_exact_flop_is_one_add_fewer_for_each_output() -> None:
    shape = {"batch_size": 3, "d_in": 5, "d_out": 7}
    assert matmul_flop(**shape) - matmul_flop_exact(**shape) == 21
