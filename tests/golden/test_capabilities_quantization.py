"""Worked values of quantisation, ternary weights and compressed weights."""

import pytest

from ridgeline.memory.weights import (
    TERNARY_BITS,
    compressed_bandwidth,
    size_ratio,
    ternary_bytes,
    ternary_energy_ratio,
)
from ridgeline.timing.speedups import roofline_speedup
from ridgeline.timing.textbook import forward_pass_floor
from ridgeline.work.matmul_roofline import critical_batch_asymptotic

from .shapes import H100, LLAMA_8B, RTX4090


@pytest.mark.parametrize(("before", "after", "expected"), [
    (16, 8, 2.0), (8, 4, 2.0), (8.5, 4.83, 1.76), (4, 2, 2.0), (4.83, 3.0, 1.61), (16, 2, 8.0),
    (16, 3.0, 5.33)])
def test_size_and_memory_bound_speed(before: float, after: float, expected: float) -> None:
    assert size_ratio(from_bits=before, to_bits=after) == pytest.approx(expected, rel=0.005)


def test_speed_up_stops_at_compute() -> None:
    assert roofline_speedup(t_math_before=3.0, t_memory_before=4.0, t_math_after=3.0,
                            t_memory_after=1.0) == pytest.approx(4 / 3)


def test_threshold_batch_moves_only_for_weight_only_quantisation() -> None:
    bf16 = critical_batch_asymptotic(ridge=H100.ridge, bytes_weight=2)
    weight_only = critical_batch_asymptotic(ridge=H100.ridge, bytes_weight=1)
    uniform = critical_batch_asymptotic(ridge=H100.fp8 / H100.bandwidth, bytes_weight=1)
    assert bf16 == pytest.approx(295.3, rel=0.005)
    assert uniform == pytest.approx(bf16, rel=0.005)
    assert weight_only == pytest.approx(bf16 / 2)


@pytest.mark.parametrize(("bits", "gigabytes"), [
    (TERNARY_BITS, 19.8), (8 / 5, 20.0), (2, 25.0), (16, 200)])
def test_ternary_size_of_100b(bits: float, gigabytes: float) -> None:
    assert ternary_bytes(n_params=100e9, bits=bits) == pytest.approx(gigabytes * 1e9, rel=0.005)


def test_ternary_energy_with_the_45_nm_table() -> None:
    assert ternary_energy_ratio(add_joules=0.03e-12, multiply_joules=1.1e-12,
                                accumulate_joules=0.4e-12) == pytest.approx(50)


def test_lossless_compression_on_a_4090() -> None:
    plain = RTX4090.bandwidth
    packed = compressed_bandwidth(memory_bandwidth=plain, ratio=1.43, decompress_rate=10e12)
    for bandwidth, expected in ((plain, 62.8), (packed, 89.7)):
        assert forward_pass_floor(params_read=LLAMA_8B.params, bytes_per_param=2, n_chips=1,
                                  memory_bandwidth=bandwidth) == pytest.approx(expected, rel=0.005)
    slow = compressed_bandwidth(memory_bandwidth=plain, ratio=1.43, decompress_rate=1.2e12)
    assert slow == 1.2e12, "a slow decompressor decides"
