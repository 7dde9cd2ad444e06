"""Worked values of inference speed, at 0.5 % unless a row says otherwise."""

import math
from typing import Any

import pytest

from ridgeline.timing.critical_batch import (
    compute_idle_share,
    critical_batch_rule,
    critical_batch_with_kv,
    kv_equals_weights,
    kv_knee,
)
from ridgeline.timing.offload import kv_offload_time, required_bandwidth, two_tier_time
from ridgeline.timing.speedups import (
    early_exit_byte_speedup,
    early_exit_flop_speedup,
    speculative_speedup,
    speculative_tokens_by_position,
    speculative_tokens_per_step,
)
from ridgeline.timing.textbook import (
    attention_flop_per_cached_token,
    decode_bytes,
    decode_step,
    decode_throughput,
    forward_pass_ceiling,
    forward_pass_floor,
    forward_pass_ratio,
    latency_floor,
    model_bandwidth_utilisation,
    model_flops_utilisation,
    prefill,
    prefill_ceiling,
    prefill_flop,
    request_flop,
)
from ridgeline.work.attention_io import (
    attention_flop,
    decode_attention_occupancy,
    flash_attention_bytes,
    flash_attention_floor_bytes,
    recurrent_state_bytes,
    score_matrix_bytes,
    splits_to_fill,
    standard_attention_bytes,
    state_in_cached_tokens,
)
from ridgeline.work.experts_read import (
    distinct_experts,
    distinct_experts_skewed,
    mixture_params_read,
    zipf_inclusion,
)

from .shapes import (
    A100,
    DEEPSEEK_ACTIVE,
    DEEPSEEK_KV,
    DEEPSEEK_TOTAL,
    H100,
    LLAMA_8B,
    LLAMA_70B,
    QWEN_7B,
    RTX4090,
)

GPT4_ACTIVE = 280e9


def near(value: float, rel: float = 0.005) -> Any:
    return pytest.approx(value, rel=rel)


def llama_70b_step(batch_size: float, **changes: float) -> float:
    given: dict[str, float] = {
        "params_read": LLAMA_70B.params, "active_params": LLAMA_70B.params,
        "batch_size": batch_size, "context_length": 8192,
        "kv_bytes_per_token": LLAMA_70B.kv_bytes_per_token, "bytes_per_param": 2, "n_chips": 8,
        "peak_flops_per_s": H100.bf16, "memory_bandwidth": H100.bandwidth}
    return float(decode_step(**{**given, **changes}))


def test_forward_pass_ceiling_and_floor() -> None:
    ceiling = forward_pass_ceiling(active_params=GPT4_ACTIVE, n_chips=1, peak_flops_per_s=A100.bf16)
    floor = forward_pass_floor(params_read=GPT4_ACTIVE, bytes_per_param=2, n_chips=1,
                               memory_bandwidth=2e12)
    assert (ceiling, floor) == (near(557.1), near(3.57))
    assert ceiling / floor == near(156)
    assert forward_pass_ratio(ridge=312e12 / 2e12, bytes_per_param=2) == near(156)
    assert (56.7 / ceiling, 56.7 / floor) == (near(0.102), near(15.9))
    assert forward_pass_ceiling(active_params=GPT4_ACTIVE, n_chips=1,
                                peak_flops_per_s=H100.bf16) == near(1766.8)
    assert forward_pass_floor(params_read=GPT4_ACTIVE, bytes_per_param=2, n_chips=1,
                              memory_bandwidth=H100.bandwidth) == near(5.98)


@pytest.mark.parametrize(("batch", "milliseconds", "rate"), [
    (1, 5.365, 186), (32, 8.470, 3778), (64, 11.676, 5482), (256, 30.907, 8283)])
def test_decode_step(batch: int, milliseconds: float, rate: float) -> None:
    step = llama_70b_step(batch)
    assert step == near(milliseconds * 1e-3, 1e-4)
    assert decode_throughput(batch_size=batch, step_time=step) == near(rate)


def test_3200_tokens_per_second_is_plausible() -> None:
    step_bytes = decode_bytes(params_read=LLAMA_70B.params, bytes_per_param=2, batch_size=64,
                              context_length=8192, kv_bytes_per_token=327_680)
    assert model_bandwidth_utilisation(step_bytes=step_bytes, step_time=64 / 3200, n_chips=8,
                                       memory_bandwidth=H100.bandwidth) == near(0.58, 0.01)
    assert model_flops_utilisation(throughput=3200, flop_per_token=2 * LLAMA_70B.params, n_chips=8,
                                   peak_flops_per_s=H100.bf16) == near(0.057)


