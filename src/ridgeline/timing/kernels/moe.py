"""Time of fused mixture-of-experts feed-forwards: loads, physical form, correction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import BadInput, UnknownName
from ridgeline.machine.chip import Chip
from ridgeline.timing.kernels.gemm import peak_of
from ridgeline.timing.kernels.moe_form import FORMATS, MoeTerms, moe_terms
from ridgeline.timing.kernels.moe_load import BLOCKS, rank_loads
from ridgeline.timing.kernels.predict import Cases, Constant, Family, kernel_time, with_latency
from ridgeline.timing.kernels.result import KernelTime
from ridgeline.timing.kernels.store import Store, calibration_name, kernel_family, load

Array = NDArray[np.floating[Any]]

__all__ = ["FAMILY", "STAND_INS", "cases_of", "kernel_class", "moe_time"]

STAND_INS: Mapping[str, tuple[str, ...]] = {
    "bfloat16": ("bfloat16",),
    "fp8": ("fp8", "fp8_block"),
    "fp8_block": ("fp8_block", "fp8"),
    "nvfp4": ("nvfp4", "w4a8_mxfp4_mxfp8"),
    "int4_wo": ("int4_wo", "w4a16_mxfp4"),
    "int8_wo": ("int8_wo", "int4_wo", "w4a16_mxfp4"),
    "sq": ("sq", "fp8", "fp8_block"),
    "w4a16_mxfp4": ("w4a16_mxfp4", "int4_wo"),
    "w4a8_mxfp4_mxfp8": ("w4a8_mxfp4_mxfp8", "nvfp4"),
}
_NAMES = {"bf16": "bfloat16", "fp16": "bfloat16", "float16": "bfloat16", "fp8_e4m3": "fp8",
          "mxfp8": "fp8_block", "int8": "sq", "int4": "int4_wo", "fp4": "nvfp4"}
_KERNELS = (("min_latency", "min_latency"), ("nongated", "nongated"), ("deepgemm", "deepgemm"),
            ("cutedsl", "cutedsl"), ("marlin", "marlin"), ("cutlass", "cutlass"),
            ("triton", "triton"), ("fused_moe", "triton"), ("trtllm", "trtllm"),
            ("moe_torch_flow", "cutlass"))

_CONSTANTS = {
    "launch": Constant(2e-5, 3e-6, 3e-4), "expert": Constant(2e-8, 1e-10, 1e-6),
    "token": Constant(1e-9, 1e-12, 1e-7), "start": Constant(1e-6, 1e-8, 2e-5),
    "math": Constant(0.7, 0.1, 1.0), "memory": Constant(0.8, 0.2, 1.0),
    "reach": Constant(2.0, 0.01, 100.0), "fill": Constant(0.1, 1e-3, 5.0),
    "act": Constant(2.0, 0.1, 30.0), "warm": Constant(0.3, 0.01, 10.0),
}


def kernel_class(kernel: str) -> str:
    """Which library's grouped product a kernel name of the measurements stands for.

    >>> kernel_class("sglang_fused_moe_triton"), kernel_class("moe_torch_flow_cutlass")
    ('triton', 'cutlass')
    """
    return next((name for part, name in _KERNELS if part in kernel), "other")


def cases_of(*, tokens: Any, hidden: Any, inter: Any, top_k: Any, experts: Any, tp: Any, ep: Any,
             gated: Any, routing: str) -> dict[str, Array]:
    """The family's columns, flat: shapes on one rank and the load of the busiest rank."""
    values = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in
                                   (tokens, hidden, inter, top_k, experts, tp, ep, gated)))
    names = ("tokens", "hidden", "inter", "topk", "experts", "tp", "ep", "gated")
    flat = {name: v.ravel() for name, v in zip(names, values, strict=True)}
    loads = rank_loads(tokens=flat["tokens"], top_k=flat["topk"], experts=flat["experts"],
                       ep=flat["ep"], routing=routing)
    flat |= dict(zip(("rows", "active", *(f"tiles{b}" for b in BLOCKS)), loads.T, strict=True))
    flat["balanced"] = np.full(len(flat["tokens"]), float(routing == "balanced"))
    return flat


def _terms(chip: Chip, format: str, constants: Mapping[str, float], cases: Cases,
           warm: bool) -> MoeTerms:
    f = FORMATS[format]
    return moe_terms(
        tokens=cases["tokens"], hidden=cases["hidden"], inter=cases["inter"] / cases["tp"],
        matrices_up=1.0 + cases["gated"], local_experts=np.ceil(cases["experts"] / cases["ep"]),
        rows=cases["rows"], active=np.maximum(cases["active"], 1.0),
        tiles=[(b, np.maximum(cases[f"tiles{b}"], 1.0)) for b in BLOCKS],
        peak=peak_of(chip, f.compute), peak16=peak_of(chip, ("bf16", "fp16", "fp32")),
        bandwidth=chip.memory_bandwidth, n_cores=float(chip.n_cores or 100),
        l2_bytes=chip.l2_bytes, weight_bytes=f.weight_bytes, operand_bytes=f.operand_bytes,
        constants=with_latency(chip, constants, "start"), warm=float(warm))


def _physical(chip: Chip, format: str, constants: Mapping[str, float], cases: Cases,
              warm: bool) -> Array:
    total: Array = np.asarray(_terms(chip, format, constants, cases, warm).total)
    return total


