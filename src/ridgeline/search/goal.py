"""What is wanted of a deployment: load, targets, budget, and what to minimise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.economics.energy_use import token_energy
from ridgeline.economics.token_cost import token_cost
from ridgeline.errors import BadInput, UnknownName
from ridgeline.search.curves import Array
from ridgeline.serving.queueing import md1_wait

__all__ = ["MINIMIZE", "VERDICTS", "Goal", "Scored", "prompt_wait", "queue_wait", "score"]

MINIMIZE = ("cost", "latency", "energy", "chips")
# What a row is turned down for, in the order they are looked at; 0 is "meets everything".
# Share of an objective by which rows that are equal in it differ with their speed.
TIE = 1e-6
VERDICTS = ("meets", "kv", "chips", "budget", "load", "ttft", "tpot")


@dataclass(frozen=True)
class Goal:
    """Targets and limits.

    Attributes:
        ttft, tpot: targets on means [s]; infinite: none.
        rate: requests a second to be served in all; None: as many as the chips can.
        users: requests in flight in all; None likewise.
        budget: rent at most [USD/h].
        minimize: "cost", "latency", "energy" or "chips".
    """

    ttft: float = math.inf
    tpot: float = math.inf
    rate: float | None = None
    users: int | None = None
    budget: float = math.inf
    minimize: str = "cost"

    def __post_init__(self) -> None:
        if self.minimize not in MINIMIZE:
            raise UnknownName.among("thing to minimize", self.minimize, MINIMIZE,
                                    "Accepted: " + ", ".join(MINIMIZE))
        if self.rate is not None and self.users is not None:
            raise BadInput("give a rate or a number of users, not both: users are requests always "
                           "in flight, a rate is arrivals that come when they come")
        for name, unit in (("ttft", "seconds"), ("tpot", "seconds"), ("budget", "dollars an hour"),
                           ("rate", "requests a second"), ("users", "users")):
            value = getattr(self, name)
            endless = value == math.inf and name in ("rate", "users")
            if value is not None and (endless or not value > 0):
                raise BadInput(f"{name} must be a positive number of {unit}, not {value:g}")

    @property
    def loaded(self) -> bool:
        """Whether there is a load to be served, rather than a machine to be filled."""
        return self.rate is not None or self.users is not None


@dataclass(frozen=True)
class Scored:
    """What rows cost and whether they do; all arrays of one shape.

    Attributes:
        replicas, chips: in all.
        ttft: with the wait for a free place, under a rate [s].
        tokens_per_s: output of all replicas.
        usd_per_hour, usd_per_mtok: rent, and rent over all tokens in and out.
        joules_per_token: board power over output tokens.
        objective: what is minimised; of two equal rows the faster is less.
        verdict: index into VERDICTS.
    """

    replicas: Array
    chips: Array
    ttft: Array
    tokens_per_s: Array
    usd_per_hour: Array
    usd_per_mtok: Array
    joules_per_token: Array
    objective: Array
    verdict: Any


@dataclass(frozen=True)
class Replica:
    """What rows of a replica share; numbers, or arrays of one entry a row.

    Attributes:
        chips: of one replica (of both pools together where there are two).
        limit: chips on offer (an array where pools draw on two offers).
        usd_per_hour: rent of one replica.
        watts: board power of one replica.
        prompt, output: mean tokens.
    """

    chips: Any
    limit: Any
    usd_per_hour: Any
    watts: Any
    prompt: float
    output: float


def queue_wait(*, in_flight: Any, places: Any, seconds: Any) -> Array:
    """Mean wait for one of many places, each taken for `seconds`.

        W = S / c * rho^(sqrt(2 (c + 1)) - 1) / (1 - rho),   rho = in_flight / c

    Args:
        in_flight: arrival rate times service time [1].
        places: c, requests served at once [1].
        seconds: S, mean time a place is taken [s].

    Returns:
        seconds; infinite from a load of 1 on.

    Sources: Sakasegawa, Ann. Inst. Stat. Math. 29 (1977); exact for one place.
    """
    load = np.asarray(in_flight, float) / places
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        wait = seconds / places * load ** (np.sqrt(2.0 * (places + 1.0)) - 1.0) / (1.0 - load)
    return np.asarray(np.where(load < 1.0, wait, np.inf))


def prompt_wait(*, rate: Any, service: Any) -> Array:
    """Mean wait of a prompt for those before it, arrivals at random.

        W = rho s / (2 (1 - rho)),   rho = rate s

    Args:
        rate: prompts a second of a replica [1/s].
        service: s, time that one prompt keeps the next waiting [s].

    Returns:
        seconds; infinite from a load of 1 on.

    Sources: serving.queueing.md1_wait, for arrays and any load.
    """
    load = np.asarray(rate * service, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        wait = md1_wait(arrival_rate=rate, service_time=service)
    return np.asarray(np.where(load < 1.0, wait, np.inf))


def score(goal: Goal, replica: Replica, *, batch: Array, room: Array, ttft: Array, tpot: Array,
          service: Any = 0.0) -> Scored:
    """Replicas, money and verdict of rows.

    A replica with B in flight and e2e seconds a request serves B / e2e requests a second. Under a
    rate there are as many replicas as carry it, and the places beyond the mean number in flight
    are the headroom that keeps arrivals from waiting.

    Args:
        goal: load, targets, limits.
        replica: constants.
        batch: requests in flight on a replica.
        room: sequences that its cache holds.
        ttft, tpot: times of a request [s].
        service: time that one prompt keeps the next waiting, under a rate [s].
    """
    e2e = ttft + max(replica.output - 1.0, 0.0) * tpot
    each = batch / e2e
    replicas = _replicas(goal, replica, batch, each)
    chips = replicas * replica.chips
    with np.errstate(divide="ignore", invalid="ignore"):
        if goal.rate is not None:
            in_flight = goal.rate * e2e
            waited = ttft + queue_wait(in_flight=in_flight, places=replicas * np.floor(room),
                                       seconds=e2e)
            waited = waited + prompt_wait(rate=goal.rate / replicas, service=service)
            served = np.full(e2e.shape, goal.rate)
        else:
            waited = ttft
            served = goal.users / e2e if goal.users is not None else replicas * each
        usd = replicas * replica.usd_per_hour
        output = served * replica.output
        both = served * (replica.prompt + replica.output)
        per_mtok = token_cost(n_chips=1.0, usd_per_chip_hour=usd, throughput=both)
        joules = token_energy(n_chips=1.0, chip_watts=replicas * replica.watts, throughput=output)
    first = {"cost": usd if goal.loaded else per_mtok, "latency": waited + e2e - ttft,
             "energy": joules, "chips": chips if goal.loaded
             else np.broadcast_to(np.asarray(replica.chips, float), e2e.shape)}[goal.minimize]
    # Of rows that cost the same, the faster one, waits included.
    objective = first * (1.0 + TIE * (1.0 - 1.0 / (1.0 + waited + e2e - ttft)))
    return Scored(replicas, chips, waited, output, usd, np.asarray(per_mtok), np.asarray(joules),
                  objective, _verdict(goal, replica, batch, room, waited, tpot, replicas, usd))


def _replicas(goal: Goal, replica: Replica, batch: Array, each: Array) -> Array:
    # A hair of slack, so that rounding never asks for one replica more.
    if goal.rate is not None:
        return np.maximum(1.0, np.ceil(goal.rate / each - 1e-9))
    if goal.users is not None:
        return np.maximum(1.0, np.ceil(goal.users / batch - 1e-9))
    # Without a limit every replica serves the same, and one of them is the answer.
    most = np.where(np.isfinite(replica.limit), np.floor(replica.limit / replica.chips), 1.0)
    if math.isfinite(goal.budget):
        paid = goal.budget * (1 + 1e-12) // replica.usd_per_hour
        most = np.minimum(most, np.nan_to_num(paid, nan=1.0))
    return np.broadcast_to(np.maximum(1.0, most), batch.shape).astype(float)


def _verdict(goal: Goal, replica: Replica, batch: Array, room: Array, ttft: Array, tpot: Array,
             replicas: Array, usd: Array) -> Any:
    """First reason that turns each row down."""
    verdict = np.zeros(batch.shape, np.int8)
    checks = (("tpot", tpot > goal.tpot), ("ttft", ttft > goal.ttft),
              ("load", ~np.isfinite(ttft)),
              ("budget", ~(usd <= goal.budget * (1 + 1e-12)) if math.isfinite(goal.budget)
               else False),
              ("chips", replicas * replica.chips > replica.limit), ("kv", batch > room))
    for name, fails in checks:
        verdict[np.broadcast_to(fails, verdict.shape)] = VERDICTS.index(name)
    return verdict
