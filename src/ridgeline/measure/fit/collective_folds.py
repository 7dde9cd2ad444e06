"""How good the collective model is on what it has not seen: cases left out, machines left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.measure.fit.collective import Points, Rows, case_rows, fit_forms, points_of
from ridgeline.timing.kernels.collective import corrected, find_constants
from ridgeline.timing.kernels.collective_curves import Curve
from ridgeline.timing.kernels.result import LEVELS

Array = NDArray[np.floating[Any]]
Fit = tuple[Mapping[str, Any], Sequence[Curve]]


@dataclass(frozen=True)
class HeldOut:
    """Rows predicted by a model that has not seen their fold.

    Attributes:
        log_ratio: log(measured / predicted) of each row.
        label: of each row, "<how launched>/<distance>".
        case: text that names the case of each row.
    """

    log_ratio: Array
    label: NDArray[np.str_]
    case: NDArray[np.str_]


def launch_label(points: Points) -> str:
    """Which noise a case has: replayed graph, launched from Python, or a framework profile."""
    return "torch" if points.case.version == "torch" else points.case.launch


def predict_points(fit: Fit, points: Points, bytes: Array) -> Array:
    """Seconds of a case at message sizes, for a fit of any part of the data."""
    from dataclasses import replace

    content, curves = fit
    moved = replace(points, bytes=bytes)
    seconds, _ = corrected(content, curves, moved.where, moved.op, moved.backend,
                           moved.case.version, bytes, moved.group, moved.form(content),
                           moved.case.nodes, moved.network.name if moved.network else "")
    return seconds


def folds(data: Sequence[Points],
          part: Callable[[Points], str]) -> Iterator[tuple[list[Points], list[Points]]]:
    """(kept, left out) for every value of `part`."""
    for name in sorted({part(d) for d in data}):
        yield [d for d in data if part(d) != name], [d for d in data if part(d) == name]


def by_case(d: Points) -> str:
    """Left out on every machine at once, so that no sister card gives the answer away."""
    return f"{d.backend} {d.op} {d.case.group:g} {d.case.nodes:g} {d.case.version == 'torch'}"


def by_chip(d: Points) -> str:
    """One machine at a time."""
    return d.case.chip


def held_out(rows: Rows, part: Callable[[Points], str]) -> HeldOut:
    """Every row of a table predicted without its fold."""
    data = points_of(rows)
    index = dict(case_rows(rows))
    of_case = dict(zip([id(d) for d in data], index.values(), strict=True))
    ratios, labels, cases = [], [], []
    for kept, left in folds(data, part):
        fit = fit_forms(kept)
        for d in left:
            rows_of = of_case[id(d)]
            size = np.asarray(rows["bytes"], float)[rows_of]
            time = np.asarray(rows["time_us"], float)[rows_of] * 1e-6
            ratios.append(np.log(time / predict_points(fit, d, size)))
            _, distance = find_constants(fit[0]["libraries"], d.where, f"{d.backend}|"
                                         if d.backend in ("nccl", "oneccl") else "nccl|")
            distance = "backend" if distance == "table" else distance
            label = "any/physics" if d.case.nodes > 1 else f"{launch_label(d)}/{distance}"
            labels += [label] * len(size)
            cases += [f"{d.case.chip} {d.backend} {d.case.version} {d.op} {d.case.group:g} "
                      f"{d.case.nodes:g}"] * len(size)
    return HeldOut(np.concatenate(ratios), np.array(labels), np.array(cases))


def own_curve_error(data: Sequence[Points], rows: Rows) -> HeldOut:
    """Error inside a measured case: each octave predicted from its neighbours.

    Where a table holds many sizes in an octave (framework profiles) its scatter around the
    median is the error instead; there is nothing to interpolate.
    """
    index = [i for _, i in case_rows(rows)]
    ratios, labels, cases = [], [], []
    for d, i in zip(data, index, strict=True):
        size = np.asarray(rows["bytes"], float)[i]
        measured = np.log(np.asarray(rows["time_us"], float)[i] * 1e-6)
        x, knots, log_t = np.log2(size), np.log2(d.bytes), np.log(d.seconds)
        guess = np.interp(x, knots, log_t)
        if len(size) < 4 * len(knots):
            for k in range(1, len(knots) - 1):
                near = np.rint(x) == knots[k]
                guess[near] = np.interp(x[near], np.delete(knots, k), np.delete(log_t, k))
        ratios.append(measured - guess)
        labels += [f"{launch_label(d)}/table"] * len(size)
        cases += [str(d.case.chip)] * len(size)
    return HeldOut(np.concatenate(ratios), np.array(labels), np.array(cases))


def spreads_of(*parts: HeldOut) -> dict[str, list[float]]:
    """Quantiles of log(measured / predicted) by label; a distance is never surer than a nearer.

    "physics", a network nobody measured, takes what the multi-node rows left out show.
    """
    label = np.concatenate([p.label for p in parts])
    ratio = np.concatenate([p.log_ratio for p in parts])
    out: dict[str, list[float]] = {}
    for launch in ("graph", "eager", "torch"):
        reach = np.zeros(4)
        for distance in ("table", "backend", "architecture", "pooled", "physics"):
            picked = ratio[(label == f"{launch}/{distance}") | (label == f"any/{distance}")]
            if len(picked) >= 40:
                found = np.quantile(picked, LEVELS)
                reach = np.array([*np.minimum(found[:2], reach[:2]),
                                  *np.maximum(found[2:], reach[2:])])
            out[f"{launch}/{distance}"] = [round(float(v), 4) for v in reach]
    return out


def report_of(part: HeldOut, name: str) -> dict[str, dict[str, float]]:
    """Error table of one kind of hold-out: all rows, then by label."""
    table = {}
    for group in ["all", *sorted(set(part.label.tolist()))]:
        picked = part.log_ratio[(part.label == group) | (group == "all")]
        error = 100 * np.abs(np.exp(-picked) - 1)
        table[f"{name}: {group}"] = {
            "n": len(picked), "median_ape_pct": round(float(np.median(error)), 2),
            "p90_ape_pct": round(float(np.quantile(error, 0.9)), 2),
            "bias_pct": round(100 * float(np.exp(-np.median(picked)) - 1), 2)}
    return table
