"""Step times of a local engine, fitted to a few steps measured here, for any other model.

    t = fixed + launch * ops + sum over matrices of  k n g(rows)
        + decode_attention * FLOP + prefill_attention * FLOP + move * elementwise bytes

g is the time of one parameter at so many rows, straight between the rows that were measured. One
machine, engine and weight format have one set of these numbers; the op lists do the rest, so the
same fit answers for other widths, depths, contexts and batches, alone or in the simulator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import Format, Formats
from ridgeline.errors import BadInput, MissingExtra
from ridgeline.timing.step_table import StepTable, tabulate
from ridgeline.work.op import Op
from ridgeline.work.step import Step, decode_step, prefill_step, step_ops

if TYPE_CHECKING:
    from ridgeline.model.architecture import Architecture

__all__ = ["LocalSteps", "Sample", "fit_steps", "formats_of"]

Array = np.ndarray[Any, np.dtype[np.float64]]
_SHARED = ("fixed", "launch", "decode_attention", "prefill_attention", "move")


@dataclass(frozen=True)
class Sample:
    """One or several steps measured together.

    Attributes:
        architecture: of the model that ran.
        steps: what each took in; a long prompt takes several.
        seconds: how long they took in all.
    """

    architecture: Architecture
    steps: tuple[Step, ...]
    seconds: float

    @classmethod
    def of_prompt(cls, architecture: Architecture, tokens: int, seconds: float, *,
                  chunk: int = 1 << 30) -> Sample:
        """A prompt alone, in chunks of at most so many tokens."""
        starts = range(0, tokens, chunk)
        return cls(architecture, tuple(prefill_step(
            tokens=float(min(chunk, tokens - at)), past=float(at)) for at in starts), seconds)

    @classmethod
    def of_decode(cls, architecture: Architecture, batch: int, context: float, seconds: float
                  ) -> Sample:
        """A decode step of so many sequences of a mean length."""
        return cls(architecture, (decode_step(sequences=float(batch), context=float(context)),),
                   seconds)


@dataclass(frozen=True)
class LocalSteps:
    """Fitted step times of one engine, weight format and machine.

    Attributes:
        format: of the weights.
        rows: rows of a matrix product at which g is known.
        per_param: g there [s].
        shared: the other constants [s, s/FLOP, s/B].
        error: median of |fitted - measured| / measured over the samples.
    """

    format: Format
    rows: tuple[float, ...]
    per_param: tuple[float, ...]
    shared: Mapping[str, float]
    error: float

    def __call__(self, ops: Sequence[Op]) -> Any:
        """Seconds of a list of ops without the fixed part, broadcast over their fields."""
        found = _features(ops, np.array(self.rows))
        known = {**self.shared, **{f"rows_{i}": g for i, g in enumerate(self.per_param)}}
        return sum(known[name] * value for name, value in found.items())

    def seconds(self, sample: Sample) -> float:
        """Seconds that the steps of a sample should take."""
        return sum(self.shared["fixed"] + float(self(step_ops(
            sample.architecture, Deployment(), formats_of(self.format), step)))
            for step in sample.steps)

    def table(self, architecture: Architecture, *, max_tokens: int, max_sequences: int,
              max_context: int) -> StepTable:
        """Step times of a model for the simulator."""
        formats = formats_of(self.format)
        return tabulate(lambda step: step_ops(architecture, Deployment(), formats, step), self,
                        max_tokens=float(max_tokens), max_sequences=float(max_sequences),
                        max_context=float(max_context), fixed=self.shared["fixed"])


def formats_of(weights: Format) -> Formats:
    """All matrices in one format, cache and activations in 16 bit."""
    sixteen = Format("bf16", 2.0, "bf16")
    return Formats(weights, weights, weights, weights, sixteen, Format("fp32", 4.0, "fp32"))


def fit_steps(samples: Sequence[Sample], format: Format) -> LocalSteps:
    """Fit the constants to measured steps, none of them negative, by least relative squares.

    Args:
        samples: at least two models and two contexts, so that what grows with each can be told
            apart; rows of g are those of the samples.
        format: of their weights.

    Raises:
        BadInput: fewer than four samples, or times that are not positive.
        MissingExtra: scipy is not installed.
    """
    try:
        from scipy.optimize import nnls
    except ImportError as missing:
        raise MissingExtra.needed("fitting local step times", "fit") from missing
    if len(samples) < 4:
        raise BadInput(f"{len(samples)} measured steps are too few to fit; take at least 4")
    if not all(0 < s.seconds < float("inf") for s in samples):
        raise BadInput("a measured step must take a positive, finite time")
    rows = _knots(samples)
    names = [*_SHARED, *(f"rows_{i}" for i in range(len(rows)))]
    matrix = np.array([_row(s, rows, names, format) for s in samples])
    times = np.array([s.seconds for s in samples])
    scaled = matrix / times[:, None]
    size = np.maximum(np.abs(scaled).max(axis=0), 1e-300)
    found = nnls(scaled / size, np.ones(len(samples)))[0] / size
    error = float(np.median(np.abs(matrix @ found / times - 1)))
    constants = dict(zip(names, found.tolist(), strict=True))
    return LocalSteps(format, tuple(rows.tolist()),
                      tuple(constants[n] for n in names[len(_SHARED):]),
                      {n: constants[n] for n in _SHARED}, error)


def _knots(samples: Sequence[Sample]) -> Array:
    """Rows of matrix products in the samples, in order; at least two."""
    rows = {float(step.prefill_tokens + step.decode_sequences)
            for s in samples for step in s.steps}
    return np.array(sorted(rows if len(rows) > 1 else rows | {2 * max(rows)}))


def _row(sample: Sample, rows: Array, names: Sequence[str], format: Format) -> list[float]:
    """What one sample takes of each constant."""
    total = dict.fromkeys(names, 0.0)
    for step in sample.steps:
        ops = step_ops(sample.architecture, Deployment(), formats_of(format), step)
        for name, value in {**_features(ops, rows), "fixed": 1.0}.items():
            total[name] += float(value)
    return [total[name] for name in names]


def _features(ops: Sequence[Op], rows: Array) -> dict[str, Any]:
    """Sums over the ops by constant, broadcast over their fields."""
    out: dict[str, Any] = {}

    def add(name: str, value: Any) -> None:
        out[name] = out.get(name, 0.0) + value

    for op in ops:
        active = np.where(np.asarray(op.flop + op.memory_bytes) > 0, 1.0, 0.0)
        add("launch", op.repeats * active)
        if op.kind == "matmul":
            for index, weight in enumerate(_hats(np.asarray(op.shape["m"], float), rows)):
                add(f"rows_{index}", op.repeats * active * op.shape["k"] * op.shape["n"] * weight)
        elif op.kind == "attention":
            add(f"{op.follows}_attention", op.repeats * op.flop)
        else:
            add("move", op.repeats * op.activation_bytes)
    return out


def _hats(m: Array, rows: Array) -> list[Array]:
    """Weight of each knot at m rows: straight lines between knots, end slopes beyond them."""
    index = np.clip(np.searchsorted(rows, m, side="right") - 1, 0, len(rows) - 2)
    share = (m - rows[index]) / (rows[index + 1] - rows[index])
    return [np.where(index == i, 1 - share, 0.0) + np.where(index + 1 == i, share, 0.0)
            for i in range(len(rows))]
