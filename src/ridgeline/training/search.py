"""Every valid layout of a run, fastest step first."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache

from ridgeline.machine import Cluster
from ridgeline.model.architecture import Architecture
from ridgeline.model.parts import ExpertFfn
from ridgeline.training.layout import Batch, Layout, broken_rules
from ridgeline.training.step_time import Constants, StepTime, TrainingCase, case_work, step_time
from ridgeline.training.work import Work

__all__ = ["layouts", "ranked"]


def _divisors(number: int, most: int) -> list[int]:
    return [d for d in range(1, min(number, most) + 1) if number % d == 0]


def layouts(architecture: Architecture, batch: Batch, cluster: Cluster) -> Iterator[Layout]:
    """Every layout that breaks no rule: tp within a domain, micro-batches of 1 to 8."""
    n = cluster.n_chips
    experts = max((b.ffn.n_experts for b, _ in architecture.blocks
                   if isinstance(b.ffn, ExpertFfn)), default=1)
    for tp in _divisors(n, cluster.domain_size):
        for pp in _divisors(n // tp, architecture.n_layers):
            for cp in [c for c in (1, 2, 4, 8, 16) if n % (tp * pp * c) == 0]:
                dp = n // (tp * pp * cp)
                vps = _divisors(architecture.n_layers // pp, 16) if pp > 1 else [1]
                for ep, vp, micro, again, zero in itertools.product(
                        _divisors(experts, n), vps, (1, 2, 4, 8), ("selective", "full"), (1, 3)):
                    found = Layout(tp, pp, dp, cp, ep, vp, micro, zero, again)
                    if not broken_rules(architecture, found, batch, n):
                        yield found


def ranked(architecture: Architecture, batch: Batch, cluster: Cluster, precision: str,
           constants: Constants) -> list[tuple[float, Layout]]:
    """(seconds of a step, layout) of every valid layout, fastest first.

    Layouts that differ in pipeline, data parallelism, recomputation and sharding share the work
    of a micro-batch, which is counted once.
    """
    @cache
    def work(tp: int, cp: int, ep: int, micro: int) -> Work:
        layout = Layout(tp=tp, cp=cp, ep=ep, micro_batch=micro)
        return case_work(TrainingCase(architecture, cluster, layout, batch, precision))

    def seconds(layout: Layout) -> StepTime:
        case = TrainingCase(architecture, cluster, layout, batch, precision)
        return step_time(case, constants, work(layout.tp, layout.cp, layout.ep,
                                               layout.micro_batch))

    found = [(seconds(one).step, one) for one in layouts(architecture, batch, cluster)]
    return sorted(found, key=lambda pair: pair[0])
