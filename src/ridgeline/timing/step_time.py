"""Seconds of a step: every op timed by its kernel family, plus what the engine adds.

Each op's time is its calibrated kernel time, cold caches, never below the op's own roofline. Ops
with zero size take no time (a decode-only step has prefill ops of zero tokens).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.deployment import Deployment
from ridgeline.machine import Cluster
from ridgeline.timing.engine import EngineCosts
from ridgeline.timing.kernel_calls import Call, call_of, kernel_format, timed_together
from ridgeline.timing.roofline import op_bounds
from ridgeline.work.op import Op

__all__ = ["Group", "StepTimer", "kernel_format", "seconds_together"]

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Group:
    """Ops that one kernel call can time.

    Attributes:
        op: the op; or several, along a new first axis of its fields.
        count: how many.
    """

    op: Op
    count: int


@dataclass(frozen=True)
class StepTimer:
    """Times ops on one machine with one engine's kernels.

    Calling it gives the seconds of a list of ops, broadcast over their array fields.
    """

    cluster: Cluster
    deployment: Deployment
    costs: EngineCosts

    def __call__(self, ops: Sequence[Op]) -> Array:
        """Seconds of all ops, one after another; ops of one kind are timed in one call."""
        return self.total([(group, self.op_seconds(group.op)) for group in self.groups(ops)])

    def groups(self, ops: Sequence[Op]) -> list[Group]:
        """The ops with those that one kernel call can time stacked."""
        return [Group(_stacked(alike), len(alike)) if len(alike) > 1 else Group(alike[0], 1)
                for alike in _alike(ops, self._apart)]

    @property
    def _apart(self) -> str:
        """Engines that were measured have a cost of their own for sampling."""
        return "sampling" if self.cluster.chip.kernels else ""

    def total(self, timed: Iterable[tuple[Group, Array]]) -> Array:
        """Seconds of all groups, one after another."""
        total: Any = 0.0
        for group, seconds in timed:
            total = total + (seconds.sum(axis=0) if group.count > 1 else seconds)
        return np.asarray(total, float)

    def each(self, ops: Sequence[Op]) -> list[float]:
        """Seconds of each op by itself, for ops of single numbers; asked kind by kind."""
        found: dict[int, float] = {}
        # Matrices by head have kernels of their own, told apart one op at a time.
        by_head = [[op] for op in ops if "heads" in op.shape]
        for group in _alike([op for op in ops if "heads" not in op.shape],
                            self._apart) + by_head:
            seconds = self.op_seconds(_stacked(group) if len(group) > 1 else group[0])
            values = [float(v) for v in np.broadcast_to(
                np.asarray(seconds, float).reshape(-1), len(group))]
            found |= {id(op): value for op, value in zip(group, values, strict=True)}
        return [found[id(op)] for op in ops]

    def op_seconds(self, op: Op) -> Array:
        """Seconds of all repeats of one op."""
        kernel, factor = self.kernel(op)
        return self.held(op, kernel.seconds() if isinstance(kernel, Call) else kernel, factor)

    def held(self, op: Op, one: Any, factor: float) -> Array:
        """Seconds of all repeats, never below the roofline, from those of one kernel."""
        floor = np.asarray(op_bounds(op, self.cluster).lower, float)
        size = np.asarray(op.message_bytes if op.kind == "collective"
                          else op.flop + op.memory_bytes, float)
        active = (size > 0) & (np.asarray(_rows(op), float) > 0)
        kernel = op.repeats * np.asarray(one, float) * factor
        return np.where(active, np.maximum(kernel, floor), 0.0)

    def kernel(self, op: Op) -> tuple[Call | Array, float]:
        """One repeat: its seconds by the kernels measured on the machine, else the call of the
        tables that answers it, and the engine's factor on that.
        """
        op = _positive(op)
        measured = self.cluster.chip.kernels_of(self.backend)
        known = op.labels.get("format")
        if measured and op.kind != "collective":
            from ridgeline.timing.measured import measured_seconds, runs_format

            if known is None or runs_format(measured, known):
                return measured_seconds(measured, op), 1.0
        return call_of(op, self.cluster, self.backend), self.costs.factor(op.kind)

    @property
    def backend(self) -> str:
        """The engine whose measured kernels stand for this deployment's."""
        return self.deployment.engine


