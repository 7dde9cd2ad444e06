"""Made-up load: arrivals at a rate, lengths around a mean, the same for the same seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.errors import BadInput
from ridgeline.serving.requests import MOST_TOKENS, Requests

__all__ = ["Load", "generate_requests"]

MOST_REQUESTS = 100_000_000


@dataclass(frozen=True)
class Load:
    """Requests to make up.

    Attributes:
        prompt, output: mean tokens.
        requests: how many.
        rate: mean arrivals per second; None: all at 0 (a closed loop paces them itself).
        cv: standard deviation of the time between arrivals over its mean: 1 is Poisson, 0 a
            metronome, more is bursty (gamma law).
        length_cv: the same of both lengths (gamma law, rounded, at least 1 token).
    """

    prompt: int = 1024
    output: int = 256
    requests: int = 1000
    rate: float | None = None
    cv: float = 1.0
    length_cv: float = 0.1

    def __post_init__(self) -> None:
        if not 1 <= self.requests <= MOST_REQUESTS:
            raise BadInput(f"requests must be from 1 to {MOST_REQUESTS:,}, not {self.requests}")
        if self.rate is not None and not (math.isfinite(self.rate) and self.rate > 0):
            raise BadInput(f"rate must be a positive number per second, not {self.rate:g}")
        for name in ("cv", "length_cv"):
            if not 0 <= getattr(self, name) <= 100:
                raise BadInput(f"{name} must be between 0 and 100, not {getattr(self, name):g}")
        if self.prompt < 1 or self.output < 1:
            raise BadInput(f"a request of {self.prompt} prompt and {self.output} output tokens; "
                           "both must be at least 1")


def generate_requests(load: Load, seed: int = 0) -> Requests:
    """The requests of a load; the same for the same seed.

    >>> made = generate_requests(Load(requests=1000, rate=5.0), seed=1)
    >>> len(made), bool(abs(made.arrival[-1] / 200 - 1) < 0.15)
    (1000, True)
    """
    random = np.random.default_rng(seed)
    arrival = np.zeros(load.requests)
    if load.rate is not None:
        arrival = np.cumsum(_gamma(random, 1.0 / load.rate, load.cv, load.requests))
    return Requests(arrival, _lengths(random, load.prompt, load), _lengths(random, load.output,
                                                                           load))


def _gamma(random: np.random.Generator, mean: float, cv: float, count: int) -> Any:
    if cv == 0:
        return np.full(count, mean)
    return random.gamma(1 / cv**2, mean * cv**2, count)


def _lengths(random: np.random.Generator, mean: int, load: Load) -> Any:
    tokens = np.round(_gamma(random, float(mean), load.length_cv, load.requests))
    return np.clip(tokens, 1, MOST_TOKENS).astype(np.int64)
