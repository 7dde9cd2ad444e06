"""Numbers with units at the surfaces: parsing "400 Gbit/s", printing "5.27 ms".

Inside the package every number is a plain SI float (seconds, bytes, FLOP, FLOP/s, bytes/s, watts,
joules, US dollars). This module is the only door in and out.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from ridgeline.errors import BadInput

Basis = Literal["datasheet", "measured", "calibrated", "derived", "assumed"]

# Scale of each decimal prefix; binary prefixes are spelled with an i (Ki, Mi, ...).
_PREFIX = {"": 1.0, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "k": 1e3, "K": 1e3, "M": 1e6,
           "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}

# Base unit as written -> (SI unit, factor).
_BASE = {
    "B": ("B", 1.0), "byte": ("B", 1.0), "bytes": ("B", 1.0),
    "b": ("B", 0.125), "bit": ("B", 0.125), "bits": ("B", 0.125),
    "FLOP": ("FLOP", 1.0), "FLOPs": ("FLOP", 1.0), "OP": ("FLOP", 1.0), "OPs": ("FLOP", 1.0),
    "s": ("s", 1.0), "sec": ("s", 1.0), "second": ("s", 1.0), "seconds": ("s", 1.0),
    "min": ("s", 60.0), "h": ("s", 3600.0), "hour": ("s", 3600.0), "hours": ("s", 3600.0),
    "day": ("s", 86400.0), "days": ("s", 86400.0), "d": ("s", 86400.0),
    "W": ("W", 1.0), "J": ("J", 1.0), "Wh": ("J", 3600.0), "Hz": ("1/s", 1.0),
    "token": ("token", 1.0), "tokens": ("token", 1.0), "tok": ("token", 1.0),
    "param": ("param", 1.0), "params": ("param", 1.0), "USD": ("USD", 1.0), "m": ("m", 1.0),
}
_SPECIAL = {"FLOPS": ("FLOP/s", 1.0), "FLOP/s-day": ("FLOP", 86400.0),
            "FLOP/s-days": ("FLOP", 86400.0), "bps": ("B/s", 0.125), "Bps": ("B/s", 1.0)}
_PER = {"s": 1.0, "sec": 1.0, "second": 1.0, "min": 60.0, "h": 3600.0, "hour": 3600.0,
        "day": 86400.0}
_NUMBER = re.compile(r"^\s*(\$?)\s*([-+]?(?:\d[\d,_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*$")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value with its interval, unit and where it stands.

    Attributes:
        value: best estimate, in `unit`.
        low, high: ends of the 80 % interval (equal to `value` when exact).
        unit: SI unit text ("s", "B", "B/s", "FLOP", "1", ...).
        basis: how the number was obtained.
    """

    value: float
    low: float
    high: float
    unit: str
    basis: Basis

    @classmethod
    def exact(cls, value: float, unit: str, basis: Basis = "derived") -> Quantity:
        """A quantity whose interval is a point."""
        return cls(value, value, value, unit, basis)

    def __str__(self) -> str:
        """Value with unit, and the interval where there is one."""
        text = format_si(self.value, self.unit)
        if self.low != self.high:
            text += f" ({format_si(self.low, self.unit)} - {format_si(self.high, self.unit)})"
        return text


def _unit_factor(text: str) -> tuple[str, float] | None:
    """SI unit and factor of a unit without "per", trying prefixes from none to longest."""
    if text in _BASE:
        return _BASE[text]
    if text in _SPECIAL:
        return _SPECIAL[text]
    for table in (_BINARY, _PREFIX):
        for prefix, scale in table.items():
            rest = text[len(prefix):]
            if prefix and text.startswith(prefix) and (found := _BASE.get(rest)
                                                       or _SPECIAL.get(rest)):
                return found[0], found[1] * scale
    return None


def parse_number(text: str | float) -> float:
    """A count that may carry a decimal suffix: "2T" -> 2e12, "16M" -> 1.6e7, "4k" -> 4000.

    Raises:
        BadInput: not a finite number with an optional suffix k, M, B, G, T, P.

    >>> parse_number("2T"), parse_number("8.4e23"), parse_number("4k")
    (2000000000000.0, 8.4e+23, 4000.0)
    """
    if isinstance(text, (int, float)):
        return float(text)
    match = _NUMBER.match(text)
    scale = {**_PREFIX, "B": 1e9, "b": 1e9, "t": 1e12, "g": 1e9}.get(match[3]) if match else None
    if match is None or scale is None or match[3] in ("n", "u", "µ", "m"):
        raise BadInput(f"cannot read {text!r} as a number; write for instance 4000, 4k, 2T or 1e12")
    return _finite(float(re.sub("[,_]", "", match[2])) * scale, text)


