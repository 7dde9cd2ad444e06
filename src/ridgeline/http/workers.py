"""Worker processes that answer questions, each with a time limit and no way to hang the server.

A question runs in a process of its own pool; one that overruns its limit, or whose asker left, is
ended by ending the process, and a new one takes its place.
"""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import queue
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ridgeline
from ridgeline.http.work import Reply, refusal

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["Job", "Workers"]

_POLL = 0.05
# Progress is told at most this often [s].
_PAUSE = 0.1
Progress = Callable[[float, str], None]


class Job:
    """One question in the pool.

    Attributes:
        name, body, extras: what is asked.
        limit: seconds it may run.
        progress: called with the share done (or -1 when unknown) and a word about it.
    """

    def __init__(self, name: str, body: Mapping[str, Any], extras: Sequence[str], limit: float,
                 progress: Progress | None = None) -> None:
        self.name, self.body, self.extras = name, dict(body), tuple(extras)
        self.limit, self.progress = limit, progress
        self.cancelled = threading.Event()


class Workers:
    """A pool of processes behind threads that wait for them.

    Args:
        count: processes.
        memory: bytes of data one may hold; None: no limit.
    """

    def __init__(self, count: int, memory: int | None = 6 << 30) -> None:
        # A server process preloads the package once, so that a replacement starts in milliseconds.
        method = "spawn" if sys.platform == "win32" else "forkserver"
        self._context = multiprocessing.get_context(method)
        if method == "forkserver":
            self._context.set_forkserver_preload(["ridgeline.http.warm"])
        self.count, self._memory = count, memory
        self._folder = tempfile.TemporaryDirectory(prefix="ridgeline-")
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="ask")
        self._all: set[_Worker] = set()
        for _ in range(count):
            self._idle.put(self._start())

    def submit(self, job: Job) -> Any:
        """A future of the job's Reply."""
        return self._threads.submit(self._run, job)

    def close(self) -> None:
        """End every process."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in list(self._all):
            worker.stop()
        self._folder.cleanup()

    def _start(self) -> _Worker:
        worker = _Worker(self._context, self._memory, self._folder.name)
        self._all.add(worker)
        return worker

    def _run(self, job: Job) -> Reply:
        if job.cancelled.is_set():
            return refusal(499, "cancelled", "cancelled before it began")
        worker = self._idle.get()
        try:
            reply = worker.ask(job)
        except (EOFError, OSError):
            reply = refusal(422, "limit", "the question needs more memory or time than this "
                            "server gives one")
        except BaseException:
            worker.stop()
            raise
        finally:
            if not worker.alive:
                self._all.discard(worker)
                worker.stop()
                worker = self._start()
            self._idle.put(worker)
        return reply


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, context: Any, memory: int | None, empty: str) -> None:
        self._pipe: Connection
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, memory, empty), daemon=True,
                                        name="ridgeline-worker")
        self._process.start()
        theirs.close()
        self.alive = True

    def ask(self, job: Job) -> Reply:
        """Send the job and wait for its reply within its limit."""
        try:
            self._pipe.send((job.name, job.body, job.extras))
            end = time.monotonic() + job.limit
            while True:
                while self._pipe.poll(_POLL if job.limit > _POLL else job.limit):
                    kind, content = self._pipe.recv()
                    if kind == "reply":
                        return Reply(*content)
                    if job.progress is not None:
                        job.progress(*content)
                if job.cancelled.is_set():
                    self.stop()
                    return refusal(499, "cancelled", "cancelled")
                if time.monotonic() >= end:
                    self.stop()
                    return refusal(422, "limit", f"the question takes longer than the "
                                   f"{job.limit:g} s this server gives it; ask for less, or use "
                                   "the command line")
        except (EOFError, OSError):
            self.stop()
            raise

    def stop(self) -> None:
        """End the process now."""
        self.alive = False
        with contextlib.suppress(OSError):
            self._pipe.close()
        if self._process.is_alive():
            self._process.kill()
        self._process.join(timeout=5)


def _serve(pipe: Connection, memory: int | None, empty: str) -> None:
    """Answer questions until the pipe closes."""
    from ridgeline.http.work import answer

    signal.signal(signal.SIGINT, signal.SIG_IGN)      # the server ends its workers itself
    if memory is not None and sys.platform != "win32":
        import resource

        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    os.chdir(empty)                                   # no name can mean a file of the server's
    _keep_within(empty)
    last = 0.0

    def tell(done: float, total: float, text: str = "") -> None:
        nonlocal last
        if time.monotonic() - last > _PAUSE:
            last = time.monotonic()
            pipe.send(("progress", (done / total if total else -1.0, str(text))))

    with contextlib.suppress(EOFError, OSError):
        while True:
            name, body, extras = pipe.recv()
            reply = answer(name, body, extras, tell)
            pipe.send(("reply", (reply.status, reply.body)))


def _keep_within(empty: str) -> None:
    """Refuse to open files that no question needs, should a stranger's text ever name one."""
    import sysconfig

    own = os.environ.get("RIDGELINE_CATALOG", "").split(os.pathsep)
    needed = (empty, sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), *own, *sys.path,
              str(Path(ridgeline.__file__).parent), "/proc", "/sys", "/dev", "/usr", "/lib")
    roots = tuple(str(Path(p).resolve()) for p in needed if p)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], (str, bytes)):
            return
        place = os.path.realpath(os.fsdecode(arguments[0]))
        if not place.startswith(roots):
            raise PermissionError(errno.EACCES, "this server reads no such file", place)

    sys.addaudithook(watch)
