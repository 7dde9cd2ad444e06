"""The frontier is exactly the set of rows that nothing dominates."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ridgeline.search.pareto import frontier


def slow(points):
    """Every pair compared; of equal points the first stays."""
    kept = []
    for i, p in enumerate(points):
        beaten = any(all(q >= p) and any(q > p) for q in points)
        twin = any((points[j] == p).all() for j in kept)
        if not beaten and not twin:
            kept.append(i)
    return set(kept)


@settings(max_examples=300, deadline=None)
@given(arrays(float, st.tuples(st.integers(0, 40), st.just(3)), elements=st.integers(0, 6)))
def test_equals_comparing_every_pair(points):
    assert set(frontier(points).tolist()) == slow(points)


def test_many_points_are_thinned_without_loss():
    random = np.random.default_rng(3)
    points = random.random((1500, 3))
    assert set(frontier(points).tolist()) == slow(points)
    # Throughput and price that rise and fall together, as within one kind of chip.
    points[:, 2] = -1 / points[:, 1]
    assert set(frontier(points).tolist()) == slow(points)


def test_best_first_and_no_undefined_points():
    points = np.array([[1.0, 5, 1], [np.nan, 9, 9], [3.0, 1, 1], [2.0, 3, 1], [2.0, 2, -np.inf]])
    assert frontier(points).tolist() == [2, 3, 0]
    assert frontier(np.zeros((0, 3))).tolist() == []


def test_merging_in_pieces_gives_the_same():
    random = np.random.default_rng(5)
    points = random.random((600, 3))
    whole = {tuple(points[i]) for i in frontier(points)}
    merged = np.zeros((0, 3))
    for part in np.split(points, 6):
        both = np.concatenate([merged, part[frontier(part)]])
        merged = both[frontier(both)]
    assert {tuple(p) for p in merged} == whole
