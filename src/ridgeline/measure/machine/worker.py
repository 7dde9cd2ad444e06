"""A process that measures jobs one by one and prints each point as a line of JSON.

Thread counts of BLAS libraries are fixed when they load, so every thread count of a sweep gets a
process of its own, with the environment set before. Reads the jobs from standard input.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from ridgeline.measure.machine.points import Point
from ridgeline.measure.machine.probes import Job, probe_numpy

__all__ = ["main"]


def main() -> None:
    """Measure what standard input asks for."""
    asked: dict[str, Any] = json.load(sys.stdin)
    for fields in asked["jobs"]:
        job = Job(*fields)
        try:
            points = _measure(asked, job)
        except (RuntimeError, MemoryError, ValueError) as error:
            print(json.dumps({"failed": f"{' '.join(map(str, job))}: {error}"}), flush=True)
            continue
        for point in points:
            print(json.dumps(dataclasses.asdict(point)), flush=True)


def _measure(asked: dict[str, Any], job: Job) -> list[Point]:
    budget, library = asked["budget"], asked["library"]
    if library == "ggml":
        from ridgeline.measure.machine.engine_probes import probe_costs
        from ridgeline.measure.machine.ggml_probes import probe_ggml

        return probe_costs(job, budget) if job.kind == "cost" else [probe_ggml(job, budget)]
    if library == "torch":
        from ridgeline.measure.machine.torch_probes import probe_torch

        return [probe_torch(job, budget, asked["device"], bool(asked.get("kernels")))]
    return [probe_numpy(job, budget)]


if __name__ == "__main__":
    main()