def test_decode_with_attention_work_and_without_overlap() -> None:
    flop = attention_flop_per_cached_token(n_layers=80, n_heads=64, head_dim=128)
    plain = llama_70b_step(64, attention_flop_per_token=flop)
    assert plain == near(llama_70b_step(64)), "decode stays memory-bound with attention counted"
    added = llama_70b_step(64, overlap=0.0)
    assert added == near(11.676e-3 + 64 * 2 * LLAMA_70B.params / (8 * H100.bf16), 1e-4)


def test_prefill() -> None:
    given: dict[str, Any] = {
        "active_params": LLAMA_70B.params, "params_read": LLAMA_70B.params, "bytes_per_param": 2,
        "prompt_tokens": 8192, "n_chips": 8, "peak_flops_per_s": H100.bf16,
        "memory_bandwidth": H100.bandwidth, "mfu": 0.5}
    weights, whole = prefill(**given), prefill(**given, n_layers=80, d_attention=8192)
    assert (weights, whole) == (near(0.292), near(0.314))
    assert whole / weights - 1 == near(0.076)
    assert prefill(**given, cached_share=0.5) == near(weights / 2)
    assert prefill(**{**given, "prompt_tokens": 1}) == near(5.265e-3), "weights are read at least"
    assert prefill(**{**given, "prompt_tokens": 4}, n_chunks=2) == near(2 * 5.265e-3)


def test_prefill_ceiling_rejects_100k() -> None:
    bf16, fp8 = (prefill_ceiling(active_params=LLAMA_70B.params, n_chips=8, peak_flops_per_s=p)
                 for p in (H100.bf16, H100.fp8))
    assert (bf16, fp8) == (near(56_093, 1e-4), near(112_193, 1e-4))
    assert 100_000 / bf16 == near(1.78)


def test_a_prefix_cache_still_pays_attention_to_the_prefix() -> None:
    shape: dict[str, Any] = {"active_params": LLAMA_70B.params, "prompt_tokens": 8192,
                             "n_layers": 80, "d_attention": 8192}
    whole, half, first = (prefill_flop(**shape), prefill_flop(**shape, cached_share=0.5),
                          prefill_flop(**{**shape, "prompt_tokens": 4096}))
    assert half + first == near(whole, 1e-12)


def test_request_flop() -> None:
    flop = request_flop(active_params=GPT4_ACTIVE, prompt_tokens=1000, output_tokens=50)
    assert flop == near(5.874e14)
    assert flop / (2 * GPT4_ACTIVE) == 1049


@pytest.mark.parametrize(("params", "size", "chips", "bandwidth", "milliseconds"), [
    (LLAMA_70B.params, 2, 8, H100.bandwidth, 5.27), (LLAMA_70B.params, 1, 8, H100.bandwidth, 2.63),
    (42.52e9, 1, 8, H100.bandwidth, 1.59), (671e9, 1, 8, 4.8e12, 17.5), (37e9, 1, 8, 4.8e12, 0.96),
    (1e12, 1, 8, H100.bandwidth, 37.3), (1e12, 1, 72, 8e12, 1.74)])
def test_latency_floor(params: float, size: float, chips: int, bandwidth: float,
                       milliseconds: float) -> None:
    assert latency_floor(params_read=params, bytes_per_param=size, n_chips=chips,
                         memory_bandwidth=bandwidth) == near(milliseconds * 1e-3)


def test_critical_batch() -> None:
    def rule(ridge: float, total: float, active: float) -> float:
        return float(critical_batch_rule(ridge=ridge, bytes_per_param=2, total_params=total,
                                         active_params=active))
    assert rule(H100.ridge, 1, 1) == near(295)
    assert rule(300, 1831e9, 277e9) == near(1983)
    assert rule(300, DEEPSEEK_TOTAL, DEEPSEEK_ACTIVE) == near(5440)


@pytest.mark.parametrize(("total", "active", "size", "peak", "context", "kv", "expected"), [
    (671e9, 37e9, 1, H100.fp8, 0, 0, 5356),
    (LLAMA_70B.params, LLAMA_70B.params, 2, H100.bf16, 1024, 327_680, 992),
    (671e9, 37e9, 2, H100.bf16, 4096, DEEPSEEK_KV, math.inf)])
