"""A step's time as a table: sums of four parts, each a function of at most two numbers.

Every op says what its size follows (all tokens, prompts, decoding sequences, logits). So a step's
time is

    t = tokens(p + B) + prefill(p, past) + decode(B, context) + logits(L)

and each part is evaluated once on a grid, for all schedulers and simulators to look up.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.work.op import Follows, Op
from ridgeline.work.step import Step

__all__ = ["ComponentTable", "Grid", "StepTable", "TableWork", "Timer", "table_work", "tabulate",
           "with_unit_costs"]

Array = np.ndarray[Any, np.dtype[np.float64]]
# Seconds of a list of ops, broadcast over their array fields.
Timer = Callable[[Sequence[Op]], Any]


@dataclass(frozen=True)
class Grid:
    """Values on a rectangular grid, looked up by linear interpolation, extended by its end slopes.

    Attributes:
        x: strictly increasing positions along the first axis.
        y: positions along the second axis (one position: no second axis).
        values: seconds, shape (len(x), len(y)).
    """

    x: Array
    y: Array
    values: Array

    def __call__(self, x: float, y: float = 0.0) -> float:
        """Value at one point [s], the same as `at` without NumPy's cost a call."""
        xs, ys, values = self._plain
        i = min(max(bisect.bisect_right(xs, x) - 1, 0), len(xs) - 2)
        u = (x - xs[i]) / (xs[i + 1] - xs[i])
        low, high = values[i], values[i + 1]
        if len(ys) == 1:
            return low[0] * (1 - u) + high[0] * u
        j = min(max(bisect.bisect_right(ys, y) - 1, 0), len(ys) - 2)
        v = (y - ys[j]) / (ys[j + 1] - ys[j])
        return ((low[j] * (1 - u) + high[j] * u) * (1 - v)
                + (low[j + 1] * (1 - u) + high[j + 1] * u) * v)

    @functools.cached_property
    def _plain(self) -> tuple[list[float], list[float], list[list[float]]]:
        return self.x.tolist(), self.y.tolist(), self.values.tolist()

    def at(self, x: Array, y: Array | float = 0.0) -> Array:
        """Values at many points [s], x and y of one shape."""
        i, u = _cell(self.x, x)
        if len(self.y) == 1:
            column = self.values[:, 0]
            line: Array = column[i] * (1 - u) + column[i + 1] * u
            return line
        j, v = _cell(self.y, np.broadcast_to(np.asarray(y, float), np.shape(x)))
        low = self.values[i, j] * (1 - u) + self.values[i + 1, j] * u
        high = self.values[i, j + 1] * (1 - u) + self.values[i + 1, j + 1] * u
        plane: Array = low * (1 - v) + high * v
        return plane


def _cell(axis: Array, at: Array) -> tuple[Any, Array]:
    """Index of the cell a position falls in, and how far into it (beyond 0..1 outside)."""
    index = np.clip(np.searchsorted(axis, at, side="right") - 1, 0, len(axis) - 2)
    return index, (at - axis[index]) / (axis[index + 1] - axis[index])


@dataclass(frozen=True)
class StepTable:
    """Seconds of any step of one deployment.

    Attributes:
        tokens: by all tokens of the step.
        prefill: by new prompt tokens and tokens cached before them (one prompt).
        decode: by decoding sequences and their mean context.
        logits: by rows that need logits.
        fixed: paid by every step.
        mixed: by decoding sequences and their context, instead of `decode`, in a step that reads
            prompts too; None: as without prompts.
    """

    tokens: Grid
    prefill: Grid
    decode: Grid
    logits: Grid
    fixed: float = 0.0
    mixed: Grid | None = None

    @property
    def beside_prompts(self) -> Grid:
        """Of decoding sequences in a step that reads prompts too."""
        return self.decode if self.mixed is None else self.mixed

    def seconds(self, *, prefill_tokens: Any = 0.0, past: Any = 0.0, sequences: Any = 0.0,
                context: Any = 1.0, finished: Any = 0.0) -> Array:
        """Step times [s], broadcast over the arguments.

        Args:
            prefill_tokens: new tokens of one prompt (or of several, taken as one).
            past: tokens of that prompt already cached.
            sequences: decoding sequences.
            context: their mean length.
            finished: prompts that need logits in this step.
        """
        p, past, n, context, done = np.broadcast_arrays(
            *(np.asarray(v, float) for v in (prefill_tokens, past, sequences, context, finished)))
        return (self.fixed + self.tokens.at(p + n)
                + np.where(p > 0, self.prefill.at(p, past), 0.0)
                + np.where(n > 0, self._decoding(p, n, context), 0.0)
                + np.where(n + done > 0, self.logits.at(n + done), 0.0))

    def _decoding(self, p: Array, n: Array, context: Array) -> Array:
        alone = self.decode.at(n, context)
        return alone if self.mixed is None else np.where(p > 0, self.mixed.at(n, context), alone)


def with_unit_costs(table: StepTable, *, sequence: float, token: float) -> StepTable:
    """The table with costs a decoding sequence and a prompt token on top [s]."""
    return dataclasses.replace(
        table, prefill=_raised(table.prefill, token), decode=_raised(table.decode, sequence),
        mixed=None if table.mixed is None else _raised(table.mixed, sequence))


def _raised(grid: Grid, each: float) -> Grid:
    """The grid with a cost for each one along its first axis on top."""
    return Grid(grid.x, grid.y, grid.values + each * grid.x[:, None])


