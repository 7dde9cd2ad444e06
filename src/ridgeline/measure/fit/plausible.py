"""Is a table of kernel timings what it says? Checks on the way in, with the reason.

A flagged table is kept for reproducing the measurements and is not used for estimates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

# A kernel replayed from a graph starts in 2-20 us on every backend; launched from the host one
# by one it takes what the host takes.
HOST_FLOOR = 60e-6
_HOST_RATIO = 3.0
_PHYSICS_SHARE = 0.05              # rows below the floor that noise and clocks may explain
_PHYSICS_MARGIN = 0.97
_ENOUGH = 60                       # rows that are sure to hold small shapes
_FLAG_LENGTH = 160
_SCALING = 0.3                     # least rank correlation of time with work


def table_flags(tables: NDArray[Any], peers: NDArray[Any], seconds: Array, floor: Array,
                work: Array, exempt: NDArray[Any] | None = None) -> NDArray[Any]:
    """The reason against each row's table, "" where there is none.

    Args:
        tables: number of each row's table, shape (N,).
        peers: label of the tables that should start equally fast (the chip), shape (N,).
        seconds: measured.
        floor: least time by physics, inputs in L2 where they fit.
        work: any measure of work that time should rise with.
        exempt: rows whose table may start slowly (a known slow host path of that chip).
    """
    flags = np.full(len(seconds), "", dtype=f"U{_FLAG_LENGTH}")
    starts = {t: float(np.quantile(seconds[tables == t], 0.01)) for t in np.unique(tables)}
    for table in np.unique(tables):
        mine = tables == table
        near = [starts[t] for t in np.unique(tables[peers == peers[mine][0]]) if t != table]
        slow = exempt is None or not bool(exempt[mine].any())
        flags[mine] = _reason(seconds[mine], floor[mine], work[mine], starts[table],
                              float(np.median(near)) if near and slow else np.inf)
    return flags


def spread_flags(flags: NDArray[Any], collections: NDArray[Any]) -> NDArray[Any]:
    """Flag every row of a collection (one kernel and version) any of whose tables is flagged.

    A collector that measured one number format wrongly measured the others of the same kernel with
    the same code.
    """
    out = flags.astype(f"U{_FLAG_LENGTH}")
    for collection in np.unique(collections[flags != ""]):
        mine = collections == collection
        reason = flags[mine & (flags != "")][0]
        out[mine & (flags == "")] = f"same collection as a table where {reason}"[:_FLAG_LENGTH]
    return out


def _reason(seconds: Array, floor: Array, work: Array, start: float, usual: float) -> str:
    if len(seconds) >= _ENOUGH and start > HOST_FLOOR and start > _HOST_RATIO * usual:
        return (f"floor of {start * 1e6:.0f} us where others on this chip start in "
                f"{usual * 1e6:.0f} us: launched from the host, not a kernel time")
    beyond = float(np.mean(seconds < _PHYSICS_MARGIN * floor))
    if beyond > _PHYSICS_SHARE:
        return f"{100 * beyond:.0f} % of the rows are faster than the chip's peak rates allow"
    if len(seconds) >= 50 and rank_correlation(work, seconds) < _SCALING:
        return "time does not rise with work"
    return ""


def rank_correlation(a: Array, b: Array) -> float:
    """Spearman's rank correlation, ties by order of appearance."""
    ranks = [np.argsort(np.argsort(v, kind="stable"), kind="stable") for v in (a, b)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
