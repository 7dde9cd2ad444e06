"""Figures of a simulation: how waits are distributed, and what the replica did over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ridgeline.report.figure import Axis, Figure, Line

if TYPE_CHECKING:
    from ridgeline.questions.simulation import Simulated

__all__ = ["timeline_figure", "waits_figure", "write_timeline"]

_POINTS = np.concatenate([np.linspace(0, 90, 91), np.linspace(90.5, 99.5, 19),
                          np.linspace(99.6, 100, 5)])


def waits_figure(done: Simulated) -> Figure:
    """Percentiles of TTFT, latency and queue wait of the first seed, on a logarithmic axis."""
    run, extra = done.runs[0], done.setup.outside
    lines = []
    for name, values in (("TTFT", run.ttft + extra), ("latency", run.latency + extra),
                         ("TPOT", run.tpot)):
        if len(values):
            lines.append(Line(_POINTS.tolist(), np.percentile(values, _POINTS).tolist(), name))
    scenario = done.setup.resolved.scenario
    return Figure(f"{scenario.model} on {scenario.machine}: what users wait",
                  x=Axis("share of requests [%]", "", low=0, high=100),
                  y=Axis("time", "s", log=True), series=tuple(lines))


def timeline_figure(done: Simulated) -> Figure:
    """Requests waiting and running over time, all replicas of the first seed."""
    run = done.runs[0]
    served = run.served
    times = np.linspace(0.0, max(run.makespan, 1e-9), 400)

    def count(events: np.ndarray) -> np.ndarray:
        return np.searchsorted(np.sort(events[served]), times, side="right")

    waiting = count(run.arrival) - count(run.start)
    running = count(run.start) - count(run.end)
    return Figure("Requests over time", x=Axis("time", "s"), y=Axis("requests"),
                  series=(Line(times.tolist(), running.tolist(), "running"),
                          Line(times.tolist(), waiting.tolist(), "waiting")))


def write_timeline(done: Simulated, path: str) -> Path:
    """Write the timeline: a trace for a viewer (.trace.json) or a figure (other endings).

    Raises:
        BadInput: an ending that is neither.
    """
    import json

    from ridgeline.files import write_atomically
    from ridgeline.report.plot import write_figure
    from ridgeline.serving.records import chrome_trace

    if path.lower().endswith(".trace.json"):
        return write_atomically(path, json.dumps(chrome_trace(done.runs[0])) + "\n")
    return write_figure(timeline_figure(done), path)
