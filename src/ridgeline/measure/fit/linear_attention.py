"""Calibrate linear attention (gated delta net, KDA) from measured tables.

Rows are dicts of columns named as in the measurements: gpu, backend, version, op, kernel, phase,
batch, seq_len, d_conv, k_heads, k_dim, v_heads, v_dim, time_us.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.machine.chip import Chip
from ridgeline.measure.fit.attention import chip_columns, flagged, known, round_digits
from ridgeline.measure.fit.family import Measured, Report, fit_family
from ridgeline.measure.fit.fitting import group_ids, take, thin
from ridgeline.timing.kernels.linear_attention import LINEAR

Rows = Mapping[str, NDArray[Any]]

_STATE_BYTES = 4.0                 # the measured kernels keep their state in 32 bit


def linear_rows(rows: Rows, chips: Mapping[str, Chip]) -> Measured:
    """Measured rows as cases of `linear_attention.scan_form`."""
    rows = known(rows, chips)
    convolution = np.char.find(rows["kernel"].astype(str), "conv1d") >= 0
    cases = {k: rows[k].astype(float) for k in ("batch", "k_heads", "k_dim", "v_heads", "v_dim")}
    count = len(convolution)
    cases |= {"new_tokens": rows["seq_len"].astype(float),
              "conv_kernel": rows["d_conv"].astype(float),
              "state_bytes": np.full(count, _STATE_BYTES),
              "convolution": convolution.astype(float),
              "chunked": (rows["phase"] == "context").astype(float),
              **chip_columns(rows["gpu"], np.full(count, "bf16"), chips)}
    fields = {"part": np.where(convolution, "convolution", "scan"),
              "phase": rows["phase"].astype(str), "op": rows["op"].astype(str),
              "kernel": rows["kernel"].astype(str), "version": rows["version"].astype(str)}
    seconds = rows["time_us"].astype(float) * 1e-6
    tables = group_ids(rows["gpu"], rows["backend"], *fields.values())
    # Kernels of one kind should start equally fast on one chip; a decode step and a prompt not.
    peers = np.char.add(rows["gpu"].astype(str), fields["part"])
    flags = flagged(LINEAR, cases, seconds, peers, tables)
    return Measured(cases, seconds, rows["gpu"].astype(str), rows["backend"].astype(str), fields,
                    {}, group_ids(rows["k_heads"], rows["v_heads"]), flags)


def fit_linear(rows: Rows, chips: Mapping[str, Chip]) -> tuple[dict[str, Any], Report]:
    """Constants of linear attention, and the held-out predictions behind them."""
    return fit_family(LINEAR, linear_rows(rows, chips), chips)


def compact(rows: Rows, most: int = 2000) -> dict[str, NDArray[Any]]:
    """The rows a calibration needs: at most `most` of each (chip, backend), times to 3 digits."""
    units = group_ids(rows["gpu"], rows["backend"])
    parts = [thin({"at": np.flatnonzero(units == u)}, most)["at"] for u in np.unique(units)]
    out = take(rows, np.sort(np.concatenate(parts)))
    out["time_us"] = round_digits(out["time_us"].astype(float), 3)
    return out
