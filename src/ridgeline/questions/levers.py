"""What would help: the scenario asked again with one thing changed, ranked by measured gain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ridgeline.errors import RidgelineError
from ridgeline.questions.answer import Table, levers_table
from ridgeline.questions.performance import (
    Performance,
    calibrated_performance,
    ideal_performance,
)
from ridgeline.questions.resolve import Resolved, resolve

__all__ = ["levers"]

# Gains below this are noise, not advice.
_WORTH = 1.02


def levers(resolved: Resolved, *, ideal: bool = False) -> Table:
    """Try each change by itself and keep those that gain.

    Returns:
        table "levers": change, gain as a factor on the metric named, and what it costs.
    """
    perform = ideal_performance if ideal else calibrated_performance
    now = perform(resolved)
    rows: list[tuple[str, float, str]] = []
    for name, fields, price in _changes(resolved):
        try:
            then = perform(resolve(resolved.scenario.replace(**fields)))
        except RidgelineError:
            continue
        metric, gain = _gain(now, then)
        if gain >= _WORTH:
            rows.append((f"{name}: {gain:.2f}x {metric}", gain, price))
    return levers_table(rows)


def _gain(now: Performance, then: Performance) -> tuple[str, float]:
    """The metric that gains most, and by what factor."""
    gains = {"prefill speed": now.ttft / then.ttft}
    if now.tpot:
        gains |= {"decode speed": now.tpot / then.tpot,
                  "throughput": then.output_tokens_per_s / now.output_tokens_per_s}
    best = max(gains, key=lambda name: gains[name])
    return best, gains[best]


def _changes(resolved: Resolved) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(what, changed fields, what it costs) of every change worth a try."""
    chip, work = resolved.cluster.chip, resolved.scenario.workload
    formats = resolved.formats
    if formats.dense.bytes > 1.01:
        name = "fp8" if "fp8" in chip.peaks else "int8"
        yield f"{name} weights", {"weights": name}, "quantise and check quality"
    if formats.dense.bytes > 0.6:
        name = "nvfp4" if "fp4" in chip.peaks else "int4_g128"
        yield f"{name} weights", {"weights": name}, "quantise and check quality"
    if formats.kv.bytes > 1.01:
        yield "fp8 KV cache", {"kv": "fp8"}, "check quality at long context"
    plan = resolved.deployment
    for factor in (2, 4):
        yield (f"concurrency x{factor}", {"concurrency": work.concurrency * factor},
               "slower for each user")
    doubled = plan.tp * 2
    if plan.dp % 2 == 0:
        yield f"tp={doubled}", {"tp": doubled, "dp": plan.dp // 2}, "fewer replicas"
    if plan.tp % 2 == 0:
        yield (f"tp={plan.tp // 2}, two replicas each half as wide",
               {"tp": plan.tp // 2, "dp": plan.dp * 2}, "slower single stream")
