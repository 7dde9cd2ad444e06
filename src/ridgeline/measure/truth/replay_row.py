"""A measured run of an engine under a trace, as one row of a `serving_replay` table.

A row has the deployment, every request (milliseconds of arrival, prompt and output tokens,
"0 2358 531;285 1034 769;..."), and means and 90th percentiles of what was measured. `clock` says
how: "engine" from the moment the scheduler has a request to the step that makes its token,
"client" from sending it to seeing the token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ridgeline.errors import BadInput
from ridgeline.serving.requests import Requests

__all__ = ["CLOCKS", "replay_row", "requests_of", "statistics"]

CLOCKS = ("engine", "client")


def statistics(ttft: Any, latency: Any, output: Any) -> dict[str, float]:
    """Means and 90th percentiles of requests, by metric [s].

    >>> statistics(np.array([1.0]), np.array([3.0]), np.array([5]))["tpot_mean"]
    0.5
    """
    tpot = ((latency - ttft) / np.maximum(output - 1, 1))[output > 1]
    found = {}
    for name, values in (("ttft", ttft), ("tpot", tpot), ("latency", latency)):
        found[f"{name}_mean"] = float(np.mean(values)) if len(values) else float("nan")
        found[f"{name}_p90"] = float(np.percentile(values, 90)) if len(values) else float("nan")
    return found


def replay_row(run: str, requests: Requests, ttft: Any, latency: Any,
               deployment: Mapping[str, Any], clock: str = "engine") -> dict[str, Any]:
    """The row of a run.

    Args:
        run: its name.
        requests: what was sent, arrivals to the millisecond.
        ttft, latency: of each request [s].
        deployment: the other columns of the table (gpu, n_gpus, engine, ...).
        clock: how times were taken.

    Raises:
        BadInput: an unknown clock, or times for another number of requests.
    """
    if clock not in CLOCKS:
        raise BadInput(f"the clock of a run is one of {', '.join(CLOCKS)}, not {clock!r}")
    if not len(requests) == len(ttft) == len(latency):
        raise BadInput(f"{len(requests)} requests, {len(ttft)} times to the first token and "
                       f"{len(latency)} latencies")
    text = ";".join(f"{round(a * 1e3)} {p} {o}" for a, p, o in zip(
        requests.arrival.tolist(), requests.prompt.tolist(), requests.output.tolist(),
        strict=True))
    found = statistics(np.asarray(ttft, float), np.asarray(latency, float), requests.output)
    return {"run": run, **deployment, "clock": clock, "requests": text,
            **{f"{name}_s": round(value, 6) for name, value in found.items()}}


def requests_of(text: str) -> Requests:
    """The requests of a row.

    Raises:
        BadInput: it cannot be read as three numbers a request.

    >>> requests_of("0 2358 531;285 1034 769").arrival.tolist()
    [0.0, 0.285]
    """
    try:
        rows = np.array([[int(part) for part in row.split()] for row in text.split(";")])
        arrival, prompt, output = rows.T
    except ValueError:
        raise BadInput("the requests of a replay must be 'MS PROMPT OUTPUT;...', not "
                       f"{text[:40]!r}") from None
    return Requests(arrival / 1e3, prompt.astype(np.int64), output.astype(np.int64))
