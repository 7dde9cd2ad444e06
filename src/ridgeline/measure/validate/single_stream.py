"""Single-stream tables: one user's prompt and generation rates, row by row."""

from __future__ import annotations

from typing import Any

from ridgeline.measure.truth.reader import Table
from ridgeline.measure.truth.stream_row import read_stream_row
from ridgeline.measure.validate.prediction import Advance, Interval, Predictions, each_row
from ridgeline.timing.single_stream import Timed, timed


def predict(table: Table, advance: Advance) -> Predictions:
    """Both rates of every row, or the reason why not."""
    return each_row(table, advance, rates_of)


def rates_of(row: dict[str, Any]) -> dict[str, Interval]:
    """The rates that a row measured, with their intervals.

    Raises:
        BadInput: the row's device, model or split is not known.
    """
    case = read_stream_row(row)
    found = {}
    if row.get("gen_tokens_per_s") is not None or not row.get("prompt_tokens_per_s"):
        found["gen_tps"] = _interval(timed(case, "generation"), case.batch)
    if case.prompt_tokens > 0:
        found["prompt_tps"] = _interval(timed(case, "prompt"), case.prompt_tokens * case.batch)
    return found


def _interval(time: Timed, tokens: float) -> Interval:
    """A slow end of time is the low end of the rate; nothing is above the floor's rate."""
    fastest, fast, slow, slowest = (
        min(tokens / (time.seconds * factor), tokens / time.floor) for factor in time.ends)
    return Interval(min(tokens / time.seconds, tokens / time.floor), slow, fast, slowest, fastest)
