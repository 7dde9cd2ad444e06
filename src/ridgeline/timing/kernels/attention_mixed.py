"""Attention of decoding sequences in a step that reads prompts too, where one kernel serves both.

FlashAttention-2 is called once for all sequences of a step. While every one has a single new
token, it packs the query heads that share a KV head into one block of rows, and splits the cache
over thread blocks. As soon as one sequence has more, it does neither: each query head of each
decoding sequence takes a block of 64 rows of its own, 63 of them idle, and walks the whole cache.
vLLM runs this kernel on Ampere, Ada and the GDDR cards of Blackwell with a 16-bit cache; newer
kernels, 8-bit caches (FlashInfer) and other engines keep the two kinds of sequences apart.

Sources: T. Dao, arXiv:2307.08691, and the conditions in the public code of its inference kernel
(`seqlenq_ngroups_swapped` in flash_api.cpp, of which vLLM builds a version); constants from
kernels timed by the profiler of LLMServingSim (J. Cho et al., IISWC 2024). Own derivation.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ridgeline.errors import BadInput
from ridgeline.machine.chip import Chip
from ridgeline.numeric import Numeric, ceil_div, maximum, minimum, where
from ridgeline.timing.constants import constants_text
from ridgeline.timing.kernels.attention import (
    check_positive,
    decode_attention_time,
    kv_element_bytes,
)
from ridgeline.timing.kernels.family import chip_cases
from ridgeline.timing.kernels.result import Distance, KernelTime
from ridgeline.timing.kernels.store import calibration_name, family_of, kernel_family

ROWS = 64.0
"""Query rows, and keys, of a tile of the kernel [tokens]."""
_UNLIMITED = 1e15


def mixed_form(*, batch: Numeric, kv_len: Numeric, q_heads: Numeric, kv_heads: Numeric,
               head_dim: Numeric, v_head_dim: Numeric, window: Numeric, kv_bytes: Numeric,
               peak: Numeric, memory_bandwidth: Numeric, l2_bytes: Numeric, n_cores: Numeric,
               launch: Numeric, score_time: Numeric, block_time: Numeric, crowding: Numeric,
               memory_efficiency: Numeric) -> Numeric:
    """Time of one-token attention where every query head has a block of rows of its own [s].

        t     = launch + max(c, m)
        c     = ceil(u) (ceil(len/64) tile (1 + crowding min(u, 1)) + block_time)
        tile  = 64^2 (2 (d_qk + d_v) n_cores/peak + score_time)
        m     = kv_heads cache (1 + (passes - 1) missed)/(e_m bandwidth)

    u = batch q_heads/n_cores are the blocks of a core, which run one after another; cache = batch
    len (d_qk + d_v) kv_bytes is one KV head's. Blocks go over all sequences before the next head:
    of the q_heads/kv_heads heads that read a cache, max(1, n_cores/batch) run at a time, so it is
    read in so many passes, out of memory where it does not stay in L2: missed = clip(cache/L2 - 1).

    Args:
        batch: decoding sequences [1].
        kv_len: cached tokens with the new one [tokens].
        q_heads, kv_heads: on this device [1].
        head_dim, v_head_dim: of queries and keys, and of values [1].
        window: keys a query sees [tokens]; 0 or at least 1e15: all.
        kv_bytes: per cached element [bytes].
        peak: matrix rate [FLOP/s]; memory_bandwidth: [bytes/s]; l2_bytes: [bytes].
        n_cores: streaming multiprocessors [1].
        launch, block_time: of the kernel, and of a block beside its tiles [s].
        score_time: of what matrix products do not hide, per score and core [s].
        crowding: how much slower tiles are when every core has one [1].
        memory_efficiency: of the bandwidth [1].

    Returns:
        seconds, broadcast.

    >>> chip = {"peak": 504e12, "memory_bandwidth": 1.79e12, "l2_bytes": 1.34e8, "n_cores": 188}
    >>> fitted = {"launch": 3e-6, "score_time": 1.4e-10, "block_time": 3.2e-6,
    ...           "crowding": 0.1, "memory_efficiency": 0.7}
    >>> round(1e6 * mixed_form(batch=128, kv_len=1024, q_heads=32, kv_heads=4, head_dim=128,
    ...                        v_head_dim=128, window=0, kv_bytes=2, **chip, **fitted))
    598
    """
    limited = (window > 0) & (window < _UNLIMITED)
    length = where(limited, minimum(kv_len, window), kv_len)
    widths = head_dim + v_head_dim
    blocks = batch * q_heads / n_cores
    tile = ROWS**2 * (2 * widths * n_cores / peak + score_time)
    chain = ceil_div(length, ROWS) * tile * (1 + crowding * minimum(blocks, 1.0)) + block_time
    cache = batch * length * widths * kv_bytes
    passes = maximum(1.0, q_heads / kv_heads / maximum(1.0, n_cores / batch))
    missed = minimum(maximum(cache / l2_bytes - 1, 0.0), 1.0)
    memory = kv_heads * cache * (1 + (passes - 1) * missed) / (memory_efficiency
                                                               * memory_bandwidth)
    return launch + maximum(ceil_div(blocks, 1.0) * chain, memory)


def decodes_in_prompt_kernel(engine: str, chip: Chip, kv_format: str) -> bool:
    """Whether an engine's step with prompts puts decoding sequences into the prompts' kernel.

    The kernel needs an Ampere card or a newer one.
    """
    return (engine == "vllm" and kernel_family(chip) == "warp-mma"
            and family_of(chip.architecture) != "Turing" and kv_element_bytes(kv_format) > 1.5)


@functools.cache
def shipped() -> Mapping[str, Any]:
    """The fitted constants that this process uses.

    Raises:
        BadInput: the installation lacks the data file.
    """
    text = constants_text("attention_mixed.json")
    if text is None:
        raise BadInput("no constants for attention in mixed steps in this installation")
    content: Mapping[str, Any] = json.loads(text)
    return content


def mixed_decode_time(chip: Chip, *, batch: Any, kv_len: Any, q_heads: Any, kv_heads: Any,
                      head_dim: Any, v_head_dim: Any = None, window: Any = 0.0,
                      kv_format: str = "bf16", backend: str = "vllm",
                      content: Mapping[str, Any] | None = None) -> KernelTime:
    """Time of attention of one new token a sequence, one layer, in a step that reads prompts too.

    That of `mixed_form` where such a step has one kernel for all, and never below the time of the
    same sequences alone, which it is for other engines, chips and caches. The prompts' own blocks
    come on top; measured together with chunks of 1,024 and 2,048 tokens, both take 11 and 18 %
    longer than their sum at 128 sequences of 1,024 tokens (RTX PRO 6000), less with fewer.

    Args:
        chip: what it runs on.
        batch: decoding sequences [1].
        kv_len: cached tokens with the new one [tokens].
        q_heads, kv_heads: on this device [1].
        head_dim, v_head_dim: of queries and keys, and of values (None: the same) [1].
        window: keys a query sees [tokens]; 0 or at least 1e15: all.
        kv_format: of the cache. backend: engine.
        content: constants to use instead of the shipped ones.

    Raises:
        BadInput: a size that is not positive, an unknown cache format.
    """
    alone = decode_attention_time(
        chip, batch=batch, kv_len=kv_len, q_heads=q_heads, kv_heads=kv_heads, head_dim=head_dim,
        v_head_dim=v_head_dim, window=window, kv_format=kv_format, backend=backend)
    if not decodes_in_prompt_kernel(backend, chip, kv_format):
        return alone
    v_head_dim = head_dim if v_head_dim is None else v_head_dim
    check_positive(batch=batch, kv_len=kv_len, q_heads=q_heads, kv_heads=kv_heads)
    data = shipped() if content is None else content
    name = calibration_name(chip.name)
    distance: Distance = "table" if name in data["constants"] else "pooled"
    name = name if distance == "table" else "*"
    seconds = np.asarray(mixed_form(
        batch=np.asarray(batch, float), kv_len=np.asarray(kv_len, float), q_heads=q_heads,
        kv_heads=kv_heads, head_dim=head_dim, v_head_dim=v_head_dim, window=np.asarray(window),
        kv_bytes=kv_element_bytes(kv_format), **chip_side(chip), **data["constants"][name]))
    seconds = np.maximum(seconds, alone.seconds)
    spread = np.broadcast_to(np.asarray(data["spreads"][name]), (*seconds.shape, 4))
    return KernelTime(seconds, spread, distance)


def chip_side(chip: Chip) -> dict[str, float]:
    """What the form needs of a chip."""
    found = chip_cases(chip, "bf16")
    return {name: found[name] for name in ("peak", "memory_bandwidth", "l2_bytes", "n_cores")}
