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
    {"model": "Qwen3-30B-A3B", "machine": "2xH200", "attention_dp": 2, "ep": 2},
    {"machine": "A100-80GB-SXM", "engine": "sglang"},
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
        assert closed.value(mine) == pytest.approx(quick.value(other), rel=0.06), mine
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


def test_drafts_make_the_tokens_expected_and_cut_latency():
    plain = ask(rate=4.0, requests=200)
    drafted = ask(rate=4.0, requests=200, draft_tokens=4, acceptance=(0.8,))
    assert drafted.value("tokens_per_step") == pytest.approx(3.36, rel=0.03)
    assert drafted.value("tpot_mean_s") < 0.6 * plain.value("tpot_mean_s")


def test_pools_keep_prompts_out_of_decoding():
    apart = ask({"prompt": 4000}, rate=4.0, requests=300, pools="1+1")
    mixed = ask({"prompt": 4000}, rate=4.0, requests=300, replicas=2)
    assert apart.value("itl_p99_s") < mixed.value("itl_p99_s")
    assert any("decode pool" in note for note in apart.notes)
    loop = ask({"concurrency": 8}, requests=40, pools="1+2")
    assert loop.value("output_tokens_per_s") > 0


def test_a_prefix_cache_finds_prefixes_and_tiers_find_more():
    machine = {"machine": "RTX-4090", "weights": "fp8"}
    none = ask(machine, trace="mooncake", speed=0.2, skip_bad=True)
    device = ask(machine, trace="mooncake", speed=0.2, prefix_cache=True)
    tiers = ask(machine, trace="mooncake", speed=0.2, prefix_cache=True, host_cache=256e9,
                disk_cache=4e12)
    assert 0 < device.value("prefix_hits") < tiers.value("prefix_hits")
    assert tiers.value("prefix_loaded") > 0
    assert tiers.value("ttft_mean_s") < none.value("ttft_mean_s")


def test_limits_and_scaling_show_in_the_answer():
    limited = ask(rate=200.0, requests=2000, max_waiting=5)
    assert limited.value("turned_away") > 0
    assert limited.value("queue_wait_p99_s") < ask(rate=200.0, requests=2000).value(
        "queue_wait_p99_s")
    scaled = ask(rate=40.0, requests=2000, autoscale="1-6", cold_start=5.0, scale_every=1.0)
    assert 1 < scaled.value("mean_replicas") <= scaled.value("peak_replicas") <= 6
    assert scaled.value("replica_starts") >= 1


@pytest.mark.parametrize(("fields", "said"), [
    ({"machine": "RTX-PRO-6000"}, True), ({"machine": "RTX-PRO-6000", "engine": "sglang"}, False),
    ({"machine": "RTX-PRO-6000", "model": "gpt-oss-20b"}, False), ({"machine": "H100"}, False)])
def test_decoding_that_prompts_slow_down_is_told(fields, said):
    answer = ask(fields, rate=12.0, requests=300)
    assert any("in steps that read prompts too" in note for note in answer.notes) == said


def test_swapping_spares_prompts_from_being_read_again():
    fields = {"machine": "RTX-4090", "weights": "fp8", "prompt": 2000, "output": 1000}
    plain = ask(fields, rate=3.0, requests=200, scheduler="vllm")
    swapped = ask(fields, rate=3.0, requests=200, scheduler="vllm", swap=64e9)
    assert plain.value("preemptions") > 0 and swapped.value("swapped") > 0


def test_the_plan_is_what_is_simulated():
    answer = ask({"machine": "4xH100-SXM", "concurrency": 16}, plan=True, requests=64)
    assert answer.notes[0].startswith("Planned: ")
    machine = answer.notes[0].split()[1].rstrip(",")
    assert answer.scenario["machine"] == machine
    with pytest.raises(Infeasible, match="TPOT"):
        ask({"machine": "4xH100-SXM"}, rate=1.0, plan=True, tpot=1e-6)


def test_a_client_mix_is_drawn_anew_for_each_seed(tmp_path):
    (tmp_path / "m_rates.csv").write_text(
        "client,start_s,rate_per_s,cv,pattern,param1,param2\n1,0,2.0,1.0,Gamma,1.0,0.5\n")
    (tmp_path / "m_lengths.jsonl").write_text(
        '{"client": "1", "start_s": 0, "input_tokens": [[100, 1.0]], '
        '"output_tokens": [[20, 1.0]]}\n')
    mix = str(tmp_path / "m")
    answer = ask(trace=mix, duration=300.0, seeds=3)
    assert answer["requests_per_s"].low < answer["requests_per_s"].high
    assert answer.value("requests") == pytest.approx(3 * 600, rel=0.1)


@pytest.mark.parametrize(("asked", "message"), [
    ({"rate": 1.0, "pools": "4"}, "like 4\\+2"), ({"rate": 1.0, "pools": "0+2"}, "at least 1"),
    ({"rate": 1.0, "pools": "1+1", "replicas": 2}, "leave --replicas out"),
    ({"rate": 1.0, "draft_tokens": 3}, "both --draft-tokens and --acceptance"),
    ({"rate": 1.0, "draft_tokens": 3, "acceptance": (2.0,)}, "between 0 and 1"),
    ({"rate": 1.0, "draft_tokens": 99, "acceptance": (0.5,)}, "from 0 to 64"),
    ({"rate": 1.0, "swap": -5.0}, "zero or more bytes"),
    ({"rate": 1.0, "prefix_cache": True}, "carries block hashes"),
    ({"rate": 1.0, "host_cache": 1e9}, "tiers of a --prefix-cache"),
    ({"trace": "mooncake", "prefix_cache": True, "disk_cache": 1e12, "disk_tier": "NVMe"},
     "memory tier"),
    ({"rate": 1.0, "autoscale": "8-1"}, "least <= most"), ({"rate": 1.0, "autoscale": "8"}, "1-8"),
    ({"autoscale": "1-2"}, "open load"), ({"rate": 1.0, "max_waiting": 0}, "at least 1"),
    ({"rate": 1.0, "autoscale": "1-2", "cold_start": -1.0}, "cold_start"),
    ({"max_waiting": 3}, "turned away"),
    ({"rate": 1.0, "scheduler": "static", "draft_tokens": 1, "acceptance": (0.5,)}, "static"),
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


def test_a_first_request_that_is_too_long_is_refused_and_the_others_are_served(tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival,prompt,output\n0,3000000,5\n0.1,100,10\n0.2,200,10\n")
    answer = ask(trace=str(trace))
    assert answer.value("refused") == 1 and answer.value("requests") == 3


def test_a_wait_of_a_step_is_no_overload(tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival,prompt,output\n0,2162,5\n0.007,2399,6\n")
    assert "overloaded" not in ask(trace=str(trace))["bound"]
