"""Times of whole attention modules: projections, indexer and attention measured as one.

Three kinds: latent attention (DeepSeek V3), the same with a sparse indexer (DeepSeek V3.2,
GLM-5), and DeepSeek V4's window plus compressed range. Parts of a module measured alone (index
scores, top-k, sparse attention) are timed by the same form with the other parts switched off.
Sources: DeepSeek-V3.2 technical report (sparse attention: an indexer scores every key, attention
reads the best top_k); model configurations for the shapes; own derivation of times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ridgeline.errors import UnknownName
from ridgeline.machine.chip import Chip
from ridgeline.numeric import Numeric, ceil_div, maximum, minimum, where
from ridgeline.timing.kernels.attention import (
    backend_of,
    check_positive,
    compute_name,
    kv_element_bytes,
    kv_name,
)
from ridgeline.timing.kernels.attention_forms import causal_pairs, resident_share
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

_HIDDEN = 0.3
_TILE = 128.0
_INDEX_KEY_SCALE = 4.0             # bytes of scale beside each cached index key
_UNLIMITED = 1e15


@dataclass(frozen=True)
class ModuleShape:
    """Widths of an attention module, as its configuration gives them.

    Attributes:
        d_model, q_lora_rank: [1].
        kv_width: elements of one cached entry: kv_lora_rank + rope for latent attention, the one
            shared head for DeepSeek V4 [1].
        qk_dim, v_dim: of each query head in the expanded form [1].
        out_rank: rank of a grouped output projection, 0 for a plain one [1].
        out_share: output groups per head (o_groups / n_heads) [1].
        index_heads, index_dim, top_k: of the indexer, 0 without one [1].
        window: tokens seen at full resolution besides the compressed range, 0 for none [tokens].
        compress_ratio: tokens in one cached entry of the far range [1].
    """

    d_model: float
    q_lora_rank: float
    kv_width: float
    qk_dim: float
    v_dim: float
    out_rank: float = 0.0
    out_share: float = 0.0
    index_heads: float = 0.0
    index_dim: float = 0.0
    top_k: float = 0.0
    window: float = 0.0
    compress_ratio: float = 1.0


@dataclass(frozen=True)
class Parts:
    """Which parts of a module an operation runs, each 0 or 1."""

    projections: float
    indexer: float
    attention: float
    absorbed: float                # latent entries are attended to directly


# Operation as measured -> its parts; sparse and decode kernels work in the absorbed form.
PARTS: Mapping[str, Parts] = {
    "mla_context_module": Parts(1, 0, 1, 0), "mla_generation_module": Parts(1, 0, 1, 1),
    "dsa_context_module": Parts(1, 1, 1, 1), "dsa_generation_module": Parts(1, 1, 1, 1),
    "dsv4_csa_context_module": Parts(1, 1, 1, 1), "dsv4_csa_generation_module": Parts(1, 1, 1, 1),
    "dsv4_hca_context_module": Parts(1, 0, 1, 1), "dsv4_hca_generation_module": Parts(1, 0, 1, 1),
    "dsv4_hca_attn_module": Parts(0, 0, 1, 1), "glm5_dsa_attn_module": Parts(0, 0, 1, 1),
    "dsv4_paged_mqa_logits_module": Parts(0, 1, 0, 1), "glm5_mqa_logits_module": Parts(0, 1, 0, 1),
    "glm5_topk_module": Parts(0, 1, 0, 1)}


def module_form(*, batch: Numeric, new_tokens: Numeric, past_tokens: Numeric, heads: Numeric,
                d_model: Numeric, q_lora_rank: Numeric, kv_width: Numeric, qk_dim: Numeric,
                v_dim: Numeric, out_rank: Numeric, out_share: Numeric, index_heads: Numeric,
                index_dim: Numeric, top_k: Numeric, window: Numeric, compress_ratio: Numeric,
                projections: Numeric, indexer: Numeric, attention: Numeric, absorbed: Numeric,
                weight_bytes: Numeric, kv_bytes: Numeric, peak: Numeric, linear_peak: Numeric,
                fastest_peak: Numeric, memory_bandwidth: Numeric, l2_bytes: Numeric,
                n_cores: Numeric, warm: Numeric, launch: Numeric, linear_efficiency: Numeric,
                attention_efficiency: Numeric, index_efficiency: Numeric,
                memory_efficiency: Numeric, token_time: Numeric, l2_gain: Numeric
                ) -> dict[str, Any]:
    """Time of an attention module on one device, with its terms.

        t = launch + max(c, m) + 0.3 min(c, m) + token_time T
        c = linear/(e_l linear_peak) + scores/(e_a peak) + index/(e_i fastest_peak)
        m = bytes/(e_m bandwidth (1 + l2_gain * resident * warm))

        T      = batch new_tokens
        linear = 2 pad(T) P + 2 T' h w (qk + v),  T' = T absorbed, else batch context
        P      = d r_q + r_q h qk + d w + out + indexer
        out    = h v d, or h v r_o + h g r_o d when grouped (which needs no expansion)
        scores = 2 h (qk' + v') pairs, pairs = causal pairs among entries, at most top_k, plus the
                 window; qk' = v' = w absorbed, else qk and v
        index  = 2 h_i d_i * causal pairs among all entries

    An entry stands for compress_ratio tokens. pad rounds up to 128 rows: short batches pay a tile.

    Args:
        batch: sequences [1]; new_tokens, past_tokens: per sequence [tokens].
        heads: query heads on this device [1].
        d_model .. compress_ratio: see `ModuleShape`; projections .. absorbed: see `Parts`.
        weight_bytes, kv_bytes: of one element [bytes].
        peak, linear_peak, fastest_peak: matrix rates of the attention, of the projections, and
            the fastest [FLOP/s].
        memory_bandwidth, l2_bytes, n_cores, warm: as in `attention_forms.prefill_form`.
        launch, token_time: [s]; the other constants: [1].
    """
    tokens, context = batch * new_tokens, past_tokens + new_tokens
    entries, seen = context / compress_ratio, past_tokens / compress_ratio
    limit = where(top_k > 0, top_k, _UNLIMITED)
    out = where(out_rank > 0, heads * out_rank * (v_dim + out_share * d_model),
                v_dim * heads * d_model)
    expand = where(out_rank > 0, 0.0, heads * kv_width * (qk_dim + v_dim))
    weights = projections * (d_model * (q_lora_rank + kv_width) + q_lora_rank * heads * qk_dim
                             + out + indexer * index_dim * (q_lora_rank * index_heads + d_model))
    every = batch * causal_pairs(new_tokens=new_tokens, past_tokens=seen * compress_ratio,
                                 window=_UNLIMITED) / compress_ratio
    far = batch * causal_pairs(new_tokens=new_tokens, past_tokens=seen * compress_ratio,
                               window=limit * compress_ratio) / compress_ratio
    near = tokens * minimum(window, context)
    widths = absorbed * 2 * kv_width + (1 - absorbed) * (qk_dim + v_dim)
    scores = attention * 2 * heads * widths * (far + near)
    index = indexer * 2 * index_heads * index_dim * every
    # Absorption touches the new tokens; the expanded form every token of the context.
    expanded = absorbed * tokens + (1 - absorbed) * batch * context
    linear = 2 * (ceil_div(tokens, _TILE) * _TILE * weights + projections * expanded * expand)
    # Sparse kernels gather entries query by query; a dense prompt reads each entry once.
    reads = minimum(minimum(far, batch * entries) + batch * window, far + near)
    state = (attention * reads * kv_width * kv_bytes
             + indexer * batch * entries * (index_dim + _INDEX_KEY_SCALE))
    weights = weights + projections * expand
    moved = (weights * weight_bytes + state + projections * 4 * tokens * d_model
             + 2 * tokens * heads * (qk_dim + v_dim) * attention)
    resident = resident_share(bytes=moved, l2_bytes=l2_bytes)
    memory = moved / (memory_efficiency * memory_bandwidth * (1 + l2_gain * resident * warm))
    compute = (linear / (linear_efficiency * linear_peak) + scores / (attention_efficiency * peak)
               + index / (index_efficiency * fastest_peak))
    seconds = (launch + maximum(compute, memory) + _HIDDEN * minimum(compute, memory)
               + token_time * tokens)
    needed = 2 * tokens * projections * (d_model * (q_lora_rank + kv_width)
                                         + q_lora_rank * heads * qk_dim) / linear_peak
    must = maximum(weights * weight_bytes * projections - warm * l2_bytes, 0.0)
    return {"seconds": seconds, "floor": maximum(needed, must / memory_bandwidth),
            "linear": linear / (linear_efficiency * linear_peak),
            "scores": scores / (attention_efficiency * peak),
            "index": index / (index_efficiency * fastest_peak), "memory": memory,
            "resident": resident, "bytes": moved, "context": context, "far": far / tokens}


def _features(cases: Cases, terms: Cases) -> Sequence[Any]:
    launch, tokens = terms["launch"], cases["batch"] * cases["new_tokens"]
    return [
        log2_of(cases["batch"]), log2_of(cases["new_tokens"]), log2_of(1 + cases["past_tokens"]),
        log2_of(terms["context"]), log2_of(cases["heads"]), log2_of(tokens),
        log2_of(cases["d_model"]), log2_of(1e-3 + terms["linear"] / launch),
        log2_of(1e-3 + terms["scores"] / launch), log2_of(1e-3 + terms["index"] / launch),
        log2_of(terms["memory"] / launch), log2_of(terms["seconds"] / launch),
        log2_of(terms["far"]), np.minimum(tokens, 128) / 128, terms["resident"],
        log2_of(terms["bytes"] / cases["l2_bytes"]), cases["new_tokens"] <= 1,
        log2_of(tokens * cases["heads"] / cases["n_cores"]),
        log2_of(cases["batch"] * terms["context"]),
        terms["context"] <= np.maximum(cases["top_k"], 1) * cases["compress_ratio"]]


CONSTANTS = (
    Constant("launch", 3e-5, 1e-6, 2e-3), Constant("linear_efficiency", 0.5, 0.02, 1.0),
    Constant("attention_efficiency", 0.4, 0.01, 1.0), Constant("index_efficiency", 0.3, 0.005, 1.0),
    Constant("memory_efficiency", 0.6, 0.03, 1.0), Constant("token_time", 1e-9, 1e-13, 1e-6),
    Constant("l2_gain", 0.5, 1e-3, 20.0))
MODULE = Family("attention_module", CONSTANTS, module_form, _features)

WEIGHT_BYTES = {"bf16": 2.0, "fp8_block": 1.0, "nvfp4": 0.5625}
_LINEAR_PEAK = {"bf16": "bf16", "fp8_block": "fp8", "nvfp4": "fp4"}


def weight_name(format: str) -> str:
    """The measured weight format nearest to a format of projections."""
    if format.startswith("fp8"):
        return "fp8_block"
    return "nvfp4" if "fp4" in format else "bf16"


def attention_module_time(chip: Chip, *, op: str, shape: ModuleShape, heads: Any, batch: Any,
                          new_tokens: Any = 1.0, past_tokens: Any = 0.0, format: str = "bf16",
                          weight_format: str = "bf16", kv_format: str = "bf16",
                          backend: str = "vllm", kernel: str = "", version: str = "",
                          warm: bool = False, store: Store | None = None,
                          skip: Sequence[str] = ()) -> KernelTime:
    """Time of an attention module, or of a part measured alone: see `module_form`.

    Args:
        chip: what it runs on.
        op: which module ("mla_context_module", ...): a key of `PARTS`.
        shape: widths of the module.
        heads: query heads on this device [1].
        batch, new_tokens, past_tokens: sequences; per sequence, new and cached [tokens].
        format, weight_format, kv_format: of the attention, the projections and the cache.
        backend, kernel, version, warm, store, skip: as in `attention.prefill_attention_time`.

    Raises:
        UnknownName: another operation. BadInput: a size that is not positive.
    """
    if op not in PARTS:
        raise UnknownName.among("attention module", op, PARTS)
    check_positive(batch=batch, new_tokens=new_tokens, heads=heads)
    weight, compute = weight_name(weight_format), compute_name(format)
    parts = asdict(parts_of(op, kernel))
    cases = {"batch": batch, "new_tokens": new_tokens, "past_tokens": past_tokens,
             "heads": heads, **asdict(shape), **parts, "weight_bytes": WEIGHT_BYTES[weight],
             "kv_bytes": kv_element_bytes(kv_format), **module_rates(chip, compute, weight)}
    wanted = Wanted({"op": op, "kv_dtype": kv_name(kv_format), "gemm_dtype": weight,
                     "kernel": kernel, "dtype": compute, "version": version}, {}, measured=warm)
    return kernel_time(MODULE, chip, backend=backend_of(backend), wanted=wanted, cases=cases,
                       warm=warm, store=store, skip=skip)


def parts_of(op: str, kernel: str) -> Parts:
    """Parts an operation runs; some kernels of a sparse module skip the indexer or the absorption.

    >>> parts_of("dsa_context_module", "sglang_dsa_dense_mha_fa3").absorbed
    0
    """
    parts = PARTS[op]
    if "dense_mha" in kernel:
        return Parts(parts.projections, 0, parts.attention, 0)
    if "skip_indexer" in kernel:
        return Parts(parts.projections, 0, parts.attention, parts.absorbed)
    return parts


def module_rates(chip: Chip, compute: str, weight: str) -> dict[str, float]:
    """`family.chip_cases` with the rate of the projections beside that of the attention."""
    linear = chip_cases(chip, _LINEAR_PEAK[weight])["peak"]
    return {**chip_cases(chip, compute), "linear_peak": linear}
