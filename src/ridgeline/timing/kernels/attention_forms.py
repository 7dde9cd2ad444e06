"""Physical forms of attention kernels: prefill over causal tiles, decode over the KV cache.

Both follow the tiling of FlashAttention-2 (T. Dao, arXiv:2307.08691): a block of query rows per
thread block, a loop over blocks of keys and values. Decode splits the cache over thread blocks so
that short batches fill the chip (split-KV, Flash-Decoding). The forms are own derivations.
"""

from __future__ import annotations

from typing import Any

from ridgeline.numeric import Numeric, ceil_div, log2, maximum, minimum, where

TILE = 128.0
"""Query rows, and keys, in a tile of a prefill kernel [tokens]."""
KV_BLOCK = 64.0
"""Tokens of the cache that one thread block of a decode kernel takes at least."""
_UNLIMITED = 1e15
_MMA_ROWS = 16.0                   # rows of the narrowest matrix instruction
_HIDDEN = 0.3                      # share of the lesser of compute and memory that is not hidden
_RESIDENT = 1.2                    # L2 share left over before nothing of the input stays in it


def causal_tiles(*, q_tiles: Numeric, past_tiles: Numeric, window_tiles: Numeric) -> Numeric:
    """Key tiles visited by all query tiles of one head and sequence, causal, with a window.

        sum_{i = 1..q} min(p + i, w) = p k + k (k + 1)/2 + (q - k) w,  k = clip(w - p, 0, q)

    Args:
        q_tiles: query tiles [1].
        past_tiles: key tiles before the first query [1].
        window_tiles: key tiles a query tile sees at most [1].

    >>> causal_tiles(q_tiles=4.0, past_tiles=0.0, window_tiles=2.0)
    7.0
    """
    k = minimum(maximum(window_tiles - past_tiles, 0.0), q_tiles)
    return past_tiles * k + k * (k + 1) / 2 + (q_tiles - k) * window_tiles


def causal_pairs(*, new_tokens: Numeric, past_tokens: Numeric, window: Numeric) -> Numeric:
    """Scores that causal attention needs for one head and sequence [1]; window: keys seen."""
    return causal_tiles(q_tiles=new_tokens, past_tiles=past_tokens, window_tiles=window)


def resident_share(*, bytes: Numeric, l2_bytes: Numeric) -> Numeric:
    """Share of an input that a kernel, repeated on it, finds in L2 [1]."""
    return minimum(maximum(_RESIDENT - bytes / l2_bytes, 0.0), 1.0)


def prefill_form(*, batch: Numeric, new_tokens: Numeric, past_tokens: Numeric, q_heads: Numeric,
                 kv_heads: Numeric, head_dim: Numeric, v_head_dim: Numeric, window: Numeric,
                 kv_bytes: Numeric, peak: Numeric, fastest_peak: Numeric,
                 memory_bandwidth: Numeric, l2_bytes: Numeric, n_cores: Numeric, warm: Numeric,
                 launch: Numeric, compute_efficiency: Numeric, memory_efficiency: Numeric,
                 score_time: Numeric, tail: Numeric, l2_gain: Numeric, window_blind: Numeric,
                 extra_traffic: Numeric, wave_time: Numeric) -> dict[str, Any]:
    """Time of prefill attention, with its terms.

        tile  = 128^2 (2 (d_qk + d_v) n_cores/(e_c peak) + score_time)
        t     = launch + max(c, m) + 0.3 min(c, m) + wave_time ceil(thread_blocks/n_cores)
        c     = tile (tiles/n_cores + tail * longest (1 - 1/n_cores))
        m     = (1 + extra_traffic) bytes/(e_m bandwidth (1 + l2_gain * resident * warm))

    Tiles are 128 x 128 and causal; with a window a kernel visits only the tiles in it, except for
    a share `window_blind` of the others (some kernels skip nothing). The longest thread block is
    the last query tile of a sequence; the cache before the prompt may be split over idle cores.

    Args:
        batch: sequences [1].
        new_tokens, past_tokens: per sequence, computed now and cached before [tokens].
        q_heads, kv_heads: on this device [1].
        head_dim, v_head_dim: of queries and keys, and of values [1].
        window: keys a query sees [tokens]; 0 or at least 1e15: all.
        kv_bytes: per cached element [bytes].
        peak, fastest_peak: matrix rate of the computing format, and the fastest [FLOP/s].
        memory_bandwidth: [bytes/s].
        l2_bytes: [bytes].
        n_cores: streaming multiprocessors [1].
        warm: 1 where inputs that fit in L2 come from there, 0 where all comes from memory.
        launch, wave_time: [s]; score_time: [s] per score and core.
        compute_efficiency, memory_efficiency: of the peaks [1].
        tail, l2_gain, window_blind, extra_traffic: [1].

    Returns:
        "seconds", "floor" (least time by physics) and the terms the learned part looks at.
    """
    limited = (window > 0) & (window < _UNLIMITED)
    keys = where(limited, window, _UNLIMITED)
    width = where(limited, ceil_div(keys, TILE) + 1, _UNLIMITED)
    q_tiles, past_tiles = ceil_div(new_tokens, TILE), past_tokens / TILE
    full = causal_tiles(q_tiles=q_tiles, past_tiles=past_tiles, window_tiles=_UNLIMITED)
    seen = causal_tiles(q_tiles=q_tiles, past_tiles=past_tiles, window_tiles=width)
    tiles = seen + window_blind * (full - seen)
    blocks = batch * q_heads * q_tiles
    chain = minimum(past_tiles + q_tiles, width)
    chain = chain + window_blind * (past_tiles + q_tiles - chain)
    longest = minimum(chain, maximum(minimum(q_tiles, chain), batch * q_heads * tiles / n_cores))
    widths = head_dim + v_head_dim
    tile = TILE**2 * (2 * widths * n_cores / (compute_efficiency * peak) + score_time)
    compute = tile * (batch * q_heads * tiles / n_cores + tail * longest * (1 - 1 / n_cores))
    fresh = 2 * batch * new_tokens * (q_heads + kv_heads) * widths
    cached = batch * minimum(past_tokens, keys) * kv_heads * widths * kv_bytes
    resident = resident_share(bytes=fresh + cached, l2_bytes=l2_bytes)
    memory = ((1 + extra_traffic) * (fresh + cached)
              / (memory_efficiency * memory_bandwidth * (1 + l2_gain * resident * warm)))
    waves = ceil_div(blocks, n_cores)
    seconds = (launch + maximum(compute, memory) + _HIDDEN * minimum(compute, memory)
               + wave_time * waves)
    flop = 2 * batch * q_heads * widths * causal_pairs(
        new_tokens=new_tokens, past_tokens=past_tokens, window=keys)
    must = maximum(fresh + cached - warm * l2_bytes, 0.0)
    return {"seconds": seconds, "floor": maximum(flop / peak, must / memory_bandwidth),
            "compute": compute, "memory": memory, "blocks": blocks / n_cores,
            "longest": longest, "resident": resident, "bytes": fresh + cached}


