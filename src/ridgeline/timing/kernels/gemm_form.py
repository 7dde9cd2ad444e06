"""The physical form of a dense matrix product C[m,n] = A[m,k] W[k,n] on one chip.

    t      = t_launch + t_quantise + (t_math^p + t_memory^p)^(1/p)
    t_math = min over tiles of  waves * (t_start + k_part * (2 bm bn / rate + c (bm + bn) / reach))
    waves  = ceil(ceil(m/bm) ceil(n/bn) s / n_cores),  s = split of k over idle cores
    t_memory = bytes / (bandwidth * e_b * fill / (fill + h)),  fill = CTAs in flight / n_cores

`rate` is one core's share of the peak times an efficiency, `reach` its share of on-chip operand
bandwidth (taken as proportional to the peak of 16-bit math). Weights that stay in the L2 cache
between calls (`warm`, only so in kernel benchmarks) are read `1 + w` times as fast.

Sources: own derivation; the terms are those of tiled GEMM on a GPU (NVIDIA "Matrix multiplication
background", tile and wave quantisation) and of stream-K splitting (Osama et al., 2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ridgeline.numeric import Numeric, ceil_div, maximum, minimum, where

__all__ = ["FORMATS", "TILES", "Format", "Terms", "gemm_terms"]

# (rows, columns, cores that share the tile): the shapes GPU libraries choose among. The last is
# the tile that two cores compute together on Blackwell.
TILES: tuple[tuple[int, int, int], ...] = (
    (16, 64, 1), (32, 64, 1), (64, 64, 1), (64, 128, 1), (128, 128, 1), (128, 256, 1),
    (256, 128, 1), (256, 256, 2))
_K_STEP = 64
_MOST_SPLIT = 8.0


@dataclass(frozen=True)
class Format:
    """How a weight format is computed.

    Attributes:
        compute: names of the peak it runs at, best first.
        weight_bytes: per weight, scales included.
        operand_bytes: per element of A as the matrix unit reads it.
        quantises: whether A is quantised from 16 bit on the way in.
    """

    compute: tuple[str, ...]
    weight_bytes: float
    operand_bytes: float
    quantises: bool


FORMATS: Mapping[str, Format] = {
    "bfloat16": Format(("bf16", "fp16"), 2.0, 2.0, False),
    "float16": Format(("fp16", "bf16"), 2.0, 2.0, False),
    "fp8": Format(("fp8", "bf16", "fp16"), 1.0, 1.0, True),
    "fp8_static": Format(("fp8", "bf16", "fp16"), 1.0, 1.0, True),
    "fp8_block": Format(("fp8", "bf16", "fp16"), 1.0 + 4.0 / 16384, 1.0 + 4.0 / 128, True),
    "nvfp4": Format(("fp4", "fp8", "bf16", "fp16"), 0.5 + 1.0 / 16, 0.5 + 1.0 / 16, True),
    "int8_wo": Format(("bf16", "fp16"), 1.0, 2.0, False),
    "int4_wo": Format(("bf16", "fp16"), 0.5 + 2.0 / 128, 2.0, False),
    "sq": Format(("int8", "bf16", "fp16"), 1.0, 1.0, True),
}


@dataclass(frozen=True)
class Terms:
    """The parts of the form, each broadcast over the cases [s unless said].

    Attributes:
        launch, quantise, math, memory: the terms above.
        total: their combination.
    """

    launch: Numeric
    quantise: Numeric
    math: Numeric
    memory: Numeric
    total: Numeric


def _tile_time(*, m: Numeric, n: Numeric, k: Numeric, tile: tuple[int, int, int],
               n_cores: float, core_rate: Numeric, reach_cost: Numeric,
               start: Numeric) -> Numeric:
    """Time of all waves with one tile shape [s]; `reach_cost` in seconds per row or column."""
    rows, cols, share = tile
    tiles = ceil_div(m, rows) * ceil_div(n, cols) * share
    split = maximum(1.0, minimum(n_cores / tiles, _MOST_SPLIT, k / (4.0 * _K_STEP)))
    # A split below 2 is no split: cores cannot take fractions of the k loop.
    split = where(split < 2.0, 1.0, split)
    waves = where(split > 1.0, 1.0, ceil_div(tiles, n_cores))
    depth = ceil_div(k / split, _K_STEP) * _K_STEP
    step = 2.0 * rows * cols / share / core_rate + (rows + cols) / share * reach_cost
    return waves * (start * where(split > 1.0, 1.5, 1.0) + depth * step)


def gemm_terms(*, m: Numeric, n: Numeric, k: Numeric, peak: float, peak16: float,
               bandwidth: float, n_cores: float, l2_bytes: float, weight_bytes: float,
               operand_bytes: float, quantises: bool, tiles: tuple[tuple[int, int, int], ...],
               constants: Mapping[str, Numeric], warm: float = 0.0) -> Terms:
    """Every term of the form.

    Args:
        m, n, k: rows of A, columns of W, inner size; broadcast together.
        peak, peak16: matrix rate of the format and of 16 bit [FLOP/s].
        bandwidth: device memory [bytes/s].
        n_cores: streaming multiprocessors.
        l2_bytes: last-level cache [bytes], 0 when unknown.
        weight_bytes, operand_bytes: per element of W and of A.
        quantises: whether A arrives as 16 bit and is quantised first.
        tiles: tile shapes the chip's libraries have.
        constants: launch [s], quant_launch [s], math, memory, reach, start [s], fill, warm,
            quant (efficiencies and ratios, see the module).
        warm: 1 when weights that fit stay in cache between calls, else 0.
    """
    c = constants
    core_rate = c["math"] * peak / n_cores
    # One row or column of a tile per k step, against an SM that reads c["reach"] of them while
    # the 16-bit unit does a 1 x 1 product of the same depth.
    reach_cost = c["reach"] * operand_bytes * n_cores / peak16
    times = [_tile_time(m=m, n=n, k=k, tile=t, n_cores=n_cores, core_rate=core_rate,
                        reach_cost=reach_cost, start=c["start"]) for t in tiles]
    math = minimum(*times)
    weights = weight_bytes * n * k
    moved = weights + operand_bytes * m * k + 2.0 * m * n
    blocks = ceil_div(m, 64) * ceil_div(n, 64) * maximum(1.0, minimum(k / 1024.0, 8.0))
    fill = minimum(blocks / n_cores, 4.0)
    hit = warm / (1.0 + (6.0 * moved / maximum(l2_bytes, 1.0)) ** 2)
    memory = moved / (bandwidth * c["memory"] * (1.0 + c["warm"] * hit)) * (1.0 + c["fill"] / fill)
    quantise = 0.0 * m if not quantises else (
        c["quant_launch"] + c["quant"] * (2.0 + operand_bytes) * m * k / bandwidth)
    p = 3.0
    body = (math**p + memory**p) ** (1.0 / p)
    return Terms(c["launch"] + 0.0 * m, quantise, math, memory, c["launch"] + quantise + body)
