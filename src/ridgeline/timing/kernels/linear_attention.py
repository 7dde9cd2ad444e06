"""Times of linear-attention kernels: gated delta net and KDA, their scan and short convolution.

A prompt is scanned in chunks of 64 tokens with matrix products inside a chunk and a state of
k_dim x v_dim carried between chunks, per value head; a decode step updates that state once.
Sources: S. Yang et al., "Gated Delta Networks", arXiv:2412.06464, and "Kimi Linear",
arXiv:2510.26692, for the chunked form; own derivation of times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ridgeline.errors import UnknownName
from ridgeline.machine.chip import Chip
from ridgeline.numeric import Numeric, ceil_div, maximum, minimum
from ridgeline.timing.kernels.attention import backend_of, check_positive
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

CHUNK = 64.0
"""Tokens of a chunk [tokens]."""
_BF16 = 2.0
_HIDDEN = 0.3
RULES = {"gated_delta": "gdn", "kda": "kda", "lightning": "gdn"}
PHASES = {"prefill": "context", "decode": "generation", "verify": "verify"}


def scan_form(*, batch: Numeric, new_tokens: Numeric, k_heads: Numeric, v_heads: Numeric,
              k_dim: Numeric, v_dim: Numeric, conv_kernel: Numeric, state_bytes: Numeric,
              convolution: Numeric, chunked: Numeric, peak: Numeric, fastest_peak: Numeric,
              memory_bandwidth: Numeric, l2_bytes: Numeric, n_cores: Numeric, warm: Numeric,
              launch: Numeric, compute_efficiency: Numeric, memory_efficiency: Numeric,
              step_time: Numeric, l2_gain: Numeric, occupancy: Numeric) -> dict[str, Any]:
    """Time of the scan or of the convolution of one layer, with its terms.

        t = launch + max(c, m) + 0.3 min(c, m) + step_time steps max(1, heads/n_cores)
        m = bytes/(e_m o bandwidth (1 + l2_gain * resident * warm)),  o = u/(u + occupancy)
        scan:        bytes = 2 T (2 k_heads k_dim + 2 v_heads v_dim) + 2 B v_heads k_dim v_dim s
                     flop  = T v_heads (4 k_dim v_dim + 4 * 64 (k_dim + v_dim) [chunked])
        convolution: bytes = 4 T W + 4 B W (conv_kernel - 1),  W = 2 k_heads k_dim + v_heads v_dim

    T = batch new_tokens; s = state_bytes; steps = ceil(new_tokens/64) chunked, else new_tokens;
    heads = batch v_heads; u = bytes per core over 64 KiB, how full the chip is.

    Args:
        batch: sequences [1].
        new_tokens: per sequence [tokens].
        k_heads, v_heads, k_dim, v_dim, conv_kernel: of the layer on this device [1].
        state_bytes: of one state element [bytes].
        convolution: 1 for the short convolution, 0 for the scan [1].
        chunked: 1 for a chunked scan, 0 for a recurrent one [1].
        peak, fastest_peak, memory_bandwidth, l2_bytes, n_cores, warm: as in
            `attention_forms.prefill_form`.
        launch, step_time: [s]; the other constants: [1].
    """
    tokens, scan = batch * new_tokens, 1 - convolution
    width = 2 * k_heads * k_dim + v_heads * v_dim
    state = batch * v_heads * k_dim * v_dim * state_bytes
    moved = (scan * (_BF16 * tokens * (width + v_heads * v_dim) + 2 * state)
             + convolution * 2 * _BF16 * (tokens + batch * (conv_kernel - 1)) * width)
    needed = scan * 4 * tokens * v_heads * k_dim * v_dim
    flop = (needed + scan * chunked * 4 * CHUNK * tokens * v_heads * (k_dim + v_dim)
            + convolution * 2 * tokens * conv_kernel * width)
    resident = resident_share(bytes=moved, l2_bytes=l2_bytes)
    load = moved / (n_cores * 65536.0)
    filled = load / (load + occupancy)
    memory = moved / (memory_efficiency * filled * memory_bandwidth
                      * (1 + l2_gain * resident * warm))
    compute = flop / (compute_efficiency * peak)
    steps = chunked * ceil_div(new_tokens, CHUNK) + (1 - chunked) * new_tokens
    heads = batch * v_heads / n_cores
    chain = scan * step_time * steps * maximum(1.0, heads)
    seconds = launch + maximum(compute, memory) + _HIDDEN * minimum(compute, memory) + chain
    must = maximum(moved - warm * l2_bytes, 0.0)
    return {"seconds": seconds, "floor": maximum(needed / fastest_peak, must / memory_bandwidth),
            "compute": compute, "memory": memory, "chain": chain, "heads": heads,
            "resident": resident, "bytes": moved, "steps": steps}


def _features(cases: Cases, terms: Cases) -> Sequence[Any]:
    launch, heads = terms["launch"], terms["heads"]
    return [
        log2_of(cases["batch"]), log2_of(cases["new_tokens"]), log2_of(cases["k_heads"]),
        log2_of(cases["v_heads"]), log2_of(cases["batch"] * cases["new_tokens"]),
        log2_of(terms["compute"] / launch), log2_of(terms["memory"] / launch),
        log2_of(terms["seconds"] / launch), log2_of(1e-3 + terms["chain"] / launch),
        log2_of(heads), np.minimum(heads, 8) % 1,
        np.where(heads > 0.5, np.ceil(heads) / np.maximum(heads, 0.5), 2.0),
        terms["resident"], log2_of(terms["bytes"] / cases["l2_bytes"]),
        log2_of(terms["steps"]), np.minimum(cases["new_tokens"], 64) / 64,
        cases["v_heads"] / cases["k_heads"]]


CONSTANTS = (
    Constant("launch", 4e-6, 3e-7, 2e-3), Constant("compute_efficiency", 0.3, 0.002, 1.0),
    Constant("memory_efficiency", 0.7, 0.03, 1.0), Constant("step_time", 5e-7, 1e-10, 1e-4),
    Constant("l2_gain", 1.0, 1e-3, 20.0), Constant("occupancy", 0.1, 1e-4, 10.0))
LINEAR = Family("linear_attention", CONSTANTS, scan_form, _features)


def linear_attention_time(chip: Chip, *, phase: str, batch: Any, v_heads: Any, k_heads: Any,
                          new_tokens: Any = 1.0, k_dim: Any = 128.0, v_dim: Any = 128.0,
                          conv_kernel: Any = 4.0, part: Literal["scan", "convolution"] = "scan",
                          rule: str = "gated_delta", state_bytes: Any = 4.0,
                          backend: str = "vllm", kernel: str = "", version: str = "",
                          warm: bool = False, store: Store | None = None,
                          skip: Sequence[str] = ()) -> KernelTime:
    """Time of one kernel of a linear-attention layer: see `scan_form`.

    Args:
        chip: what it runs on.
        phase: "prefill", "decode" or "verify" (several drafted tokens).
        batch: sequences [1]; new_tokens: per sequence, 1 in decode [tokens].
        k_heads, v_heads, k_dim, v_dim, conv_kernel: of the layer on this device [1].
        part: the scan, or the short convolution before it.
        rule: "gated_delta" or "kda"; "lightning" is timed like the gated delta rule.
        state_bytes: of one state element [bytes].
        backend, kernel, version, warm, store, skip: as in `attention.prefill_attention_time`.

    Raises:
        UnknownName: another phase, part or rule. BadInput: a size that is not positive.
    """
    for kind, name, names in (("phase", phase, PHASES), ("rule", rule, RULES),
                              ("part", part, ("scan", "convolution"))):
        if name not in names:
            raise UnknownName.among(kind, name, names)
    check_positive(batch=batch, new_tokens=new_tokens, k_heads=k_heads, v_heads=v_heads,
                   k_dim=k_dim, v_dim=v_dim)
    wanted = Wanted({"part": part, "phase": PHASES[phase], "op": RULES[rule], "kernel": kernel,
                     "version": version}, {}, measured=warm)
    cases = {"batch": batch, "new_tokens": new_tokens, "k_heads": k_heads, "v_heads": v_heads,
             "k_dim": k_dim, "v_dim": v_dim, "conv_kernel": conv_kernel,
             "state_bytes": state_bytes, "convolution": float(part == "convolution"),
             "chunked": float(phase == "prefill"), **chip_cases(chip, "bf16")}
    return kernel_time(LINEAR, chip, backend=backend_of(backend), wanted=wanted, cases=cases,
                       warm=warm, store=store, skip=skip)
