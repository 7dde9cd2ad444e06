"""Worked values of rooflines and matmuls, at 0.5 % unless a row says otherwise."""

import math

import pytest

from ridgeline.quantity import parse_quantity
from ridgeline.timing.bounds import (
    amdahl_speedup,
    attainable_flops_per_s,
    compute_time,
    geometric_speedup,
    geometric_speedup_limit,
    linear_speedup,
    memory_time,
    overlapped_time,
    petaflop_days,
    ridge_point,
    roofline_time,
    serial_time,
)
from ridgeline.work.matmul_roofline import (
    critical_batch_asymptotic,
    critical_batch_exact,
    critical_batch_integer,
    dot_product_intensity,
    grouped_critical_batch,
    grouped_matmul_intensity,
    grouped_matmul_limit,
    matmul_bytes,
    matmul_flop,
    matmul_intensity,
    per_example_intensity,
    per_example_intensity_limit,
)
from ridgeline.work.matmul_sharding import (
    critical_d_in_sharded,
    gathered_input_intensity,
    gathered_weight_intensity,
    sharded_matmul_flop,
    sharded_network_bytes,
    sharded_network_intensity,
)

from .shapes import A100, B200, H100, V5E


def near(value: float, rel: float = 0.005) -> object:
    return pytest.approx(value, rel=rel)


@pytest.mark.parametrize(("intensity", "expected"), [(1, 3.35e12), (100, 335e12), (1000, 989.4e12)])
def test_attainable_rate_of_h100(intensity: float, expected: float) -> None:
    assert attainable_flops_per_s(intensity=intensity, peak_flops_per_s=H100.bf16,
                                  memory_bandwidth=H100.bandwidth) == near(expected)


@pytest.mark.parametrize(("chip", "expected"), [(H100, 295.3), (A100, 153.0), (B200, 281.3),
                                                (V5E, 240.2)])
def test_ridge_points(chip: object, expected: float) -> None:
    assert ridge_point(peak_flops_per_s=chip.bf16, memory_bandwidth=chip.bandwidth  # type: ignore[attr-defined]
                       ) == near(expected)


CRITICAL = [  # ridge, D, F, bytes of input, weight, output, exact
    (V5E.ridge, 4096, 4096, 2, 1, 2, 136.09),
    (V5E.ridge, 1024, 1024, 2, 1, 2, 226.31),
    (V5E.ridge, 256, 256, 2, 1, 2, math.inf),
    (V5E.ridge, 4096, 11008, 2, 2, 2, 261.27),
    (V5E.ridge, 4096, 4096, 2, 0.5, 2, 68.04),
    (B200.fp8 / B200.bandwidth, 4096, 4096, 1, 1, 2, 354.2),
]


@pytest.mark.parametrize(("ridge", "d_in", "d_out", "bx", "bw", "bo", "expected"), CRITICAL)
def test_exact_critical_batch(ridge: float, d_in: float, d_out: float, bx: float, bw: float,
                              bo: float, expected: float) -> None:
    found = critical_batch_exact(ridge=ridge, d_in=d_in, d_out=d_out, bytes_in=bx,
                                 bytes_weight=bw, bytes_out=bo)
    assert found == near(expected, 1e-4)


@pytest.mark.parametrize(("ridge", "bw", "expected", "first"), [
    (B200.fp8 / B200.bandwidth, 1, 281.25, 282), (V5E.ridge, 0.5, 60.06, 61),
    (V5E.ridge, 1, 120.12, 121), (H100.ridge, 2, 295.3, 296)])
def test_asymptotic_and_integer_critical_batch(ridge: float, bw: float, expected: float,
                                               first: int) -> None:
    found = critical_batch_asymptotic(ridge=ridge, bytes_weight=bw)
    assert found == near(expected, 1e-3)
    assert critical_batch_integer(critical_batch=found) == first


def test_ratio_of_the_two_widths_and_the_width_that_is_never_bound() -> None:
    wide, narrow = (critical_batch_exact(ridge=V5E.ridge, d_in=d, d_out=d, bytes_in=2,
                                         bytes_weight=1, bytes_out=2) for d in (4096, 1024))
    assert narrow / wide == near(1.663, 1e-3)


def test_the_critical_batch_is_where_the_two_times_meet() -> None:
    shape = {"d_in": 4096, "d_out": 11008}
    sizes = {"bytes_in": 2, "bytes_weight": 2, "bytes_out": 2}
    batch = critical_batch_exact(ridge=V5E.ridge, **shape, **sizes)
    assert compute_time(flop=matmul_flop(batch_size=batch, **shape),
                        peak_flops_per_s=V5E.bf16) == near(
        memory_time(memory_bytes=matmul_bytes(batch_size=batch, **shape, **sizes),
                    memory_bandwidth=V5E.bandwidth), 1e-12)


@pytest.mark.parametrize(("size", "expected"), [(2, 0.4995), (1, 1.0), (4, 0.25)])
def test_dot_product(size: int, expected: float) -> None:
    assert dot_product_intensity(n_elements=1024, bytes_in=size) == near(expected)


def test_dot_product_ceiling_on_h100() -> None:
    intensity = dot_product_intensity(n_elements=1024, bytes_in=2)
    assert intensity == near(0.4995, 1e-4)
    assert attainable_flops_per_s(intensity=intensity, peak_flops_per_s=H100.bf16,
                                  memory_bandwidth=H100.bandwidth) == near(1.67e12)


