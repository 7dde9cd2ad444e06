"""What a replica may do beyond filling steps: draft tokens, swap sequences out, cache prefixes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.errors import BadInput

__all__ = ["PrefixCache", "Speculation", "Swap"]

_MOST_DRAFTS = 64


@dataclass(frozen=True)
class Speculation:
    """Speculative decoding: a few tokens are drafted, one step verifies them all.

    Attributes:
        acceptance: probability that draft i is accepted when all before it were, one a draft.
        draft_cost: time of one draft over that of a plain decode step.
    """

    acceptance: tuple[float, ...]
    draft_cost: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= len(self.acceptance) <= _MOST_DRAFTS:
            raise BadInput(f"speculation drafts from 1 to {_MOST_DRAFTS} tokens, not "
                           f"{len(self.acceptance)}")
        for a in self.acceptance:
            if not 0 <= a <= 1:
                raise BadInput(f"an acceptance must be between 0 and 1, not {a:g}")
        if not (math.isfinite(self.draft_cost) and self.draft_cost >= 0):
            raise BadInput(f"the cost of a draft must be zero or more, not {self.draft_cost:g}")

    @property
    def drafts(self) -> int:
        """Tokens drafted a step."""
        return len(self.acceptance)

    @property
    def chances(self) -> Any:
        """Probability that at least so many drafts are accepted: 1 draft, 2, ..."""
        return np.cumprod(self.acceptance)

    @property
    def tokens_per_step(self) -> float:
        """Mean tokens of a step: (1 - a^(g+1)) / (1 - a) where all drafts have acceptance a."""
        return 1.0 + float(self.chances.sum())


@dataclass(frozen=True)
class Swap:
    """Preempted sequences move to host memory and back instead of starting over.

    Attributes:
        tokens: whose keys and values the host has room for.
        seconds_per_token: of one way.
    """

    tokens: int
    seconds_per_token: float

    def __post_init__(self) -> None:
        _check("swap space", self.tokens, self.seconds_per_token)


@dataclass(frozen=True)
class PrefixCache:
    """Prefixes are found again by the hashes of their blocks.

    Device memory keeps what running sequences leave free; below it are tiers with their own room.

    Attributes:
        host_tokens, disk_tokens: whose keys and values those tiers have room for; 0: no tier.
        host_seconds, disk_seconds: to bring one token's from there.
    """

    host_tokens: int = 0
    disk_tokens: int = 0
    host_seconds: float = 0.0
    disk_seconds: float = 0.0

    def __post_init__(self) -> None:
        _check("the host's cache", self.host_tokens, self.host_seconds)
        _check("the disk's cache", self.disk_tokens, self.disk_seconds)


def _check(what: str, tokens: int, seconds: float) -> None:
    if tokens < 0:
        raise BadInput(f"{what} must have room for zero or more tokens, not {tokens:,}")
    if not (math.isfinite(seconds) and seconds >= 0):
        raise BadInput(f"{what} must move a token in zero or more seconds, not {seconds:g}")
