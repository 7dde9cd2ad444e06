"""A matmul X[B, D] @ W[D, F] split over chips: what each axis costs on the network.

Splitting the contraction D all-reduces partial sums, splitting the output F gathers the input,
splitting the batch B with shared weights gathers the weights. Pure formulas.
"""

from __future__ import annotations

from ridgeline.numeric import Numeric
from ridgeline.work.matmul_roofline import matmul_flop

__all__ = ["critical_d_in_sharded", "gathered_input_intensity", "gathered_weight_intensity",
           "sharded_matmul_flop", "sharded_network_bytes", "sharded_network_intensity"]


def sharded_matmul_flop(*, batch_size: Numeric, d_in: Numeric, d_out: Numeric,
                        n_chips: Numeric) -> Numeric:
    """Operations of each chip when the contracted width is split.

        flop = 2 * B * D * F / n

    Args:
        batch_size: rows [1].
        d_in: contracted width D [1].
        d_out: output width F [1].
        n_chips: chips that share the contraction [1].
    Returns:
        operations of one chip [FLOP].
    Raises:
        ZeroDivisionError: no chips, for plain floats.
    Valid for: D divisible by n.
    Sources: Austin et al., "How to Scale Your Model", ch. 1.

    >>> sharded_matmul_flop(batch_size=1, d_in=4, d_out=2, n_chips=2)
    8.0
    """
    return matmul_flop(batch_size=batch_size, d_in=d_in, d_out=d_out) / n_chips


def sharded_network_bytes(*, batch_size: Numeric, d_out: Numeric, bytes_out: Numeric,
                          n_chips: Numeric) -> Numeric:
    """Bytes each chip sends to all-reduce the partial sums of a split contraction.

        bytes = 2 * bo * B * F * (n - 1) / n

    Args:
        batch_size: rows [1].
        d_out: output width F [1].
        bytes_out: of one partial sum [B].
        n_chips: chips that share the contraction [1].
    Returns:
        bytes sent by one chip [B].
    Raises:
        ZeroDivisionError: no chips, for plain floats.
    Valid for: bandwidth-optimal all-reduce (two chips: each sends its whole partial sum).
    Sources: Austin et al., "How to Scale Your Model", ch. 1; Patarasuk, Yuan, JPDC 69, 2009.

    >>> sharded_network_bytes(batch_size=1, d_out=8, bytes_out=2, n_chips=2)
    16.0
    """
    return 2.0 * bytes_out * batch_size * d_out * (n_chips - 1.0) / n_chips


def sharded_network_intensity(*, d_in: Numeric, bytes_out: Numeric, n_chips: Numeric) -> Numeric:
    """Operations for each byte sent over the network when the contraction is split.

        I = D / (bo * (n - 1))

    Independent of the batch and of the output width.

    Args:
        d_in: contracted width D, of all chips together [1].
        bytes_out: of one partial sum [B].
        n_chips: chips that share the contraction [1].
    Returns:
        network intensity [FLOP/B].
    Raises:
        ZeroDivisionError: one chip, for plain floats.
    Valid for: as sharded_network_bytes.
    Sources: own derivation (sharded_matmul_flop over sharded_network_bytes).

    >>> sharded_network_intensity(d_in=8192, bytes_out=2, n_chips=2)
    4096.0
    """
    return d_in / (bytes_out * (n_chips - 1.0))


def critical_d_in_sharded(*, peak_flops_per_s: Numeric, network_bandwidth: Numeric,
                          bytes_out: Numeric, n_chips: Numeric) -> Numeric:
    """Contracted width above which a split matmul is compute-bound, not network-bound.

        D* = bo * (n - 1) * peak_flops_per_s / network_bandwidth

    Args:
        peak_flops_per_s: dense peak of one chip [FLOP/s].
        network_bandwidth: one-way link bandwidth of one chip [B/s].
        bytes_out: of one partial sum [B].
        n_chips: chips that share the contraction [1].
    Returns:
        width [1].
    Raises:
        ZeroDivisionError: bandwidth of zero, for plain floats.
    Valid for: as sharded_network_bytes; latency neglected.
    Sources: own derivation (sharded_network_intensity = peak / network bandwidth).

    >>> round(critical_d_in_sharded(peak_flops_per_s=197e12, network_bandwidth=4.5e10,
    ...                             bytes_out=2, n_chips=2))
    8756
    """
    return bytes_out * (n_chips - 1.0) * peak_flops_per_s / network_bandwidth


def gathered_input_intensity(*, d_out: Numeric, bytes_in: Numeric, n_chips: Numeric) -> Numeric:
    """Operations for each byte received when the output width is split and the input gathered.

        I = 2 * F / (bx * (n - 1))

    Independent of the batch and of the contracted width; compute-bound above C / W_net.

    Args:
        d_out: output width F, of all chips together [1].
        bytes_in: of one input element [B].
        n_chips: chips that share the output width [1].
    Returns:
        network intensity [FLOP/B].
    Raises:
        ZeroDivisionError: one chip, for plain floats.
    Valid for: an input that lies split over the chips; without the gather there is no traffic.
    Sources: own derivation (2 B D F / n operations, bx B D (n - 1) / n bytes received).

    >>> gathered_input_intensity(d_out=8192, bytes_in=2, n_chips=2)
    8192.0
    """
    return 2.0 * d_out / (bytes_in * (n_chips - 1.0))


def gathered_weight_intensity(*, batch_size: Numeric, bytes_weight: Numeric,
                              n_chips: Numeric) -> Numeric:
    """Operations for each byte received when the batch is split and weights are gathered.

        I = 2 * B / (bw * (n - 1))

    Independent of both widths; compute-bound above C / W_net.

    Args:
        batch_size: rows of all chips together B [1].
        bytes_weight: of one weight, scales included [B].
        n_chips: chips that share the batch [1].
    Returns:
        network intensity [FLOP/B].
    Raises:
        ZeroDivisionError: one chip, for plain floats.
    Valid for: weights that lie split over the chips (ZeRO-3, FSDP), gathered for each use.
    Sources: own derivation (2 B D F / n operations, bw D F (n - 1) / n bytes received).

    >>> gathered_weight_intensity(batch_size=4096, bytes_weight=2, n_chips=2)
    4096.0
    """
    return 2.0 * batch_size / (bytes_weight * (n_chips - 1.0))