def test_critical_batch_with_kv(total: float, active: float, size: float, peak: float,
                                context: float, kv: float, expected: float) -> None:
    assert critical_batch_with_kv(
        total_params=total, active_params=active, bytes_per_param=size, context_length=context,
        kv_bytes_per_token=kv, peak_flops_per_s=peak,
        memory_bandwidth=H100.bandwidth) == near(expected)


def test_llama_needs_3_4_times_the_rule() -> None:
    with_kv = critical_batch_with_kv(
        total_params=LLAMA_70B.params, active_params=LLAMA_70B.params, bytes_per_param=2,
        context_length=1024, kv_bytes_per_token=327_680, peak_flops_per_s=H100.bf16,
        memory_bandwidth=H100.bandwidth)
    assert with_kv / H100.ridge == near(3.4, 0.02)


@pytest.mark.parametrize(("experts", "top_k", "batch", "expected", "rel"), [
    (8, 2, 1, 2.0, 1e-9), (8, 2, 8, 7.2, 0.005), (8, 2, 64, 8.0, 0.005), (256, 8, 8, 57.4, 0.005),
    (256, 8, 64, 222.4, 0.005), (256, 8, 512, 256, 0.005)])
def test_distinct_experts(experts: int, top_k: int, batch: int, expected: float,
                          rel: float) -> None:
    assert distinct_experts(n_experts=experts, top_k=top_k, batch_size=batch) == near(expected, rel)


def test_skewed_routing_reads_fewer_experts() -> None:
    even = distinct_experts_skewed(inclusion=zipf_inclusion(256, 8, 0.0), batch_size=64)
    assert even == near(222.4)
    counts = [distinct_experts_skewed(inclusion=zipf_inclusion(256, 8, skew), batch_size=64)
              for skew in (0.0, 0.3, 0.6, 1.0)]
    assert counts == sorted(counts, reverse=True) and counts[-1] < 0.8 * counts[0]


def test_params_read_by_a_mixture_step() -> None:
    def read(batch: int) -> float:
        hit = distinct_experts(n_experts=256, top_k=8, batch_size=batch)
        return float(mixture_params_read(total_params=671e9, active_params=37e9, n_experts=256,
                                         top_k=8, experts_read=hit))
    assert read(1) == near(37e9, 1e-9)
    assert read(4096) == near(671e9, 1e-6)
    assert read(8) == near(37e9 + 634e9 * (57.4 - 8) / 248)


@pytest.mark.parametrize(("active", "kv", "knee"), [
    (LLAMA_70B.params, 327_680, 1458), (LLAMA_8B.params, 131_072, 415),
    (DEEPSEEK_ACTIVE, DEEPSEEK_KV, 3566)])
def test_kv_knee(active: float, kv: float, knee: float) -> None:
    assert kv_knee(active_params=active, ridge=H100.ridge, kv_bytes_per_token=kv) == near(knee)


@pytest.mark.parametrize(("params", "kv", "length"), [
    (LLAMA_70B.params, 327_680, 430_625), (LLAMA_8B.params, 131_072, 122_532),
    (6_738_415_616, 2 * 32 * 32 * 128 * 2, 25_700)])
def test_kv_equals_weights(params: float, kv: float, length: float) -> None:
    assert kv_equals_weights(params_read=params, bytes_per_param=2,
                             kv_bytes_per_token=kv) == near(length)


def test_flash_attention() -> None:
    shape: dict[str, Any] = {"prompt_tokens": 8192, "head_dim": 128, "bytes_in": 2}
    standard = standard_attention_bytes(**shape)
    flash = flash_attention_bytes(**shape, sram_bytes=100 * 1024)
    assert (standard, flash) == (near(545.3e6), near(51.3e6))
    assert standard / flash == near(10.6)
    assert flash_attention_floor_bytes(**shape) == near(8.39e6)
    assert score_matrix_bytes(n_heads=64, prompt_tokens=8192, bytes_in=2) == near(8.59e9)
    assert attention_flop(n_heads=1, prompt_tokens=8192, head_dim=128) == 2 * 8192**2 * 128


