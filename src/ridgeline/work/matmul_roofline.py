"""Matmul roofline with a format for each operand: X[B, D] @ W[D, F] -> Z[B, F].

The batch at which a matmul stops waiting for memory, exactly and in the limit of wide layers, and
its variants: weights for each example, grouped weights. Split matmuls are in `matmul_sharding`.

Formulas are pure; bytes per element may carry block scales (MXFP4: 0.53125, NVFP4: 0.5625).
"""

from __future__ import annotations

import math

from ridgeline.numeric import Numeric, ceil, where

__all__ = [
    "critical_batch_asymptotic", "critical_batch_exact", "critical_batch_integer",
    "dot_product_intensity", "elementwise_intensity",
    "grouped_critical_batch", "grouped_matmul_intensity", "grouped_matmul_limit",
    "matmul_bytes", "matmul_flop", "matmul_flop_exact", "matmul_intensity",
    "per_example_intensity", "per_example_intensity_limit",
]


def matmul_flop(*, batch_size: Numeric, d_in: Numeric, d_out: Numeric) -> Numeric:
    """Operations of a matmul, a multiply and an add for each weight and row.

        flop = 2 * B * D * F

    Args:
        batch_size: rows [1].
        d_in: contracted width D [1].
        d_out: output width F [1].
    Returns:
        operations [FLOP].
    Raises:
        nothing.
    Valid for: dense matmul; see matmul_flop_exact for the count without the first add.
    Sources: Austin et al., "How to Scale Your Model", ch. 1.

    >>> matmul_flop(batch_size=2, d_in=3, d_out=5)
    60.0
    """
    return 2.0 * batch_size * d_in * d_out


def matmul_flop_exact(*, batch_size: Numeric, d_in: Numeric, d_out: Numeric) -> Numeric:
    """Operations of a matmul counting D - 1 adds for each output.

        flop = 2 * B * D * F - B * F

    Args:
        batch_size: rows [1].
        d_in: contracted width D [1].
        d_out: output width F [1].
    Returns:
        operations [FLOP].
    Raises:
        nothing.
    Valid for: dense matmul.
    Sources: own derivation (a sum of D terms takes D - 1 adds).

    >>> matmul_flop_exact(batch_size=1, d_in=4, d_out=1)
    7.0
    """
    return 2.0 * batch_size * d_in * d_out - batch_size * d_out


def matmul_bytes(*, batch_size: Numeric, d_in: Numeric, d_out: Numeric, bytes_in: Numeric,
                 bytes_weight: Numeric, bytes_out: Numeric) -> Numeric:
    """Bytes of a matmul that reads each operand and writes the result once.

        bytes = bx * B * D + bw * D * F + bo * B * F

    Args:
        batch_size: rows [1].
        d_in: contracted width D [1].
        d_out: output width F [1].
        bytes_in: of one input element [B].
        bytes_weight: of one weight, scales included [B].
        bytes_out: of one output element [B].
    Returns:
        bytes moved [B].
    Raises:
        nothing.
    Valid for: operands that fit the on-chip tiling without being read again.
    Sources: Austin et al., "How to Scale Your Model", ch. 1.

    >>> matmul_bytes(batch_size=1, d_in=2, d_out=3, bytes_in=2, bytes_weight=1, bytes_out=2)
    16
    """
    return (bytes_in * batch_size * d_in + bytes_weight * d_in * d_out
            + bytes_out * batch_size * d_out)


def matmul_intensity(*, batch_size: Numeric, d_in: Numeric, d_out: Numeric, bytes_in: Numeric,
                     bytes_weight: Numeric, bytes_out: Numeric) -> Numeric:
    """Arithmetic intensity of a matmul.

        I = 2 * B * D * F / (bx * B * D + bw * D * F + bo * B * F)

    Args:
        batch_size: rows [1].
        d_in: contracted width D [1].
        d_out: output width F [1].
        bytes_in: of one input element [B].
        bytes_weight: of one weight, scales included [B].
        bytes_out: of one output element [B].
    Returns:
        intensity [FLOP/B].
    Raises:
        ZeroDivisionError: no bytes at all, for plain floats.
    Valid for: as matmul_bytes.
    Sources: Austin et al., "How to Scale Your Model", ch. 1.

    >>> round(matmul_intensity(batch_size=128, d_in=4096, d_out=4096, bytes_in=2,
    ...                        bytes_weight=2, bytes_out=2), 1)
    120.5
    """
    return matmul_flop(batch_size=batch_size, d_in=d_in, d_out=d_out) / matmul_bytes(
        batch_size=batch_size, d_in=d_in, d_out=d_out, bytes_in=bytes_in,
        bytes_weight=bytes_weight, bytes_out=bytes_out)


