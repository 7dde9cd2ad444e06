"""Claims that only convert: "400 Gbit/s is 50 GB/s", "100 TFLOP = 1e14 FLOP".

A check raises `BadInput` when the claim does not say what it needs.
"""

from __future__ import annotations

import re

from ridgeline.errors import BadInput
from ridgeline.quantity import Quantity, parse_quantity
from ridgeline.questions.claim_facts import compared
from ridgeline.questions.claim_subject import Checked

__all__ = ["check_conversion"]

_SIDES = re.compile(r"^\s*(\S.*?)\s*(?:=|==|\bis\b|\bare\b|\bequals?\b|->)\s*(\S.*?)\s*$")
_SI = ("B", "B/s", "FLOP", "FLOP/s", "s", "W", "J", "token/s", "token", "param", "1/s", "USD/s",
       "USD", "m")


def check_conversion(text: str) -> Checked | None:
    """The verdict when both sides of "is" are bare quantities; None when they are not.

    >>> check_conversion("400 Gbit/s is 50 GB/s").verdict
    'correct'
    >>> check_conversion("100 TFLOPS is 1e14 FLOP").sentence
    'wrong: 100 TFLOPS is a quantity in FLOP/s, 1e14 FLOP one in FLOP'
    """
    match = _SIDES.match(text) if len(text) < 200 else None
    if match is None:
        return None
    sides = [(side, _read(side)) for side in match.groups()]
    if any(found is None for _, found in sides):
        return None
    (left, first), (right, second) = sides
    assert first is not None and second is not None
    if first[0] != second[0]:
        return Checked("wrong", f"wrong: {left} is a quantity in {first[0]}, {right} one in "
                       f"{second[0]}", {"left": Quantity.exact(first[1], first[0]),
                                        "right": Quantity.exact(second[1], second[0])})
    if first[1] <= 0 or second[1] <= 0:
        raise BadInput(f"{text!r} states an amount that is not positive")
    return compared(left, second[1], first[1], first[0], stored=True)


def _read(text: str) -> tuple[str, float] | None:
    """(SI unit, value) of a quantity that carries a unit."""
    if not re.match(r"^[-+$]?[\d.,_]+(?:[eE][-+]?\d+)?\s?[A-Za-z/µ$-]+$", text):
        return None
    for unit in _SI:
        try:
            return unit, parse_quantity(text, unit)
        except BadInput:
            continue
    return None
