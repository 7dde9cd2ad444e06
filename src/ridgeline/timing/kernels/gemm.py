"""Time of dense matrix products: the physical form with its fitted constants and correction."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import BadInput, UnknownName
from ridgeline.machine.chip import Chip
from ridgeline.timing.kernels.gemm_form import FORMATS, TILES, Format, Terms, gemm_terms
from ridgeline.timing.kernels.predict import Cases, Constant, Family, kernel_time, with_latency
from ridgeline.timing.kernels.result import KernelTime
from ridgeline.timing.kernels.store import kernel_family, load

Array = NDArray[np.floating[Any]]

__all__ = ["FAMILY", "STAND_INS", "gemm_time", "peak_of"]

# What each format may be timed as when the chip has no table of its own for it, nearest first.
STAND_INS: Mapping[str, tuple[str, ...]] = {
    "bfloat16": ("bfloat16", "float16"),
    "float16": ("float16", "bfloat16"),
    "fp8": ("fp8", "fp8_static", "fp8_block"),
    "fp8_static": ("fp8_static", "fp8"),
    "fp8_block": ("fp8_block", "fp8"),
    "nvfp4": ("nvfp4",),
    "int8_wo": ("int8_wo", "int4_wo"),
    "int4_wo": ("int4_wo", "int8_wo"),
    "sq": ("sq", "fp8"),
}
_NAMES = {"bf16": "bfloat16", "fp16": "float16", "mxfp8": "fp8_block", "mxfp4": "nvfp4",
          "fp4": "nvfp4", "int8": "sq", "int4": "int4_wo", "fp8_e4m3": "fp8"}

_CONSTANTS = {
    "launch": Constant(3e-6, 3e-7, 1e-3), "math": Constant(0.8, 0.2, 1.0),
    "memory": Constant(0.85, 0.3, 1.0), "reach": Constant(2.0, 0.01, 100.0),
    "start": Constant(1e-6, 1e-8, 1e-5), "fill": Constant(0.1, 1e-3, 3.0),
    "warm": Constant(1.0, 0.01, 10.0), "quant_launch": Constant(1e-6, 1e-9, 3e-5),
    "quant": Constant(2.0, 0.5, 50.0),
}

# Widths (and 128 times the rows) of products that only take their start.
_SMALL = np.array([128.0, 256.0, 512.0, 1024.0])


def peak_of(chip: Chip, compute: tuple[str, ...]) -> float:
    """The first of the rates that the chip has, 16 and 32 bit last [FLOP/s].

    Raises:
        BadInput: it has none of them.
    """
    for name in (*compute, "bf16", "fp16", "fp32"):
        if name in chip.peaks:
            return chip.peaks[name]
    raise BadInput(f"{chip.name} has none of the matrix rates {', '.join(compute)}; "
                   f"it has: {', '.join(chip.peaks)}")


def _format(name: str) -> Format:
    # "int8_wo@int8": the table's kernels run at another peak than the format's own.
    plain, _, compute = name.partition("@")
    found = FORMATS[plain]
    return found if not compute else Format((compute, *found.compute), found.weight_bytes,
                                            found.operand_bytes, found.quantises)


def _terms(chip: Chip, format: str, constants: Mapping[str, float], cases: Cases,
           warm: bool) -> Terms:
    f = _format(format)
    # Two cores share a tile only where the chip has that instruction.
    tiles = TILES if kernel_family(chip) == "Blackwell" else TILES[:-1]
    return gemm_terms(
        m=cases["m"], n=cases["n"], k=cases["k"], peak=peak_of(chip, f.compute),
        peak16=peak_of(chip, ("bf16", "fp16", "fp32")), bandwidth=chip.memory_bandwidth,
        n_cores=float(chip.n_cores or 100), l2_bytes=chip.l2_bytes, weight_bytes=f.weight_bytes,
        operand_bytes=f.operand_bytes, quantises=f.quantises, tiles=tiles,
        constants=with_latency(chip, constants, "launch", "start", "quant_launch"),
        warm=float(warm))


def _physical(chip: Chip, format: str, constants: Mapping[str, float], cases: Cases,
              warm: bool) -> Array:
    total: Array = np.asarray(_terms(chip, format, constants, cases, warm).total)
    return total


def _features(chip: Chip, format: str, constants: Mapping[str, float], cases: Cases) -> Array:
    """Sizes, balance of the terms, and how whole the last tile and the last wave are."""
    f, terms = _format(format), _terms(chip, format, constants, cases, True)
    m, n, k = (np.asarray(cases[name], dtype=float) for name in ("m", "n", "k"))
    cores = float(chip.n_cores or 100)
    blocks = {(a, b): np.ceil(m / a) * np.ceil(n / b) / cores
              for a, b in ((64, 64), (128, 128), (128, 256))}
    moved = f.weight_bytes * n * k + f.operand_bytes * m * k + 2.0 * m * n
    return np.stack([
        np.log2(m), np.log2(n), np.log2(k), np.log2(m * n), np.log2(n / k), np.log2(moved),
        np.log(terms.math / terms.memory), np.log(terms.total / terms.launch),
        np.log2(blocks[128, 128]), _whole(blocks[128, 128]), _whole(blocks[128, 256]),
        np.log2(np.ceil(blocks[64, 64]) / blocks[64, 64]),
        _whole(m / 16), _whole(m / 64), _whole(m / 256), _whole(n / 128), _whole(n / 256),
        (m <= 16) * 1.0, (m <= 64) * 1.0], axis=1)


def _whole(count: Array) -> Array:
    share: Array = count / np.ceil(count)
    return share


def _floor(chip: Chip, format: str, cases: Cases, warm: bool) -> Array:
    """max(FLOP / peak, bytes / bandwidth); warm, only bytes that cannot stay in the L2 cache."""
    f = _format(format)
    m, n, k = (np.asarray(cases[name], dtype=float) for name in ("m", "n", "k"))
    moved = f.weight_bytes * n * k + f.operand_bytes * m * k + 2.0 * m * n
    held = chip.l2_bytes if warm else 0.0
    floor: Array = np.maximum(2.0 * m * n * k / peak_of(chip, f.compute),
                              np.maximum(moved - held, 0.0) / chip.memory_bandwidth)
    return floor


FAMILY = Family("gemm", _CONSTANTS, _physical, _features, _floor, ("n", "k"))


def gemm_time(chip: Chip, *, m: Any, n: Any, k: Any, format: str = "bfloat16",
              backend: str = "vllm", warm: bool = False, fused: bool = False) -> KernelTime:
    """Time of C[m,n] = A[m,k] W[k,n] on one chip.

        t = max(form(m, n, k; constants) * exp(correction), FLOP / peak, bytes / bandwidth)

    Args:
        chip: what it runs on.
        m, n, k: tokens, output width, input width; scalars or arrays, broadcast together.
        format: of the weights: "bf16", "fp16", "fp8" (per tensor or token, A quantised on the
            way), "fp8_static", "fp8_block", "nvfp4", "int8_wo", "int4_wo" (weights only), "sq"
            (8-bit integer both), or the table names of these.
        backend: whose kernels: "vllm", "sglang", "trtllm", "torch".
        warm: predict what kernel benchmarks measure: weights that fit stay in the L2 cache, and
            tables taken without CUDA graphs keep their host launch. Engines run cold.
        fused: A arrives quantised, by the norm or activation before: what the kernels of the
            measured product took to start beyond a 16-bit product and one small kernel is off.
    Returns:
        KernelTime [s], broadcast shape of m, n, k.
    Raises:
        UnknownName: a format with no kernels.
        BadInput: sizes below 1, or a chip without any usable matrix rate.
    Sources: the form in `gemm_form`; constants fitted to public kernel timings (aiconfigurator,
        Apache-2.0; vidur, MIT). Errors by group-held-out check: see `ridgeline validate`.
    """
    name = _NAMES.get(format, format)
    if name not in STAND_INS:
        raise UnknownName.among("GEMM format", format, [*STAND_INS, *_NAMES])
    for label, size in (("m", m), ("n", n), ("k", k)):
        if np.any(np.asarray(size) < 1):
            raise BadInput(f"GEMM size {label} must be at least 1, not {np.min(size):g}")
    formats = STAND_INS[name]
    if name == "float16" and backend != "torch":
        formats = ("bfloat16", "float16")
    cases = {"m": m, "n": n, "k": k}
    found = kernel_time(FAMILY, load("gemm"), chip, formats=formats, backend=backend, cases=cases,
                        warm=warm)
    apart = _quantising_start(chip, name, backend) if fused and not warm else 0.0
    if not apart:
        return found
    least = _floor(chip, formats[0], {c: np.asarray(v, float) for c, v in cases.items()}, False)
    return dataclasses.replace(found, seconds=np.maximum(found.seconds - apart, least))


@functools.lru_cache(maxsize=1024)
def _quantising_start(chip: Chip, name: str, backend: str) -> float:
    """Seconds that the smallest product of a format starts later than a 16-bit one, less the
    launch of one small kernel, which quantises for products whose input comes from attention."""
    from ridgeline.timing.kernels.elementwise import elementwise_time

    if not FORMATS[name].quantises:
        return 0.0

    def start(format: str) -> float:
        return float(gemm_time(chip, m=_SMALL[:, None] / 128.0, n=_SMALL, k=_SMALL, format=format,
                               backend=backend).seconds.min())

    small = float(elementwise_time(chip, bytes=0.0, backend=backend).seconds)
    return max(0.0, start(name) - start("bfloat16") - small)
