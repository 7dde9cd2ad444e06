"""Running a sweep's pieces: here, in processes of this machine, or on a Ray cluster.

All three take the same work (a picklable function of a piece's number), hand each result to the
caller as it comes, and do a piece again when the process that had it dies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable
from typing import Any

from ridgeline.errors import BadInput, MissingExtra

__all__ = ["run_here", "run_in_processes", "run_on_ray"]

Work = Callable[[int], Any]
Finish = Callable[[int, Any], None]
# Pieces waiting at each worker: enough that none idles while results are kept.
_AHEAD = 2
# Times a piece is tried again after its worker died.
_RETRIES = 5


def run_here(work: Work, pieces: Iterable[int], finish: Finish) -> None:
    """One piece after the other in this process."""
    for number in pieces:
        finish(number, work(number))


def run_in_processes(work: Work, pieces: Iterable[int], finish: Finish, jobs: int) -> None:
    """Pieces side by side in processes of this machine.

    Raises:
        BadInput: processes died again and again (memory, or a kill).
    """
    left = list(pieces)
    for _ in range(_RETRIES + 1):
        done = _pool(work, left, finish, jobs)
        left = [n for n in left if n not in done]
        if not left:
            return
    raise BadInput(f"{len(left)} pieces of the sweep are left: their processes died "
                   f"{_RETRIES + 1} times; use fewer --jobs, or see whether memory runs out")


def _pool(work: Work, pieces: list[int], finish: Finish, jobs: int) -> set[int]:
    """What one pool gets done before it ends or breaks."""
    import multiprocessing
    from concurrent import futures

    # A fresh interpreter for each: threads of this one (progress, DuckDB) do not survive a fork.
    context = multiprocessing.get_context("spawn")
    done: set[int] = set()
    waiting: dict[Any, int] = {}
    queue = iter(pieces)
    pool = futures.ProcessPoolExecutor(min(jobs, len(pieces)), context, _begin)
    try:
        for number in _some(queue, jobs * _AHEAD):
            waiting[pool.submit(work, number)] = number
        while waiting:
            ready, _ = futures.wait(waiting, return_when=futures.FIRST_COMPLETED)
            for future in ready:
                number = waiting.pop(future)
                finish(number, future.result())
                done.add(number)
                for following in _some(queue, 1):
                    waiting[pool.submit(work, following)] = following
    except futures.process.BrokenProcessPool:
        return done
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return done


def _some(queue: Iterable[int], count: int) -> list[int]:
    """The next few of an iterator."""
    import itertools

    return list(itertools.islice(queue, count))


def _begin() -> None:
    """A worker leaves interrupts to its parent, and does not outlive it."""
    import multiprocessing

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def run_on_ray(work: Work, pieces: Iterable[int], finish: Finish, address: str, jobs: int) -> None:
    """Pieces on the workers of a Ray cluster; Ray does those of a lost worker again.

    Args:
        work, pieces, finish: as above.
        address: of the cluster ("auto", "host:6379", "ray://host:10001"), or "local" for one of
            this machine that lives as long as the sweep.
        jobs: workers of a local one.

    Raises:
        MissingExtra: Ray is not installed.
        BadInput: no cluster there, or a piece whose workers died again and again.
    """
    # Read by Ray when it is imported; a choice of the user's own stays.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise MissingExtra.needed("a sweep on Ray", "ray") from None
    _connect_ray(ray, address, jobs)
    try:
        _ray_pieces(ray, work, pieces, finish)
    finally:
        ray.shutdown()


def _connect_ray(ray: Any, address: str, jobs: int) -> None:
    kept = {name: value for name, value in os.environ.items() if name.startswith("RIDGELINE_")}
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR",
                               "runtime_env": {"env_vars": kept}}
    if address == "local":
        # Its agents are given as long as a busy machine takes to start them.
        options |= {"num_cpus": jobs, "include_dashboard": False, "_system_config": {
            "agent_register_timeout_ms": 120_000, "enable_metrics_collection": False}}
    try:
        ray.init(address=address, **options)
    except Exception as error:     # what Ray raises here differs with the kind of address
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput(f"no Ray cluster at {address!r}: {why}") from error


def _ray_pieces(ray: Any, work: Work, pieces: Iterable[int], finish: Finish) -> None:
    remote = ray.remote(max_retries=_RETRIES)(work_piece)
    shared, queue = ray.put(work), iter(pieces)
    width = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
    waiting = {remote.remote(shared, n): n for n in _some(queue, width)}
    try:
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1)
            number = waiting.pop(ready[0])
            finish(number, ray.get(ready[0]))
            for following in _some(queue, 1):
                waiting[remote.remote(shared, following)] = following
    except ray.exceptions.RayTaskError as error:
        raise error.as_instanceof_cause() from error
    except ray.exceptions.RayError as error:
        raise BadInput("a piece of the sweep was lost on Ray: "
                       + " ".join(str(error).split())[:200]) from error
    finally:
        for task in waiting:
            with contextlib.suppress(Exception):
                ray.cancel(task, force=False)


def work_piece(work: Work, number: int) -> Any:
    """One piece, as a Ray task."""
    return work(number)
