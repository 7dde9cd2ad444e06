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
    for kind, format, size, threads in asked["jobs"]:
        try:
            point = _measure(asked, (kind, format, float(size), int(threads)))
        except (RuntimeError, MemoryError, ValueError) as error:
            print(json.dumps({"failed": f"{kind} {format} {size:g}: {error}"}), flush=True)
            continue
        print(json.dumps(dataclasses.asdict(point)), flush=True)


def _measure(asked: dict[str, Any], job: Job) -> Point:
    if asked["library"] == "torch":
        from ridgeline.measure.machine.torch_probes import probe_torch

        return probe_torch(job, asked["budget"], asked["device"])
    return probe_numpy(job, asked["budget"])


if __name__ == "__main__":
    main()
