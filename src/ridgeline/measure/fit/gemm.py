"""Fits GEMM constants from a table of kernel timings, after asking whether the table is sane."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.machine.chip import Chip
from ridgeline.measure.fit.fitting import Rows, scramble, take
from ridgeline.measure.fit.pools import Measured, data_file, fit_tables, labels, report
from ridgeline.timing.kernels.gemm import FAMILY, peak_of
from ridgeline.timing.kernels.gemm_form import FORMATS
from ridgeline.timing.kernels.store import EAGER

Array = NDArray[np.floating[Any]]

_FEWEST = 200          # rows below which a table is a note, not a calibration
_HOST_FLOOR = 4.0      # times the best other backend's floor: launched by the host
_OVER_PEAK = 1.03      # clocks above the data sheet's explain this much
_KEEP = 0.5            # share of the shapes that is shipped
_KEEP_EAGER = 0.15
_DIGITS = 3


@dataclass(frozen=True)
class Flag:
    """A doubt about one table.

    Attributes:
        table: (chip, backend, format, version).
        reason: what is odd, with the number.
        action: "set aside", "eager" (kept apart as host-launched) or a format it is timed as.
    """

    table: tuple[str, str, str, str]
    reason: str
    action: str


def tables_of(rows: Rows, chips: Mapping[str, Chip]) -> list[Measured]:
    """One table per chip, backend, format and version; chips unknown to the catalog left out."""
    ids, names = labels(rows, "gpu", "backend", "dtype", "version")
    out = []
    for number, (gpu, backend, format, version) in enumerate(names):
        if gpu in chips and format in FORMATS:
            mine = take({c: np.asarray(rows[c], dtype=float) for c in ("m", "n", "k", "time_us")},
                        np.flatnonzero(ids == number))
            seconds = mine.pop("time_us") * 1e-6
            out.append(Measured(chips[gpu], gpu, backend, format, version, mine, seconds))
    return out


def floor_of(table: Measured) -> float:
    """Time of the smallest shapes: 5th percentile below 2^27 multiply-adds [s], nan if none."""
    size = table.rows["m"] * table.rows["n"] * table.rows["k"]
    tiny = table.seconds[size < 2.0**27]
    return float(np.quantile(tiny, 0.05)) if len(tiny) >= 10 else float("nan")


def plausible(tables: Sequence[Measured]) -> list[Flag]:
    """Doubts about tables: too few rows, host-launched, faster than the peak, not scaling."""
    found = []
    for table in tables:
        key = (table.target, table.backend, table.format, table.version)
        if len(table.seconds) < _FEWEST:
            found.append(Flag(key, f"only {len(table.seconds)} rows", "set aside"))
            continue
        peers = [floor_of(t) for t in tables if t.target == table.target
                 and t.format == table.format and t.backend != table.backend]
        known = [p for p in peers if p == p]
        floor = floor_of(table)
        if known and floor > _HOST_FLOOR * min(known):
            found.append(Flag(key, f"floor of {floor * 1e6:.0f} us where other backends have "
                              f"{min(known) * 1e6:.0f} us: launched by the host, not in a graph",
                              "eager"))
        over = float(np.quantile(_share(table, table.format), 0.999))
        if over > _OVER_PEAK:
            found.append(_too_fast(table, key, over))
        if not _scales(table):
            found.append(Flag(key, "time does not grow with work", "set aside"))
    return found


def _share(table: Measured, format: str) -> Array:
    """Share of the matrix peak that each row reaches."""
    r = table.rows
    share: Array = (2.0 * r["m"] * r["n"] * r["k"]
                    / peak_of(table.chip, FORMATS[format].compute) / table.seconds)
    return share


def _too_fast(table: Measured, key: tuple[str, str, str, str], over: float) -> Flag:
    reason = f"{over:.2f} of the 16-bit peak"
    if table.format.endswith("_wo") and "int8" in table.chip.peaks:
        return Flag(key, reason + ": computed in 8-bit integers", f"{table.format}@int8")
    return Flag(key, reason, "set aside")


def _scales(table: Measured) -> bool:
    """Whether ten times the work of large shapes takes at least three times as long."""
    work = np.log(table.rows["m"] * table.rows["n"] * table.rows["k"])
    large = work > np.log(2.0**36)
    if np.count_nonzero(large) < 20:
        return True
    slope = float(np.polyfit(work[large], np.log(table.seconds[large]), 1)[0])
    return slope > float(np.log10(3.0))


def sane(tables: Sequence[Measured]) -> tuple[list[Measured], list[Flag]]:
    """The tables to fit, those in doubt renamed or dropped, and the doubts."""
    flags = plausible(tables)
    by = {flag.table: flag for flag in flags}
    out = []
    for table in tables:
        flag = by.get((table.target, table.backend, table.format, table.version))
        if flag is None:
            out.append(table)
        elif flag.action == "eager":
            note = (f"{table.backend} {table.format} as measured without CUDA graphs "
                    "(host launch included): not a kernel time")
            out.append(replace(table, backend=table.backend + EAGER, note=note))
        elif flag.action != "set aside":
            out.append(replace(table, compute=flag.action))
    return out, flags


def compact(rows: Rows) -> dict[str, NDArray[Any]]:
    """The rows that are shipped: a fixed share of the shapes, times to three digits.

    A shape (m, n, k) is kept or left for every table alike, so that all (n, k) stay and the file
    compresses; host-launched tables, which need few rows, are thinned further.
    """
    m, n, k = (np.asarray(rows[c], dtype=float) for c in ("m", "n", "k"))
    mixed = scramble(m.astype(np.int64) * 1_000_003 + scramble(
        n.astype(np.int64) * 131_071 + k.astype(np.int64)).astype(np.int64) % 2**40)
    lot = (mixed % np.uint64(10_000)).astype(float) / 10_000
    eager = (rows["backend"] == "vllm") & (rows["dtype"] == "fp8_block")
    ids, _ = labels(rows, "gpu", "backend", "dtype", "version")
    small = np.bincount(ids)[ids] < 1000
    kept = np.flatnonzero((lot < np.where(eager, _KEEP_EAGER, _KEEP)) | small)
    order = np.lexsort((m[kept], k[kept], n[kept], ids[kept]))
    out = take({c: v for c, v in rows.items() if c != "power_w"}, kept[order])
    out["time_us"] = rounded(np.asarray(out["time_us"], dtype=float))
    return out


def rounded(values: Array, digits: int = _DIGITS) -> Array:
    """Values to a number of significant digits."""
    return np.array([float(f"{v:.{digits}g}") for v in values.tolist()])


def fit_gemm(rows: Rows, chips: Mapping[str, Chip] | None = None,
             say: Callable[[str], None] = lambda _: None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The GEMM data file and the errors on what its fits did not see.

    Args:
        rows: columns gpu, backend, version, dtype, m, n, k, time_us.
        chips: by the name used in `gpu`; the catalog's when None.
        say: told of every fit.
    """
    if chips is None:
        from ridgeline.measure.calibrate import chips_of

        chips = chips_of([dict(rows)])
    tables, flags = sane(tables_of(rows, chips))
    entries, checks = fit_tables(FAMILY, tables, say)
    said = report(checks)
    said["flags"] = [{"table": " ".join(f.table), "reason": f.reason, "action": f.action}
                     for f in flags]
    return data_file(FAMILY, entries, tables), said