def critical_batch_exact(*, ridge: Numeric, d_in: Numeric, d_out: Numeric, bytes_in: Numeric,
                         bytes_weight: Numeric, bytes_out: Numeric) -> Numeric:
    """Batch at which a matmul turns compute-bound, activations counted.

        B* = h * bw * D * F / (2 * D * F - h * (bx * D + bo * F)),  inf when that is not positive

    Args:
        ridge: ridge point of the chip in the compute format [FLOP/B].
        d_in: contracted width D [1].
        d_out: output width F [1].
        bytes_in: of one input element [B].
        bytes_weight: of one weight, scales included [B].
        bytes_out: of one output element [B].
    Returns:
        batch (a real number) [1]; infinite when no batch is compute-bound.
    Raises:
        nothing.
    Valid for: one matmul, operands moved once.
    Sources: own derivation (matmul_intensity set equal to the ridge and solved for B).

    >>> round(critical_batch_exact(ridge=197e12 / 0.82e12, d_in=4096, d_out=4096, bytes_in=2,
    ...                            bytes_weight=1, bytes_out=2), 2)
    136.09
    """
    margin = 2.0 * d_in * d_out - ridge * (bytes_in * d_in + bytes_out * d_out)
    # The inner where keeps the unused branch from dividing by zero.
    positive = where(margin > 0, margin, 1.0)
    return where(margin > 0, ridge * bytes_weight * d_in * d_out / positive, math.inf)


def critical_batch_asymptotic(*, ridge: Numeric, bytes_weight: Numeric) -> Numeric:
    """Batch at which a very wide matmul turns compute-bound, activations neglected.

        B* = h * bw / 2

    Args:
        ridge: ridge point of the chip in the compute format [FLOP/B].
        bytes_weight: of one weight, scales included [B].
    Returns:
        batch (a real number) [1].
    Raises:
        nothing.
    Valid for: D and F much larger than the batch; a lower bound of critical_batch_exact.
    Sources: Austin et al., "How to Scale Your Model", ch. 1.

    >>> critical_batch_asymptotic(ridge=4500e12 / 8e12, bytes_weight=1)
    281.25
    """
    return ridge * bytes_weight / 2.0


def critical_batch_integer(*, critical_batch: Numeric) -> Numeric:
    """First whole batch that is compute-bound.

        B = ceil(B*)

    Args:
        critical_batch: real-valued critical batch, finite [1].
    Returns:
        batch [1].
    Raises:
        OverflowError: infinite critical batch, for plain floats.
    Valid for: finite critical batches.
    Sources: own derivation (time is compute-bound for every B >= B*).

    >>> critical_batch_integer(critical_batch=281.25)
    282.0
    """
    return ceil(critical_batch)


def dot_product_intensity(*, n_elements: Numeric, bytes_in: Numeric) -> Numeric:
    """Arithmetic intensity of a dot product of two vectors with a scalar result.

        I = (2 * N - 1) / (b * (2 * N + 1))

    Args:
        n_elements: length of the vectors [1].
        bytes_in: of one element, input and output alike [B].
    Returns:
        intensity, at most 1 / b [FLOP/B].
    Raises:
        ZeroDivisionError: elements of no bytes, for plain floats.
    Valid for: vectors read once from memory.
    Sources: Austin et al., "How to Scale Your Model", ch. 1.

    >>> round(dot_product_intensity(n_elements=1024, bytes_in=2), 4)
    0.4995
    """
    return (2.0 * n_elements - 1.0) / (bytes_in * (2.0 * n_elements + 1.0))


def elementwise_intensity(*, flop_per_element: Numeric, elements_read: Numeric,
                          elements_written: Numeric, bytes_in: Numeric) -> Numeric:
    """Arithmetic intensity of an elementwise kernel, a norm or a softmax.

        I = flop_per_element / (b * (elements_read + elements_written))

    Args:
        flop_per_element: operations for each result element [FLOP].
        elements_read: elements read for each result element, passes counted [1].
        elements_written: elements written for each result element [1].
        bytes_in: of one element [B].
    Returns:
        intensity [FLOP/B].
    Raises:
        ZeroDivisionError: nothing moved, for plain floats.
    Valid for: long vectors, where per-row constants vanish.
    Sources: own derivation.

    >>> elementwise_intensity(flop_per_element=1, elements_read=2, elements_written=1, bytes_in=2)
    0.16666666666666666
    """
    return flop_per_element / (bytes_in * (elements_read + elements_written))


