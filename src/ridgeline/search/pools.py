"""Prefill and decode in pools of their own, matched in rate, with the cache sent between them."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.machine import Link
from ridgeline.model.architecture import Architecture
from ridgeline.numeric import Numeric
from ridgeline.search.curves import Array
from ridgeline.search.findings import Piece
from ridgeline.search.goal import Goal, Replica, Scored, score
from ridgeline.search.pool_bounds import DecodeSide, PrefillSide, least_objective
from ridgeline.search.rated import (
    POOLS_APART,
    Line,
    Rated,
    Times,
    corrected_log,
    correction_lines,
)
from ridgeline.serving.disaggregated import prompt_times
from ridgeline.serving.latency import Pools, case_of, first_steps
from ridgeline.serving.measured_run import STEADY

__all__ = ["DECODE_WORKERS", "TwoPools", "best_pairs", "kv_transfer_time",
           "pool_pieces", "possible_pairs", "promising_pairs"]

# Decode replicas of one unit; whole units are repeated.
DECODE_WORKERS = (1, 2, 3, 4, 6, 8)
# Share of a prefill pool's time that a rate-matched pool spends computing.
MATCHED = 0.9
_MOST_PREFILL, _MOST_DECODE = 3, 8


def kv_transfer_time(*, kv_bytes: Numeric, bandwidth: Numeric, latency: Numeric = 0.0) -> Numeric:
    """Time to send a prompt's cache to the pool that decodes.

        t = kv_bytes / W + latency

    Args:
        kv_bytes: cache of the prompt, all layers and devices [B].
        bandwidth: W, one way, of all links that the narrower pool has together [B/s].
        latency: of a hop [s].
    Returns:
        seconds.
    Raises:
        ZeroDivisionError: no bandwidth, for plain floats.
    Sources: own derivation; nothing is hidden behind the computation of the prompt.

    >>> round(kv_transfer_time(kv_bytes=2.68e9, bandwidth=8 * 50e9) * 1e3, 1)
    6.7
    """
    return kv_bytes / bandwidth + latency


@dataclass(frozen=True)
class TwoPools:
    """A prefill replica and a decode replica, as a model of the sweep.

    Attributes:
        prefill, decode: one replica of each pool.
        kv_bytes: cache of a prompt [B].
    """

    prefill: Rated
    decode: Rated
    kv_bytes: float

    @property
    def family(self) -> str:
        """What it is grouped by when it is turned down."""
        return (f"{self.prefill.shape.family} prefill + {self.decode.shape.family} decode"
                if self.prefill.shape.offer is not self.decode.shape.offer
                else f"{self.decode.shape.family}, prefill apart")

    @property
    def settings(self) -> tuple[int, ...]:
        """Decode replicas of a unit by number."""
        return DECODE_WORKERS

    def words(self, setting: int, batch: float) -> str:
        """A row in words."""
        one, many = self.prefill.shape, self.decode.shape
        return (f"{many.deployment.engine}, prefill {_degrees(one.deployment)}, "
                f"{DECODE_WORKERS[setting]} decode {_degrees(many.deployment)} batch={batch:g}")

    def pools(self, decode_workers: int = 1, prefill_workers: int = 1) -> Pools:
        """Both pools for serving.latency."""
        return Pools(self.decode.replica, self.prefill.replica, decode_workers, prefill_workers)

    @property
    def transfer_s(self) -> float:
        """Time to send a prompt's cache; infinite without a link."""
        found = _link(self)
        if found is None:
            return math.inf
        link, lanes = found
        return float(kv_transfer_time(kv_bytes=self.kv_bytes, bandwidth=lanes * link.bandwidth,
                                      latency=link.latency))

    @functools.cached_property
    def _prompt(self) -> tuple[float, float]:
        """Time of one prompt alone on a prefill replica, and of each of many, as closed_pools has
        them."""
        replica = self.prefill.replica
        alone, each = prompt_times(replica.table, prompt=self.prefill.requests.new,
                                   copies=replica.deployment.attention_dp,
                                   budget=replica.policy.token_budget)
        return float(alone), each

    @property
    def prompt_s(self) -> float:
        """Time of one prompt alone on a prefill replica."""
        return self._prompt[0]

    @property
    def each_s(self) -> float:
        """Time a prompt that a prefill replica takes when it has enough of them."""
        return self._prompt[1]

    def prefill_workers(self, decode_workers: Any, batch: Array) -> Array:
        """Prefill replicas that keep up with so many decode replicas at a batch."""
        curves, output = self.decode.curves, self.decode.requests.mean_output
        step = curves.decode(batch)
        step = step * np.exp(corrected_log(self._lines[0], batch))
        rate = decode_workers * batch / (max(output - 1, 1) * step)
        matched = np.maximum(1.0, np.ceil(rate * self.each_s / MATCHED - 1e-9))
        return np.asarray(matched)

    @functools.cached_property
    def _lines(self) -> tuple[Line, Line]:
        """Corrections of time per token and of time to first token."""
        requests = self.decode.requests
        case = case_of(self.pools(), protocol="", concurrency=8.0,
                       prompt=max(1, round(requests.new * STEADY.stretch(()))),
                       output=max(1, round(requests.mean_output * STEADY.stretch(()))))
        return correction_lines(case)

    def times(self, workers: Array, decode_workers: Array, batch: Array) -> Times:
        """Times of a closed loop with `batch` requests a decode replica in flight.

        The form of serving.disaggregated.closed_pools, with the queue by approximate instead of
        exact mean-value analysis.
        """
        curves, requests = self.decode.curves, self.decode.requests
        inside, flying = batch, decode_workers * batch
        service, each, output = self.prompt_s, self.each_s / workers, max(1, requests.mean_output)
        for _ in range(4):
            n = np.maximum(1.0, inside)
            tpot = curves.decode(n)
            away = tpot * output
            # R = e (1 + (C - 1) / C Q), Q = C R / (R + away), solved for R.
            half = 0.5 * (away - each * flying)
            visit = np.maximum(service, np.sqrt(half * half + each * away) - half)
            inside = 0.5 * inside + 0.5 * batch * away / (away + visit)
        first = (each * flying + service) / 2
        wait = (np.full(visit.shape, service) if requests.open
                else visit + np.maximum(0.0, first - visit) / STEADY.waves)
        tpot_line, ttft_line = self._lines
        tpot = tpot * np.exp(corrected_log(tpot_line, batch))
        ttft = self.prefill.outside + wait + first_steps(STEADY) * tpot
        tpot = np.maximum(tpot, self.decode.floors(batch))
        if ttft_line != (0.0, 0.0):
            ttft = ttft * np.exp(corrected_log(ttft_line, batch))
        ttft = np.maximum(ttft, self.prefill.ttft_floor) + self.transfer_s
        return Times(ttft, tpot, ttft + (output - 1) * tpot, self._share(workers, decode_workers),
                     each)

    def _share(self, workers: Array, decode_workers: Array) -> Array:
        """Share of the rent that goes to prompts."""
        paid = workers * _rent(self.prefill)
        return np.asarray(paid / (paid + decode_workers * _rent(self.decode)))

    def constants(self, workers: Array, decode_workers: Array) -> Replica:
        """What rows with so many workers share."""
        one, many = self.prefill.shape, self.decode.shape
        chips = workers * one.chips + decode_workers * many.chips
        watts = (workers * one.chips * (one.offer.chip.tdp or np.nan)
                 + decode_workers * many.chips * (many.offer.chip.tdp or np.nan))
        return Replica(chips, _limit(self, workers, decode_workers, chips),
                       workers * _rent(self.prefill) + decode_workers * _rent(self.decode), watts,
                       self.decode.requests.prompt.mean, float(self.decode.requests.mean_output))


