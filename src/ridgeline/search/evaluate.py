"""Rows of a rated deployment: every batch and token budget, in cache-sized pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.search.curves import Array
from ridgeline.search.findings import Piece
from ridgeline.search.goal import Goal, Replica, Scored, score
from ridgeline.search.rated import Rated, Times

__all__ = ["BATCHES", "PIECE", "Aggregated", "pieces"]

PIECE = 8192
# Four batches an octave: neighbours differ by less than the steady form's error does.
BATCHES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112,
           128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024)


@dataclass(frozen=True)
class Aggregated:
    """A replica that serves prompts and decoding, as a model of the sweep."""

    rated: Rated

    @property
    def family(self) -> str:
        """What it is grouped by when it is turned down."""
        return self.rated.shape.family

    @property
    def constants(self) -> Replica:
        """What its rows share."""
        shape, requests = self.rated.shape, self.rated.requests
        return Replica(shape.chips, shape.offer.limit,
                       shape.chips * shape.offer.usd_per_chip_hour,
                       shape.chips * (shape.offer.chip.tdp or np.nan), requests.prompt.mean,
                       float(requests.mean_output))

    @property
    def settings(self) -> tuple[int | None, ...]:
        """Token budgets by number; None: the engine's own."""
        return tuple(self.rated.budgets)

    def words(self, setting: int, batch: float) -> str:
        """A row in words."""
        plan = self.rated.shape.deployment
        degrees = "".join(f" {name}={getattr(plan, name)}" for name in ("pp", "ep", "cp")
                          if getattr(plan, name) > 1)
        formats = "".join(f" {name}={value}" for name, value in (("weights", plan.weights),
                                                                 ("kv", plan.kv)) if value)
        budget = self.settings[setting]
        chunk = f" chunk={budget}" if budget else ""
        return f"{plan.engine}{degrees}{formats}{chunk} batch={batch:g}"


def pieces(model: Aggregated, number: int, goal: Goal, batches: Array) -> Iterator[Piece]:
    """All rows of a model, at most PIECE at a time.

    Args:
        model: rated deployment.
        number: its number in the sweep.
        goal: load and targets.
        batches: to try, rising.
    """
    count, rated = len(batches), model.rated
    budgets = np.array(list(rated.budgets.values()), float)
    rooms = np.array(rated.rooms)
    total = count * len(budgets)
    for start in range(0, total, PIECE):
        places = np.arange(start, min(start + PIECE, total))
        setting = places // count
        yield evaluated(model, number, goal, setting, batches[places % count], budgets[setting],
                        rooms[setting])


def evaluated(model: Aggregated, number: int, goal: Goal, setting: Any, batch: Array,
              budget: Array, room: Array) -> Piece:
    """One piece: times, money, verdict, and both again at the ends of the margins."""
    times = model.rated.times(batch, budget)
    constants, off = model.constants, model.rated.margins(batch)

    def at(ttft: Any, tpot: Any) -> Scored:
        return score(goal, constants, batch=batch, room=room, ttft=times.ttft * ttft,
                     tpot=times.tpot * tpot, service=times.service * ttft)

    return Piece(number, setting, batch, room, constants.limit, times, at(1.0, 1.0),
                 at(off.fast_wait, off.fast), at(off.slow_wait, off.slow))


def ladder(batches: Sequence[int] | None) -> Array:
    """Batches as an array, the usual ones when None."""
    return np.array(sorted(set(batches)) if batches else BATCHES, float)


def row_of(model: Aggregated, goal: Goal, setting: int, batch: int) -> tuple[Times, Scored]:
    """One row by itself."""
    one = np.array([float(batch)])
    budget = np.array([float(list(model.rated.budgets.values())[setting])])
    piece = evaluated(model, 0, goal, np.array([setting]), one, budget,
                      np.array([model.rated.rooms[setting]]))
    return piece.times, piece.scored
