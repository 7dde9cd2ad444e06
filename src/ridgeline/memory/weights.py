"""How many bytes a number of parameters is, at any number format, packed or compressed."""

from __future__ import annotations

import math

from ridgeline.numeric import Numeric, ceil_div, minimum

TERNARY_BITS = math.log2(3.0)      # information in one of three equally likely values
TRITS_PER_BYTE = 5.0               # 3**5 = 243 <= 256: the densest whole packing of one byte


def weight_bytes(*, n_params: Numeric, bits: Numeric) -> Numeric:
    """Bytes of parameters stored at a number of bits each, scales included in the bits.

        bytes = n_params * bits / 8

    Args:
        n_params: parameters [1], any shape.
        bits: mean bits of one parameter with its share of scales [1], broadcast.

    Returns:
        bytes, broadcast shape of the inputs.

    Sources: definition. Llama-3-70B in bf16 is 141.1 GB.
    >>> round(weight_bytes(n_params=70_553_706_496, bits=16) / 1e9, 1)
    141.1
    """
    return n_params * bits / 8.0


def mixed_weight_bytes(*, n_quantised: Numeric, quantised_bits: Numeric, n_kept: Numeric,
                       kept_bits: Numeric = 16.0) -> Numeric:
    """Bytes of a model of which a part (embeddings, head, norms, router) keeps a wider format.

        bytes = (n_quantised * quantised_bits + n_kept * kept_bits) / 8

    Args:
        n_quantised: parameters in the narrow format [1].
        quantised_bits: bits of each, scales included [1].
        n_kept: parameters that stay wide [1].
        kept_bits: bits of each [1].

    Returns:
        bytes.

    Sources: definition; what stays wide is the quantiser's choice (AWQ, GPTQ and bitsandbytes
    keep embeddings, head and norms in 16 bit).
    >>> round(mixed_weight_bytes(n_quantised=6.98e9, quantised_bits=4.25, n_kept=1.05e9) / 1e9, 2)
    5.81
    """
    return (n_quantised * quantised_bits + n_kept * kept_bits) / 8.0


def grouped_bits(*, value_bits: Numeric, group_size: Numeric, scale_bits: Numeric = 16.0,
                 zero_bits: Numeric = 0.0) -> Numeric:
    """Mean bits of one weight quantised in groups that share a scale and a zero point.

        bits = value_bits + (scale_bits + zero_bits) / group_size

    Args:
        value_bits: bits of one quantised value [1].
        group_size: weights that share a scale [1].
        scale_bits: bits of the scale [1].
        zero_bits: bits of the zero point [1].

    Returns:
        bits per weight.

    Sources: definition. MXFP4 (8-bit scale, 32 values) 4.25; NVFP4 (8-bit, 16) 4.5; AWQ g128
    (16-bit scale, 4-bit zero) 4.156; Q8_0 (16-bit, 32) 8.5.
    >>> grouped_bits(value_bits=4, group_size=32, scale_bits=8)
    4.25
    """
    return value_bits + (scale_bits + zero_bits) / group_size


def ternary_bytes(*, n_params: Numeric, bits: Numeric = TERNARY_BITS) -> Numeric:
    """Bytes of weights that are -1, 0 or 1.

        bytes = n_params * bits / 8, bits = log2(3) at least, 1.6 with 5 to a byte, 2 as stored

    Args:
        n_params: parameters [1].
        bits: bits of one value [1]; the information bound unless given.

    Returns:
        bytes.

    Sources: BitNet b1.58 (arXiv 2402.17764).
    >>> [round(ternary_bytes(n_params=1e11, bits=b) / 1e9, 1) for b in (TERNARY_BITS, 1.6, 2)]
    [19.8, 20.0, 25.0]
    """
    return n_params * bits / 8.0


def ternary_packed_bytes(*, n_params: Numeric) -> Numeric:
    """Bytes of ternary weights packed five to a byte, whole bytes only.

        bytes = ceil(n_params / 5)

    Args:
        n_params: parameters [1].

    Returns:
        bytes.

    Sources: 3**5 = 243 states fit the 256 of a byte.
    >>> ternary_packed_bytes(n_params=1e11) / 1e9
    20.0
    """
    return ceil_div(n_params, TRITS_PER_BYTE)


def ternary_energy_ratio(*, add_joules: Numeric, multiply_joules: Numeric,
                         accumulate_joules: Numeric) -> Numeric:
    """How many times less arithmetic energy a ternary multiply-accumulate takes: it only adds.

        ratio = (multiply_joules + accumulate_joules) / add_joules

    Args:
        add_joules: one addition of the ternary kernel [J].
        multiply_joules: one multiplication it replaces [J].
        accumulate_joules: the addition behind that multiplication [J].

    Returns:
        ratio [1].

    Sources: energies at 45 nm: Horowitz, ISSCC 2014 (int8 add 0.03 pJ, fp16 multiply 1.1 pJ,
    fp16 add 0.4 pJ).
    >>> round(ternary_energy_ratio(add_joules=0.03e-12, multiply_joules=1.1e-12,
    ...                            accumulate_joules=0.4e-12), 6)
    50.0
    """
    return (multiply_joules + accumulate_joules) / add_joules


def size_ratio(*, from_bits: Numeric, to_bits: Numeric) -> Numeric:
    """How many times smaller weights get, and decode faster while weights are all it reads.

        ratio = from_bits / to_bits

    Args:
        from_bits: bits of one weight before [1].
        to_bits: bits after, scales included [1].

    Returns:
        ratio [1].

    Sources: definition. INT8 to Q4 is 2x ideal and 1.76x with Q8_0 (8.5) to Q4_K_M (4.83).
    >>> size_ratio(from_bits=16, to_bits=8), round(size_ratio(from_bits=8.5, to_bits=4.83), 2)
    (2.0, 1.76)
    """
    return from_bits / to_bits


def compressed_bandwidth(*, memory_bandwidth: Numeric, ratio: Numeric,
                         decompress_rate: Numeric) -> Numeric:
    """Weights per second, as if uncompressed, when they lie compressed and are expanded on use.

        rate = min(memory_bandwidth * ratio, decompress_rate)

    Args:
        memory_bandwidth: of the memory that holds the compressed bytes [bytes/s].
        ratio: uncompressed over compressed size [1].
        decompress_rate: uncompressed output of the decompressor [bytes/s].

    Returns:
        bytes/s of uncompressed weights.

    Sources: derivation: reading and expanding overlap, the slower one decides. 11-bit lossless
    bf16 has ratio 16/11.2 = 1.43 (DFloat11, arXiv 2504.11651).
    >>> rate = compressed_bandwidth(memory_bandwidth=1.008e12, ratio=1.43, decompress_rate=2e12)
    >>> round(rate / 16_060_522_496, 1)     # 8B in bf16, tokens/s ceiling
    89.8
    """
    return minimum(memory_bandwidth * ratio, decompress_rate)
