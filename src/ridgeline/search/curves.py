"""A deployment's step times as dense curves, so that a million batches are a few gathers each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.timing.step_table import Grid, StepTable

__all__ = ["Curve", "StepCurves", "curves_of"]

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Curve:
    """Values at 0, step, 2 step, ...: read by linear interpolation, extended by the last slope.

    Attributes:
        values: at the knots, at least two.
        scale: knots a unit, 1 / step.
    """

    values: Array
    scale: float = 1.0

    def __call__(self, x: Any) -> Array:
        """Values at any points from 0 on [s]."""
        place = np.asarray(x, float) * self.scale
        index = np.minimum(place.astype(np.int64), len(self.values) - 2)
        low = self.values.take(index)
        return np.asarray(low + (place - index) * (self.values.take(index + 1) - low))


@dataclass(frozen=True)
class StepCurves:
    """Parts of a step of one deployment, at one mean context.

    Attributes:
        tokens: by all tokens of the step.
        decode: by decoding sequences: a step with nothing else, all parts.
        logits: by rows.
        prompt: attention of one prompt, by tokens of its chunks [s].
        fixed: paid by every step.
        copies: of attention, side by side.
        shared: of `tokens`, what they do together.
    """

    tokens: Curve
    decode: Curve
    logits: Curve
    prompt: Curve
    fixed: float
    copies: int = 1
    shared: Curve | None = None

    def spread(self, total: Any, fullest: Any) -> Array:
        """Time that follows the tokens of a step [s].

        Args:
            total: tokens of all copies.
            fullest: the same if each copy had as many as the fullest.
        """
        if self.shared is None:
            return self.tokens(total)
        return self.tokens(fullest) + self.shared(total) - self.shared(fullest)

    def fullest(self, tokens: Any, prompt: float) -> Any:
        """Tokens of prompts that enter together, if each copy had as many as the fullest: whole
        prompts go to one copy each."""
        if self.copies == 1:
            return tokens
        return self.copies * np.minimum(tokens, np.maximum(tokens / self.copies, prompt))


def curves_of(table: StepTable, *, context: float, prompts: Array, weights: Array,
              most_tokens: int, most_sequences: int, copies: int = 1,
              shared: Grid | None = None) -> StepCurves:
    """Curves of a table for one workload.

    Args:
        table: of the deployment.
        context: mean length of a decoding sequence.
        prompts: lengths that stand for the law of prompts.
        weights: their shares, summing to 1.
        most_tokens, most_sequences: how far the curves reach.
        copies, shared: attention copies, and what they do together of the time by tokens.
    """
    counts = np.arange(0.0, most_sequences + 2)
    even = np.ceil(counts / copies) * copies       # as many as the fullest copy on each
    decode = table.decode.at(np.maximum(even, 1.0), np.full(len(counts), context))
    decode = np.where(counts >= 1, decode, counts * decode)
    logits = np.where(counts >= 1, _line(table.logits, np.maximum(even, 1.0)), 0.0)
    step = max(1, -(-most_tokens // 16384))
    places = np.arange(0.0, most_tokens + 2 * step, step)
    tokens = _line(table.tokens, np.maximum(places, 1.0))
    chunks = np.unique(np.round(np.geomspace(1, max(most_tokens, 2), 48)))
    attention = sum(w * _attention(table, p, chunks) for p, w in zip(prompts, weights, strict=True))
    dense = np.interp(places, chunks, np.asarray(attention, float))
    linear = _line(table.tokens, np.maximum(even, 1.0))
    together = None
    if shared is not None and copies > 1:
        together = Curve(_line(shared, np.maximum(places, 1.0)), 1 / step)
        linear += _line(shared, np.maximum(counts, 1.0)) - _line(shared, np.maximum(even, 1.0))
    return StepCurves(Curve(tokens, 1 / step), Curve(decode + table.fixed + logits + linear),
                      Curve(logits), Curve(dense, 1 / step), table.fixed, copies, together)


def _line(grid: Grid, x: Array) -> Array:
    return grid.at(x)


def _attention(table: StepTable, prompt: float, chunks: Array) -> Array:
    """Attention of one prompt cut into chunks: whole ones, then what is left."""
    size = np.minimum(chunks, prompt)
    whole = np.floor(prompt / size)
    rest = prompt - whole * size
    # Attention is linear in what came before, so equal chunks cost what the middle one does.
    body = whole * table.prefill.at(size, (whole - 1) * size / 2)
    tail = np.where(rest > 0, table.prefill.at(np.maximum(rest, 1.0), whole * size), 0.0)
    return np.asarray(body + tail, float)
