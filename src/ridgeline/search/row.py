"""One deployment of the answer, with all that is known of it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.deployment import Deployment
from ridgeline.search.chance import chance_within
from ridgeline.search.evaluate import Aggregated, row_of
from ridgeline.search.findings import Key
from ridgeline.search.goal import VERDICTS, Goal, Scored, score
from ridgeline.search.pools import DECODE_WORKERS, TwoPools, pool_piece
from ridgeline.search.space import Shape

__all__ = ["Exact", "Pool", "Row", "row"]

Spread = tuple[float, float, float, float]


@dataclass(frozen=True)
class Exact:
    """Times of a row from the replay: means [s], their spreads, floors and what binds."""

    ttft: float
    tpot: float
    ttft_spread: Spread
    tpot_spread: Spread
    ttft_floor: float
    tpot_floor: float
    bound_prefill: str
    bound_decode: str


@dataclass(frozen=True)
class Pool:
    """Equal replicas of one kind: what a launch needs.

    Attributes:
        shape: chip and formats.
        deployment: degrees with dp replicas, formats, engine, token budget, and as many sequences
            as it is meant to run.
        machine: the chips of all replicas, as text.
        workers: replicas.
    """

    shape: Shape
    deployment: Deployment
    machine: str
    workers: int


@dataclass(frozen=True)
class Row:
    """A deployment with its numbers.

    Attributes:
        mode: "aggregated" or "disaggregated".
        main: the replicas that decode (and compute prompts when aggregated).
        prefill: the prefill pool; None when aggregated.
        batch: requests in flight on a decoding replica.
        chunk: token budget of a device's step when it is not the engine's own.
        chips: in all.
        exact: times.
        ttft: with the wait for a free place [s].
        scored_usd_per_hour, usd_per_mtok, ...: money and energy.
        chance_ttft, chance_tpot: that the real mean is within its target.
        kv_room: sequences that a decoding replica's cache holds.
        memory_bytes, usable_bytes: weights of the fullest device, and what its engine may use.
        verdict: "meets", or what it misses.
        transfer: of a prompt's cache to the decode pool [s]; 0 when aggregated.
    """

    mode: str
    main: Pool
    prefill: Pool | None
    batch: int
    chunk: int | None
    chips: int
    exact: Exact
    ttft: float
    e2e: float
    tokens_per_s: float
    usd_per_hour: float
    usd_per_mtok: float
    usd_per_mtok_input: float
    usd_per_mtok_cached: float
    usd_per_mtok_output: float
    joules_per_token: float
    utilisation: float
    chance_ttft: float
    chance_tpot: float
    kv_room: float
    memory_bytes: float
    usable_bytes: float
    objective: float
    verdict: str
    transfer: float
    steady_ttft: float
    steady_tpot: float

    @property
    def tpot(self) -> float:
        """Time per output token [s]."""
        return self.exact.tpot

    @property
    def chance(self) -> float:
        """That both targets are met, if their errors are independent."""
        return self.chance_ttft * self.chance_tpot

    @property
    def tokens_per_s_per_chip(self) -> float:
        """Output tokens a second of one chip."""
        return self.tokens_per_s / self.chips

    @property
    def point(self) -> tuple[float, float, float]:
        """Place on the frontier: tokens/s/user, tokens/s/chip, -USD/Mtok; more is better."""
        cost = -math.inf if math.isnan(self.usd_per_mtok) else -self.usd_per_mtok
        return 1 / max(self.tpot, 1e-12), self.tokens_per_s_per_chip, cost


def row(model: Any, key: Key, goal: Goal, exact: Exact) -> Row:
    """A row of the sweep with the replay's times in place of the steady form's.

    Args:
        model: Aggregated or TwoPools.
        key: which of its rows.
        goal: load, targets, limits.
        exact: the replay's times.
    """
    return _pooled(model, key, goal, exact) if isinstance(model, TwoPools) else _single(
        model, key, goal, exact)


def _single(model: Aggregated, key: Key, goal: Goal, exact: Exact) -> Row:
    rated, setting = model.rated, model.settings[key.setting]
    steady, _ = row_of(model, goal, key.setting, key.batch)
    batch, room = np.array([float(key.batch)]), np.array([rated.rooms[key.setting]])
    found = score(goal, model.constants, batch=batch, room=room, ttft=np.array([exact.ttft]),
                  tpot=np.array([exact.tpot]), service=steady.service)
    pool = _pool(rated.shape, setting, int(found.replicas[0]), key.batch)
    share = float(steady.prompt_share[0])
    cached = rated.cached_s * _rent_s(model.constants.usd_per_hour)
    most = math.floor(room[0]) if math.isfinite(room[0]) else key.batch
    made = _row("aggregated", pool, None, key, setting, found, exact, goal, share, rated, cached,
                (float(steady.ttft[0]), float(steady.tpot[0])), most)
    return made


def _pooled(model: TwoPools, key: Key, goal: Goal, exact: Exact) -> Row:
    batch = np.array([float(key.batch)])
    piece = pool_piece(model, 0, goal, np.array([key.setting]), batch)
    many = np.array([float(DECODE_WORKERS[key.setting])])
    workers = model.prefill_workers(many, batch)
    found = score(goal, model.constants(workers, many), batch=batch * many,
                  room=piece.room * many, ttft=np.array([exact.ttft]),
                  tpot=np.array([exact.tpot]), service=piece.times.service)
    units = int(found.replicas[0])
    main = _pool(model.decode.shape, None, units * int(many[0]), key.batch)
    first = _pool(model.prefill.shape, None, units * int(workers[0]), None)
    cached = model.prefill.cached_s * _rent_s(
        model.prefill.shape.chips * model.prefill.shape.offer.usd_per_chip_hour)
    times = (float(piece.times.ttft[0]), float(piece.times.tpot[0]))
    made = _row("disaggregated", main, first, key, None, found, exact, goal,
                float(piece.times.prompt_share[0]), model.decode, cached, times,
                math.floor(float(piece.room[0])))
    return dataclasses.replace(made, transfer=model.transfer_s)


def _row(mode: str, main: Pool, prefill: Pool | None, key: Key, setting: int | None,
         found: Scored, exact: Exact, goal: Goal, share: float, rated: Any, cached: float,
         steady: tuple[float, float], most: int) -> Row:
    requests, foot = rated.requests, rated.replica.footprint
    ttft = float(found.ttft[0])
    served = float(found.tokens_per_s[0]) / requests.mean_output
    hourly = float(found.usd_per_hour[0])
    new = served * requests.new
    in_flight = served * (ttft + max(requests.mean_output - 1, 0) * exact.tpot)
    return Row(
        mode, main, prefill, key.batch, setting, round(float(found.chips[0])), exact, ttft,
        e2e=ttft + max(requests.mean_output - 1, 0) * exact.tpot,
        tokens_per_s=float(found.tokens_per_s[0]), usd_per_hour=hourly,
        usd_per_mtok=float(found.usd_per_mtok[0]),
        usd_per_mtok_input=_rent_s(hourly) * share / new * 1e6,
        usd_per_mtok_cached=cached * 1e6,
        usd_per_mtok_output=_rent_s(hourly) * (1 - share) / float(found.tokens_per_s[0]) * 1e6,
        joules_per_token=float(found.joules_per_token[0]),
        utilisation=min(1.0, in_flight / (main.workers * max(1, most))),
        chance_ttft=chance_within(ttft, goal.ttft, exact.ttft_spread),
        chance_tpot=chance_within(exact.tpot, goal.tpot, exact.tpot_spread),
        kv_room=most, memory_bytes=foot.weights, usable_bytes=foot.usable,
        objective=float(found.objective[0]), verdict=VERDICTS[int(found.verdict[0])],
        transfer=0.0, steady_ttft=steady[0], steady_tpot=steady[1])


def _pool(shape: Shape, setting: int | None, workers: int, batch: int | None) -> Pool:
    plan = dataclasses.replace(shape.deployment, dp=workers, max_num_batched_tokens=setting)
    return Pool(shape, plan, shape.offer.machine(shape.chips * workers), workers)


def _rent_s(usd_per_hour: float) -> float:
    """Dollars a second."""
    return usd_per_hour / 3600.0