@dataclass(frozen=True)
class ComponentTable:
    """Step times split into components: the same look-ups as a StepTable, giving vectors.

    Attributes:
        parts: one table a component, all on the same grids.
    """

    parts: tuple[StepTable, ...]

    @functools.cached_property
    def fixed(self) -> Array:
        """What every step pays, by component."""
        return np.array([part.fixed for part in self.parts])

    def tokens(self, x: float) -> Array:
        """By all tokens of the step."""
        return np.array([part.tokens(x) for part in self.parts])

    def prefill(self, x: float, y: float) -> Array:
        """By new prompt tokens and tokens before them."""
        return np.array([part.prefill(x, y) for part in self.parts])

    def decode(self, x: float, y: float) -> Array:
        """By decoding sequences and their context."""
        return np.array([part.decode(x, y) for part in self.parts])

    def beside_prompts(self, x: float, y: float) -> Array:
        """By decoding sequences and their context, in a step that reads prompts too."""
        return np.array([part.beside_prompts(x, y) for part in self.parts])

    def logits(self, x: float) -> Array:
        """By rows that need logits."""
        return np.array([part.logits(x) for part in self.parts])


@functools.lru_cache(maxsize=256)
def _positions(most: float, dense_to: int = 64, per_octave: int = 6) -> Array:
    """1, 2, ..., then a few positions an octave, on multiples of 8, up to `most`; not to be
    written to."""
    octaves = np.arange(np.log2(dense_to), np.log2(max(most, 2 * dense_to)) + 1, 1 / per_octave)
    coarse = np.round(2**octaves / 8) * 8
    return np.unique(np.concatenate([np.arange(1, dense_to + 1), coarse])).astype(float)


@dataclass(frozen=True)
class Part:
    """One part of a table before it is timed: where it is asked, and the ops behind it."""

    x: Array
    y: Array
    ops: tuple[Op, ...]

    def grid(self, seconds: Any) -> Grid:
        """The part with its seconds, which broadcast to the grid."""
        shape = (len(self.x), len(self.y))
        return Grid(self.x, self.y, np.broadcast_to(np.asarray(seconds, float), shape).copy())


@dataclass(frozen=True)
class TableWork:
    """A table before it is timed, in the order of its fields.

    Attributes:
        parts: tokens, prefill, decode, logits; then mixed, where decoding takes longer beside
            prompts.
        fixed: seconds paid by every step.
    """

    parts: tuple[Part, ...]
    fixed: float = 0.0

    def table(self, seconds: Sequence[Any]) -> StepTable:
        """The table, with the seconds of each part's ops."""
        tokens, prefill, decode, logits, *mixed = (
            part.grid(of_part) for part, of_part in zip(self.parts, seconds, strict=True))
        return StepTable(tokens, prefill, decode, logits, self.fixed, *mixed)


def table_work(ops_of: Callable[[Mapping[Follows, Step]], Sequence[Op]], *, max_tokens: float,
               max_sequences: float, max_context: float, fixed: float = 0.0,
               mixed: Callable[[Op], Op] | None = None) -> TableWork:
    """The four parts of a deployment's step on grids, with the ops to be timed for each.

    Args:
        ops_of: ops of one step for each part (see `work.step.part_ops`).
        max_tokens, max_sequences, max_context: how far the grids reach.
        fixed: seconds paid by every step.
        mixed: a decoding op as it runs beside prompts; None: as it runs alone.
    """
    tokens = _positions(max(max_tokens, max_sequences))
    rows = _positions(max_sequences, 16, 4)
    lengths = np.unique(np.round(np.geomspace(1, max(max_context, 2.0), 24)))
    chunk = _positions(max_tokens, 4, 3)
    past = np.concatenate([[0.0], np.geomspace(64, max(max_context, 128.0), 8)])
    one = np.zeros(1)

    # `tokens` ops count all tokens alike; a decode-only step of m sequences has m of them.
    steps: dict[Follows, Step] = {
        "tokens": Step(decode_sequences=tokens[:, None]),
        "prefill": Step(prefill_tokens=chunk[:, None], prefill_sequences=1.0,
                        prefill_past=past[None, :], finished_prompts=0.0),
        "decode": Step(decode_sequences=rows[:, None], decode_context=lengths[None, :]),
        "logits": Step(decode_sequences=rows[:, None])}
    grids = {"tokens": (tokens, one), "prefill": (chunk, past), "decode": (rows, lengths),
             "logits": (rows, one)}
    ops = ops_of(steps)
    parts = [Part(*grids[part], tuple(op for op in ops if op.follows == part)) for part in steps]
    if mixed is not None:
        parts.append(Part(rows, lengths, tuple(mixed(op) for op in parts[2].ops)))
    return TableWork(tuple(parts), fixed)


def tabulate(ops_of: Callable[[Step], Sequence[Op]], timer: Timer, *, max_tokens: float,
             max_sequences: float, max_context: float, fixed: float = 0.0) -> StepTable:
    """Evaluate the four parts of a deployment's step on grids.

    Args:
        ops_of: ops of a step (fields may be arrays).
        timer: seconds of ops.
        max_tokens, max_sequences, max_context, fixed: as in `table_work`.
    """
    def of_parts(steps: Mapping[Follows, Step]) -> list[Op]:
        return [op for part, step in steps.items() for op in ops_of(step) if op.follows == part]

    work = table_work(of_parts, max_tokens=max_tokens, max_sequences=max_sequences,
                      max_context=max_context, fixed=fixed)
    return work.table([timer(part.ops) for part in work.parts])
