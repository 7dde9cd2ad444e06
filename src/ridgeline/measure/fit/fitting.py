"""Deterministic fitting shared by every kernel family.

Three steps, each on log time so that a microsecond and a second count alike:
1. `fit_physical`: constants of a physical form by robust least squares;
2. `train_residual`: the bounded network of `timing.kernels.residual` on what is left;
3. `conformal`: interval widths from residuals of groups the fit never saw.
Groups (a weight shape, a head geometry) are held out whole: rows of one group are never split
between fit and check.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.timing.kernels.residual import Residual, Spread
from ridgeline.timing.kernels.result import LEVELS

Array = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Rows = Mapping[str, NDArray[Any]]


def take(rows: Rows, index: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The chosen rows of every column."""
    return {name: column[index] for name, column in rows.items()}


def group_ids(*columns: NDArray[Any]) -> Ints:
    """One whole number per distinct combination of the columns' values, in sorted order."""
    ids: Ints = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        _, inverse = np.unique(column, return_inverse=True)
        ids = ids * (int(inverse.max(initial=0)) + 1) + inverse.ravel()
        _, ids = np.unique(ids, return_inverse=True)
    return ids


def scramble(values: NDArray[Any]) -> NDArray[np.uint64]:
    """A fixed 64-bit mix of whole numbers (splitmix64), for splits that never change."""
    x = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def group_folds(groups: Ints, n_folds: int) -> Ints:
    """Fold number of each row; whole groups, dealt round-robin in scrambled order."""
    unique, inverse = np.unique(groups, return_inverse=True)
    order = np.argsort(scramble(unique), kind="stable")
    fold = np.empty(len(unique), dtype=np.int64)
    fold[order] = np.arange(len(unique)) % n_folds
    return fold[inverse.ravel()]


def thin(rows: Rows, most: int) -> dict[str, NDArray[Any]]:
    """At most `most` rows, picked evenly by a fixed mix of their position."""
    n = len(next(iter(rows.values())))
    if n <= most:
        return dict(rows)
    picked = np.sort(np.argsort(scramble(np.arange(n)), kind="stable")[:most])
    return take(rows, picked)


def fit_physical(form: Callable[[Array, Rows], Array], rows: Rows, seconds: Array,
                 start: Sequence[float], bounds: Sequence[tuple[float, float]], *,
                 most: int = 4000, f_scale: float = 0.1) -> Array:
    """Constants of a physical form that minimise a robust loss of log(form / seconds).

    Args:
        form: (constants, rows) -> seconds, shape (N,).
        rows: columns of shape (N,).
        seconds: measured times, shape (N,).
        start: first guess. Constants are searched in the scale given: pass logs for wide ranges.
        bounds: (low, high) per constant.
        most: rows used at most.
        f_scale: log error beyond which a row counts linearly (soft_l1).
    """
    from scipy.optimize import least_squares

    sample = thin({**rows, "__seconds": seconds}, most)
    target = np.log(sample["__seconds"])
    low, high = np.array(bounds, dtype=float).T
    guess = np.clip(np.asarray(start, dtype=float), low + 1e-9, high - 1e-9)

    def error(constants: Array) -> Array:
        value: Array = np.log(form(constants, sample)) - target
        return value

    found: Array = least_squares(error, guess, bounds=(low, high), loss="soft_l1",
                                 f_scale=f_scale, x_scale="jac", max_nfev=60).x
    return found


@dataclass(frozen=True)
class Training:
    """How a residual network is trained.

    Attributes:
        hidden: widths of the two hidden layers.
        bound: largest log correction.
        steps, batch: Adam steps and rows in each.
        rate: first step size; it falls to zero along a cosine.
        decay: weight decay per unit step size.
        knee: log error beyond which the loss is linear.
        seed: of the start and of the batches.
    """

    hidden: tuple[int, int] = (24, 24)
    bound: float = 0.7
    steps: int = 2500
    batch: int = 512
    rate: float = 8e-3
    decay: float = 1e-3
    knee: float = 0.02
    seed: int = 0


def train_residual(features: Array, log_ratio: Array, how: Training | None = None,
                   weight: Array | None = None) -> Residual:
    """The network whose bounded output best matches log(measured / physical).

    Pseudo-Huber loss, Adam with decoupled weight decay, cosine step size: the same rows and seed
    give the same network.

    Args:
        features: shape (N, F).
        log_ratio: target, shape (N,).
        how: training settings.
        weight: how often a row is drawn relative to the others, shape (N,).
    """
    how = how or Training()
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-6, scale, 1.0)
    inputs = ((features - centre) / scale).astype(np.float32)
    target = np.clip(log_ratio, -0.98 * how.bound, 0.98 * how.bound).astype(np.float32)
    layers = _adam(inputs, target, how, weight)
    return Residual(_f32(features.min(axis=0)), _f32(features.max(axis=0)), _f32(centre),
                    _f32(scale), tuple((w, b) for w, b in layers), how.bound)


def _f32(values: Array) -> Array:
    return values.astype(np.float32)


def _start(widths: Sequence[int], rng: np.random.Generator) -> list[tuple[Array, Array]]:
    layers = []
    for rows, cols in itertools.pairwise(widths):
        size = (1.0 if cols > 1 else 0.1) / np.sqrt(rows)
        weights: Array = (rng.standard_normal((rows, cols)) * size).astype(np.float32)
        layers.append((weights, np.zeros(cols, dtype=np.float32)))
    return layers


