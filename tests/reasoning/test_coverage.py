"""Coverage, votes and pass@k against definitions and by counting."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import BadInput
from ridgeline.reasoning.coverage import (
    coverage,
    coverage_law,
    fit_coverage_law,
    majority_share,
    pass_at_k,
    samples_for_coverage,
)


def test_worked_value():
    assert coverage(success_rate=0.2, samples=16) == pytest.approx(0.972, rel=5e-3)


def test_published_law():
    assert coverage_law(samples=1, coverage_scale=1.8389,
                        coverage_exponent=0.2090) == pytest.approx(0.159, rel=5e-3)
    assert coverage_law(samples=250, coverage_scale=1.8389,
                        coverage_exponent=0.2090) == pytest.approx(0.56, rel=5e-3)
    a, b = fit_coverage_law([1, 250], [0.159, 0.56])
    assert (a, b) == pytest.approx((1.8389, 0.2090), rel=5e-3)


@given(st.floats(0.05, 5), st.floats(0.05, 0.9))
def test_a_law_is_found_again(a, b):
    ks = [1, 3, 10, 100]
    covered = [coverage_law(samples=k, coverage_scale=a, coverage_exponent=b) for k in ks]
    if min(covered) > 1e-12 and max(covered) < 1 - 1e-12:
        assert fit_coverage_law(ks, covered) == pytest.approx((a, b), rel=1e-6)


@pytest.mark.parametrize(("ks", "covered"), [([1], [0.5]), ([1, 1], [0.5, 0.6]), ([1, 2], [0, 1]),
                                             ([0, 2], [0.1, 0.2]), ([1, 2], [0.5])])
def test_too_little_for_a_law(ks, covered):
    with pytest.raises(BadInput):
        fit_coverage_law(ks, covered)


@pytest.mark.parametrize(("n", "c"), [(5, 2), (6, 0), (6, 6), (7, 1)])
def test_pass_at_k_counts_subsets(n, c):
    for k in range(1, n + 1):
        subsets = list(itertools.combinations(range(n), k))
        hit = sum(any(i < c for i in s) for s in subsets) / len(subsets)
        assert pass_at_k(n, c, k) == pytest.approx(hit, abs=1e-12)
        exact = 1 - math.comb(n - c, k) / math.comb(n, k)
        assert pass_at_k(n, c, k) == pytest.approx(exact, abs=1e-12)


@given(st.integers(1, 60), st.floats(0.05, 0.95))
def test_pass_at_k_is_unbiased(k, p):
    n = 60
    mean = sum(math.comb(n, c) * p**c * (1 - p)**(n - c) * pass_at_k(n, c, k)
               for c in range(n + 1))
    assert mean == pytest.approx(coverage(success_rate=p, samples=k), abs=1e-9)


@pytest.mark.parametrize(("n", "c", "k"), [(5, 6, 1), (5, -1, 1), (5, 2, 0), (5, 2, 6)])
def test_impossible_counts(n, c, k):
    with pytest.raises(BadInput):
        pass_at_k(n, c, k)


def test_large_counts_stay_exact():
    assert pass_at_k(10**6, 1, 10**5) == pytest.approx(0.1)
    assert pass_at_k(10_000, 2, 1) == pytest.approx(2e-4)


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_samples_for_coverage_is_the_least(p, wanted):
    k = samples_for_coverage(p, wanted)
    assert coverage(success_rate=p, samples=k) >= wanted - 1e-6
    if k > 1:
        assert coverage(success_rate=p, samples=k - 1) < wanted + 1e-6


def test_samples_at_the_ends():
    assert samples_for_coverage(0, 0.5) == math.inf
    assert samples_for_coverage(1, 0.5) == samples_for_coverage(0.3, 0) == 1
    with pytest.raises(BadInput):
        samples_for_coverage(1.2, 0.5)


def test_a_vote_counts_its_outcomes():
    for n, p in ((3, 0.6), (4, 0.3), (7, 0.5)):
        total = 0.0
        for votes in itertools.product((0, 1), repeat=n):
            right = sum(votes)
            won = 1.0 if right > n - right else 0.5 if 2 * right == n else 0.0
            total += won * p**right * (1 - p)**(n - right)
        assert majority_share(p, n) == pytest.approx(total)


def test_spread_wrong_answers_lose_votes():
    # Below one half a vote between two fails; against many different errors it wins.
    assert majority_share(0.4, 101) < 0.05
    assert majority_share(0.4, 101, wrong_answers=50) > 0.99
    assert majority_share(0.4, 1, wrong_answers=7) == pytest.approx(0.4, abs=0.012)
    assert majority_share(1.0, 8) == 1 and majority_share(0.0, 8) == 0


@pytest.mark.parametrize("call", [(1.5, 3, 1), (0.5, 0, 1), (0.5, 3, 0), (0.5, 10**6, 1),
                                  (0.5, 3, 101)])
def test_impossible_votes(call):
    with pytest.raises(BadInput):
        majority_share(*call)
