"""What parallel plans send and how long it takes: tensor, expert, data, context.

Bytes are those one chip sends, one way. Bandwidths are one way. Pure formulas.
"""

from __future__ import annotations

from ridgeline.numeric import Numeric

__all__ = [
    "all_reduce_bytes", "bandwidth_ratio", "context_parallel_kv_bytes",
    "data_parallel_all_reduce_time", "domain_memory_bytes", "expert_parallel_bytes_per_token",
    "expert_parallel_time", "kv_transfer_time",
    "leaving_domain_share", "network_time", "ring_attention_bytes",
    "ring_attention_bytes_per_hop", "tensor_parallel_bytes", "tensor_parallel_time",
    "zero3_bytes",
]


def network_time(*, message_bytes: Numeric, network_bandwidth: Numeric,
                 n_messages: Numeric = 1.0, link_latency: Numeric = 0.0) -> Numeric:
    """Time to send bytes over a link, in the alpha-beta model.

        t = n_messages * link_latency + message_bytes / network_bandwidth

    Args:
        message_bytes: bytes one chip sends in all [B].
        network_bandwidth: one-way bandwidth of one chip [B/s].
        n_messages: messages or collectives, each paying the latency [1].
        link_latency: time of an empty message [s].
    Returns:
        time [s].
    Raises:
        ZeroDivisionError: bandwidth of zero, for plain floats.
    Valid for: an uncongested link.
    Sources: Hockney, Parallel Computing 20(3), 1994.

    >>> network_time(message_bytes=1e9, network_bandwidth=50e9)
    0.02
    """
    return n_messages * link_latency + message_bytes / network_bandwidth


def bandwidth_ratio(*, scale_up_bandwidth: Numeric, scale_out_bandwidth: Numeric) -> Numeric:
    """How many times faster the link inside a domain is than the network between domains.

        r = scale_up_bandwidth / scale_out_bandwidth

    Args:
        scale_up_bandwidth: one-way bandwidth of one chip inside its domain [B/s].
        scale_out_bandwidth: one-way network bandwidth of one chip [B/s].
    Returns:
        ratio [1].
    Raises:
        ZeroDivisionError: no network, for plain floats.
    Valid for: both bandwidths one way and per chip.
    Sources: own derivation.

    >>> bandwidth_ratio(scale_up_bandwidth=450e9, scale_out_bandwidth=50e9)
    9.0
    """
    return scale_up_bandwidth / scale_out_bandwidth


def all_reduce_bytes(*, message_bytes: Numeric, n_chips: Numeric) -> Numeric:
    """Bytes each chip sends in a bandwidth-optimal all-reduce.

        bytes = 2 * (n - 1) / n * message_bytes

    Args:
        message_bytes: buffer reduced, the same on every chip [B].
        n_chips: chips in the group [1].
    Returns:
        bytes sent by one chip [B]; a reduce-scatter or all-gather is half of it.
    Raises:
        ZeroDivisionError: no chips, for plain floats.
    Valid for: ring or tree without in-network reduction.
    Sources: Patarasuk, Yuan, JPDC 69(2), 2009.

    >>> all_reduce_bytes(message_bytes=8.0, n_chips=8)
    14.0
    """
    return 2.0 * (n_chips - 1.0) / n_chips * message_bytes


def tensor_parallel_bytes(*, n_layers: Numeric, tp: Numeric, batch_size: Numeric,
                          d_model: Numeric, bytes_in: Numeric) -> Numeric:
    """Bytes each chip sends in a step under tensor parallelism: two all-reduces a layer.

        bytes = 2 * n_layers * 2 * (tp - 1) / tp * B * d_model * b

    Args:
        n_layers: layers [1].
        tp: tensor-parallel degree [1].
        batch_size: tokens in the step B [1].
        d_model: model width [1].
        bytes_in: of one activation [B].
    Returns:
        bytes sent by one chip [B].
    Raises:
        ZeroDivisionError: degree of zero, for plain floats.
    Valid for: attention and feed-forward each closed by one all-reduce.
    Sources: Shoeybi et al., "Megatron-LM", arXiv 1909.08053.

    >>> round(tensor_parallel_bytes(n_layers=80, tp=8, batch_size=64, d_model=8192,
    ...                             bytes_in=2) / 1e6, 1)
    293.6
    """
    return 2.0 * n_layers * all_reduce_bytes(
        message_bytes=batch_size * d_model * bytes_in, n_chips=tp)


