"""Why nothing will do, in one line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ridgeline.quantity import format_si
from ridgeline.questions.plan_ask import Planned
from ridgeline.questions.plan_finalists import Settled
from ridgeline.questions.plan_words import layout, rejected_rows
from ridgeline.search.evaluate import Aggregated
from ridgeline.search.findings import Findings

__all__ = ["refusal"]


def refusal(asked: Planned, found: Findings, settled: Settled) -> str:
    """One line: a floor that forbids it, or the nearest that anything came."""
    where = " + ".join(asked.ask.on) if asked.ask.on else "the catalog"
    if not found.models:
        return _unfit(asked, found, where)
    for name in ("ttft", "tpot"):
        target, floor = getattr(asked.goal, name), _floor(found, name)
        if target < floor:
            who = f"nothing on {where}" if asked.ask.on else "no machine in the catalog"
            return (f"{who} can have a {name.upper()} of {format_si(target, 's')}: the physical "
                    f"floor is {format_si(floor, 's')}")
    return _nearest(asked, found, settled, where)


def _floor(found: Findings, name: str) -> float:
    """Least time that any deployment that fits can have, one request alone."""
    one = np.ones(1)
    singles = [m.rated if isinstance(m, Aggregated) else m.decode for m in found.models]
    return min(float(r.floors(one)[0]) if name == "tpot" else r.ttft_floor for r in singles)


def _unfit(asked: Planned, found: Findings, where: str) -> str:
    model = asked.space.architecture.name
    if found.pairs is not None:            # replicas fit, and none beside another
        if asked.requests.mean_output <= 1:
            return "pools apart need more than one token out: there is nothing to decode"
        return (f"{model} on {where}: no two replicas fit side by side with a link between them, "
                "as pools apart need; take more chips or --mode aggregated")
    near = rejected_rows(found)
    fits = [r for r in near if r.reason == "memory"]
    if fits:
        return f"{model} on {where}: {fits[0].example}"
    if near:
        return f"no valid deployment of {model} on {where}: {near[0].example}"
    return f"no deployment of {model} on {where}"


def _nearest(asked: Planned, found: Findings, settled: Settled, where: str) -> str:
    """The rejected row that came nearest, or the replayed one."""
    near = rejected_rows(found)
    said = f"nothing on {where} meets the targets"
    if asked.goal.loaded or math.isfinite(asked.goal.budget):
        said = f"nothing on {where} carries that within the targets and limits"
    if near and near[0].reason != "rule":
        return f"{said}; nearest: {near[0].family} {near[0].example}"
    best: Any = min((r for r in settled.frontier), key=lambda r: r.objective, default=None)
    return f"{said}; nearest: {layout(best)}" if best is not None else said
