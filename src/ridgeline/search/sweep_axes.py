"""The space of a sweep: fields with one value, fields with several, and every combination."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ridgeline.errors import BadInput, UnknownName
from ridgeline.quantity import parse_number

__all__ = ["Axis", "SweepSpace", "read_axis", "spread"]

_KEYS = ("from", "to", "steps", "scale")
_SCALES = ("linear", "log")
# Points of one range at most: more would not fit in memory as a list worth having.
_MOST_STEPS = 1_000_000


@dataclass(frozen=True)
class Axis:
    """A field and the values it takes."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class SweepSpace:
    """Every combination of the axes beside fixed values.

    Attributes:
        fixed: fields with one value.
        axes: fields with several; the last one varies fastest.
    """

    fixed: Mapping[str, Any]
    axes: tuple[Axis, ...]

    def __len__(self) -> int:
        """Combinations in all."""
        return math.prod(len(axis.values) for axis in self.axes)

    def row(self, number: int) -> dict[str, Any]:
        """The fields of one combination, counted from 0.

        >>> space = SweepSpace({"tp": 8}, (Axis("prompt", (1, 2)), Axis("output", (3, 4, 5))))
        >>> space.row(4)
        {'tp': 8, 'prompt': 2, 'output': 4}
        """
        chosen = []
        for axis in reversed(self.axes):
            number, place = divmod(number, len(axis.values))
            chosen.append((axis.name, axis.values[place]))
        return {**self.fixed, **dict(reversed(chosen))}


def read_axis(name: str, written: Any, *, whole: bool) -> Axis | None:
    """The axis that a list or a range writes; None for a plain value.

    Args:
        name: field.
        written: `[1, 8, 64]`, `{from = 1, to = 64, steps = 4, scale = "log"}`, or one value.
        whole: whether the field takes whole numbers: points of a range are rounded to them.

    Raises:
        BadInput: an empty list, a value twice, a range without its ends or out of order.
    """
    if isinstance(written, Mapping):
        return Axis(name, _range(name, written, whole))
    if not isinstance(written, (list, tuple)):
        return None
    if not written:
        raise BadInput(f"{name} is an empty list; give at least one value")
    for value in written:
        if isinstance(value, (Mapping, list, tuple)):
            raise BadInput(f"{name} must be a list of plain values, not {value!r} within it")
    return Axis(name, tuple(written))


def _range(name: str, written: Mapping[str, Any], whole: bool) -> tuple[float | int, ...]:
    for key in written:
        if key not in _KEYS:
            raise UnknownName.among(f"key of the range of {name}", str(key), _KEYS,
                                    "Write {from = 1, to = 64, steps = 4, scale = \"log\"}")
    ends = [_number(name, key, written) for key in ("from", "to", "steps")]
    steps, scale = ends[2], written.get("scale", "linear")
    if scale not in _SCALES:
        raise UnknownName.among(f"scale of {name}", str(scale), _SCALES)
    if steps != int(steps) or not 1 <= steps <= _MOST_STEPS:
        raise BadInput(f"steps of {name} must be a whole number from 1 to {_MOST_STEPS:,}, "
                       f"not {written['steps']}")
    points = spread(name, ends[0], ends[1], int(steps), str(scale))
    return tuple(dict.fromkeys(round(p) for p in points)) if whole else tuple(points)


def _number(name: str, key: str, written: Mapping[str, Any]) -> float:
    if key not in written:
        raise BadInput(f"the range of {name} needs {key}: write {{from = 1, to = 64, steps = 4}}")
    try:
        if isinstance(written[key], bool):
            raise TypeError
        number = float(parse_number(written[key]))
    except (TypeError, OverflowError, BadInput):
        raise BadInput(f"{key} of {name} must be a number, not {written[key]!r}") from None
    if not math.isfinite(number):
        raise BadInput(f"{key} of {name} must be finite, not {written[key]}")
    return number


def spread(name: str, low: float, high: float, steps: int, scale: str) -> Sequence[float]:
    """Points from one end to the other, both included, evenly apart or in equal ratios.

    Raises:
        BadInput: ends out of order, one step between two ends, or ratios of what is not positive.

    >>> spread("prompt", 1, 1000, 4, "log")[1:3]
    [10.0, 100.0]
    """
    if low > high:
        raise BadInput(f"{name} goes from {low:g} to {high:g}; put the smaller end first")
    if steps == 1 and low != high:
        raise BadInput(f"{name} has two ends and one step; give steps of 2 or more")
    if steps == 1:
        return [low]
    if scale == "linear":
        return [low + (high - low) * k / (steps - 1) for k in range(steps)]
    if low <= 0:
        raise BadInput(f"{name} goes in equal ratios from {low:g}; give a positive start")
    # Ends are given back as they were written, whatever the logarithm makes of them.
    inner = [float(f"{low * (high / low) ** (k / (steps - 1)):.12g}") for k in range(1, steps - 1)]
    return [low, *inner, high]