def tensor_parallel_time(*, n_layers: Numeric, tp: Numeric, batch_size: Numeric,
                         d_model: Numeric, bytes_in: Numeric, network_bandwidth: Numeric,
                         link_latency: Numeric = 0.0) -> Numeric:
    """Time of a step's all-reduces under tensor parallelism.

        t = 2 * n_layers * (link_latency + 2 * (tp - 1) / tp * B * d_model * b / bandwidth)

    Args:
        n_layers: layers [1].
        tp: tensor-parallel degree [1].
        batch_size: tokens in the step B [1].
        d_model: model width [1].
        bytes_in: of one activation [B].
        network_bandwidth: one-way bandwidth of one chip [B/s].
        link_latency: time of one collective on an empty buffer [s].
    Returns:
        time [s].
    Raises:
        ZeroDivisionError: degree or bandwidth of zero, for plain floats.
    Valid for: collectives that nothing hides.
    Sources: Shoeybi et al., "Megatron-LM", arXiv 1909.08053.

    >>> round(tensor_parallel_time(n_layers=80, tp=8, batch_size=64, d_model=8192, bytes_in=2,
    ...                            network_bandwidth=450e9) * 1e6)
    652
    """
    return network_time(
        message_bytes=tensor_parallel_bytes(n_layers=n_layers, tp=tp, batch_size=batch_size,
                                            d_model=d_model, bytes_in=bytes_in),
        network_bandwidth=network_bandwidth, n_messages=2.0 * n_layers,
        link_latency=link_latency)


def expert_parallel_bytes_per_token(*, n_moe_layers: Numeric, top_k: Numeric, d_model: Numeric,
                                    bytes_dispatch: Numeric, bytes_combine: Numeric) -> Numeric:
    """Bytes a token sends to its experts and gets back, over all layers.

        bytes = n_moe_layers * k * d_model * (b_dispatch + b_combine)

    Args:
        n_moe_layers: layers with experts [1].
        top_k: experts each token uses k [1].
        d_model: model width [1].
        bytes_dispatch: of one element on the way out [B].
        bytes_combine: of one element on the way back [B].
    Returns:
        bytes of one token [B/token].
    Raises:
        nothing.
    Valid for: every copy sent on its own; an upper bound when copies to one node are merged.
    Sources: DeepSeek-AI, "DeepSeek-V3 Technical Report", arXiv 2412.19437 (dispatch, combine).

    >>> expert_parallel_bytes_per_token(n_moe_layers=58, top_k=8, d_model=7168,
    ...                                 bytes_dispatch=1, bytes_combine=2)
    9977856
    """
    return n_moe_layers * top_k * d_model * (bytes_dispatch + bytes_combine)


def leaving_domain_share(*, n_domains: Numeric) -> Numeric:
    """Share of all-to-all traffic that leaves its scale-up domain.

        share = 1 - 1 / n_domains

    Args:
        n_domains: equal domains (nodes, racks) the experts are spread over [1].
    Returns:
        share [1].
    Raises:
        ZeroDivisionError: no domains, for plain floats.
    Valid for: even routing; node-limited routing sends less.
    Sources: own derivation.

    >>> leaving_domain_share(n_domains=8)
    0.875
    """
    return 1.0 - 1.0 / n_domains


