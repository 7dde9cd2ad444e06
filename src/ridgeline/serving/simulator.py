"""Simulate a replica request by request: the exact scheduler over tabulated step times.

    result = simulate_replica(table, requests, Scheduler(max_num_seqs=128))
    result.ttft.mean()

Several replicas are in `replicas`, arrivals in `arrivals` and `traces`.
"""

from __future__ import annotations

import math
from collections.abc import Sized
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.errors import BadInput
from ridgeline.serving import layout as at
from ridgeline.serving.requests import Requests, block_chains
from ridgeline.serving.rules import PrefixCache
from ridgeline.serving.scheduler import Scheduler
from ridgeline.serving.step_arrays import StepArrays, flatten_table
from ridgeline.timing.step_table import StepTable

__all__ = ["Replica", "Run", "simulate_replica"]

Array = np.ndarray[Any, np.dtype[np.float64]]

_SAMPLES = 1024
_FIRST_PERIOD = 0.01
_DETAILED_SAMPLES = 1 << 18


@dataclass(frozen=True)
class Run:
    """What happened to every request of a run, in their order, and to the replica.

    Attributes:
        arrival, start, first, end: times of arrival, first scheduling, first token, last token
            [s]; `start` is negative for requests that were refused as too long for the cache.
        prompt, output: tokens.
        evictions: how often each request was preempted.
        gaps: tokens by the time since the one before, in bins of 1/64 octave from 1 us.
        timeline: rows of (time, sequences decoding, blocks used, output tokens so far).
        makespan: end of the last step [s].
        busy: time in steps [s].
        steps, preemptions, prompt_tokens, output_tokens: counts; `prompt_tokens` counts tokens
            read, again after a preemption, and not those found in the prefix cache.
        mean_batch: mean decoding sequences while busy.
        mean_blocks: mean KV blocks used while busy.
        leaked_blocks: blocks not given back at the end: 0, or the accounting is wrong.
        rejected: requests turned away because too many waited.
        swapped: preemptions that moved to the host.
        verified: steps of decoding sequences that verified drafts.
        asked_tokens, found_tokens, loaded_tokens: with a prefix cache, of the prompts admitted:
            all, those found, and of these the ones loaded from a lower tier.
        owner: replica of each request; None with one replica.
        replica_seconds: of replicas that start and stop, time they were on [s]; None: always on.
        starts, peak_replicas: of the same.
    """

    arrival: Array
    start: Array
    first: Array
    end: Array
    prompt: Any
    output: Any
    evictions: Any
    gaps: Array
    timeline: Array
    makespan: float
    busy: float
    steps: int
    preemptions: int
    prompt_tokens: int
    output_tokens: int
    mean_batch: float
    mean_blocks: float
    leaked_blocks: int
    rejected: int = 0
    swapped: int = 0
    verified: int = 0
    asked_tokens: int = 0
    found_tokens: int = 0
    loaded_tokens: int = 0
    owner: Any = None
    replica_seconds: float | None = None
    starts: int = 0
    peak_replicas: int = 0

    @property
    def served(self) -> Any:
        """Mask of the requests that were neither refused nor turned away."""
        return self.start >= 0

    @property
    def ttft(self) -> Array:
        """Arrival to first token of the requests served [s]."""
        waited: Array = self.first - self.arrival
        kept: Array = waited[self.served]
        return kept

    @property
    def tpot(self) -> Array:
        """(last token - first token) / (output tokens - 1) of requests with two or more [s]."""
        several = self.served & (self.output > 1)
        tpot: Array = (self.end - self.first)[several] / (self.output[several] - 1)
        return tpot

    @property
    def latency(self) -> Array:
        """Arrival to last token [s]."""
        spent: Array = self.end - self.arrival
        kept: Array = spent[self.served]
        return kept

    @property
    def queue_wait(self) -> Array:
        """Arrival to first scheduling [s]."""
        waited: Array = self.start - self.arrival
        kept: Array = waited[self.served]
        return kept


