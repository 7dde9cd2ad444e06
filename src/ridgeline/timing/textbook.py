"""The textbook serving model: ceilings, floors, one decode step, one prefill, one request.

Pure formulas with a whole model as a handful of numbers. They reproduce published back-of-the-
envelope values with efficiencies of 1; the op-by-op model refines them.
"""

from __future__ import annotations

from ridgeline.numeric import Numeric
from ridgeline.timing.bounds import overlapped_time, roofline_time

__all__ = [
    "attention_flop_per_cached_token", "decode_bytes", "decode_flop", "decode_step",
    "decode_throughput", "forward_pass_ceiling", "forward_pass_floor", "forward_pass_ratio",
    "latency_floor", "model_bandwidth_utilisation", "model_flops_utilisation", "prefill",
    "prefill_bytes", "prefill_ceiling", "prefill_flop", "request_flop",
]


def forward_pass_ceiling(*, active_params: Numeric, n_chips: Numeric,
                         peak_flops_per_s: Numeric) -> Numeric:
    """Most forward passes (tokens) per second: every chip computes all the time.

        ceiling = n * C / (2 * P_active)

    Args:
        active_params: parameters one token uses [param].
        n_chips: chips [1].
        peak_flops_per_s: dense peak of one chip C [FLOP/s].
    Returns:
        forward passes per second [token/s].
    Raises:
        ZeroDivisionError: no parameters, for plain floats.
    Valid for: attention over the context neglected.
    Sources: Kaplan et al., arXiv 2001.08361 (2 FLOP for each parameter and token).

    >>> round(forward_pass_ceiling(active_params=280e9, n_chips=1, peak_flops_per_s=312e12), 1)
    557.1
    """
    return n_chips * peak_flops_per_s / (2.0 * active_params)


def forward_pass_floor(*, params_read: Numeric, bytes_per_param: Numeric, n_chips: Numeric,
                       memory_bandwidth: Numeric) -> Numeric:
    """Forward passes per second of one sequence alone: weights are read for each token.

        floor = n * W / (b * P_read)

    Args:
        params_read: parameters read in a step, the active ones at batch 1 [param].
        bytes_per_param: of one parameter b [B/param].
        n_chips: chips that each read their share [1].
        memory_bandwidth: device memory bandwidth of one chip W [B/s].
    Returns:
        forward passes per second [token/s].
    Raises:
        ZeroDivisionError: no bytes, for plain floats.
    Valid for: batch 1, short context.
    Sources: Pope et al., "Efficiently Scaling Transformer Inference", arXiv 2211.05102.

    >>> round(forward_pass_floor(params_read=280e9, bytes_per_param=2, n_chips=1,
    ...                          memory_bandwidth=2e12), 2)
    3.57
    """
    return n_chips * memory_bandwidth / (bytes_per_param * params_read)


def forward_pass_ratio(*, ridge: Numeric, bytes_per_param: Numeric) -> Numeric:
    """How far the compute ceiling lies above the batch-1 bandwidth floor.

        ratio = h * b / 2

    Args:
        ridge: ridge point of the chip h [FLOP/B].
        bytes_per_param: of one parameter b [B/param].
    Returns:
        ratio [1].
    Raises:
        nothing.
    Valid for: any model whose active parameters are all read.
    Sources: own derivation (forward_pass_ceiling over forward_pass_floor).

    >>> forward_pass_ratio(ridge=156, bytes_per_param=2)
    156.0
    """
    return ridge * bytes_per_param / 2.0


def latency_floor(*, params_read: Numeric, bytes_per_param: Numeric, n_chips: Numeric,
                  memory_bandwidth: Numeric) -> Numeric:
    """Least time of a decode step: every weight it needs is read once.

        t = b * P_read / (n * W)

    Args:
        params_read: parameters read in a step [param].
        bytes_per_param: of one parameter b [B/param].
        n_chips: chips that each read their share [1].
        memory_bandwidth: device memory bandwidth of one chip W [B/s].
    Returns:
        time [s].
    Raises:
        ZeroDivisionError: no chips or bandwidth, for plain floats.
    Valid for: one token for each sequence in a pass, weights not held on chip.
    Sources: Pope et al., "Efficiently Scaling Transformer Inference", arXiv 2211.05102.

    >>> round(latency_floor(params_read=70553706496, bytes_per_param=2, n_chips=8,
    ...                     memory_bandwidth=3.35e12) * 1e3, 2)
    5.27
    """
    return bytes_per_param * params_read / (n_chips * memory_bandwidth)


