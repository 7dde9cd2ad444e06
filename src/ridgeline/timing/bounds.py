"""Roofline bounds: what a chip can attain, and how two resources combine into a time.

Pure formulas over floats, arrays or symbols; they do not check their arguments
(`ridgeline.quantity.check_positive` does, at the surfaces).
"""

from __future__ import annotations

from ridgeline.numeric import Numeric, maximum, minimum

__all__ = [
    "alpha_beta_speedup", "amdahl_speedup", "arithmetic_intensity", "attainable_flops_per_s",
    "compute_time", "geometric_speedup", "geometric_speedup_limit", "linear_speedup",
    "memory_time", "overlapped_time", "petaflop_days", "ridge_point", "roofline_time",
    "roofline_utilisation", "serial_time",
]


def arithmetic_intensity(*, flop: Numeric, memory_bytes: Numeric) -> Numeric:
    """Arithmetic intensity: operations done for each byte moved.

        I = flop / memory_bytes

    Args:
        flop: operations of the kernel [FLOP].
        memory_bytes: bytes moved to and from memory [B].
    Returns:
        intensity [FLOP/B].
    Raises:
        ZeroDivisionError: no bytes, for plain floats.
    Valid for: any kernel; counts each byte once it crosses the memory interface.
    Sources: Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009.

    >>> arithmetic_intensity(flop=200.0, memory_bytes=100.0)
    2.0
    """
    return flop / memory_bytes


def ridge_point(*, peak_flops_per_s: Numeric, memory_bandwidth: Numeric) -> Numeric:
    """Ridge point: the intensity at which memory and compute take equally long.

        h = peak_flops_per_s / memory_bandwidth

    Args:
        peak_flops_per_s: dense peak of the number format in use [FLOP/s].
        memory_bandwidth: device memory bandwidth [B/s].
    Returns:
        ridge intensity [FLOP/B].
    Raises:
        ZeroDivisionError: bandwidth of zero, for plain floats.
    Valid for: one memory level; use the bandwidth of that level.
    Sources: Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009.

    >>> round(ridge_point(peak_flops_per_s=989.4e12, memory_bandwidth=3.35e12), 1)
    295.3
    """
    return peak_flops_per_s / memory_bandwidth


def attainable_flops_per_s(*, intensity: Numeric, peak_flops_per_s: Numeric,
                           memory_bandwidth: Numeric, mfu: Numeric = 1.0,
                           mbu: Numeric = 1.0) -> Numeric:
    """Attainable performance under the roofline.

        perf = min(mfu * peak_flops_per_s, mbu * intensity * memory_bandwidth)

    Args:
        intensity: arithmetic intensity of the kernel [FLOP/B].
        peak_flops_per_s: dense peak of the number format in use [FLOP/s].
        memory_bandwidth: device memory bandwidth [B/s].
        mfu: share of the peak a kernel reaches at best [1].
        mbu: share of the bandwidth a kernel reaches at best [1].
    Returns:
        attainable rate [FLOP/s].
    Raises:
        nothing.
    Valid for: one memory level; take the minimum over calls for a hierarchy.
    Sources: Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009.

    >>> attainable_flops_per_s(intensity=100.0, peak_flops_per_s=989.4e12,
    ...                        memory_bandwidth=3.35e12) / 1e12
    335.0
    """
    return minimum(mfu * peak_flops_per_s, mbu * intensity * memory_bandwidth)


def roofline_utilisation(*, intensity: Numeric, peak_flops_per_s: Numeric,
                         memory_bandwidth: Numeric) -> Numeric:
    """Share of the peak that the roofline leaves at this intensity.

        u = min(1, intensity * memory_bandwidth / peak_flops_per_s)

    Args:
        intensity: arithmetic intensity of the kernel [FLOP/B].
        peak_flops_per_s: dense peak of the number format in use [FLOP/s].
        memory_bandwidth: device memory bandwidth [B/s].
    Returns:
        utilisation between 0 and 1 [1]; 1 / u is the headroom to the peak.
    Raises:
        ZeroDivisionError: peak of zero, for plain floats.
    Valid for: as attainable_flops_per_s.
    Sources: Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009.

    >>> roofline_utilisation(intensity=50.0, peak_flops_per_s=100e12, memory_bandwidth=1e12)
    0.5
    """
    return minimum(1.0, intensity * memory_bandwidth / peak_flops_per_s)


