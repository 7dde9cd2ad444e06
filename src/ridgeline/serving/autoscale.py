"""Replicas that follow the load by a stated rule, and take time to start."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from ridgeline.errors import BadInput
from ridgeline.serving import layout as at
from ridgeline.serving.ranks import joint_runs, joint_state, run_joint
from ridgeline.serving.replicas import totals
from ridgeline.serving.requests import Requests
from ridgeline.serving.scheduler import Scheduler
from ridgeline.serving.simulator import Run
from ridgeline.timing.step_table import StepTable

__all__ = ["Autoscale", "simulate_scaled"]

# Between decisions at least [s].
_SHORTEST = 0.01


@dataclass(frozen=True)
class Autoscale:
    """The rule by which replicas start and stop.

    Every `every` seconds, wanted = in flight / target, rounded up, from `least` to `most`.

    Attributes:
        least, most: replicas; with least 0 an idle fleet is switched off.
        target: requests in flight on one replica that the rule aims at.
        cold_start: from start to serving [s].
        every: between decisions [s].
        patience: for how long fewer must have been wanted before any is dropped [s].
    """

    least: int = 1
    most: int = 8
    target: float = 32.0
    cold_start: float = 60.0
    every: float = 10.0
    patience: float = 60.0

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most <= 1000 or self.most < 1:
            raise BadInput(f"autoscaling needs 0 <= least <= most <= 1,000 replicas, not "
                           f"{self.least} to {self.most}")
        for name, low in (("target", 0.0), ("every", _SHORTEST)):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0 and value >= low):
                raise BadInput(f"autoscaling's {name} must be positive"
                               + (f" and at least {low:g} s" if low else "") + f", not {value:g}")
        for name in ("cold_start", "patience"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise BadInput(f"autoscaling's {name} must be zero or more seconds, not {value:g}")


def simulate_scaled(table: StepTable, requests: Requests, scheduler: Scheduler, rule: Autoscale, *,
                    compiled: bool = True) -> Run:
    """Serve the requests with replicas that follow the load, routed to the least loaded.

    Args:
        table: step times of one replica.
        requests: arrivals and lengths.
        scheduler: rules of one replica.
        rule: when replicas start and stop.
        compiled: False runs the loop uncompiled.

    Returns:
        a Run whose `replica_seconds` counts from each start to each end, starts included.
    """
    from ridgeline.serving import loop_scaling as loop

    states, arrays, order = joint_state(table, requests, scheduler, rule.most)
    scale = np.zeros(loop.SCALE)
    scale[[loop.EVERY, loop.TARGET, loop.COLD, loop.PATIENCE, loop.LEAST]] = (
        rule.every, rule.target, rule.cold_start, rule.patience, rule.least)
    scale[loop.NEXT], scale[loop.LOW_SINCE] = rule.every, -1.0
    scale[loop.PEAK] = rule.least
    power = np.zeros((rule.most, loop.POWER))
    power[rule.least:, loop.WARM] = at.NEVER
    # No decision is made before anybody has arrived.
    first = float(requests.arrival[order[0]])
    scale[loop.NEXT] += math.floor(first / rule.every) * rule.every
    run_joint(loop.serve_scaled, [*arrays, scale, power], compiled)
    runs, chosen = joint_runs(states, arrays, requests)
    on = power[:, loop.WARM] < at.NEVER
    ends = np.array([max(run.makespan, float(power[r, loop.SINCE]))
                     for r, run in enumerate(runs)])
    makespan = max(run.makespan for run in runs if run.steps)     # the others only warmed up
    ends = np.where(power[:, loop.EMPTYING] > 0, ends, np.maximum(ends, makespan))
    lasted = float(scale[loop.SECONDS] + (ends - power[:, loop.SINCE])[on].sum())
    found = {**totals(runs), "makespan": makespan, "replica_seconds": lasted}
    return dataclasses.replace(runs[0], **found, owner=chosen, starts=int(scale[loop.STARTS]),
                               peak_replicas=int(scale[loop.PEAK]))
