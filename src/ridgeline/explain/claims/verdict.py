"""From computed values to a verdict class, by one policy for every claim.

One value agrees with a claim when it differs by at most half a percent, or rounds to the claim at
the digits the claim is stated to (and by no more than 3 %). It is near when within 15 %; stored
bytes are known to the byte, so there near means 5 %. Everything else is off.

    correct        every value agrees
    approximately  every value is near; or a typical figure lies in the span of the values; or the
                   conclusion holds and a figure it quotes is off
    depends        true of some readings of the claim and false of others
    wrong          off for every reading
    not checkable  nothing to compute
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ridgeline.explain.claims.claimed import Claimed, rounds_to

__all__ = ["VERDICTS", "Case", "Verdict", "judge"]

VERDICTS = ("correct", "approximately", "depends", "wrong", "not checkable")

_SAME, _ROUNDED, _NEAR, _NEAR_STORED = 0.005, 0.03, 0.15, 0.05
# A figure typical of values that differ by more than this is typical of none.
_WIDEST_SPAN = 4.0
# A ratio this close to 1 hardly carries "higher" or "lower".
_CLEAR = 1.05


@dataclass(frozen=True)
class Case:
    """One reading of a claim and what comes out of it (a number in SI, or true or false)."""

    label: str
    value: float | bool

    def text(self) -> str:
        """Label and value."""
        value = ("true" if self.value else "false") if isinstance(self.value, bool) \
            else f"{self.value:.5g}"
        return f"{self.label}: {value}" if self.label else value


@dataclass(frozen=True)
class Verdict:
    """A verdict class and the sentence behind it."""

    name: str
    reason: str


def judge(cases: Sequence[Case], claimed: Claimed | None, *, mode: str = "equals",
          exact: bool = False, stored: bool = False, conclusion: bool | None = None) -> Verdict:
    """The verdict on a claim.

    Args:
        cases: every reading with its value.
        claimed: what was claimed; None for statements (modes holds and direction).
        mode: equals, about, holds or direction.
        exact: the claim states a count.
        stored: the claim states stored bytes.
        conclusion: whether the statement behind the figure holds; None when there is none.
    """
    if conclusion is False:
        return Verdict("wrong", "the conclusion does not hold")
    if mode == "holds":
        return _statement(cases)
    if mode == "direction":
        return _direction(cases)
    if claimed is None:
        return Verdict("not checkable", "the claim states no number to compare with")
    grades = [_agreement(float(c.value), claimed, exact, stored) for c in cases]
    if conclusion and "off" in grades:
        return Verdict("approximately", "the conclusion holds, a figure it quotes is off")
    if mode == "about" and not all(g == "agrees" for g in grades):
        return _typical([float(c.value) for c in cases], claimed)
    return _combined(cases, grades, claimed)


def _statement(cases: Sequence[Case]) -> Verdict:
    true = [c for c in cases if c.value]
    if len(true) == len(cases):
        return Verdict("correct", "it holds")
    if not true:
        return Verdict("wrong", "it does not hold")
    false = [c.label for c in cases if not c.value]
    return Verdict("depends", f"true: {'; '.join(c.label for c in true)}. "
                              f"False: {'; '.join(false)}")


def _direction(cases: Sequence[Case]) -> Verdict:
    values = [float(c.value) for c in cases]
    if min(values) >= _CLEAR:
        return Verdict("correct", f"by a factor of {min(values):.3g} or more")
    if max(values) <= 1:
        return Verdict("wrong", f"the other way round, a factor of {max(values):.3g}")
    if min(values) > 1:
        return Verdict("approximately", f"by only {100 * (min(values) - 1):.1f} %")
    return Verdict("depends", "higher for some, lower for others")


def _agreement(value: float, claimed: Claimed, exact: bool, stored: bool) -> str:
    """agrees, near or off."""
    near = _NEAR_STORED if stored else _NEAR
    if claimed.sign:
        ok = value > claimed.low if claimed.sign == ">" else value < claimed.high
        return "agrees" if ok else "near" if _distance(value, claimed) <= near else "off"
    if claimed.low <= value <= claimed.high:
        return "agrees"
    distance = _distance(value, claimed)
    if exact or claimed.low != claimed.high:
        return "near" if distance <= near else "off"
    if distance <= _SAME or (distance <= _ROUNDED and rounds_to(value, claimed)):
        return "agrees"
    return "near" if distance <= near else "off"


def _distance(value: float, claimed: Claimed) -> float:
    """How far the nearest end of the claim is from the value, as a share of the value."""
    if value == 0 or not math.isfinite(value):
        return math.inf
    return min(abs(end - value) for end in (claimed.low, claimed.high)) / abs(value)


def _typical(values: Sequence[float], claimed: Claimed) -> Verdict:
    low, high = min(values), max(values)
    span = f"between {low:.4g} and {high:.4g}"
    if low <= 0 or high / low > _WIDEST_SPAN:
        return Verdict("depends", f"{span}: no one figure is typical")
    if claimed.high >= low / (1 + _NEAR) and claimed.low <= high * (1 + _NEAR):
        return Verdict("approximately", f"{span}")
    return Verdict("wrong", f"{span}")


def _combined(cases: Sequence[Case], grades: Sequence[str], claimed: Claimed) -> Verdict:
    shown = "; ".join(c.text() for c in cases)
    if all(g == "agrees" for g in grades):
        return Verdict("correct", f"computed {shown}")
    if "off" not in grades:
        return Verdict("approximately", f"computed {shown}{_off_by(cases, claimed)}")
    if any(g != "off" for g in grades):
        return Verdict("depends", f"computed {shown}")
    return Verdict("wrong", f"computed {shown}{_off_by(cases, claimed)}")


def _off_by(cases: Sequence[Case], claimed: Claimed) -> str:
    """How far a single value is from the claim."""
    value = float(cases[0].value)
    if len(cases) > 1 or claimed.low != claimed.high or not value or claimed.sign:
        return ""
    ratio = claimed.low / value
    if 0.5 < ratio < 2:
        return f"; the claim is {abs(100 * (ratio - 1)):.3g} % {'high' if ratio > 1 else 'low'}"
    return f"; the claim is {max(ratio, 1 / ratio):.4g} times too {'high' if ratio > 1 else 'low'}"
