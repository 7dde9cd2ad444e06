"""Decode times and prices of many (batch, context, price) points at once, as arrays.

A step table is linear between its knots, so on an open mesh of batches and contexts it is two small
matrix products: a million points take milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.economics.token_cost import token_cost
from ridgeline.errors import BadInput
from ridgeline.timing.step_table import Grid, StepTable

__all__ = ["Speeds", "decode_mesh", "price_step", "price_surface"]

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Speeds:
    """What one replica does at every batch and context.

    Attributes:
        batches: sequences decoding, shape (b,).
        contexts: their mean length [tokens], shape (c,).
        decode: time of a step [s], shape (b, c).
        room: sequences of each length that fit, shape (c,).
        prefill_rate: prompt tokens per second for prompts of each length, shape (c,).
        chips: of the replica.
    """

    batches: Array
    contexts: Array
    decode: Array
    room: Array
    prefill_rate: Array
    chips: int

    @property
    def fits(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which points memory allows, shape (b, c)."""
        allowed: np.ndarray[Any, np.dtype[np.bool_]] = self.batches[:, None] <= self.room[None, :]
        return allowed

    @property
    def output_rate(self) -> Array:
        """Output tokens per second of the replica, shape (b, c)."""
        rate: Array = self.batches[:, None] / self.decode
        return rate


def decode_mesh(table: StepTable, batches: Array, contexts: Array) -> Array:
    """Times of decode steps [s] at every batch and context: `table.seconds` on an open mesh.

    Args:
        table: step times of a deployment.
        batches: sequences, at least 1, shape (b,).
        contexts: mean lengths [tokens], shape (c,).

    Returns:
        seconds, shape (b, c).
    """
    across = _weights(table.decode, batches) @ table.decode.values
    if len(table.decode.y) > 1:
        across = across @ _rows(table.decode.y, contexts).T
    line = table.fixed + table.tokens.at(batches) + table.logits.at(batches)
    mesh: Array = line[:, None] + np.broadcast_to(across, (len(batches), len(contexts)))
    return mesh


def _weights(grid: Grid, at: Array) -> Array:
    return _rows(grid.x, at)


def _rows(axis: Array, at: Array) -> Array:
    """Interpolation as a matrix: two weights in each row, beyond the ends the end slopes."""
    index = np.clip(np.searchsorted(axis, at, side="right") - 1, 0, len(axis) - 2)
    share = (at - axis[index]) / (axis[index + 1] - axis[index])
    out = np.zeros((len(at), len(axis)))
    line = np.arange(len(at))
    out[line, index] = 1 - share
    out[line, index + 1] = share
    return out


def price_surface(speeds: Speeds, *, usd_per_chip_hour: Array, utilisation: float = 1.0) -> Array:
    """Cost of a million output tokens at every batch, context and rent.

    Args:
        speeds: of one replica.
        usd_per_chip_hour: rents [USD], shape (p,).
        utilisation: share of the rate that is sold.

    Returns:
        USD/Mtok, shape (b, c, p); points that do not fit in memory are NaN.
    """
    held = np.where(speeds.fits, speeds.output_rate, np.nan)
    surface: Array = np.asarray(token_cost(
        n_chips=float(speeds.chips), usd_per_chip_hour=usd_per_chip_hour[None, None, :],
        throughput=held[:, :, None], utilisation=utilisation))
    return surface


def price_step(contexts: Array, costs: Array) -> tuple[float, float]:
    """The two-price list that follows a cost curve best: (threshold [tokens], price multiple).

    One step is fitted to the logarithm of the cost over the logarithm of the context, each octave
    of contexts counting alike; the multiple is the mean cost above over the mean below.

    Raises:
        BadInput: fewer than four points, or a cost that is not positive.
    """
    if len(contexts) < 4 or not np.all(np.isfinite(costs)) or not np.all(costs > 0):
        raise BadInput("a price step needs the cost at four contexts or more, all positive")
    # A third of an octave is as fine as a price list is ever cut.
    grid = np.arange(np.log2(contexts[0]), np.log2(contexts[-1]) + 1e-9, 1 / 3)
    log_cost = np.interp(grid, np.log2(contexts), np.log(costs))
    best = (np.inf, 0)
    for cut in range(1, len(grid)):
        misfit = sum(float(np.var(part)) * len(part) for part in (log_cost[:cut], log_cost[cut:]))
        best = min(best, (misfit, cut))
    cut = best[1]
    multiple = np.exp(log_cost[cut:].mean() - log_cost[:cut].mean())
    return float(2 ** ((grid[cut - 1] + grid[cut]) / 2)), float(multiple)
