"""A simulation before its answer: what the question resolves to, and the runs."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput, Infeasible
from ridgeline.questions.performance import deployed_of
from ridgeline.questions.resolve import Resolved, resolve
from ridgeline.questions.simulate_asked import Asked
from ridgeline.questions.simulate_plan import planned_scenario
from ridgeline.questions.simulate_rules import fleet_of, scheduler_of
from ridgeline.scenario import Scenario

if TYPE_CHECKING:
    from ridgeline.serving.autoscale import Autoscale
    from ridgeline.serving.deployed import Deployed
    from ridgeline.serving.pools import PoolFleet
    from ridgeline.serving.replicas import Fleet
    from ridgeline.serving.requests import Requests
    from ridgeline.serving.scheduler import Scheduler
    from ridgeline.serving.simulator import Run
    from ridgeline.serving.step_factors import StepFactors
    from ridgeline.timing.step_table import StepTable

__all__ = ["Asked", "Progress", "Setup", "Simulated", "numbers_of", "prepare", "run_requests",
           "run_simulation"]

_PILOT = 2000

# Told after each run: how many are done, of how many (0: not known), and what is next.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Setup:
    """Everything a run needs.

    Attributes:
        resolved: the scenario, with names looked up.
        replica: the deployed replica.
        scheduler, fleet: rules and copies.
        requests: the first seed's requests.
        concurrency: of a closed loop, in all; None: open.
        factors: the engine's learned corrections of step times under this load.
        notes: where the requests came from.
    """

    resolved: Resolved
    replica: Deployed
    scheduler: Scheduler
    fleet: Fleet | PoolFleet | Autoscale
    requests: Requests
    concurrency: int | None
    factors: StepFactors
    notes: tuple[str, ...] = ()

    @property
    def replicas(self) -> int:
        """Of all pools; the most there can be when they follow the load."""
        from ridgeline.serving.autoscale import Autoscale

        fleet = self.fleet
        return fleet.most if isinstance(fleet, Autoscale) else fleet.replicas

    @property
    def decoding(self) -> int:
        """Replicas that decode."""
        from ridgeline.serving.pools import PoolFleet

        return self.fleet.decode if isinstance(self.fleet, PoolFleet) else self.replicas

    @property
    def outside(self) -> float:
        """Time of a request outside the engine's steps, part of its TTFT and latency [s]."""
        return self.factors.outside

    @property
    def spread(self) -> tuple[float, float]:
        """Factors on decode steps at the ends of their 80 % interval."""
        return self.factors.decode_spread


@dataclass(frozen=True)
class Simulated:
    """Outcome of all seeds.

    Attributes:
        setup: what was run.
        runs: one a seed.
        summaries: their numbers, in the same order.
        bounds: numbers of the first seed with step times at the ends of their interval.
        wall: seconds the runs of all seeds took, after compilation.
    """

    setup: Setup
    runs: tuple[Run, ...] = field(repr=False)
    summaries: tuple[dict[str, float], ...]
    bounds: tuple[dict[str, float], ...]
    wall: float


def run_simulation(scenario: Scenario, asked: Asked, progress: Progress | None = None
                   ) -> Simulated:
    """Prepare and run all seeds, in parallel threads (the compiled loop needs no lock).

    Args:
        scenario: model, machine, deployment, workload.
        asked: load, fleet, rules, targets.
        progress: told after each seed.
    """
    import os
    from concurrent.futures import ThreadPoolExecutor

    setup = prepare(scenario, asked)
    shortest = int((setup.requests.prompt + setup.requests.output).argmin())
    warm = dataclasses.replace(setup, requests=setup.requests.take(slice(shortest, shortest + 1)))
    run_requests(warm, dataclasses.replace(asked, trace=None), asked.seed)  # compiles
    begun = time.perf_counter()
    seeds = range(asked.seed, asked.seed + asked.seeds)
    runs = []
    with ThreadPoolExecutor(min(len(seeds), os.cpu_count() or 1)) as pool:
        for run in pool.map(lambda seed: run_requests(setup, asked, seed), seeds):
            runs.append(run)
            if progress:
                progress(len(runs), len(seeds), "seeds")
    wall = time.perf_counter() - begun
    ends = [run_requests(setup, asked, asked.seed, end) for end in (0, 1)]
    return Simulated(setup, tuple(runs), tuple(numbers_of(setup, asked, run) for run in runs),
                     tuple(numbers_of(setup, asked, run) for run in ends), wall)


def numbers_of(setup: Setup, asked: Asked, run: Run) -> dict[str, float]:
    """The numbers of one run (see serving.summary)."""
    from ridgeline.serving.summary import summarise

    return summarise(run, extra=setup.outside, ttft=asked.ttft, tpot=asked.tpot,
                     replicas=setup.replicas, kv_blocks=setup.scheduler.all_blocks)


def run_requests(setup: Setup, asked: Asked, seed: int, end: int | None = None) -> Run:
    """One run: the requests of a seed, with step times as predicted or at an end of their interval.

    Args:
        setup: what to run.
        asked: the question.
        seed: of the load, and of a random router.
        end: 0 for the fast end of the 80 % interval of step times, 1 for the slow one.
    """
    from ridgeline.serving.step_factors import scaled

    requests = setup.requests
    if seed != asked.seed and (asked.trace is None or asked.mixed):
        requests = _with_hits(_requests(setup.resolved.scenario, asked, seed)[0],
                              setup.resolved.scenario)
    factors, prompts, decode = setup.factors, 1.0, 1.0
    if end is not None:
        prompts, decode = factors.prompt_spread[end], factors.decode_spread[end]
    prompts, decode = factors.prompts * prompts, factors.decode * decode
    rules = dataclasses.replace(setup.scheduler, prompt_factor=prompts / decode, seed=seed)
    return _served(scaled(setup.replica.table, decode), requests, rules, setup, seed)


