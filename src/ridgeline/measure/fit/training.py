"""Fit the training step model to published runs, and measure it on models held out.

Least squares on log(predicted / measured) rates with a robust loss; each constant is held to its
prior by its stated spread, so that what the data do not say stays plausible.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ridgeline.errors import RidgelineError
from ridgeline.measure.validate.training_rows import case_of, reported_flop_per_token
from ridgeline.training.step_time import (
    PRIORS,
    Constants,
    TrainingCase,
    case_work,
    step_time,
)
from ridgeline.training.work import Work

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

__all__ = ["Observation", "fit", "fit_training", "held_out", "log_ratios", "observations"]

_NAMES = tuple(PRIORS)
_FRAMEWORK_SPREAD = 0.15     # spread of a framework's factor before it was measured
_NOISE = 0.08                # spread of repeated runs of one layout
_NUDGE = 1e-5                # step of a logarithm when slopes are taken


@dataclasses.dataclass(frozen=True)
class Observation:
    """A run with its measured rate [token/s of a chip] and the model it trained."""

    case: TrainingCase
    work: Work
    rate: float
    model: str
    source: str
    device: str


def observations(rows: Iterable[dict[str, Any]]) -> list[Observation]:
    """The rows that state a layout and a rate, in whatever form the rate is."""
    found = []
    known: dict[TrainingCase, tuple[TrainingCase, Work]] = {}
    for row in rows:
        try:
            case = case_of(row)
            if case not in known:
                known[case] = case, case_work(case)
            case, work = known[case]
        except RidgelineError:
            continue
        rate = row["tokens_per_s_per_gpu"]
        if not rate:
            flop = row["model_tflops_per_gpu"] and row["model_tflops_per_gpu"] * 1e12
            if not flop and row["mfu_pct"]:
                peak = case.cluster.chip.peaks.get("bf16", 0.0)
                flop = row["mfu_pct"] / 100 * peak
            rate = flop and flop / reported_flop_per_token(case)
        if rate and rate > 0:
            found.append(Observation(case, work, float(rate), row["model"], row["source"],
                                     row["gpu"]))
    return found


def log_ratios(seen: Sequence[Observation], constants: Constants) -> Array:
    """log(predicted / measured) rate of each run."""
    import numpy as np

    memo: dict[int, Array] = {}     # runs repeat; `observations` shares what is equal
    for o in seen:
        if id(o.work) not in memo:
            memo[id(o.work)] = np.log(o.case.batch.tokens / o.case.cluster.n_chips
                                      / step_time(o.case, constants, o.work).step)
    return np.stack(np.broadcast_arrays(*(memo[id(o.work)] - math.log(o.rate) for o in seen)))


def _constants(point: Array, frameworks: Sequence[str]) -> Constants:
    import numpy as np

    values = {n: np.minimum(PRIORS[n][0] * np.exp(v), PRIORS[n][2])
              for n, v in zip(_NAMES, point, strict=False)}
    return Constants(values, dict(zip(frameworks, np.exp(point[len(_NAMES):]), strict=True)))


def fit(seen: Sequence[Observation], evaluations: int = 12) -> Constants:
    """Constants that explain the runs best, near their priors."""
    import numpy as np
    from scipy.optimize import least_squares

    frameworks = sorted({o.case.framework for o in seen})
    spreads = np.array([PRIORS[n][1] for n in _NAMES] + [_FRAMEWORK_SPREAD] * len(frameworks))

    def residuals(points: Array) -> Array:
        off = log_ratios(seen, _constants(points, frameworks)) / _NOISE
        # Soft L1 by hand, so that the priors stay quadratic.
        robust = np.sign(off) * np.sqrt(2 * (np.sqrt(1 + off**2) - 1))
        return np.concatenate([robust, points / spreads.reshape(-1, *[1] * (points.ndim - 1))])

    def slopes(point: Array) -> Array:
        # Every constant moved a little, all at once: constants may be arrays in the step model.
        moved = point[:, None] + _NUDGE * np.eye(len(point))
        return np.asarray((residuals(moved) - residuals(point)[:, None]) / _NUDGE)

    most = [math.log(PRIORS[n][2] / PRIORS[n][0]) + 1e-9 for n in _NAMES]
    found = least_squares(residuals, np.zeros(len(spreads)), slopes, max_nfev=evaluations,
                          bounds=([-4.0] * len(spreads),
                                  [*most, *([1.0] * len(frameworks))]))
    return _constants(found.x, frameworks)


def held_out(seen: Sequence[Observation], by: str = "model", folds: int = 5) -> Array:
    """log(predicted / measured) of each run by constants that never saw its group.

    Args:
        seen: runs.
        by: "model", "device" or "source".
        folds: groups are dealt to so many folds, the largest first.
    """
    import numpy as np

    out, of = np.zeros(len(seen)), _folds(seen, by, folds)
    for fold in range(folds):
        inside = np.flatnonzero(of == fold).tolist()
        if inside:
            constants = fit([o for o, its in zip(seen, of, strict=True) if its != fold], 8)
            out[inside] = log_ratios([seen[i] for i in inside], constants)
    return out


def _folds(seen: Sequence[Observation], by: str, folds: int) -> Array:
    """The fold of each run: groups are dealt in turn, the largest first."""
    import numpy as np

    labels = [getattr(o, by) for o in seen]
    sizes = sorted(set(labels), key=lambda g: (-labels.count(g), g))
    fold_of = {g: i % folds for i, g in enumerate(sizes)}
    return np.array([fold_of[label] for label in labels])


def fit_training(rows: dict[str, Array], say: Callable[[str], None] = lambda _: None
                 ) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fit to published runs, for `measure.calibrate`.

    Args:
        rows: columns of the training table.
        say: told what is being held out.

    Returns:
        constants, framework factors and the spread of rates of models held out; and errors on
        what each fit did not see: models, devices, sources.
    """
    seen = observations(_dicts(rows))
    constants = fit(seen)
    left = {}
    for by in ("model", "device", "source"):
        say(f"training: holding out each {by}")
        left[by] = held_out(seen, by)
    content = {"rows": len(seen),
               "constants": {n: float(f"{v:.5g}") for n, v in constants.values.items()},
               "frameworks": {n: float(f"{v:.5g}") for n, v in constants.frameworks.items()},
               "spread": _spreads(seen, left["model"])}
    return content, {f"{by} held out": _errors(seen, off, _folds(seen, by, 2))
                     for by, off in left.items()}


