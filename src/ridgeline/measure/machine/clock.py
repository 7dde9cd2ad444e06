"""Timing a piece of work: best and middle of several, with the noise seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Timing", "timed"]

_SHORTEST = 2e-4   # a sample shorter than this is repeated inside the clock [s]


@dataclass(frozen=True)
class Timing:
    """Seconds of one call.

    Attributes:
        best: least of the samples: what the machine does when nothing disturbs it.
        median: of the samples.
        slow: 90th percentile of the samples.
        samples: how many.
    """

    best: float
    median: float
    slow: float
    samples: int

    @property
    def noise(self) -> float:
        """How far the median lies above the best, as a share of it."""
        return self.median / self.best - 1.0


def timed(work: Callable[[], object], *, budget: float = 0.2, least: int = 5,
          wait: Callable[[], object] | None = None,
          clock: Callable[[], float] = time.perf_counter) -> Timing:
    """Time repeated calls of a piece of work until a budget is spent.

    Args:
        work: what to time; called at least `least` + 1 times.
        budget: seconds to spend, about.
        least: samples to take at least.
        wait: blocks until the work is done, where `work` returns early (an accelerator's queue).
        clock: of the samples; the budget is of wall time.

    Returns:
        seconds of one call; short calls are repeated inside one sample.
    """
    finish = wait or (lambda: None)
    inner, single = 1, _sample(work, finish, 1, clock)
    single = _sample(work, finish, 1, clock)          # the first one also warms up
    if single < _SHORTEST:
        inner = max(1, int(_SHORTEST / max(single, 1e-9)))
    samples: list[float] = []
    end = time.perf_counter() + budget
    while len(samples) < least or time.perf_counter() < end:
        samples.append(_sample(work, finish, inner, clock) / inner)
        if len(samples) >= 10_000:
            break
    samples.sort()
    return Timing(samples[0], samples[len(samples) // 2],
                  samples[min(len(samples) - 1, int(0.9 * len(samples)))], len(samples))


def _sample(work: Callable[[], object], finish: Callable[[], object], count: int,
            clock: Callable[[], float]) -> float:
    begun = clock()
    for _ in range(count):
        work()
    finish()
    return clock() - begun