def attention_flop_per_cached_token(*, n_layers: Numeric, n_heads: Numeric,
                                    head_dim: Numeric) -> Numeric:
    """Attention operations one new token does for each token in its context.

        flop = 4 * n_layers * n_heads * head_dim

    Args:
        n_layers: attention layers [1].
        n_heads: query heads [1].
        head_dim: width of a head [1].
    Returns:
        operations for each cached token [FLOP/token].
    Raises:
        nothing.
    Valid for: full attention; sharing KV heads does not change it.
    Sources: Kaplan et al., arXiv 2001.08361, table 1 (scores and weighted sum, 2 FLOP each).

    >>> attention_flop_per_cached_token(n_layers=80, n_heads=64, head_dim=128)
    2621440.0
    """
    return 4.0 * n_layers * n_heads * head_dim


def decode_bytes(*, params_read: Numeric, bytes_per_param: Numeric, batch_size: Numeric,
                 context_length: Numeric, kv_bytes_per_token: Numeric) -> Numeric:
    """Bytes a decode step reads: the weights once, every sequence's cache.

        bytes = b * P_read + B * L * k

    Args:
        params_read: parameters read in a step [param].
        bytes_per_param: of one parameter b [B/param].
        batch_size: sequences in the step B [1].
        context_length: tokens in each sequence's context L [token].
        kv_bytes_per_token: cache of one token k [B/token].
    Returns:
        bytes on all chips together [B].
    Raises:
        nothing.
    Valid for: caches neither shared nor copied between chips; activations neglected.
    Sources: Pope et al., "Efficiently Scaling Transformer Inference", arXiv 2211.05102.

    >>> decode_bytes(params_read=1e9, bytes_per_param=2, batch_size=2, context_length=1000,
    ...              kv_bytes_per_token=1e5)
    2200000000.0
    """
    return bytes_per_param * params_read + batch_size * context_length * kv_bytes_per_token


def decode_flop(*, active_params: Numeric, batch_size: Numeric, context_length: Numeric = 0.0,
                attention_flop_per_token: Numeric = 0.0) -> Numeric:
    """Operations of a decode step.

        flop = B * (2 * P_active + a * L)

    Args:
        active_params: parameters one token uses [param].
        batch_size: sequences in the step B [1].
        context_length: tokens in each sequence's context L [token].
        attention_flop_per_token: operations for each cached token a, 0 to neglect [FLOP/token].
    Returns:
        operations on all chips together [FLOP].
    Raises:
        nothing.
    Valid for: one new token for each sequence.
    Sources: Kaplan et al., arXiv 2001.08361, table 1.

    >>> decode_flop(active_params=1e9, batch_size=2)
    4000000000.0
    """
    return batch_size * (2.0 * active_params + attention_flop_per_token * context_length)


