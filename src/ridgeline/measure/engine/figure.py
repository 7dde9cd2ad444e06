"""What users waited, as a figure."""

from __future__ import annotations

from ridgeline.measure.engine.load import Outcome
from ridgeline.report.figure import Axis, Figure, Line

__all__ = ["percentiles_figure"]


def percentiles_figure(outcome: Outcome, title: str) -> Figure:
    """Percentiles of TTFT, TPOT and latency of the requests served."""
    import numpy as np

    points = np.concatenate([np.linspace(0, 90, 46), np.linspace(91, 100, 19)])
    served = [r for r in outcome.records if r.served]
    columns = {"TTFT": [r.ttft for r in served], "latency": [r.latency for r in served],
               "TPOT": [r.tpot for r in served if r.output_tokens > 1]}
    lines = tuple(Line(points.tolist(), np.percentile(values, points).tolist(), name)
                  for name, values in columns.items() if values)
    return Figure(f"{title}: what users waited",
                  x=Axis("share of requests [%]", "", low=0, high=100),
                  y=Axis("time", "s", log=True), series=lines)
