"""Where the marks of an axis stand and what is written at them."""

from __future__ import annotations

import math

from ridgeline.quantity import format_si
from ridgeline.report.figure import Axis

# Units whose values read best with a prefix at every mark; others keep the unit in the label.
_PREFIXED = ("s", "B", "B/s", "FLOP", "FLOP/s", "W", "J", "bit/s", "FLOP/B")
_SUFFIX = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def axis_range(axis: Axis, values: list[float]) -> tuple[float, float]:
    """Ends of an axis over its data, with a little air; log axes keep to positive values."""
    kept = [v for v in values if math.isfinite(v) and (v > 0 or not axis.log)]
    low = axis.low if axis.low is not None else min(kept, default=1.0 if axis.log else 0.0)
    high = axis.high if axis.high is not None else max(kept, default=10.0 if axis.log else 1.0)
    if axis.log:
        if high <= low:
            low, high = low / 2, low * 2
        air = (high / low) ** 0.03
        return (low if axis.low is not None else low / air,
                high if axis.high is not None else high * air)
    if high <= low:
        low, high = low - 0.5, low + 0.5
    air = 0.03 * (high - low)
    return (low if axis.low is not None else low - air,
            high if axis.high is not None else high + air)


def ticks(axis: Axis, low: float, high: float) -> list[tuple[float, str]]:
    """Positions and texts of the marks between the ends."""
    if axis.categories:
        return [(float(i), name) for i, name in enumerate(axis.categories)]
    places = _log_ticks(low, high) if axis.log else linear_ticks(low, high)
    return [(place, tick_text(place, axis.unit)) for place in places]


def linear_ticks(low: float, high: float, wanted: int = 6) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten.

    >>> linear_ticks(0.0, 10.0)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, with 2 and 5 between them when the axis is short."""
    decades = math.log10(high / low)
    stride = max(1, math.ceil(decades / 10))
    inner = (1, 2, 5) if decades <= 3 else (1,)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    places = [m * 10.0**e for e in range(first, last + 1) if e % stride == 0 for m in inner]
    places = [p for p in places if low * (1 - 1e-9) <= p <= high * (1 + 1e-9)]
    return places if len(places) >= 2 else linear_ticks(low, high, 4)


def tick_text(value: float, unit: str) -> str:
    """A short text: "5 ms", "2k".

    >>> tick_text(0.005, "s"), tick_text(2000.0, "token/s"), tick_text(0.0, "USD")
    ('5 ms', '2k', '0')
    """
    value = float(f"{value:.10g}")
    if unit in _PREFIXED:
        text, _, rest = format_si(value, unit).partition(" ")
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        return f"{text} {rest}".strip()
    for scale, suffix in _SUFFIX:
        if abs(value) >= scale:
            return f"{value / scale:g}{suffix}"
    return f"{value:g}"