def test_split_kv_decoding() -> None:
    unsplit = decode_attention_occupancy(batch_size=1, n_kv_heads=8, n_splits=1, n_cores=132)
    assert unsplit == near(0.06, 0.02)
    splits = splits_to_fill(batch_size=1, n_kv_heads=8, n_cores=132)
    assert splits == 17
    for count, full in ((splits, True), (splits - 1, False)):
        assert (decode_attention_occupancy(batch_size=1, n_kv_heads=8, n_splits=count,
                                           n_cores=132) == 1) is full


def test_state_space_model() -> None:
    state = recurrent_state_bytes(n_layers=64, d_inner=5120, d_state=16, conv_kernel=4, bytes_in=2)
    assert state == near(12.45e6)
    assert state_in_cached_tokens(state_bytes=state, kv_bytes_per_token=327_680) == near(38)


def test_early_exit() -> None:
    assert early_exit_flop_speedup(skip_share=0.25) == near(1.333)
    assert early_exit_byte_speedup(skip_share=0.25, batch_size=1) == near(1.333)
    assert early_exit_byte_speedup(skip_share=0.25, batch_size=8) == pytest.approx(1.00002,
                                                                                  abs=1e-5)


@pytest.mark.parametrize(("fast", "slow", "bandwidth", "rate"), [
    (22e9, 42.52e9 - 22e9, 89.6e9, 3.99), (0, 8.03e9 * 4.85 / 8, 460.8e9, 94.7),
    (0, 8.03e9 * 4.85 / 8, 89.6e9, 18.4)])
def test_two_tiers(fast: float, slow: float, bandwidth: float, rate: float) -> None:
    assert 1 / two_tier_time(fast_bytes=fast, fast_bandwidth=RTX4090.bandwidth, slow_bytes=slow,
                             slow_bandwidth=bandwidth) == near(rate)


def test_bandwidth_a_phone_needs_for_a_3b_model() -> None:
    assert required_bandwidth(step_bytes=3.086e9 * 4.85 / 8, token_rate=150) == near(281e9)


def test_kv_offload() -> None:
    given = {"context_length": 8192, "kv_bytes_per_token": 327_680, "batch_size": 1}
    assert kv_offload_time(**given, link_bandwidth=64e9) == near(42e-3)
    assert kv_offload_time(**given, link_bandwidth=H100.bandwidth) == near(0.80e-3)


def test_speculative_decoding() -> None:
    tokens = speculative_tokens_per_step(acceptance=0.8, draft_tokens=4)
    assert tokens == near(3.36)
    assert speculative_tokens_per_step(acceptance=1.0, draft_tokens=4) == 5
    assert speculative_tokens_per_step(acceptance=0.0, draft_tokens=4) == 1
    assert speculative_tokens_by_position(acceptance_by_position=[0.8] * 4) == near(tokens, 1e-12)
    assert speculative_speedup(tokens_per_step=tokens, draft_tokens=4,
                               draft_cost=0.1) == near(3.3616 / 1.4)


def test_small_batch_is_faster_and_each_token_costs_more() -> None:
    small, large = llama_70b_step(32), llama_70b_step(256)
    assert large / small == near(3.65)
    assert (small / 32) / (large / 256) == near(2.19)
    assert llama_70b_step(8) == near(6.07e-3)
    for batch in (8, 64, 295):
        assert llama_70b_step(batch, context_length=0) == near(5.265e-3)


def test_7b_against_70b() -> None:
    assert LLAMA_70B.params / QWEN_7B.params == near(9.26)
    for params, chips, bandwidth, rate in ((QWEN_7B.params, 1, RTX4090.bandwidth, 66),
                                           (LLAMA_8B.params, 1, RTX4090.bandwidth, 63),
                                           (LLAMA_70B.params, 1, A100.bandwidth, 14.4),
                                           (LLAMA_70B.params, 8, H100.bandwidth, 190)):
        assert forward_pass_floor(params_read=params, bytes_per_param=2, n_chips=chips,
                                  memory_bandwidth=bandwidth) == near(rate)


@pytest.mark.parametrize(("ridge", "idle"), [(A100.ridge, 0.993), (100.0, 0.99)])
def test_idle_compute(ridge: float, idle: float) -> None:
    assert compute_idle_share(batch_size=1, bytes_per_param=2, ridge=ridge) == near(idle)
    assert compute_idle_share(batch_size=1000, bytes_per_param=2, ridge=ridge) == 0
