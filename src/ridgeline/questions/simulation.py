"""A simulation before its answer: what is asked, what that resolves to, and the runs."""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ridgeline.errors import BadInput, Infeasible
from ridgeline.questions.performance import deployed_of
from ridgeline.questions.resolve import Resolved, resolve
from ridgeline.scenario import Scenario

if TYPE_CHECKING:
    from ridgeline.serving.deployed import Deployed
    from ridgeline.serving.replicas import Fleet
    from ridgeline.serving.requests import Requests
    from ridgeline.serving.scheduler import Scheduler
    from ridgeline.serving.simulator import Run
    from ridgeline.timing.step_table import StepTable

__all__ = ["Asked", "Setup", "Simulated", "numbers_of", "prepare", "run_requests",
           "run_simulation"]

_MOST_SEEDS = 1000
_PILOT = 2000
# The scheduler that stands for each engine's default.
_RULES = {"vllm": "vllm", "sglang": "sglang", "trtllm": "reserve", "llamacpp": "vllm",
          "transformers": "static"}


@dataclass(frozen=True)
class Asked:
    """What to simulate beyond the scenario.

    Attributes:
        trace: bundled excerpt or file; None: made-up load.
        rate: mean arrivals per second of made-up load; None: a closed loop at the scenario's
            concurrency.
        requests: how many; None: 1,000 made up (at least 10 waves of a closed loop), or the whole
            trace.
        cv, length_cv: spread of the gaps and of the lengths made up (see serving.load).
        seed, seeds: first seed and how many replications.
        replicas: copies of the replica; None: as the machine holds.
        router: how requests are spread over replicas (see serving.replicas).
        scheduler: "vllm", "sglang", "static", "reserve"; None: the engine's own.
        order: "fcfs" or "shortest".
        interval: steps depart at multiples of this [s]; 0: at once.
        ttft, tpot: targets of goodput [s].
        speed: replay a trace faster by this factor.
        skip_bad, sort: leave malformed rows of a trace out; sort unordered ones.
    """

    trace: str | None = None
    rate: float | None = None
    requests: int | None = None
    cv: float = 1.0
    length_cv: float = 0.1
    seed: int = 0
    seeds: int = 1
    replicas: int | None = None
    router: str = "round-robin"
    scheduler: str | None = None
    order: str = "fcfs"
    interval: float = 0.0
    ttft: float | None = None
    tpot: float | None = None
    speed: float = 1.0
    skip_bad: bool = False
    sort: bool = False

    def __post_init__(self) -> None:
        if self.trace is not None and self.rate is not None:
            raise BadInput("give a trace or a rate, not both; a trace is replayed faster with "
                           "--speed")
        if not 1 <= self.seeds <= _MOST_SEEDS:
            raise BadInput(f"seeds must be from 1 to {_MOST_SEEDS}, not {self.seeds}")
        if self.requests is not None and self.requests < 1:
            raise BadInput(f"requests must be at least 1, not {self.requests}")
        for name in ("ttft", "tpot"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise BadInput(f"the target of {name} must be positive seconds, not {value:g}")
        if self.trace is not None and self.seeds > 1 and self.router != "random":
            raise BadInput("a trace is the same for every seed; leave --seeds out")


@dataclass(frozen=True)
class Setup:
    """Everything a run needs.

    Attributes:
        resolved: the scenario, with names looked up.
        replica: the deployed replica.
        scheduler, fleet: rules and copies.
        requests: the first seed's requests.
        concurrency: of a closed loop, in all; None: open.
        table: step times, with the engine's learned correction.
        spread: factors on step times at the ends of their 80 % interval.
        notes: where the requests came from.
    """

    resolved: Resolved
    replica: Deployed
    scheduler: Scheduler
    fleet: Fleet
    requests: Requests
    concurrency: int | None
    table: StepTable
    spread: tuple[float, float] = (1.0, 1.0)
    notes: tuple[str, ...] = ()


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


def run_simulation(scenario: Scenario, asked: Asked) -> Simulated:
    """Prepare and run all seeds, in parallel threads (the compiled loop needs no lock)."""
    import os
    from concurrent.futures import ThreadPoolExecutor

    from ridgeline.serving.replicas import simulate_replicas

    setup = prepare(scenario, asked)
    simulate_replicas(setup.table, setup.requests.take(slice(0, 1)), setup.scheduler,
                      setup.fleet)          # compiles, so that `wall` does not
    begun = time.perf_counter()
    seeds = range(asked.seed, asked.seed + asked.seeds)
    with ThreadPoolExecutor(min(len(seeds), os.cpu_count() or 1)) as pool:
        runs = list(pool.map(lambda seed: run_requests(setup, asked, seed), seeds))
    wall = time.perf_counter() - begun
    ends = [run_requests(setup, asked, asked.seed, factor) for factor in setup.spread
            if factor != 1.0]
    return Simulated(setup, tuple(runs), tuple(numbers_of(setup, asked, run) for run in runs),
                     tuple(numbers_of(setup, asked, run) for run in ends), wall)


def numbers_of(setup: Setup, asked: Asked, run: Run) -> dict[str, float]:
    """The numbers of one run (see serving.summary)."""
    from ridgeline.serving.summary import summarise

    return summarise(run, extra=setup.replica.costs.request, ttft=asked.ttft, tpot=asked.tpot,
                     replicas=setup.fleet.replicas, kv_blocks=setup.scheduler.kv_blocks)


def run_requests(setup: Setup, asked: Asked, seed: int, factor: float = 1.0) -> Run:
    """One run: the requests of a seed, with step times times a factor."""
    from ridgeline.serving.replicas import simulate_replicas

    requests = setup.requests
    if seed != asked.seed and asked.trace is None:
        requests = _made_up(setup.resolved.scenario, asked, seed)
    table = setup.table if factor == 1.0 else scaled(setup.table, factor)
    return simulate_replicas(table, requests, setup.scheduler, setup.fleet,
                             concurrency=setup.concurrency, seed=seed)


def prepare(scenario: Scenario, asked: Asked) -> Setup:
    """Requests, replica and rules of a question. Raises as `simulate`."""
    from ridgeline.questions.fit import shortfall
    from ridgeline.serving.replicas import Fleet

    requests, notes = _requests(scenario, asked)
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
    scheduler = _scheduler(replica, requests, asked)
    fleet = Fleet(asked.replicas or resolved.deployment.dp, asked.router)
    work = scenario.workload
    closed = work.concurrency if asked.trace is None and asked.rate is None else None
    if work.prefix_hit > 0:
        cached = (requests.prompt * work.prefix_hit).astype("int64")
        requests = dataclasses.replace(requests, cached=cached)
    factor, spread = _learned(replica, requests, scheduler, closed, fleet)
    return Setup(resolved, replica, scheduler, fleet, requests, closed,
                 scaled(replica.table, factor), spread, tuple(notes))


def scaled(table: StepTable, factor: float) -> StepTable:
    """Step times times a factor."""
    grids = {name: dataclasses.replace(getattr(table, name),
                                       values=getattr(table, name).values * factor)
             for name in ("tokens", "prefill", "decode", "logits")}
    return dataclasses.replace(table, fixed=table.fixed * factor, **grids)


def _learned(replica: Deployed, requests: Requests, scheduler: Scheduler, closed: int | None,
             fleet: Fleet) -> tuple[float, tuple[float, float]]:
    """The engine layer's correction of step times, and the ends of its 80 % interval.

    The correction depends on how many requests are in flight; of an open load, a pilot run of its
    first requests tells.
    """
    from ridgeline.serving.latency import Pools, case_of, corrected
    from ridgeline.serving.replicas import simulate_replicas

    in_flight = float(closed or 0) / fleet.replicas
    if not closed:
        pilot = simulate_replicas(replica.table, requests.take(slice(0, _PILOT)), scheduler, fleet)
        in_flight = pilot.mean_batch
    case = case_of(Pools(replica, replica), protocol="", concurrency=max(1.0, in_flight),
                   prompt=float(requests.prompt.mean()), output=float(requests.output.mean()))
    found = corrected(case, replica.costs, 1.0, 0.0)
    _, low, high, _ = found.tpot_spread
    return found.tpot, (math.exp(low), math.exp(high))


def _requests(scenario: Scenario, asked: Asked) -> tuple[Requests, list[str]]:
    if asked.trace is None:
        return _made_up(scenario, asked, asked.seed), []
    from ridgeline.serving.traces import read_trace

    trace = read_trace(asked.trace, skip_bad=asked.skip_bad, sort=asked.sort,
                       limit=asked.requests, speed=asked.speed)
    return trace.requests, list(trace.notes)


def _made_up(scenario: Scenario, asked: Asked, seed: int) -> Requests:
    from ridgeline.serving.load import Load, generate_requests

    work = scenario.workload
    count = asked.requests or max(1000, 10 * work.concurrency if asked.rate is None else 0)
    load = Load(work.prompt, max(1, work.output), count, asked.rate, asked.cv, asked.length_cv)
    return generate_requests(load, seed)


def _scheduler(replica: Deployed, requests: Requests, asked: Asked) -> Scheduler:
    """The engine's rules with this deployment's limits and cache."""
    from ridgeline.serving.scheduler import Scheduler, named_scheduler

    policy, foot = replica.policy, replica.footprint
    block = foot.limits.block_size
    mean = max(1.0, float((requests.prompt + requests.output / 2).mean()))
    tokens = foot.kv_capacity_tokens(mean)
    blocks = None if math.isinf(tokens) else int(tokens // block)
    if blocks == 0:
        raise Infeasible("does not fit: the KV cache holds less than one block")
    name = asked.scheduler or _RULES.get(replica.deployment.engine, "vllm")
    base = named_scheduler(name, Scheduler(policy.token_budget, policy.max_num_seqs, blocks,
                                           block))
    return dataclasses.replace(base, order=asked.order, interval=asked.interval)
