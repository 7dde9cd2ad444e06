"""Fits the constants of loaded throughput and measures their error by held-out groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import RidgelineError
from ridgeline.measure.fit.levels import (
    Rows,
    elsewhere,
    errors,
    fit_levels,
    held_out,
    held_out_errors,
    spreads,
)
from ridgeline.measure.truth.throughput_row import read_throughput_row
from ridgeline.timing.throughput import (
    LOADED,
    load_columns,
    load_keys,
    wave_floor,
    wave_seconds,
)

__all__ = ["LoadRows", "fit_throughput", "load_rows", "measured_wave"]

Array = NDArray[np.floating[Any]]
# Distance -> what is held out to measure it, and the level that must have been seen elsewhere.
_HELD = {"device": ("model", "device"), "architecture": ("device", "engine"),
         "pooled": ("source", "")}
_SIGMA, _STEPS, _FOLDS = 0.2, 25, 20
# Runs faster than their roofline by more than this are set aside: they ended early, or the row
# says another batch or format than the one that ran.
_TOO_FAST = 1.2


@dataclass(frozen=True)
class LoadRows:
    """Rows with what they are grouped by ("model", "device", "source")."""

    rows: Rows
    groups: Mapping[str, NDArray[Any]]


def measured_wave(row: Mapping[str, Any], tokens: float) -> float | None:
    """Measured seconds of a wave that makes so many output tokens; None when not measured."""
    if row["output_tokens_per_s"]:
        return tokens / float(row["output_tokens_per_s"])
    if row["osl_tokens"] == 1 and row["ttft_ms"]:
        return float(row["ttft_ms"]) * 1e-3
    return None


def load_rows(table: Mapping[str, NDArray[Any]]) -> LoadRows:
    """The rows of a serving-throughput table as columns of the form.

    Args:
        table: columns of the table.
    """
    found: list[tuple[dict[str, float], dict[str, str], float, tuple[str, ...]]] = []
    names = list(table)
    lists = [[None if v != v else v for v in table[c].tolist()] for c in names]
    for values in zip(*lists, strict=True):
        row = dict(zip(names, values, strict=True))
        try:
            case = read_throughput_row(row)
        except RidgelineError:
            continue  # nothing to fit to: the predictor says why
        seconds = measured_wave(row, case.replicas * case.batch * case.output)
        if seconds is not None:
            found.append((load_columns(case), load_keys(case), seconds,
                          (case.architecture.name, case.chip.name, str(row["source"]))))
    measured = np.array([f[2] for f in found])
    real = _TOO_FAST * measured > np.array([wave_floor(f[0]) for f in found])
    rows = Rows({c: np.array([f[0][c] for f in found]) for c in found[0][0]},
                {k: np.array([f[1][k] for f in found], object) for k in found[0][1]},
                measured, real)
    return LoadRows(rows, {g: np.array([f[3][i] for f in found], object)
                           for i, g in enumerate(("model", "device", "source"))})


def fit_throughput(rows: Mapping[str, NDArray[Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Content of the data file, and errors on held-out groups.

    Args:
        rows: columns of a serving-throughput table.
    """
    data = load_rows(rows)
    seconds = data.rows.seconds
    fitted = fit_levels(wave_seconds, data.rows, LOADED, sigma=_SIGMA, steps=_STEPS)
    residuals: dict[str, Array] = {}
    report: dict[str, Any] = {}
    engine = data.rows.keys["engine"]
    for distance, (group, level) in _HELD.items():
        guess = held_out(wave_seconds, data.rows, LOADED, data.groups[group], folds=_FOLDS,
                         sigma=_SIGMA, steps=_STEPS)
        near = data.rows.keep & elsewhere(data.rows, data.groups[group], level)
        residuals[distance] = np.where(near, np.log(seconds / guess), np.nan)
        report[f"{group} held out"] = held_out_errors(data.rows, guess, engine)
        if level:
            report[f"{group} held out, {level} known"] = held_out_errors(
                data.rows.pick(near), guess[near], engine[near])
    report["simpler models"] = _baselines(data.rows)
    spread = spreads(residuals, engine)
    return {"format_version": 1, **fitted.to_json(), "spreads": spread.to_json()}, report


def _baselines(rows: Rows) -> dict[str, Any]:
    """Roofline, and roofline over the one efficiency that suits these rows best."""
    c = rows.columns

    def phase(p: str) -> Array:
        memory = c[p + "read"] + c[p + "expert_read"] + c[p + "cache"]
        out: Array = np.maximum(memory, c[p + "compute"] + c[p + "expert_compute"])
        return out

    floor = c["passes"] * phase("p_") + c["steps"] * phase("d_")
    best = floor * np.median(rows.seconds / floor)
    return {"roofline": errors(rows.seconds, floor), "one efficiency": errors(rows.seconds, best)}
