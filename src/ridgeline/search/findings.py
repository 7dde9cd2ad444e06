"""What a sweep remembers of millions of rows: counts, reasons, the frontier, the candidates."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ridgeline.search.curves import Array
from ridgeline.search.goal import VERDICTS, Goal, Scored
from ridgeline.search.pareto import covered, frontier
from ridgeline.search.rated import Times

__all__ = ["Findings", "Key", "PairSearch", "Piece", "Rejection"]

# Candidates kept when a sweep has more than a replay could ever look at.
MOST_CANDIDATES = 4096


@dataclass(frozen=True)
class Key:
    """Where a row came from: a model of the sweep, its setting, its batch."""

    model: int
    setting: int
    batch: int


@dataclass(frozen=True)
class PairSearch:
    """How far the pairs of prefill and decode pools were gone through.

    Attributes:
        possible: pairs of replicas of one engine, format and maker.
        evaluated: of them, with all their batches.
        left: least objective that any other could have; infinite when none will do.
    """

    possible: int
    evaluated: int
    left: float


@dataclass(frozen=True)
class Rejection:
    """Rows of a family turned down for one reason.

    Attributes:
        family: such as "H100-SXM tp=2".
        reason: an entry of goal.VERDICTS, "memory" or "rule".
        count: rows.
        example: the one that came nearest, in words.
        miss: how near, as a ratio; 1 would have passed.
    """

    family: str
    reason: str
    count: int
    example: str
    miss: float


@dataclass(frozen=True)
class Piece:
    """Rows evaluated together.

    Attributes:
        model: number of the deployment in the sweep.
        setting, batch: what tells its rows apart.
        room: sequences that the cache holds.
        times: of a request.
        limit: chips on offer.
        scored: at the predicted times.
        low, high: objective and verdict if the replay were faster or slower by the margins.
    """

    model: int
    setting: Any
    batch: Array
    room: Array
    limit: Any
    times: Times
    scored: Scored
    low: Scored
    high: Scored


class Labelled(Protocol):
    """What findings ask of a model of the sweep."""

    @property
    def family(self) -> str:
        """What it is grouped by when it is turned down."""
        ...

    def words(self, setting: int, batch: float) -> str:
        """A row in words."""
        ...


@dataclass
class Findings:
    """Everything kept of a sweep.

    Attributes:
        goal: what is wanted.
        evaluated, feasible: rows seen, and rows that meet everything.
        models: deployments in order of their numbers.
        rejected: (family, reason) -> Rejection.
        pairs: how the pairs of pools were gone through; None: there were none to try.
    """

    goal: Goal
    evaluated: int = 0
    feasible: int = 0
    models: list[Any] = field(default_factory=list)
    rejected: dict[tuple[str, str], Rejection] = field(default_factory=dict)
    good_families: set[str] = field(default_factory=set)
    least_ttft: float = np.inf
    least_tpot: float = np.inf
    pairs: PairSearch | None = None
    ceiling: float = np.inf
    _points: Any = field(default_factory=lambda: np.zeros((0, 3)))
    _keys: Any = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    _waiting: list[tuple[Any, Any]] = field(default_factory=list)
    _candidates: Any = field(default_factory=lambda: np.zeros((0, 5)))

    def add(self, piece: Piece) -> None:
        """Take in a piece."""
        scored, verdict = piece.scored, piece.scored.verdict
        self.evaluated += len(verdict)
        good = int(np.count_nonzero(verdict == 0))
        self.feasible += good
        if good:
            self.good_families.add(self.models[piece.model].family)
        self._reject(piece)
        self._front(piece)
        self._keep(piece)
        held = verdict != VERDICTS.index("kv")
        if held.any():
            self.least_ttft = min(self.least_ttft, float(scored.ttft[held].min()))
            self.least_tpot = min(self.least_tpot, float(piece.times.tpot[held].min()))

    def turn_down(self, family: str, reason: str, count: int, example: str, miss: float) -> None:
        """Count rows that never got a time."""
        self.evaluated += count if reason == "memory" else 0
        self._merge(Rejection(family, reason, count, example, miss))

    def frontier_keys(self) -> list[Key]:
        """Rows of the exact frontier of everything that fits and can be paid, best first."""
        self._settle()
        return [Key(*map(int, key)) for key in self._keys]

    @property
    def frontier_points(self) -> Any:
        """(tokens/s/user, tokens/s/chip, -USD/Mtok) of those rows."""
        self._settle()
        return self._points

    def candidates(self) -> list[tuple[float, float, Key]]:
        """(objective, least it could be, row) of all that might be the best, likeliest first."""
        rows = self._candidates[self._candidates[:, 1] <= self.ceiling]
        rows = rows[np.lexsort((rows[:, 4], rows[:, 3], rows[:, 2], rows[:, 0]))]
        return [(float(r[0]), float(r[1]), Key(int(r[2]), int(r[3]), int(r[4]))) for r in rows]

    def frontier_of(self, points: Any, keys: Any) -> None:
        """Merge points into the frontier, many pieces at a time."""
        self._waiting.append((points, keys))
        if sum(len(p) for p, _ in self._waiting) > max(1000, len(self._points)):
            self._settle()

    def _settle(self) -> None:
        if not self._waiting:
            return
        points = np.concatenate([self._points, *(p for p, _ in self._waiting)])
        keys = np.concatenate([self._keys, *(k for _, k in self._waiting)])
        chosen = frontier(points)
        self._points, self._keys, self._waiting = points[chosen], keys[chosen], []

    def _reject(self, piece: Piece) -> None:
        counts = np.bincount(piece.scored.verdict, minlength=len(VERDICTS))
        if counts[0]:
            return                     # a family with rows that do is not turned down
        model = self.models[piece.model]
        for code in np.flatnonzero(counts):
            reason = VERDICTS[code]
            miss = np.where(piece.scored.verdict == code, _miss(self.goal, piece, reason), np.inf)
            nearest = int(np.argmin(miss))
            self._merge(Rejection(model.family, reason, int(counts[code]),
                                  _example(self.goal, piece, reason, nearest, model),
                                  float(miss[nearest])))

    def _merge(self, new: Rejection) -> None:
        old = self.rejected.get((new.family, new.reason))
        if old is not None:
            near = new if new.miss < old.miss else old
            new = dataclasses.replace(near, count=old.count + new.count)
        self.rejected[new.family, new.reason] = new

    def _front(self, piece: Piece) -> None:
        verdict = piece.scored.verdict
        able = np.flatnonzero((verdict == 0) | (verdict >= VERDICTS.index("ttft")))
        if not len(able):
            return
        cost = piece.scored.usd_per_mtok[able]
        points = np.stack([1.0 / np.maximum(piece.times.tpot[able], 1e-12),
                           piece.scored.tokens_per_s[able] / piece.scored.chips[able],
                           np.where(np.isnan(cost), -np.inf, -cost)], axis=1)
        fresh = np.flatnonzero(~covered(points, self._points))
        chosen = fresh[frontier(points[fresh])]
        self.frontier_of(points[chosen], _keys(piece, able[chosen]))

    def _keep(self, piece: Piece) -> None:
        sure = piece.high.objective[piece.high.verdict == 0]
        if len(sure):
            self.ceiling = min(self.ceiling, float(sure.min()))
        maybe = np.flatnonzero((piece.low.verdict == 0) & (piece.low.objective <= self.ceiling))
        if not len(maybe):
            return
        rows = np.concatenate([
            np.stack([piece.scored.objective[maybe], piece.low.objective[maybe]], axis=1),
            _keys(piece, maybe)], axis=1)
        rows = np.concatenate([self._candidates, rows])
        rows = rows[rows[:, 1] <= self.ceiling]
        if len(rows) > MOST_CANDIDATES:
            rows = rows[np.argsort(rows[:, 0], kind="stable")[:MOST_CANDIDATES]]
        self._candidates = rows


def _keys(piece: Piece, rows: Any) -> Any:
    return np.stack([np.full(len(rows), piece.model), np.asarray(piece.setting)[rows],
                     piece.batch[rows].astype(np.int64)], axis=1)


def _miss(goal: Goal, piece: Piece, reason: str) -> Any:
    """How many times over each row is; 1 would have passed."""
    if reason == "ttft":
        return piece.scored.ttft / goal.ttft
    if reason == "tpot":
        return piece.times.tpot / goal.tpot
    if reason == "kv":
        return piece.batch / np.maximum(piece.room, 1e-9)
    if reason == "budget":
        return np.nan_to_num(piece.scored.usd_per_hour / goal.budget, nan=np.inf)
    # Two offers may leave no room for a whole unit: then the limit is none.
    limit = np.maximum(piece.limit, 1.0) if reason == "chips" else 1.0
    return np.broadcast_to(piece.scored.chips / limit, piece.batch.shape)


def _example(goal: Goal, piece: Piece, reason: str, row: int, model: Labelled) -> str:
    from ridgeline.quantity import format_si

    words = model.words(int(np.asarray(piece.setting)[row]), float(piece.batch[row]))
    if reason == "ttft":
        return (f"fits, TTFT {format_si(float(piece.scored.ttft[row]), 's')} > "
                f"{format_si(goal.ttft, 's')} ({words})")
    if reason == "tpot":
        return (f"fits, TPOT {format_si(float(piece.times.tpot[row]), 's')} > "
                f"{format_si(goal.tpot, 's')} ({words})")
    if reason == "kv":
        return f"the KV cache holds {int(piece.room[row]):,} sequences ({words})"
    if reason == "budget":
        return (f"${float(piece.scored.usd_per_hour[row]):,.2f}/h > ${goal.budget:,.2f}/h "
                f"({words})")
    if reason == "load":
        return f"the load leaves no place free: arrivals wait without end ({words})"
    who = "the load needs" if goal.loaded else "needs"
    return f"{who} {int(piece.scored.chips[row]):,} chips ({words})"
