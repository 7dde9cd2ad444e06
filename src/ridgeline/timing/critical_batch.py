"""When does a decode step stop waiting for memory: critical batch, KV knee, idle compute."""

from __future__ import annotations

import math

from ridgeline.numeric import Numeric, minimum, where

__all__ = [
    "compute_idle_share", "critical_batch_rule", "critical_batch_with_kv", "kv_equals_weights",
    "kv_knee",
]


def critical_batch_rule(*, ridge: Numeric, bytes_per_param: Numeric, total_params: Numeric,
                        active_params: Numeric) -> Numeric:
    """Batch at which reading the weights and computing take equally long ("300 x sparsity").

        B* = h * b / 2 * P_total / P_active

    Args:
        ridge: ridge point of the chip h in the compute format [FLOP/B].
        bytes_per_param: of one parameter b [B/param].
        total_params: parameters read in a step, all of them once every expert is hit [param].
        active_params: parameters one token uses [param].
    Returns:
        batch [1].
    Raises:
        ZeroDivisionError: no active parameters, for plain floats.
    Valid for: a context short enough that the cache costs nothing; all experts read.
    Sources: own derivation (b * P_total / W = 2 * P_active * B / C).

    >>> round(critical_batch_rule(ridge=300, bytes_per_param=2, total_params=671e9,
    ...                           active_params=37e9))
    5441
    """
    return ridge * bytes_per_param / 2.0 * total_params / active_params


def critical_batch_with_kv(*, total_params: Numeric, active_params: Numeric,
                           bytes_per_param: Numeric, context_length: Numeric,
                           kv_bytes_per_token: Numeric, peak_flops_per_s: Numeric,
                           memory_bandwidth: Numeric) -> Numeric:
    """Critical batch when every sequence also reads its cache.

        B* = (b * P_total / W) / (2 * P_active / C - L * k / W),  inf when that is not positive

    Args:
        total_params: parameters read in a step [param].
        active_params: parameters one token uses [param].
        bytes_per_param: of one parameter b [B/param].
        context_length: tokens in each sequence's context L [token].
        kv_bytes_per_token: cache of one token k [B/token].
        peak_flops_per_s: dense peak of one chip C [FLOP/s].
        memory_bandwidth: device memory bandwidth of one chip W [B/s].
    Returns:
        batch [1]; infinite beyond the KV knee, where no batch is compute-bound.
    Raises:
        ZeroDivisionError: a rate of zero, for plain floats.
    Valid for: any number of equal chips; attention operations neglected.
    Sources: own derivation (memory term = compute term of decode_step, solved for B).

    >>> round(critical_batch_with_kv(total_params=70553706496, active_params=70553706496,
    ...       bytes_per_param=2, context_length=1024, kv_bytes_per_token=327680,
    ...       peak_flops_per_s=989.4e12, memory_bandwidth=3.35e12))
    992
    """
    spare = (2.0 * active_params / peak_flops_per_s
             - context_length * kv_bytes_per_token / memory_bandwidth)
    # The inner where keeps the unused branch from dividing by zero.
    positive = where(spare > 0, spare, 1.0)
    return where(spare > 0, bytes_per_param * total_params / memory_bandwidth / positive,
                 math.inf)


def kv_knee(*, active_params: Numeric, ridge: Numeric, kv_bytes_per_token: Numeric) -> Numeric:
    """Context length beyond which decode is memory-bound at every batch.

        L* = 2 * P_active / (h * k)

    Args:
        active_params: parameters one token uses [param].
        ridge: ridge point of the chip h in the compute format [FLOP/B].
        kv_bytes_per_token: cache of one token k [B/token].
    Returns:
        context length [token].
    Raises:
        ZeroDivisionError: no cache, for plain floats.
    Valid for: full attention; attention operations neglected.
    Sources: own derivation (a sequence's cache read takes as long as its matmuls).

    >>> round(kv_knee(active_params=70553706496, ridge=989.4 / 3.35, kv_bytes_per_token=327680))
    1458
    """
    return 2.0 * active_params / (ridge * kv_bytes_per_token)


def kv_equals_weights(*, params_read: Numeric, bytes_per_param: Numeric,
                      kv_bytes_per_token: Numeric, batch_size: Numeric = 1.0) -> Numeric:
    """Context length at which the caches are as large as the weights.

        L = b * P_read / (B * k)

    Args:
        params_read: parameters read in a step [param].
        bytes_per_param: of one parameter b [B/param].
        kv_bytes_per_token: cache of one token k [B/token].
        batch_size: sequences in the step B [1].
    Returns:
        context length of each sequence [token].
    Raises:
        ZeroDivisionError: no cache or no sequence, for plain floats.
    Valid for: full attention.
    Sources: own derivation.

    >>> round(kv_equals_weights(params_read=8030261248, bytes_per_param=2,
    ...                         kv_bytes_per_token=131072))
    122532
    """
    return bytes_per_param * params_read / (batch_size * kv_bytes_per_token)


def compute_idle_share(*, batch_size: Numeric, bytes_per_param: Numeric,
                       ridge: Numeric) -> Numeric:
    """Share of the compute units that wait for weights in a decode step.

        idle = 1 - min(1, 2 * B / (b * h))

    Args:
        batch_size: sequences in the step B [1].
        bytes_per_param: of one parameter b [B/param].
        ridge: ridge point of the chip h in the compute format [FLOP/B].
    Returns:
        idle share [1].
    Raises:
        ZeroDivisionError: no bytes or ridge of zero, for plain floats.
    Valid for: dense model, short context.
    Sources: own derivation (intensity 2 * B / b under the roofline).

    >>> round(compute_idle_share(batch_size=1, bytes_per_param=2, ridge=153.0), 3)
    0.993
    """
    return 1.0 - minimum(1.0, 2.0 * batch_size / (bytes_per_param * ridge))
