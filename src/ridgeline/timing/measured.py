"""Seconds of ops by the kernels that were measured on the machine itself.

    product:   t = k n g(m, k) + launch
    attention: t = FLOP a(tokens, head width) + launch
    the rest:  t = bytes * move

g is the time of one weight at so many rows, straight between measured rows and between measured
depths in proportion to their logarithm; beyond the last measured rows it grows with their number.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ridgeline.formats import get_format
from ridgeline.machine.kernels import AttentionCurve, KernelTimes, MatmulCurve
from ridgeline.timing.stream_work import quant_kind
from ridgeline.work.op import Op

if TYPE_CHECKING:
    from ridgeline.timing.engine import EngineCosts

__all__ = ["costs_of", "measured_seconds", "runs_format", "weight_seconds"]

# Blocks of integers with plain scales: their kernels are more alike than those of code books.
_PLAIN = ("legacy", "k")
Array = np.ndarray[Any, np.dtype[np.float64]]


def runs_format(kernels: KernelTimes, name: str) -> bool:
    """Whether a weight format, or formats of its kind around it, were measured."""
    return bool(_neighbours(kernels, name))


def costs_of(kernels: KernelTimes, *, served: bool = False) -> EngineCosts:
    """The engine's own costs as its measurement found them.

    Args:
        kernels: of the engine.
        served: with what its server adds for each token it sends.
    """
    from ridgeline.timing.engine import EngineCosts

    sent = kernels.stream if served else 0.0
    return EngineCosts(step=kernels.step, layer=kernels.layer, sequence=kernels.sequence + sent,
                       request=kernels.request if served else 0.0)


def measured_seconds(kernels: KernelTimes, op: Op) -> Array:
    """Seconds of one repeat of an op; collectives are not among them."""
    s = op.shape
    if op.kind == "matmul":
        weights: Array = np.asarray(s.get("heads", 1.0), float) * s["k"] * s["n"]
        time = weight_seconds(kernels, op.labels["format"], s["m"], s["k"])
        return np.asarray(weights * time + kernels.launch, float)
    if op.kind == "grouped_matmul":
        return _grouped(kernels, op)
    if op.kind == "attention" and "head_dim" in s and kernels.attention:
        return _attention(kernels, op) + kernels.launch
    if op.name == "sampling":
        return np.asarray(s["rows"], float) * s["width"] * kernels.logit
    return np.asarray(op.memory_bytes, float) * kernels.move


def weight_seconds(kernels: KernelTimes, format: str, rows: Any, depth: Any) -> Array:
    """Seconds of one weight of a format at so many rows and such a depth, broadcast."""
    around = _neighbours(kernels, format)
    found = [_surface(_of_format(kernels, name), rows, depth) for name in around]
    if len(found) == 1:
        return found[0]
    low, high = (get_format(name).bits for name in around)
    share = min(max((get_format(format).bits - low) / (high - low), 0.0), 1.0)
    return found[0] * (1 - share) + found[1] * share


@functools.lru_cache(maxsize=256)
def _neighbours_of(measured: tuple[str, ...], name: str) -> tuple[str, ...]:
    if name in measured:
        return (name,)
    wanted = get_format(name)
    alike = _alike(measured, (quant_kind(wanted),))
    if not alike and quant_kind(wanted) in _PLAIN:
        alike = _alike(measured, _PLAIN)
    below = [f for f in alike if get_format(f).bits <= wanted.bits]
    above = [f for f in alike if get_format(f).bits > wanted.bits]
    return (*below[-1:], *above[:1])


def _alike(measured: tuple[str, ...], kinds: tuple[str, ...]) -> list[str]:
    """Measured formats of some kinds, by bits."""
    return sorted((f for f in measured if quant_kind(get_format(f)) in kinds),
                  key=lambda f: get_format(f).bits)


def _neighbours(kernels: KernelTimes, name: str) -> tuple[str, ...]:
    """The measured format, or those of its kind next below and above it in bits."""
    return _neighbours_of(kernels.formats, name)


def _of_format(kernels: KernelTimes, name: str) -> list[MatmulCurve]:
    """A format's curves on the smallest working set, by depth."""
    curves = [c for c in kernels.matmul if c.format == name]
    least = min(c.set_bytes for c in curves)
    return sorted((c for c in curves if c.set_bytes == least), key=lambda c: c.depth)


def _surface(curves: Sequence[MatmulCurve], rows: Any, depth: Any) -> Array:
    """Between curves of several depths."""
    rows, depth = np.broadcast_arrays(np.asarray(rows, float), np.asarray(depth, float))
    at = np.array([_line(c.rows, c.seconds, rows) for c in curves])
    if len(curves) == 1:
        single: Array = at[0]
        return single
    log = np.log([c.depth for c in curves])
    place = np.clip(np.log(np.maximum(depth, 1.0)), log[0], log[-1])
    index = np.clip(np.searchsorted(log, place, side="right") - 1, 0, len(log) - 2)
    share = (place - log[index]) / (log[index + 1] - log[index])
    low = np.take_along_axis(at, index[None], 0)[0]
    high = np.take_along_axis(at, index[None] + 1, 0)[0]
    mixed: Array = low * (1 - share) + high * share
    return mixed


def _line(x: Sequence[float], y: Sequence[float], at: Array) -> Array:
    """Straight between points; beyond the last one in proportion to x."""
    inside = np.interp(at, x, y)
    return np.where(at > x[-1], y[-1] * at / x[-1], inside)


def _grouped(kernels: KernelTimes, op: Op) -> Array:
    """Experts: those that are read see equal shares of the rows."""
    s, format = op.shape, op.labels["format"]
    rows = np.asarray(s["tokens"], float) * s["top_k"]
    each = np.asarray(op.flop, float) / (2.0 * np.maximum(rows, 1e-9))
    bytes_ = np.asarray(op.weight_bytes, float)
    used = np.maximum(bytes_ / np.maximum(each * get_format(format).bits / 8, 1e-9), 1e-9)
    time = weight_seconds(kernels, format, np.maximum(rows / used, 1.0), s["hidden"])
    return used * (each * time + kernels.launch)


def _attention(kernels: KernelTimes, op: Op) -> Array:
    """FLOP at the speed of so many tokens, between measured widths of heads."""
    s, phase = op.shape, op.labels["phase"]
    tokens = np.asarray(s["kv_len"] if phase == "decode" else s["new_tokens"], float)
    curves = sorted((c for c in kernels.attention if c.phase == phase), key=lambda c: c.head_dim)
    if not curves:
        return np.asarray(op.memory_bytes, float) * kernels.move
    return np.asarray(op.flop, float) * _widths(curves, tokens, float(s["head_dim"]))


def _widths(curves: Sequence[AttentionCurve], tokens: Array, width: float) -> Array:
    below = [c for c in curves if c.head_dim <= width][-1:] or [curves[0]]
    above = [c for c in curves if c.head_dim >= width][:1] or [curves[-1]]
    low, high = below[0], above[0]
    share = (0.0 if low.head_dim == high.head_dim else
             np.log(width / low.head_dim) / np.log(high.head_dim / low.head_dim))
    log = np.log(np.maximum(tokens, 1.0))
    found: Array = ((1 - share) * np.interp(log, np.log(low.tokens), low.seconds)
                    + share * np.interp(log, np.log(high.tokens), high.seconds))
    return found
