"""How good any pair of prefill and decode pools could be at most, without evaluating it.

A unit of w prefill and m decode replicas at a batch of B has m B requests in flight, and

    w >= max(1, m B s' / (0.9 (O - 1) t(B)))
    e2e >= e_f c' (r + s) + e (O - 1) t(n),   n >= B t0(n) / (t0(n) + 0.9 t(B) (1 + 1 / B))
    e2e >= min(e_f c', e c) (O - 1) B min over n <= B of t0(n) / n

with s the time of a prompt alone, s' of each of many, t0 the step, t the step corrected by c and
never below its floor, r and c' the engine's time for a request and correction of its wait, e_f and
e the margins of the form. Who waits for a prompt does
not decode: at a prefill pool that is at most 0.9 full, few do (first bound on e2e), and fewer
sequences never make a token cheaper (second).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.search.curves import Array
from ridgeline.search.goal import TIE, Goal
from ridgeline.search.rated import POOLS_APART, Line, Rated, corrected_log

__all__ = ["DecodeSide", "PrefillSide", "least_objective"]

# Rounds of the least fixed point, and what rounding may add.
_ROUNDS = 6
_HAIR = 1e-8
_ENDLESS = 1e9


@dataclass(frozen=True)
class PrefillSide:
    """Prefill replicas as columns of shape (P, 1).

    Attributes:
        service: time of a replica that a prompt takes when the pool is matched [s].
        alone: time of a prompt alone [s].
        chips, rent, watts: of a replica.
    """

    service: Array
    alone: Array
    chips: Array
    rent: Array
    watts: Array

    @classmethod
    def of(cls, replicas: Sequence[Rated], prompt_s: Sequence[float], each_s: Sequence[float],
           matched: float) -> PrefillSide:
        """Columns of replicas, each with its time of a prompt alone and of each of many."""
        def column(values: Any) -> Array:
            return np.array([float(value) for value in values])[:, None]

        return cls(column(each_s) / matched, column(prompt_s),
                   column(r.shape.chips for r in replicas),
                   column(r.shape.chips * r.shape.offer.usd_per_chip_hour for r in replicas),
                   column(r.shape.chips * (r.shape.offer.chip.tdp or math.nan) for r in replicas))


@dataclass(frozen=True)
class DecodeSide:
    """One decode replica over the batches that its cache holds.

    Attributes:
        batch: of a replica.
        tokens: least time of an output after its first token [s].
        rate: prompts a second that it takes at each batch, at least.
        full: least e2e when all of the batch has to be served [s].
        chips, rent, watts: of the replica.
        queue, request: factor and summand of a first token's wait at least.
    """

    batch: Array
    tokens: Array
    rate: Array
    full: Array
    chips: float
    rent: float
    watts: float
    queue: Array
    request: Array

    @classmethod
    def of(cls, one: Rated, lines: tuple[Line, Line], batches: Array, *, slowest: float,
           matched: float, ttft: float = math.inf) -> DecodeSide:
        """The replica with the corrections of its pools.

        Args:
            one: the replica.
            lines: corrections of time per token and of time to first token.
            batches: to try.
            slowest: longest time of a prompt alone on any prefill replica [s].
            matched: share of its time that a prefill pool works.
            ttft: target [s].
        """
        batch = batches[batches <= max(one.rooms)]
        gaps, off = max(one.requests.mean_output - 1, 1), POOLS_APART
        bent = np.exp(corrected_log(lines[0], batch))
        late = (np.exp(corrected_log(lines[1], batch)) if lines[1] != (0.0, 0.0)
                else np.ones(len(batch)))
        step, counts = one.curves.decode(batch), np.arange(1.0, max(batch, default=1.0) + 1)
        steps, places = one.curves.decode(counts), batch.astype(int) - 1
        visit = np.maximum(slowest, matched * gaps * step * bent * (1 + 1 / batch))
        waits = off.fast_wait * late
        if not one.requests.open:
            visit = np.minimum(visit, ttft / waits)
        # The least step of so many sequences or more: steps do not quite rise with them.
        rising = np.minimum.accumulate(steps[::-1])[::-1]
        alone = rising[_decoding(rising * one.requests.mean_output, batch, visit) - 1]
        cheapest = batch * np.minimum.accumulate(steps / counts)[places]
        full = gaps * cheapest * np.minimum(0.0 if one.requests.open else waits, off.fast * bent)
        shape = one.shape
        return cls(batch, off.fast * gaps * np.maximum(alone * bent, one.floors(batch)),
                   batch / (gaps * step * bent), full, shape.chips,
                   shape.chips * shape.offer.usd_per_chip_hour,
                   shape.chips * (shape.offer.chip.tdp or math.nan), late,
                   late * one.outside)


def _decoding(away: Array, batch: Array, visit: Array) -> Any:
    """Sequences that decode at least: the least fixed point of n = B away(n) / (away(n) + visit).

    Args:
        away: time of all tokens with 1, 2, ... sequences, rising [s].
        batch: B. visit: longest wait for a prompt [s].
    """
    n = np.ones(len(batch), np.int64)
    for _ in range(_ROUNDS):
        taken = away[n - 1]
        n = np.maximum(n, np.floor(batch * taken / (taken + visit)).astype(np.int64))
    return n


def least_objective(goal: Goal, first: PrefillSide, decode: DecodeSide, *, transfer: Array,
                    floor: Array, most_workers: int, prompt: float, output: float) -> Array:
    """What the objective of each pair's rows is at least, shape (P,); infinite where none will do.

    Args:
        goal: targets and what is minimised.
        first: prefill replicas.
        decode: one decode replica.
        transfer: time of the cache's way, shape (P, 1) [s].
        floor: least time of a prompt, shape (P, 1) [s].
        most_workers: decode replicas of a unit at most.
        prompt, output: mean tokens of a request.

    Sources: own derivation, see the module; tested against every row of random pairs.
    """
    if not len(decode.batch):
        return np.full(len(first.chips), math.inf)
    off = POOLS_APART
    # Where there is no link no time will do; a large one stands for endless in the arithmetic.
    begun = off.fast_wait * (np.maximum(decode.request + decode.queue * first.alone, floor)
                             + np.minimum(transfer, _ENDLESS))
    e2e = np.maximum(begun + decode.tokens, decode.full)
    # Prefill replicas for each decode replica: matched, and one for a whole unit at least.
    workers = np.maximum(first.service * decode.rate, 1.0 / most_workers)

    def unit(prefill: Array, of_decode: float) -> Array:
        return workers * prefill + of_decode

    each = e2e / decode.batch                      # seconds of a unit that a request takes
    values = {"cost": lambda: unit(first.rent, decode.rent) * each,
              "chips": lambda: unit(first.chips, decode.chips) * each,
              "energy": lambda: unit(first.watts, decode.watts) * each / output,
              "latency": lambda: begun + decode.tokens}[goal.minimize]()
    values = _scaled(goal, values, first, decode, e2e, prompt + output)
    values = values * (1.0 + TIE * (1.0 - 1.0 / (1.0 + e2e)))
    bad = (~np.isfinite(transfer) | (begun > goal.ttft)
           | (decode.tokens / max(output - 1, 1) > goal.tpot))
    if math.isfinite(goal.budget):
        bad = bad | ~(first.rent + decode.rent <= goal.budget * (1 + 1e-9))
    least: Array = np.where(bad, math.inf, values).min(axis=1) * (1 - _HAIR)
    return least


def _scaled(goal: Goal, values: Array, first: PrefillSide, decode: DecodeSide, e2e: Array,
            tokens: float) -> Array:
    """Values of one request a second as the goal counts them."""
    if goal.minimize in ("latency", "energy"):
        return values
    if not goal.loaded:
        # A unit by itself: its price of a million tokens, or its chips.
        return (values / 3600 / tokens * 1e6 if goal.minimize == "cost"
                else np.broadcast_to(first.chips + decode.chips, values.shape))
    served = values * goal.rate if goal.rate is not None else values / e2e * (goal.users or 1.0)
    one = (first.rent + decode.rent if goal.minimize == "cost" else first.chips + decode.chips)
    return np.asarray(np.maximum(served, one))
