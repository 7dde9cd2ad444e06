"""The sweep itself: every shape of every offer, rated and evaluated once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ridgeline.errors import BadInput
from ridgeline.model.architecture import Architecture
from ridgeline.quantity import format_si
from ridgeline.search.curves import Array
from ridgeline.search.evaluate import Aggregated, ladder, pieces
from ridgeline.search.findings import Findings, PairSearch, Piece
from ridgeline.search.goal import Goal
from ridgeline.search.offers import Offer
from ridgeline.search.pools import (
    TwoPools,
    best_pairs,
    pool_pieces,
    possible_pairs,
    promising_pairs,
)
from ridgeline.search.rated import Fitted, Rated, Requests, fitted, timed
from ridgeline.search.space import Choices, Invalid, Shape, shapes
from ridgeline.serving.deployed import tables_together

__all__ = ["MODES", "Space", "explore"]

MODES = ("aggregated", "disaggregated", "both")
# Token budgets tried beside the engine's own.
CHUNKS: tuple[int | None, ...] = (None, 2048)
# Shapes whose kernels are timed together: enough to share most, few enough to hold.
_TOGETHER = 128
# Pairs of pools evaluated at most; how good the others could be is told.
MOST_PAIRS = 256


@dataclass(frozen=True)
class Space:
    """Where to look.

    Attributes:
        architecture: the model.
        offers: what can be rented.
        choices: formats and engines.
        chunks: token budgets of a step; None among them: the engine's own.
        batches: requests in flight on a replica; None: the usual ladder.
        mode: "aggregated", "disaggregated" (pools apart) or "both".
    """

    architecture: Architecture
    offers: tuple[Offer, ...]
    choices: Choices
    chunks: tuple[int | None, ...] = CHUNKS
    batches: tuple[int, ...] | None = None
    mode: str = "both"


def explore(space: Space, requests: Requests, goal: Goal, *,
            watch: Callable[[Piece, Any], None] | None = None,
            advance: Callable[[int, int], None] | None = None) -> Findings:
    """Evaluate the whole space.

    Args:
        space: where to look.
        requests: the workload.
        goal: load, targets, limits.
        watch: called with every piece and its model, for instance to save it.
        advance: called with how many shapes are done, of how many.

    Returns:
        counts, reasons, frontier and candidates; only these stay in memory.
    """
    found = Findings(goal)
    batches = ladder(space.batches)
    every = [shape for offer in space.offers
             for shape in shapes(space.architecture, offer, space.choices)]
    kept: list[Rated] = []

    def take(model: Any, rows: Iterator[Piece]) -> None:
        found.models.append(model)
        for piece in rows:
            found.add(piece)
            if watch is not None:
                watch(piece, model)

    for done, one in _rated(found, space, every, requests, batches):
        if one is not None:
            kept.append(one)
            if space.mode != "disaggregated":
                model = Aggregated(one)
                take(model, pieces(model, len(found.models), goal, batches))
        if advance is not None:
            advance(done, len(every))
    if space.mode != "aggregated":
        _pools(space, kept, goal, batches, found, take)
    return found


def _pools(space: Space, kept: Sequence[Rated], goal: Goal, batches: Array, found: Findings,
           take: Callable[[Any, Iterator[Piece]], None]) -> None:
    """Pairs for the frontier, then every pair that could be better than the best so far."""
    done: set[tuple[int, int]] = set()

    def evaluate(pair: TwoPools) -> None:
        done.add((id(pair.prefill), id(pair.decode)))
        take(pair, pool_pieces(pair, len(found.models), goal, batches))

    for pair in best_pairs(space.architecture, kept, goal):
        evaluate(pair)
    left = math.inf
    for least, pair in promising_pairs(space.architecture, kept, goal, batches):
        if (id(pair.prefill), id(pair.decode)) in done:
            continue
        if least > found.ceiling or len(done) >= MOST_PAIRS:
            left = least
            break
        evaluate(pair)
    if kept:
        found.pairs = PairSearch(possible_pairs(kept), len(done), left)


def _rated(found: Findings, space: Space, every: Sequence[Shape | Invalid], requests: Requests,
           batches: Array) -> Iterator[tuple[int, Rated | None]]:
    """How many shapes are done, and the last with its times, or None with the reason counted."""
    for start in range(0, len(every), _TOGETHER):
        some = [_fitted(found, space, shape, requests, len(batches))
                for shape in every[start:start + _TOGETHER]]
        try:
            tables_together([fits.tabulated for fits in some if fits is not None])
        except BadInput:                   # no kernel for one of them: each says so by itself
            some = [fits and _alone(found, fits) for fits in some]
        for done, fits in enumerate(some, start + 1):
            yield done, None if fits is None else timed(fits, requests, int(batches[-1]))


def _alone(found: Findings, fits: Fitted) -> Fitted | None:
    """The shape with its table, or None with the reason counted."""
    try:
        tables_together([fits.tabulated])
    except BadInput as error:
        found.turn_down(fits.shape.family, "rule", 1, str(error), float("inf"))
        return None
    return fits


def _fitted(found: Findings, space: Space, shape: Shape | Invalid, requests: Requests,
            batches: int) -> Fitted | None:
    """The shape where it fits, or None with the reason counted."""
    if isinstance(shape, Invalid):
        found.turn_down(shape.family, "rule", 1, shape.reason, float("inf"))
        return None
    try:
        one = fitted(space.architecture, shape, requests, space.chunks)
    except BadInput as error:              # no such link, or no such rate
        found.turn_down(shape.family, "rule", 1, str(error), float("inf"))
        return None
    if isinstance(one, Fitted):
        return one
    whole = shape.offer.chip.memory_bytes
    found.turn_down(shape.family, "memory", batches * len(space.chunks),
                    f"does not fit, {format_si(one, 'B')} short a chip ({_degrees(shape)})",
                    1 + one / whole)
    return None


def _degrees(shape: Shape) -> str:
    plan = shape.deployment
    return " ".join([plan.engine, *(f"{name}={getattr(plan, name)}" for name in (
        "tp", "pp", "ep", "cp", "attention_dp") if name == "tp" or getattr(plan, name) > 1)])


