"""Calibrate whole attention modules from measured tables.

Rows are dicts of columns named as in the measurements: gpu, backend, version, kernel, op, model,
dtype, kv_dtype, gemm_dtype, heads, batch, q_len, past_len, compress_ratio, time_us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import UnknownName
from ridgeline.machine.chip import Chip
from ridgeline.measure.fit.attention import flagged, known, kv_bytes, round_digits, short
from ridgeline.measure.fit.family import Measured, Report, fit_family
from ridgeline.measure.fit.fitting import group_ids, take, thin
from ridgeline.timing.kernels.attention_module import (
    MODULE,
    WEIGHT_BYTES,
    ModuleShape,
    module_rates,
    parts_of,
)

Rows = Mapping[str, NDArray[Any]]

_V3 = ModuleShape(7168, 1536, 576, 192, 128)
_V32 = replace(_V3, index_heads=64, index_dim=128, top_k=2048)
_GLM5 = ModuleShape(6144, 2048, 576, 256, 256, index_heads=32, index_dim=128, top_k=2048)
_V4_FLASH = ModuleShape(4096, 1024, 512, 512, 512, out_rank=1024, out_share=8 / 64,
                        index_heads=64, index_dim=128, top_k=512, window=128)
_V4_PRO = ModuleShape(7168, 1536, 512, 512, 512, out_rank=1024, out_share=16 / 128,
                      index_heads=64, index_dim=128, top_k=1024, window=128)
# Widths by model, from the configuration each publisher ships; longest name first.
SHAPES = {"deepseek-v4-flash": _V4_FLASH, "deepseek-v4-pro": _V4_PRO, "deepseek-v3.2": _V32,
          "deepseek-v3": _V3, "deepseek-r1": _V3, "glm-5": _GLM5}
_HEAVY = "hca"                     # heavily compressed layers attend to all entries, no indexer


def shape_of(model: str, op: str, compress_ratio: float) -> ModuleShape:
    """Widths of a model's module.

    Raises:
        UnknownName: a model without known widths.
    """
    plain = model.split("/")[-1].lower()
    name = next((n for n in SHAPES if plain.startswith(n)), None)
    if name is None:
        raise UnknownName.among("attention module of model", model, SHAPES)
    shape = SHAPES[name]
    if "dsv4" not in op:
        return replace(shape, top_k=0.0) if op.startswith("mla") else shape
    ratio = compress_ratio if compress_ratio > 0 else 1.0
    return replace(shape, compress_ratio=ratio, top_k=0.0 if _HEAVY in op else shape.top_k)


def module_rows(rows: Rows, chips: Mapping[str, Chip]) -> Measured:
    """Measured rows as cases of `attention_module.module_form`."""
    rows = known(rows, chips)
    dtype, kv, weight = short(rows["dtype"]), short(rows["kv_dtype"]), short(rows["gemm_dtype"])
    cases = {"batch": rows["batch"].astype(float), "heads": rows["heads"].astype(float),
             "new_tokens": rows["q_len"].astype(float),
             "past_tokens": np.nan_to_num(rows["past_len"].astype(float)), "kv_bytes": kv_bytes(kv),
             "weight_bytes": np.array([WEIGHT_BYTES[str(w)] for w in weight])}
    ratio = np.nan_to_num(rows["compress_ratio"].astype(float))
    cases |= _by_kind((rows["model"], rows["op"], ratio),
                      lambda m, o, r: asdict(shape_of(str(m), str(o), float(r))))
    cases |= _by_kind((rows["op"], rows["kernel"]),
                      lambda o, k: asdict(parts_of(str(o), str(k))))
    cases |= _by_kind((rows["gpu"], dtype, weight),
                      lambda g, d, w: module_rates(chips[str(g)], str(d), str(w)))
    fields = {"op": rows["op"].astype(str), "kernel": rows["kernel"].astype(str),
              "kv_dtype": kv, "gemm_dtype": weight, "dtype": dtype,
              "version": rows["version"].astype(str)}
    seconds = rows["time_us"].astype(float) * 1e-6
    tables = group_ids(rows["gpu"], rows["backend"], *fields.values())
    flags = flagged(MODULE, cases, seconds, np.char.add(rows["gpu"].astype(str), fields["op"]),
                    tables)
    return Measured(cases, seconds, rows["gpu"].astype(str), rows["backend"].astype(str), fields,
                    {}, _groups(cases), flags)


def _groups(cases: Rows) -> NDArray[Any]:
    """What is held out together: a geometry; of a part measured at one geometry only, a batch."""
    alone = cases["projections"] == 0
    return group_ids(cases["d_model"], cases["index_heads"], cases["heads"], alone,
                     np.where(alone, cases["batch"], 0.0))


def _by_kind(columns: tuple[NDArray[Any], ...], make: Any) -> dict[str, NDArray[Any]]:
    """Columns of the numbers that `make` gives for each distinct combination."""
    keys = group_ids(*columns)
    _, first = np.unique(keys, return_index=True)
    made = [make(*(c[i] for c in columns)) for i in first]
    return {name: np.array([float(m[name]) for m in made])[keys] for name in made[0]}


def fit_module(rows: Rows, chips: Mapping[str, Chip]) -> tuple[dict[str, Any], Report]:
    """Constants of attention modules, and the held-out predictions behind them."""
    return fit_family(MODULE, module_rows(rows, chips), chips)


def compact(rows: Rows, most: int = 3200) -> dict[str, NDArray[Any]]:
    """The rows a calibration needs: at most `most` of each (chip, backend), times to 3 digits."""
    units = group_ids(rows["gpu"], rows["backend"])
    parts = [thin({"at": np.flatnonzero(units == u)}, most)["at"] for u in np.unique(units)]
    out = take(rows, np.sort(np.concatenate(parts)))
    out["time_us"] = round_digits(out["time_us"].astype(float), 3)
    return out