def expert_parallel_time(*, bytes_per_token: Numeric, tokens_per_chip: Numeric,
                         network_bandwidth: Numeric, traffic_share: Numeric = 1.0) -> Numeric:
    """Time of a step's dispatches and combines over one link.

        t = bytes_per_token * tokens_per_chip * traffic_share / network_bandwidth

    Args:
        bytes_per_token: sent and returned for one token, all layers [B/token].
        tokens_per_chip: tokens each chip holds [token].
        network_bandwidth: one-way bandwidth of one chip on this link [B/s].
        traffic_share: share of the traffic that uses this link [1].
    Returns:
        time [s].
    Raises:
        ZeroDivisionError: bandwidth of zero, for plain floats.
    Valid for: nothing hidden behind compute, latency neglected.
    Sources: own derivation.

    >>> round(expert_parallel_time(bytes_per_token=9977856, tokens_per_chip=128,
    ...                            network_bandwidth=900e9) * 1e3, 2)
    1.42
    """
    return bytes_per_token * tokens_per_chip * traffic_share / network_bandwidth


def domain_memory_bytes(*, n_chips: Numeric, memory_bytes: Numeric) -> Numeric:
    """Memory of a scale-up domain, the largest mixture of experts it can hold.

        bytes = n_chips * memory_bytes

    Args:
        n_chips: chips in the domain [1].
        memory_bytes: memory of one chip [B].
    Returns:
        bytes of the domain [B].
    Raises:
        nothing.
    Valid for: an upper bound: cache and activations need room too.
    Sources: own derivation.

    >>> domain_memory_bytes(n_chips=72, memory_bytes=186e9) / 1e12
    13.392
    """
    return n_chips * memory_bytes


def data_parallel_all_reduce_time(*, params: Numeric, bytes_per_param: Numeric, dp: Numeric,
                                  network_bandwidth: Numeric) -> Numeric:
    """Time to all-reduce the gradients of one training step.

        t = 2 * (n - 1) / n * b * P / network_bandwidth

    Args:
        params: parameters P, of one shard when the model is split [param].
        bytes_per_param: of one gradient b [B/param].
        dp: data-parallel degree n [1].
        network_bandwidth: one-way bandwidth of one member [B/s].
    Returns:
        time [s]; ZeRO-1 and ZeRO-2 send the same amount.
    Raises:
        ZeroDivisionError: degree or bandwidth of zero, for plain floats.
    Valid for: nothing hidden behind the backward pass.
    Sources: Rajbhandari et al., "ZeRO", arXiv 1910.02054, section 7.

    >>> round(data_parallel_all_reduce_time(params=8.03e9, bytes_per_param=2, dp=64,
    ...                                     network_bandwidth=400e9) * 1e3)
    79
    """
    return all_reduce_bytes(message_bytes=bytes_per_param * params,
                            n_chips=dp) / network_bandwidth


def zero3_bytes(*, params: Numeric, bytes_per_param: Numeric, dp: Numeric) -> Numeric:
    """Bytes each member sends in a fully sharded training step.

        bytes = 3 * (n - 1) / n * b * P

    Weights are gathered for the forward and again for the backward pass, gradients scattered.

    Args:
        params: parameters P [param].
        bytes_per_param: of one weight or gradient b [B/param].
        dp: data-parallel degree n [1].
    Returns:
        bytes sent by one member [B].
    Raises:
        ZeroDivisionError: degree of zero, for plain floats.
    Valid for: ZeRO-3 and FSDP with resharding after the forward pass.
    Sources: Rajbhandari et al., "ZeRO", arXiv 1910.02054, section 7.

    >>> zero3_bytes(params=8e9, bytes_per_param=2, dp=8) / 1e9
    42.0
    """
    return 3.0 * (dp - 1.0) / dp * bytes_per_param * params