def _degrees(plan: Any) -> str:
    return " ".join(f"{name}={getattr(plan, name)}" for name in ("tp", "pp", "ep", "attention_dp")
                    if name == "tp" or getattr(plan, name) > 1)


def _rent(rated: Rated) -> float:
    return rated.shape.chips * rated.shape.offer.usd_per_chip_hour


def _limit(pair: TwoPools, workers: Array, decode_workers: Array, chips: Array) -> Any:
    """Chips of both kinds at most, so that neither offer is exceeded."""
    one, many = pair.prefill.shape, pair.decode.shape
    if one.offer is many.offer:
        return one.offer.limit
    units = np.floor(np.minimum(one.offer.limit / (workers * one.chips),
                                many.offer.limit / (decode_workers * many.chips)))
    return units * chips


def _link(pair: TwoPools) -> tuple[Link, int] | None:
    """The slower side's link and how many of them work side by side."""
    one, many = pair.prefill.shape, pair.decode.shape
    same = one.offer is many.offer and one.chips + many.chips <= one.offer.cluster.domain_size
    sides = [(s.offer.cluster.scale_up if same else s.offer.cluster.scale_out, s.chips)
             for s in (one, many)]
    if any(link is None for link, _ in sides):
        return None
    return min(((link, n) for link, n in sides if link is not None),
               key=lambda side: side[0].bandwidth * side[1])


