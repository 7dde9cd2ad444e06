"""Times of softmax attention kernels: prefill and one-token decode, full or windowed.

Constants and interval widths come from measured tables (see `measure.fit.attention`); the forms
are in `attention_forms`. All numeric arguments broadcast together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ridgeline.errors import BadInput
from ridgeline.machine.chip import Chip
from ridgeline.timing.kernels.attention_forms import decode_form, prefill_form
from ridgeline.timing.kernels.family import (
    Cases,
    Constant,
    Family,
    Wanted,
    chip_cases,
    kernel_time,
    log2_of,
)
from ridgeline.timing.kernels.result import KernelTime
from ridgeline.timing.kernels.store import Store

# Engines whose attention kernels were measured; the others run the same open kernels as vLLM.
BACKENDS = {"vllm": "vllm", "sglang": "sglang", "trtllm": "trtllm"}
_DEFAULT_BACKEND = "vllm"
# A one-token prompt is sent to the engine's decode kernel; it belongs to the same table.
_PREFILL_OF = {"vllm_flashinfer_trtllmdecode": "vllm_flashinfer_trtllmprefill",
               "vllm_flashinfer_fidecode": "vllm_flashinfer_fiprefill"}


def prefill_kernel(kernel: str) -> str:
    """The kernel whose prefill table a measured kernel belongs to."""
    return _PREFILL_OF.get(kernel, kernel)


def backend_of(engine: str) -> str:
    """The measured backend whose kernels an engine runs."""
    return BACKENDS.get(engine.lower(), _DEFAULT_BACKEND)


def compute_name(format: str) -> str:
    """"fp8" for 8-bit and narrower products, else "bf16": the two that attention computes in.

    >>> compute_name("fp8_e4m3"), compute_name("fp16")
    ('fp8', 'bf16')
    """
    return "fp8" if format.startswith(("fp8", "fp4", "nvfp4")) else "bf16"


def kv_name(kv_format: str) -> str:
    """"fp8" for a cache of 8 bits an element or fewer, else "bf16": the two measured."""
    return "fp8" if kv_element_bytes(kv_format) < 1.5 else "bf16"


def kv_element_bytes(kv_format: str) -> float:
    """Bytes of one cached element with its share of the scales.

    Raises:
        UnknownName: not a number format.
    """
    from ridgeline.formats import get_format

    return get_format(kv_format).bytes


def check_positive(**values: Any) -> None:
    """Refuse numbers that no kernel can be launched with.

    Raises:
        BadInput: not finite, or not above zero.
    """
    for name, value in values.items():
        array = np.asarray(value, dtype=float)
        if array.size and not bool(np.all((array > 0) & np.isfinite(array))):
            raise BadInput(f"{name} must be above 0, not {float(array.min())!r}")


def _windowed(window: Any) -> Any:
    return (np.asarray(window) > 0) & (np.asarray(window) < 1e15)


def _prefill_features(cases: Cases, terms: Cases) -> Sequence[Any]:
    launch, window = terms["launch"], np.where(_windowed(cases["window"]), cases["window"], 0.0)
    # The tables have no cached prefix: one is seen as the prompt with as many scores.
    new = np.sqrt(cases["new_tokens"] ** 2 + 2 * cases["new_tokens"] * cases["past_tokens"])
    blocks = terms["blocks"]
    return [
        log2_of(cases["batch"]), log2_of(new), log2_of(cases["q_heads"]),
        log2_of(cases["kv_heads"]), log2_of(cases["q_heads"] / cases["kv_heads"]),
        log2_of(cases["head_dim"]), log2_of(cases["batch"] * cases["new_tokens"]),
        log2_of(terms["compute"] / launch), log2_of(terms["memory"] / launch),
        log2_of(terms["seconds"] / launch), log2_of(blocks), np.minimum(blocks, 8) % 1,
        np.where(blocks > 0.5, np.ceil(blocks) / np.maximum(blocks, 0.5), 2.0),
        terms["resident"], log2_of(1 + window), window > 0,
        np.where(window > 0, log2_of(1 + new / np.maximum(window, 1)), 0.0),
        (cases["new_tokens"] % 128) / 128, np.minimum(new, 128) / 128,
        log2_of(terms["longest"]), cases["new_tokens"] <= 1,
        log2_of(terms["bytes"] / cases["l2_bytes"])]


def _decode_features(cases: Cases, terms: Cases) -> Sequence[Any]:
    launch, group = terms["launch"], cases["q_heads"] / cases["kv_heads"]
    heads = cases["batch"] * cases["kv_heads"] / cases["n_cores"]
    window = np.where(_windowed(cases["window"]), cases["window"], 0.0)
    return [
        log2_of(cases["batch"]), log2_of(terms["length"]), log2_of(cases["kv_len"]),
        log2_of(cases["q_heads"]), log2_of(cases["kv_heads"]), log2_of(group),
        log2_of(cases["head_dim"]), log2_of(terms["memory"] / launch),
        log2_of(terms["compute"] / launch), log2_of(terms["seconds"] / launch),
        log2_of(terms["units"]), log2_of(heads), np.minimum(heads, 8) % 1,
        np.where(heads > 0.5, np.ceil(heads) / np.maximum(heads, 0.5), 2.0),
        terms["resident"], log2_of(1 + window), group % 8 == 0,
        log2_of(terms["bytes"] / cases["l2_bytes"]), np.sqrt(heads)]


PREFILL_CONSTANTS = (
    Constant("launch", 8e-6, 5e-7, 1e-3), Constant("compute_efficiency", 0.7, 0.02, 1.0),
    Constant("memory_efficiency", 0.7, 0.05, 1.0), Constant("score_time", 2e-11, 1e-15, 1e-8),
    Constant("tail", 0.5, 0.02, 1.0), Constant("l2_gain", 0.5, 1e-3, 20.0),
    Constant("window_blind", 0.1, 1e-3, 1.0), Constant("extra_traffic", 0.5, 1e-3, 10.0),
    Constant("wave_time", 5e-7, 1e-10, 1e-4))
DECODE_CONSTANTS = (
    Constant("launch", 7e-6, 5e-7, 1e-3), Constant("compute_efficiency", 0.5, 0.01, 1.0),
    Constant("memory_efficiency", 0.8, 0.05, 1.0), Constant("depth_time", 3e-7, 1e-9, 1e-4),
    Constant("occupancy", 1.0, 1e-3, 50.0), Constant("l2_gain", 1.0, 1e-3, 20.0),
    Constant("wave_time", 5e-7, 1e-10, 1e-4))

PREFILL = Family("attention_prefill", PREFILL_CONSTANTS, prefill_form, _prefill_features)
DECODE = Family("attention_decode", DECODE_CONSTANTS, decode_form, _decode_features)


def _wanted(head_dim: Any, window: Any, dtype: str, kv: str, kernel: str, version: str,
            warm: bool) -> Wanted:
    return Wanted({"kv_dtype": kv, "dtype": dtype, "kernel": kernel, "version": version},
                  {"head_dim": float(np.median(head_dim)),
                   "windowed": float(np.any(_windowed(window)))}, measured=warm)


def prefill_attention_time(chip: Chip, *, batch: Any, new_tokens: Any, past_tokens: Any = 0.0,
                           q_heads: Any, kv_heads: Any, head_dim: Any, v_head_dim: Any = None,
                           window: Any = 0.0, format: str = "bf16", kv_format: str = "bf16",
                           backend: str = "vllm", kernel: str = "", version: str = "",
                           warm: bool = False, store: Store | None = None,
                           skip: Sequence[str] = ()) -> KernelTime:
    """Time of causal attention over new tokens, one layer: see `attention_forms.prefill_form`.

    Args:
        chip: what it runs on.
        batch: sequences [1].
        new_tokens, past_tokens: per sequence: computed now, and cached before [tokens].
        q_heads, kv_heads: on this device [1].
        head_dim, v_head_dim: of queries and keys, and of values (None: the same) [1].
        window: keys a query sees [tokens]; 0 or at least 1e15: all.
        format: number format of the products; kv_format: of the cache.
        backend: engine.
        kernel, version: of the backend, as the measurements name them; "" for the usual one.
        warm: reproduce measurements that repeat one input (see `timing.kernels.family`).
        store, skip: other constants, chips to ignore (for validation).

    Raises:
        BadInput: a size that is not positive, an unknown cache format.
    """
    v_head_dim = head_dim if v_head_dim is None else v_head_dim
    check_positive(batch=batch, new_tokens=new_tokens, q_heads=q_heads, kv_heads=kv_heads,
                   head_dim=head_dim, v_head_dim=v_head_dim)
    dtype = compute_name(format)
    cases = {"batch": batch, "new_tokens": new_tokens, "past_tokens": past_tokens,
             "q_heads": q_heads, "kv_heads": kv_heads, "head_dim": head_dim,
             "v_head_dim": v_head_dim, "window": window,
             "kv_bytes": kv_element_bytes(kv_format), **chip_cases(chip, dtype)}
    wanted = _wanted(head_dim, window, dtype, kv_name(kv_format), prefill_kernel(kernel), version,
                     warm)
    return kernel_time(PREFILL, chip, backend=backend_of(backend), wanted=wanted, cases=cases,
                       warm=warm, store=store, skip=skip)


def decode_attention_time(chip: Chip, *, batch: Any, kv_len: Any, q_heads: Any, kv_heads: Any,
                          head_dim: Any, v_head_dim: Any = None, window: Any = 0.0,
                          format: str = "bf16", kv_format: str = "bf16", backend: str = "vllm",
                          kernel: str = "", version: str = "", warm: bool = False,
                          store: Store | None = None, skip: Sequence[str] = ()) -> KernelTime:
    """Time of attention of one new token a sequence over its cache, one layer.

    See `attention_forms.decode_form` for the formula and `prefill_attention_time` for arguments
    of the same name.

    Args:
        chip: what it runs on.
        batch: sequences [1].
        kv_len: cached tokens with the new one [tokens].
        q_heads, kv_heads, head_dim, v_head_dim, window: as there.
        format, kv_format, backend, kernel, version, warm, store, skip: as there.

    Raises:
        BadInput: a size that is not positive, an unknown cache format.
    """
    v_head_dim = head_dim if v_head_dim is None else v_head_dim
    check_positive(batch=batch, kv_len=kv_len, q_heads=q_heads, kv_heads=kv_heads,
                   head_dim=head_dim, v_head_dim=v_head_dim)
    cases = {"batch": batch, "kv_len": kv_len, "q_heads": q_heads, "kv_heads": kv_heads,
             "head_dim": head_dim, "v_head_dim": v_head_dim, "shared_kv": 0.0,
             "window": window, "kv_bytes": kv_element_bytes(kv_format),
             **chip_cases(chip, "bf16")}
    wanted = _wanted(head_dim, window, "", kv_name(kv_format), kernel, version, warm)
    return kernel_time(DECODE, chip, backend=backend_of(backend), wanted=wanted, cases=cases,
                       warm=warm, store=store, skip=skip)
