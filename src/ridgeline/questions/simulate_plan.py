"""`--plan`: simulate the best deployment that `plan` finds on the machine."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ridgeline.quantity import format_si
from ridgeline.questions.simulate_asked import Asked
from ridgeline.scenario import Scenario

__all__ = ["planned_scenario"]


def planned_scenario(scenario: Scenario, asked: Asked) -> tuple[Scenario, str]:
    """The scenario with the cheapest aggregated deployment that meets the load and the targets.

    Args:
        scenario: model, machine on offer, engine, mean lengths and, for a closed loop, users.
        asked: rate or trace, and targets on the means.

    Returns:
        the scenario with the deployment found, and a sentence about it.

    Raises:
        BadInput: as `plan`.
        Infeasible: nothing fits or meets the targets.
    """
    from ridgeline.questions.plan import plan
    from ridgeline.questions.plan_ask import PlanAsk

    work = scenario.workload
    given: dict[str, Any] = {}
    if scenario.deployment.kv is not None:
        given["kv"] = (scenario.deployment.kv,)
    if scenario.deployment.weights is not None:
        given["formats"] = (scenario.deployment.weights,)
    closed = asked.rate is None and asked.trace is None
    found = plan(PlanAsk(
        scenario.model, (scenario.machine,), work.prompt, max(1, work.output),
        prefix_hit=work.prefix_hit, ttft=asked.ttft or math.inf, tpot=asked.tpot or math.inf,
        rate=_rate(asked), users=work.concurrency if closed else None,
        engines=(scenario.deployment.engine,), mode="aggregated", **given))
    best = found.best
    assert best is not None             # plan raises when there is none
    plan_text = ", ".join(f"{name} {value}" for name, value in (
        ("tp", best.main.deployment.tp), ("pp", best.main.deployment.pp),
        ("ep", best.main.deployment.ep), ("dp", best.main.deployment.dp),
        ("batch", best.batch)) if value != 1)
    said = (f"Planned: {best.main.machine}, {plan_text or 'one chip'}, at "
            f"{format_si(best.usd_per_mtok_output, 'USD/Mtok')} of output.")
    return dataclasses.replace(scenario, machine=best.main.machine,
                               deployment=best.main.deployment), said


def _rate(asked: Asked) -> float | None:
    """Mean arrivals a second of an open load."""
    if asked.trace is None:
        return asked.rate
    if asked.mixed:
        from ridgeline.serving.client_mix import generate_mix

        made = generate_mix(asked.trace, start=asked.start, duration=asked.duration,
                            scale=asked.speed, seed=asked.seed)
        return len(made) / asked.duration
    from ridgeline.serving.traces import read_trace

    arrival = read_trace(asked.trace, skip_bad=asked.skip_bad, sort=asked.sort,
                         limit=asked.requests, speed=asked.speed).requests.arrival
    span = float(arrival[-1])
    return len(arrival) / span if span > 0 else None
