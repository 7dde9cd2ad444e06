"""The learned part of a kernel time: a small network that bends a physical form, within bounds.

    t = t_physical * exp(bound * tanh(net(x) / bound)),
    net(x) = W3 tanh(W2 tanh(W1 z + b1) + b2) + b3,
    z = (clip(x, low, high) - centre) / scale

The features are clipped to the box they were trained in, so that outside it the correction stays
at its value on the edge and the physical form alone extrapolates. The correction to log time is
at most `bound` either way. Evaluated in float32.

Sources: own derivation; the width of the intervals follows split conformal prediction
(Vovk et al., Algorithmic Learning in a Random World, 2005, ch. 2).
"""

from __future__ import annotations

import base64
import contextlib
import itertools
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.timing.kernels.result import LEVELS

Array = NDArray[np.floating[Any]]
# Multiplications of a product that OpenBLAS still does on one thread, and rows of a product with
# one column.
_ONE_THREAD = 2**18
_ROUND = 256
_PIECES: ContextVar[tuple[int, ...] | None] = ContextVar("pieces", default=None)


@dataclass(frozen=True)
class Residual:
    """A bounded correction to log time.

    Attributes:
        low, high: box of the training features, shape (F,).
        centre, scale: standardisation of the features, shape (F,).
        layers: (weights (in, out), biases (out,)) from input to output; the last has out = 1.
        bound: largest correction to log time.
    """

    low: Array
    high: Array
    centre: Array
    scale: Array
    layers: tuple[tuple[Array, Array], ...]
    bound: float

    def __call__(self, features: Array) -> Array:
        """Log corrections, shape (N,), of features of shape (N, F); see also `asked_apart`."""
        hidden = np.empty((len(features), self.layers[-1][0].shape[0]), dtype=np.float32)
        for piece in _cut(len(features), self._rows):
            hidden[piece] = self._hidden(features[piece])
        weights, biases = self.layers[-1]
        raw, begin = np.empty(len(features), dtype=np.float32), 0
        for length in _PIECES.get() or (len(features),):
            for piece in _cut(length, _ROUND, begin):
                raw[piece] = (hidden[piece] @ weights)[:, 0]
            begin += length
        raw += biases[0]
        bounded: Array = self.bound * np.tanh(raw / self.bound)
        return bounded

    @property
    def _rows(self) -> int:
        """Rows of a product small enough that no linear algebra library starts threads for it,
        which would cost more than it saves."""
        widest = max(weights.size for weights, _ in self.layers)
        return max(_ROUND, _ONE_THREAD // widest // _ROUND * _ROUND)

    def _hidden(self, features: Array) -> Array:
        hidden: Array = np.clip(features, self.low, self.high).astype(np.float32)
        hidden -= self.centre
        hidden /= self.scale
        for weights, biases in self.layers[:-1]:
            hidden = hidden @ weights
            hidden += biases
            np.tanh(hidden, out=hidden)
        return hidden

    def to_json(self) -> dict[str, Any]:
        """A compact JSON form: half-precision weights, base64."""
        box = np.stack([self.low, self.high, self.centre, self.scale])
        flat = np.concatenate([np.concatenate([w.ravel(), b]) for w, b in self.layers])
        return {"widths": [w.shape[0] for w, _ in self.layers], "bound": self.bound,
                "box": _pack(box.ravel(), np.float32), "net": _pack(flat, np.float16)}

    @classmethod
    def from_json(cls, form: dict[str, Any]) -> Residual:
        """The inverse of `to_json`, up to the rounding of the weights."""
        widths = [*form["widths"], 1]
        box = _unpack(form["box"], np.float32).reshape(4, widths[0])
        flat, layers, at = _unpack(form["net"], np.float16), [], 0
        for rows, cols in itertools.pairwise(widths):
            weights = flat[at:at + rows * cols].reshape(rows, cols)
            layers.append((weights, flat[at + rows * cols:at + rows * cols + cols]))
            at += rows * cols + cols
        return cls(box[0], box[1], box[2], box[3], tuple(layers), float(form["bound"]))


@contextlib.contextmanager
def asked_apart(pieces: Sequence[int]) -> Iterator[None]:
    """Inside, corrections of features come out to the bit as if each piece were asked alone.

    A product with one column sums in another order for the last rows of an array, so cases that
    are asked together would differ from the same ones asked alone in the last bits.

    Args:
        pieces: their lengths, summing to the rows of all features asked for inside.
    """
    token = _PIECES.set(tuple(pieces))
    try:
        yield
    finally:
        _PIECES.reset(token)


def _cut(length: int, most: int, begin: int = 0) -> list[slice]:
    """Slices of at most that many rows, one after another."""
    return [slice(begin + at, begin + min(at + most, length)) for at in range(0, length, most)]


def _pack(values: Array, kind: type[np.floating[Any]]) -> str:
    little = np.dtype(kind).newbyteorder("<")
    return base64.b64encode(values.astype(little).tobytes()).decode("ascii")


def _unpack(text: str, kind: type[np.floating[Any]]) -> Array:
    little = np.dtype(kind).newbyteorder("<")
    values: Array = np.frombuffer(base64.b64decode(text), dtype=little).astype(np.float32)
    return values


@dataclass(frozen=True)
class Spread:
    """Quantiles of log(measured / predicted), by bin of the predicted time.

    Attributes:
        edges: inner edges of the bins of predicted seconds, shape (B - 1,), rising.
        quantiles: at `LEVELS` for each bin, shape (B, 4).
    """

    edges: Array
    quantiles: Array

    def __call__(self, seconds: Array) -> Array:
        """Quantiles for each predicted time, shape (..., 4)."""
        picked: Array = self.quantiles[np.searchsorted(self.edges, seconds)]
        return picked

    def widened(self, factor: float) -> Spread:
        """The same intervals, `factor` times as wide in log time."""
        return Spread(self.edges, self.quantiles * factor)

    def to_json(self) -> dict[str, Any]:
        """Plain lists, rounded to 4 digits."""
        return {"edges": [float(f"{e:.4g}") for e in self.edges],
                "quantiles": [[round(float(q), 4) for q in row] for row in self.quantiles]}

    @classmethod
    def from_json(cls, form: dict[str, Any]) -> Spread:
        """The inverse of `to_json`."""
        quantiles = np.asarray(form["quantiles"], dtype=float).reshape(-1, len(LEVELS))
        return cls(np.asarray(form["edges"], dtype=float), quantiles)