def decode_form(*, batch: Numeric, kv_len: Numeric, q_heads: Numeric, kv_heads: Numeric,
                head_dim: Numeric, v_head_dim: Numeric, shared_kv: Numeric, window: Numeric,
                kv_bytes: Numeric, peak: Numeric, fastest_peak: Numeric,
                memory_bandwidth: Numeric, l2_bytes: Numeric, n_cores: Numeric, warm: Numeric,
                launch: Numeric, compute_efficiency: Numeric, memory_efficiency: Numeric,
                depth_time: Numeric, occupancy: Numeric, l2_gain: Numeric,
                wave_time: Numeric) -> dict[str, Any]:
    """Time of one-token decode attention over a paged KV cache, with its terms.

        t = launch + depth_time log2(1 + blocks) + max(c, m) + 0.3 min(c, m)
            + wave_time ceil(batch kv_heads/n_cores)
        m = bytes/(e_m o bandwidth (1 + l2_gain * resident * warm))
        c = 2 batch len kv_heads group (d_qk + d_v)/(e_c o peak)
        o = u/(u + occupancy n_cores),  u = batch kv_heads ceil(len/64)

    `len` is what the window leaves of the cache; `group` the query heads of one KV head, padded to
    the 16 rows of a matrix instruction.

    Args:
        batch: sequences, one query token each [1].
        kv_len: cached tokens with the new one [tokens].
        q_heads, kv_heads: on this device [1].
        head_dim, v_head_dim: of queries and keys, and of values [1].
        shared_kv: 1 where values are part of the keys and read once (latent attention), else 0.
        window, kv_bytes, peak, fastest_peak, memory_bandwidth, l2_bytes, n_cores, warm: as in
            `prefill_form`.
        launch, depth_time, wave_time: [s].
        compute_efficiency, memory_efficiency: of the peaks [1].
        occupancy, l2_gain: [1].

    Returns:
        "seconds", "floor" (least time by physics) and the terms the learned part looks at.
    """
    length = where((window > 0) & (window < _UNLIMITED), minimum(kv_len, window), kv_len)
    widths = head_dim + v_head_dim
    cache = batch * length * kv_heads * (head_dim + (1 - shared_kv) * v_head_dim) * kv_bytes
    moved = cache + 2 * batch * q_heads * widths
    depth = ceil_div(length, KV_BLOCK)
    units = batch * kv_heads * depth / n_cores
    filled = units / (units + occupancy)
    resident = resident_share(bytes=moved, l2_bytes=l2_bytes)
    memory = moved / (memory_efficiency * filled * memory_bandwidth
                      * (1 + l2_gain * resident * warm))
    group = q_heads / kv_heads
    padded = maximum(ceil_div(group, _MMA_ROWS) * _MMA_ROWS, _MMA_ROWS)
    compute = (2 * batch * length * kv_heads * padded * widths
               / (compute_efficiency * filled * peak))
    waves = ceil_div(batch * kv_heads, n_cores)
    seconds = (launch + depth_time * log2(1 + depth) + maximum(compute, memory)
               + _HIDDEN * minimum(compute, memory) + wave_time * waves)
    flop = 2 * batch * length * q_heads * widths
    must = maximum(moved - warm * l2_bytes, 0.0)
    return {"seconds": seconds, "floor": maximum(flop / fastest_peak, must / memory_bandwidth),
            "compute": compute, "memory": memory, "units": units, "resident": resident,
            "length": length, "bytes": moved}
