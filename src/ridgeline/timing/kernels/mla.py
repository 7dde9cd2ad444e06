"""Times of multi-head latent attention (DeepSeek V2/V3): prefill, decode, and weight absorption.

Prefill runs in the expanded form (each head its own keys and values), decode in the absorbed form
(all heads read one latent entry a token), both as the attention kernels of `attention_forms`; the
products that absorb W_UK and W_UV are one small matrix product a head.
Sources: DeepSeek-V2, arXiv:2405.04434, section 2.1, for the two forms; own derivation of times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ridgeline.errors import UnknownName
from ridgeline.machine.chip import Chip
from ridgeline.numeric import Numeric, ceil_div, maximum, minimum
from ridgeline.timing.kernels.attention import (
    DECODE,
    PREFILL,
    backend_of,
    check_positive,
    compute_name,
    kv_element_bytes,
    kv_name,
)
from ridgeline.timing.kernels.attention_forms import resident_share
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

Phase = Literal["prefill", "decode"]
_BMM_TILE = 128.0
_HIDDEN = 0.3

MLA_PREFILL = replace(PREFILL, name="mla_prefill")
MLA_DECODE = replace(DECODE, name="mla_decode")


def bmm_form(*, tokens: Numeric, heads: Numeric, k: Numeric, n: Numeric, weight_bytes: Numeric,
             peak: Numeric, fastest_peak: Numeric, memory_bandwidth: Numeric, l2_bytes: Numeric,
             n_cores: Numeric, warm: Numeric, launch: Numeric, compute_efficiency: Numeric,
             memory_efficiency: Numeric, l2_gain: Numeric, wave_time: Numeric) -> dict[str, Any]:
    """Time of `heads` products [tokens, k] x [k, n], with its terms.

        t = launch + max(c, m) + 0.3 min(c, m) + wave_time ceil(tiles/n_cores)
        c = 2 * 128^2 k ceil(tiles/n_cores) n_cores/(e_c peak)
        m = bytes/(e_m bandwidth (1 + l2_gain * resident * warm))
        tiles = heads ceil(tokens/128) ceil(n/128)

    Args:
        tokens, heads, k, n: sizes [1].
        weight_bytes: of one weight element [bytes].
        peak, fastest_peak, memory_bandwidth, l2_bytes, n_cores, warm: as in
            `attention_forms.prefill_form`.
        launch, wave_time: [s]; compute_efficiency, memory_efficiency, l2_gain: [1].
    """
    tiles = heads * ceil_div(tokens, _BMM_TILE) * ceil_div(n, _BMM_TILE)
    waves = ceil_div(tiles, n_cores)
    compute = 2 * _BMM_TILE**2 * k * waves * n_cores / (compute_efficiency * peak)
    moved = heads * (k * n * weight_bytes + 2 * tokens * (k + n))
    resident = resident_share(bytes=moved, l2_bytes=l2_bytes)
    memory = moved / (memory_efficiency * memory_bandwidth * (1 + l2_gain * resident * warm))
    seconds = (launch + maximum(compute, memory) + _HIDDEN * minimum(compute, memory)
               + wave_time * waves)
    must = maximum(moved - warm * l2_bytes, 0.0)
    floor = maximum(2 * heads * tokens * k * n / fastest_peak, must / memory_bandwidth)
    return {"seconds": seconds, "floor": floor, "compute": compute, "memory": memory,
            "tiles": tiles / n_cores, "resident": resident, "bytes": moved}


def _bmm_features(cases: Cases, terms: Cases) -> Sequence[Any]:
    launch, tiles = terms["launch"], terms["tiles"]
    return [
        log2_of(cases["tokens"]), log2_of(cases["heads"]), log2_of(cases["k"]),
        log2_of(cases["n"]), log2_of(terms["compute"] / launch),
        log2_of(terms["memory"] / launch), log2_of(terms["seconds"] / launch),
        log2_of(tiles), np.minimum(tiles, 8) % 1, terms["resident"],
        np.minimum(cases["tokens"], 128) / 128, log2_of(terms["bytes"] / cases["l2_bytes"])]


BMM_CONSTANTS = (
    Constant("launch", 4e-6, 5e-7, 1e-3), Constant("compute_efficiency", 0.6, 0.02, 1.0),
    Constant("memory_efficiency", 0.7, 0.05, 1.0), Constant("l2_gain", 1.0, 1e-3, 20.0),
    Constant("wave_time", 3e-7, 1e-10, 1e-4))
BMM = Family("mla_bmm", BMM_CONSTANTS, bmm_form, _bmm_features)


def mla_time(chip: Chip, *, phase: Phase, batch: Any, q_heads: Any, new_tokens: Any = 1.0,
             kv_len: Any = 1.0, past_tokens: Any = 0.0, kv_lora_rank: Any = 512.0,
             qk_nope_head_dim: Any = 128.0, qk_rope_head_dim: Any = 64.0,
             v_head_dim: Any = 128.0, window: Any = 0.0, format: str = "bf16",
             kv_format: str = "bf16", backend: str = "vllm", kernel: str = "",
             version: str = "", warm: bool = False, store: Store | None = None,
             skip: Sequence[str] = ()) -> KernelTime:
    """Time of latent attention, one layer, without its projections.

    Prefill is `prefill_form` with kv_heads = q_heads and widths nope + rope and v; decode is
    `decode_form` with one shared entry of kv_lora_rank + rope a token.

    Args:
        chip: what it runs on.
        phase: "prefill" (uses new_tokens, past_tokens) or "decode" (uses kv_len).
        batch: sequences [1].
        q_heads: on this device [1].
        new_tokens, past_tokens, kv_len: per sequence [tokens].
        kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim, v_head_dim: widths [1].
        window: entries a query sees (sparse attention's top-k), 0 for all [tokens].
        format, kv_format, backend, kernel, version, warm, store, skip: as in
            `attention.prefill_attention_time`.

    Raises:
        UnknownName: another phase. BadInput: a size that is not positive.
    """
    if phase not in ("prefill", "decode"):
        raise UnknownName.among("phase", phase, ("prefill", "decode"))
    check_positive(batch=batch, q_heads=q_heads, new_tokens=new_tokens, kv_len=kv_len)
    wanted = Wanted({"kv_dtype": kv_name(kv_format), "kernel": kernel, "version": version}, {},
                    measured=warm)
    cases = {"batch": batch, "q_heads": q_heads, "window": window,
             "kv_bytes": kv_element_bytes(kv_format), **chip_cases(chip, compute_name(format))}
    if phase == "prefill":
        cases |= {"new_tokens": new_tokens, "past_tokens": past_tokens, "kv_heads": q_heads,
                  "head_dim": qk_nope_head_dim + qk_rope_head_dim, "v_head_dim": v_head_dim}
    else:
        cases |= {"kv_len": kv_len, "kv_heads": 1.0, "shared_kv": 1.0,
                  "head_dim": kv_lora_rank + qk_rope_head_dim, "v_head_dim": kv_lora_rank}
    return kernel_time(MLA_PREFILL if phase == "prefill" else MLA_DECODE, chip,
                       backend=backend_of(backend), wanted=wanted, cases=cases, warm=warm,
                       store=store, skip=skip)


def mla_bmm_time(chip: Chip, *, tokens: Any, heads: Any, k: Any, n: Any, format: str = "bf16",
                 backend: str = "vllm", kernel: str = "", version: str = "", warm: bool = False,
                 store: Store | None = None, skip: Sequence[str] = ()) -> KernelTime:
    """Time of the per-head products that absorb W_UK or W_UV: see `bmm_form`.

    Args:
        chip: what it runs on.
        tokens, heads, k, n: `heads` products [tokens, k] x [k, n] [1].
        format: of the products.
        backend, kernel, version, warm, store, skip: as in `attention.prefill_attention_time`.

    Raises:
        BadInput: a size that is not positive.
    """
    check_positive(tokens=tokens, heads=heads, k=k, n=n)
    dtype = compute_name(format)
    # The measured pair: pre expands k < n, post contracts k > n.
    op = "mla_gen_pre" if float(np.median(k)) < float(np.median(n)) else "mla_gen_post"
    cases = {"tokens": tokens, "heads": heads, "k": k, "n": n,
             "weight_bytes": 1.0 if dtype == "fp8" else 2.0, **chip_cases(chip, dtype)}
    wanted = Wanted({"dtype": dtype, "op": op, "kernel": kernel, "version": version}, {},
                    measured=warm)
    return kernel_time(BMM, chip, backend=backend_of(backend), wanted=wanted, cases=cases,
                       warm=warm, store=store, skip=skip)