def per_example_intensity(*, d_in: Numeric, d_out: Numeric, bytes_in: Numeric,
                          bytes_weight: Numeric, bytes_out: Numeric) -> Numeric:
    """Arithmetic intensity of a batched matmul in which every row has its own weights.

        I = 2 * D * F / (bx * D + bw * D * F + bo * F)

    Independent of the batch: batching buys nothing.

    Args:
        d_in: contracted width D [1].
        d_out: output width F [1].
        bytes_in: of one input element [B].
        bytes_weight: of one weight, scales included [B].
        bytes_out: of one output element [B].
    Returns:
        intensity [FLOP/B].
    Raises:
        ZeroDivisionError: no bytes at all, for plain floats.
    Valid for: X[B, D] @ W[B, D, F]; the same as matmul_intensity at batch 1.
    Sources: Austin et al., "How to Scale Your Model", ch. 1, problem 4.

    >>> round(per_example_intensity(d_in=4096, d_out=4096, bytes_in=1, bytes_weight=1,
    ...                             bytes_out=1), 3)
    1.999
    """
    return matmul_intensity(batch_size=1.0, d_in=d_in, d_out=d_out, bytes_in=bytes_in,
                            bytes_weight=bytes_weight, bytes_out=bytes_out)


def per_example_intensity_limit(*, bytes_weight: Numeric) -> Numeric:
    """Intensity of a per-example matmul with very wide layers.

        I = 2 / bw

    Args:
        bytes_weight: of one weight, scales included [B].
    Returns:
        intensity [FLOP/B].
    Raises:
        ZeroDivisionError: weights of no bytes, for plain floats.
    Valid for: D and F large.
    Sources: own derivation (limit of per_example_intensity).

    >>> per_example_intensity_limit(bytes_weight=0.5)
    4.0
    """
    return 2.0 / bytes_weight


def grouped_matmul_intensity(*, batch_size: Numeric, n_groups: Numeric, d_in: Numeric,
                             d_out: Numeric, bytes_in: Numeric, bytes_weight: Numeric,
                             bytes_out: Numeric) -> Numeric:
    """Arithmetic intensity of a grouped matmul: G groups of rows, each with its own weights.

        I = 2 * B * D * F / (bx * B * D + bw * G * D * F + bo * B * F)

    Args:
        batch_size: rows of all groups together; top-k routing multiplies tokens by k [1].
        n_groups: groups (experts) in use, G [1].
        d_in: contracted width D [1].
        d_out: output width F [1].
        bytes_in: of one input element [B].
        bytes_weight: of one weight, scales included [B].
        bytes_out: of one output element [B].
    Returns:
        intensity [FLOP/B].
    Raises:
        ZeroDivisionError: no bytes at all, for plain floats.
    Valid for: rows spread evenly over the groups.
    Sources: Austin et al., "How to Scale Your Model", ch. 1, problem 4.

    >>> round(grouped_matmul_intensity(batch_size=2177.4, n_groups=8, d_in=4096, d_out=4096,
    ...                                bytes_in=1, bytes_weight=1, bytes_out=1), 1)
    480.5
    """
    moved = (bytes_in * batch_size * d_in + bytes_weight * n_groups * d_in * d_out
             + bytes_out * batch_size * d_out)
    return 2.0 * batch_size * d_in * d_out / moved


def grouped_matmul_limit(*, d_in: Numeric, d_out: Numeric, bytes_in: Numeric,
                         bytes_out: Numeric) -> Numeric:
    """Intensity of a matmul with unlimited rows: only activations move.

        I = 2 * D * F / (bx * D + bo * F)

    Args:
        d_in: contracted width D [1].
        d_out: output width F [1].
        bytes_in: of one input element [B].
        bytes_out: of one output element [B].
    Returns:
        intensity [FLOP/B]; never compute-bound where it is below the ridge.
    Raises:
        ZeroDivisionError: activations of no bytes, for plain floats.
    Valid for: any number of groups.
    Sources: own derivation (limit of grouped_matmul_intensity for B to infinity).

    >>> grouped_matmul_limit(d_in=4096, d_out=4096, bytes_in=1, bytes_out=1)
    4096.0
    """
    return 2.0 * d_in * d_out / (bytes_in * d_in + bytes_out * d_out)


def grouped_critical_batch(*, n_groups: Numeric, critical_batch: Numeric) -> Numeric:
    """Rows in all at which a grouped matmul turns compute-bound.

        B* = G * B*(one group)

    Args:
        n_groups: groups (experts) in use, G [1].
        critical_batch: critical batch of one group alone [1].
    Returns:
        rows of all groups together [1].
    Raises:
        nothing.
    Valid for: rows spread evenly over the groups.
    Sources: own derivation (grouped_matmul_intensity at B = G * b is matmul_intensity at b).

    >>> grouped_critical_batch(n_groups=8, critical_batch=272.0)
    2176.0
    """
    return n_groups * critical_batch
