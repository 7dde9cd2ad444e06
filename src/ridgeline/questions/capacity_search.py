"""The search behind `capacity`: simulations under different loads until the limit is bracketed."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ridgeline.errors import BadInput, Infeasible
from ridgeline.quantity import format_si
from ridgeline.questions.simulation import Asked, Progress, Setup, prepare, run_requests
from ridgeline.scenario import Scenario

if TYPE_CHECKING:
    from ridgeline.serving.simulator import Run

__all__ = ["Goal", "Load", "Search", "fewest_replicas", "highest_rate"]

_FLOOD = 2000
# Arrivals last for so many mean latencies, so that queues can show themselves.
_LATENCIES = 30
_FEWEST, _MOST_REQUESTS = 1000, 200_000
_MOST_REPLICAS = 10_000
# A queue that grows by more than this share of the time passing will grow for ever.
_GROWTH = 0.02

@dataclass(frozen=True)
class Goal:
    """What has to be kept.

    Attributes:
        ttft, tpot: targets [s]; None: none.
        percentile: of requests' TTFT and TPOT that has to stay within its target.
        precision: relative width of the bracket at which the search for a rate ends.
    """

    ttft: float | None = None
    tpot: float | None = None
    percentile: float = 95.0
    precision: float = 0.01

    def __post_init__(self) -> None:
        if self.ttft is None and self.tpot is None:
            raise BadInput("capacity needs a target: --ttft, --tpot or both")
        if not 0 < self.percentile < 100:
            raise BadInput(f"the percentile must lie between 0 and 100, not {self.percentile:g}")
        if not 1e-4 <= self.precision <= 0.5:
            raise BadInput(f"precision must be from 0.0001 to 0.5, not {self.precision:g}")


@dataclass(frozen=True)
class Load:
    """One simulated load and what came of it.

    Attributes:
        rate: arrivals a second over all replicas.
        replicas, requests: how many served, and were served.
        ttft, tpot: at the goal's percentile [s]; NaN where there is none.
        output_tokens_per_s, utilisation, mean_batch, latency: over the run; latency is the mean.
        attainment: share of requests within every target.
        broken: why the goal is missed, in words; "" when it is kept.
    """

    rate: float
    replicas: int
    requests: int
    ttft: float
    tpot: float
    output_tokens_per_s: float
    utilisation: float
    mean_batch: float
    latency: float
    attainment: float
    broken: str = ""


class Search:
    """Simulations of one deployment under many loads, each load once.

    Args:
        scenario: model, machine, deployment and mean lengths.
        asked: load and rules; its rate or trace says what is scaled.
        goal: what has to be kept.
        end: None as predicted, 0 or 1: step times at the fast or slow end of their interval.
        progress: told before each simulation.
    """

    def __init__(self, scenario: Scenario, asked: Asked, goal: Goal, end: int | None = None,
                 progress: Progress | None = None) -> None:
        self.scenario, self.goal, self.end, self.progress = (
            scenario, goal, end, progress)
        self.runs = 0
        self.asked = asked if asked.trace or asked.rate else dataclasses.replace(asked, rate=1.0)
        pilot = dataclasses.replace(self.asked, requests=min(_FLOOD, asked.requests or _FLOOD))
        self.setup: Setup = prepare(scenario, pilot)
        self.flood_rate, self.latency = self._flood()
        self.tried: dict[tuple[float, int], Load] = {}
        self.unit_rate = self._unit_rate()

    def _tell(self, what: str) -> None:
        if self.progress:
            self.progress(self.runs, 0, what)
        self.runs += 1

    def _flood(self) -> tuple[float, float]:
        """(requests a second, mean latency inside) of one replica that never lacks work."""
        import numpy as np

        self._tell("flood")
        requests = dataclasses.replace(self.setup.requests,
                                       arrival=np.zeros(len(self.setup.requests)))
        from ridgeline.serving.replicas import Fleet

        fleet = Fleet(1)
        flooded = dataclasses.replace(self.setup, requests=requests, fleet=fleet)
        run = run_requests(flooded, self.asked, self.asked.seed, self.end)
        inside = (run.end - run.start)[run.served]
        return int(run.served.sum()) / run.makespan, float(inside.mean())

    def _unit_rate(self) -> float:
        """Arrivals a second at a speed of 1 of a trace; 1 where a rate is asked for."""
        if self.asked.trace is None:
            return 1.0
        span = float(self.setup.requests.arrival[-1]) * self.asked.speed
        if span <= 0:
            raise BadInput("the trace's requests all arrive at once; it has no rate to scale")
        return (len(self.setup.requests) - 1) / span

    def at(self, rate: float, replicas: int) -> Load:
        """Simulate a load, or remember it."""
        if (rate, replicas) not in self.tried:
            self._tell(f"{format_si(rate, '1/s')} on {replicas:,}")
            asked = self.asked_at(rate, replicas)
            setup = prepare(self.scenario, asked)
            run = run_requests(setup, asked, asked.seed, self.end)
            self.tried[rate, replicas] = _load_of(setup, run, rate, self.goal)
        return self.tried[rate, replicas]

    def asked_at(self, rate: float, replicas: int) -> Asked:
        """The simulation that stands for a load."""
        asked = self.asked
        if asked.pools is None:
            asked = dataclasses.replace(asked, replicas=replicas)
        if asked.trace is not None:
            return dataclasses.replace(asked, speed=rate / self.unit_rate)
        # The same draws whatever the rate: their number follows the highest rate there can be.
        top = self.flood_rate * replicas * self.latency * _LATENCIES
        count = asked.requests or int(min(max(top, _FEWEST), _MOST_REQUESTS))
        return dataclasses.replace(asked, rate=rate, requests=count)


def _load_of(setup: Setup, run: Run, rate: float, goal: Goal) -> Load:
    import numpy as np

    from ridgeline.serving.summary import summarise

    numbers = summarise(run, extra=setup.outside, ttft=goal.ttft, tpot=goal.tpot,
                        replicas=setup.replicas)

    def percentile(values: object, extra: float = 0.0) -> float:
        found = np.asarray(values, float)
        return float(np.percentile(found, goal.percentile)) + extra if len(found) else math.nan

    ttft = percentile(run.ttft, setup.outside)
    tpot = percentile(run.tpot)
    return Load(rate, setup.replicas, len(run.start), ttft, tpot,
                numbers["output_tokens_per_s"], numbers["utilisation"], numbers["mean_batch"],
                numbers["latency_mean"], numbers["attainment"],
                _broken(run, numbers["refused"] + numbers["turned_away"], ttft, tpot, goal))


def _broken(run: Run, refused: float, ttft: float, tpot: float, goal: Goal) -> str:
    if refused:
        return f"{refused:,.0f} requests refused or turned away"
    for name, seen, target in (("TTFT", ttft, goal.ttft), ("TPOT", tpot, goal.tpot)):
        if target is not None and seen > target:
            return (f"{name} p{goal.percentile:g} {format_si(seen, 's')} is over "
                    f"{format_si(target, 's')}")
    return "the queue grows for as long as the load lasts" if _grows(run) else ""


def _grows(run: Run) -> bool:
    """Whether waits of the last quarter of arrivals exceed the second's by a share of the time."""
    waits, arrival = run.queue_wait, run.arrival[run.served]
    quarter = len(waits) // 4
    if quarter < 10:
        return False
    grown = float(waits[-quarter:].mean() - waits[quarter:2 * quarter].mean())
    passed = float(arrival[-quarter:].mean() - arrival[quarter:2 * quarter].mean())
    return grown > _GROWTH * passed


