"""What a predictor gives back for a table, and which predictor answers which table.

A predictor is one function in one module of this folder:

    def predict(table: Table, advance: Advance) -> Predictions

It returns one `Prediction` a metric, with a value or a reason for every row of the table, and
calls `advance(n)` as it gets through them. A predictor that thinks row by row uses `each_row`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ridgeline.errors import RidgelineError
from ridgeline.measure.truth.reader import Table

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

Advance = Callable[[int], None]

# Schema -> module with a `predict` function.
PREDICTORS = {
    **dict.fromkeys(
        ("gemm", "attention_prefill", "attention_decode", "attention_mixed", "attention_module",
         "mla", "mla_bmm", "moe", "wideep_moe", "linear_attention", "elementwise", "quantize",
         "collective", "ep_a2a", "grouped_gemm"), "ridgeline.measure.validate.kernels"),
    "models": "ridgeline.measure.validate.models",
    "memory": "ridgeline.measure.validate.memory",
    "serving_latency": "ridgeline.measure.validate.serving_latency",
    "serving_replay": "ridgeline.measure.validate.serving_replay",
    "serving_throughput": "ridgeline.measure.validate.serving_throughput",
    "single_stream": "ridgeline.measure.validate.single_stream",
    **dict.fromkeys(("retrieval", "encoder"), "ridgeline.measure.validate.retrieval"),
    "training_throughput": "ridgeline.measure.validate.training_throughput",
}


@dataclass(frozen=True)
class Interval:
    """One predicted value with its 80 % and 95 % intervals (NaN where there is none)."""

    value: float
    low80: float = float("nan")
    high80: float = float("nan")
    low95: float = float("nan")
    high95: float = float("nan")


@dataclass(frozen=True)
class Prediction:
    """Predicted values of one metric, one for each row of a table.

    Attributes:
        value: SI value; NaN where there is no answer.
        low80, high80, low95, high95: interval ends; NaN where there is none.
        reason: text for each row; why there is no answer, "" where there is one.
        notes: what a reader should know of some answers -> how many rows it is about.
    """

    value: Array
    low80: Array
    high80: Array
    low95: Array
    high95: Array
    reason: Array
    notes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def unanswered(cls, rows: int, reason: str) -> Prediction:
        """No answer yet for any row; `put` fills answers in."""
        import numpy as np

        value, low80, high80, low95, high95 = (np.full(rows, np.nan) for _ in range(5))
        return cls(value, low80, high80, low95, high95, np.full(rows, reason, dtype=object))

    def put(self, where: Array, value: Array, low80: Any = None, high80: Any = None,
            low95: Any = None, high95: Any = None) -> None:
        """Answer the rows at these positions; values that are not finite stay unanswered."""
        import numpy as np

        answered = np.isfinite(value)
        for name, part in (("value", value), ("low80", low80), ("high80", high80),
                           ("low95", low95), ("high95", high95)):
            if part is not None:
                getattr(self, name)[where] = np.where(answered, part, np.nan)
        self.reason[where] = np.where(answered, "", "the prediction is not a finite number")

    def remark(self, note: str, rows: int) -> None:
        """Keep a note about so many rows; an empty one is nothing to keep."""
        if note:
            self.notes[note] = self.notes.get(note, 0) + rows

    def refuse(self, where: Array, reason: str) -> None:
        """Say why these rows have no answer."""
        import numpy as np

        self.value[where] = np.nan
        self.reason[where] = reason


Predictions = Mapping[str, Prediction]


class Predictor(Protocol):
    """The one function that answers a kind of table."""

    def __call__(self, table: Table, advance: Advance) -> Predictions:
        """A value or a reason for every row, by metric."""
        ...


def each_row(table: Table, advance: Advance,
             answer: Callable[[dict[str, Any]], Mapping[str, Interval]]) -> Predictions:
    """Predict row by row.

    Args:
        table: the rows.
        advance: called once a row.
        answer: gives the metrics it can predict for one row (numbers as floats or None, text as
            str); a RidgelineError it raises becomes the reason of that row.
    """
    metrics = [m.metric for m in table.schema.measures]
    out = {m: Prediction.unanswered(len(table), "not predicted for this row") for m in metrics}
    for at, row in enumerate(table.dicts()):
        try:
            found = answer(row)
        except RidgelineError as error:
            for prediction in out.values():
                prediction.reason[at] = str(error)
        else:
            for metric, item in found.items():
                _put_one(out[metric], at, item)
        advance(1)
    return out


def _put_one(prediction: Prediction, at: int, item: Interval) -> None:
    import numpy as np

    ends = (item.low80, item.high80, item.low95, item.high95)
    prediction.put(np.array([at]), np.array([item.value]), *(np.array([e]) for e in ends))


def find_predictor(schema: str) -> Predictor | None:
    """The predictor of a kind of table, None while there is no module for it."""
    name = PREDICTORS[schema]
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None
    predictor: Predictor = module.predict
    return predictor


def predict(table: Table, advance: Advance) -> Predictions:
    """Predict every metric of every row of a table, or say why not."""
    predictor = find_predictor(table.schema.name)
    if predictor is not None and len(table):
        return predictor(table, advance)
    advance(len(table))
    reason = f"no predictor yet for {table.schema.name} tables"
    return {m.metric: Prediction.unanswered(len(table), reason) for m in table.schema.measures}
