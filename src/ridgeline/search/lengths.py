"""Lengths of prompts and outputs: one number, a law, or a sample from a trace."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from ridgeline.errors import BadInput, UnknownName
from ridgeline.quantity import parse_number

__all__ = ["Lengths", "parse_lengths", "sampled_lengths"]

# Quantiles that stand for a law, at equal shares.
POINTS = 64
# Spread of the lengths of a plain question (serving.measured_run.STEADY): uniform over [0.82, 1].
STEADY_CV = (1 - 0.82) / math.sqrt(12) / ((1 + 0.82) / 2)
_LONGEST = 10**9
_LAWS = ("lognormal", "uniform", "exponential")


@dataclass(frozen=True)
class Lengths:
    """Tokens of a request's prompt or output.

    Attributes:
        mean: [tokens].
        law: quantiles over the mean, at equal shares, whose mean is 1; empty when one number was
            given.
    """

    mean: float
    law: tuple[float, ...] = ()

    @functools.cached_property
    def cv(self) -> float:
        """Standard deviation over mean."""
        return statistics.pstdev(self.law) if self.law else STEADY_CV

    @functools.cached_property
    def longest(self) -> int:
        """Tokens of the longest that the law stands for."""
        return math.ceil(self.mean * max(self.law, default=1.0))

    def points(self, most: int = 8) -> tuple[list[float], list[float]]:
        """A few lengths and their shares that keep the mean."""
        if not self.law:
            return [self.mean], [1.0]
        size = len(self.law) // most
        groups = [self.law[i:i + size] for i in range(0, len(self.law), size)]
        return ([self.mean * statistics.fmean(g) for g in groups],
                [len(g) / len(self.law) for g in groups])


def parse_lengths(text: str | float, what: str) -> Lengths:
    """Read "4000", "4k", "lognormal:2000,0.8" (mean, sigma of the log), "uniform:500,1500" (ends)
    or "exponential:800" (mean).

    Args:
        text: as above.
        what: "prompt" or "output", for the message.

    Raises:
        BadInput: not such a text, or numbers out of range.

    >>> made = parse_lengths("lognormal:2000,0.8", "prompt")
    >>> made.mean, round(made.cv, 2)
    (2000.0, 0.88)
    """
    if not isinstance(text, str) or ":" not in text:
        return Lengths(float(_tokens(text, what)))
    name, _, rest = text.partition(":")
    if name not in _LAWS:
        raise UnknownName.among(f"law of {what} lengths", name, _LAWS,
                                "Write 4000, lognormal:2000,0.8, uniform:500,1500 or "
                                "exponential:800")
    numbers = [_number(part, what) for part in rest.split(",")]
    return _LAW[name](numbers, what)


def sampled_lengths(sample: Iterable[float]) -> Lengths:
    """The law of a sample.

    Raises:
        BadInput: an empty sample.
    """
    values = sorted(float(v) for v in sample)
    if not values:
        raise BadInput("no lengths to learn a law from")
    return _law([values[min(len(values) - 1, int((k + 0.5) / POINTS * len(values)))]
                 for k in range(POINTS)], statistics.fmean(values))


def _law(values: list[float], mean: float) -> Lengths:
    centre = statistics.fmean(values)
    return Lengths(max(1.0, mean), tuple(v / centre for v in values))


def _shares() -> list[float]:
    return [(k + 0.5) / POINTS for k in range(POINTS)]


def _lognormal(numbers: list[float], what: str) -> Lengths:
    if len(numbers) != 2 or not (numbers[0] >= 1 and 0 <= numbers[1] <= 3):
        raise BadInput(f"{what} lognormal needs a mean of at least 1 token and a sigma from 0 to "
                       "3, such as lognormal:2000,0.8")
    normal = statistics.NormalDist()
    return _law([math.exp(numbers[1] * normal.inv_cdf(s)) for s in _shares()], numbers[0])


def _uniform(numbers: list[float], what: str) -> Lengths:
    if len(numbers) != 2 or not 1 <= numbers[0] <= numbers[1]:
        raise BadInput(f"{what} uniform needs two ends of at least 1 token, the lower first, such "
                       "as uniform:500,1500")
    low, high = numbers
    return _law([low + (high - low) * s for s in _shares()], (low + high) / 2)


def _exponential(numbers: list[float], what: str) -> Lengths:
    if len(numbers) != 1 or not numbers[0] >= 1:
        raise BadInput(f"{what} exponential needs a mean of at least 1 token, such as "
                       "exponential:800")
    return _law([-math.log1p(-s) for s in _shares()], numbers[0])


_LAW = {"lognormal": _lognormal, "uniform": _uniform, "exponential": _exponential}


def _number(text: str, what: str) -> float:
    try:
        number = parse_number(text)
    except BadInput:
        raise BadInput(f"{what}: {text!r} is not a number") from None
    if not number <= _LONGEST:
        raise BadInput(f"{what}: {number:g} tokens are more than {_LONGEST:,}")
    return number


def _tokens(text: str | float, what: str) -> int:
    number = _number(text, what) if isinstance(text, str) else float(text)
    if not (math.isfinite(number) and number == int(number) and 1 <= number <= _LONGEST):
        raise BadInput(f"{what} must be a whole number of tokens from 1 to {_LONGEST:,}, "
                       f"not {text}")
    return int(number)