def decode_step(*, params_read: Numeric, active_params: Numeric, batch_size: Numeric,
                context_length: Numeric, kv_bytes_per_token: Numeric, bytes_per_param: Numeric,
                n_chips: Numeric, peak_flops_per_s: Numeric, memory_bandwidth: Numeric,
                mfu: Numeric = 1.0, mbu: Numeric = 1.0,
                attention_flop_per_token: Numeric = 0.0, overlap: Numeric = 1.0,
                t_network: Numeric = 0.0, t_launch: Numeric = 0.0) -> Numeric:
    """Time of a decode step, which is the time per output token (TPOT).

        t = max((b * P_read + B * L * k) / (n * W * mbu),
                B * (2 * P_active + a * L) / (n * C * mfu)) + t_network + t_launch

    With overlap below 1, that share less of the shorter term hides behind the longer.

    Args:
        params_read: parameters read in a step [param].
        active_params: parameters one token uses [param].
        batch_size: sequences in the step B [1].
        context_length: tokens in each sequence's context L [token].
        kv_bytes_per_token: cache of one token k [B/token].
        bytes_per_param: of one parameter b [B/param].
        n_chips: chips that share weights, cache and work evenly [1].
        peak_flops_per_s: dense peak of one chip C [FLOP/s].
        memory_bandwidth: device memory bandwidth of one chip W [B/s].
        mfu: share of the peak reached [1].
        mbu: share of the bandwidth reached [1].
        attention_flop_per_token: operations for each cached token a, 0 to neglect [FLOP/token].
        overlap: share of the shorter term that is hidden [1].
        t_network: time of collectives that nothing hides [s].
        t_launch: time of launches and the scheduler [s].
    Returns:
        time of the step [s].
    Raises:
        ZeroDivisionError: a rate or efficiency of zero, for plain floats.
    Valid for: tensor parallelism; pipeline stages take n_chips = 1 and follow one another.
    Sources: Pope et al., "Efficiently Scaling Transformer Inference", arXiv 2211.05102.

    >>> t = decode_step(params_read=70553706496, active_params=70553706496, batch_size=64,
    ...                 context_length=8192, kv_bytes_per_token=327680, bytes_per_param=2,
    ...                 n_chips=8, peak_flops_per_s=989.4e12, memory_bandwidth=3.35e12)
    >>> round(t * 1e3, 3)
    11.676
    """
    moved = decode_bytes(params_read=params_read, bytes_per_param=bytes_per_param,
                         batch_size=batch_size, context_length=context_length,
                         kv_bytes_per_token=kv_bytes_per_token)
    done = decode_flop(active_params=active_params, batch_size=batch_size,
                       context_length=context_length,
                       attention_flop_per_token=attention_flop_per_token)
    busy = overlapped_time(t_math=done / (n_chips * peak_flops_per_s * mfu),
                           t_memory=moved / (n_chips * memory_bandwidth * mbu),
                           overlap=overlap)
    return busy + t_network + t_launch


def decode_throughput(*, batch_size: Numeric, step_time: Numeric,
                      tokens_per_step: Numeric = 1.0) -> Numeric:
    """Output tokens per second of a batch.

        throughput = B * tokens_per_step / t

    Args:
        batch_size: sequences in the step B [1].
        step_time: time of a step t [s].
        tokens_per_step: tokens each sequence gains, above 1 with speculation [token].
    Returns:
        tokens per second, all sequences together [token/s].
    Raises:
        ZeroDivisionError: a step of no time, for plain floats.
    Valid for: steady decoding.
    Sources: own derivation.

    >>> round(decode_throughput(batch_size=64, step_time=11.676e-3))
    5481
    """
    return batch_size * tokens_per_step / step_time


def prefill_flop(*, active_params: Numeric, prompt_tokens: Numeric, n_layers: Numeric = 0.0,
                 d_attention: Numeric = 0.0, batch_size: Numeric = 1.0,
                 cached_share: Numeric = 0.0) -> Numeric:
    """Operations of reading a prompt.

        flop = B * (2 * P_active * s * (1 - f) + 2 * n_layers * d * s**2 * (1 - f**2))

    New tokens pay for all weights and attend to the cached prefix and to each other.

    Args:
        active_params: parameters one token uses [param].
        prompt_tokens: tokens of one prompt s [token].
        n_layers: attention layers, 0 to neglect attention [1].
        d_attention: query heads times head width d [1].
        batch_size: prompts B [1].
        cached_share: share of the prompt already in the prefix cache f [1].
    Returns:
        operations on all chips together [FLOP].
    Raises:
        nothing.
    Valid for: causal attention (half of 4 * d * s**2).
    Sources: Kaplan et al., arXiv 2001.08361, table 1; own derivation of the cached share.

    >>> round(prefill_flop(active_params=70553706496, prompt_tokens=8192, n_layers=80,
    ...                    d_attention=8192) / 1e15, 3)
    1.244
    """
    weights = 2.0 * active_params * prompt_tokens * (1.0 - cached_share)
    attention = 2.0 * n_layers * d_attention * prompt_tokens**2 * (1.0 - cached_share**2)
    return batch_size * (weights + attention)


