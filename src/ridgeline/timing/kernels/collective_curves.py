"""Correction curves of collectives: what the closed forms miss, borrowed from the nearest cases.

A measured case (chip, backend, version, operation, group) leaves a curve: the median of
log(measured / form) at every octave of the message size. A case asked for takes its own curve
where there is one; otherwise the average of the others, weighted by how alike they are,

    r(q) = sum_k w_k r_k / (w_none + sum_k w_k),    w_k = exp(-(sum of penalties)),

with one penalty for each way in which the two differ. The weight of nothing, w_none, pulls the
correction of a case that resembles none towards 0: the form alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

FIRST, LAST = 8, 30
"""Octaves of message size that curves are kept at: 256 B to 1 GiB."""

PENALTIES: Mapping[str, float] = {"chip": 1.5, "architecture": 2.5, "link": 4.0, "backend": 1.5,
                                  "launch": 2.0, "version": 0.7, "op": 3.0, "group": 1.5,
                                  "nodes": 3.0, "none": 2.0}
"""How unlike two cases are for each thing that differs; found by leaving cases out."""


@dataclass(frozen=True)
class Case:
    """What a curve belongs to.

    Attributes:
        chip: as measured; architecture, link: its family and kind of link.
        backend: library, without how it was launched; launch: "graph" or "eager".
        version: band of library versions.
        op: operation; group: ranks; nodes: domains they span.
    """

    chip: str
    architecture: str
    link: str
    backend: str
    launch: str
    version: str
    op: str
    group: float
    nodes: float = 1.0

    def penalty(self, other: Case, p: Mapping[str, float]) -> float:
        """How unlike another case, in units of log weight."""
        cost = 0.0
        if self.chip != other.chip:
            cost += p["chip"]
        for name in ("architecture", "link", "backend", "launch", "version", "op"):
            if getattr(self, name) != getattr(other, name):
                cost += p[name]
        cost += p["group"] * abs(np.log2(self.group / other.group))
        return float(cost + p["nodes"] * abs(np.log2(self.nodes / other.nodes)))


@dataclass(frozen=True)
class Curve:
    """Log corrections of one case at the octaves from `start` on."""

    case: Case
    start: int
    values: tuple[float, ...]

    def at_octaves(self) -> Array:
        """Values at FIRST..LAST, not a number where the case was not measured."""
        out = np.full(LAST - FIRST + 1, np.nan)
        out[self.start - FIRST:self.start - FIRST + len(self.values)] = self.values
        return out


def correction(case: Case, curves: Sequence[Curve],
               penalties: Mapping[str, float] = PENALTIES) -> Array:
    """Log correction of a case at the octaves FIRST..LAST.

    The case's own curve is used as it is where it was measured.
    """
    octaves = np.arange(FIRST, LAST + 1.0)
    total = np.zeros_like(octaves)
    weight = np.full_like(octaves, np.exp(-penalties["none"]))
    own = None
    for curve in curves:
        values = curve.at_octaves()
        known = ~np.isnan(values)
        cost = case.penalty(curve.case, penalties)
        if cost == 0.0:
            own = (values, known)
            continue
        w = np.exp(-cost) * known
        total += w * np.where(known, values, 0.0)
        weight += w
    blended: Array = total / weight
    if own is None:
        return blended
    values, known = own
    filled: Array = np.interp(octaves, octaves[known], values[known])
    return filled


def evaluate(octave_values: Array, bytes: Array) -> Array:
    """A curve at message sizes, linear in the octave and constant outside [FIRST, LAST]."""
    octaves = np.arange(FIRST, LAST + 1.0)
    out: Array = np.interp(np.log2(np.maximum(bytes, 1.0)), octaves, octave_values)
    return out


def measure_curve(case: Case, bytes: Array, log_ratio: Array) -> Curve | None:
    """The curve of a case from its rows: the median within half an octave of each knot."""
    octave = np.rint(np.log2(bytes)).astype(int)
    known = [o for o in range(FIRST, LAST + 1) if (octave == o).any()]
    if not known:
        return None
    medians = [float(np.median(log_ratio[octave == o])) for o in known]
    span = range(known[0], known[-1] + 1)
    values = np.interp(list(span), known, medians)
    return Curve(case, known[0], tuple(round(float(v), 4) for v in values))
