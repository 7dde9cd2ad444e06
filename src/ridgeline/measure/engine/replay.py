"""A real engine's scheduler beside our simulator: the same requests, limits and step times.

A record holds the model's config, the engine's limits, steps measured for calibration and runs:
each a list of requests (arrival, prompt, output) with what the engine did with them. Times are at
the machine's usual speed, which a fixed piece of work beside every step tells. Records are made by
`python -m benchmarks._vllm_engine`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ridgeline.deployment.operands import Format
from ridgeline.errors import BadInput
from ridgeline.measure.engine.local_steps import LocalSteps, Sample, fit_steps
from ridgeline.serving.requests import Requests
from ridgeline.serving.scheduler import Scheduler, named_scheduler
from ridgeline.serving.simulator import simulate_replica

if TYPE_CHECKING:
    from ridgeline.model.architecture import Architecture

__all__ = ["Replayed", "calibrated", "read_record", "replay", "replay_scheduled"]

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Replayed:
    """One run, engine and simulator.

    Attributes:
        name: of the run.
        requests: how many.
        measured, simulated: `tpot_mean`, `ttft_p50`, `ttft_p99`, `wall` [s] and `preemptions`.
    """

    name: str
    requests: int
    measured: Mapping[str, float]
    simulated: Mapping[str, float]

    def error(self, metric: str) -> float:
        """Simulated over measured, less one."""
        return self.simulated[metric] / self.measured[metric] - 1.0


def read_record(path: str | Path) -> dict[str, Any]:
    """A record from its file.

    Raises:
        BadInput: unreadable, or no such record.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot read the record {path}: {error}") from None
    if not isinstance(data, dict) or not {"config", "limits", "engines"} <= set(data):
        raise BadInput(f"{path} holds no record of an engine's runs")
    return data


def calibrated(record: Record, engine: Record) -> LocalSteps:
    """Step times fitted to the steps that an engine of the record was measured with alone."""
    architecture = _architecture(record)
    chunk = record["limits"]["max_num_batched_tokens"]
    samples = [Sample.of_prompt(architecture, n, s, chunk=chunk) for n, s in engine["prompts"]]
    samples += [Sample.of_decode(architecture, b, c, s) for b, c, s in engine["decodes"]]
    return fit_steps(samples, Format("bf16", 2.0, "bf16"))


def replay(record: Record) -> list[Replayed]:
    """Every run of a record through the simulator, calibrated on the record's own steps.

    Raises:
        BadInput: a record whose first engine has no measured steps.
    """
    found = []
    steps: LocalSteps | None = None
    architecture = _architecture(record)
    for engine in record["engines"]:
        steps = calibrated(record, engine) if engine["prompts"] else steps
        if steps is None:
            raise BadInput("the record's first engine has no measured steps")
        limits = {**record["limits"], **engine["limits"]}
        rules = named_scheduler("vllm", Scheduler(
            limits["max_num_batched_tokens"], limits["max_num_seqs"],
            _usable(engine), engine["facts"]["block_size"]))
        for run in engine["runs"]:
            table = steps.table(
                architecture, max_tokens=limits["max_num_batched_tokens"],
                max_sequences=limits["max_num_seqs"], max_context=limits["max_model_len"])
            found.append(_one(run, table, rules))
    return found


def replay_scheduled(record: Record) -> list[Replayed]:
    """The runs that the real scheduler served on the clock of the fitted steps themselves.

    Engine and simulator then take equally long for equal steps, so that all that differs between
    them is who is scheduled when.
    """
    found, architecture, limits = [], _architecture(record), record["limits"]
    for engine, done in zip(record["engines"], record["scheduled"], strict=True):
        table = calibrated(record, engine).table(
            architecture, max_tokens=limits["max_num_batched_tokens"],
            max_sequences=limits["max_num_seqs"], max_context=limits["max_model_len"])
        rules = named_scheduler("vllm", Scheduler(
            limits["max_num_batched_tokens"], limits["max_num_seqs"], _usable(done),
            done["facts"]["block_size"]))
        found += [_one({**asked, **run}, table, rules)
                  for asked, run in zip(engine["runs"], done["runs"], strict=True)]
    return found


def _usable(engine: Record) -> int:
    """KV blocks for requests: vLLM keeps one of its blocks as the empty one."""
    return int(engine["facts"]["kv_blocks"]) - 1


def _architecture(record: Record) -> Architecture:
    from ridgeline.model.huggingface import architecture_from_config

    return architecture_from_config(record["config"], name="random")


def _one(run: Record, table: Any, rules: Scheduler) -> Replayed:
    arrival, prompt, output = (np.array(column) for column in zip(*run["requests"], strict=True))
    requests = Requests(arrival.astype(float), prompt.astype(np.int64), output.astype(np.int64))
    done = simulate_replica(table, requests, rules, concurrency=run["concurrency"] or None)
    times = np.array(run["times"])
    return Replayed(run["name"], len(arrival),
                    _numbers(times[:, 0], times[:, 1], times[:, 2], output, run["preemptions"]),
                    _numbers(done.arrival, done.first, done.end, output, done.preemptions))


def _numbers(arrival: Any, first: Any, end: Any, output: Any, preemptions: float
             ) -> dict[str, float]:
    ttft = first - arrival
    several = output > 1
    return {"tpot_mean": float(np.mean((end - first)[several] / (output[several] - 1))),
            "ttft_p50": float(np.percentile(ttft, 50)), "ttft_p99": float(np.percentile(ttft, 99)),
            "wall": float(end.max() - arrival.min()), "preemptions": float(preemptions)}
