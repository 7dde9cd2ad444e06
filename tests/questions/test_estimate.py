"""Whole answers: worked values with --ideal, and laws that calibrated answers keep."""

import pytest

import ridgeline
from ridgeline.errors import Infeasible


@pytest.mark.parametrize(("batch", "tpot_ms", "rate"), [
    (1, 5.365, 186), (32, 8.470, 3778), (64, 11.676, 5482), (256, 30.907, 8283)])
def test_llama_70b_on_8_h100_at_8k(batch, tpot_ms, rate):
    answer = ridgeline.estimate("Llama-3.1-70B", "8xH100-SXM", tp=8, prompt=8192, output=1,
                                concurrency=batch, ideal=True)
    assert answer.value("tpot_s") * 1e3 == pytest.approx(tpot_ms, rel=5e-3)
    assert answer.value("output_tokens_per_s") == pytest.approx(rate, rel=5e-3)
    assert answer["bound_decode"] == "memory"


def test_prefill_of_8k_is_half_a_third_of_a_second_at_full_rate():
    """0.314 s at 50 % of peak: 0.157 s at all of it."""
    answer = ridgeline.estimate("Llama-3.1-70B", "8xH100-SXM", prompt=8192, output=1, ideal=True)
    assert answer.value("ttft_s") == pytest.approx(0.314 / 2, rel=5e-3)
    assert answer["bound_prefill"] == "compute"


@pytest.mark.parametrize(("model", "machine"), [
    ("Llama-3.1-8B", "H100-SXM"), ("Llama-3.1-70B", "8xH100-SXM"), ("Qwen3-30B-A3B", "2xH200"),
    ("DeepSeek-V3", "8xB200-SXM"), ("gpt-oss-120b", "2xH100-SXM"), ("gemma-3-27b-it", "A100-SXM"),
    ("Qwen3-Next-80B-A3B-Instruct", "4xH100-SXM"), ("mamba-2.8b-hf", "L40S"),
    ("Llama-3.1-8B", "RTX-4090"), ("Llama-3.1-8B", "MI300X")])
def test_calibrated_times_are_never_below_the_floor(model, machine):
    answer = ridgeline.estimate(model, machine, prompt=2000, output=100, concurrency=4)
    assert answer.value("tpot_s") >= answer.value("tpot_floor_s")
    assert answer.value("ttft_s") >= answer.value("ttft_floor_s")
    for name in ("mfu_prefill", "mfu_decode", "mbu_decode"):
        assert 0 < answer.value(name) <= 1


def test_more_context_and_more_users_are_never_faster():
    def tpot(**fields):
        return ridgeline.estimate("Llama-3.1-8B", "H100-SXM", output=64, **fields).value("tpot_s")

    contexts = [tpot(prompt=p, concurrency=8) for p in (500, 2000, 8000)]
    users = [tpot(prompt=1000, concurrency=c) for c in (1, 8, 64)]
    assert contexts == sorted(contexts) and users == sorted(users)


def test_levers_are_ranked_by_their_measured_gain():
    answer = ridgeline.estimate("Llama-3.1-70B", "8xH100-SXM", prompt=1000, output=200,
                                concurrency=8)
    levers = next(t for t in answer.tables if t.name == "levers")
    gains = [row[1] for row in levers.rows]
    assert gains == sorted(gains, reverse=True) and gains and min(gains) > 1
    name, gain, _ = next(row for row in levers.rows if str(row[0]).startswith("fp8 weights"))
    faster = ridgeline.estimate("Llama-3.1-70B", "8xH100-SXM", prompt=1000, output=200,
                                concurrency=8, weights="fp8")
    ratios = [answer.value("tpot_s") / faster.value("tpot_s"),
              answer.value("ttft_s") / faster.value("ttft_s"),
              faster.value("output_tokens_per_s") / answer.value("output_tokens_per_s")]
    assert gain == pytest.approx(max(ratios), rel=1e-6), name


def test_an_answer_is_the_same_every_time():
    ask = {"prompt": 1000, "output": 100, "concurrency": 16}
    first, second = (ridgeline.estimate("Qwen3-30B-A3B", "H100-SXM", **ask) for _ in range(2))
    assert first.to_dict() == second.to_dict()


def test_what_does_not_fit_is_said_with_bytes_and_a_way_out():
    with pytest.raises(Infeasible, match=r"short on each H100-SXM; it would fit with: "):
        ridgeline.estimate("Llama-3.1-70B", "H100-SXM")
    ideal = ridgeline.estimate("Llama-3.1-70B", "H100-SXM", ideal=True)
    assert any("does not fit" in note for note in ideal.notes)
