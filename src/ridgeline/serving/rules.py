"""What a replica may do beyond filling steps: draft tokens, swap sequences out, cache prefixes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.errors import BadInput, UnknownName

__all__ = ["BALANCES", "PrefixCache", "Ranks", "Speculation", "Swap"]

BALANCES = ("fewest", "turns")
_MOST_RANKS = 4096

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


@dataclass(frozen=True)
class Ranks:
    """Copies of attention side by side, each with its own queue, KV cache and budget of tokens.

    They step together, since their experts are shared: a step lasts as long as its slowest rank.

    Attributes:
        count: copies.
        balance: which copy a request goes to: "fewest" (running ones, and four times those that
            wait, as vLLM counts) or "turns".
        shared: (tokens of all ranks, share of the table's time by tokens that all ranks work on
            together), between which the share is linear; empty: none is shared.
        pad_to: where no rank has more tokens than this, all are padded to the captured graph that
            holds the fullest one; 0: never.
    """

    count: int = 1
    balance: str = "fewest"
    shared: tuple[tuple[float, float], ...] = ()
    pad_to: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.count <= _MOST_RANKS:
            raise BadInput(f"attention copies must be from 1 to {_MOST_RANKS:,}, not {self.count}")
        if self.balance not in BALANCES:
            raise UnknownName.among("balance", self.balance, BALANCES)
        if self.pad_to < 0:
            raise BadInput(f"pad_to must be zero or more tokens, not {self.pad_to}")

    def share(self, tokens: Any) -> Any:
        """Share of the table's time by tokens that all ranks work on together."""
        if not self.shared:
            return np.zeros(np.shape(tokens))
        at, share = zip(*self.shared, strict=True)
        return np.clip(np.interp(tokens, at, share), 0.0, 1.0)


def _check(what: str, tokens: int, seconds: float) -> None:
    if tokens < 0:
        raise BadInput(f"{what} must have room for zero or more tokens, not {tokens:,}")
    if not (math.isfinite(seconds) and seconds >= 0):
        raise BadInput(f"{what} must move a token in zero or more seconds, not {seconds:g}")
