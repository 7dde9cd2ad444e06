"""Serving-throughput tables: rates of whole systems, row by row.

A wave of requests (`timing.throughput`) gives the output rate; total tokens, requests and, for
static batches, the latency of the batch follow from it. Latencies under a load that the row does
not state are not predicted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ridgeline.measure.truth.reader import Table
from ridgeline.measure.truth.throughput_row import read_throughput_row
from ridgeline.measure.validate.prediction import Advance, Interval, Predictions, each_row
from ridgeline.timing.throughput import LoadCase, WaveTime, wave_time


def predict(table: Table, advance: Advance) -> Predictions:
    """Every rate of every row that its load determines, or the reason why not."""
    return each_row(table, advance, rates_of)


def rates_of(row: dict[str, Any]) -> dict[str, Interval]:
    """The rates a row measured, with their intervals.

    Raises:
        BadInput: the row's device, model, lengths or batch are not known.
    """
    case = read_throughput_row(row)
    time = wave_time(case)
    requests = case.replicas * case.batch
    found = {"output_tokens_per_s": _rate(time, time.tokens),
             "total_tokens_per_s": _rate(time, requests * (case.prompt + case.output)),
             "requests_per_s": _rate(time, requests)}
    if case.mode in ("static", "singlestream"):
        found["e2e_latency"] = _seconds(time)
        found.update(_latencies(case, time))
    return found


def _latencies(case: LoadCase, time: WaveTime) -> dict[str, Interval]:
    """First token and time of each further one, of a batch that starts together."""
    first = wave_time(replace(case, output=1.0))
    found = {"ttft": _seconds(first)}
    if case.output > 1:
        steps = case.output - 1
        rest = replace(time, seconds=max(time.seconds - first.seconds, 0.0) / steps,
                       floor=max(time.floor - first.floor, 0.0) / steps)
        found["tpot"] = _seconds(rest)
    return found


def _rate(time: WaveTime, amount: float) -> Interval:
    """A slow end of time is the low end of a rate; nothing is above the floor's rate."""
    top = amount / time.floor
    fastest, fast, slow, slowest = (min(amount / (time.seconds * f), top) for f in time.ends)
    return Interval(min(amount / time.seconds, top), slow, fast, slowest, fastest)


def _seconds(time: WaveTime) -> Interval:
    fastest, fast, slow, slowest = (max(time.seconds * f, time.floor) for f in time.ends)
    return Interval(max(time.seconds, time.floor), fast, slow, fastest, slowest)
