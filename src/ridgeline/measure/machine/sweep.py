"""Plan and run the measurement of a machine; what was measured survives an interruption."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ridgeline.errors import BadInput, RidgelineError
from ridgeline.measure.machine.points import Host, Machine, Point
from ridgeline.measure.machine.probes import Job

__all__ = ["Batch", "measure_machine", "plan_cpu", "plan_cuda", "plan_kernels",
           "thread_counts"]

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
                     "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS")
_MIB = 2.0**20
_SHARE = 0.6      # of a probe's time for each of the many points of an engine's kernels
Say = Callable[[Point], None]


@dataclass(frozen=True)
class Batch:
    """Jobs of one process.

    Attributes:
        library: that runs them: "numpy", "torch" or "ggml".
        threads: it is given.
        jobs: what to measure.
        kernels: the jobs are of an engine's kernels, not of the machine's ceilings.
    """

    library: str
    threads: int
    jobs: tuple[Job, ...]
    kernels: bool = False


def thread_counts(most: int) -> list[int]:
    """1, 2, 4, ... and `most` itself.

    >>> thread_counts(6)
    [1, 2, 4, 6]
    """
    counts = [1]
    while counts[-1] * 2 < most:
        counts.append(counts[-1] * 2)
    return counts if most == 1 else [*counts, most]


def plan_cpu(host: Host, *, threads: int, formats: Sequence[str] = (), quick: bool = False
             ) -> list[Batch]:
    """What to measure on a processor.

    Args:
        host: its caches decide how far the working sets reach.
        threads: the most to use.
        formats: matmul formats that PyTorch adds ("bf16", ...), where it is installed.
        quick: fewer sizes.
    """
    far = _beyond_caches(host)
    step = 2 if quick else 1
    sizes = [16.0 * 1024 * 2**i for i in range(0, 40, step) if 16.0 * 1024 * 2**i < far] + [far]
    edges = (256, 1024) if quick else (64, 128, 256, 512, 1024, 2048)
    wide = ("bf16",) if quick else tuple(formats)
    batches = []
    for count in thread_counts(threads):
        jobs: list[Job] = []
        if count == 1:
            jobs += [Job("launch", "fp32", 0.0), *(Job("read", "fp32", s) for s in sizes)]
            jobs += [Job("matmul", "fp32", float(e)) for e in edges]
            if not quick:
                jobs += [Job("matmul", "fp64", 1024.0), Job("matvec", "fp32", far)]
        else:
            jobs += [Job("read", "fp32", far, count),
                     Job("matmul", "fp32", float(edges[-1]), count)]
        jobs.append(Job("copy", "fp32", far, count))
        batches.append(Batch("numpy", count, tuple(jobs)))
        extra = [f for f in formats if f in wide and f != "fp32"]
        if extra:
            batches.append(Batch("torch", count, tuple(
                Job("matmul", f, float(e), count) for f in extra for e in edges[-2:])))
    return batches


def plan_kernels(host: Host, library: str, formats: Sequence[str], *, threads: int,
                 quick: bool = False, costs: bool = True) -> Batch:
    """An engine's own kernels: products by format, rows, depth and working set, and attention.

    Args:
        host: its last cache decides the working sets.
        library: "ggml" or "torch".
        formats: of the weights.
        threads: of the engine.
        quick: fewer of everything.
        costs: measure the engine's own costs too.
    """
    cache = max(host.caches.values(), default=32 * _MIB)
    rows = (1, 2, 4, 5, 8, 32) if quick else (1, 2, 3, 4, 5, 8, 16, 32, 128)
    depths = (512, 2048) if quick else (512, 1024, 2048, 4096)
    sets = [cache * share for share in ((0.25, 4) if quick else (0.25, 0.5, 1, 2, 4))]
    jobs = [Job("launch", formats[0], 0.0, threads), Job("move", "fp32", 0.0, threads, 256, 1024)]
    for format in formats:
        # From so many rows on, arithmetic takes so long that fewer weights will do.
        jobs += [Job("product", format, sets[0] / (1 if n < 16 else 8), threads, n, depth)
                 for depth in depths for n in rows]
        jobs += [Job("product", format, size, threads, n, depths[1 - quick])
                 for size in sets[1:] for n in (1, 2, 4, 8)]
    tokens = (32, 256, 1024) if quick else (16, 64, 256, 512, 1024, 4096)
    jobs += [Job("attend", phase, float(n), threads, 1, width) for phase in ("decode", "prefill")
             for width in ((64,) if quick else (64, 128)) for n in tokens
             if phase == "decode" or n <= 1024]
    if costs:
        jobs.append(Job("cost", "engine", 0.0, threads))
    return Batch(library, threads, tuple(jobs), kernels=True)


def plan_cuda(host: Host, formats: Sequence[str], quick: bool = False) -> list[Batch]:
    """What to measure on an accelerator, all through PyTorch."""
    far = min(max(16 * host.caches.get("L2", 64 * _MIB), 1024 * _MIB), host.memory_bytes / 8)
    step = 4 if quick else 2
    sizes = [_MIB * 2**i for i in range(0, 40, step) if _MIB * 2**i < far] + [far]
    edges = (1024, 4096) if quick else (256, 512, 1024, 2048, 4096, 8192)
    jobs = [Job("launch", "fp32", 0.0)]
    jobs += [Job(kind, "fp32", s) for kind in ("read", "copy") for s in sizes]
    jobs += [Job("matmul", f, float(e)) for f in formats for e in edges]
    return [Batch("torch", 1, tuple(jobs))]


def _beyond_caches(host: Host) -> float:
    """A working set that no cache holds: 8 times the last level, within an eighth of memory."""
    last = max(host.caches.values(), default=32 * _MIB)
    return min(max(8 * last, 128 * _MIB), max(host.memory_bytes / 8, 16 * _MIB), 2048 * _MIB)


def measure_machine(host: Host, batches: Sequence[Batch], *, budget: float = 0.15,
                    say: Say = lambda point: None, python: str = sys.executable) -> Machine:
    """Run the batches one process after another.

    Args:
        host: where.
        batches: what.
        budget: seconds for each job, about.
        say: told every point as it is measured.
        python: interpreter of the workers, which has the libraries measured.

    Returns:
        all points; with `complete` false when interrupted (Ctrl-C) after at least one.

    Raises:
        BadInput: the budget is not positive and at most a minute.
        KeyboardInterrupt: before the first point.
        RidgelineError: a worker process could not start or broke.
    """
    if not 0 < budget <= 60:
        raise BadInput(f"the budget of a probe must be between 0 and 60 s, not {budget:g}")
    began = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
    points: list[Point] = []
    try:
        for batch in batches:
            for point in _run(batch, host.device, budget, python):
                points.append(point)
                say(point)
    except KeyboardInterrupt:
        if not points:
            raise
        return Machine(host, tuple(points), began, complete=False)
    return Machine(host, tuple(points), began)


def _run(batch: Batch, device: str, budget: float, python: str) -> Iterator[Point]:
    """Points of one worker as they come; the worker never outlives us."""
    environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(batch.threads))}
    asked = {"library": batch.library, "device": device, "jobs": batch.jobs,
             "budget": budget * (_SHARE if batch.kernels else 1.0), "kernels": batch.kernels}
    with subprocess.Popen([python, "-m", "ridgeline.measure.machine.worker"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=environment, text=True) as worker:
        try:
            assert worker.stdin is not None and worker.stdout is not None
            worker.stdin.write(json.dumps(asked))
            worker.stdin.close()
            for line in worker.stdout:
                found: dict[str, Any] = json.loads(line)
                if "failed" not in found:
                    yield Point(**found)
            _check_end(worker)
        finally:
            worker.kill()


def _check_end(worker: subprocess.Popen[str]) -> None:
    error = worker.stderr.read() if worker.stderr else ""
    if worker.wait() == -2:                     # Ctrl-C reached the worker first
        raise KeyboardInterrupt
    if worker.returncode:
        last = (error.strip().splitlines() or ["no message"])[-1]
        if last.startswith("KeyboardInterrupt"):
            raise KeyboardInterrupt
        raise RidgelineError(f"the measuring process ended with {worker.returncode}: {last}")
