"""Correction curves: a case's own curve wins, likeness weighs the rest."""

import numpy as np
import pytest

from ridgeline.timing.kernels.collective_curves import (
    FIRST,
    LAST,
    Case,
    Curve,
    correction,
    evaluate,
    measure_curve,
)

CASE = Case("H100-SXM", "Hopper", "nvlink", "nccl", "graph", "2.29.2", "all_reduce", 8.0)
FULL = (0.2,) * (LAST - FIRST + 1)


def test_an_own_curve_is_taken_as_it_is():
    other = Case("A100", "Ampere", "nvlink", "nccl", "graph", "2.27", "all_reduce", 8.0)
    curves = [Curve(CASE, FIRST, FULL), Curve(other, FIRST, (-0.5,) * len(FULL))]
    assert correction(CASE, curves) == pytest.approx(np.full(len(FULL), 0.2))


def test_a_likelier_case_weighs_more_and_an_unlike_one_little():
    near = Case(CASE.chip, "Hopper", "nvlink", "nccl", "graph", "2.29.2", "all_reduce", 4.0)
    far = Case("B60", "Xe2", "pcie", "oneccl", "graph", "", "all_gather", 4.0)
    with_near = correction(CASE, [Curve(near, FIRST, FULL)])
    with_far = correction(CASE, [Curve(far, FIRST, FULL)])
    assert (with_far > 0).all() and (with_far < 0.01).all()
    assert (with_near > 0.1).all() and (with_near < 0.2).all()


def test_a_curve_is_the_median_of_its_octaves_and_constant_outside():
    size = 2.0 ** np.array([10, 10, 10, 12])
    curve = measure_curve(CASE, size, np.array([0.1, 0.3, 0.2, 0.4]))
    assert curve is not None and curve.start == 10
    assert curve.values == pytest.approx((0.2, 0.3, 0.4))
    values = correction(CASE, [curve])
    assert evaluate(values, np.array([1.0, 2.0**40])) == pytest.approx([0.2, 0.4])
