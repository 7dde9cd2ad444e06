"""Prefill and decode in pools of their own, under a closed loop.

Requests go round two stations: a queue for the prefill workers, and decoding, where everybody is
served at once at the speed of the batch. Mean-value analysis gives the waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.timing.step_table import ComponentTable, StepTable

__all__ = ["PoolTimes", "closed_pools", "prompt_times", "queue_in_closed_loop"]

_ROUNDS = 20


@dataclass(frozen=True)
class PoolTimes:
    """Steady times of a request.

    Attributes:
        ttft: prefill with its queue, first wave included in its share [s].
        tpot: decode step at the steady batch [s], one column a component with such a table.
        batch: sequences decoding on one decode worker.
        prefill: of one prompt alone, by component.
        waiting: ttft over the time of one prompt alone.
    """

    ttft: float
    tpot: Any
    batch: float
    prefill: Any
    waiting: float


def queue_in_closed_loop(*, customers: int, service: float, each: float, away: float) -> float:
    """Mean time at a queue that `customers` visit in turn, `away` from it between visits.

    Mean-value analysis: R_n = max(s, e (1 + Q_{n-1})), Q_n = n R_n / (R_n + D).

    Args:
        customers: requests in the loop.
        service: time of one visit without waiting, s [s].
        each: time between those leaving a queue that never empties, e [s].
        away: time spent elsewhere between visits, D [s].

    Returns:
        waiting and service together [s].

    Sources: Reiser and Lavenberg, J. ACM 27 (1980); several servers as one faster one.

    >>> round(queue_in_closed_loop(customers=1, service=0.5, each=0.5, away=2.0), 3)
    0.5
    """
    queued, visit = 0.0, service
    for n in range(1, customers + 1):
        visit = each * (1 + queued)
        if visit < service:
            visit = service
        queued = n * visit / (visit + away)
    return visit


def prompt_times(table: StepTable | ComponentTable, *, prompt: float, copies: int = 1,
                 budget: float = 0.0) -> tuple[Any, float]:
    """Time of a prompt on a prefill worker, and time a prompt when it never runs out of them [s].

    Args:
        table: step times of the worker (totals or components).
        prompt: tokens.
        copies: attention copies, each of which takes a prompt; they step together.
        budget: tokens of a step of all copies; short prompts share one.
    """
    def together(prompts: int) -> Any:
        return (table.fixed + table.tokens(prompt * prompts)
                + prompts / copies * table.prefill(prompt, 0.0) + table.logits(float(prompts)))

    alone = together(copies)
    most = copies * max(1, int(budget / copies / max(prompt, 1.0)))
    return alone, min(float(np.sum(alone)) / copies, float(np.sum(together(most))) / most)


def closed_pools(prefill: StepTable | ComponentTable, decode: StepTable | ComponentTable, *,
                 concurrency: int, prompt: int, output: int, prefill_workers: int,
                 decode_workers: int, waves: int = 10, copies: int = 1,
                 budget: float = 0.0) -> PoolTimes:
    """Steady state of a closed loop over two pools.

    Args:
        prefill, decode: step times of one worker of each pool (totals or components).
        concurrency: requests in flight in all.
        prompt, output: mean tokens of a request.
        prefill_workers, decode_workers: workers of the pools.
        waves: the first of so many waves finds all prompts waiting at once.
        copies: attention copies of a prefill worker, each of which takes a prompt; they step
            together, and the table's times are of all of them.
        budget: tokens of a step of a prefill worker; short prompts share one.
    """
    alone, each = prompt_times(prefill, prompt=prompt, copies=copies, budget=budget)
    service, each = float(np.sum(alone)), each / prefill_workers
    context = prompt + output / 2
    inside = float(concurrency)
    tpot: Any = 0.0
    visit = service
    for _ in range(_ROUNDS):
        batch = max(1.0, inside / decode_workers)
        tpot = (decode.fixed + decode.tokens(batch) + decode.decode(batch, context)
                + decode.logits(batch))
        away = float(np.sum(tpot)) * output
        visit = queue_in_closed_loop(customers=concurrency, service=service, each=each, away=away)
        inside = 0.5 * inside + 0.5 * concurrency * away / (away + visit)
    first = (each * concurrency + service) / 2
    ttft = visit + max(0.0, first - visit) / waves
    return PoolTimes(ttft, tpot, max(1.0, inside / decode_workers), alone, ttft / service)
