"""Where questions wait for a worker: equal ones share one, answers are kept, leavers cancel."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from ridgeline.http.work import Reply, refusal
from ridgeline.http.workers import Job, Workers

__all__ = ["Desk"]

_MOST_WAITING = 1000
_KEPT_BYTES = 64 << 20
_HEARTBEAT = 0.5


class Desk:
    """Questions to a pool of workers.

    Args:
        workers: the pool.
        limit: seconds a question may take.
        long_limit: seconds a streamed question may take.
    """

    def __init__(self, workers: Workers, limit: float, long_limit: float) -> None:
        self._workers, self._limit, self._long_limit = workers, limit, long_limit
        self._flights: dict[str, asyncio.Future[Reply]] = {}
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._kept_bytes = 0
        # Long questions leave at least one worker to the short ones.
        self._long = asyncio.Semaphore(max(1, workers.count - 1))

    async def ask(self, name: str, body: Mapping[str, Any], extras: Sequence[str]) -> Reply:
        """The reply to a question; an equal one being answered, or answered lately, serves."""
        key = _key(name, body, extras)
        if kept := self._recall(key):
            return Reply(200, kept)
        flight = self._flights.get(key)
        if flight is None:
            if len(self._flights) >= _MOST_WAITING:
                return refusal(503, "busy", "the server is busy; ask again in a moment")
            job = Job(name, body, extras, self._limit)
            flight = asyncio.wrap_future(self._workers.submit(job))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(flight)

    async def stream(self, name: str, body: Mapping[str, Any], extras: Sequence[str]
                     ) -> AsyncIterator[bytes]:
        """Server-sent events of a long question: progress, then the answer or an error.

        Leaving the iterator early cancels the question.
        """
        key = _key(name, body, extras)
        if kept := self._recall(key):
            yield _event("answer", kept)
            return
        events: asyncio.Queue[tuple[float, str]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(share: float, text: str) -> None:
            loop.call_soon_threadsafe(events.put_nowait, (share, text))

        job = Job(name, body, extras, self._long_limit, tell)
        try:
            async with self._long:
                began = loop.time()
                flight = asyncio.wrap_future(self._workers.submit(job))
                share, text = -1.0, ""
                while not flight.done():
                    yield _event("progress", json.dumps(
                        {"share": share if share >= 0 else None, "text": text,
                         "elapsed_s": round(loop.time() - began, 2)}).encode())
                    share, text = await _next(events, flight, share, text)
                reply = flight.result()
            if reply.status == 200:
                self._keep(key, reply.body)
            yield _event("answer" if reply.status == 200 else "error", reply.body)
        finally:
            job.cancelled.set()

    def _landed(self, key: str, done: asyncio.Future[Reply]) -> None:
        self._flights.pop(key, None)
        if not done.cancelled() and done.exception() is None and done.result().status == 200:
            self._keep(key, done.result().body)

    def _recall(self, key: str) -> bytes | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def _keep(self, key: str, body: bytes) -> None:
        if key not in self._kept:
            self._kept_bytes += len(body)
        self._kept[key] = body
        while self._kept_bytes > _KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])


async def _next(events: asyncio.Queue[tuple[float, str]], flight: asyncio.Future[Reply],
                share: float, text: str) -> tuple[float, str]:
    """The next progress, or the last one again after a heartbeat."""
    waiting = asyncio.ensure_future(events.get())
    try:
        both: set[asyncio.Future[Any]] = {waiting, flight}
        await asyncio.wait(both, timeout=_HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else (share, text)
    finally:
        waiting.cancel()


def _key(name: str, body: Mapping[str, Any], extras: Sequence[str]) -> str:
    return json.dumps([name, sorted(extras), body], sort_keys=True, default=str)


def _event(kind: str, data: bytes) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"