def highest_rate(search: Search, replicas: int) -> tuple[Load, Load | None]:
    """The highest rate found to keep the goal, and the lowest found not to (None: none found).

    Raises:
        Infeasible: the goal is missed at any rate.
    """
    top = search.flood_rate * replicas
    kept, missed = None, None
    rate = 0.7 * top
    while kept is None or missed is None:
        load = search.at(rate, replicas)
        if load.broken:
            missed, rate = load, rate / 2
            if kept is None and rate < top / 2**14:
                raise Infeasible(f"misses the target at any rate: {load.broken} even when "
                                 f"requests arrive {format_si(1 / load.rate, 's')} apart")
        else:
            kept, rate = load, rate * 1.25
            if rate > 64 * top:             # too few requests for any rate to be too high
                return kept, None
    while missed.rate / kept.rate > 1 + search.goal.precision:
        load = search.at(math.sqrt(kept.rate * missed.rate), replicas)
        kept, missed = (kept, load) if load.broken else (load, missed)
    return kept, missed


def fewest_replicas(search: Search, rate: float) -> tuple[Load, Load | None]:
    """The fewest replicas found to keep the goal at a rate, and one fewer (None below one).

    Raises:
        Infeasible: the goal is missed with any number.
    """
    count = max(1, math.ceil(rate / search.flood_rate))
    few, kept = 0, None
    while kept is None:
        load = search.at(rate, count)
        if not load.broken:
            kept = load
        elif count >= min(_MOST_REPLICAS, max(64, 64 * math.ceil(rate / search.flood_rate))):
            raise Infeasible(f"misses the target however many replicas: {load.broken} "
                             f"with {count:,}")
        else:
            few, count = count, max(count + 1, math.ceil(count * 1.5))
    while kept.replicas - few > 1:
        load = search.at(rate, (kept.replicas + few) // 2)
        if load.broken:
            few = load.replicas
        else:
            kept = load
    return kept, search.tried.get((rate, few))
