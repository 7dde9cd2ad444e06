"""Fits constants that are shared by level (`timing.levels`), and how wide their intervals are.

Minimised: robust squares of the log of predicted over measured time, plus a pull of every offset
to zero, (offset / usual size)^2. That is the most probable value under normal offsets. Gauss-Newton
with damping, from fixed starts: the same rows give the same constants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from ridgeline.timing.levels import Constant, Levelled, Spreads

Array = NDArray[np.floating[Any]]
Columns = Mapping[str, Any]
Form = Callable[[Columns, Mapping[str, Any]], Any]

_COMMON = 1.5          # usual distance, in log, of a common value from its start
_HUBER = 2.5           # residuals beyond so many sigma count linearly
_FEW = 8               # a group with fewer residuals has the common width
_PERCENT = (2.5, 10.0, 90.0, 97.5)


@dataclass(frozen=True)
class Rows:
    """Measurements ready to fit.

    Attributes:
        columns: number columns of the form.
        keys: level -> value of each row.
        seconds: measured.
        keep: rows good enough to fit to; the others are only predicted.
    """

    columns: Mapping[str, Array]
    keys: Mapping[str, NDArray[Any]]
    seconds: Array
    keep: NDArray[np.bool_]

    def pick(self, where: NDArray[Any]) -> Rows:
        """The chosen rows."""
        return Rows({k: v[where] for k, v in self.columns.items()},
                    {k: v[where] for k, v in self.keys.items()}, self.seconds[where],
                    self.keep[where])


class _Design:
    """Which offset applies to which row, as one matrix over all parameters.

    Offsets that apply to the same rows of a constant are one parameter, as far from zero as they
    are together; `offsets` shares it out again.
    """

    def __init__(self, rows: Rows, constants: Sequence[Constant]) -> None:
        self.parts: dict[tuple[int, bytes], list[tuple[float, str, str]]] = {}
        columns: dict[tuple[int, bytes], Array] = {}
        for index, constant in enumerate(constants):
            for usual, name, column in _offsets(rows, constant):
                key = index, np.packbits(column).tobytes()
                columns[key] = column.astype(float)
                self.parts.setdefault(key, []).append((usual, constant.name, name))
        self.matrix = np.stack(list(columns.values()), axis=1)
        self.of = np.array([index for index, _ in columns])
        self.usual = np.sqrt([sum(u**2 for u, *_ in p) for p in self.parts.values()])

    def keep(self, where: NDArray[np.bool_]) -> None:
        """Go on with these parameters only."""
        self.parts = {k: v for (k, v), w in zip(self.parts.items(), where, strict=True) if w}
        self.matrix, self.of = self.matrix[:, where], self.of[where]
        self.usual = self.usual[where]

    def offsets(self, at: Array) -> list[tuple[str, str, float]]:
        """(constant, offset, value) of every parameter; the offset "" is the common value's."""
        return [(constant, name, float(value) * usual**2 / float(together) ** 2)
                for parts, value, together in zip(self.parts.values(), at, self.usual, strict=True)
                for usual, constant, name in parts]


def _offsets(rows: Rows, constant: Constant) -> Iterator[tuple[float, str, NDArray[np.bool_]]]:
    """Usual size, name and rows of the common value and of every offset of a constant."""
    yield _COMMON, "", np.ones(len(rows.seconds), bool)
    for level, usual in constant.levels.items():
        values = rows.keys[level]
        for value in sorted(set(values.tolist())):
            if value:
                yield usual, f"{level}={value}", values == value


