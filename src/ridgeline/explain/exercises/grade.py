"""Grade an answer: exact, asymptotic, whole, or wrong with the likely slip."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ridgeline.errors import BadInput
from ridgeline.explain.exercises.solve import Solution, Solved, variants
from ridgeline.explain.slips import likely_slips

__all__ = ["Grade", "grade"]

# An answer is rounded by hand: 240 for 240.24, 1.1 ms for 1.099.
_CLOSE = 0.005
_CLOSE_TO_VARIANT = 0.006


@dataclass(frozen=True)
class Grade:
    """The verdict on an answer.

    Attributes:
        accepted: whether it answers the part.
        verdict: exact, asymptotic, whole number, asymptotic whole number, or wrong.
        sentence: the verdict with the right values.
        slips: what the answer may come from, the likeliest first.
    """

    accepted: bool
    verdict: str
    sentence: str
    slips: tuple[str, ...] = ()


def grade(solution: Solution, answer: float, part: str | None = None) -> Grade:
    """Grade one answer.

    Args:
        solution: the exercise worked out with the same numbers.
        answer: in SI (seconds, bytes, FLOP/byte, rows).
        part: which part it answers; None: the main one.

    Raises:
        BadInput: the answer is not a number.
        UnknownName: no such part.
    """
    if isinstance(answer, bool) or math.isnan(answer):
        raise BadInput(f"an answer must be a number, not {answer!r}")
    name = part or solution.question.main.name
    solved = solution.part(name)
    for verdict, value in _accepted(solved).items():
        if _same(answer, value):
            return Grade(True, verdict, _right(verdict, answer, solved))
    elsewhere = [f"it answers part {other.part.name} ({other.part.ask})"
                 for other in solution.parts if other is not solved
                 and any(_same(answer, v) for v in _accepted(other).values())]
    slips = tuple(dict.fromkeys((*elsewhere, *_slips(solution, solved, answer))))
    return Grade(False, "wrong", _wrong(answer, solved, slips), slips)


def _accepted(solved: Solved) -> dict[str, float]:
    """Every value that answers, by what it is."""
    out = {"exact": solved.value}
    if solved.whole is not None:
        out["whole number"] = solved.whole
        if math.isfinite(solved.value):
            out["nearest whole number"] = float(round(solved.value))
    if solved.asymptotic is not None:
        out["asymptotic"] = solved.asymptotic
        if solved.part.whole:
            out["asymptotic whole number"] = float(math.ceil(solved.asymptotic - 1e-9))
    return out


def _same(answer: float, value: float) -> bool:
    if not math.isfinite(value):
        return answer == value
    return abs(answer - value) <= _CLOSE * abs(value)


def _slips(solution: Solution, solved: Solved, answer: float) -> list[str]:
    """Factors first, then the exercise worked again with a mistake in it."""
    found = likely_slips(answer, solved.value, solved.part.topic)
    for label, value in variants(solution.question, solved.part, solution.given).items():
        if math.isfinite(value) and value and abs(answer / value - 1) <= _CLOSE_TO_VARIANT:
            found.append(f"{label} gives {value:.5g}")
    if solved.asymptotic:
        found += [f"{slip} (of the asymptotic {solved.asymptotic:.5g})" for slip in
                  likely_slips(answer, solved.asymptotic, solved.part.topic)]
    return found


def _values(solved: Solved) -> str:
    text = (f"exactly {solved.value:.6g}" if math.isfinite(solved.value) else
            "undefined" if math.isnan(solved.value) else "never, at any batch")
    if solved.asymptotic is not None:
        text += f", asymptotically {solved.asymptotic:.6g}"
    if solved.whole is not None:
        text += f", first whole number {solved.whole:,.0f}"
    return text


def _right(verdict: str, answer: float, solved: Solved) -> str:
    how = {"exact": "correct", "whole number": "correct, the first whole number",
           "nearest whole number": "correct, rounded",
           "asymptotic": "accepted as asymptotic",
           "asymptotic whole number": "accepted as asymptotic, the first whole number"}[verdict]
    return f"{answer:g} is {how}: {_values(solved)}"


def _wrong(answer: float, solved: Solved, slips: tuple[str, ...]) -> str:
    text = f"{answer:g} is wrong: {_values(solved)}"
    return text + (f"; {slips[0]}" if slips else "")
