"""Constants of searches from measured rows: non-negative least squares on relative errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput, MissingExtra
from ridgeline.retrieval.cpu_time import CpuConstants, counts, family, search_time
from ridgeline.retrieval.index_plan import IndexPlan

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["Row", "fit_distances", "fit_searches", "held_out", "nonnegative", "plan_of"]

Row = Mapping[str, Any]

# Weight of a starting value against one measured row, when there is one to start from.
_PRIOR = 0.05


def plan_of(row: Row) -> IndexPlan:
    """The index a measured row is about."""
    kind = str(row["index"])
    return IndexPlan("flat" if kind == "sq8" else kind, int(row["n"]), int(row["dim"]),
                     "int8" if kind == "sq8" else "fp32", int(row["nlist"]), int(row["nprobe"]),
                     int(row["segments"]), int(row["hnsw_m"]), int(row["ef"]), int(row["top_k"]),
                     int(row["batch"]), "random" if row["data"] == "gaussian" else "clustered")


def nonnegative(features: Sequence[Mapping[str, float]], seconds: Sequence[float],
                start: Mapping[str, float] | None = None) -> dict[str, float]:
    """Seconds of each term that make the relative errors of all rows small.

    Args:
        features: counts of each row.
        seconds: measured time of each row.
        start: values to stay near where the rows say little.

    Raises:
        MissingExtra: SciPy is not installed.
    """
    import numpy as np

    try:
        from scipy.optimize import nnls
    except ImportError as error:
        raise MissingExtra.needed("fitting constants", "fit") from error
    names = sorted({name for row in features for name in row})
    matrix = np.array([[row.get(name, 0.0) / t for name in names]
                       for row, t in zip(features, seconds, strict=True)])
    wanted = np.ones(len(matrix))
    if start:
        known = [i for i, name in enumerate(names) if start.get(name, 0.0) > 0]
        pull = np.zeros((len(known), len(names)))
        for at, i in enumerate(known):
            pull[at, i] = math.sqrt(_PRIOR) / start[names[i]]
        matrix = np.vstack([matrix, pull])
        wanted = np.concatenate([wanted, np.full(len(known), math.sqrt(_PRIOR))])
    # Columns differ by many orders of magnitude: solve in units of their size.
    scale = np.maximum(np.abs(matrix).max(axis=0), 1e-300)
    found, _ = nnls(matrix / scale, wanted, maxiter=10_000)
    return {name: float(v / s) for name, v, s in zip(names, found, scale, strict=True)}


def fit_distances(rows: Sequence[Row]) -> dict[str, float]:
    """Law of the vectors a graph search compares, from counted ones.

    Raises:
        BadInput: no row of a graph.
    """
    import numpy as np

    counted = [r for r in rows if r["index"] == "hnsw"]
    if not counted:
        raise BadInput("no measured graph to fit the law of its distances")
    matrix = np.array([[1.0, math.log(r["ef"]), math.log(r["hnsw_m"]), math.log(r["n"]),
                        *_random(r)] for r in counted])
    logs = np.log([float(r["visited"]) for r in counted])
    found = np.linalg.lstsq(matrix, logs, rcond=None)[0]
    return dict(zip(("constant", "ef", "links", "n", "random", "random_dim"), map(float, found),
                    strict=True))


def _random(row: Row) -> tuple[float, float]:
    """Terms of the law that only data without structure have."""
    return (1.0, math.log(row["dim"])) if row["data"] == "gaussian" else (0.0, 0.0)


def imbalance(rows: Sequence[Row]) -> float:
    """Mean over inverted lists of visited vectors over those of equal lists."""
    found = []
    for row in rows:
        if row["nlist"]:
            share = row["nprobe"] / row["nlist"]
            if share < 0.5:
                found.append((row["visited"] / (row["n"] * share) - share) / (1 - share))
    return sum(found) / len(found) if found else 1.0


def fit_searches(rows: Sequence[Row], base: CpuConstants, *, prior: bool = False
                 ) -> dict[str, dict[str, float]]:
    """Seconds of every term of every family that was measured.

    Args:
        rows: measured.
        base: cache size and laws; with `prior`, the seconds to stay near.
        prior: few rows: move the constants in `base` no further than the rows ask.
    """
    out = {name: dict(terms) for name, terms in base.seconds.items()} if prior else {}
    for name in sorted({family(plan_of(r)) for r in rows}):
        mine = [r for r in rows if family(plan_of(r)) == name]
        features = [counts(plan_of(r), base, float(r["visited"])) for r in mine]
        start = base.seconds.get(name) if prior else None
        out[name] = nonnegative(features, [float(r["query_s"]) for r in mine], start)
    return out


def held_out(rows: Sequence[Row], base: CpuConstants, group: Callable[[Row], Any],
             fit: Callable[[Sequence[Row]], CpuConstants]) -> list[tuple[Row, float]]:
    """Every row with the time predicted by constants fitted without its group."""
    out = []
    for left in sorted({group(r) for r in rows}, key=str):
        constants = fit([r for r in rows if group(r) != left])
        out += [(r, search_time(plan_of(r), constants).seconds) for r in rows if group(r) == left
                and family(plan_of(r)) in constants.seconds]
    return out
