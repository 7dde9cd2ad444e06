"""Errors of predictions against measurements, in all and by group.

    APE  = |predicted - measured| / measured                     [%]
    bias = exp(median(log(predicted / measured))) - 1            [%]
    coverage = share of measurements inside the interval         [%]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ridgeline.measure.truth.reader import Table
from ridgeline.measure.validate.prediction import Prediction, Predictions

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

# What a reader may call a column -> the columns it can be, first present wins.
ALIASES = {
    "model": ("model", "model_path", "name"),
    "system": ("system", "gpu", "device"),
    "gpu": ("gpu", "system", "device"),
    "device": ("device", "gpu", "system"),
    "engine": ("engine", "backend", "framework"),
    "backend": ("backend", "engine", "framework"),
    "dtype": ("dtype", "weight_dtype", "precision", "quant"),
}


@dataclass(frozen=True)
class GroupScore:
    """Errors of one metric over one group of rows; None where there is nothing to say."""

    group: str
    metric: str
    n: int
    median_ape_pct: float | None
    p90_ape_pct: float | None
    bias_pct: float | None
    coverage80_pct: float | None
    coverage95_pct: float | None

    def to_dict(self) -> dict[str, Any]:
        """JSON form, rounded to what the data can carry."""
        return {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(self).items()}


def score(group: str, metric: str, truth: Array, prediction: Prediction,
          where: Array) -> GroupScore:
    """Errors over the rows of `where` that have both a measurement and an answer.

    Args:
        group, metric: labels.
        truth: measured SI values, NaN where there is none.
        prediction: predicted values and intervals of the same rows.
        where: mask of the group.
    """
    import numpy as np

    use = where & np.isfinite(truth) & np.isfinite(prediction.value)
    n = int(use.sum())
    if not n:
        return GroupScore(group, metric, 0, None, None, None, None, None)
    real, value = truth[use], prediction.value[use]
    ape = np.abs(value - real) / real * 100
    positive = value > 0
    bias = (np.exp(np.median(np.log(value[positive] / real[positive]))) - 1) * 100 \
        if positive.any() else float("nan")
    return GroupScore(group, metric, n, float(np.median(ape)), float(np.percentile(ape, 90)),
                      _finite(bias), _coverage(real, prediction.low80[use], prediction.high80[use]),
                      _coverage(real, prediction.low95[use], prediction.high95[use]))


def _finite(value: float) -> float | None:
    return float(value) if value == value else None


def _coverage(real: Array, low: Array, high: Array) -> float | None:
    """Share of rows inside their interval, over the rows that have one."""
    import numpy as np

    has = np.isfinite(low) & np.isfinite(high)
    if not has.any():
        return None
    # An exact answer has a point interval: allow for the last bits of floating point.
    slack = 1e-9 * np.abs(real[has])
    inside = (low[has] - slack <= real[has]) & (real[has] <= high[has] + slack)
    return float(inside.mean() * 100)


def groups_of(table: Table, by: Sequence[str]) -> Iterator[tuple[str, Array]]:
    """("all", every row), then ("column=value", its rows) for each column asked for.

    A column is looked up under its own name and its aliases; one that the table lacks is skipped.
    """
    import numpy as np

    yield "all", np.ones(len(table), bool)
    for asked in by:
        column = column_of(table, asked)
        if column is None:
            continue
        values = table.columns[column]
        texts = values if values.dtype == object else np.array([f"{v:g}" for v in values], object)
        for value in sorted(set(texts.tolist())):
            yield f"{asked}={value}", texts == value


def column_of(table: Table, asked: str) -> str | None:
    """The column of a table that a group name means."""
    return next((c for c in ALIASES.get(asked, (asked,)) if c in table.columns), None)


def score_table(table: Table, truth: dict[str, Array], predictions: Predictions,
                by: Sequence[str]) -> list[GroupScore]:
    """Scores of every metric, group "all" first."""
    import numpy as np

    out = []
    for group, where in groups_of(table, by):
        for metric, values in truth.items():
            if metric in predictions and (np.isfinite(values) & where).any():
                found = score(group, metric, values, predictions[metric], where)
                if found.n or group == "all":
                    out.append(found)
    return out
