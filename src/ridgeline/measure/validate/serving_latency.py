"""Time to first token and time per output token of measured deployments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ridgeline.measure.truth.reader import Table
from ridgeline.measure.truth.serving_pools import protocol_of, run_of
from ridgeline.measure.validate.prediction import Advance, Interval, Predictions, each_row
from ridgeline.serving.latency import latency


def predict(table: Table, advance: Advance) -> Predictions:
    """Replay every row's protocol on its deployment."""
    return each_row(table, advance, _answer)


def _answer(row: dict[str, Any]) -> Mapping[str, Interval]:
    run, pools = run_of(row)
    found = latency(pools, protocol_of(run), concurrency=run.concurrency, prompt=run.prompt,
                    output=run.output, protocol_name=run.protocol,
                    speculation=run.recipe.speculation)
    return {"ttft": _around(found.ttft, found.ttft_spread),
            "tpot": _around(found.tpot, found.tpot_spread)}


def _around(value: float, spread: tuple[float, float, float, float]) -> Interval:
    low95, low80, high80, high95 = (value * math.exp(q) for q in spread)
    return Interval(value, low80, high80, low95, high95)
