"""Every valid layout of a run, evaluated as arrays, fastest step first.

Layouts that share tensor, context and expert degrees share the work of a micro-batch, which is
counted once; their pipelines, chunks, micro-batches, recomputation and sharding are axes of one
open mesh, flattened to the valid points.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ridgeline.deployment.rules import divisors
from ridgeline.machine import Cluster
from ridgeline.model.architecture import Architecture
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


# Columns of a table of layouts; recomputation is the index in `RECOMPUTE`.
_NAMES = ("tp", "pp", "dp", "cp", "ep", "vp", "micro_batch", "zero", "recompute")


@dataclass(frozen=True)
class Ranked:
    """Layouts sorted by step time.

    Attributes:
        seconds: of a step, rising.
        memory: of the fullest device [bytes].
        table: a row of `_NAMES` for each.
    """

    seconds: Array
    memory: Array
    table: Array

    def __len__(self) -> int:
        """Layouts in all."""
        return len(self.seconds)

    def layout(self, place: int) -> Layout:
        """The layout at a place, 0 the fastest."""
        return _layout(self.table[place])

    def fastest(self, room: float) -> tuple[float, Layout] | None:
        """The fastest layout that fits into so many bytes, None when none does."""
        import numpy as np

        fits = np.flatnonzero(self.memory <= room)
        return (float(self.seconds[fits[0]]), self.layout(int(fits[0]))) if len(fits) else None


def _layout(row: Array) -> Layout:
    fields: dict[str, Any] = {n: int(v) for n, v in zip(_NAMES, row, strict=True)}
    return Layout(**fields | {"recompute": RECOMPUTE[fields["recompute"]]})


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


def _groups(architecture: Architecture, cluster: Cluster) -> Iterator[tuple[int, int, int]]:
    """Tensor degrees within a domain, context and expert degrees."""
    n = cluster.n_chips
    experts = max((ffn.n_experts for ffn, _ in architecture.mixtures), default=1)
    for tp, cp in itertools.product(divisors(n, cluster.domain_size), _CONTEXT):
        if n % (tp * cp) == 0:
            for ep in divisors(experts, n):
                yield tp, cp, ep


def _pipelines(architecture: Architecture, cluster: Cluster, tp: int, cp: int
               ) -> Iterator[tuple[int, int]]:
    """Stages and chunks of each."""
    for pp in divisors(cluster.n_chips // (tp * cp), architecture.n_layers):
        for vp in divisors(architecture.n_layers // pp, 16) if pp > 1 else [1]:
            yield pp, vp


def _group_table(architecture: Architecture, batch: Batch, cluster: Cluster,
                 group: tuple[int, int, int]) -> Array:
    """Valid layouts of one group; rules are asked once for each combination they tell apart."""
    import numpy as np

    tp, cp, ep = group
    n, rows = cluster.n_chips, []
    for pp, vp in _pipelines(architecture, cluster, tp, cp):
        dp = n // (tp * pp * cp)
        micros = [size for size in MICRO_BATCHES if batch.sequences % (dp * size) == 0]
        # No other rule asks for the micro-batch.
        if not micros or broken_rules(architecture, Layout(tp, pp, dp, cp, ep, vp, 1, 0), batch,
                                      n):
            continue
        rows += [(tp, pp, dp, cp, ep, vp, micro, zero, again) for micro in micros
                 for again in range(len(RECOMPUTE)) for zero in (ZERO if pp == 1 else ZERO[:2])]
    return np.array(rows, dtype=np.int64).reshape(-1, len(_NAMES))


def layouts(architecture: Architecture, batch: Batch, cluster: Cluster) -> Iterator[Layout]:
    """Every layout that breaks no rule.

    Tensor parallelism stays within a scale-up domain, micro-batches are powers of two up to 16,
    sharded gradients or weights go without a pipeline. Recomputation is selective or full: with
    flash attention "none" keeps more and gains nothing.
    """
    for group in _groups(architecture, cluster):
        yield from map(_layout, _group_table(architecture, batch, cluster, group))


def ranked(architecture: Architecture, batch: Batch, cluster: Cluster, precision: str,
           constants: Constants, tuning: Tuning | None = None) -> Ranked:
    """Step time and memory of every valid layout, fastest first; ties in the order listed.

    Args:
        architecture, batch, cluster, precision: of the run.
        constants: of the step model.
        tuning: optimizer and adapters; the usual when None.
    """
    import numpy as np

    tables, seconds, memory = [], [], []
    for group in _groups(architecture, cluster):
        table = _group_table(architecture, batch, cluster, group)
        if len(table):
            tables.append(table)
            seconds.append(_seconds(architecture, batch, cluster, precision, constants, table))
            memory.append(_memory(architecture, batch, table, tuning or Tuning()))
    if not tables:
        return Ranked(np.zeros(0), np.zeros(0), np.zeros((0, len(_NAMES)), dtype=np.int64))
    time = np.concatenate(seconds)
    order = np.argsort(time, kind="stable")
    return Ranked(time[order], np.concatenate(memory)[order], np.concatenate(tables)[order])


def _grid(table: Array, **fixed: Any) -> _Grid:
    """The layouts of a group as columns, but for what is fixed."""
    columns: dict[str, Any] = dict(zip(_NAMES, table.T, strict=True))
    columns |= {name: int(columns[name][0]) for name in ("tp", "cp", "ep")}
    again = columns.pop("recompute") * 1.0
    return _Grid(**{**columns, "again": again, "recompute": "", **fixed})


def _seconds(architecture: Architecture, batch: Batch, cluster: Cluster, precision: str,
             constants: Constants, table: Array) -> Array:
    import numpy as np

    case = TrainingCase(architecture, cluster, _grid(table), batch, precision)
    return np.asarray(step_time(case, constants, case_work(case)).step)


def _memory(architecture: Architecture, batch: Batch, table: Array, tuning: Tuning) -> Array:
    """Bytes of each layout; one evaluation for each depth of pipeline and recomputation."""
    import numpy as np

    out = np.zeros(len(table))
    depth, recompute = table[:, _NAMES.index("pp")], table[:, _NAMES.index("recompute")]
    for pp, kind in itertools.product(sorted(set(depth.tolist())), range(len(RECOMPUTE))):
        at = np.flatnonzero((depth == pp) & (recompute == kind))
        grid = _grid(table[at], pp=pp, recompute=RECOMPUTE[kind])
        out[at] = sum(device_items(architecture, grid, batch, tuning).values())
    return out
