"""How long an engine's own kernels take on one machine, as `measure machine` found them."""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["AttentionCurve", "KernelTimes", "MatmulCurve", "between"]


@dataclass(frozen=True)
class MatmulCurve:
    """A product of so many rows with weights of one format.

    Attributes:
        format: of the weights ("q8_0", "fp16", ...).
        depth: length of the sums.
        set_bytes: weights read between two uses of the same one, which decides what cache, if any,
            still holds it [bytes].
        rows: of the other matrix, rising.
        seconds: of one weight at so many rows [s].
    """

    format: str
    depth: int
    set_bytes: float
    rows: tuple[int, ...]
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class AttentionCurve:
    """Attention of a phase over so many tokens.

    Attributes:
        phase: "prefill" (new tokens, attended causally) or "decode" (cached tokens).
        head_dim: of the heads.
        tokens: rising.
        seconds: of one FLOP at so many tokens [s].
    """

    phase: str
    head_dim: int
    tokens: tuple[int, ...]
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class KernelTimes:
    """One engine's kernels on one machine.

    Attributes:
        software: whose kernels.
        matmul, attention: measured curves.
        move: of a byte that elementwise work reads or writes [s].
        launch: of one kernel beside its work [s].
        step, layer, sequence, logit: what the engine adds to a step: once, for each layer, for each
            sequence that gets a token, and for each entry of its vocabulary [s].
        stream, request: what its server adds to each token sent and to each request [s].
    """

    software: str
    matmul: tuple[MatmulCurve, ...]
    attention: tuple[AttentionCurve, ...] = ()
    move: float = 0.0
    launch: float = 0.0
    step: float = 0.0
    layer: float = 0.0
    sequence: float = 0.0
    logit: float = 0.0
    stream: float = 0.0
    request: float = 0.0

    @property
    def formats(self) -> tuple[str, ...]:
        """Weight formats that were measured."""
        return tuple(dict.fromkeys(curve.format for curve in self.matmul))

    def holding(self, set_bytes: float) -> KernelTimes:
        """The same for a model that reads so many bytes of weights a step.

        Depths were measured on the smallest working set. What larger ones add to a weight was
        measured at one depth and is added at the others, between working sets in proportion to
        their logarithm.
        """
        found: list[MatmulCurve] = []
        for format in self.formats:
            curves = [c for c in self.matmul if c.format == format]
            base = min(c.set_bytes for c in curves)
            found += [_moved(c, curves, set_bytes) for c in curves if c.set_bytes == base]
        return dataclasses.replace(self, matmul=tuple(found))


def _moved(curve: MatmulCurve, curves: Sequence[MatmulCurve], set_bytes: float) -> MatmulCurve:
    """A curve of the smallest working set at another."""
    wider = sorted((c for c in curves if c.set_bytes > curve.set_bytes), key=lambda c: c.set_bytes)
    same = next((c for c in curves if wider and c.depth == wider[0].depth
                 and c.set_bytes == curve.set_bytes), None)
    if not wider or same is None or set_bytes <= curve.set_bytes:
        return dataclasses.replace(curve, set_bytes=set_bytes)
    steps = [math.log(c.set_bytes) for c in (same, *wider)]
    # Many rows are held up by arithmetic: what the last ones measured added is added to more.
    most = min(c.rows[-1] for c in wider)
    seconds = []
    for rows, time in zip(curve.rows, curve.seconds, strict=True):
        at = [between(c.rows, c.seconds, min(rows, most)) for c in (same, *wider)]
        seconds.append(time + max(0.0, between(steps, at, math.log(set_bytes)) - at[0]))
    return dataclasses.replace(curve, set_bytes=set_bytes, seconds=tuple(seconds))


def between(x: Sequence[float], y: Sequence[float], at: float) -> float:
    """Straight between known points, level beyond them.

    >>> between([1.0, 3.0], [10.0, 20.0], 2.0), between([1.0, 3.0], [10.0, 20.0], 9.0)
    (15.0, 20.0)
    """
    index = bisect_right(x, at)
    if index in (0, len(x)):
        return y[0] if index == 0 else y[-1]
    share = (at - x[index - 1]) / (x[index] - x[index - 1])
    return y[index - 1] * (1 - share) + y[index] * share
