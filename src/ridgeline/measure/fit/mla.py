"""Calibrate latent attention (prefill and decode) and its absorption products.

Rows are dicts of columns named as in the measurements: gpu, backend, version, kernel, phase,
batch, q_len, kv_len, q_heads, model_heads, dtype, kv_dtype, time_us; and for the products gpu,
backend, version, kernel, op, dtype, tokens, heads, k, n, time_us.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.machine.chip import Chip
from ridgeline.measure.fit.attention import (
    chip_columns,
    flagged,
    known,
    kv_bytes,
    round_digits,
    short,
)
from ridgeline.measure.fit.family import Measured, Report, fit_family
from ridgeline.measure.fit.fitting import group_ids, take, thin
from ridgeline.timing.kernels.family import Family
from ridgeline.timing.kernels.mla import BMM, MLA_DECODE, MLA_PREFILL

Rows = Mapping[str, NDArray[Any]]

# Geometry of DeepSeek V2/V3, the only one measured.
_LORA, _NOPE, _ROPE, _V = 512.0, 128.0, 64.0, 128.0


def mla_rows(rows: Rows, chips: Mapping[str, Chip], phase: str) -> Measured:
    """Measured rows of a phase as cases of the attention forms."""
    rows = known(rows, chips)
    rows = take(rows, np.flatnonzero(rows["phase"] == phase))
    dtype, kv = short(rows["dtype"]), short(rows["kv_dtype"])
    heads = rows["q_heads"].astype(float)
    none = np.zeros(len(heads))
    cases = {"batch": rows["batch"].astype(float), "q_heads": heads, "window": none,
             "kv_bytes": kv_bytes(kv), **chip_columns(rows["gpu"], dtype, chips)}
    if phase == "prefill":
        cases |= {"new_tokens": rows["q_len"].astype(float), "past_tokens": none,
                  "kv_heads": heads, "head_dim": none + _NOPE + _ROPE, "v_head_dim": none + _V}
    else:
        cases |= {"kv_len": rows["kv_len"].astype(float), "kv_heads": none + 1,
                  "shared_kv": none + 1, "head_dim": none + _LORA + _ROPE,
                  "v_head_dim": none + _LORA}
    family = MLA_PREFILL if phase == "prefill" else MLA_DECODE
    return _measured(family, rows, cases, {"kernel": rows["kernel"].astype(str), "kv_dtype": kv},
                     group_ids(heads, rows["model_heads"]))


def bmm_rows(rows: Rows, chips: Mapping[str, Chip]) -> Measured:
    """Measured absorption products as cases of `mla.bmm_form`."""
    rows = known(rows, chips)
    dtype = short(rows["dtype"])
    cases = {k: rows[k].astype(float) for k in ("tokens", "heads", "k", "n")}
    cases |= {"weight_bytes": np.where(dtype == "fp8", 1.0, 2.0),
              **chip_columns(rows["gpu"], dtype, chips)}
    fields = {"kernel": rows["kernel"].astype(str), "op": rows["op"].astype(str), "dtype": dtype}
    return _measured(BMM, rows, cases, fields, group_ids(rows["heads"]))


def _measured(family: Family, rows: Rows, cases: dict[str, NDArray[Any]],
              fields: dict[str, NDArray[Any]], groups: NDArray[Any]) -> Measured:
    seconds = rows["time_us"].astype(float) * 1e-6
    fields["version"] = rows["version"].astype(str)
    tables = group_ids(rows["gpu"], rows["backend"], *fields.values())
    flags = flagged(family, cases, seconds, rows["gpu"], tables)
    return Measured(cases, seconds, rows["gpu"].astype(str), rows["backend"].astype(str), fields,
                    {}, groups, flags)


def fit_mla(rows: Rows, chips: Mapping[str, Chip], phase: str) -> tuple[dict[str, Any], Report]:
    """Constants of latent attention in a phase, and the held-out predictions behind them."""
    family = MLA_PREFILL if phase == "prefill" else MLA_DECODE
    return fit_family(family, mla_rows(rows, chips, phase), chips)


def fit_bmm(rows: Rows, chips: Mapping[str, Chip]) -> tuple[dict[str, Any], Report]:
    """Constants of the absorption products, and the held-out predictions behind them."""
    return fit_family(BMM, bmm_rows(rows, chips), chips)


def compact(rows: Rows, most: int = 2000) -> dict[str, NDArray[Any]]:
    """The rows a calibration needs: at most `most` of each (chip, backend), times to 3 digits."""
    units = group_ids(rows["gpu"], rows["backend"])
    parts = [thin({"at": np.flatnonzero(units == u)}, most)["at"] for u in np.unique(units)]
    out = take(rows, np.sort(np.concatenate(parts)))
    out["time_us"] = round_digits(out["time_us"].astype(float), 3)
    return out
