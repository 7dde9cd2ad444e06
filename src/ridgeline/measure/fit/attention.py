"""Calibrate prefill and decode attention from measured tables.

Rows are dicts of columns named as in the measurements: gpu, backend, version, kernel, batch,
seq_len or kv_len, q_heads, kv_heads, head_dim, window, dtype, kv_dtype, time_us.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.machine.chip import Chip
from ridgeline.measure.fit.family import Measured, Report, fit_family
from ridgeline.measure.fit.fitting import group_ids, scramble, take
from ridgeline.measure.fit.plausible import spread_flags, table_flags
from ridgeline.timing.kernels.attention import DECODE, PREFILL, prefill_kernel
from ridgeline.timing.kernels.family import Family, chip_cases

Rows = Mapping[str, NDArray[Any]]

DTYPES = {"bfloat16": "bf16", "float16": "bf16", "fp8": "fp8", "fp8_e4m3": "fp8"}


def short(names: NDArray[Any]) -> NDArray[Any]:
    """Number formats under the names the kernel models use."""
    return np.array([DTYPES.get(str(n), str(n)) for n in names])


def known(rows: Rows, chips: Mapping[str, Chip]) -> dict[str, NDArray[Any]]:
    """The rows of chips that are in the catalog."""
    return take(rows, np.flatnonzero(np.isin(rows["gpu"], list(chips))))


def chip_columns(gpu: NDArray[Any], dtype: NDArray[Any], chips: Mapping[str, Chip]
                 ) -> dict[str, NDArray[Any]]:
    """The chip's side of the cases (`family.chip_cases`) for each row."""
    keys = group_ids(gpu, dtype)
    first = {int(k): i for i, k in reversed(list(enumerate(keys)))}
    made = [chip_cases(chips[str(gpu[first[k]])], str(dtype[first[k]])) for k in range(len(first))]
    return {name: np.array([m[name] for m in made])[keys] for name in made[0]}


def kv_bytes(kv_dtype: NDArray[Any]) -> NDArray[Any]:
    """Bytes of a cached element for the measured formats."""
    return np.where(kv_dtype == "fp8", 1.0, 2.0)


def flagged(family: Family, cases: Rows, seconds: NDArray[Any], gpu: NDArray[Any],
            tables: NDArray[Any]) -> NDArray[Any]:
    """Reasons against tables (`plausible.table_flags`), with the family's own floor and work."""
    middling = {c.name: c.start for c in family.constants}
    terms = family.form(**cases, warm=1.0, **middling)
    return table_flags(tables, gpu, seconds, terms["floor"], terms["seconds"])


def prefill_rows(rows: Rows, chips: Mapping[str, Chip]) -> Measured:
    """Measured prefill rows as cases of `attention_forms.prefill_form`."""
    rows = known(rows, chips)
    dtype, kv = short(rows["dtype"]), short(rows["kv_dtype"])
    number = {k: rows[k].astype(float) for k in ("batch", "q_heads", "kv_heads", "head_dim",
                                                 "window")}
    cases = {**number, "new_tokens": rows["seq_len"].astype(float),
             "past_tokens": np.zeros(len(dtype)), "v_head_dim": number["head_dim"],
             "kv_bytes": kv_bytes(kv), **chip_columns(rows["gpu"], dtype, chips)}
    kernel = np.array([prefill_kernel(str(k)) for k in rows["kernel"]])
    return _measured(PREFILL, rows, cases, {"kernel": kernel, "dtype": dtype, "kv_dtype": kv})


def decode_rows(rows: Rows, chips: Mapping[str, Chip]) -> Measured:
    """Measured decode rows as cases of `attention_forms.decode_form`."""
    rows = known(rows, chips)
    dtype, kv = short(rows["dtype"]), short(rows["kv_dtype"])
    number = {k: rows[k].astype(float) for k in ("batch", "kv_len", "q_heads", "kv_heads",
                                                 "head_dim", "window")}
    cases = {**number, "v_head_dim": number["head_dim"], "shared_kv": np.zeros(len(kv)),
             "kv_bytes": kv_bytes(kv), **chip_columns(rows["gpu"], dtype, chips)}
    return _measured(DECODE, rows, cases,
                     {"kernel": rows["kernel"].astype(str), "dtype": dtype, "kv_dtype": kv})


def _measured(family: Family, rows: Rows, cases: dict[str, NDArray[Any]],
              fields: dict[str, NDArray[Any]]) -> Measured:
    seconds = rows["time_us"].astype(float) * 1e-6
    fields["version"] = rows["version"].astype(str)
    groups = group_ids(cases["q_heads"], cases["kv_heads"], cases["head_dim"])
    tables = group_ids(rows["gpu"], rows["backend"], *fields.values())
    flags = flagged(family, cases, seconds, rows["gpu"], tables)
    flags = spread_flags(flags, group_ids(rows["gpu"], rows["backend"], fields["kernel"],
                                          fields["version"]))
    covers = {"head_dim": cases["head_dim"], "windowed": (cases["window"] > 0).astype(float)}
    return Measured(cases, seconds, rows["gpu"].astype(str), rows["backend"].astype(str), fields,
                    covers, groups, flags)


def fit_prefill(rows: Rows, chips: Mapping[str, Chip]) -> tuple[dict[str, Any], Report]:
    """Constants of prefill attention, and the held-out predictions behind them."""
    return fit_family(PREFILL, prefill_rows(rows, chips), chips)


def fit_decode(rows: Rows, chips: Mapping[str, Chip]) -> tuple[dict[str, Any], Report]:
    """Constants of decode attention, and the held-out predictions behind them."""
    return fit_family(DECODE, decode_rows(rows, chips), chips)


def compact(rows: Rows, most: int = 4500, keep: int = 400) -> dict[str, NDArray[Any]]:
    """The rows a calibration needs: at most `most` of each (chip, backend).

    Small tables are kept whole up to `keep` rows; of the others every table gives the same share,
    picked by a fixed mix of the position in the sorted table, so that every head geometry, batch
    and length stays represented. Times are rounded to 3 significant digits.
    """
    units = group_ids(rows["gpu"], rows["backend"])
    tables = group_ids(units, rows["kernel"], rows["dtype"], rows["kv_dtype"], rows["version"])
    chosen = np.concatenate([_thin_unit(np.flatnonzero(units == u), tables, most, keep)
                             for u in np.unique(units)])
    out = take(rows, np.sort(chosen))
    out["time_us"] = round_digits(out["time_us"].astype(float), 3)
    return out


def _thin_unit(index: NDArray[Any], tables: NDArray[Any], most: int, keep: int) -> NDArray[Any]:
    counts = {t: int((tables[index] == t).sum()) for t in np.unique(tables[index])}
    small = sum(n for n in counts.values() if n <= keep)
    large = max(sum(n for n in counts.values() if n > keep), 1)
    share = max(0.0, min(1.0, (most - small) / large))
    picked = []
    for table, count in counts.items():
        mine = index[tables[index] == table]
        size = count if count <= keep else min(count, max(keep, round(share * count)))
        order = np.argsort(scramble(np.arange(count)), kind="stable")[:size]
        picked.append(mine[np.sort(order)])
    return np.concatenate(picked)


def round_digits(values: NDArray[Any], digits: int) -> NDArray[Any]:
    """Values rounded to a number of significant digits."""
    scale = 10.0 ** (digits - 1 - np.floor(np.log10(np.abs(values))))
    out: NDArray[Any] = np.round(values * scale) / scale
    return out