class _Problem:
    """The residuals and their slopes at some parameters."""

    def __init__(self, form: Form, rows: Rows, constants: Sequence[Constant],
                 sigma: float) -> None:
        self.form, self.rows, self.constants, self.sigma = form, rows, constants, sigma
        self.design = _Design(rows, constants)
        self.start = np.log([c.start for c in constants])
        self.low = np.log([c.low for c in constants])
        self.high = np.log([c.high for c in constants])
        # A constant that does nothing to any row of an offset says nothing about that offset.
        logs = self.logs(np.zeros(len(self.design.usual)))
        self.design.keep((self.slopes(logs, self.residual(logs)) != 0).any(axis=0))

    def logs(self, at: Array) -> list[Array]:
        matrix, of = self.design.matrix, self.design.of
        return [np.clip(self.start[j] + matrix[:, of == j] @ at[of == j], self.low[j], self.high[j])
                for j in range(len(self.constants))]

    def residual(self, logs: Sequence[Array]) -> Array:
        values = {c.name: np.exp(v) for c, v in zip(self.constants, logs, strict=True)}
        out: Array = (np.log(self.form(self.rows.columns, values))
                      - np.log(self.rows.seconds)) / self.sigma
        return out

    def cost(self, residual: Array, at: Array) -> float:
        size = np.abs(residual)
        robust = np.where(size < _HUBER, 0.5 * size**2, _HUBER * size - 0.5 * _HUBER**2)
        return float(robust.sum() + 0.5 * ((at / self.design.usual) ** 2).sum())

    def slopes(self, logs: Sequence[Array], residual: Array) -> Array:
        out = np.empty_like(self.design.matrix)
        for j, log in enumerate(logs):
            moved = list(logs)
            moved[j] = log + 1e-4
            slope = (self.residual(moved) - residual) / 1e-4
            # At a bound a small slope is left, so that an offset can find its way back.
            slope = np.where((log <= self.low[j]) | (log >= self.high[j]), 0.05 * slope, slope)
            mine = self.design.of == j
            out[:, mine] = self.design.matrix[:, mine] * slope[:, None]
        return out


def fit_levels(form: Form, rows: Rows, constants: Sequence[Constant], *, sigma: float = 0.1,
               steps: int = 80) -> Levelled:
    """Constants of a form from the rows worth keeping.

    Args:
        form: (columns, constants) -> seconds.
        rows: the measurements.
        constants: what is fitted, and how far each level may move it.
        sigma: scatter of log time that is not worth explaining.
        steps: Gauss-Newton steps at most.
    """
    problem = _Problem(form, rows.pick(rows.keep), constants, sigma)
    at: Array = np.zeros(len(problem.design.usual))
    logs = problem.logs(at)
    residual = problem.residual(logs)
    best, damping = problem.cost(residual, at), 1e-2
    for _ in range(steps):
        found = _step(problem, at, logs, residual, best, damping)
        if found is None:
            break
        gain = best - found[3]
        at, logs, residual, best, damping = found
        if gain < 1e-5 * best:
            break
    return _levelled(problem, at)


def _step(problem: _Problem, at: Array, logs: Sequence[Array], residual: Array, best: float,
          damping: float) -> tuple[Array, list[Array], Array, float, float] | None:
    """The next parameters, or None where no damped step is better."""
    slopes = problem.slopes(logs, residual)
    weight = np.minimum(1.0, _HUBER / np.maximum(np.abs(residual), 1e-9))
    pull = 1.0 / problem.design.usual**2
    curve = slopes.T @ (slopes * weight[:, None])
    curve[np.diag_indices_from(curve)] += pull
    size = np.diag(curve).copy()
    down = slopes.T @ (weight * residual) + pull * at
    for _ in range(8):
        curve[np.diag_indices_from(curve)] = size * (1 + damping)
        move = cho_solve(cho_factor(curve, check_finite=False), -down, check_finite=False)
        there = at + np.clip(move, -1.0, 1.0)
        new_logs = problem.logs(there)
        new = problem.residual(new_logs)
        cost = problem.cost(new, there)
        if cost < best:
            return there, new_logs, new, cost, max(damping / 3, 1e-6)
        damping *= 4
    return None


def _levelled(problem: _Problem, at: Array) -> Levelled:
    common = {c.name: float(s) for c, s in zip(problem.constants, problem.start, strict=True)}
    offsets: dict[str, dict[str, float]] = {c.name: {} for c in problem.constants}
    for constant, name, value in problem.design.offsets(at):
        if name:
            offsets[constant][name] = value
        else:
            common[constant] += value
    return Levelled(tuple(problem.constants), common, offsets)


def predict_levels(form: Form, fitted: Levelled, rows: Rows) -> Array:
    """Seconds of every row."""
    names = list(rows.keys)
    cases = zip(*(rows.keys[k].tolist() for k in names), strict=True)
    values = [fitted.values(dict(zip(names, case, strict=True))) for case in cases]
    constants = {c.name: np.array([v[c.name] for v in values]) for c in fitted.constants}
    out: Array = np.asarray(form(rows.columns, constants), float)
    return out


