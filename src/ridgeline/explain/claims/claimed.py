"""Read what a claim says: a number, a range, a bound, a count in words, or a product of letters."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ridgeline.errors import BadInput
from ridgeline.explain.expressions import evaluate
from ridgeline.quantity import parse_quantity

__all__ = ["Claimed", "read_claimed", "unit_scale"]

_NUMBER = r"(?:\d+(?:,\d{3})+|\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"^({_NUMBER})\s*(?:-|–|to)\s*({_NUMBER})$")
_WORDS = {"thousand": 1e3, "thousands": 1e3, "1000s": 1e3, "hundreds": 1e2, "hundred": 1e2,
          "million": 1e6, "millions": 1e6, "billion": 1e9, "billions": 1e9}
_SCALED = {"%": 0.01, "percent": 0.01, "MB / 1K tokens": 1e3, "GB / 1K tokens": 1e6,
           "MB/1K tokens": 1e3, "kB/token": 1e3, "KB/token": 1e3, "MB/token": 1e6,
           "ms/token": 1e-3, "TPOT ms": 1e-3, "Mtok/s": 1e6, "ktok/s": 1e3, "GPUs": 1.0,
           "OP/byte": 1.0, "OP": 1.0, "op/s": 1.0, "x": 1.0, "bits": 1.0, "pJ/bit": 8e-12}
_SI = ("B", "B/s", "FLOP", "FLOP/s", "s", "W", "J", "1/s")


@dataclass(frozen=True)
class Claimed:
    """A claimed value in SI.

    Attributes:
        low, high: ends of the claim, equal when it is one number.
        sign: "" for a value, "<" or ">" for a bound.
        digits: significant digits it is stated to; 0 when it is not a plain number.
    """

    low: float
    high: float
    sign: str = ""
    digits: int = 0

    @property
    def value(self) -> float:
        """The number, or the middle of a range."""
        return self.low if self.low == self.high else (self.low + self.high) / 2

    def text(self) -> str:
        """As a person reads it."""
        if self.low == self.high:
            return f"{self.sign}{self.low:.6g}"
        return f"{self.low:.6g} to {self.high:.6g}"


def unit_scale(unit: str) -> float:
    """What one of a table's unit is in SI; 1 for counts and units nobody knows.

    >>> unit_scale("GB"), unit_scale("%"), unit_scale("Gbit/s"), unit_scale("tokens")
    (1000000000.0, 0.01, 125000000.0, 1.0)
    """
    unit = unit.strip()
    if unit in _SCALED:
        return _SCALED[unit]
    for si in _SI:
        try:
            return parse_quantity(f"1 {unit}", si)
        except BadInput:
            continue
    return 1.0


def read_claimed(text: str, unit: str = "", names: Mapping[str, float] | None = None) -> Claimed:
    """Read a claimed value.

    Args:
        text: "140", "30-40", ">150", "8.4e23", "1/10", "few thousand", "12P", "BD+DF+BF",
            "~88 (implied)".
        unit: the table's unit; scales a plain number to SI.
        names: values of letters.

    Raises:
        BadInput: it states no number.

    >>> read_claimed("4-7").high, read_claimed("140", "GB").low
    (7.0, 140000000000.0)
    >>> read_claimed("BD+DF", names={"B": 2.0, "D": 3.0, "F": 5.0}).value
    21.0
    """
    plain = re.sub(r"\(.*?\)", "", text).strip().lstrip("~≈").strip()
    plain = re.sub(r"10\^(\d+)", r"1e\1", plain).rstrip("x").strip()
    sign = plain[0] if plain[:1] in ("<", ">") else ""
    plain = plain.lstrip("<>=~ ").strip()
    scale = unit_scale(unit)
    if found := _in_words(plain):
        return Claimed(found[0] * scale, found[1] * scale, sign)
    if match := _RANGE.match(plain):
        low, high = _ends(match[1], match[2])
        return Claimed(low * scale, high * scale, sign)
    if re.fullmatch(_NUMBER, plain):
        value = float(plain.replace(",", "")) * scale
        return Claimed(value, value, sign, _digits(plain))
    if not re.search(r"\d|\b[A-Z]", plain):
        raise BadInput(f"{text!r} states no number")
    value = float(evaluate(_products(plain, names or {}), names))
    return Claimed(value, value, sign)


def _in_words(text: str) -> tuple[float, float] | None:
    """ "few thousand" is 1,000 to 10,000."""
    words = [w for w in text.lower().split() if w not in ("a", "few", "several", "of")]
    if len(words) == 1 and words[0] in _WORDS:
        size = _WORDS[words[0]]
        return size, size * (10 if size < 1e6 else 1000)
    return None


def _ends(first: str, second: str) -> tuple[float, float]:
    """Ends of a range; "7-8e9" gives both the exponent."""
    low, high = (float(part.replace(",", "")) for part in (first, second))
    if "e" in second.lower() and "e" not in first.lower():
        low *= 10.0 ** int(second.lower().split("e")[1])
    if high < low:
        raise BadInput(f"the range {first}-{second} runs backwards")
    return low, high


def _digits(text: str) -> int:
    """Significant digits; trailing zeros of a whole number do not count."""
    mantissa = text.lower().split("e")[0].replace(",", "")
    digits = mantissa.replace(".", "").lstrip("0")
    if "." not in mantissa:
        digits = digits.rstrip("0")
    return max(1, len(digits))


def _products(text: str, names: Mapping[str, float]) -> str:
    """Write "2BDF" as 2*B*D*F: letters side by side are a product, as in the field's papers."""
    def letters(match: re.Match[str]) -> str:
        word = match[0]
        if word in names or not all(letter in names for letter in word):
            return word
        return "*".join(word)
    spread = re.sub(r"(?<![\w.])([A-Za-z]+)|(?<=\d)([A-Za-z]{1,4})(?![\w+-])", letters, text)
    spread = re.sub(r"(?<=\d)(?=[A-Z])", "*", spread)
    return re.sub(r"\s+x\s+", " * ", spread)


def rounds_to(value: float, claimed: Claimed) -> bool:
    """Whether a value, cut to the digits the claim is stated to, is the claim."""
    if not claimed.digits or not value or not math.isfinite(value):
        return False
    places = claimed.digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    return math.isclose(rounded, claimed.low, rel_tol=1e-9)
