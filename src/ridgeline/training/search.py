"""Every valid layout of a run, evaluated as arrays, fastest step first.

Layouts that share tensor, context and expert degrees share the work of a micro-batch, which is
counted once; their pipelines, chunks, micro-batches, recomputation and sharding are axes of one
open mesh, flattened to the valid points.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ridgeline.machine import Cluster
from ridgeline.model.architecture import Architecture
from ridgeline.model.parts import ExpertFfn
from ridgeline.numeric import Numeric
from ridgeline.training.layout import Batch, Layout, broken_rules
from ridgeline.training.memory import Tuning, device_items
from ridgeline.training.step_time import Constants, TrainingCase, case_work, step_time

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["Ranked", "layouts", "ranked"]

MICRO_BATCHES = (1, 2, 4, 8, 16)
RECOMPUTE = ("selective", "full")
ZERO = (0, 1, 2, 3)
_CONTEXT = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Ranked:
    """Layouts sorted by step time.

    Attributes:
        seconds: of a step, rising.
        memory: of the fullest device [bytes].
        layouts: in the same order.
    """

    seconds: Array
    memory: Array
    layouts: Sequence[Layout]

    def fastest(self, room: float) -> tuple[float, Layout] | None:
        """The fastest layout that fits into so many bytes, None when none does."""
        import numpy as np

        fits = np.flatnonzero(self.memory <= room)
        return (float(self.seconds[fits[0]]), self.layouts[fits[0]]) if len(fits) else None


@dataclass(frozen=True)
class _Grid:
    """A `Layout` whose degrees may be arrays."""

    tp: int
    pp: Numeric
    dp: Numeric
    cp: int
    ep: int
    vp: Numeric
    micro_batch: Numeric
    zero: Numeric
    recompute: str
    again: Numeric
    schedule: str = "1f1b"


def _divisors(number: int, most: int) -> list[int]:
    return [d for d in range(1, min(number, most) + 1) if number % d == 0]


def _groups(architecture: Architecture, cluster: Cluster) -> Iterator[tuple[int, int, int]]:
    """Tensor degrees within a domain, context and expert degrees."""
    n = cluster.n_chips
    experts = max((b.ffn.n_experts for b, _ in architecture.blocks
                   if isinstance(b.ffn, ExpertFfn)), default=1)
    for tp, cp in itertools.product(_divisors(n, cluster.domain_size), _CONTEXT):
        if n % (tp * cp) == 0:
            for ep in _divisors(experts, n):
                yield tp, cp, ep


def _pipelines(architecture: Architecture, cluster: Cluster, tp: int, cp: int
               ) -> Iterator[tuple[int, int]]:
    """Stages and chunks of each."""
    for pp in _divisors(cluster.n_chips // (tp * cp), architecture.n_layers):
        for vp in _divisors(architecture.n_layers // pp, 16) if pp > 1 else [1]:
            yield pp, vp


def _group_layouts(architecture: Architecture, batch: Batch, cluster: Cluster,
                   group: tuple[int, int, int]) -> list[Layout]:
    """Valid layouts of one group; rules are asked once for each combination they tell apart."""
    tp, cp, ep = group
    n, found = cluster.n_chips, []
    for (pp, vp), micro in itertools.product(_pipelines(architecture, cluster, tp, cp),
                                             MICRO_BATCHES):
        plain = Layout(tp, pp, n // (tp * pp * cp), cp, ep, vp, micro, 0)
        if broken_rules(architecture, plain, batch, n):
            continue
        for again, zero in itertools.product(RECOMPUTE, ZERO if pp == 1 else ZERO[:2]):
            found.append(Layout(tp, pp, plain.dp, cp, ep, vp, micro, zero, again))
    return found


def layouts(architecture: Architecture, batch: Batch, cluster: Cluster) -> Iterator[Layout]:
    """Every layout that breaks no rule.

    Tensor parallelism stays within a scale-up domain, micro-batches are powers of two up to 16,
    sharded gradients or weights go without a pipeline. Recomputation is selective or full: with
    flash attention "none" keeps more and gains nothing.
    """
    for group in _groups(architecture, cluster):
        yield from _group_layouts(architecture, batch, cluster, group)


def ranked(architecture: Architecture, batch: Batch, cluster: Cluster, precision: str,
           constants: Constants, tuning: Tuning | None = None) -> Ranked:
    """Step time and memory of every valid layout, fastest first; ties in the order listed.

    Args:
        architecture, batch, cluster, precision: of the run.
        constants: of the step model.
        tuning: optimizer and adapters; the usual when None.
    """
    import numpy as np

    every: list[Layout] = []
    seconds, memory = [], []
    for group in _groups(architecture, cluster):
        found = _group_layouts(architecture, batch, cluster, group)
        if found:
            every += found
            seconds.append(_seconds(architecture, batch, cluster, precision, constants, found))
            memory.append(_memory(architecture, batch, found, tuning or Tuning()))
    if not every:
        return Ranked(np.zeros(0), np.zeros(0), ())
    time, held = np.concatenate(seconds), np.concatenate(memory)
    order = np.argsort(time, kind="stable")
    return Ranked(time[order], held[order], [every[i] for i in order])


def _grid(found: Sequence[Layout], **fixed: Any) -> _Grid:
    """The layouts of a group as columns, but for what is fixed."""
    import numpy as np

    columns: dict[str, Any] = {
        name: np.array([getattr(one, name) for one in found])
        for name in ("pp", "dp", "vp", "micro_batch", "zero", "again") if name not in fixed}
    first = found[0]
    return _Grid(tp=first.tp, cp=first.cp, ep=first.ep, **{"recompute": "", **columns, **fixed})


def _seconds(architecture: Architecture, batch: Batch, cluster: Cluster, precision: str,
             constants: Constants, found: Sequence[Layout]) -> Array:
    import numpy as np

    case = TrainingCase(architecture, cluster, _grid(found), batch, precision)
    return np.asarray(step_time(case, constants, case_work(case)).step)


def _memory(architecture: Architecture, batch: Batch, found: Sequence[Layout], tuning: Tuning
            ) -> Array:
    """Bytes of each layout; one evaluation for each depth of pipeline and recomputation."""
    import numpy as np

    out, places = np.zeros(len(found)), dict[tuple[int, str], list[int]]()
    for place, one in enumerate(found):
        places.setdefault((one.pp, one.recompute), []).append(place)
    for (pp, recompute), at in places.items():
        grid = _grid([found[i] for i in at], pp=pp, recompute=recompute)
        out[at] = sum(device_items(architecture, grid, batch, tuning).values())
    return out