def compute_time(*, flop: Numeric, peak_flops_per_s: Numeric, n_chips: Numeric = 1.0,
                 mfu: Numeric = 1.0) -> Numeric:
    """Time to do the operations with all chips busy.

        t = flop / (n_chips * mfu * peak_flops_per_s)

    Args:
        flop: operations in all [FLOP].
        peak_flops_per_s: dense peak of one chip [FLOP/s].
        n_chips: chips sharing the work evenly [1].
        mfu: share of the peak reached [1].
    Returns:
        time [s].
    Raises:
        ZeroDivisionError: peak, chips or mfu of zero, for plain floats.
    Valid for: work that divides evenly.
    Sources: Austin et al., "How to Scale Your Model", ch. 1 (T_math).

    >>> round(compute_time(flop=1e12, peak_flops_per_s=9.1e14) * 1e3, 3)
    1.099
    """
    return flop / (n_chips * mfu * peak_flops_per_s)


def memory_time(*, memory_bytes: Numeric, memory_bandwidth: Numeric, n_chips: Numeric = 1.0,
                mbu: Numeric = 1.0) -> Numeric:
    """Time to move the bytes with every chip's memory busy.

        t = memory_bytes / (n_chips * mbu * memory_bandwidth)

    Args:
        memory_bytes: bytes moved in all [B].
        memory_bandwidth: device memory bandwidth of one chip [B/s].
        n_chips: chips that each hold an equal share [1].
        mbu: share of the bandwidth reached [1].
    Returns:
        time [s].
    Raises:
        ZeroDivisionError: bandwidth, chips or mbu of zero, for plain floats.
    Valid for: bytes spread evenly and moved once.
    Sources: Austin et al., "How to Scale Your Model", ch. 1 (T_comms).

    >>> round(memory_time(memory_bytes=16e9, memory_bandwidth=3.35e12) * 1e3, 3)
    4.776
    """
    return memory_bytes / (n_chips * mbu * memory_bandwidth)


def roofline_time(*, t_math: Numeric, t_memory: Numeric) -> Numeric:
    """Lower bound of a kernel's time: compute and memory fully overlap.

        t = max(t_math, t_memory)

    Args:
        t_math: time to compute [s].
        t_memory: time to move the bytes [s].
    Returns:
        time no run can beat [s].
    Raises:
        nothing.
    Valid for: any two resources used at the same time.
    Sources: Austin et al., "How to Scale Your Model", ch. 1.

    >>> roofline_time(t_math=30e-6, t_memory=141e-6)
    0.000141
    """
    return maximum(t_math, t_memory)


def serial_time(*, t_math: Numeric, t_memory: Numeric) -> Numeric:
    """Upper bound of a kernel's time at full rates: nothing overlaps.

        t = t_math + t_memory

    At most twice the lower bound.

    Args:
        t_math: time to compute [s].
        t_memory: time to move the bytes [s].
    Returns:
        time [s].
    Raises:
        nothing.
    Valid for: both resources at their peak rates when used.
    Sources: Austin et al., "How to Scale Your Model", ch. 1.

    >>> serial_time(t_math=1.0, t_memory=2.0)
    3.0
    """
    return t_math + t_memory


def overlapped_time(*, t_math: Numeric, t_memory: Numeric, overlap: Numeric = 1.0) -> Numeric:
    """Time when a fraction of the shorter phase hides behind the longer one.

        t = max(t_math, t_memory) + (1 - overlap) * min(t_math, t_memory)

    Args:
        t_math: time to compute [s].
        t_memory: time to move the bytes [s].
        overlap: share of the shorter phase that is hidden, 0 to 1 [1].
    Returns:
        time between the lower and the upper bound [s].
    Raises:
        nothing.
    Valid for: two resources; overlap 1 is roofline_time, overlap 0 is serial_time.
    Sources: own derivation (linear blend of the two bounds).

    >>> overlapped_time(t_math=1.0, t_memory=2.0, overlap=0.5)
    2.5
    """
    return maximum(t_math, t_memory) + (1.0 - overlap) * minimum(t_math, t_memory)


def geometric_speedup(*, n_chips: Numeric, scaling_efficiency: Numeric) -> Numeric:
    """Strong scaling when each added chip is worth a constant fraction of the one before.

        S = (1 - e**n) / (1 - e)

    Args:
        n_chips: chips [1].
        scaling_efficiency: worth of a chip relative to the one before, below 1 [1].
    Returns:
        speed-up over one chip [1].
    Raises:
        ZeroDivisionError: efficiency of exactly 1, for plain floats (then S = n).
    Valid for: a geometric loss, the pessimistic reading of "each added chip works at 90 %".
    Sources: own derivation (geometric series).

    >>> round(geometric_speedup(n_chips=8, scaling_efficiency=0.9), 2)
    5.7
    """
    return (1.0 - scaling_efficiency**n_chips) / (1.0 - scaling_efficiency)


