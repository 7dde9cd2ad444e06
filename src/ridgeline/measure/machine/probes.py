"""The probes: read, copy, multiply and launch with NumPy, on one or several threads."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from ridgeline.measure.machine.clock import Timing, timed
from ridgeline.measure.machine.points import Point

__all__ = ["Job", "clock_of", "point_of", "probe_numpy"]


class Job(NamedTuple):
    """One thing to measure; see `points.Point` for the fields."""

    kind: str
    format: str
    size: float
    threads: int = 1
    rows: int = 0
    depth: int = 0


def probe_numpy(job: Job, budget: float) -> Point:
    """Measure one job with NumPy.

    Threads of a read or copy each have their own share of the working set; of a matmul they are
    the BLAS library's own, set by the environment of this process.

    Args:
        job: what to measure.
        budget: seconds to spend, about.
    """
    kind, format, size, threads = job[:4]
    make = {"read": _read, "copy": _copy, "matmul": _matmul, "matvec": _matvec,
            "launch": _launch}[kind]
    work, amount = make(format, size, threads)
    taken = timed(work, budget=budget, clock=clock_of(job))
    if kind == "read" and size <= _SMALL:
        taken = _without_call(taken, budget)
    return point_of(job, amount, taken)


def clock_of(job: Job) -> Callable[[], float]:
    """One thread is timed by its processor time, which other programs do not stretch."""
    return time.thread_time if job.threads == 1 else time.perf_counter


def point_of(job: Job, amount: float, taken: Timing, library: str = "") -> Point:
    """The record of a timing. An amount below zero is how many calls a time is of; no amount is
    one call.
    """
    if amount > 0:
        best, median = amount / taken.best, amount / taken.median
    else:
        best, median = (time / max(1.0, -amount) for time in (taken.best, taken.median))
    return Point(job.kind, job.format, job.size, job.threads, best, median, taken.noise,
                 taken.samples, job.rows, job.depth, library)


_SMALL = 2.0**20   # below this the call itself is a visible share of a read [bytes]


def _without_call(taken: Timing, budget: float) -> Timing:
    """A timing less the time of the same call on next to nothing."""
    work, _ = _read("fp32", 128.0, 1)
    empty = timed(work, budget=budget / 4, clock=time.thread_time).best
    floor = 0.05 * taken.best
    return Timing(max(taken.best - empty, floor), max(taken.median - empty, floor),
                  max(taken.slow - empty, floor), taken.samples)


def _shares(size: float, threads: int, arrays: int) -> list[tuple[Any, ...]]:
    """Arrays of float32 that fill a working set, one tuple a thread."""
    import numpy as np

    count = max(16, int(size / (4 * arrays * threads)))
    return [tuple(np.full(count, 1.0 + i, np.float32) for i in range(arrays))
            for _ in range(threads)]


def _together(calls: Sequence[Callable[[], object]]) -> Callable[[], object]:
    """One call that runs all of them at once, one a thread."""
    if len(calls) == 1:
        return calls[0]
    pool = ThreadPoolExecutor(len(calls))
    return lambda: [future.result() for future in [pool.submit(call) for call in calls]]


def _read(format: str, size: float, threads: int) -> tuple[Callable[[], object], float]:
    """Scalar products: every byte of two arrays is read once and nothing written."""
    import numpy as np

    shares = _shares(size, threads, 2)
    calls = [functools.partial(np.dot, a, b) for a, b in shares]
    return _together(calls), float(sum(a.nbytes + b.nbytes for a, b in shares))


def _copy(format: str, size: float, threads: int) -> tuple[Callable[[], object], float]:
    """Copies: as many bytes read as written; both count."""
    import numpy as np

    shares = _shares(size, threads, 2)
    calls = [functools.partial(np.copyto, b, a) for a, b in shares]
    return _together(calls), float(sum(a.nbytes + b.nbytes for a, b in shares))


def _square(format: str, edge: int, columns: int) -> Any:
    import numpy as np

    random = np.random.default_rng(edge)
    return random.standard_normal((edge, columns)).astype(
        {"fp32": np.float32, "fp64": np.float64}[format])


def _matmul(format: str, size: float, threads: int) -> tuple[Callable[[], object], float]:
    """Square matrices of `size` rows; the result goes to memory that is there already."""
    import numpy as np

    edge = int(size)
    left, right = _square(format, edge, edge), _square(format, edge, edge)
    out = np.empty_like(left)
    return lambda: np.matmul(left, right, out=out), 2.0 * edge**3


def _matvec(format: str, size: float, threads: int) -> tuple[Callable[[], object], float]:
    """A matrix of `size` bytes times a vector, as one token's decode step does."""
    import numpy as np

    edge = max(16, int((size / 4) ** 0.5))
    matrix, vector = _square("fp32", edge, edge), _square("fp32", edge, 1)[:, 0]
    out = np.empty(edge, np.float32)
    return lambda: np.dot(matrix, vector, out=out), float(matrix.nbytes)


def _launch(format: str, size: float, threads: int) -> tuple[Callable[[], object], float]:
    """An operation on one number: all of its time is the call."""
    import numpy as np

    one, out = np.ones(1, np.float32), np.empty(1, np.float32)
    return lambda: np.add(one, one, out=out), 0.0