def best_pairs(architecture: Architecture, rated: Sequence[Rated], goal: Goal
               ) -> Iterator[TwoPools]:
    """Pairs likely to be on the frontier, of each engine, format and maker: the prefill replicas
    that do most prompts a dollar (or chip) and the fastest, with the decode replicas that do most
    tokens under the target and the fastest.

    Args:
        architecture: the model.
        rated: replicas that fit.
        goal: targets.
    """
    for group, kv in _groups(architecture, rated):
        for one, many in itertools.product(_best_prefill(group), _best_decode(group, goal)):
            pair = TwoPools(one, many, kv)
            if math.isfinite(_transfer(pair)):
                yield pair


def promising_pairs(architecture: Architecture, rated: Sequence[Rated], goal: Goal,
                    batches: Array) -> list[tuple[float, TwoPools]]:
    """Every pair that could meet the goal, each with what its objective is at least, least first.

    Args:
        architecture: the model.
        rated: replicas that fit.
        goal: what is wanted.
        batches: to be tried, rising.
    """
    made: list[tuple[float, int, TwoPools]] = []
    for group, kv in _groups(architecture, rated):
        alone = [TwoPools(one, one, kv).prompt_s for one in group]
        each = [TwoPools(one, one, kv).each_s for one in group]
        first = PrefillSide.of(group, alone, each, MATCHED)
        floor = np.array([one.ttft_floor for one in group])[:, None]
        ends = [(id(one.shape.offer), one.shape.chips) for one in group]
        firsts = dict(zip(reversed(ends), reversed(group), strict=True))
        for many in group:
            ways = {end: _transfer(TwoPools(one, many, kv)) for end, one in firsts.items()}
            lines = TwoPools(group[0], many, kv)._lines
            side = DecodeSide.of(many, lines, batches, slowest=max(alone), matched=MATCHED,
                                 ttft=goal.ttft)
            least = least_objective(
                goal, first, side, transfer=np.array([[ways[end]] for end in ends]),
                floor=floor, most_workers=DECODE_WORKERS[-1],
                prompt=many.requests.prompt.mean, output=float(many.requests.mean_output))
            for i in np.flatnonzero(np.isfinite(least)):
                pair = TwoPools(group[i], many, kv)
                vars(pair)["_lines"] = lines        # they follow the decode replica alone
                made.append((float(least[i]), len(made), pair))
    return [(least, pair) for least, _, pair in sorted(made, key=lambda entry: entry[:2])]


def possible_pairs(rated: Sequence[Rated]) -> int:
    """How many pairs of replicas could serve one another, whatever the goal."""
    kinds = Counter(_kind(one) for one in rated)
    return sum(count * count for count in kinds.values())