def context_parallel_kv_bytes(*, context_length: Numeric, kv_bytes_per_token: Numeric,
                              cp: Numeric) -> Numeric:
    """Cache each chip holds when one sequence is split over several.

        bytes = s / n * k

    Args:
        context_length: tokens of the sequence s [token].
        kv_bytes_per_token: cache of one token k [B/token].
        cp: context-parallel degree n [1].
    Returns:
        bytes on one chip [B].
    Raises:
        ZeroDivisionError: degree of zero, for plain floats.
    Valid for: an even split.
    Sources: Liu et al., "Ring Attention", arXiv 2310.01889.

    >>> round(context_parallel_kv_bytes(context_length=1e6, kv_bytes_per_token=327680,
    ...                                 cp=8) / 1e9, 1)
    41.0
    """
    return context_length / cp * kv_bytes_per_token


def ring_attention_bytes_per_hop(*, context_length: Numeric, kv_bytes_per_token: Numeric,
                                 cp: Numeric) -> Numeric:
    """Bytes that cross a chip's ports in one hop of ring attention, sent and received.

        bytes = 2 * s / n * k

    Args:
        context_length: tokens of the sequence s [token].
        kv_bytes_per_token: cache of one token, all layers k [B/token].
        cp: context-parallel degree n [1].
    Returns:
        bytes of one hop, both ways together [B].
    Raises:
        ZeroDivisionError: degree of zero, for plain floats.
    Valid for: keys and values passed on whole.
    Sources: Liu et al., "Ring Attention", arXiv 2310.01889.

    >>> round(ring_attention_bytes_per_hop(context_length=1e6, kv_bytes_per_token=327680,
    ...                                    cp=8) / 1e9, 1)
    81.9
    """
    return 2.0 * context_parallel_kv_bytes(
        context_length=context_length, kv_bytes_per_token=kv_bytes_per_token, cp=cp)


def ring_attention_bytes(*, context_length: Numeric, kv_bytes_per_token: Numeric,
                         cp: Numeric) -> Numeric:
    """Bytes each chip sends while every cache shard visits every other chip.

        bytes = (n - 1) * s / n * k

    Args:
        context_length: tokens of the sequence s [token].
        kv_bytes_per_token: cache of one token, all layers k [B/token].
        cp: context-parallel degree n [1].
    Returns:
        bytes sent by one chip [B].
    Raises:
        ZeroDivisionError: degree of zero, for plain floats.
    Valid for: prefill or training; a causal mask does not shorten the ring.
    Sources: Liu et al., "Ring Attention", arXiv 2310.01889.

    >>> round(ring_attention_bytes(context_length=1e6, kv_bytes_per_token=327680, cp=8) / 1e9, 1)
    286.7
    """
    return (cp - 1.0) * context_parallel_kv_bytes(
        context_length=context_length, kv_bytes_per_token=kv_bytes_per_token, cp=cp)


def kv_transfer_time(*, prompt_tokens: Numeric, kv_bytes_per_token: Numeric,
                     network_bandwidth: Numeric, link_latency: Numeric = 0.0) -> Numeric:
    """Time to hand a finished prompt's cache from a prefill pool to a decode pool.

        t = link_latency + s * k / network_bandwidth

    Args:
        prompt_tokens: tokens in the cache s [token].
        kv_bytes_per_token: cache of one token k [B/token].
        network_bandwidth: one-way bandwidth between the pools, all links together [B/s].
        link_latency: time of an empty message [s].
    Returns:
        time [s].
    Raises:
        ZeroDivisionError: bandwidth of zero, for plain floats.
    Valid for: one request with the links to itself, nothing sent layer by layer.
    Sources: Zhong et al., "DistServe", arXiv 2401.09670.

    >>> round(kv_transfer_time(prompt_tokens=8192, kv_bytes_per_token=327680,
    ...                        network_bandwidth=400e9) * 1e3, 1)
    6.7
    """
    return network_time(message_bytes=prompt_tokens * kv_bytes_per_token,
                        network_bandwidth=network_bandwidth, link_latency=link_latency)
