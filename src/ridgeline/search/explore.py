"""The sweep itself: every shape of every offer, rated and evaluated once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ridgeline.errors import BadInput
from ridgeline.model.architecture import Architecture
from ridgeline.quantity import format_si
from ridgeline.search.evaluate import Aggregated, ladder, pieces
from ridgeline.search.findings import Findings, Piece
from ridgeline.search.goal import Goal
from ridgeline.search.offers import Offer
from ridgeline.search.pools import best_pairs, pool_pieces
from ridgeline.search.rated import Rated, Requests, rated
from ridgeline.search.space import Choices, Invalid, Shape, shapes

__all__ = ["MODES", "Space", "explore"]

MODES = ("aggregated", "disaggregated", "both")
# Token budgets tried beside the engine's own.
CHUNKS: tuple[int | None, ...] = (None, 2048)


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

    for done, shape in enumerate(every):
        one = _rated(found, space, shape, requests, int(batches[-1]), len(batches))
        if one is not None:
            kept.append(one)
            if space.mode != "disaggregated":
                model = Aggregated(one)
                take(model, pieces(model, len(found.models), goal, batches))
        if advance is not None:
            advance(done + 1, len(every))
    if space.mode != "aggregated":
        for pair in best_pairs(space.architecture, kept, goal):
            take(pair, pool_pieces(pair, len(found.models), goal, batches))
    return found


def _rated(found: Findings, space: Space, shape: Shape | Invalid, requests: Requests, most: int,
           batches: int) -> Rated | None:
    """The shape with its times, or None with the reason counted."""
    if isinstance(shape, Invalid):
        found.turn_down(shape.family, "rule", 1, shape.reason, float("inf"))
        return None
    try:
        one = rated(space.architecture, shape, requests, space.chunks, most)
    except BadInput as error:              # no such link, or no kernel for such a chip
        found.turn_down(shape.family, "rule", 1, str(error), float("inf"))
        return None
    if isinstance(one, Rated):
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


