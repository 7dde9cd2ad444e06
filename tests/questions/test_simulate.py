"""The question: consistent with `estimate`, with the load asked for, deterministic."""

import math

import pytest

from ridgeline.errors import BadInput, Infeasible, UnknownName
from ridgeline.questions.estimate import estimate
from ridgeline.questions.simulate import Asked, simulate
from ridgeline.scenario import Scenario

FIELDS = {"model": "Llama-3.1-8B", "machine": "H100-SXM", "prompt": 1000, "output": 200}


def ask(fields=None, **asked):
    return simulate(Scenario.from_fields({**FIELDS, **(fields or {})}), Asked(**asked))


def test_every_promised_number_is_there():
    answer = ask(rate=4.0, requests=200, ttft=1.0, tpot=0.05)
    names = [f"{m}_{p}_s" for m in ("ttft", "tpot", "itl", "latency", "queue_wait")
             for p in ("mean", "p50", "p90", "p95", "p99")]
    names += ["output_tokens_per_s", "goodput_requests_per_s", "preemptions", "requests",
              "simulated_s", "wall_s", "requests_per_wall_s", "utilisation", "attainment"]
    for name in names:
        assert math.isfinite(answer.value(name)), name
    assert answer.value("requests") == 200
    ordered = [answer.value(f"latency_{p}_s") for p in ("p50", "p90", "p95", "p99")]
    assert ordered == sorted(ordered)


@pytest.mark.parametrize("changed", [
    {}, {"model": "Llama-3.1-70B", "machine": "8xH100-SXM"},
    {"model": "Qwen3-30B-A3B", "machine": "H200"},
    {"model": "gpt-oss-120b", "machine": "H100-SXM", "engine": "trtllm"}])
@pytest.mark.parametrize("concurrency", [1, 16, 64])
def test_a_closed_loop_agrees_with_estimate(changed, concurrency):
    """Same replica, concurrency and waves: the two roads meet."""
    from ridgeline.serving.measured_run import STEADY

    fields = {**changed, "concurrency": concurrency}
    # Few requests: the mean over many draws of their lengths, which vary as STEADY's do.
    seeds = max(1, 64 // concurrency)
    closed = ask(fields, requests=STEADY.waves * concurrency, length_cv=0.057, seeds=seeds)
    quick = estimate(Scenario.from_fields({**FIELDS, **fields}))
    for mine, other in (("ttft_mean_s", "ttft_s"), ("tpot_mean_s", "tpot_s")):
        assert closed.value(mine) == pytest.approx(quick.value(other), rel=0.05), mine
    assert closed.value("output_tokens_per_s") == pytest.approx(
        quick.value("output_tokens_per_s"), rel=0.12)


def test_same_seed_same_numbers():
    first, second = (ask(rate=6.0, requests=300, seed=7) for _ in range(2))
    clocks = ("wall_s", "requests_per_wall_s")
    for name in set(first.quantities) - set(clocks):
        assert first[name] == second[name], name
    assert ask(rate=6.0, requests=300, seed=8)["ttft_p99_s"] != first["ttft_p99_s"]


def test_overload_is_called_so_and_light_load_keeps_up():
    assert "overloaded" in ask(rate=500.0, requests=3000)["bound"]
    assert "keeps up" in ask(rate=1.0, requests=200)["bound"]


def test_more_load_waits_longer_and_replicas_relieve_it():
    light, heavy = ask(rate=4.0), ask(rate=60.0, requests=3000)
    assert heavy.value("ttft_p99_s") > light.value("ttft_p99_s")
    relieved = ask(rate=60.0, requests=3000, replicas=8, router="least-loaded")
    assert relieved.value("ttft_p99_s") < heavy.value("ttft_p99_s")


def test_seeds_widen_the_interval():
    one, many = ask(rate=20.0), ask(rate=20.0, seeds=6)
    wide = many["ttft_p99_s"]
    assert wide.low < wide.value < wide.high and many.value("requests") == 6000
    assert one["ttft_p99_s"].low <= one["ttft_p99_s"].value


def test_a_trace_is_replayed_whole_with_its_attribution():
    answer = ask(trace="azure-conv", speed=2.0)
    assert answer.value("requests") == 600
    assert any("Splitwise" in note for note in answer.notes)


def test_a_prefix_hit_shortens_the_wait():
    cold, warm = ask(rate=4.0), ask({"prefix_hit": 0.9}, rate=4.0)
    assert warm.value("ttft_mean_s") < cold.value("ttft_mean_s")


@pytest.mark.parametrize("scheduler", ["vllm", "sglang", "static", "reserve"])
def test_every_scheduler_serves_everybody(scheduler):
    answer = ask(rate=10.0, requests=300, scheduler=scheduler)
    assert answer.value("refused") == 0


@pytest.mark.parametrize(("asked", "message"), [
    ({"trace": "azure-conv", "rate": 3.0}, "not both"),
    ({"rate": 0.0}, "rate must be"), ({"rate": -2.0}, "rate must be"),
    ({"seeds": 0}, "seeds"), ({"ttft": -1.0}, "target of ttft"),
    ({"requests": 0}, "requests must be"), ({"cv": -1.0}, "cv must be"),
    ({"scheduler": "vlm"}, "did you mean 'vllm'"), ({"router": "robin"}, "round-robin"),
    ({"trace": "azure-conv", "seeds": 3}, "same for every seed"),
    ({"order": "priority", "rate": 1.0}, "carry no priority"),
])
def test_impossible_questions_get_one_line(asked, message):
    with pytest.raises(BadInput, match=message):
        ask(**asked)


def test_what_does_not_fit_is_infeasible():
    with pytest.raises(Infeasible, match="does not fit"):
        ask({"model": "Llama-3.1-70B"}, rate=1.0)
    with pytest.raises(UnknownName):
        ask({"machine": "H100-SMX"}, rate=1.0)