def held_out(form: Form, rows: Rows, constants: Sequence[Constant], groups: NDArray[Any], *,
             folds: int = 12, sigma: float = 0.1, steps: int = 80) -> Array:
    """Predictions of every row by a fit that saw no row of its group.

    Args:
        groups: what is held out whole.
        folds: fits at most; groups share one by a digest of their name, in turn.
    """
    names = sorted(set(groups.tolist()), key=lambda g: hashlib.sha256(g.encode()).digest())
    fold = {name: i % folds for i, name in enumerate(names)}
    place = np.array([fold[g] for g in groups.tolist()])
    out = np.empty(len(rows.seconds))
    for number in sorted(set(place.tolist())):
        inside = rows.pick(np.flatnonzero(place != number))
        fitted = fit_levels(form, inside, constants, sigma=sigma, steps=steps)
        outside = np.flatnonzero(place == number)
        out[outside] = predict_levels(form, fitted, rows.pick(outside))
    return out


def elsewhere(rows: Rows, groups: NDArray[Any], level: str) -> NDArray[np.bool_]:
    """Rows whose value of a level also occurs in another group; all of them without a level."""
    if not level:
        return np.ones(len(groups), bool)
    values = rows.keys[level].tolist()
    seen: dict[str, set[str]] = {}
    for value, group in zip(values, groups.tolist(), strict=True):
        seen.setdefault(value, set()).add(group)
    return np.array([len(seen[value]) > 1 for value in values])


def spreads(residuals: Mapping[str, Array], groups: NDArray[Any]) -> Spreads:
    """Interval widths from held-out residuals.

    Args:
        residuals: distance -> log of measured over predicted time of every row, NaN where the row
            says nothing of that distance.
        groups: engine or source of each row; those with enough rows have a width of their own.
    """
    common, widths = {}, {}
    for distance, residual in residuals.items():
        use = np.isfinite(residual)
        overall = _scale(residual[use])
        found = {}
        for group in sorted(set(groups[use].tolist())):
            mine = residual[use & (groups == group)]
            if len(mine) >= _FEW:
                found[group] = _scale(mine)
        width = np.array([found.get(g, overall) for g in groups[use].tolist()])
        ends = np.percentile(residual[use] / width, _PERCENT) * overall
        common[distance] = [float(e) for e in ends]
        widths[distance] = {g: float(w / overall) for g, w in found.items()}
    return Spreads(common, widths)


def covered(residual: Array, groups: NDArray[Any]) -> float:
    """Share of residuals inside 80 % intervals from the other half of them [%]."""
    half = np.arange(len(residual)) % 2
    inside = np.zeros(len(residual), bool)
    for side in (0, 1):
        other, mine = half != side, half == side
        found = spreads({"": residual[other]}, groups[other])
        ends = np.log([found.ends("", g)[1:3] for g in groups[mine].tolist()])
        inside[mine] = (residual[mine] >= ends[:, 0]) & (residual[mine] <= ends[:, 1])
    return float(inside.mean() * 100)


def held_out_errors(rows: Rows, guess: Array, groups: NDArray[Any]) -> dict[str, float]:
    """`errors` of held-out predictions, and how many lie in their 80 % intervals.

    Args:
        rows: the measurements.
        guess: predicted seconds.
        groups: engine of each row, whose intervals have a width of their own.
    """
    inside = covered(np.log(rows.seconds / guess), groups)
    return {**errors(rows.seconds, guess), "coverage80_pct": round(inside, 1)}


def _scale(residual: Array) -> float:
    """Size that 80 % of the residuals stay below; at least 2 %."""
    return max(float(np.percentile(np.abs(residual), 80.0)), 0.02)


def errors(seconds: Array, predicted: Array) -> dict[str, float]:
    """Errors of rates: rows, median and 90th percentile of APE, bias [%]."""
    ratio = seconds / predicted            # of predicted over measured rate
    ape = np.abs(ratio - 1) * 100
    return {"n": len(ratio), "median_ape_pct": round(float(np.median(ape)), 2),
            "p90_ape_pct": round(float(np.percentile(ape, 90)), 2),
            "bias_pct": round(float(np.exp(np.median(np.log(ratio))) - 1) * 100, 2)}
