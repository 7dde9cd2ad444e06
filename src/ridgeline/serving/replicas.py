"""Several replicas of a deployment behind a router."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.errors import BadInput, UnknownName
from ridgeline.serving.ranks import joint_runs, joint_state, run_joint
from ridgeline.serving.requests import Requests
from ridgeline.serving.scheduler import Scheduler
from ridgeline.serving.simulator import Run, fits_cache, simulate_replica
from ridgeline.timing.step_table import StepTable

__all__ = ["ROUTERS", "Fleet", "simulate_replicas", "totals"]

ROUTERS = ("round-robin", "least-loaded", "prefix", "random")

@dataclass(frozen=True)
class Fleet:
    """Replicas, and how requests are spread over them.

    Attributes:
        replicas: copies side by side.
        router: "round-robin"; "least-loaded" (fewest requests in flight); "prefix" (requests with
            the same first block go to the same replica); "random".
    """

    replicas: int = 1
    router: str = "round-robin"

    def __post_init__(self) -> None:
        if not 1 <= self.replicas <= 100_000:
            raise BadInput(f"replicas must be from 1 to 100,000, not {self.replicas}")
        if self.router not in ROUTERS:
            raise UnknownName.among("router", self.router, ROUTERS,
                                    "Accepted: " + ", ".join(ROUTERS))


def simulate_replicas(table: StepTable, requests: Requests, scheduler: Scheduler, fleet: Fleet, *,
                      concurrency: int | None = None, seed: int = 0,
                      compiled: bool = True) -> Run:
    """Serve the requests on all replicas.

    Args:
        table: step times of one replica.
        requests: arrivals and lengths.
        scheduler: rules of one replica.
        fleet: how many replicas, and the router.
        concurrency: a closed loop with so many requests in flight in all, shared evenly; None:
            requests arrive at their own times.
        seed: of the random router.
        compiled: False runs the same loop uncompiled.

    Raises:
        BadInput: fewer requests in flight than replicas, no request that fits, or a router that
            cannot be used with these requests.
    """
    replicas = min(fleet.replicas, len(requests))
    if replicas == 1:
        return simulate_replica(table, requests, scheduler, concurrency=concurrency,
                                compiled=compiled)
    if fleet.router == "least-loaded" and concurrency is None:
        return _least_loaded(table, requests, scheduler, replicas, compiled)
    owner = _owner(requests, fleet, replicas, seed)
    parts = [np.flatnonzero(owner == r) for r in range(replicas)]
    in_flight = _shares(concurrency, replicas)
    runs = [simulate_replica(table, requests.take(part), scheduler, concurrency=share,
                             compiled=compiled)
            for part, share in zip(parts, in_flight, strict=True)
            if len(part) and fits_cache(requests.take(part), scheduler).any()]
    kept = [part for part in parts
            if len(part) and fits_cache(requests.take(part), scheduler).any()]
    if not runs:
        return simulate_replica(table, requests, scheduler, compiled=compiled)     # says why
    return dataclasses.replace(_merged(runs, kept, requests), owner=owner)


def _shares(concurrency: int | None, replicas: int) -> list[int | None]:
    if concurrency is None:
        return [None] * replicas
    if concurrency < replicas:
        raise BadInput(f"{concurrency} requests in flight cannot be shared by {replicas} replicas")
    return [concurrency // replicas + (r < concurrency % replicas) for r in range(replicas)]


def _owner(requests: Requests, fleet: Fleet, replicas: int, seed: int) -> Any:
    """Replica of each request where routing looks only at the request."""
    count = len(requests)
    if fleet.router == "random":
        return np.random.default_rng(seed).integers(0, replicas, count)
    if fleet.router == "prefix":
        if requests.blocks is None:
            raise BadInput("the router 'prefix' needs a trace that carries block hashes")
        # The second block where there is one: first blocks are often a preamble common to all.
        first = np.array([int(b[min(1, len(b) - 1)]) if len(b) else i
                          for i, b in enumerate(requests.blocks)], np.uint64)
        mixed = first * np.uint64(0x9E3779B97F4A7C15)
        return (mixed >> np.uint64(33)).astype(np.int64) % replicas
    return np.arange(count) % replicas


def _merged(runs: Sequence[Run], parts: Sequence[Any], requests: Requests) -> Run:
    """One run out of those of disjoint parts of the requests."""
    count = len(requests)
    columns: dict[str, Any] = {}
    for name in ("arrival", "start", "first", "end", "evictions"):
        column = np.full(count, -1.0 if name != "evictions" else 0.0)
        for run, part in zip(runs, parts, strict=True):
            column[part] = getattr(run, name)
        columns[name] = column
    columns["arrival"] = np.where(columns["arrival"] < 0, requests.arrival, columns["arrival"])
    columns["evictions"] = columns["evictions"].astype(np.int64)
    return dataclasses.replace(
        runs[0], **columns, prompt=requests.prompt, output=requests.output, **totals(runs))


def totals(runs: Sequence[Run]) -> dict[str, Any]:
    """Sums over replicas; means weighted by busy time; the busiest one's timeline."""
    sums: dict[str, Any] = {name: sum(getattr(run, name) for run in runs) for name in (
        "busy", "steps", "preemptions", "prompt_tokens", "output_tokens", "leaked_blocks", "gaps",
        "rejected", "swapped", "verified", "asked_tokens", "found_tokens", "loaded_tokens")}
    busy = sums["busy"] or 1.0
    means = {name: sum(getattr(run, name) * run.busy for run in runs) / busy
             for name in ("mean_batch", "mean_blocks")}
    longest = max(runs, key=lambda run: run.busy)
    return {**sums, **means, "makespan": max(run.makespan for run in runs),
            "timeline": longest.timeline}


def _least_loaded(table: StepTable, requests: Requests, scheduler: Scheduler, replicas: int,
                  compiled: bool) -> Run:
    """All replicas in one loop, since the router looks at each of them."""
    from ridgeline.serving.loop_replicas import serve_least_loaded

    states, arrays, _ = joint_state(table, requests, scheduler, replicas)
    run_joint(serve_least_loaded, arrays, compiled)
    runs, chosen = joint_runs(states, arrays, requests)
    # Every run sees all requests' times; only the counts are each one's own.
    return dataclasses.replace(runs[0], **totals(runs), owner=chosen)
