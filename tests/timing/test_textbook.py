from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ridgeline.timing.critical_batch import critical_batch_with_kv, kv_knee
from ridgeline.timing.speedups import speculative_tokens_per_step
from ridgeline.timing.textbook import decode_flop, decode_step, latency_floor, prefill

MODEL: dict[str, Any] = {"params_read": 8e9, "active_params": 8e9, "bytes_per_param": 2,
                         "peak_flops_per_s": 1e15, "memory_bandwidth": 3e12, "n_chips": 1}


@given(st.floats(1, 4096), st.floats(0, 1e6), st.floats(0.05, 1), st.floats(0.05, 1),
       st.floats(0, 1))
def test_decode_is_never_faster_than_any_floor(batch: float, context: float, mfu: float,
                                               mbu: float, overlap: float) -> None:
    step = decode_step(**MODEL, batch_size=batch, context_length=context, mfu=mfu, mbu=mbu,
                       kv_bytes_per_token=131072, overlap=overlap)
    floor = latency_floor(params_read=8e9, bytes_per_param=2, n_chips=1, memory_bandwidth=3e12)
    assert step >= floor * (1 - 1e-12)
    assert step >= decode_flop(active_params=8e9, batch_size=batch) / 1e15 * (1 - 1e-12)


@given(st.floats(1, 1e5), st.floats(1, 64), st.floats(1.01, 10))
def test_prefill_grows_with_the_prompt_and_shrinks_with_chips(prompt: float, chips: float,
                                                              factor: float) -> None:
    def time(tokens: float, n: float) -> float:
        return float(prefill(**{**MODEL, "n_chips": n}, prompt_tokens=tokens, n_layers=32,
                             d_attention=4096))
    assert time(prompt * factor, chips) >= time(prompt, chips) >= time(prompt, chips * factor)


@given(st.floats(0.05, 0.95))
def test_the_critical_batch_makes_the_two_terms_equal_and_diverges_at_the_knee(
        share: float) -> None:
    knee = kv_knee(active_params=8e9, ridge=1e15 / 3e12, kv_bytes_per_token=131072)
    batch = critical_batch_with_kv(total_params=8e9, active_params=8e9, bytes_per_param=2,
                                   context_length=share * knee, kv_bytes_per_token=131072,
                                   peak_flops_per_s=1e15, memory_bandwidth=3e12)
    common: dict[str, Any] = {**MODEL, "batch_size": batch, "context_length": share * knee,
                              "kv_bytes_per_token": 131072}
    both = decode_step(**common)
    # With nothing hidden, two equal terms take exactly twice as long.
    assert abs(decode_step(**common, overlap=0.0) / both - 2) < 1e-9
    assert critical_batch_with_kv(
        total_params=8e9, active_params=8e9, bytes_per_param=2, context_length=knee * 1.0001,
        kv_bytes_per_token=131072, peak_flops_per_s=1e15,
        memory_bandwidth=3e12) == float("inf")


@given(st.floats(0, 1), st.integers(0, 16))
def test_speculation_yields_between_one_and_all_tokens(acceptance: float, drafts: int) -> None:
    tokens = speculative_tokens_per_step(acceptance=acceptance, draft_tokens=drafts)
    assert 1 - 1e-9 <= tokens <= (drafts + 1) * (1 + 1e-6)
