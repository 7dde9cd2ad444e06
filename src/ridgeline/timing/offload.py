"""Weights or cache outside the fast memory: CPU layers, streamed weights, cache over PCIe."""

from __future__ import annotations

from ridgeline.numeric import Numeric, maximum

__all__ = ["kv_offload_time", "required_bandwidth", "streamed_time", "two_tier_time"]


def two_tier_time(*, fast_bytes: Numeric, fast_bandwidth: Numeric, slow_bytes: Numeric,
                  slow_bandwidth: Numeric) -> Numeric:
    """Time of a decode step whose layers lie in two memories, each read by its own processor.

        t = fast_bytes / fast_bandwidth + slow_bytes / slow_bandwidth

    Args:
        fast_bytes: weights and cache in the fast memory [B].
        fast_bandwidth: of the fast memory [B/s].
        slow_bytes: weights and cache in the slow memory [B].
        slow_bandwidth: of the slow memory [B/s].
    Returns:
        time [s].
    Raises:
        ZeroDivisionError: bandwidth of zero, for plain floats.
    Valid for: layers in sequence (llama.cpp style); compute and PCIe hops neglected.
    Sources: own derivation.

    >>> round(1 / two_tier_time(fast_bytes=22e9, fast_bandwidth=1.008e12, slow_bytes=20.5e9,
    ...                         slow_bandwidth=89.6e9), 2)
    3.99
    """
    return fast_bytes / fast_bandwidth + slow_bytes / slow_bandwidth


def streamed_time(*, resident_bytes: Numeric, streamed_bytes: Numeric, memory_bandwidth: Numeric,
                  link_bandwidth: Numeric) -> Numeric:
    """Time of a step that fetches part of its weights over the host link as it runs.

        t = max((resident_bytes + streamed_bytes) / W, streamed_bytes / link_bandwidth)

    Args:
        resident_bytes: bytes already in device memory [B].
        streamed_bytes: bytes fetched from the host in every step [B].
        memory_bandwidth: device memory bandwidth W [B/s].
        link_bandwidth: one-way bandwidth of the host link [B/s].
    Returns:
        time [s].
    Raises:
        ZeroDivisionError: bandwidth of zero, for plain floats.
    Valid for: the next layers are fetched while the present ones run.
    Sources: Sheng et al., "FlexGen", arXiv 2303.06865 (overlapped schedule).

    >>> streamed_time(resident_bytes=20e9, streamed_bytes=20e9, memory_bandwidth=1e12,
    ...               link_bandwidth=25e9)
    0.8
    """
    return maximum((resident_bytes + streamed_bytes) / memory_bandwidth,
                   streamed_bytes / link_bandwidth)


def required_bandwidth(*, step_bytes: Numeric, token_rate: Numeric) -> Numeric:
    """Memory bandwidth one sequence needs for a wanted speed.

        W = bytes * rate

    Args:
        step_bytes: weights and cache read for each token [B].
        token_rate: tokens per second wanted by one user [token/s].
    Returns:
        bandwidth [B/s].
    Raises:
        nothing.
    Valid for: batch 1, memory-bound.
    Sources: own derivation.

    >>> required_bandwidth(step_bytes=2e9, token_rate=150) / 1e9
    300.0
    """
    return step_bytes * token_rate


def kv_offload_time(*, context_length: Numeric, kv_bytes_per_token: Numeric,
                    batch_size: Numeric, link_bandwidth: Numeric) -> Numeric:
    """Time to bring caches back from another memory.

        t = L * k * B / link_bandwidth

    Args:
        context_length: tokens in each cache L [token].
        kv_bytes_per_token: cache of one token k [B/token].
        batch_size: sequences brought back B [1].
        link_bandwidth: one-way bandwidth of the link to that memory [B/s].
    Returns:
        time [s].
    Raises:
        ZeroDivisionError: bandwidth of zero, for plain floats.
    Valid for: one transfer in large pieces.
    Sources: own derivation.

    >>> round(kv_offload_time(context_length=8192, kv_bytes_per_token=327680, batch_size=1,
    ...                       link_bandwidth=64e9) * 1e3)
    42
    """
    return context_length * kv_bytes_per_token * batch_size / link_bandwidth
