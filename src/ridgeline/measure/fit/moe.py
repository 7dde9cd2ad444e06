"""Fits mixture-of-experts constants from a table of fused MoE timings.

A table holds few model geometries (3 to 14), so the correction is kept small, and intervals come
from whole geometries held out, over all tables of a format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.machine.chip import Chip
from ridgeline.measure.fit.fitting import Rows, Training, scramble, take
from ridgeline.measure.fit.gemm import rounded
from ridgeline.measure.fit.pools import How, Measured, data_file, fit_tables, labels, report, text
from ridgeline.timing.kernels.moe import FAMILY, cases_of, kernel_class
from ridgeline.timing.kernels.moe_form import FORMATS

Array = NDArray[np.floating[Any]]

_FEWEST = 100
_KEEP = 0.6
_SMALL = Training(hidden=(12, 12), steps=1500, bound=0.6)
HOW = How(own=_SMALL, fold=_SMALL, pooled=Training(hidden=(16, 16), steps=2000, bound=0.6),
          shared=True)
_SHAPE = ("tokens", "hidden", "inter", "topk", "experts", "tp", "ep", "gated")


def tables_of(rows: Rows, chips: Mapping[str, Chip]) -> list[Measured]:
    """One table per chip, backend, kernel and format, over versions; small ones left out."""
    kinds = np.array([kernel_class(k) for k in text(rows["kernel"]).tolist()])
    keyed = {**rows, "kind": kinds}
    ids, names = labels(keyed, "gpu", "backend", "kind", "dtype")
    out = []
    for number, (gpu, backend, kind, format) in enumerate(names):
        mine = np.flatnonzero(ids == number)
        if gpu in chips and format in FORMATS and len(mine) >= _FEWEST:
            part = take(rows, mine)
            out.append(Measured(chips[gpu], gpu, f"{backend}/{kind}", format, _versions(part),
                                cases(part), np.asarray(part["time_us"], dtype=float) * 1e-6))
    return out


def _versions(rows: Rows) -> str:
    return " ".join(sorted(set(text(rows["version"]).tolist())))


def cases(rows: Rows) -> dict[str, Array]:
    """The family's columns for measured rows, each with its own routing."""
    routing = text(rows["routing"])
    shapes = {c: np.asarray(rows[c], dtype=float) for c in _SHAPE}
    out: dict[str, Array] = {}
    for name in np.unique(routing):
        mine = np.flatnonzero(routing == name)
        part = take(shapes, mine)
        part["top_k"] = part.pop("topk")
        for column, values in cases_of(routing=str(name), **part).items():
            out.setdefault(column, np.empty(len(routing)))[mine] = values
    return out


def compact(rows: Rows) -> dict[str, NDArray[Any]]:
    """The rows that are shipped: a fixed share of the shapes, times to three digits.

    A shape is kept or left for every chip and backend alike; tables below 400 rows stay whole.
    """
    mixed = np.zeros(len(rows["gpu"]), dtype=np.uint64)
    for column in _SHAPE:
        mixed = scramble(mixed + (np.asarray(rows[column], dtype=float) * 8).astype(np.uint64))
    lot = (mixed % np.uint64(10_000)).astype(float) / 10_000
    ids, _ = labels(rows, "gpu", "backend", "kernel", "dtype")
    kept = np.flatnonzero((lot < _KEEP) | (np.bincount(ids)[ids] < 400))
    columns = [np.asarray(rows[c], dtype=float)[kept] for c in
               ("tokens", "tp", "ep", "experts", "topk", "inter", "hidden")]
    order = np.lexsort([columns[0], text(rows["routing"])[kept], *columns[1:], ids[kept]])
    out = take({c: v for c, v in rows.items() if c != "power_w"}, kept[order])
    out["time_us"] = rounded(np.asarray(out["time_us"], dtype=float))
    return out


def fit_moe(rows: Rows, chips: Mapping[str, Chip] | None = None,
            say: Callable[[str], None] = lambda _: None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The MoE data file and the errors on geometries and chips its fits did not see.

    Args:
        rows: columns gpu, backend, version, kernel, dtype, tokens, hidden, inter, topk, experts,
            tp, ep, gated, routing, time_us.
        chips: by the name used in `gpu`; the catalog's when None.
        say: told of every fit.
    """
    if chips is None:
        from ridgeline.measure.calibrate import chips_of

        chips = chips_of([dict(rows)])
    tables = tables_of(rows, chips)
    entries, checks = fit_tables(FAMILY, tables, say, HOW)
    return data_file(FAMILY, entries, tables), report(checks, HOW.shared)
