"""Fits the single-stream constants and measures their error by held-out devices and models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import RidgelineError
from ridgeline.measure.fit.levels import (
    Form,
    Rows,
    elsewhere,
    errors,
    fit_levels,
    held_out,
    held_out_errors,
    spreads,
)
from ridgeline.measure.truth.stream_row import read_stream_row
from ridgeline.timing import single_stream as forms
from ridgeline.timing.levels import Constant
from ridgeline.timing.stream_work import generation_columns, prompt_columns, stream_keys

__all__ = ["StreamRows", "fit_single_stream", "stream_rows"]

Array = NDArray[np.floating[Any]]
# Distance -> what is held out to measure it, and the level that must have been seen elsewhere for
# a row to be at that distance.
_HELD = {"device": ("model_name", "device"), "architecture": ("chip_name", "engine"),
         "pooled": ("source", "")}
_WORDS = {"model_name": "model", "chip_name": "device", "source": "source"}
_RATES = {"generation": "gen_tokens_per_s", "prompt": "prompt_tokens_per_s"}
_FORMS: Mapping[str, tuple[Form, Sequence[Constant]]] = {
    "generation": (forms.generation_seconds, forms.GENERATION),
    "prompt": (forms.prompt_seconds, forms.PROMPT)}


@dataclass(frozen=True)
class StreamRows:
    """Rows of one kind of test with what they are grouped by.

    Attributes:
        rows: ready to fit.
        groups: "model_name", "chip_name", "source" of each row.
    """

    rows: Rows
    groups: Mapping[str, NDArray[Any]]


def stream_rows(table: Mapping[str, NDArray[Any]], what: str) -> StreamRows:
    """The rows of a table that measured generation or prompts, as columns of the form.

    Args:
        table: columns of a single-stream table.
        what: "generation" or "prompt".
    """
    make = generation_columns if what == "generation" else prompt_columns
    found: list[tuple[dict[str, float], dict[str, str], float, bool, tuple[str, str, str]]] = []
    names = list(table)
    for values in zip(*(_plain(table[c]) for c in names), strict=True):
        row = dict(zip(names, values, strict=True))
        rate = row[_RATES[what]]
        if not rate:
            continue
        try:
            case = read_stream_row(row)
        except RidgelineError:
            continue  # nothing to fit to: the predictor says why
        tokens = case.batch * (case.prompt_tokens if what == "prompt" else 1.0)
        found.append((make(case), stream_keys(case), tokens / rate,
                      "SUSPECT" not in (row["notes"] or ""),
                      (case.architecture.name, case.chip.name, row["source"])))
    columns = {c: np.array([f[0][c] for f in found]) for c in found[0][0]}
    keys = {k: np.array([f[1][k] for f in found], object) for k in found[0][1]}
    rows = Rows(columns, keys, np.array([f[2] for f in found]), np.array([f[3] for f in found]))
    return StreamRows(rows, {g: np.array([f[4][i] for f in found], object)
                             for i, g in enumerate(("model_name", "chip_name", "source"))})


def _plain(column: NDArray[Any]) -> list[Any]:
    return [None if v != v else v for v in column.tolist()]


def fit_single_stream(rows: Mapping[str, NDArray[Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Content of the data file, and errors on held-out groups.

    Args:
        rows: columns of a single-stream table.

    Returns:
        constants and interval widths of both rates; errors by rate and what was held out
        ("model", "device", "source"), beside two simpler models.
    """
    content: dict[str, Any] = {"format_version": 1}
    report: dict[str, Any] = {}
    for what, (form, constants) in _FORMS.items():
        data = stream_rows(rows, what)
        fitted = fit_levels(form, data.rows, constants)
        residuals = {}
        for distance, (group, level) in _HELD.items():
            guess = held_out(form, data.rows, constants, data.groups[group])
            near = data.rows.keep & elsewhere(data.rows, data.groups[group], level)
            residuals[distance] = np.where(near, np.log(data.rows.seconds / guess), np.nan)
            name = f"{what}, {_WORDS[group]} held out"
            engine = data.rows.keys["engine"]
            report[name] = held_out_errors(data.rows, guess, engine)
            if level:
                report[f"{name}, {level} known"] = held_out_errors(data.rows.pick(near),
                                                                  guess[near], engine[near])
        content[what] = {**fitted.to_json(),
                         "spreads": spreads(residuals, data.rows.keys["engine"]).to_json()}
        report[f"{what}, simpler models"] = _baselines(data.rows, what)
    return content, report


def _baselines(rows: Rows, what: str) -> dict[str, Any]:
    """Roofline, and roofline over the one efficiency that suits these rows best."""
    c = rows.columns
    memory = (c["dense_bytes"] + c["expert_bytes"] + c["state_bytes"]) / c["bandwidth"]
    floor: Array = memory / c["split"]
    if what == "prompt":
        flop = c["dense_flop"] + c["expert_flop"] + c["attention_flop"]
        floor = c["passes"] * np.maximum(memory, flop / c["peak"])
    best = floor * np.median(rows.seconds / floor)
    return {"roofline": errors(rows.seconds, floor), "one efficiency": errors(rows.seconds, best)}
