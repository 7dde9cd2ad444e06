"""Running a sweep's pieces: here, in processes of this machine, or on a Ray cluster.

All three take the same work (a picklable function of a piece's number), hand each result to the
caller as it comes, and do a piece again when the process that had it dies.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import threading
from collections.abc import Callable, Iterable
from typing import Any

from ridgeline.errors import BadInput, MissingExtra

__all__ = ["run_here", "run_in_processes", "run_on_ray", "unreachable"]

Work = Callable[[int], Any]
Finish = Callable[[int, Any], None]
# Pieces waiting at each worker: enough that none idles while results are kept.
_AHEAD = 2
# Times a piece is tried again after its worker died.
_RETRIES = 5
# Seconds that a cluster may take to answer, the port of Ray's client servers, how an HTTP/2
# connection is opened (with no settings of one's own) and the kind of frame that answers it.
_PATIENCE = 4.0
_CLIENT_PORT = 10001
_OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_SETTINGS = bytes([4])


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
    if importlib.util.find_spec("ray") is None:
        raise MissingExtra.needed("a sweep on Ray", "ray")
    named = os.environ.get("RAY_ADDRESS") if address == "auto" else address
    if wrong := unreachable(named or "auto"):
        # Ray itself tries for minutes, and then ends the process.
        raise BadInput(f"no Ray cluster at {named!r}: {wrong}")
    import ray

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


def unreachable(address: str) -> str:
    """Why no Ray can be at an address, or "" where one may be.

    Ray's servers speak HTTP/2, which answers the opening of a connection with its settings.

    Args:
        address: "host:port" or "ray://host:port"; others are for Ray to judge.
    """
    import socket
    from urllib.parse import urlsplit

    try:
        place = urlsplit(address if "://" in address else f"//{address}")
        host, port = place.hostname, place.port or (_CLIENT_PORT if place.scheme == "ray" else None)
    except ValueError:
        return "it is not host:port"
    if address in ("auto", "local") or place.scheme not in ("", "ray"):
        return ""
    if not host or port is None:
        return "it is not host:port, ray://host:port, auto or local"
    try:
        with socket.create_connection((host, port), _PATIENCE) as link:
            if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
                return ""
            link.sendall(_OPENING)
            answer = link.recv(9, socket.MSG_WAITALL)
    except TimeoutError:
        return f"nothing answered within {_PATIENCE:g} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return "" if answer[3:4] == _SETTINGS else "what listens there is not Ray"


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