def geometric_speedup_limit(*, scaling_efficiency: Numeric) -> Numeric:
    """The wall of geometric strong scaling: speed-up with unlimited chips.

        S = 1 / (1 - e)

    Args:
        scaling_efficiency: worth of a chip relative to the one before, below 1 [1].
    Returns:
        speed-up over one chip [1].
    Raises:
        ZeroDivisionError: efficiency of exactly 1, for plain floats.
    Valid for: as geometric_speedup.
    Sources: own derivation (limit of the geometric series).

    >>> round(geometric_speedup_limit(scaling_efficiency=0.9), 6)
    10.0
    """
    return 1.0 / (1.0 - scaling_efficiency)


def linear_speedup(*, n_chips: Numeric, scaling_efficiency: Numeric) -> Numeric:
    """Strong scaling when every added chip is worth the same: there is no wall.

        S = 1 + e * (n - 1)

    Args:
        n_chips: chips [1].
        scaling_efficiency: worth of each added chip relative to the first [1].
    Returns:
        speed-up over one chip [1].
    Raises:
        nothing.
    Valid for: a constant marginal loss, the optimistic reading of "works at 90 %".
    Sources: own derivation.

    >>> round(linear_speedup(n_chips=64, scaling_efficiency=0.9), 1)
    57.7
    """
    return 1.0 + scaling_efficiency * (n_chips - 1.0)


def amdahl_speedup(*, accelerated_share: Numeric, speedup: Numeric) -> Numeric:
    """End-to-end speed-up when only a share of the time is made faster.

        S = 1 / (1 - share + share / speedup)

    Args:
        accelerated_share: share of the original time that is accelerated [1].
        speedup: how much faster that share becomes (n chips, or a faster kernel) [1].
    Returns:
        speed-up of the whole [1].
    Raises:
        ZeroDivisionError: speed-up of zero, for plain floats.
    Valid for: a fixed amount of work.
    Sources: Amdahl, AFIPS 1967.

    >>> amdahl_speedup(accelerated_share=0.5, speedup=2.0)
    1.3333333333333333
    """
    return 1.0 / (1.0 - accelerated_share + accelerated_share / speedup)


def alpha_beta_speedup(*, t_work: Numeric, n_chips: Numeric, message_bytes: Numeric,
                       network_bandwidth: Numeric, link_latency: Numeric) -> Numeric:
    """Strong scaling with one ring all-reduce a step, in the alpha-beta model.

        S = t_work / (t_work / n + 2 * (n - 1) * link_latency
            + 2 * (n - 1) / n * message_bytes / network_bandwidth)

    Args:
        t_work: time of the step on one chip [s].
        n_chips: chips [1].
        message_bytes: buffer reduced in each step [B].
        network_bandwidth: one-way link bandwidth of one chip [B/s].
        link_latency: time of one hop for an empty message [s].
    Returns:
        speed-up over one chip [1].
    Raises:
        ZeroDivisionError: bandwidth or chips of zero, for plain floats.
    Valid for: communication that is not hidden behind compute.
    Sources: Thakur, Rabenseifner, Gropp, IJHPCA 19(1), 2005 (ring all-reduce cost).

    >>> round(alpha_beta_speedup(t_work=1e-2, n_chips=8, message_bytes=1e8,
    ...                          network_bandwidth=450e9, link_latency=2e-6), 2)
    6.0
    """
    wire = 2.0 * (n_chips - 1.0) / n_chips * message_bytes / network_bandwidth
    return t_work / (t_work / n_chips + 2.0 * (n_chips - 1.0) * link_latency + wire)


def petaflop_days(*, flop: Numeric) -> Numeric:
    """A run's operations as petaFLOP/s-days, the unit of the scaling-law papers.

        x = flop / (1e15 * 86400)

    Args:
        flop: operations in all [FLOP].
    Returns:
        days at one PFLOP/s [PFLOP/s-day].
    Raises:
        nothing.
    Valid for: any count.
    Sources: Kaplan et al., arXiv 2001.08361 (definition of the unit).

    >>> round(petaflop_days(flop=8.4e23))
    9722
    """
    return flop / (1e15 * 86400.0)
