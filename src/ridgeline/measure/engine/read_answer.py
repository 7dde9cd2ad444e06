"""What benchmark files and logs say, as an Answer; a log's memory beside the predicted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ridgeline.measure.engine.benchmark_files import BenchRun, StreamRun
from ridgeline.measure.engine.startup_log import StartupLog
from ridgeline.quantity import Quantity
from ridgeline.questions.answer import Answer, Table

if TYPE_CHECKING:
    from ridgeline.scenario import Scenario

__all__ = ["predicted_memory", "read_answer"]

Runs = Sequence[BenchRun | StreamRun | StartupLog]


def read_answer(runs: Runs, files: Sequence[str], scenario: Scenario | None = None) -> Answer:
    """Tables of what was read.

    Args:
        runs: from `read.read_files`.
        files: their names.
        scenario: the deployment; a log's weights and cache are compared with its prediction.

    Raises:
        BadInput: as `resolve`, for a deployment that cannot be.
    """
    bench = [r for r in runs if isinstance(r, BenchRun)]
    streams = [r for r in runs if isinstance(r, StreamRun)]
    logs = [r for r in runs if isinstance(r, StartupLog)]
    tables = [t for t in (_bench_table(bench), _stream_table(streams), _log_table(logs),
                          _memory_table(logs, scenario)) if t.rows]
    values: dict[str, Any] = {"bound": ", ".join(files), "runs": len(runs)}
    notes = []
    if bench and any(r.rate is not None for r in bench):
        notes.append("Requests in flight of an open load: arrivals a second times mean latency.")
    return Answer("measure read", {"files": list(files),
                                   **(scenario.to_dict() if scenario else {})},
                  values, tables=tuple(tables), notes=tuple(notes))


def _q(value: float, unit: str) -> Quantity | None:
    return Quantity.exact(value, unit, "measured") if math.isfinite(value) else None


def _bench_table(runs: Sequence[BenchRun]) -> Table:
    rows = [(r.tool, r.model[-28:], round(r.prompt) if r.prompt == r.prompt else None,
             round(r.output) if r.output == r.output else None,
             round(r.concurrency, 1) if r.concurrency == r.concurrency else None,
             _q(r.ttft, "s"), _q(r.tpot, "s"), _q(r.output_tokens_per_s, "token/s"), r.failed)
            for r in runs]
    return Table.of("runs", {"tool": "1", "model": "1", "prompt": "1", "output": "1",
                             "in_flight": "1", "ttft": "s", "tpot": "s",
                             "output_rate": "token/s", "failed": "1"}, rows,
                    title="Load generators")


def _stream_table(runs: Sequence[StreamRun]) -> Table:
    rows = [(r.model, r.quant, r.device[-24:], r.backend, r.prompt, r.output, r.depth,
             _q(r.rate, "token/s")) for r in runs]
    return Table.of("streams", {"model": "1", "quant": "1", "device": "1", "backend": "1",
                                "prompt": "1", "output": "1", "depth": "1", "rate": "token/s"},
                    rows, title="llama-bench")


def _log_table(logs: Sequence[StartupLog]) -> Table:
    rows = [(log.model[-28:], log.version, log.tp, _q(log.weights, "B"), _q(log.kv_pool, "B"),
             log.kv_tokens or None, log.kv_blocks or None) for log in logs]
    return Table.of("logs", {"model": "1", "version": "1", "tp": "1", "weights": "B",
                             "kv_pool": "B", "kv_tokens": "1", "kv_blocks": "1"}, rows,
                    title="Start-up logs, one device")


def predicted_memory(log: StartupLog, scenario: Scenario) -> dict[str, tuple[Quantity, float]]:
    """Predicted and logged, by item: weights and KV memory [bytes], KV capacity [tokens]."""
    from ridgeline.questions.performance import deployed_of
    from ridgeline.questions.resolve import resolve

    plan = scenario.deployment
    logged_limits = {"max_num_seqs": log.max_num_seqs, "engine_version": log.version,
                     "max_num_batched_tokens": log.max_num_batched_tokens}
    fields: dict[str, Any] = {name: seen for name, seen in logged_limits.items()
                              if seen and not getattr(plan, name)}
    if plan.memory_fraction is None and log.memory_fraction == log.memory_fraction:
        fields["memory_fraction"] = log.memory_fraction
    if log.tp > 1 and plan.tp in (0, 1):
        fields["tp"] = log.tp
    if log.context and not scenario.workload.context:
        fields["context"] = log.context
    foot = deployed_of(resolve(scenario.replace(**fields))).footprint
    pool = foot.kv_pool_quantity
    capacity = foot.kv_capacity_tokens(float(log.context or 4096))
    share = capacity / pool.value if pool.value > 0 else 0.0
    tokens = Quantity(capacity, max(0.0, pool.low) * share, max(0.0, pool.high) * share, "token",
                      "calibrated")
    logged = {"weights": (Quantity.exact(foot.weights, "B", "derived"), log.weights),
              "KV memory": (pool, log.kv_pool), "KV capacity": (tokens, float(log.kv_tokens))}
    return {name: pair for name, pair in logged.items() if pair[1] > 0}


def _memory_table(logs: Sequence[StartupLog], scenario: Scenario | None) -> Table:
    rows = []
    for log in logs if scenario else ():
        assert scenario is not None
        for name, (predicted, seen) in predicted_memory(log, scenario).items():
            rows.append((name, predicted, Quantity.exact(seen, predicted.unit, "measured"),
                         100 * (predicted.value / seen - 1), predicted.low <= seen
                         <= predicted.high))
    return Table.of("memory", {"item": "1", "predicted": "1", "logged": "1", "error": "%",
                               "inside_80_pct": "1"}, rows, title="Memory predicted beside logged")
