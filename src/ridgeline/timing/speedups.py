"""What a change of representation or schedule buys: fewer bits, skipped layers, speculation."""

from __future__ import annotations

from collections.abc import Sequence

from ridgeline.numeric import Numeric, log2, maximum, minimum, where

__all__ = [
    "bits_ratio", "bytes_from_bits", "compressed_bandwidth", "early_exit_byte_speedup",
    "early_exit_flop_speedup", "energy_ratio_without_multiply", "layer_read_share",
    "level_bits", "packed_bits", "roofline_speedup", "speculative_speedup",
    "speculative_tokens_by_position", "speculative_tokens_per_step",
]


def bits_ratio(*, bits_before: Numeric, bits_after: Numeric) -> Numeric:
    """How much smaller weights become, and how much faster memory-bound decode at best.

        r = bits_before / bits_after

    Args:
        bits_before: bits of one parameter, scales included [bit].
        bits_after: bits of one parameter afterwards, scales included [bit].
    Returns:
        ratio [1].
    Raises:
        ZeroDivisionError: no bits, for plain floats.
    Valid for: the quantised share of the weights.
    Sources: own derivation.

    >>> round(bits_ratio(bits_before=8.5, bits_after=4.83), 2)
    1.76
    """
    return bits_before / bits_after


def roofline_speedup(*, t_math_before: Numeric, t_memory_before: Numeric, t_math_after: Numeric,
                     t_memory_after: Numeric) -> Numeric:
    """Speed-up of a step when its compute and memory times change.

        S = max(t_math, t_memory) / max(t_math', t_memory')

    Args:
        t_math_before: time to compute, before [s].
        t_memory_before: time to move the bytes, before [s].
        t_math_after: time to compute, after [s].
        t_memory_after: time to move the bytes, after [s].
    Returns:
        speed-up [1].
    Raises:
        ZeroDivisionError: nothing left to do, for plain floats.
    Valid for: full overlap before and after.
    Sources: Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009.

    >>> roofline_speedup(t_math_before=1.0, t_memory_before=4.0, t_math_after=1.0,
    ...                  t_memory_after=2.0)
    2.0
    """
    return maximum(t_math_before, t_memory_before) / maximum(t_math_after, t_memory_after)


def level_bits(*, n_levels: Numeric) -> Numeric:
    """Information in a weight that takes one of a few values.

        bits = log2(n_levels)

    Args:
        n_levels: values a weight can take, 3 for ternary [1].
    Returns:
        bits [bit].
    Raises:
        ValueError: no levels, for plain floats.
    Valid for: equally likely values; storage needs a little more (see packed_bits).
    Sources: Ma et al., "The Era of 1-bit LLMs", arXiv 2402.17764 (1.58 bits).

    >>> round(level_bits(n_levels=3), 3)
    1.585
    """
    return log2(n_levels)


def packed_bits(*, weights_per_byte: Numeric) -> Numeric:
    """Bits a weight takes when several are packed in a byte.

        bits = 8 / weights_per_byte

    Args:
        weights_per_byte: weights in one byte: 5 ternary ones fit, 4 unpack faster [1].
    Returns:
        bits [bit].
    Raises:
        ZeroDivisionError: none in a byte, for plain floats.
    Valid for: fixed-rate packing.
    Sources: own derivation (3**5 = 243 values fit a byte).

    >>> packed_bits(weights_per_byte=5)
    1.6
    """
    return 8.0 / weights_per_byte


def bytes_from_bits(*, params: Numeric, bits_per_param: Numeric) -> Numeric:
    """Size of weights at a number of bits each.

        bytes = P * bits / 8

    Args:
        params: parameters P [param].
        bits_per_param: bits of one parameter, scales included [bit].
    Returns:
        bytes [B].
    Raises:
        nothing.
    Valid for: one format throughout.
    Sources: own derivation.

    >>> bytes_from_bits(params=100e9, bits_per_param=1.6) / 1e9
    20.0
    """
    return params * bits_per_param / 8.0


def energy_ratio_without_multiply(*, energy_add_before: Numeric, energy_multiply_before: Numeric,
                                  energy_add_after: Numeric) -> Numeric:
    """Arithmetic energy saved when multiply-adds become additions (ternary weights).

        r = (e_add + e_mul) / e_add'

    Args:
        energy_add_before: of one addition in the old format [J].
        energy_multiply_before: of one multiplication in the old format [J].
        energy_add_after: of one addition in the new format [J].
    Returns:
        ratio [1].
    Raises:
        ZeroDivisionError: additions of no energy, for plain floats.
    Valid for: arithmetic alone; reading the operands costs more than either.
    Sources: Horowitz, ISSCC 2014 (45 nm: int8 add 0.03 pJ, fp16 multiply 1.1 pJ, add 0.4 pJ).

    >>> round(energy_ratio_without_multiply(energy_add_before=0.4e-12,
    ...       energy_multiply_before=1.1e-12, energy_add_after=0.03e-12))
    50
    """
    return (energy_add_before + energy_multiply_before) / energy_add_after


def compressed_bandwidth(*, memory_bandwidth: Numeric, compression_ratio: Numeric,
                         decompression_rate: Numeric) -> Numeric:
    """Bandwidth in uncompressed bytes when weights are stored compressed.

        W' = min(W * ratio, decompression_rate)

    Args:
        memory_bandwidth: device memory bandwidth W [B/s].
        compression_ratio: uncompressed over compressed size [1].
        decompression_rate: uncompressed bytes the chip can produce per second [B/s].
    Returns:
        effective bandwidth [B/s].
    Raises:
        nothing.
    Valid for: decompression overlapped with reading.
    Sources: own derivation; Zhang et al., "DFloat11", arXiv 2504.11651 (a lossless 11-bit form).

    >>> compressed_bandwidth(memory_bandwidth=1e12, compression_ratio=1.5,
    ...                      decompression_rate=2e12)
    1500000000000.0
    """
    return minimum(memory_bandwidth * compression_ratio, decompression_rate)


