"""Putting a load on a server: warm-up, the protocol, and how well the client kept up."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput, RidgelineError
from ridgeline.measure.engine.client import Endpoint, open_session, send
from ridgeline.measure.engine.protocol import Protocol
from ridgeline.measure.engine.record import Record

if TYPE_CHECKING:
    from ridgeline.serving.requests import Requests

__all__ = ["Outcome", "Overhead", "run_load"]

_TICK = 0.01     # how often the client's own lateness is looked at [s]
Say = Callable[[Record], None]


@dataclass(frozen=True)
class Overhead:
    """How well the client kept up.

    Attributes:
        lag_p50, lag_p99, lag_max: how late its event loop was [s].
        cpu_share: processor time over wall time.
        late_p99: how late requests were sent, against the plan [s].
        events: chunks read.
        cpu_per_event: processor time for each of them [s].
    """

    lag_p50: float
    lag_p99: float
    lag_max: float
    cpu_share: float
    late_p99: float
    events: int
    cpu_per_event: float


@dataclass(frozen=True)
class Outcome:
    """Everything of one measurement.

    Attributes:
        records: of the requests sent, in order; those cut off by an interruption are left out.
        overhead: of the client.
        wall: seconds from the start of the load to its end.
        complete: false when interrupted.
        warmup: records of the warm-up.
        began: start of the load on the clock of `time.perf_counter` [s].
    """

    records: tuple[Record, ...]
    overhead: Overhead
    wall: float
    complete: bool = True
    warmup: tuple[Record, ...] = ()
    began: float = 0.0


@dataclass
class _State:
    """What the tasks of one load share."""

    endpoint: Endpoint
    session: Any
    begun: float
    say: Say
    done: list[Record] = field(default_factory=list)

    async def one(self, record: Record) -> None:
        """Send one request and keep its record."""
        await send(self.session, self.endpoint, record, self.begun)
        self.done.append(record)
        self.say(record)


def run_load(endpoint: Endpoint, protocol: Protocol, requests: Requests, *, warmup: int = 1,
             say: Say = lambda record: None) -> Outcome:
    """Warm the server up, then send the requests as the protocol says.

    Args:
        endpoint: where.
        protocol: when.
        requests: how long and, of an open load, at which times.
        warmup: requests sent before and not counted.
        say: told every request that is done.

    Returns:
        what happened; after Ctrl-C what happened until then.

    Raises:
        BadInput: an address that is none, or a warm-up below 0.
        RidgelineError: no request of the warm-up was answered.
        MissingExtra: aiohttp is not installed.
    """
    if warmup < 0:
        raise BadInput(f"the warm-up must be 0 or more requests, not {warmup}")
    check_url(endpoint.url)
    return asyncio.run(_run(endpoint, protocol, requests, warmup, say))


def check_url(url: str) -> None:
    """Refuse what is no address.

    Raises:
        BadInput: no http or https address with a host.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise BadInput(f"{url!r} is no address of a server; write for instance "
                       "http://localhost:8000")


async def _run(endpoint: Endpoint, protocol: Protocol, requests: Requests, warmup: int,
               say: Say) -> Outcome:
    records = [Record(i, int(p), int(n), float(t)) for i, (p, n, t) in enumerate(zip(
        requests.prompt, requests.output, requests.arrival, strict=True))]
    async with open_session(endpoint) as session:
        warm = await _warm_up(endpoint, session, protocol, records, warmup)
        state = _State(endpoint, session, time.perf_counter(), say)
        lags: list[float] = []
        probe = asyncio.create_task(_watch(lags))
        cpu = time.process_time()
        complete = await _until_stopped(_drive(state, protocol, records))
        wall, cpu = time.perf_counter() - state.begun, time.process_time() - cpu
        probe.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await probe
    done = tuple(sorted(state.done, key=lambda r: r.index))
    return Outcome(done, _overhead(done, lags, cpu, wall, protocol), wall, complete, tuple(warm),
                   state.begun)


async def _warm_up(endpoint: Endpoint, session: Any, protocol: Protocol, records: list[Record],
                   count: int) -> list[Record]:
    """Requests like the first ones, with prompts of their own, as many at once as will be."""
    if not count:
        return []
    state = _State(endpoint, session, time.perf_counter(), lambda record: None)
    like = [Record(10_000_000 + i, records[i % len(records)].prompt,
                   records[i % len(records)].output) for i in range(count)]
    await _closed(state, like, protocol.concurrency or 1)
    if not any(r.served for r in state.done):
        first = state.done[0]
        raise RidgelineError(f"no answer from {endpoint.address}: {first.failure}: {first.detail}")
    return state.done


async def _drive(state: _State, protocol: Protocol, records: list[Record]) -> None:
    if protocol.kind == "closed":
        await _closed(state, records, protocol.concurrency)
        return
    async with asyncio.TaskGroup() as group:
        for record in records:
            wait = record.planned - (time.perf_counter() - state.begun)
            if wait > 0:
                await asyncio.sleep(wait)
            group.create_task(state.one(record))


async def _closed(state: _State, records: list[Record], concurrency: int) -> None:
    """So many in flight: each is followed by the next one at once."""
    queue: Iterator[Record] = iter(records)

    async def worker() -> None:
        for record in queue:
            record.planned = time.perf_counter() - state.begun
            await state.one(record)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, len(records))):
            group.create_task(worker())


async def _until_stopped(work: Any) -> bool:
    """Run to the end, or to Ctrl-C; returns whether it was the end."""
    task, loop = asyncio.ensure_future(work), asyncio.get_running_loop()
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
        loop.add_signal_handler(signal.SIGINT, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not stopped:
            raise
    finally:
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.remove_signal_handler(signal.SIGINT)
    return not stopped


async def _watch(lags: list[float]) -> None:
    """Note how late the event loop wakes up: what it adds to any time it takes."""
    while True:
        due = time.perf_counter() + _TICK
        await asyncio.sleep(_TICK)
        lags.append(max(0.0, time.perf_counter() - due))


def _overhead(records: tuple[Record, ...], lags: list[float], cpu: float, wall: float,
              protocol: Protocol) -> Overhead:
    import numpy as np

    late = [r.sent - r.planned for r in records] or [0.0]
    events = sum(r.chunks for r in records)
    p50, p99, most = np.percentile(lags or [0.0], (50, 99, 100)).tolist()
    return Overhead(p50, p99, most, cpu / max(wall, 1e-9), float(np.percentile(late, 99)), events,
                    cpu / max(events, 1))
