"""Fit the training step model to published runs, and measure it on models held out.

Least squares on log(predicted / measured) rates with a robust loss; each constant is held to its
prior by its stated spread, so that what the data do not say stays plausible.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ridgeline.errors import RidgelineError
from ridgeline.measure.truth.reader import Table
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

__all__ = ["Observation", "fit", "held_out", "observations", "write_constants"]

_NAMES = tuple(PRIORS)
_FRAMEWORK_SPREAD = 0.15     # spread of a framework's factor before it was measured
_NOISE = 0.08                # spread of repeated runs of one layout


@dataclasses.dataclass(frozen=True)
class Observation:
    """A run with its measured rate [token/s of a chip] and the model it trained."""

    case: TrainingCase
    work: Work
    rate: float
    model: str
    source: str
    device: str


def observations(table: Table) -> list[Observation]:
    """The rows that state a layout and a rate, in whatever form the rate is."""
    found = []
    for row in table.dicts():
        try:
            case = case_of(row)
            work = case_work(case)
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

    return np.array([math.log(
        o.case.batch.tokens / o.case.cluster.n_chips
        / step_time(o.case, constants, o.work).step / o.rate) for o in seen])


def _constants(point: Array, frameworks: Sequence[str]) -> Constants:
    import numpy as np

    values = {n: min(PRIORS[n][0] * math.exp(v), PRIORS[n][2])
              for n, v in zip(_NAMES, point, strict=False)}
    rest = np.exp(point[len(_NAMES):])
    # Nothing is faster than the roofs: a framework may cost time over the parts, not save it
    # beyond what their efficiencies allow.
    return Constants(values, dict(zip(frameworks, map(float, rest), strict=True)))


def fit(seen: Sequence[Observation], evaluations: int = 12) -> Constants:
    """Constants that explain the runs best, near their priors."""
    import numpy as np
    from scipy.optimize import least_squares

    frameworks = sorted({o.case.framework for o in seen})
    spreads = np.array([PRIORS[n][1] for n in _NAMES] + [_FRAMEWORK_SPREAD] * len(frameworks))

    def residuals(point: Array) -> Array:
        off = log_ratios(seen, _constants(point, frameworks)) / _NOISE
        # Soft L1 by hand, so that the priors stay quadratic.
        robust = np.sign(off) * np.sqrt(2 * (np.sqrt(1 + off**2) - 1))
        return np.concatenate([robust, point / spreads])

    most = [math.log(PRIORS[n][2] / PRIORS[n][0]) + 1e-9 for n in _NAMES]
    found = least_squares(residuals, np.zeros(len(spreads)), max_nfev=evaluations,
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

    labels = [getattr(o, by) for o in seen]
    sizes = sorted(set(labels), key=lambda g: (-labels.count(g), g))
    fold_of = {g: i % folds for i, g in enumerate(sizes)}
    out = np.zeros(len(seen))
    for fold in range(folds):
        inside = [i for i, g in enumerate(labels) if fold_of[g] == fold]
        if inside:
            constants = fit([o for i, o in enumerate(seen) if fold_of[labels[i]] != fold], 6)
            out[inside] = log_ratios([seen[i] for i in inside], constants)
    return out


def write_constants(table: Table, path: str | Path) -> dict[str, Any]:
    """Fit to a table and write the constants file; returns what was written."""
    import numpy as np

    from ridgeline.files import write_atomically

    seen = observations(table)
    constants, left = fit(seen), held_out(seen)
    moe = np.array([bool(o.case.architecture.params_by_role.get("expert")) for o in seen])
    spreads = {}
    for name, group in (("dense", ~moe), ("moe", moe)):
        # A rate too high by x is a step time too short by x.
        spreads[name] = [round(float(v), 4) for v in np.exp(
            np.quantile(left[group], [0.1, 0.9, 0.025, 0.975]))]
    content = {"source": "public training runs; see the licences of the measured tables",
               "rows": len(seen),
               "constants": {n: float(f"{v:.5g}") for n, v in constants.values.items()},
               "frameworks": {n: float(f"{v:.5g}") for n, v in constants.frameworks.items()},
               "spread": spreads}
    write_atomically(path, json.dumps(content, indent=1) + "\n")
    return content