def _adam(inputs: Array, target: Array, how: Training, weight: Array | None
          ) -> list[tuple[Array, Array]]:
    rng = np.random.default_rng(how.seed)
    layers = _start([inputs.shape[1], *how.hidden, 1], rng)
    moments = [(np.zeros_like(w), np.zeros_like(w), np.zeros_like(b), np.zeros_like(b))
               for w, b in layers]
    for step in range(how.steps):
        rows = _draw(rng, len(inputs), how.batch, weight)
        gradients = _gradients(layers, inputs[rows], target[rows], how)
        rate = 0.5 * how.rate * (1 + np.cos(np.pi * step / how.steps)) * min(1, (step + 1) / 50)
        correct = rate * np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
        for (w, b), (gw, gb), (m, v, mb, vb) in zip(layers, gradients, moments, strict=True):
            w *= 1 - rate * how.decay
            for value, slope, first, second in ((w, gw, m, v), (b, gb, mb, vb)):
                first += 0.1 * (slope - first)
                second += 0.001 * (slope * slope - second)
                value -= correct * first / (np.sqrt(second) + 1e-7)
    return layers


def _draw(rng: np.random.Generator, n: int, batch: int, weight: Array | None) -> Ints:
    if weight is None:
        return rng.integers(0, n, batch)
    edges = np.cumsum(weight)
    picked: Ints = np.minimum(np.searchsorted(edges, rng.random(batch) * edges[-1]), n - 1)
    return picked


def _gradients(layers: list[tuple[Array, Array]], inputs: Array, target: Array, how: Training
               ) -> list[tuple[Array, Array]]:
    """Slopes of the mean pseudo-Huber loss of bound * tanh(net / bound) - target."""
    seen = [inputs]
    for w, b in layers[:-1]:
        seen.append(np.tanh(seen[-1] @ w + b))
    w, b = layers[-1]
    squashed = np.tanh((seen[-1] @ w + b)[:, 0] / how.bound)
    error = how.bound * squashed - target
    slope = error / np.sqrt(error * error + how.knee**2) * (1 - squashed**2) / len(target)
    back = slope[:, None].astype(np.float32)
    found: list[tuple[Array, Array]] = []
    for (w, _), below in zip(reversed(layers), reversed(seen), strict=True):
        found.append((below.T @ back, back.sum(axis=0)))
        back = (back @ w.T) * (1 - below * below)
    return found[::-1]


def conformal(log_error: Array, predicted: Array, *, n_bins: int = 4, least: int = 150) -> Spread:
    """Interval widths from held-out log(measured / predicted), by quantile bin of prediction.

    The outer quantile taken is ceil((n + 1) q) / n, so coverage of a new group is at least
    nominal when groups are alike.

    Args:
        log_error: held-out log(measured / predicted), shape (N,).
        predicted: the predicted seconds, shape (N,).
        n_bins: bins of predicted time at most.
        least: rows in a bin at least.
    """
    n_bins = max(1, min(n_bins, len(log_error) // least))
    edges = np.quantile(predicted, np.arange(1, n_bins) / n_bins)
    bins = np.searchsorted(edges, predicted)
    table = [[_outer(log_error[bins == b], q) for q in LEVELS] for b in range(n_bins)]
    return Spread(edges, np.array(table))


def _outer(values: Array, q: float) -> float:
    n = len(values)
    level = np.ceil((n + 1) * q) / n if q > 0.5 else np.floor((n + 1) * q) / n
    return float(np.quantile(values, min(max(level, 0.0), 1.0)))


def cross_validated(fit: Callable[[Rows, Array], Callable[[Rows], Array]], rows: Rows,
                    seconds: Array, groups: Ints, n_folds: int = 4) -> Array:
    """Held-out predictions: each fold predicted by a fit on the others.

    Args:
        fit: (rows, seconds) -> predictor of seconds.
        rows, seconds, groups: the table, shape (N,) each.
        n_folds: how many parts.
    """
    folds, out = group_folds(groups, n_folds), np.empty(len(seconds))
    for fold in range(n_folds):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        predictor = fit(take(rows, inside), seconds[inside])
        out[outside] = predictor(take(rows, outside))
    return out


@dataclass(frozen=True)
class Errors:
    """How predictions compare with measurements.

    Attributes:
        rows: how many were compared.
        median_ape, p90_ape: of |predicted / measured - 1|.
        bias: exp(median log(predicted / measured)) - 1.
        coverage80: share of measurements inside the 80 % interval, nan without intervals.
    """

    rows: int
    median_ape: float
    p90_ape: float
    bias: float
    coverage80: float


def errors(predicted: Array, measured: Array, low: Array | None = None,
           high: Array | None = None) -> Errors:
    """The row of an error table."""
    ape = np.abs(predicted / measured - 1)
    inside = float("nan") if low is None or high is None else float(
        np.mean((measured >= low) & (measured <= high)))
    return Errors(len(ape), float(np.median(ape)), float(np.quantile(ape, 0.9)),
                  float(np.exp(np.median(np.log(predicted / measured))) - 1), inside)


def error_table(labels: NDArray[Any], predicted: Array, measured: Array,
                low: Array | None = None, high: Array | None = None) -> dict[str, Errors]:
    """`errors` of every label, and of all rows under "all"."""
    table = {}
    for label in [*np.unique(labels), None]:
        pick = slice(None) if label is None else labels == label
        table["all" if label is None else str(label)] = errors(
            predicted[pick], measured[pick], None if low is None else low[pick],
            None if high is None else high[pick])
    return table
