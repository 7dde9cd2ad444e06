"""The chance of meeting a target from the quantiles of measured errors."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.search.chance import chance_within

SPREAD = (-0.5, -0.2, 0.3, 0.7)


def test_the_quantiles_are_met():
    for log, share in zip(SPREAD, (0.025, 0.1, 0.9, 0.975), strict=True):
        assert chance_within(2.0, 2.0 * math.exp(log), SPREAD) == pytest.approx(share, abs=1e-9)


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_a_looser_target_is_likelier(target, other):
    low, high = sorted((target, other))
    assert 0 <= chance_within(1.0, low, SPREAD) <= chance_within(1.0, high, SPREAD) <= 1


def test_ends():
    assert chance_within(1.0, math.inf, SPREAD) == 1.0
    assert chance_within(math.inf, 1.0, SPREAD) == 0.0
    assert chance_within(1.0, 1.1, (0.0, 0.0, 0.0, 0.0)) == 1.0
    assert chance_within(1.0, 0.9, (0.0, 0.0, 0.0, 0.0)) == 0.0