class Replica:
    """The flat state of one replica, to be advanced by the loop."""

    def __init__(self, arrays: StepArrays, scheduler: Scheduler, requests: Requests) -> None:
        seats = min(scheduler.sequences, max(len(requests), 1))
        self.n = np.zeros(at.PHASE + scheduler.block_size, np.int64)
        self.x = np.zeros(at.CLOCKS)
        self.slot = np.full(seats * (at.SLOT + 2), -1, np.int64)
        self.hist = np.zeros(at.BINS)
        self.samples = _DETAILED_SAMPLES if scheduler.detail else _SAMPLES
        self.trace = np.zeros(self.samples * at.SAMPLE)
        self.seats, self.scheduler = seats, scheduler
        self._set_limits(arrays)
        after = self.slot[: seats * at.SLOT].reshape(seats, at.SLOT)[:, at.AFTER]
        after[:-1] = np.arange(1, seats)
        if scheduler.prefix_cache:
            self._add_cache(scheduler.prefix_cache, requests)

    def _add_cache(self, cache: PrefixCache, requests: Requests) -> None:
        """Room for the prefix cache behind the sequences (see layout)."""
        chains, hashed, blocks = block_chains(requests)
        if hashed % self.scheduler.block_size:
            raise BadInput(f"the trace hashes blocks of {hashed} tokens, which KV blocks of "
                           f"{self.scheduler.block_size} tokens do not divide")
        n, x, block = self.n, self.x, self.scheduler.block_size
        n[at.CACHE_AT], n[at.HASHED], n[at.UNIT] = len(self.slot), hashed, hashed // block
        tiers = np.full((at.TIERS, at.TIER), -1, np.int64)
        tiers[:, at.KEEPS] = 0
        tiers[:, at.ROOM] = (0, cache.host_tokens // hashed, cache.disk_tokens // hashed)
        entries = np.full((blocks, at.ENTRY), -1, np.int64)
        entries[:, at.USERS] = 0
        n[at.CHAIN_AT] = len(self.slot) + tiers.size + entries.size
        chains[: len(requests) + 1] += n[at.CHAIN_AT]
        self.slot = np.concatenate([self.slot, tiers.ravel(), entries.ravel(), chains])
        x[at.HOST_SECONDS] = cache.host_seconds * hashed
        x[at.DISK_SECONDS] = cache.disk_seconds * hashed

    def _set_limits(self, arrays: StepArrays) -> None:
        rules, n, x = self.scheduler, self.n, self.x
        for place, value in arrays.places:
            n[place] = value
        n[at.TOTAL] = n[at.FREE] = rules.kv_blocks or at.UNLIMITED
        n[at.BLOCK], n[at.SEQS], n[at.BUDGET] = rules.block_size, self.seats, rules.token_budget
        n[[at.HEAD, at.TAIL, at.LAST, at.PARTIAL, at.STACK]] = -1
        n[at.MIXED], n[at.STATIC] = rules.prompts == "mixed", rules.static
        n[at.BY_KEY], n[at.LIMIT] = rules.by_key, rules.most_waiting or 0
        n[at.OVERLAP], n[at.DETAIL] = rules.overlap, rules.detail
        n[at.DRAFTS], n[at.SEED] = rules.drafts, rules.seed % 2**31
        if rules.speculation:
            x[at.DRAFT_COST] = rules.speculation.draft_cost
        if rules.swap:
            n[at.HOST_FREE] = rules.swap.tokens // rules.block_size
            x[at.SWAP] = rules.swap.seconds_per_token * rules.block_size
        n[at.JOIN_AT], n[at.HEAP_AT] = self.seats * at.SLOT, self.seats * (at.SLOT + 1)
        n[at.SAMPLE_ROOM] = self.samples
        x[at.UNTIL], x[at.INTERVAL] = at.NEVER, rules.interval
        x[at.RESERVE] = -1.0 if rules.reserve is None else rules.reserve
        x[at.PERIOD] = 0.0 if rules.detail else _FIRST_PERIOD
        x[at.PROMPTS] = rules.prompt_factor

    @property
    def plain_state(self) -> list[list[Any]]:
        """The same as lists, for the loop to run uncompiled."""
        return [a.tolist() for a in (self.n, self.x, self.slot)]


def simulate_replica(table: StepTable, requests: Requests, scheduler: Scheduler, *,
                     concurrency: int | None = None, compiled: bool = True) -> Run:
    """Serve the requests on one replica, its attention copies among them.

    Args:
        table: step times of the deployment.
        requests: arrivals and lengths.
        scheduler: rules of the replica.
        concurrency: a closed loop with so many requests in flight, whatever their arrivals; None:
            requests arrive at their own times.
        compiled: False runs the same loop uncompiled, over lists.

    Returns:
        times of every request, and the replica's counts.

    Raises:
        BadInput: a concurrency below 1, or no request that fits into the cache.
    """
    if concurrency is not None and concurrency < 1:
        raise BadInput(f"concurrency must be at least 1, not {concurrency}")
    if concurrency is not None and scheduler.most_waiting is not None:
        raise BadInput("a closed loop sends a request when one is done; nobody can be turned away")
    if scheduler.ranks.count > 1:
        from ridgeline.serving.ranks import simulate_ranks

        return simulate_ranks(table, requests, scheduler, concurrency=concurrency,
                              compiled=compiled)
    arrays = flatten_table(table, scheduler)
    replica = Replica(arrays, scheduler, requests)
    fitting = fits_cache(requests, scheduler)
    if not fitting.any():
        raise BadInput(f"no request fits into the KV cache of {scheduler.kv_blocks:,} blocks of "
                       f"{scheduler.block_size} tokens")
    job, when = request_arrays(requests)
    enqueue(replica.n, job, when, np.flatnonzero(fitting), concurrency)
    key, queue = keys_of(requests, scheduler)
    state = (replica.n, replica.x, replica.slot, job, when, arrays.values, replica.hist,
             replica.trace, key, queue)
    run_loop(state, compiled)
    return collect(replica, requests, job, when)


def fits_cache(requests: Requests, scheduler: Scheduler) -> Any:
    """Mask of the requests that fit into the cache alone."""
    if scheduler.kv_blocks is None:
        return np.ones(len(requests), bool)
    longest = requests.prompt + requests.output - 1
    return -(-longest // scheduler.block_size) <= scheduler.kv_blocks


def request_arrays(requests: Requests) -> tuple[Any, Array]:
    """The loop's `job` and `when` of the requests."""
    count = len(requests)
    job = np.zeros((count, at.JOB), np.int32)
    job[:, at.PROMPT], job[:, at.OUTPUT] = requests.prompt, requests.output
    job[:, at.LINK] = -1
    when = np.full((count, at.WHEN), -1.0)
    when[:, at.ARRIVAL] = requests.arrival
    if requests.cached is not None:
        job[:, at.HIT] = np.clip(requests.cached, 0, requests.prompt - 1)
    if requests.first is not None:
        job[:, at.MADE], job[:, at.KEPT] = 1, requests.prompt
        when[:, at.FIRST] = when[:, at.END] = requests.first
    return job.ravel(), when.ravel()


def enqueue(n: Any, job: Any, when: Array, order: Any, concurrency: int | None) -> None:
    """Make requests known to a replica: all of them, or a closed loop's first wave.

    A closed loop takes the requests by number, so those that do not fit must not be among them.
    """
    links = job.reshape(-1, at.JOB)[:, at.LINK]
    known = order if concurrency is None else order[:concurrency]
    links[known[:-1]] = known[1:]
    n[at.HEAD], n[at.TAIL] = known[0], known[-1]
    n[at.ASSIGNED] = n[at.QUEUED] = len(known)
    n[at.UPCOMING] = n[at.COUNT] = len(links)
    if concurrency is not None:
        check_closed(order, links)
        n[at.UPCOMING] = len(known)
        arrivals = when.reshape(-1, at.WHEN)[:, at.ARRIVAL]
        arrivals[:] = 0.0


def check_closed(fitting: Sized, requests: Sized) -> None:
    """Refuse a closed loop with requests that do not fit."""
    if len(fitting) < len(requests):
        raise BadInput(f"{len(requests) - len(fitting):,} of {len(requests):,} requests are longer "
                       "than the KV cache holds; a closed loop would wait for them for ever")


def keys_of(requests: Requests, scheduler: Scheduler) -> tuple[Array, Any]:
    """What orders the queue, and room for it; empty when first come is first served.

    Raises:
        BadInput: an order by priority of requests that have none.
    """
    if not scheduler.by_key:
        return np.zeros(1), np.zeros(1, np.int32)
    if scheduler.order == "fcfs":       # all alike: by number
        return np.zeros(len(requests)), np.zeros(len(requests), np.int32)
    if scheduler.order == "priority":
        if requests.priority is None:
            raise BadInput("the order is 'priority' and the requests carry no priority")
        key = np.asarray(requests.priority, float)
    else:
        key = (requests.prompt + requests.output).astype(float)
    return key, np.zeros(len(requests), np.int32)


def run_loop(state: tuple[Any, ...], compiled: bool) -> None:
    """Advance a replica to the end, compiled, or uncompiled over lists written back."""
    from ridgeline.serving.compiled import has_numba, plain
    from ridgeline.serving.loop import advance

    if compiled and has_numba():
        advance(*state)
    else:
        lists = [array.tolist() for array in state]
        plain(advance)(*lists)
        for array, values in zip(state, lists, strict=True):
            array[:] = values
    if state[1][at.STALLED]:
        raise RuntimeError("the scheduler found nothing to do while requests wait")


def collect(replica: Replica, requests: Requests, job: Any, when: Array) -> Run:
    """The run behind a replica's final state."""
    n, x, times = replica.n, replica.x, when.reshape(-1, at.WHEN)
    busy = float(x[at.BUSY]) or math.inf
    samples = replica.trace.reshape(-1, at.SAMPLE)[: n[at.SAMPLES]]
    return Run(
        arrival=times[:, at.ARRIVAL], start=times[:, at.START], first=times[:, at.FIRST],
        end=times[:, at.END], prompt=requests.prompt, output=requests.output,
        evictions=job.reshape(-1, at.JOB)[:, at.EVICTIONS], gaps=replica.hist,
        timeline=samples, makespan=float(x[at.NOW]), busy=float(x[at.BUSY]),
        steps=int(n[at.STEPS]), preemptions=int(n[at.PREEMPTIONS]),
        prompt_tokens=int(n[at.PROMPT_TOKENS]), output_tokens=int(n[at.OUTPUT_TOKENS]),
        mean_batch=float(x[at.SEQUENCE_SECONDS]) / busy,
        mean_blocks=float(x[at.BLOCK_SECONDS]) / busy,
        leaked_blocks=int(n[at.TOTAL] - n[at.FREE]), rejected=int(n[at.REJECTED]),
        swapped=int(n[at.SWAPPED]), verified=int(n[at.VERIFIED]),
        asked_tokens=int(n[at.ASKED]), found_tokens=int(n[at.FOUND]),
        loaded_tokens=int(n[at.LOADED]))
