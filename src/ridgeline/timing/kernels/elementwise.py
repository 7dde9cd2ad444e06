"""Time of memory-bound kernels: norms, activations, rotary embedding, adds, FP8 quantisation.

    t = max(t_launch + max(c bytes / (bandwidth (1 + w hit)), waves width t_element), floor)
    waves = ceil(rows / (8 n_cores)),  hit = 1 / (1 + (bytes / L2)^2)

`c` >= 1 counts the passes a kernel makes over its tensors and what bandwidth it does not reach;
`w` is how much faster the L2 cache is, where tensors fit and are still there.

Sources: own derivation; constants fitted to public kernel timings (vidur, MIT; LLMCompass,
BSD-3-Clause; aiconfigurator, Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import BadInput, UnknownName
from ridgeline.machine.chip import Chip
from ridgeline.numeric import Numeric, ceil_div, maximum
from ridgeline.timing.kernels.predict import Cases, Constant, Family, kernel_time, with_latency
from ridgeline.timing.kernels.result import KernelTime
from ridgeline.timing.kernels.store import load

Array = NDArray[np.floating[Any]]

__all__ = ["BYTES", "FAMILY", "elementwise_seconds", "elementwise_time", "quantize_time"]

# Least bytes moved per element of (rows x width), 16-bit tensors in and out.
BYTES: Mapping[str, float] = {
    "add": 6.0, "rope": 4.0, "embedding": 4.0, "norm": 4.0, "gated_activation": 6.0,
    "softmax": 4.0, "gelu": 4.0, "computescale": 2.0, "scale_matrix": 3.0,
}
_STAND_INS = {"softmax": ("softmax", "norm"), "gelu": ("gelu", "gated_activation"),
              "elementwise": ("add",)}
_CONSTANTS = {
    "launch": Constant(3e-6, 2e-7, 2e-4), "traffic": Constant(1.3, 1.0, 50.0),
    "warm": Constant(0.5, 0.01, 10.0), "element": Constant(1e-10, 1e-13, 1e-8),
}
_WIDTH = 4096.0
_ROWS_PER_CORE = 8.0


def elementwise_seconds(*, bytes: Numeric, rows: Numeric, width: Numeric, bandwidth: float,
                        n_cores: float, l2_bytes: float, constants: Mapping[str, Numeric],
                        warm: float = 0.0) -> Numeric:
    """The form of the module [s].

    Args:
        bytes: read and written. rows, width: of the tensor. bandwidth: of memory [bytes/s].
        n_cores: streaming multiprocessors. l2_bytes: last-level cache.
        constants: launch [s], traffic, warm, element [s].
        warm: 1 when tensors that fit are still in cache, else 0.

    >>> c = {"launch": 2e-6, "traffic": 1.25, "warm": 0.0, "element": 0.0}
    >>> round(1e6 * elementwise_seconds(bytes=8e6, rows=64.0, width=4096.0, bandwidth=2e12,
    ...                                 n_cores=108.0, l2_bytes=4e7, constants=c), 3)
    7.0
    """
    c = constants
    hit = warm / (1.0 + (bytes / maximum(l2_bytes, 1.0)) ** 2)
    moved = c["traffic"] * bytes / (bandwidth * (1.0 + c["warm"] * hit))
    serial = ceil_div(rows, _ROWS_PER_CORE * n_cores) * width * c["element"]
    return c["launch"] + maximum(moved, serial)


def _physical(chip: Chip, format: str, constants: Mapping[str, float], cases: Cases,
              warm: bool) -> Array:
    del format
    seconds: Array = np.asarray(elementwise_seconds(
        bytes=cases["bytes"], rows=cases["rows"], width=cases["width"],
        bandwidth=chip.memory_bandwidth, n_cores=float(chip.n_cores or 100),
        l2_bytes=chip.l2_bytes, constants=with_latency(chip, constants, "launch", "element"),
        warm=float(warm)))
    return seconds


def _features(chip: Chip, format: str, constants: Mapping[str, float], cases: Cases) -> Array:
    total = _physical(chip, format, constants, cases, True)
    rows = cases["rows"] / float(chip.n_cores or 100)
    return np.stack([np.log2(cases["bytes"]), np.log2(cases["rows"]), np.log2(cases["width"]),
                     np.log(total / constants["launch"]), rows / np.ceil(rows),
                     np.log2(cases["bytes"] / max(chip.l2_bytes, 1e6))], axis=1)


def _floor(chip: Chip, format: str, cases: Cases, warm: bool) -> Array:
    del format
    held = chip.l2_bytes if warm else 0.0
    floor: Array = np.maximum(cases["bytes"] - held, 0.0) / chip.memory_bandwidth
    return floor


FAMILY = Family("elementwise", _CONSTANTS, _physical, _features, _floor, ("width",))


def elementwise_time(chip: Chip, *, bytes: Any, kind: str = "elementwise", rows: Any = None,
                     width: Any = None, backend: str = "vllm", warm: bool = False) -> KernelTime:
    """Time of a memory-bound kernel that moves some bytes.

    Args:
        chip: what it runs on.
        bytes: read and written, scalar or array; zero costs only the launch.
        kind: "norm", "rope", "gated_activation", "add", "embedding", "softmax", "gelu", or
            "elementwise" for any other.
        rows, width: of the tensor, where known; else rows of 4096 elements.
        backend: whose kernels.
        warm: predict what kernel benchmarks measure (tensors that fit stay in the L2 cache).
    Returns:
        KernelTime [s], broadcast shape.
    Raises:
        UnknownName: another kind. BadInput: negative bytes.
    Sources: see the module.
    """
    if kind not in BYTES and kind not in _STAND_INS:
        raise UnknownName.among("elementwise kind", kind, [*BYTES, *_STAND_INS])
    moved = np.asarray(bytes, dtype=float)
    if np.any(moved < 0):
        raise BadInput(f"bytes must not be negative, got {np.min(moved):g}")
    moved = np.maximum(moved, 1.0)
    per = BYTES.get(kind, 6.0)
    wide = np.asarray(_WIDTH if width is None else width, dtype=float)
    long = np.maximum(moved / per / wide, 1.0) if rows is None else np.asarray(rows, dtype=float)
    return kernel_time(FAMILY, load("elementwise"), chip, backend=backend, warm=warm,
                       formats=_STAND_INS.get(kind, (kind,)),
                       cases={"bytes": moved, "rows": long, "width": wide})


def quantize_time(chip: Chip, *, m: Any, k: Any, kind: str = "scale_matrix",
                  backend: str = "vllm", warm: bool = False) -> KernelTime:
    """Time of quantising an [m, k] 16-bit activation to FP8.

    Args:
        chip: what it runs on.
        m, k: rows and columns, scalars or arrays.
        kind: "scale_matrix" (apply a known scale) or "computescale" (find it first).
        backend: whose kernels: "vllm", "sglang", "trtllm".
        warm: predict what kernel benchmarks measure.
    Raises:
        UnknownName: another kind. BadInput: sizes below 1.
    Sources: see the module.
    """
    if kind not in ("scale_matrix", "computescale"):
        raise UnknownName.among("quantisation", kind, ["scale_matrix", "computescale"])
    if np.any(np.asarray(m) < 1) or np.any(np.asarray(k) < 1):
        raise BadInput(f"m and k must be at least 1, not {np.min(m):g} and {np.min(k):g}")
    moved = np.asarray(m, dtype=float) * np.asarray(k, dtype=float) * BYTES[kind]
    return elementwise_time(chip, bytes=moved, kind=kind, rows=m, width=k, backend=backend,
                            warm=warm)
