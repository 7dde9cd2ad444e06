"""Memory traffic of attention kernels: materialised scores, tiled (flash), split decode, states.

Pure formulas; one head, one layer and one sequence unless a count is an argument.
"""

from __future__ import annotations

from ridgeline.numeric import Numeric, ceil_div, maximum, minimum

__all__ = [
    "attention_flop", "decode_attention_occupancy", "decode_attention_time",
    "flash_attention_bytes", "flash_attention_floor_bytes", "recurrent_state_bytes",
    "score_matrix_bytes", "splits_to_fill", "standard_attention_bytes",
    "state_in_cached_tokens", "windowed_tokens",
]


def attention_flop(*, n_heads: Numeric, prompt_tokens: Numeric, head_dim: Numeric,
                   causal_share: Numeric = 0.5) -> Numeric:
    """Operations of the two attention products (scores, and scores times values).

        flop = 4 * n_heads * N**2 * d * causal_share

    Args:
        n_heads: query heads, layers and sequences counted in if wanted [1].
        prompt_tokens: sequence length N [token].
        head_dim: width of a head d [1].
        causal_share: 0.5 under a causal mask, 1 without [1].
    Returns:
        operations [FLOP].
    Raises:
        nothing.
    Valid for: exact attention; tiling changes the traffic, not this count.
    Sources: Dao et al., "FlashAttention", arXiv 2205.14135.

    >>> attention_flop(n_heads=1, prompt_tokens=8192, head_dim=128, causal_share=1)
    34359738368.0
    """
    return 4.0 * n_heads * prompt_tokens**2 * head_dim * causal_share


def standard_attention_bytes(*, prompt_tokens: Numeric, head_dim: Numeric,
                             bytes_in: Numeric) -> Numeric:
    """Traffic of attention that writes the score matrix to memory, one head.

        bytes = b * (4 * N * d + 4 * N**2)

    Args:
        prompt_tokens: sequence length N [token].
        head_dim: width of a head d [1].
        bytes_in: of one element [B].
    Returns:
        bytes moved [B].
    Raises:
        nothing.
    Valid for: scores and probabilities each written and read once; no dropout.
    Sources: Dao et al., "FlashAttention", arXiv 2205.14135, theorem 2 (Theta(N d + N**2)).

    >>> round(standard_attention_bytes(prompt_tokens=8192, head_dim=128, bytes_in=2) / 1e6, 1)
    545.3
    """
    return bytes_in * (4.0 * prompt_tokens * head_dim + 4.0 * prompt_tokens**2)


def flash_attention_floor_bytes(*, prompt_tokens: Numeric, head_dim: Numeric,
                                bytes_in: Numeric) -> Numeric:
    """Least traffic of any exact attention: read Q, K and V, write the output, one head.

        bytes = b * 4 * N * d

    Args:
        prompt_tokens: sequence length N [token].
        head_dim: width of a head d [1].
        bytes_in: of one element [B].
    Returns:
        bytes moved [B].
    Raises:
        nothing.
    Valid for: on-chip memory large enough to hold all keys and values.
    Sources: own derivation (each operand crosses the interface once).

    >>> round(flash_attention_floor_bytes(prompt_tokens=8192, head_dim=128, bytes_in=2) / 1e6, 2)
    8.39
    """
    return bytes_in * 4.0 * prompt_tokens * head_dim


def flash_attention_bytes(*, prompt_tokens: Numeric, head_dim: Numeric, bytes_in: Numeric,
                          sram_bytes: Numeric) -> Numeric:
    """Traffic of tiled attention with on-chip memory of a given size, one head.

        bytes = b * (4 * N * d + N**2 * d**2 / M),  M = sram_bytes / b elements

    Args:
        prompt_tokens: sequence length N [token].
        head_dim: width of a head d [1].
        bytes_in: of one element [B].
        sram_bytes: on-chip memory of one core, as b-byte elements M [B].
    Returns:
        bytes moved [B].
    Raises:
        ZeroDivisionError: no on-chip memory, for plain floats.
    Valid for: d <= M <= N * d; the constant of the second term is 1 by convention.
    Sources: Dao et al., "FlashAttention", arXiv 2205.14135, theorem 2 (Theta(N**2 d**2 / M)).

    >>> round(flash_attention_bytes(prompt_tokens=8192, head_dim=128, bytes_in=2,
    ...                             sram_bytes=100 * 1024) / 1e6, 1)
    51.3
    """
    passes = bytes_in * prompt_tokens**2 * head_dim**2 / (sram_bytes / bytes_in)
    return passes + flash_attention_floor_bytes(
        prompt_tokens=prompt_tokens, head_dim=head_dim, bytes_in=bytes_in)


def score_matrix_bytes(*, n_heads: Numeric, prompt_tokens: Numeric, bytes_in: Numeric) -> Numeric:
    """Size of the score matrix that tiled attention never writes.

        bytes = n_heads * N**2 * b

    Args:
        n_heads: query heads [1].
        prompt_tokens: sequence length N [token].
        bytes_in: of one score [B].
    Returns:
        bytes held for one layer and sequence [B].
    Raises:
        nothing.
    Valid for: full attention.
    Sources: Dao et al., "FlashAttention", arXiv 2205.14135.

    >>> round(score_matrix_bytes(n_heads=64, prompt_tokens=8192, bytes_in=2) / 1e9, 2)
    8.59
    """
    return n_heads * prompt_tokens**2 * bytes_in