def prefill_bytes(*, params_read: Numeric, bytes_per_param: Numeric, prompt_tokens: Numeric,
                  kv_bytes_per_token: Numeric = 0.0, batch_size: Numeric = 1.0,
                  cached_share: Numeric = 0.0, n_chunks: Numeric = 1.0) -> Numeric:
    """Bytes of reading a prompt in chunks: weights each time, and the cache made so far.

        bytes = n * b * P_read + B * k * s * (n * f + (1 - f) * (n - 1) / 2)

    Args:
        params_read: parameters read in a pass [param].
        bytes_per_param: of one parameter b [B/param].
        prompt_tokens: tokens of one prompt s [token].
        kv_bytes_per_token: cache of one token k [B/token].
        batch_size: prompts B [1].
        cached_share: share of the prompt already in the prefix cache f [1].
        n_chunks: passes the prompt is cut into n [1].
    Returns:
        bytes on all chips together [B].
    Raises:
        nothing.
    Valid for: equal chunks; keys of the same chunk stay on chip.
    Sources: own derivation (chunk j reads the j - 1 chunks before it).

    >>> prefill_bytes(params_read=1e9, bytes_per_param=2, prompt_tokens=1000,
    ...               kv_bytes_per_token=1e5, n_chunks=2)
    4050000000.0
    """
    reads = n_chunks * cached_share + (1.0 - cached_share) * (n_chunks - 1.0) / 2.0
    return (n_chunks * bytes_per_param * params_read
            + batch_size * kv_bytes_per_token * prompt_tokens * reads)


def prefill(*, active_params: Numeric, params_read: Numeric, bytes_per_param: Numeric,
            prompt_tokens: Numeric, n_chips: Numeric, peak_flops_per_s: Numeric,
            memory_bandwidth: Numeric, mfu: Numeric = 1.0, mbu: Numeric = 1.0,
            n_layers: Numeric = 0.0, d_attention: Numeric = 0.0, batch_size: Numeric = 1.0,
            kv_bytes_per_token: Numeric = 0.0, cached_share: Numeric = 0.0,
            n_chunks: Numeric = 1.0, t_network: Numeric = 0.0,
            t_launch: Numeric = 0.0) -> Numeric:
    """Time to read a prompt, the compute part of the time to first token (TTFT).

        t = max(flop / (n * C * mfu), bytes / (n * W * mbu)) + t_network + t_launch

    with the operations of prefill_flop and the bytes of prefill_bytes.

    Args:
        active_params: parameters one token uses [param].
        params_read: parameters read in a pass [param].
        bytes_per_param: of one parameter b [B/param].
        prompt_tokens: tokens of one prompt s [token].
        n_chips: chips that share the work evenly n [1].
        peak_flops_per_s: dense peak of one chip C [FLOP/s].
        memory_bandwidth: device memory bandwidth of one chip W [B/s].
        mfu: share of the peak reached [1].
        mbu: share of the bandwidth reached [1].
        n_layers: attention layers, 0 to neglect attention [1].
        d_attention: query heads times head width d [1].
        batch_size: prompts B [1].
        kv_bytes_per_token: cache of one token k [B/token].
        cached_share: share of the prompt already in the prefix cache f [1].
        n_chunks: passes the prompt is cut into [1].
        t_network: time of collectives that nothing hides [s].
        t_launch: time of launches and the scheduler [s].
    Returns:
        time [s].
    Raises:
        ZeroDivisionError: a rate or efficiency of zero, for plain floats.
    Valid for: tensor parallelism and a causal model.
    Sources: Pope et al., "Efficiently Scaling Transformer Inference", arXiv 2211.05102.

    >>> t = prefill(active_params=70553706496, params_read=70553706496, bytes_per_param=2,
    ...             prompt_tokens=8192, n_chips=8, peak_flops_per_s=989.4e12,
    ...             memory_bandwidth=3.35e12, mfu=0.5, n_layers=80, d_attention=8192)
    >>> round(t, 3)
    0.314
    """
    done = prefill_flop(active_params=active_params, prompt_tokens=prompt_tokens,
                        n_layers=n_layers, d_attention=d_attention, batch_size=batch_size,
                        cached_share=cached_share)
    moved = prefill_bytes(params_read=params_read, bytes_per_param=bytes_per_param,
                          prompt_tokens=prompt_tokens, kv_bytes_per_token=kv_bytes_per_token,
                          batch_size=batch_size, cached_share=cached_share, n_chunks=n_chunks)
    busy = roofline_time(t_math=done / (n_chips * peak_flops_per_s * mfu),
                         t_memory=moved / (n_chips * memory_bandwidth * mbu))
    return busy + t_network + t_launch


