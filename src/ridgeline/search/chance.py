"""How sure a prediction is: the chance that the real time is within a target."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

__all__ = ["chance_within"]

_NORMAL = statistics.NormalDist()
_SCORES = tuple(_NORMAL.inv_cdf(share) for share in (0.025, 0.1, 0.9, 0.975))


def chance_within(predicted: float, target: float, spread: Sequence[float]) -> float:
    """Probability that a time is at most its target.

    The spread gives the 2.5, 10, 90 and 97.5 % quantiles of log(real / predicted); between and
    beyond them the normal score is linear in the log.

    Args:
        predicted, target: [s].
        spread: the four quantiles; equal ones mean that nothing is known of the spread.

    >>> chance_within(1.0, 1.5, (-0.5, -0.3, 0.3, 0.5)) > 0.9
    True
    """
    if math.isinf(target):
        return 1.0
    if math.isinf(predicted):
        return 0.0
    at = math.log(target / predicted)
    marks = list(spread)
    if marks[0] == marks[-1]:
        return 1.0 if at >= marks[0] else 0.0
    for i in range(1, 4):                    # quantiles never fall
        marks[i] = max(marks[i], marks[i - 1] + 1e-9)
    i = 0 if at < marks[1] else 1 if at < marks[2] else 2
    share = (at - marks[i]) / (marks[i + 1] - marks[i])
    return _NORMAL.cdf(_SCORES[i] + share * (_SCORES[i + 1] - _SCORES[i]))
