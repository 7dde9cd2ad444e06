"""The requests of a simulation: arrivals and lengths, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.errors import BadInput

__all__ = ["Requests", "block_chains", "closed_loop_requests"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

# Longest prompt or output the loop counts exactly.
MOST_TOKENS = 2**31 - 1


@dataclass(frozen=True)
class Requests:
    """Requests in order of arrival.

    Attributes:
        arrival: seconds, not decreasing.
        prompt, output: tokens, at least 1.
        cached: tokens of the prompt found in the prefix cache; None: none.
        priority: smaller is served first under that order; None: all alike.
        blocks: hashes of the prompt's blocks, equal where prefixes are equal, one array a
            request; None: not known.
        block_tokens: tokens of a hashed block.
        first: when another pool made the first token; it sent the prompt's keys and values along,
            which are here on arrival [s]. None: prompts are read here.
    """

    arrival: Floats
    prompt: Ints
    output: Ints
    cached: Ints | None = None
    priority: Floats | None = None
    blocks: tuple[Ints, ...] | None = None
    block_tokens: int = 0
    first: Floats | None = None

    def __post_init__(self) -> None:
        count = len(self.arrival)
        for name in ("prompt", "output", "cached", "priority", "blocks", "first"):
            column = getattr(self, name)
            if column is not None and len(column) != count:
                raise BadInput(f"{count} arrivals and {len(column)} values of {name}")
        if not count:
            raise BadInput("there are no requests to simulate")
        self._check()

    def _check(self) -> None:
        """Refuse the first request that cannot be, by number."""
        wrong = ~np.isfinite(self.arrival) | (self.arrival < 0)
        _refuse(wrong, self.arrival, "arrives at", "arrivals are seconds from 0 on")
        _refuse(np.diff(self.arrival, prepend=self.arrival[0]) < 0, self.arrival, "arrives at",
                "earlier than the request before it; sort them by arrival")
        for name in ("prompt", "output"):
            column = getattr(self, name)
            _refuse((column < 1) | (column > MOST_TOKENS), column, f"has {name} tokens",
                    f"from 1 to {MOST_TOKENS:,} are accepted")

    def __len__(self) -> int:
        return len(self.arrival)

    def take(self, which: Any) -> Requests:
        """Some of the requests: a slice, an index array or a mask."""
        blocks = self.blocks
        if blocks is not None:
            blocks = tuple(blocks[i] for i in np.arange(len(self))[which])
        return Requests(self.arrival[which], self.prompt[which], self.output[which],
                        None if self.cached is None else self.cached[which],
                        None if self.priority is None else self.priority[which],
                        blocks, self.block_tokens,
                        None if self.first is None else self.first[which])


def _refuse(wrong: Any, column: Any, what: str, accepted: str) -> None:
    if np.any(wrong):
        first = int(np.argmax(wrong))
        raise BadInput(f"request {first} {what} {column[first]}: {accepted}"
                       + (f" ({int(np.sum(wrong)):,} such requests)" if np.sum(wrong) > 1 else ""))


def block_chains(requests: Requests) -> tuple[Ints, int, int]:
    """Each request's full blocks as numbers: starts and then blocks, tokens of one, how many.

    Raises:
        BadInput: the requests carry no hashes.
    """
    if requests.blocks is None or requests.block_tokens < 1:
        raise BadInput("a prefix cache needs a trace that carries block hashes")
    full = [blocks[: prompt // requests.block_tokens] for blocks, prompt in
            zip(requests.blocks, requests.prompt.tolist(), strict=True)]
    hashes, numbers = np.unique(np.concatenate([np.zeros(0, np.int64), *full]),
                                return_inverse=True)
    lengths = np.array([len(blocks) for blocks in full], np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)]) + len(full) + 1
    return (np.concatenate([starts, numbers]).astype(np.int64), requests.block_tokens,
            len(hashes))


def closed_loop_requests(prompt: Any, output: Any) -> Requests:
    """Requests of a closed loop, which arrive when others are done; their arrivals read 0."""
    prompts = np.asarray(prompt, np.int64)
    return Requests(np.zeros(len(prompts)), prompts, np.asarray(output, np.int64))