def _dicts(rows: dict[str, Array]) -> list[dict[str, Any]]:
    lists = [[None if v != v else v for v in column.tolist()] for column in rows.values()]
    return [dict(zip(rows, values, strict=True)) for values in zip(*lists, strict=True)]


def _experts(seen: Sequence[Observation]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    import numpy as np

    return np.array([bool(o.case.architecture.params_by_role.get("expert")) for o in seen])


def _spreads(seen: Sequence[Observation], off: Array) -> dict[str, list[float]]:
    """Factors on a step time that end its intervals: a rate too high is a step too short."""
    import numpy as np

    moe = _experts(seen)
    return {name: [round(float(v), 4) for v in np.exp(np.quantile(off[group],
                                                                  [0.1, 0.9, 0.025, 0.975]))]
            for name, group in (("dense", ~moe), ("moe", moe))}


def _covered(seen: Sequence[Observation], off: Array, half: Array) -> float:
    """Share of rates inside 80 % intervals whose widths come from the other half's groups."""
    import numpy as np

    inside, moe = np.zeros(len(seen), bool), _experts(seen)
    for side, kind in ((s, k) for s in (0, 1) for k in (False, True)):
        at, others = (half == side) & (moe == kind), (half != side) & (moe == kind)
        if at.any() and others.any():
            low, high = np.quantile(off[others], [0.1, 0.9])
            inside[at] = (low <= off[at]) & (off[at] <= high)
    return float(inside.mean())


def _errors(seen: Sequence[Observation], off: Array, half: Array) -> dict[str, float]:
    import numpy as np

    ape, moe = 100 * np.abs(np.expm1(off)), _experts(seen)
    narrow = np.array([o.case.precision == "bf16" for o in seen]) & ~moe
    return {"n": len(seen), "median_ape_pct": round(float(np.median(ape)), 2),
            "p90_ape_pct": round(float(np.percentile(ape, 90)), 2),
            "bias_pct": round(float(100 * np.expm1(np.median(off))), 2),
            "coverage80_pct": round(100 * _covered(seen, off, half), 1),
            "dense_bf16_median_ape_pct": round(float(np.median(ape[narrow])), 2),
            "moe_median_ape_pct": round(float(np.median(ape[moe])), 2)}
