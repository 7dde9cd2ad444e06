"""From benchmark runs and logs to rows of the truth tables that `validate` and `calibrate` read."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput
from ridgeline.files import write_atomically
from ridgeline.measure.engine.benchmark_files import BenchRun, StreamRun

if TYPE_CHECKING:
    from ridgeline.measure.engine.load import Outcome
    from ridgeline.measure.engine.startup_log import StartupLog
    from ridgeline.scenario import Scenario

__all__ = ["latency_row", "memory_rows", "own_run", "stream_row", "write_rows"]

GIB = 2.0**30
Row = dict[str, Any]
# Protocol of the truth tables whose closed loop is nearest to a load generator's.
_PROTOCOL = "inferencex"


def own_run(outcome: Outcome, settings: Mapping[str, Any]) -> BenchRun:
    """A run of ours in the common form.

    Raises:
        BadInput: no request was answered.
    """
    from ridgeline.measure.engine.result import summarise

    numbers = summarise(outcome)
    served = [r for r in outcome.records if r.served]
    if not served:
        raise BadInput("no request was answered: there is no row to write")
    kind, _, value = str(settings["protocol"]).partition(":")
    flight = float(value) if kind == "closed" else max(
        1.0, numbers["requests_per_s"] * numbers["latency_mean"])
    return BenchRun("ridgeline", str(settings.get("model") or ""), "",
                    sum(r.prompt_tokens for r in served) / len(served),
                    sum(r.output_tokens for r in served) / len(served), flight,
                    float(value) if kind == "rate" else None, numbers["ttft_mean"],
                    numbers["tpot_mean"], numbers["latency_mean"],
                    numbers["output_tokens_per_s"], numbers["requests_per_s"], len(served),
                    len(outcome.records) - len(served))


def write_rows(runs: Sequence[BenchRun | StreamRun | StartupLog], path: str | Path,
               scenario: Scenario | None) -> Path:
    """Write runs of one kind as a truth table.

    Args:
        runs: of load generators, of llama-bench, or start-up logs.
        path: the CSV file.
        scenario: the deployment the load generators' servers and the logs ran on.

    Raises:
        BadInput: several kinds at once, or a deployment that is not told.
    """
    kinds = {type(run) for run in runs}
    if len(kinds) != 1:
        raise BadInput("files of several kinds give tables of several kinds; read them apart")
    rows: list[Row] = []
    for run in runs:
        if isinstance(run, StreamRun):
            rows.append(stream_row(run, scenario))
        elif scenario is None:
            raise BadInput("these files do not say what the server ran on: give --on MACHINE (and "
                           "--tp, --weights, --engine where they differ from the defaults)")
        elif isinstance(run, BenchRun):
            rows.append(latency_row(run, scenario, len(rows)))
        else:
            rows.extend(memory_rows(run, scenario))
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return write_atomically(path, out.getvalue())


def latency_row(run: BenchRun, scenario: Scenario, number: int = 0) -> Row:
    """A row of a serving-latency table.

    Raises:
        BadInput: the run lacks a number the table needs, or the deployment breaks a rule.
    """
    from ridgeline.questions.resolve import resolve

    for name in ("prompt", "output", "concurrency", "ttft", "tpot"):
        if not getattr(run, name) > 0:
            raise BadInput(f"a run of {run.tool} does not say its {name}")
    resolved = resolve(scenario)
    plan, formats = resolved.deployment, resolved.formats
    chip = resolved.cluster.chip.name
    dense = formats.dense.name
    return {"id": f"{run.tool}-{number}-{run.date or 'undated'}", "protocol": _PROTOCOL,
            "silicon_data_source": f"{run.tool}; {run.completed} requests, {run.failed} failed",
            "backend": plan.engine, "backend_version": plan.engine_version,
            "model_path": scenario.model, "system": chip, "precision": dense, "mode": "agg",
            "isl": round(run.prompt), "osl": max(1, round(run.output)), "gemm_quant_mode": dense,
            "moe_quant_mode": formats.experts.name,
            "concurrency": max(1, round(run.concurrency)),
            "batch_size": max(1, math.ceil(run.concurrency / (plan.dp * plan.attention_dp))),
            "tp_size": plan.tp, "pp_size": plan.pp, "attention_dp_size": plan.attention_dp,
            "moe_tp_size": plan.expert_tp, "moe_ep_size": plan.ep,
            "silicon_ttft_ms": 1e3 * run.ttft, "silicon_tpot_ms": 1e3 * run.tpot}


def stream_row(run: StreamRun, scenario: Scenario | None = None) -> Row:
    """A row of a single-stream table; a scenario's machine and model name win over the file's."""
    from ridgeline.machine.parse import parse_machine

    device = parse_machine(scenario.machine).chip.name if scenario else run.device
    threads = f", {run.threads} threads" if run.backend == "CPU" and run.threads else ""
    prompt_only = run.output == 0
    return {"source": "llama-bench", "date": run.date, "device": device, "n_devices": 1,
            "engine": "llama.cpp", "engine_version": run.build,
            "backend": f"{run.backend}{threads}",
            "model": scenario.model if scenario else run.model, "quant": run.quant,
            "model_size_gib": run.file_bytes / GIB, "prompt_tokens": run.prompt or "",
            "gen_tokens": run.output or "", "context_depth_tokens": run.depth or "",
            "prompt_tokens_per_s": run.rate if prompt_only else "",
            "gen_tokens_per_s": "" if prompt_only else run.rate,
            "notes": "fa1" if run.flash_attention else "", "device_class": ""}


def memory_rows(log: StartupLog, scenario: Scenario) -> list[Row]:
    """Rows of a memory table: weights and cache of one device."""
    from ridgeline.questions.resolve import resolve

    resolved = resolve(scenario)
    plan = resolved.deployment
    limits = {"tp": plan.tp, "pp": plan.pp, "seqs": plan.max_num_seqs or log.max_num_seqs,
              "budget": plan.max_num_batched_tokens or log.max_num_batched_tokens,
              "context": log.context, "version": log.version,
              "fraction": plan.memory_fraction or _known(log.memory_fraction)}
    config = " ".join(f"{k}={v}" for k, v in limits.items() if v)
    base = {"source": "vLLM start-up log", "gpu": resolved.cluster.chip.name,
            "n_gpus": plan.chips_per_replica, "framework": "vllm", "model": scenario.model,
            "phase": "startup", "quantity": "", "weight_dtype": resolved.formats.dense.name,
            "batch_seqs": "", "seq_len_tokens": log.context or "", "config": config,
            "value_gib": math.nan, "unit_as_reported": "GiB"}
    found = {"weights": log.weights, "KV cache": log.kv_pool}
    return [{**base, "quantity": name, "value_gib": value / GIB}
            for name, value in found.items() if value == value]


def _known(value: float) -> float | None:
    return value if value == value else None