def parse_quantity(text: str | float, unit: str) -> float:
    """Read a quantity into SI, checking that it is of the unit expected.

    Args:
        text: such as "400 Gbit/s", "100 TFLOP", "80 GiB", "$2/h", "30ms", or a bare number
            which is taken to be in `unit` already.
        unit: the SI unit wanted: "B", "B/s", "FLOP", "FLOP/s", "s", "W", "J", "USD/s", "1/s", ...

    Raises:
        BadInput: unreadable, not finite, or of another unit.

    >>> parse_quantity("400 Gbit/s", "B/s"), parse_quantity("100 TFLOP", "FLOP")
    (50000000000.0, 100000000000000.0)
    """
    if isinstance(text, (int, float)):
        return _finite(float(text), str(text))
    match = _NUMBER.match(text)
    if match is None:
        raise BadInput(f"cannot read {text!r} as a quantity in {unit}")
    dollar, number, written = match.groups()
    value = float(re.sub("[,_]", "", number))
    if dollar:
        written = "USD" + written
    if not written:
        return _finite(value, text)
    found = _unit_factor(written)
    if found is None and "/" in written:
        top, _, bottom = written.partition("/")
        head = ("", 1.0) if top in ("", "1", "req", "requests") else _unit_factor(top)
        if head is not None and bottom in _PER:
            found = (f"{head[0] or '1'}/s", head[1] / _PER[bottom])
    if found is None:
        raise BadInput(f"unknown unit {written!r} in {text!r}; expected a quantity in {unit}")
    if found[0] != unit:
        raise BadInput(f"{text!r} is in {found[0]}; expected a quantity in {unit}")
    return _finite(value * found[1], text)


def _finite(value: float, text: str) -> float:
    if not math.isfinite(value):
        raise BadInput(f"{text!r} is not a finite number")
    return value


_STEPS = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""),
          (1e-3, "m"), (1e-6, "u"), (1e-9, "n"))
# Units that take no prefix: counts, money, and those that have one already.
_UNPREFIXED = ("", "1", "%", "USD", "USD/h", "USD/Mtok", "token", "token/s", "param", "x", "FLOP/B",
               "kg", "t", "MWh", "pJ", "days", "chip-h", "PFLOP/s-day")
# What can be had in thousandths; there is no millibyte and no millirequest.
_DIVISIBLE = ("s", "J", "W", "Wh", "m", "g")


def format_si(value: float, unit: str, digits: int = 3) -> str:
    """A number a person can read: 0.00527 "s" -> "5.27 ms", 1.411e11 "B" -> "141 GB".

    >>> format_si(0.00527, "s"), format_si(1.411e11, "B"), format_si(3778.2, "token/s")
    ('5.27 ms', '141 GB', '3,778 token/s')
    >>> format_si(0.965, "1/s"), format_si(0.965, "req/s"), format_si(34.41, "days")
    ('0.965/s', '0.965 req/s', '34.4 days')
    """
    label = "" if unit in ("", "1") else unit[1:] if unit.startswith("1/") else f" {unit}"
    size = abs(value)
    if not math.isfinite(value):
        return ("never" if unit == "s" else "unlimited") if value > 0 else str(value)
    if value == 0:
        return f"0{label}"
    if unit in ("param", "token") and 1 <= size < 1e15:
        return f"{value:,.0f}{label}"
    if unit == "s" and size >= 1:
        for scale, name in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
            if size >= 2 * scale:
                return f"{_plain(value / scale, digits)} {name}"
        return f"{_plain(value, digits)} s"
    whole = unit in _UNPREFIXED or unit.startswith("1/")
    if (whole and not (unit == "token/s" and size >= 1e7)) or (
            size < 1 and unit.partition("/")[0] not in _DIVISIBLE):
        return _plain(value, digits) + label
    if size >= 1e21:        # beyond the prefixes people read: 8.4e23 FLOP
        return f"{value:.{digits}g}{label}".replace("e+", "e")
    for scale, prefix in _STEPS:
        if size >= scale * (1 - 5e-10):
            return f"{_plain(value / scale, digits)} {prefix}{unit}"
    return f"{value:.{digits}g}{label}"


def _plain(value: float, digits: int) -> str:
    """Significant digits without exponent notation where a person would not expect one."""
    size = abs(value)
    if 1e-4 <= size < 10**digits:
        whole = len(str(int(size))) if size >= 1 else 0
        text = f"{value:.{max(0, digits - whole)}f}" if size >= 1 else f"{value:.{digits}g}"
        return text.rstrip("0").rstrip(".") if "." in text and size < 1 else text
    return f"{value:,.0f}" if 1 <= size < 1e9 else f"{value:.{digits}g}"


def check_positive(**values: float) -> None:
    """Refuse numbers that no physical quantity can be, naming the argument.

    Raises:
        BadInput: a value is not a number, not finite, zero or negative.

    >>> check_positive(batch_size=64, memory_bandwidth=3.35e12)
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BadInput(f"{name} is {value!r}; it must be a number")
        if not (math.isfinite(value) and value > 0):
            raise BadInput(f"{name} is {value}; it must be a positive, finite number")
