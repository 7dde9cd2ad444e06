"""Prefill and decode in pools of their own, request by request, with the cache sent between.

A prefill replica reads a prompt and makes its first token; then it sends the prompt's keys and
values over its own link, one request at a time in order of completion, to the decode replica the
router names, which admits the request when all has arrived and makes the other tokens.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.errors import BadInput
from ridgeline.serving.replicas import Fleet, simulate_replicas
from ridgeline.serving.requests import Requests
from ridgeline.serving.scheduler import Scheduler
from ridgeline.serving.simulator import Run, fits_cache
from ridgeline.timing.step_table import StepTable

__all__ = ["PoolFleet", "Transfer", "simulate_pools"]

# Rounds of a closed loop: each makes at least one more request of every user exact.
_MOST_ROUNDS = 2000


@dataclass(frozen=True)
class Transfer:
    """Sending a prompt's keys and values.

    Attributes:
        latency: of a message [s].
        seconds_per_token: bytes of a token over the bandwidth of one replica's links [s].
    """

    latency: float = 0.0
    seconds_per_token: float = 0.0

    def arrivals(self, ready: Any, tokens: Any) -> Any:
        """When each arrives, one link sending them in the order they are ready [s].

        done_i = latency + max over j <= i of (ready_j + s_j + ... + s_i)

        Args:
            ready: times, not decreasing [s].
            tokens: of each.
        """
        sent = np.cumsum(self.seconds_per_token * np.asarray(tokens, float))
        before = np.concatenate([[0.0], sent[:-1]])
        return self.latency + sent + np.maximum.accumulate(ready - before)


@dataclass(frozen=True)
class PoolFleet:
    """Replicas of both pools.

    Attributes:
        prefill, decode: replicas of each.
        router: of both (see replicas); prefixes matter to prompts only, so decode replicas are
            then taken in turn.
        transfer: between them.
    """

    prefill: int
    decode: int
    router: str = "round-robin"
    transfer: Transfer = dataclasses.field(default_factory=Transfer)

    def __post_init__(self) -> None:
        for name in ("prefill", "decode"):
            if getattr(self, name) < 1:
                raise BadInput(f"the {name} pool needs at least 1 replica, "
                               f"not {getattr(self, name)}")
        Fleet(self.prefill, self.router)

    @property
    def replicas(self) -> int:
        """Of both pools."""
        return self.prefill + self.decode


def simulate_pools(table: StepTable, requests: Requests, scheduler: Scheduler, pools: PoolFleet, *,
                   concurrency: int | None = None, seed: int = 0, compiled: bool = True) -> Run:
    """Serve the requests with prefill and decode apart.

    A closed loop is found round by round: the completions of one round release the arrivals of the
    next, until nothing changes; causes precede effects, so the result is exact.

    Args:
        table: step times of one replica of either pool.
        requests: arrivals and lengths.
        scheduler: rules of one replica.
        pools: replicas, router and transfer.
        concurrency: of a closed loop, in all; None: requests arrive at their own times.
        seed: of a random router.
        compiled: False runs the loop uncompiled.

    Raises:
        BadInput: as `simulate_replicas`; a closed loop whose requests do not all fit.
    """
    def one(arrivals: Any) -> Run:
        asked = dataclasses.replace(requests, arrival=arrivals)
        return _open(table, asked, scheduler, pools, seed, compiled)

    if concurrency is None:
        return one(requests.arrival)
    if concurrency < 1:
        raise BadInput(f"concurrency must be at least 1, not {concurrency}")
    if scheduler.most_waiting is not None:
        raise BadInput("a closed loop sends a request when one is done; nobody can be turned away")
    if not fits_cache(requests, scheduler).all():
        raise BadInput("a closed loop over pools needs requests that all fit into the KV cache")
    arrivals = np.zeros(len(requests))
    for _ in range(_MOST_ROUNDS):
        run = one(arrivals)
        released = np.sort(run.end)[: max(0, len(requests) - concurrency)]
        new = np.concatenate([np.zeros(min(concurrency, len(requests))), released])
        if np.allclose(new, arrivals, rtol=1e-9, atol=1e-9):
            return run
        arrivals = new
    raise BadInput(f"a closed loop of {concurrency} over {len(requests):,} requests takes more "
                   f"than {_MOST_ROUNDS:,} rounds; ask for fewer requests")


def _open(table: StepTable, requests: Requests, scheduler: Scheduler, pools: PoolFleet, seed: int,
          compiled: bool) -> Run:
    """Both pools, one after the other: decoding does not hold prompts up."""
    fits = fits_cache(requests, scheduler)
    prompts = dataclasses.replace(requests, output=np.ones(len(requests), np.int64))
    # A request that will never fit where it decodes is refused where it arrives.
    prompts = prompts if fits.all() else prompts.take(fits)
    first = simulate_replicas(table, prompts, scheduler, Fleet(pools.prefill, pools.router),
                              seed=seed, compiled=compiled)
    place = np.flatnonzero(fits)
    going = first.served & (requests.output[place] > 1)
    if not going.any():
        return _joined(requests, place, first, None, None)
    there = _sent(first, prompts, going, pools.transfer)
    order = np.argsort(there, kind="stable")
    which = np.flatnonzero(going)[order]
    sent = place[which]
    priority = None if requests.priority is None else requests.priority[sent]
    handed = Requests(there[order], requests.prompt[sent], requests.output[sent],
                      priority=priority, first=first.first[which])
    rules = dataclasses.replace(scheduler, prefix_cache=None, most_waiting=None)
    router = "round-robin" if pools.router == "prefix" else pools.router
    rest = simulate_replicas(table, handed, rules, Fleet(pools.decode, router),
                             seed=seed + 1, compiled=compiled)
    return _joined(requests, place, first, sent, rest)


def _sent(first: Run, prompts: Requests, going: Any, transfer: Transfer) -> Any:
    """When the caches of those that go on arrive."""
    ready, tokens = first.first[going], prompts.prompt[going]
    owner = np.zeros(len(ready), int) if first.owner is None else first.owner[going]
    there = np.empty(len(ready))
    for replica in np.unique(owner):
        mine = np.flatnonzero(owner == replica)
        mine = mine[np.argsort(ready[mine], kind="stable")]
        there[mine] = transfer.arrivals(ready[mine], tokens[mine])
    return there


def _joined(requests: Requests, place: Any, first: Run, which: Any, rest: Run | None) -> Run:
    """One run of both pools: waits and first tokens of the first, the rest of the second."""
    count = len(requests)
    columns: dict[str, Any] = {}
    for name in ("start", "first", "end"):
        columns[name] = np.full(count, -1.0)
        columns[name][place] = getattr(first, name)
    evictions = np.zeros(count, np.int64)
    evictions[place] = first.evictions
    totals: dict[str, Any] = {}
    if rest is not None:
        columns["end"][which] = rest.end
        evictions[which] += rest.evictions
        busy = rest.busy or 1.0
        totals = {name: getattr(first, name) + getattr(rest, name) for name in (
            "busy", "steps", "preemptions", "prompt_tokens", "output_tokens", "leaked_blocks",
            "gaps", "swapped")}
        totals |= {"makespan": max(first.makespan, rest.makespan), "timeline": rest.timeline,
                   "mean_batch": rest.mean_batch, "verified": rest.verified,
                   "mean_blocks": (first.mean_blocks * first.busy + rest.mean_blocks * rest.busy)
                   / (first.busy + busy)}
    return dataclasses.replace(first, arrival=requests.arrival, prompt=requests.prompt,
                               output=requests.output, evictions=evictions, owner=None,
                               **columns, **totals)
