"""The exact Pareto frontier of many points, more being better in every column."""

from __future__ import annotations

import bisect
from typing import Any

import numpy as np

__all__ = ["covered", "frontier"]

_FILTERS = 12


def frontier(points: Any) -> Any:
    """Indices of the points that no other point dominates, best first in the first column.

    A point dominates another when it is at least as good in every column and better in one. Of
    equal points the first is kept; points with a NaN never count.

    Args:
        points: array of shape (n, 3).

    >>> frontier(np.array([[1.0, 3, 0], [2.0, 2, 0], [1.0, 2, 0], [3.0, 1, 0]])).tolist()
    [3, 1, 0]
    """
    points = np.asarray(points, float)
    x, y, z = (np.ascontiguousarray(points[:, k]) for k in range(3))
    alive = _thinned(x, y, z, np.flatnonzero(~(np.isnan(x) | np.isnan(y) | np.isnan(z))))
    # Best first in all columns, so that whatever dominates a point is met before it.
    order = alive[np.lexsort((alive, -z[alive], -y[alive], -x[alive]))]
    order = order[~_beaten(y[order], z[order])]
    if _sure(y[order], z[order]):
        return order
    return order[_stairs(y[order].tolist(), z[order].tolist())]


def covered(points: Any, front: Any) -> Any:
    """Mask of points that one of a frontier's is at least as good as, found by bisection.

    Only the best of those at least as good in the first column is looked at, so some that are
    dominated are not marked; none is marked wrongly.

    Args:
        points: array of shape (n, 3).
        front: a frontier, best first in the first column, shape (m, 3).
    """
    if not len(front):
        return np.zeros(len(points), bool)
    place = np.searchsorted(-front[:, 0], -points[:, 0], side="right") - 1
    mask = np.zeros(len(points), bool)
    for first, second in ((1, 2), (2, 1)):
        best = _best_so_far(front[:, first])[place]
        mask |= ((front[best, first] >= points[:, first])
                 & (front[best, second] >= points[:, second]))
    return mask & (place >= 0)


def _thinned(x: Any, y: Any, z: Any, left: Any) -> Any:
    """The points that a few strong ones do not dominate; cheap, and never wrong."""
    if len(left) < 4 * _FILTERS:
        return left
    unit = [np.nan_to_num(v / (np.abs(v[np.isfinite(v)]).max(initial=0.0) or 1.0))
            for v in (x, y, z)]
    for k in range(_FILTERS):
        share = k / (_FILTERS - 1)
        value = share * unit[0][left] + (1 - share) * (unit[1][left] + 0.5 * unit[2][left])
        best = left[int(np.argmax(value))]
        a, b, c = x[left], y[left], z[left]
        worse = (a <= x[best]) & (b <= y[best]) & (c <= z[best])
        worse &= (a < x[best]) | (b < y[best]) | (c < z[best])
        left = left[~worse]
    return left


def _beaten(y: Any, z: Any) -> Any:
    """Points dominated by the best in y, or in z, of those before them."""
    beaten = np.zeros(len(y), bool)
    for first, second in ((y, z), (z, y)):
        place = _best_so_far(first)
        beaten[1:] |= (first[1:] <= first[place[:-1]]) & (second[1:] <= second[place[:-1]])
    return beaten


def _best_so_far(values: Any) -> Any:
    """For each place, where the largest value up to it stands (the first of equal ones)."""
    most = np.maximum.accumulate(values)
    new = np.concatenate([[True], most[1:] > most[:-1]]) if len(values) else np.zeros(0, bool)
    return np.maximum.accumulate(np.where(new, np.arange(len(values)), 0))


def _sure(y: Any, z: Any) -> bool:
    """Whether every point is better than all before it in y or in z, so that none is dominated."""
    better = (y[1:] > np.maximum.accumulate(y)[:-1]) | (z[1:] > np.maximum.accumulate(z)[:-1])
    return bool(better.all())


def _stairs(ys: list[float], zs: list[float]) -> list[int]:
    """Positions of the points that none before dominates, by a staircase of the best so far."""
    stairs_y: list[float] = []                 # rising, with falling z beside it
    stairs_z: list[float] = []
    chosen = []
    for i, (y, z) in enumerate(zip(ys, zs, strict=True)):
        place = bisect.bisect_left(stairs_y, y)
        # Everything from `place` on has at least this y; the first of them has the largest z.
        if place < len(stairs_y) and stairs_z[place] >= z:
            continue
        chosen.append(i)
        start = place
        while start > 0 and stairs_z[start - 1] <= z:
            start -= 1
        end = place + (place < len(stairs_y) and stairs_y[place] == y)
        stairs_y[start:end], stairs_z[start:end] = [y], [z]
    return chosen