def seconds_together(work: Sequence[tuple[StepTimer, Sequence[Op]]]) -> list[Array]:
    """What each timer says of its ops, with the kernels of all of them timed together.

    Args:
        work: timers, each with the ops it is to time.
    """
    groups = [timer.groups(ops) for timer, ops in work]
    asked = [(timer, group.op, *timer.kernel(group.op))
             for (timer, _), of_timer in zip(work, groups, strict=True) for group in of_timer]
    answers = iter(timed_together([kernel for _, _, kernel, _ in asked
                                   if isinstance(kernel, Call)]))
    seconds = iter([timer.held(op, next(answers) if isinstance(kernel, Call) else kernel, factor)
                    for timer, op, kernel, factor in asked])
    return [timer.total([(group, next(seconds)) for group in of_timer])
            for (timer, _), of_timer in zip(work, groups, strict=True)]


_SIZES = ("repeats", "flop", "weight_bytes", "activation_bytes", "state_bytes", "message_bytes")


# Kinds whose ops differ in size alone, and shape entries that must stay single numbers.
_STACKABLE = ("matmul", "elementwise", "gather", "collective")
_SINGLE = ("group", "spans")


def _alike(ops: Sequence[Op], apart: str = "") -> list[list[Op]]:
    """Ops that one kernel call can time together: same kind, formats and form; one by itself."""
    groups: dict[Any, list[Op]] = {}
    for index, op in enumerate(ops):
        single = tuple(float(op.shape[name]) for name in _SINGLE if name in op.shape)
        # Per-head products that widen and that narrow run in kernels of their own.
        widens = "heads" in op.shape and float(np.max(op.shape["k"])) < float(np.max(op.shape["n"]))
        key = (op.kind, op.compute, tuple(sorted(op.labels.items())), tuple(op.shape), single,
               widens, op.name == apart)
        groups.setdefault(key if op.kind in _STACKABLE else index, []).append(op)
    return list(groups.values())


def _stacked(ops: Sequence[Op]) -> Op:
    """One op whose fields have the ops along a new first axis."""
    first = ops[0]
    names = [name for name in first.shape if name not in _SINGLE]
    columns = [[getattr(op, size) for size in _SIZES] + [op.shape[name] for name in names]
               for op in ops]
    shape = np.broadcast_shapes(*(np.shape(v) for column in columns for v in column))
    stacked = [_rows_of(row, shape) for row in zip(*columns, strict=True)]
    sizes: dict[str, Any] = dict(zip(_SIZES, stacked, strict=False))
    sizes["shape"] = {**first.shape, **dict(zip(names, stacked[len(_SIZES):], strict=True))}
    return dataclasses.replace(first, **sizes)


def _rows_of(values: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """The values one below the other, each filling `shape`."""
    rows = np.empty((len(values), *shape))
    for place, value in enumerate(values):
        rows[place] = value
    return rows


def _rows(op: Op) -> Any:
    """What must be above zero for the op to run at all."""
    for name in ("rows", "m", "batch", "tokens", "group"):
        if name in op.shape:
            return op.shape[name]
    return 1.0


def _positive(op: Op) -> Op:
    """The op with zero sizes lifted to one, since kernel models take no empty launch."""
    kept = (*_SINGLE, "past_tokens")
    shape = {name: value if name in kept else _lifted(value) for name, value in op.shape.items()}
    return dataclasses.replace(op, shape=shape)


def _lifted(value: Any) -> Any:
    if isinstance(value, float):
        return value if value > 0 else 1.0
    return np.where(np.asarray(value, float) > 0, value, 1.0)