def _features(chip: Chip, format: str, constants: Mapping[str, float], cases: Cases) -> Array:
    """Balance of the terms, the load, and the geometry on the rank."""
    t = _terms(chip, format, constants, cases, True)
    rows, active = np.maximum(cases["rows"], 1.0), np.maximum(cases["active"], 1.0)
    inter, up = cases["inter"] / cases["tp"], (1.0 + cases["gated"])
    tiles = np.maximum(cases["tiles64"], 1.0)
    waves = tiles * np.ceil(up * inter / 128.0) / float(chip.n_cores or 100)
    return np.stack([
        np.log(t.math / t.weights), np.log(t.total / t.fixed), np.log(t.activations / t.weights),
        np.log2(rows), np.log2(active), np.log2(rows / active), np.log2(tiles * 64.0 / rows),
        cases["balanced"], np.log2(waves), waves / np.ceil(waves), np.log2(inter),
        np.log2(cases["hidden"]), np.log2(cases["tokens"]),
        np.log2(np.ceil(cases["experts"] / cases["ep"])), np.log2(cases["ep"]), cases["topk"],
        np.log2(cases["tp"])], axis=1)


def _floor(chip: Chip, format: str, cases: Cases, warm: bool) -> Array:
    """max(FLOP / peak, expert weights touched / bandwidth) on the busiest rank."""
    f = FORMATS[format]
    per_expert = (2.0 + cases["gated"]) * cases["hidden"] * cases["inter"] / cases["tp"]
    held = chip.l2_bytes if warm else 0.0
    moved = np.maximum(cases["active"] * per_expert * f.weight_bytes - held, 0.0)
    floor: Array = np.maximum(2.0 * cases["rows"] * per_expert / peak_of(chip, f.compute),
                              moved / chip.memory_bandwidth)
    return floor


FAMILY = Family("moe", _CONSTANTS, _physical, _features, _floor,
                ("hidden", "inter", "topk", "experts"), with_kin=True)


def moe_time(chip: Chip, *, tokens: Any, hidden: Any, inter: Any, top_k: Any, experts: Any,
             tp: Any = 1, ep: Any = 1, gated: Any = 1, format: str = "bfloat16",
             backend: str = "vllm", routing: str = "uniform", kernel: str = "",
             warm: bool = False) -> KernelTime:
    """Time of the routed experts of one layer on the busiest rank, without any all-to-all.

        t = max(form(loads, shapes; constants) * exp(correction), FLOP / peak, bytes / bandwidth)

    Args:
        chip: what it runs on.
        tokens: routed by the whole expert-parallel group.
        hidden: model width. inter: full width of one expert, before tp.
        top_k: experts a token goes to. experts: in all. tp, ep: ranks inside and across experts.
        gated: 1 with a gate matrix (SwiGLU), else 0.
        format: of the expert weights: "bf16", "fp8", "fp8_block", "nvfp4", "int4_wo", "int8_wo",
            "sq", "w4a16_mxfp4", "w4a8_mxfp4_mxfp8", "mxfp4" (the last that suits the chip).
        backend: whose kernels: "vllm", "sglang", "trtllm".
        routing: "uniform" (random), "balanced", "power_law_<exponent>".
        kernel: name of the grouped kernel where known ("triton", "cutlass", "trtllm",
            "deepgemm", "marlin", "cutedsl", ...); "": the backend's usual one.
        warm: predict what kernel benchmarks measure (weights that fit stay in the L2 cache).
    Returns:
        KernelTime [s], broadcast shape of the numeric arguments.
    Raises:
        UnknownName: a format with no kernels. BadInput: sizes below 1, or unknown routing.
    Sources: the forms in `moe_form` and `moe_load`; constants fitted to public kernel timings
        (aiconfigurator, Apache-2.0). Errors by geometry-held-out check.
    """
    formats = STAND_INS[_format(chip, format)]
    sizes = {"tokens": tokens, "hidden": hidden, "inter": inter, "top_k": top_k,
             "experts": experts, "tp": tp, "ep": ep}
    for label, size in sizes.items():
        if np.any(np.asarray(size) < 1):
            raise BadInput(f"MoE {label} must be at least 1, not {np.min(size):g}")
    shape = np.broadcast_shapes(*(np.shape(v) for v in sizes.values()), np.shape(gated))
    store = load("moe")
    key = _backend_key(store, chip, backend, kernel, formats, not np.any(np.asarray(gated)))
    flat = kernel_time(FAMILY, store, chip, formats=formats, backend=key, warm=warm,
                       cases=cases_of(gated=gated, routing=routing, **sizes))
    return KernelTime(flat.seconds.reshape(shape), flat.log_quantiles.reshape(*shape, -1),
                      flat.distance, flat.basis, flat.note)


def _format(chip: Chip, format: str) -> str:
    name = _NAMES.get(format, format)
    if name == "mxfp4":
        name = "w4a8_mxfp4_mxfp8" if "fp4" in chip.peaks else "w4a16_mxfp4"
    if name not in STAND_INS:
        raise UnknownName.among("MoE format", format, [*STAND_INS, *_NAMES, "mxfp4"])
    return name


def _backend_key(store: Store, chip: Chip, backend: str, kernel: str, formats: tuple[str, ...],
                 ungated: bool) -> str:
    """ "backend/kernel" of the nearest tables: the kernel named, else the most measured one."""
    wanted = kernel_class(kernel) if kernel else ("nongated" if ungated else "")
    places = (("chip", calibration_name(chip.name)), ("architecture", kernel_family(chip)),
              ("all", "*"))
    for format in formats:
        for place in places:
            there = store.backends(*place, format)
            mine = {b: n for b, n in there.items() if b.startswith(backend + "/")}
            if f"{backend}/{wanted}" in mine:
                return f"{backend}/{wanted}"
            usual = {b: n for b, n in mine.items()
                     if not b.endswith(("/nongated", "/min_latency"))} or mine
            if usual:
                return max(usual, key=lambda b: (usual[b], b))
    return backend
