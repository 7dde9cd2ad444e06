"""The physical form of a fused mixture-of-experts feed-forward on one rank.

    t        = t_launch + E t_expert + T t_token + t_activations + (t_math^p + t_weights^p)^(1/p)
    t_math   = min over row blocks b of the waves of both grouped products:
               ceil(tiles_b ceil(n / 128) / n_cores) * (t_start + k (2 b 128 / rate + c (b + 128)))
    t_weights = active * bytes per expert / (bandwidth e_b fill / (fill + h))

The first product has k = d_model and n = 2 d_ff / tp (d_ff / tp when not gated), the second
k = d_ff / tp and n = d_model. Loads come from `moe_load`.

Sources: own derivation, as `gemm_form`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ridgeline.numeric import Numeric, ceil, ceil_div, maximum, minimum

__all__ = ["FORMATS", "MoeFormat", "MoeTerms", "moe_terms"]

_COLUMNS = 128


@dataclass(frozen=True)
class MoeFormat:
    """How expert weights are stored and computed; see `gemm_form.Format`."""

    compute: tuple[str, ...]
    weight_bytes: float
    operand_bytes: float


FORMATS: Mapping[str, MoeFormat] = {
    "bfloat16": MoeFormat(("bf16", "fp16"), 2.0, 2.0),
    "fp8": MoeFormat(("fp8", "bf16", "fp16"), 1.0, 1.0),
    "fp8_block": MoeFormat(("fp8", "bf16", "fp16"), 1.0 + 4.0 / 16384, 1.0 + 4.0 / 128),
    "nvfp4": MoeFormat(("fp4", "fp8", "bf16", "fp16"), 0.5 + 1.0 / 16, 0.5 + 1.0 / 16),
    "int4_wo": MoeFormat(("bf16", "fp16"), 0.5 + 2.0 / 128, 2.0),
    "int8_wo": MoeFormat(("bf16", "fp16"), 1.0, 2.0),
    "sq": MoeFormat(("int8", "bf16", "fp16"), 1.0, 1.0),
    "w4a16_mxfp4": MoeFormat(("bf16", "fp16"), 0.5 + 1.0 / 32, 2.0),
    "w4a8_mxfp4_mxfp8": MoeFormat(("fp8", "bf16", "fp16"), 0.5 + 1.0 / 32, 1.0 + 1.0 / 32),
}


@dataclass(frozen=True)
class MoeTerms:
    """The parts of the form [s] and what they were made of.

    Attributes:
        fixed: launches, per-expert and per-token bookkeeping.
        activations, math, weights: the terms above.
        total: their combination.
    """

    fixed: Numeric
    activations: Numeric
    math: Numeric
    weights: Numeric
    total: Numeric


def _product(*, tiles: Numeric, block: int, n: Numeric, k: Numeric, n_cores: float,
             core_rate: Numeric, reach_cost: Numeric, start: Numeric) -> Numeric:
    count = tiles * ceil_div(n, _COLUMNS)
    # Between whole waves and a perfect spread: several blocks share a core.
    waves = 0.5 * (ceil(count / n_cores) + maximum(count / n_cores, 1.0))
    step = 2.0 * block * _COLUMNS / core_rate + (block + _COLUMNS) * reach_cost
    return waves * (start + k * step)


def moe_terms(*, tokens: Numeric, hidden: Numeric, inter: Numeric, matrices_up: Numeric,
              local_experts: Numeric, rows: Numeric, active: Numeric,
              tiles: Sequence[tuple[int, Numeric]], peak: float, peak16: float, bandwidth: float,
              n_cores: float, l2_bytes: float, weight_bytes: float, operand_bytes: float,
              constants: Mapping[str, Numeric], warm: float = 0.0) -> MoeTerms:
    """Every term of the form.

    Args:
        tokens: routed by the whole group. hidden: model width. inter: expert width on this rank.
        matrices_up: 2 when gated, else 1.
        local_experts: on this rank. rows, active: tokens to compute, experts with any.
        tiles: (row block, number of such blocks over the rank's experts).
        peak, peak16, bandwidth, n_cores, l2_bytes, weight_bytes, operand_bytes: as `gemm_terms`.
        constants: launch, expert, token, start [s]; math, memory, reach, fill, act, warm.
        warm: 1 when expert weights that fit stay in cache between calls, else 0.
    """
    c = constants
    core_rate = c["math"] * peak / n_cores
    reach_cost = c["reach"] * operand_bytes * n_cores / peak16
    up = matrices_up * inter
    math = minimum(*(
        _product(tiles=count, block=b, n=up, k=hidden, n_cores=n_cores, core_rate=core_rate,
                 reach_cost=reach_cost, start=c["start"])
        + _product(tiles=count, block=b, n=hidden, k=inter, n_cores=n_cores, core_rate=core_rate,
                   reach_cost=reach_cost, start=c["start"]) for b, count in tiles))
    moved = active * (up + inter) * hidden * weight_bytes
    blocks = active * ceil_div(minimum(up, hidden), _COLUMNS)
    fill = minimum(blocks / n_cores, 4.0)
    hit = warm / (1.0 + (2.0 * moved / maximum(l2_bytes, 1.0)) ** 2)
    weights = moved / (bandwidth * c["memory"] * (1.0 + c["warm"] * hit)) * (1.0 + c["fill"] / fill)
    traffic = rows * (hidden * (2.0 + operand_bytes) + up * 2.0 + inter * operand_bytes
                      + hidden * 4.0)
    activations = c["act"] * traffic / bandwidth
    fixed = c["launch"] + c["expert"] * local_experts + c["token"] * tokens
    p = 2.0
    body = (math**p + weights**p) ** (1.0 / p)
    return MoeTerms(fixed, activations, math, weights, fixed + activations + body)
