"""Measured runs of an engine under a trace, served again by the simulator.

Each request of the run arrives at its own time on the deployment of its row, and goes through the
engine's scheduler with the predicted step times: nothing of the measured times is used. Intervals
come from steps at the ends of theirs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput
from ridgeline.measure.truth.reader import Table
from ridgeline.measure.validate.prediction import Advance, Interval, Predictions, each_row

if TYPE_CHECKING:
    from ridgeline.serving.requests import Requests
    from ridgeline.serving.simulator import Run

_DEGREES = ("tp", "ep", "attention_dp", "max_num_seqs", "max_num_batched_tokens")


def predict(table: Table, advance: Advance) -> Predictions:
    """Serve every row's requests again."""
    return each_row(table, advance, _answer)


def _answer(row: dict[str, Any]) -> Mapping[str, Interval]:
    from ridgeline.measure.truth.replay_row import CLOCKS, requests_of, statistics
    from ridgeline.questions.simulation import Asked, prepare, run_requests

    if row["clock"] not in CLOCKS:
        raise BadInput(f"unknown clock {row['clock']!r}; accepted: {', '.join(CLOCKS)}")
    requests = requests_of(row["requests"])
    asked = Asked(rate=1.0)
    setup = prepare(_scenario(row, requests), asked, requests)
    setup = dataclasses.replace(setup, scheduler=dataclasses.replace(setup.scheduler, detail=True))
    runs = [run_requests(setup, asked, asked.seed, end) for end in (None, 0, 1)]
    if not runs[0].served.all():
        raise BadInput(f"{int((~runs[0].served).sum())} requests do not fit into the KV cache")
    found = []
    for run in runs:
        waited = waited_unseen(run) if row["clock"] == "engine" else -setup.outside
        found.append(statistics(run.ttft - waited, run.latency - waited, run.output))
    return {name: Interval(value, min(f[name] for f in found), max(f[name] for f in found))
            for name, value in found[0].items()}


def _scenario(row: dict[str, Any], requests: Requests) -> Any:
    from ridgeline.scenario import Scenario

    count = int(row["n_gpus"])
    given = {name: int(row[name]) for name in _DEGREES if row.get(name)}
    if row.get("max_model_len"):
        given["context"] = int(row["max_model_len"])
    return Scenario.from_fields({
        "model": row["model"], "machine": f"{count}x{row['gpu']}",
        "engine": row["engine"], "engine_version": row["engine_version"],
        "prompt": max(1, round(float(requests.prompt.mean()))),
        "output": max(1, round(float(requests.output.mean()))), **given})


def waited_unseen(run: Run) -> Any:
    """Time from each request's arrival until its scheduler takes notice, as a step ends [s].

    Args:
        run: with every step in its timeline (`Scheduler.detail`).
    """
    import numpy as np

    ends = run.timeline[:, 0]
    served = run.served
    arrival, start = run.arrival[served], run.start[served]
    place = np.minimum(np.searchsorted(ends, arrival, side="left"), len(ends) - 1)
    return np.clip(np.minimum(ends[place], start) - arrival, 0.0, None)
