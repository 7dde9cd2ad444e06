"""Rows of a sweep asked again the way `estimate` answers, until the best is certain."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.deployment import Deployment
from ridgeline.questions.performance import replayed_performance
from ridgeline.questions.plan_ask import Planned
from ridgeline.questions.resolve import Resolved
from ridgeline.scenario import Scenario, Workload
from ridgeline.search.evaluate import Aggregated, row_of
from ridgeline.search.findings import Findings, Key
from ridgeline.search.pareto import frontier
from ridgeline.search.pools import DECODE_WORKERS, TwoPools
from ridgeline.search.row import Exact, Row, row
from ridgeline.serving.latency import latency
from ridgeline.serving.measured_run import STEADY

__all__ = ["Settled", "scenario_of", "settle"]

# Points of the sweep's frontier that are asked again.
_FRONTIER = 12


@dataclass(frozen=True)
class Settled:
    """The answer's rows, with the replay's times.

    Attributes:
        best: under the targets; None when nothing meets them.
        runner_ups: the best of other layouts.
        frontier: rows that no other replayed row dominates, fastest for a user first.
        replayed: how many rows were asked again.
        proven: whether every row that could have been better was.
    """

    best: Row | None
    runner_ups: tuple[Row, ...]
    frontier: tuple[Row, ...]
    replayed: int
    proven: bool


def settle(asked: Planned, found: Findings, advance: Callable[[], None] | None = None) -> Settled:
    """Replay candidates, likeliest first, until none left could beat the best.

    A row is left out only when even its times less the steady form's margin of error are no
    better than the best row's replayed ones.

    Args:
        asked: the question.
        found: the sweep's.
        advance: called after every replay.
    """
    rows: dict[Key, Row] = {}

    def ask(key: Key) -> Row:
        if key not in rows:
            model = found.models[key.model]
            rows[key] = row(model, key, asked.goal, _exact(asked, model, key))
            if advance is not None:
                advance()
        return rows[key]

    best, proven = _best(found, asked.ask.finalists, ask)
    for key in _spread(found.frontier_keys()):
        ask(key)
    every = list(rows.values())
    best = min((r for r in every if r.verdict == "meets"), key=_order, default=best)
    return Settled(best, _runner_ups(every, best), _frontier(every), len(rows), proven)


def _best(found: Findings, most: int, ask: Callable[[Key], Row]) -> tuple[Row | None, bool]:
    best: Row | None = None
    tried = 0
    for _, least, key in found.candidates():
        if best is not None and least > best.objective:
            continue
        if tried == most:
            return best, False
        tried += 1
        made = ask(key)
        if made.verdict == "meets" and (best is None or _order(made) < _order(best)):
            best = made
    return best, True


def _order(made: Row) -> tuple[Any, ...]:
    """Objective first; equal ones by what is simplest to run."""
    plan = made.main.deployment
    return (made.objective, made.mode, plan.pp, made.chips, made.batch,
            made.main.shape.offer.chip.name, plan.engine, plan.tp)


def _spread(keys: list[Key]) -> list[Key]:
    """At most _FRONTIER of them, the ends included."""
    if len(keys) <= _FRONTIER:
        return keys
    places = np.unique(np.linspace(0, len(keys) - 1, _FRONTIER).round().astype(int))
    return [keys[i] for i in places]


def _frontier(rows: list[Row]) -> tuple[Row, ...]:
    able = [r for r in rows if r.verdict in ("meets", "ttft", "tpot")]
    if not able:
        return ()
    return tuple(able[i] for i in frontier(np.array([r.point for r in able])))


def _runner_ups(rows: list[Row], best: Row | None) -> tuple[Row, ...]:
    """The best row of every other layout that meets the targets, five at most."""
    taken = {_layout(best)} if best else set()
    chosen = []
    for made in sorted((r for r in rows if r.verdict == "meets"), key=_order):
        if _layout(made) not in taken:
            taken.add(_layout(made))
            chosen.append(made)
    return tuple(chosen[:5])


def _layout(made: Row) -> Any:
    plain = dataclasses.replace(made.main.deployment, dp=1, max_num_batched_tokens=None)
    first = made.prefill and dataclasses.replace(made.prefill.deployment, dp=1)
    return made.main.shape.offer.chip.name, plain, first


def scenario_of(asked: Planned, plan: Deployment, machine: str, batch: int) -> Scenario:
    """The scenario in which `estimate` answers for a row; `batch` is of one replica."""
    requests = asked.requests
    lawful = bool(requests.prompt.law or requests.output.law)
    return Scenario(asked.ask.model, machine, plan, Workload(
        requests.mean_prompt, requests.mean_output, batch * plan.dp,
        requests.context if lawful else None, requests.prefix_hit))


def _exact(asked: Planned, model: Any, key: Key) -> Exact:
    return _pooled(asked, model, key) if isinstance(model, TwoPools) else _single(asked, model, key)


def _single(asked: Planned, model: Aggregated, key: Key) -> Exact:
    """One replica, by the function behind `estimate` (which times the same replica anew)."""
    shape, requests = model.rated.shape, asked.requests
    budget = model.settings[key.setting]
    plan = dataclasses.replace(shape.deployment, max_num_batched_tokens=budget)
    scenario = scenario_of(asked, plan, shape.offer.machine(shape.chips), key.batch)
    resolved = Resolved(scenario, asked.space.architecture, shape.cluster, plan, shape.formats)
    p = replayed_performance(resolved, requests.protocol, model.rated.replica_at(budget),
                             requests.draft.tokens_per_step if requests.draft else 1.0)
    ttft = p.ttft
    if requests.open:
        # A stream has no first wave: a prompt that meets no other, and what it waits for others is
        # added with its load (goal.prompt_wait).
        alone, _ = row_of(model, asked.goal, key.setting, key.batch)
        ttft = float(alone.ttft[0])
    return Exact(ttft, p.tpot, p.ttft_spread, p.tpot_spread, p.ttft_floor, p.tpot_floor,
                 p.bound_prefill, p.bound_decode)


def _pooled(asked: Planned, model: TwoPools, key: Key) -> Exact:
    """Two pools, by mean-value analysis over their tables, and the cache's way between them."""
    requests = asked.requests
    many = DECODE_WORKERS[key.setting]
    workers = int(model.prefill_workers(np.array([float(many)]), np.array([float(key.batch)]))[0])
    found = latency(
        model.pools(many, workers), STEADY,
        concurrency=many * key.batch,
        prompt=max(1, round(requests.new * STEADY.stretch(()))),
        output=max(1, round(requests.mean_output * STEADY.stretch(()))))
    if requests.open:
        alone = model.times(np.array([float(workers)]), np.array([float(many)]),
                            np.array([float(key.batch)]))
        found = dataclasses.replace(found, ttft=float(alone.ttft[0]) - model.transfer_s)
    ttft_floor, tpot_floor = model.prefill.ttft_floor, float(model.decode.floors(
        np.array([float(key.batch)]))[0])
    return Exact(max(found.ttft, ttft_floor) + model.transfer_s, max(found.tpot, tpot_floor),
                 found.ttft_spread, found.tpot_spread, ttft_floor, tpot_floor,
                 model.prefill.bounds[0], model.decode.decode_bound(float(key.batch)))