def _groups(architecture: Architecture, rated: Sequence[Rated]
            ) -> Iterator[tuple[list[Rated], float]]:
    """Replicas that can serve one another, with the bytes of a prompt's cache."""
    if not rated or rated[0].requests.mean_output <= 1:
        return
    prompt = rated[0].requests.mean_prompt
    groups: dict[tuple[str | None, ...], list[Rated]] = {}
    for one in rated:
        groups.setdefault(_kind(one), []).append(one)
    for group in groups.values():
        kv_bits = group[0].shape.formats.kv.bytes * 8
        yield group, float(architecture.cache_bytes(prompt, kv_bits=kv_bits))


def _transfer(pair: TwoPools) -> float:
    """Transfer time; infinite where the two replicas do not fit on an offer they share."""
    one, many = pair.prefill.shape, pair.decode.shape
    apart = one.offer is not many.offer
    room = apart or one.chips + many.chips <= one.offer.limit
    return pair.transfer_s if room else math.inf


def _kind(one: Rated) -> tuple[str | None, ...]:
    """What both pools share, so that one reads the cache that the other writes: engine, formats
    and the maker of the links."""
    plan = one.shape.deployment
    return plan.engine, plan.weights, plan.kv, one.shape.offer.chip.vendor


def _cost(rated: Rated) -> float:
    rent = _rent(rated)
    return rent if rent == rent else float(rated.shape.chips)


def _best_prefill(rated: Sequence[Rated]) -> list[Rated]:
    def seconds(one: Rated) -> float:
        return TwoPools(one, one, 0.0).each_s

    cheap = sorted(rated, key=lambda r: seconds(r) * _cost(r))[:_MOST_PREFILL]
    fast = min(rated, key=seconds)
    return cheap if any(fast is c for c in cheap) else [*cheap, fast]


def _best_decode(rated: Sequence[Rated], goal: Goal) -> list[Rated]:
    def value(one: Rated) -> float:
        batch: Array = np.asarray(2.0 ** np.arange(0, 11), np.float64)
        batch = batch[batch <= max(one.rooms)]
        if not len(batch):
            return 0.0
        step = one.curves.decode(batch)
        step = step * np.exp(corrected_log(one.tpot_line, batch))
        within = step * one.requests.margins.fast <= goal.tpot
        return float((batch[within] / step[within]).max(initial=0.0)) / _cost(one)

    able = [(value(r), i) for i, r in enumerate(rated)]
    ranked = sorted((v, i) for v, i in ((-v, i) for v, i in able) if v < 0)
    fast = min(range(len(rated)), key=lambda i: float(rated[i].curves.decode(1.0)))
    chosen = [i for _, i in ranked[:_MOST_DECODE]]
    return [rated[i] for i in (chosen if fast in chosen else [*chosen, fast])]


def pool_pieces(pair: TwoPools, number: int, goal: Goal, batches: Array) -> Iterator[Piece]:
    """All rows of a pair: decode replicas of a unit by batch, prefill replicas to match."""
    count = len(batches)
    setting = np.repeat(np.arange(len(DECODE_WORKERS)), count)
    yield pool_piece(pair, number, goal, setting, np.tile(batches, len(DECODE_WORKERS)))


def pool_piece(pair: TwoPools, number: int, goal: Goal, setting: Any, batch: Array) -> Piece:
    """One piece. `batch` is of a decode replica; a unit has as many times its decode replicas."""
    many = np.array(DECODE_WORKERS, float)[setting]
    workers = pair.prefill_workers(many, batch)
    times = pair.times(workers, many, batch)
    constants = pair.constants(workers, many)
    room = np.full(batch.shape, max(pair.decode.rooms))
    off = POOLS_APART

    def at(ttft: float, tpot: float) -> Scored:
        return score(goal, constants, batch=batch * many, room=room * many,
                     ttft=times.ttft * ttft, tpot=times.tpot * tpot,
                     service=times.service * ttft)

    return Piece(number, setting, batch, room, constants.limit, times, at(1.0, 1.0),
                 at(off.fast_wait, off.fast), at(off.slow_wait, off.slow))
