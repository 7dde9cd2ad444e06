"""The likely slip behind a wrong number: a factor the field often drops or doubles.

    >>> likely_slips(70.5e9, 141e9, "bytes")[0]
    'off by exactly 2, low: counted at one byte a value instead of two'
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

__all__ = ["Topic", "likely_slips"]

Topic = Literal["any", "flop", "bytes", "kv", "peak", "bandwidth", "batch", "training"]

# How close to the factor a number must come to be called by it.
_CLOSE = 0.006

# Claimed over right -> what went wrong, the commonest first.
_FACTORS: dict[Topic, tuple[tuple[float, str], ...]] = {
    "flop": ((0.5, "a multiply and an add are two operations; one was counted"),
             (2.0, "operations counted twice"),
             (3.0, "a training pass (6 for each parameter) counted where a forward pass (2) is "
                   "asked"),
             (1 / 3, "a forward pass (2 for each parameter) counted where a training pass (6) is "
                     "asked"),
             (4 / 3, "recomputation counted as useful work (8 for each parameter)"),
             (0.75, "recomputation left out (6 instead of 8 for each parameter)")),
    "bytes": ((0.5, "counted at one byte a value instead of two"),
              (2.0, "counted at two bytes a value instead of one"),
              (4.0, "counted at four bytes a value instead of one, or two instead of half"),
              (0.25, "counted at half a byte a value instead of two"),
              (8.0, "bits taken for bytes"), (0.125, "bytes taken for bits")),
    "kv": ((2.0, "counted at fp32, or keys and values twice"),
           (0.5, "keys or values left out, or counted at one byte a value instead of two"),
           (0.25, "keys or values left out, and counted at one byte a value")),
    "peak": ((2.0, "the sparse peak (2:4 structure), or that of the next narrower format"),
             (4.0, "the sparse peak of the next narrower format"),
             (0.5, "the peak of the next wider format")),
    "bandwidth": ((2.0, "both directions together; one way counts"),
                  (0.5, "one direction of a figure that counts both"),
                  (8.0, "bits taken for bytes"), (0.125, "bytes taken for bits")),
    "batch": ((0.5, "weights counted at one byte instead of two"),
              (2.0, "weights counted at two bytes instead of one, or the factor 2 of 2BDF left "
                    "out"),
              (4.0, "weights counted at two bytes instead of half"),
              (0.25, "weights counted at half a byte instead of two")),
    "training": ((1 / 3, "2 for each parameter and token instead of 6 (a forward pass only)"),
                 (4 / 3, "8 for each parameter and token instead of 6 (recomputation counted)"),
                 (0.5, "3 for each parameter and token instead of 6"),
                 (2.0, "12 for each parameter and token instead of 6")),
    "any": ((2.0, "a factor of two"), (0.5, "a factor of two"),
            (1.073741824, "GiB taken for GB"), (1 / 1.073741824, "GB taken for GiB"),
            (1.048576, "MiB taken for MB"), (1024 / 1000, "1,024 taken for 1,000"),
            (1000 / 1024, "1,000 taken for 1,024"), (8.0, "bits taken for bytes"),
            (0.125, "bytes taken for bits"), (100.0, "per cent taken for a share"),
            (0.01, "a share taken for per cent"), (1e3, "one prefix too many (k, M, G, T)"),
            (1e-3, "one prefix too few (k, M, G, T)"), (1e6, "two prefixes too many"),
            (1e-6, "two prefixes too few"), (1e9, "giga taken for one"),
            (60.0, "minutes taken for seconds"), (3600.0, "hours taken for seconds"),
            (1 / 3600.0, "seconds taken for hours")),
}


def likely_slips(claimed: float, right: float, topic: Topic = "any", *,
                 ratios: Mapping[str, float] | None = None) -> list[str]:
    """What a wrong number may come from, the likeliest first; empty when no factor fits.

    Args:
        claimed, right: the two numbers, in one unit.
        topic: what they measure.
        ratios: further factors of this very case, by what they would mean ("query heads counted
            instead of KV heads": 8).
    """
    if not (claimed > 0 and right > 0 and math.isfinite(claimed) and math.isfinite(right)):
        return []
    ratio = claimed / right
    if abs(ratio - 1) <= _CLOSE:
        return []
    own = tuple((factor, text) for text, factor in (ratios or {}).items())
    known = (*own, *_FACTORS[topic], *(() if topic == "any" else _FACTORS["any"]))
    found = [f"{_said(factor)}: {text}" for factor, text in known
             if factor > 0 and abs(ratio / factor - 1) <= _CLOSE and abs(factor - 1) > _CLOSE]
    return list(dict.fromkeys(t for t in found if not t.endswith(": a factor of two"))) or found[:1]


def _said(factor: float) -> str:
    """"off by exactly 2, low"."""
    size = max(factor, 1 / factor)
    number = f"{size:,.0f}" if abs(size - round(size)) < 1e-9 else f"{size:.4g}"
    return f"off by exactly {number}, {'high' if factor > 1 else 'low'}"