def decode_attention_occupancy(*, batch_size: Numeric, n_kv_heads: Numeric, n_splits: Numeric,
                               n_cores: Numeric) -> Numeric:
    """Share of the cores that one decode attention kernel keeps busy.

        u = min(1, B * n_kv_heads * n_splits / n_cores)

    Args:
        batch_size: sequences in the step [1].
        n_kv_heads: key-value heads on this chip [1].
        n_splits: pieces each sequence's context is cut into (1: no split) [1].
        n_cores: streaming multiprocessors [1].
    Returns:
        occupancy between 0 and 1 [1].
    Raises:
        ZeroDivisionError: no cores, for plain floats.
    Valid for: one work unit for each sequence, KV head and split; first wave only.
    Sources: Dao et al., "Flash-Decoding for long-context inference", 2023 (the parallelism).

    >>> round(decode_attention_occupancy(batch_size=1, n_kv_heads=8, n_splits=1, n_cores=132), 3)
    0.061
    """
    return minimum(1.0, batch_size * n_kv_heads * n_splits / n_cores)


def splits_to_fill(*, batch_size: Numeric, n_kv_heads: Numeric, n_cores: Numeric) -> Numeric:
    """Fewest context splits with which decode attention fills the chip.

        n_splits = ceil(n_cores / (B * n_kv_heads))

    Args:
        batch_size: sequences in the step [1].
        n_kv_heads: key-value heads on this chip [1].
        n_cores: streaming multiprocessors [1].
    Returns:
        splits [1].
    Raises:
        ZeroDivisionError: no sequences or heads, for plain floats.
    Valid for: contexts long enough to be cut so often.
    Sources: own derivation (decode_attention_occupancy = 1).

    >>> splits_to_fill(batch_size=1, n_kv_heads=8, n_cores=132)
    17.0
    """
    return ceil_div(n_cores, batch_size * n_kv_heads)


def decode_attention_time(*, kv_bytes: Numeric, memory_bandwidth: Numeric,
                          occupancy: Numeric) -> Numeric:
    """Time to read the cache when only a share of the cores is busy.

        t = kv_bytes / (memory_bandwidth * occupancy)

    Args:
        kv_bytes: cache read by the kernel [B].
        memory_bandwidth: device memory bandwidth [B/s].
        occupancy: share of the cores busy, at most 1 [1].
    Returns:
        time [s].
    Raises:
        ZeroDivisionError: no bandwidth or no core busy, for plain floats.
    Valid for: bandwidth in proportion to busy cores, a pessimistic bound for few cores.
    Sources: own derivation.

    >>> decode_attention_time(kv_bytes=3.35e9, memory_bandwidth=3.35e12, occupancy=0.5)
    0.002
    """
    return kv_bytes / (memory_bandwidth * occupancy)


def recurrent_state_bytes(*, n_layers: Numeric, d_inner: Numeric, d_state: Numeric,
                          conv_kernel: Numeric, bytes_in: Numeric) -> Numeric:
    """State of one sequence in a selective state space model, at any length.

        bytes = n_layers * d_inner * (d_state + conv_kernel - 1) * b

    Args:
        n_layers: state space layers [1].
        d_inner: inner width [1].
        d_state: state size of a channel N [1].
        conv_kernel: width of the short convolution [1].
        bytes_in: of one state element [B].
    Returns:
        bytes of one sequence [B].
    Raises:
        nothing.
    Valid for: Mamba-1; one format for state and convolution.
    Sources: Gu, Dao, "Mamba", arXiv 2312.00752 (shapes).

    >>> round(recurrent_state_bytes(n_layers=64, d_inner=5120, d_state=16, conv_kernel=4,
    ...                             bytes_in=2) / 1e6, 2)
    12.45
    """
    return n_layers * d_inner * (d_state + conv_kernel - 1.0) * bytes_in


def state_in_cached_tokens(*, state_bytes: Numeric, kv_bytes_per_token: Numeric) -> Numeric:
    """Context length at which an attention cache outgrows a constant state.

        L = state_bytes / kv_bytes_per_token

    Args:
        state_bytes: constant state of one sequence [B].
        kv_bytes_per_token: cache of the attention model compared with [B/token].
    Returns:
        context length [token].
    Raises:
        ZeroDivisionError: no cache, for plain floats.
    Valid for: full attention.
    Sources: own derivation.

    >>> round(state_in_cached_tokens(state_bytes=12.45e6, kv_bytes_per_token=327680))
    38
    """
    return state_bytes / kv_bytes_per_token


def windowed_tokens(*, context_length: Numeric, window: Numeric, local_share: Numeric,
                    sink_tokens: Numeric = 0.0) -> Numeric:
    """Cached tokens a layer reads on average when some layers see only a window.

        L_eff = local_share * min(L, window + sink_tokens) + (1 - local_share) * L

    Args:
        context_length: tokens in context L [token].
        window: tokens a local layer keeps [token].
        local_share: share of layers that are local (5:1 interleaving is 5/6) [1].
        sink_tokens: first tokens kept besides the window [token].
    Returns:
        tokens a layer reads on average [token].
    Raises:
        nothing.
    Valid for: sliding windows; use local_share 1 for a purely windowed model.
    Sources: Beltagy et al., "Longformer", arXiv 2004.05150; Xiao et al., arXiv 2309.17453 (sinks).

    >>> windowed_tokens(context_length=131072, window=1024, local_share=0.75)
    33536.0
    """
    local = minimum(context_length, maximum(window + sink_tokens, 0.0))
    return local_share * local + (1.0 - local_share) * context_length