def _served(table: StepTable, requests: Requests, rules: Scheduler, setup: Setup, seed: int) -> Run:
    """The fleet's run, whichever kind of fleet it is."""
    from ridgeline.serving.autoscale import Autoscale, simulate_scaled
    from ridgeline.serving.pools import PoolFleet, simulate_pools
    from ridgeline.serving.replicas import simulate_replicas

    if isinstance(setup.fleet, Autoscale):
        if setup.concurrency is not None:
            raise BadInput("autoscaling follows an open load; give --rate or --trace")
        return simulate_scaled(table, requests, rules, setup.fleet)
    serve: Any = simulate_pools if isinstance(setup.fleet, PoolFleet) else simulate_replicas
    run: Run = serve(table, requests, rules, setup.fleet, concurrency=setup.concurrency, seed=seed)
    return run


def prepare(scenario: Scenario, asked: Asked, given_requests: Requests | None = None) -> Setup:
    """Requests, replica and rules of a question. Raises as `simulate`.

    Args:
        scenario: model, machine, deployment, workload.
        asked: load, fleet, rules, targets.
        given_requests: to be served instead of those asked for, which then only say whether the
            loop is closed.
    """
    from ridgeline.questions.fit import shortfall
    from ridgeline.serving.step_factors import StepFactors

    if given_requests is None:
        requests, notes = _requests(scenario, asked, asked.seed)
    else:
        requests, notes = given_requests, []
    if asked.plan:
        scenario, said = planned_scenario(scenario, asked)
        notes.append(said)
    longest = int((requests.prompt + requests.output).max())
    given = scenario.workload.context
    resolved = resolve(scenario.replace(context=max(longest, given or 0)))
    trained = resolved.architecture.max_context
    if trained and longest > trained:
        over = int(((requests.prompt + requests.output) > trained).sum())
        notes.append(f"{over:,} of {len(requests):,} requests are longer than the model's context "
                     f"of {trained:,} tokens; they are served all the same.")
    alone = resolve(scenario.replace(context=int((requests.prompt + requests.output).min())))
    if short := shortfall(alone):
        raise Infeasible(short)
    replica = deployed_of(resolved)
    closed = (scenario.workload.concurrency if asked.trace is None and asked.rate is None
              else None)
    setup = Setup(resolved, replica, scheduler_of(replica, requests, asked),
                  fleet_of(replica, requests, asked), _with_hits(requests, scenario), closed,
                  StepFactors(1.0, 1.0), tuple(notes))
    return _corrected(setup, asked)


def _corrected(setup: Setup, asked: Asked) -> Setup:
    """With the engine layer's corrections, which depend on how many requests are in flight.

    Of an open load, a pilot run of its first requests tells how many that are.
    """
    from ridgeline.serving.step_factors import step_factors

    requests = setup.requests
    in_flight = float(setup.concurrency or 0) / setup.decoding
    if not setup.concurrency:
        from ridgeline.serving.simulator import fits_cache

        fitting = fits_cache(requests, setup.scheduler).nonzero()[0]
        first = fitting[:_PILOT] if len(fitting) else slice(0, 1)       # which says why
        pilot = dataclasses.replace(setup, requests=requests.take(first))
        in_flight = run_requests(pilot, asked, asked.seed).mean_batch
    lengths = (round(float(requests.prompt.mean())), round(float(requests.output.mean())))
    # Fitted at whole octaves of concurrency, which all loads share, and between them in proportion.
    octave = math.log2(max(1.0, in_flight))
    low, high = (step_factors(setup.replica, 2**k, *lengths)
                 for k in (math.floor(octave), math.ceil(octave)))
    return dataclasses.replace(setup, factors=low.towards(high, octave % 1.0))


def _with_hits(requests: Requests, scenario: Scenario) -> Requests:
    """With the workload's share of each prompt found in the prefix cache."""
    share = scenario.workload.prefix_hit
    if not share:
        return requests
    return dataclasses.replace(requests, cached=(requests.prompt * share).astype("int64"))


def _requests(scenario: Scenario, asked: Asked, seed: int) -> tuple[Requests, list[str]]:
    if asked.trace is None:
        return _made_up(scenario, asked, seed), []
    if asked.mixed:
        return _drawn(asked, seed)
    from ridgeline.serving.traces import read_trace

    trace = read_trace(asked.trace, skip_bad=asked.skip_bad, sort=asked.sort,
                       limit=asked.requests, speed=asked.speed)
    return trace.requests, list(trace.notes)


def _drawn(asked: Asked, seed: int) -> tuple[Requests, list[str]]:
    """Requests of a client mix."""
    from ridgeline.serving.client_mix import generate_mix

    made = generate_mix(str(asked.trace), start=asked.start, duration=asked.duration,
                        scale=asked.speed, seed=seed)
    if asked.requests is not None:
        made = made.take(slice(0, asked.requests))
    return made, [f"Arrivals and lengths are drawn from the client mix {asked.trace}, from "
                  f"{asked.start:g} s on for {asked.duration:g} s."]


def _made_up(scenario: Scenario, asked: Asked, seed: int) -> Requests:
    from ridgeline.serving.load import Load, generate_requests

    work = scenario.workload
    count = asked.requests or max(1000, 10 * work.concurrency if asked.rate is None else 0)
    load = Load(work.prompt, max(1, work.output), count, asked.rate, asked.cv, asked.length_cv)
    return generate_requests(load, seed)