def test_lower_and_upper_bound() -> None:
    shape = {"batch_size": 64, "d_in": 8192, "d_out": 28672}
    math_s = compute_time(flop=matmul_flop(**shape), peak_flops_per_s=H100.bf16)
    memory_s = memory_time(memory_bytes=matmul_bytes(**shape, bytes_in=2, bytes_weight=2,
                                                     bytes_out=2),
                           memory_bandwidth=H100.bandwidth)
    assert (math_s, memory_s) == (near(30.39e-6), near(141.64e-6))
    low = roofline_time(t_math=math_s, t_memory=memory_s)
    high = serial_time(t_math=math_s, t_memory=memory_s)
    assert (low, high) == (near(141.64e-6), near(172.02e-6))
    assert low <= overlapped_time(t_math=math_s, t_memory=memory_s, overlap=0.3) <= high <= 2 * low


def test_weights_for_each_example() -> None:
    intensity = per_example_intensity(d_in=4096, d_out=4096, bytes_in=1, bytes_weight=1,
                                      bytes_out=1)
    assert intensity == near(1.999, 1e-3)
    assert intensity / (V5E.fp8 / V5E.bandwidth) == near(0.0042, 0.01)
    fp4 = per_example_intensity(d_in=4096, d_out=4096, bytes_in=1, bytes_weight=0.5, bytes_out=1)
    assert fp4 == near(3.992)
    assert V5E.ridge / fp4 == near(60, 0.01)
    assert fp4 < per_example_intensity_limit(bytes_weight=0.5) == 4.0


def test_grouped_matmul() -> None:
    ridge = V5E.fp8 / V5E.bandwidth
    one = critical_batch_exact(ridge=ridge, d_in=4096, d_out=4096, bytes_in=1, bytes_weight=1,
                               bytes_out=1)
    batch = grouped_critical_batch(n_groups=8, critical_batch=one)
    assert (one, batch) == (near(272.2), near(2177.4))
    assert grouped_matmul_intensity(batch_size=batch, n_groups=8, d_in=4096, d_out=4096,
                                    bytes_in=1, bytes_weight=1, bytes_out=1) == near(ridge, 1e-9)
    limit = grouped_matmul_limit(d_in=4096, d_out=4096, bytes_in=1, bytes_out=1)
    assert limit == 4096
    assert limit / ridge == near(8.5)


@pytest.mark.parametrize(("peak", "link", "expected"), [
    (V5E.bf16, 4.5e10, 8756), (H100.bf16, 450e9, 4397), (H100.bf16, 50e9, 39576)])
def test_width_above_which_a_split_contraction_is_compute_bound(
        peak: float, link: float, expected: float) -> None:
    found = critical_d_in_sharded(peak_flops_per_s=peak, network_bandwidth=link, bytes_out=2,
                                  n_chips=2)
    assert found == near(expected, 1e-3)
    flop = sharded_matmul_flop(batch_size=7, d_in=found, d_out=100, n_chips=2)
    sent = sharded_network_bytes(batch_size=7, d_out=100, bytes_out=2, n_chips=2)
    assert flop / peak == near(sent / link, 1e-9)


@pytest.mark.parametrize(("size", "expected"), [(2, 4096), (1, 8192), (4, 2048)])
def test_network_intensity_by_format(size: int, expected: float) -> None:
    assert sharded_network_intensity(d_in=8192, bytes_out=size, n_chips=2) == expected


def test_other_axes_of_a_split_matmul() -> None:
    # Sharing F over 4 chips: 2BDF/4 operations against 3/4 of the input received.
    batch, d_in, d_out, chips = 48, 1024, 2048, 4
    flop = 2 * batch * d_in * d_out / chips
    assert gathered_input_intensity(d_out=d_out, bytes_in=2, n_chips=chips) == near(
        flop / (2 * batch * d_in * 3 / 4), 1e-12)
    assert gathered_weight_intensity(batch_size=batch, bytes_weight=1, n_chips=chips) == near(
        flop / (d_in * d_out * 3 / 4), 1e-12)


def test_roofline_plot_points() -> None:
    intensity = matmul_intensity(batch_size=128, d_in=4096, d_out=4096, bytes_in=2,
                                 bytes_weight=2, bytes_out=2)
    assert intensity == near(120.5)
    assert attainable_flops_per_s(intensity=intensity, peak_flops_per_s=V5E.bf16,
                                  memory_bandwidth=V5E.bandwidth) == near(98.8e12)


def test_strong_scaling() -> None:
    assert geometric_speedup(n_chips=8, scaling_efficiency=0.9) == near(5.70)
    assert geometric_speedup(n_chips=64, scaling_efficiency=0.9) == near(9.99)
    assert geometric_speedup_limit(scaling_efficiency=0.9) == near(10)
    assert linear_speedup(n_chips=1000, scaling_efficiency=0.9) > 900
    assert amdahl_speedup(accelerated_share=0.9, speedup=1e12) == near(10)


def test_units() -> None:
    assert parse_quantity("100 TFLOP", "FLOP") == 1e14
    assert parse_quantity("400 Gbit/s", "B/s") == 50e9
    assert compute_time(flop=1e12, peak_flops_per_s=9.1e14) == near(1.099e-3)
    assert petaflop_days(flop=8.4e23) == near(9722)


@pytest.mark.parametrize(("claim", "truth"), [(241.4, 136.09), (483, 226.31), (131, 261.27)])
def test_claims_that_are_wrong_miss_every_true_value(claim: float, truth: float) -> None:
    exact = [critical_batch_exact(ridge=r, d_in=d, d_out=f, bytes_in=x, bytes_weight=w,
                                  bytes_out=o) for r, d, f, x, w, o, _ in CRITICAL]
    assert any(value == near(truth, 1e-4) for value in exact)
    assert all(claim != near(value) for value in exact)
