"""Runs predictors over measured files: a report with scores and every row left unanswered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput
from ridgeline.measure.truth.measured import measured
from ridgeline.measure.truth.reader import Table, read_table
from ridgeline.measure.validate.prediction import Advance, Predictions, predict
from ridgeline.measure.validate.score import GroupScore, column_of, score_table

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Unanswered:
    """A row, or one metric of it, that has no prediction."""

    row: int
    id: str
    reason: str


@dataclass(frozen=True)
class FileReport:
    """One file against the predictions.

    Attributes:
        file: name as given.
        schema: kind of table.
        rows: rows in the file.
        predicted: rows with at least one predicted and measured metric.
        groups: scores, group "all" first.
        unanswered: rows without any, with the reason.
        points: metric -> (measured, predicted, row) of the scored rows, SI.
        units: metric -> SI unit.
        notes: what a reader should know of some answers -> how many rows it is about.
    """

    file: str
    schema: str
    rows: int
    predicted: int
    groups: tuple[GroupScore, ...]
    unanswered: tuple[Unanswered, ...]
    points: dict[str, tuple[Array, Array, Array]]
    units: dict[str, str]
    notes: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        reasons = Counter(u.reason for u in self.unanswered)
        return {"file": self.file, "schema": self.schema, "rows": self.rows,
                "predicted": self.predicted, "groups": [g.to_dict() for g in self.groups],
                "unanswered": [{"reason": r, "rows": n} for r, n in reasons.most_common()],
                "notes": [{"note": t, "rows": n} for t, n in self.notes.items()]}


def validate_files(paths: Sequence[str | Path], by: Sequence[str] = (),
                   start: Callable[[str, int], Advance] | None = None) -> list[FileReport]:
    """Validate the predictions against measured files.

    Args:
        paths: truth tables of any kind, plain, gzip or xz.
        by: columns to group by, besides those a kind of table is always grouped by.
        start: called with each file's name and rows; gives the function that is told progress.

    Raises:
        BadInput: a file is not a truth table, or no file has a column asked for.
    """
    tables = [read_table(path) for path in paths]
    for asked in by:
        if not any(column_of(table, asked) for table in tables):
            texts = sorted({c for t in tables for c, v in t.columns.items() if v.dtype == object})
            raise BadInput(f"no column {asked!r} to group by; there are: " + ", ".join(texts))
    return [validate_table(t, by, start(t.name, len(t)) if start else _silent) for t in tables]


def _silent(_rows: int) -> None:
    """Progress nobody watches."""


def validate_table(table: Table, by: Sequence[str] = (), advance: Advance = _silent) -> FileReport:
    """Validate the predictions against one table."""
    import numpy as np

    truth = measured(table)
    predictions = predict(table, advance)
    columns = tuple(dict.fromkeys((*table.schema.always_by, *by)))
    groups = score_table(table, truth, predictions, columns)
    points, scored = {}, np.zeros(len(table), bool)
    for metric, values in truth.items():
        if metric in predictions:
            use = np.isfinite(values) & np.isfinite(predictions[metric].value)
            scored |= use
            if use.any():
                points[metric] = (values[use], predictions[metric].value[use], table.row[use])
    notes = {note: rows for p in predictions.values() for note, rows in p.notes.items()}
    missing = _unanswered(table, truth, predictions, ~scored)
    return FileReport(table.name, table.schema.name, table.n_rows, int(scored.sum()),
                      tuple(groups), missing, points,
                      {m.metric: m.unit for m in table.schema.measures}, notes)


def _unanswered(table: Table, truth: dict[str, Array], predictions: Predictions,
                where: Array) -> tuple[Unanswered, ...]:
    """The rows without any score, with the first metric's reason that says something."""
    import numpy as np

    reasons = np.full(len(table), "no measured value", dtype=object)
    for metric in reversed(list(truth)):
        if metric in predictions:
            has = np.isfinite(truth[metric]) & (predictions[metric].reason != "")
            reasons[has] = predictions[metric].reason[has]
    at = np.flatnonzero(where)
    found = [Unanswered(int(row), name, str(reason)) for row, name, reason
             in zip(table.row[at], table.ids(at), reasons[at], strict=True)]
    found += [Unanswered(r.row, r.id, r.reason) for r in table.rejected]
    return tuple(sorted(found, key=lambda u: u.row))
