"""Schedulers that are advanced in one loop: attention copies that step together, and replicas
behind a router that looks at all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ridgeline.errors import BadInput
from ridgeline.serving import layout as at
from ridgeline.serving.requests import Requests
from ridgeline.serving.scheduler import Scheduler
from ridgeline.serving.simulator import (
    Replica,
    Run,
    check_closed,
    collect,
    fits_cache,
    keys_of,
    request_arrays,
)
from ridgeline.serving.step_arrays import flatten_table
from ridgeline.timing.step_table import StepTable

__all__ = ["joint_runs", "joint_state", "run_joint", "simulate_ranks"]

# Largest joint state of schedulers in one loop [entries].
_MOST_JOINT = 10**8


def simulate_ranks(table: StepTable, requests: Requests, scheduler: Scheduler, *,
                   concurrency: int | None = None, compiled: bool = True) -> Run:
    """Serve the requests on one replica whose attention copies schedule for themselves.

    Args:
        table: step times of the replica, all ranks together.
        requests: arrivals and lengths.
        scheduler: rules of a rank, and how ranks go together.
        concurrency: of a closed loop; None: requests arrive at their own times.
        compiled: False runs the loop uncompiled.

    Raises:
        BadInput: no request that fits into a rank's cache, a closed loop with one that does not,
            or more state than memory should hold.
    """
    from ridgeline.serving.loop_replicas import serve_least_loaded

    states, arrays, order = joint_state(table, requests, scheduler, 1)
    if concurrency is not None:
        check_closed(order, requests)
        arrays[4].reshape(-1, at.WHEN)[:, at.ARRIVAL] = 0.0
        arrays[0][0, at.NEXT_SENT] = min(concurrency, len(requests))
        arrays[0][0, at.LAST_SENT] = len(requests)
    run_joint(serve_least_loaded, arrays, compiled)
    (run,), _ = joint_runs(states, arrays, requests)
    return run


def joint_state(table: StepTable, requests: Requests, scheduler: Scheduler, replicas: int
                ) -> tuple[list[Replica], list[Any], Any]:
    """All ranks of all replicas: they, the loop's arrays, the order of arrival.

    Raises:
        BadInput: no request that fits, or more state than memory should hold.
    """
    arrays = flatten_table(table, scheduler)
    order = np.flatnonzero(fits_cache(requests, scheduler))
    if not len(order):
        raise BadInput(f"no request fits into the KV cache of {scheduler.kv_blocks:,} blocks of "
                       f"{scheduler.block_size} tokens")
    ranks = scheduler.ranks
    count = replicas * ranks.count
    one = Replica(arrays, scheduler, requests)
    job, when = request_arrays(requests)
    key, queue = keys_of(requests, scheduler)
    size = len(queue) + len(one.slot) + len(one.hist) + len(one.trace)
    if size * count > _MOST_JOINT:
        raise BadInput(f"{count:,} schedulers with {size:,} entries of queues and caches each "
                       "are too many to look at together; give fewer requests or replicas, or "
                       "use 'round-robin'")
    states = [one] + [Replica(arrays, scheduler, requests) for _ in range(count - 1)]
    rows = [np.array([getattr(s, name) for s in states])
            for name in ("n", "x", "slot", "hist", "trace")]
    # Nobody is released by a completion: arrivals are the router's.
    rows[0][:, at.UPCOMING] = rows[0][:, at.COUNT] = len(requests)
    rows[0][:, at.RANKS], rows[0][:, at.PAD_TO] = ranks.count, ranks.pad_to
    rows[0][:, at.TURN] = 0 if ranks.balance == "turns" else -1
    chosen = np.full(len(requests), -1, np.int32)
    return states, [*rows[:3], job, when, arrays.values, *rows[3:], key,
                    np.tile(queue, (len(states), 1)), order, chosen], order


def run_joint(loop: Any, state: list[Any], compiled: bool) -> None:
    """Run a loop over several schedulers, compiled, or uncompiled over lists written back."""
    from ridgeline.serving.compiled import has_numba, plain

    if compiled and has_numba():
        loop(*state)
        return
    lists = [array.tolist() for array in state]
    plain(loop)(*lists)
    for array, values in zip(state, lists, strict=True):
        array[:] = values


def joint_runs(states: Sequence[Replica], arrays: Sequence[Any], requests: Requests
               ) -> tuple[list[Run], Any]:
    """One run a replica, each with all requests' times; and the replica of each request."""
    runs = []
    for row, scheduler in enumerate(states):
        scheduler.n, scheduler.x, scheduler.slot, scheduler.hist, scheduler.trace = (
            arrays[place][row] for place in (0, 1, 2, 6, 7))
        if scheduler.x[at.STALLED]:
            raise RuntimeError("the scheduler found nothing to do while requests wait")
        runs.append(collect(scheduler, requests, arrays[3], arrays[4]))
    ranks = states[0].scheduler.ranks.count
    chosen = arrays[11]
    return ([_merged(runs[k:k + ranks]) for k in range(0, len(runs), ranks)],
            np.where(chosen < 0, -1, chosen // ranks))


def _merged(ranks: Sequence[Run]) -> Run:
    """Ranks that step together as one replica: its clock is theirs, its counts are their sums."""
    first = ranks[0]
    if len(ranks) == 1:
        return first
    names = ("preemptions", "prompt_tokens", "output_tokens", "mean_batch", "mean_blocks",
             "leaked_blocks", "gaps", "rejected", "swapped", "verified", "asked_tokens",
             "found_tokens", "loaded_tokens")
    sums: dict[str, Any] = {name: sum(getattr(run, name) for run in ranks) for name in names}
    timeline = first.timeline.copy()
    timeline[:, at.AT_RUNNING:] = sum(run.timeline[:, at.AT_RUNNING:] for run in ranks)
    return dataclasses.replace(first, **sums, timeline=timeline)
