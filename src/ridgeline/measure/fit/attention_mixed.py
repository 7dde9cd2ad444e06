"""Fits the constants of attention in mixed steps (`timing.kernels.attention_mixed`).

Rows are columns named as in the measurements: gpu, batch, kv_len, q_heads, kv_heads, head_dim,
time_us. Each chip has constants of its own; those of all together stand for the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.machine.chip import Chip
from ridgeline.timing.kernels.attention_mixed import chip_side, mixed_form
from ridgeline.timing.kernels.result import LEVELS

Array = NDArray[np.floating[Any]]
Rows = Mapping[str, NDArray[Any]]

# Constant: start, least, most.
CONSTANTS = {"launch": (3e-6, 1e-6, 2e-5), "score_time": (1e-10, 1e-12, 1e-9),
             "block_time": (3e-6, 1e-7, 2e-5), "crowding": (0.1, 1e-3, 2.0),
             "memory_efficiency": (0.8, 0.3, 1.0)}
_SIZES = ("batch", "kv_len", "q_heads", "kv_heads", "head_dim")
# Errors beyond this share count less than their square: single odd kernels.
_ODD = 0.1
_FOLDS = 5


def fit_mixed(rows: Rows, chips: Mapping[str, Chip]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of the data file, and errors on cache lengths and chips not seen.

    Args:
        rows: the measurements.
        chips: by the name used in `gpu`.
    """
    gpu = np.asarray(rows["gpu"]).astype(str)
    known = np.isin(gpu, list(chips))
    cases = cases_of({name: np.asarray(values)[known] for name, values in rows.items()}, chips)
    gpu = gpu[known]
    names = sorted(set(gpu.tolist()))
    constants = {"*": fitted(cases, np.ones(len(gpu), bool))}
    log_error: dict[str, Array] = {}
    for name in names:
        mine = gpu == name
        constants[name] = fitted(cases, mine)
        log_error[name] = _held_out(cases, mine)
    apart = [log_ratio(cases, fitted(cases, gpu != name), gpu == name) for name in names]
    log_error["*"] = np.concatenate(apart if len(names) > 1 else [log_error[names[0]]])
    spreads = {name: np.round(np.quantile(e, LEVELS), 4).tolist()
               for name, e in log_error.items()}
    table = np.concatenate([log_error[name] for name in names])
    return ({"family": "attention_mixed", "format_version": 1, "constants": constants,
             "spreads": spreads, "rows": {name: int((gpu == name).sum()) for name in names}},
            {"table": _errors(table), "pooled": _errors(log_error["*"])})


def cases_of(rows: Rows, chips: Mapping[str, Chip]) -> dict[str, Array]:
    """Arguments of the form by row, with the measured seconds."""
    sides = [chip_side(chips[str(g)]) for g in rows["gpu"]]
    cases = {name: np.asarray(rows[name], float) for name in _SIZES}
    cases |= {name: np.array([side[name] for side in sides]) for name in sides[0]}
    cases["v_head_dim"] = cases["head_dim"]
    cases["window"] = np.zeros(len(sides))
    cases["kv_bytes"] = np.full(len(sides), 2.0)
    cases["seconds"] = np.asarray(rows["time_us"], float) * 1e-6
    return cases


def log_ratio(cases: Mapping[str, Array], constants: Mapping[str, float], at: Any) -> Array:
    """log(measured / predicted) of some rows."""
    sizes = {name: values[at] for name, values in cases.items() if name != "seconds"}
    ratio: Array = np.log(cases["seconds"][at] / mixed_form(**sizes, **constants))
    return ratio


def fitted(cases: Mapping[str, Array], at: Any) -> dict[str, float]:
    """Constants that fit some rows best in logarithms."""
    from scipy.optimize import least_squares

    start, low, high = (np.log([limits[k] for limits in CONSTANTS.values()]) for k in range(3))

    def error(logs: Array) -> Array:
        return log_ratio(cases, dict(zip(CONSTANTS, np.exp(logs), strict=True)), at)

    found = least_squares(error, start, bounds=(low, high), loss="soft_l1", f_scale=_ODD)
    return {name: float(f"{value:.4g}")
            for name, value in zip(CONSTANTS, np.exp(found.x), strict=True)}


def _held_out(cases: Mapping[str, Array], mine: Any) -> Array:
    """Errors of a chip's rows by fits that did not see caches of their length."""
    lengths, fold = np.unique(cases["kv_len"], return_inverse=True)
    fold = fold % min(_FOLDS, len(lengths))
    return np.concatenate([log_ratio(cases, fitted(cases, mine & (fold != k)), mine & (fold == k))
                           for k in np.unique(fold[mine])])


def _errors(log_error: Array) -> dict[str, float]:
    ape = np.abs(np.exp(-log_error) - 1) * 100
    # Widths from one half, seen by the other.
    covered = [np.mean((low <= seen) & (seen <= high))
               for half, seen in ((log_error[::2], log_error[1::2]),
                                  (log_error[1::2], log_error[::2]))
               for low, high in [np.quantile(half, LEVELS[1:3])]]
    return {"n": len(log_error), "median_ape_pct": round(float(np.median(ape)), 2),
            "p90_ape_pct": round(float(np.percentile(ape, 90)), 2),
            "bias_pct": round(float((np.exp(-np.median(log_error)) - 1) * 100), 2),
            "coverage80_pct": round(float(np.mean(covered) * 100), 1)}