def prefill_ceiling(*, active_params: Numeric, n_chips: Numeric, peak_flops_per_s: Numeric,
                    mfu: Numeric = 1.0) -> Numeric:
    """Prompt tokens per second, attention neglected.

        rate = n * C * mfu / (2 * P_active)

    Args:
        active_params: parameters one token uses [param].
        n_chips: chips [1].
        peak_flops_per_s: dense peak of one chip C [FLOP/s].
        mfu: share of the peak reached [1].
    Returns:
        prompt tokens per second [token/s]; a claim above it at mfu 1 is impossible.
    Raises:
        ZeroDivisionError: no parameters, for plain floats.
    Valid for: prompts long enough to be compute-bound, none of them cached.
    Sources: Kaplan et al., arXiv 2001.08361 (2 FLOP for each parameter and token).

    >>> round(prefill_ceiling(active_params=70553706496, n_chips=8, peak_flops_per_s=989.4e12))
    56093
    """
    return mfu * forward_pass_ceiling(active_params=active_params, n_chips=n_chips,
                                      peak_flops_per_s=peak_flops_per_s)


def request_flop(*, active_params: Numeric, prompt_tokens: Numeric, output_tokens: Numeric,
                 n_layers: Numeric = 0.0, d_attention: Numeric = 0.0) -> Numeric:
    """Operations of one request from prompt to last token.

        flop = 2 * P_active * N + 2 * n_layers * d * N**2,  N = s_in + s_out - 1

    The last token is produced but never read.

    Args:
        active_params: parameters one token uses [param].
        prompt_tokens: tokens of the prompt s_in [token].
        output_tokens: tokens produced s_out, at least 1 [token].
        n_layers: attention layers, 0 to neglect attention [1].
        d_attention: query heads times head width d [1].
    Returns:
        operations [FLOP].
    Raises:
        nothing.
    Valid for: nothing cached, no speculation.
    Sources: Kaplan et al., arXiv 2001.08361, table 1; own count of passes.

    >>> f"{request_flop(active_params=280e9, prompt_tokens=1000, output_tokens=50):.3e}"
    '5.874e+14'
    """
    return prefill_flop(active_params=active_params, n_layers=n_layers, d_attention=d_attention,
                        prompt_tokens=prompt_tokens + output_tokens - 1.0)


def model_flops_utilisation(*, throughput: Numeric, flop_per_token: Numeric, n_chips: Numeric,
                            peak_flops_per_s: Numeric) -> Numeric:
    """Model FLOP utilisation (MFU) implied by a token rate.

        mfu = throughput * flop_per_token / (n * C)

    Args:
        throughput: tokens per second, prompt or output tokens of one phase [token/s].
        flop_per_token: operations a token needs, 2 * P_active forward [FLOP/token].
        n_chips: chips [1].
        peak_flops_per_s: dense peak of one chip C [FLOP/s].
    Returns:
        utilisation [1]; above 1 the rate, the peak or the model is not what was said.
    Raises:
        ZeroDivisionError: no chips or peak, for plain floats.
    Valid for: one phase at a time.
    Sources: Chowdhery et al., "PaLM", arXiv 2204.02311, appendix B.

    >>> round(model_flops_utilisation(throughput=3200, flop_per_token=2 * 70553706496,
    ...                               n_chips=8, peak_flops_per_s=989.4e12), 3)
    0.057
    """
    return throughput * flop_per_token / (n_chips * peak_flops_per_s)


def model_bandwidth_utilisation(*, step_bytes: Numeric, step_time: Numeric, n_chips: Numeric,
                                memory_bandwidth: Numeric) -> Numeric:
    """Model bandwidth utilisation (MBU) implied by a step's time.

        mbu = bytes / (t * n * W)

    Args:
        step_bytes: weights and cache the step has to read [B].
        step_time: time of a step t [s].
        n_chips: chips [1].
        memory_bandwidth: device memory bandwidth of one chip W [B/s].
    Returns:
        utilisation [1]; above 1 something is read from a cache or not read at all.
    Raises:
        ZeroDivisionError: no time, chips or bandwidth, for plain floats.
    Valid for: decode.
    Sources: Agarwal et al., Databricks, "LLM Inference Performance Engineering", 2023.

    >>> round(model_bandwidth_utilisation(step_bytes=141.1e9, step_time=0.01, n_chips=8,
    ...                                   memory_bandwidth=3.35e12), 3)
    0.526
    """
    return step_bytes / (step_time * n_chips * memory_bandwidth)