def early_exit_flop_speedup(*, skip_share: Numeric) -> Numeric:
    """Speed-up in operations when tokens skip a share of the layers.

        S = 1 / (1 - f)

    Args:
        skip_share: share of layers a token skips f, below 1 [1].
    Returns:
        speed-up [1].
    Raises:
        ZeroDivisionError: everything skipped, for plain floats.
    Valid for: equal layers; keys and values of skipped layers still have to be made or copied.
    Sources: Schuster et al., "Confident Adaptive Language Modeling", arXiv 2207.07061.

    >>> round(early_exit_flop_speedup(skip_share=0.25), 3)
    1.333
    """
    return 1.0 / (1.0 - skip_share)


def layer_read_share(*, skip_share: Numeric, batch_size: Numeric) -> Numeric:
    """Probability that a layer is read at all when each sequence may skip it.

        p = 1 - f**B

    Args:
        skip_share: probability that a sequence skips the layer f [1].
        batch_size: sequences in the step B [1].
    Returns:
        share of layers read [1].
    Raises:
        nothing.
    Valid for: independent sequences.
    Sources: own derivation.

    >>> layer_read_share(skip_share=0.25, batch_size=2)
    0.9375
    """
    return 1.0 - skip_share**batch_size


def early_exit_byte_speedup(*, skip_share: Numeric, batch_size: Numeric) -> Numeric:
    """Speed-up in weight bytes when tokens skip layers: vanishes as the batch grows.

        S = 1 / (1 - f**B)

    Args:
        skip_share: probability that a sequence skips a layer f, below 1 [1].
        batch_size: sequences in the step B [1].
    Returns:
        speed-up of a memory-bound step [1].
    Raises:
        ZeroDivisionError: everything skipped, for plain floats.
    Valid for: independent sequences, short context.
    Sources: own derivation (a layer is saved only if all sequences skip it).

    >>> round(early_exit_byte_speedup(skip_share=0.25, batch_size=8), 5)
    1.00002
    """
    return 1.0 / layer_read_share(skip_share=skip_share, batch_size=batch_size)


def speculative_tokens_per_step(*, acceptance: Numeric, draft_tokens: Numeric) -> Numeric:
    """Tokens one verification yields when each drafted token is accepted with one probability.

        E = (1 - a**(g + 1)) / (1 - a),  g + 1 when a = 1

    Args:
        acceptance: probability that a drafted token is accepted a, 0 to 1 [1].
        draft_tokens: tokens drafted for each verification g [token].
    Returns:
        expected tokens, between 1 and g + 1 [token].
    Raises:
        nothing.
    Valid for: independent acceptances; the verifier always adds one token of its own.
    Sources: Leviathan, Kalman, Matias, arXiv 2211.17192, equation 1.

    >>> round(speculative_tokens_per_step(acceptance=0.8, draft_tokens=4), 2)
    3.36
    """
    # The inner where keeps the unused branch from dividing by zero.
    rejection = where(acceptance < 1, 1.0 - acceptance, 1.0)
    return where(acceptance < 1, (1.0 - acceptance**(draft_tokens + 1.0)) / rejection,
                 draft_tokens + 1.0)


def speculative_tokens_by_position(*, acceptance_by_position: Sequence[Numeric]) -> Numeric:
    """Tokens one verification yields when later drafts are accepted less often.

        E = 1 + a_1 + a_1 * a_2 + ... + a_1 * ... * a_g

    Args:
        acceptance_by_position: probability that draft i is accepted given all before were [1].
    Returns:
        expected tokens, between 1 and g + 1 [token].
    Raises:
        nothing.
    Valid for: chains of drafts, not trees.
    Sources: own derivation (draft i counts if it and all before it are accepted).

    >>> round(speculative_tokens_by_position(acceptance_by_position=[0.8, 0.7, 0.6]), 3)
    2.696
    """
    total: Numeric = 1.0
    survive: Numeric = 1.0
    for acceptance in acceptance_by_position:
        survive = survive * acceptance
        total = total + survive
    return total


def speculative_speedup(*, tokens_per_step: Numeric, draft_tokens: Numeric, draft_cost: Numeric,
                        verify_cost: Numeric = 1.0) -> Numeric:
    """Net gain of speculative decoding.

        S = E / (verify_cost + g * c)

    Args:
        tokens_per_step: expected tokens of one verification E [token].
        draft_tokens: tokens drafted for each verification g [token].
        draft_cost: time of one draft over time of a plain step c [1].
        verify_cost: time of the verification over time of a plain step; 1 while the step is
            memory-bound, up to g + 1 when it is compute-bound [1].
    Returns:
        speed-up; below 1 speculation loses [1].
    Raises:
        ZeroDivisionError: no cost at all, for plain floats.
    Valid for: drafts made one after another.
    Sources: Leviathan, Kalman, Matias, arXiv 2211.17192, theorem 3.8.

    >>> round(speculative_speedup(tokens_per_step=3.3616, draft_tokens=4, draft_cost=0.05), 2)
    2.8
    """
    return tokens_per_step / (verify_cost + draft_tokens * draft_cost)
