"""Launch settings that tables do not state, where the benchmark published its scripts."""

import datetime

import pytest

from ridgeline.measure.truth.recipes import Recipe, _entries, recipe_of
from ridgeline.measure.truth.serving_pools import protocol_of
from ridgeline.measure.truth.serving_row import read_serving_row

ROW = {"protocol": "inferencex", "backend": "sglang", "backend_version": "0.5.9",
       "model_path": "deepseek-ai/DeepSeek-R1", "system": "b200_sxm", "precision": "fp8",
       "gemm_quant_mode": "fp8_block", "moe_quant_mode": "fp8_block", "mode": "agg", "isl": 1024,
       "osl": 1024, "concurrency": 32, "batch_size": 32, "tp_size": 8, "pp_size": 1,
       "attention_dp_size": 1, "moe_tp_size": 8, "moe_ep_size": 1,
       "silicon_data_source": "db-dump; measured=2026-02-05T00:00:00.000Z; image:v0.5.9-cu130"}


def recipe(**changes):
    row = {**ROW, **changes}
    return recipe_of(row, str(row["backend_version"]), int(row["tp_size"]),
                     int(row["attention_dp_size"]), float(row["concurrency"]))


def test_each_recipe_is_well_formed():
    for entry in _entries():
        assert {"engine", "model"} <= set(entry)
        assert entry.get("memory_fraction", 0.5) <= 1
        since = entry.get("since", datetime.date(2026, 1, 1))
        assert isinstance(since, datetime.date)


def test_only_the_published_protocol_has_recipes():
    assert recipe(protocol="dynamo") == Recipe()
    assert recipe(model_path="somebody/else") == Recipe()


def test_an_eight_bit_deepseek_streams_thirty_tokens_at_a_time():
    found = recipe()
    assert (found.kv, found.stream, found.budget) == ("fp8", 30, 32768)
    assert (found.poll_steps(15), found.poll_steps(16)) == (10, 30)


def test_formats_chips_and_degrees_choose_the_recipe():
    assert recipe(moe_quant_mode="nvfp4").stream == 10
    assert recipe(system="h200_sxm").kv is None
    assert recipe(tp_size=4).memory_fraction == 0.95


@pytest.mark.parametrize(("version", "date", "drafts"), [
    ("1.2.0rc6.post3", "2026-02-06", "mtp3"), ("1.2.0rc6.post2", "2026-02-06", ""),
    ("1.1.0rc2.post2", "2026-01-14", "mtp3"), ("1.1.0rc2.post2", "2025-12-15", "")])
def test_images_and_dates_tell_speculation(version, date, drafts):
    found = recipe(backend="trtllm", backend_version=version,
                   silicon_data_source=f"x; measured={date}T00:00:00.000Z")
    assert found.speculation == drafts


def test_attention_copies_draft_less_and_wait_for_one_another():
    drafting = {"backend": "trtllm", "backend_version": "1.2.0rc6.post3"}
    alone, apart = recipe(**drafting), recipe(**drafting, attention_dp_size=8)
    assert (alone.drafts, alone.wait) == (3, 0)
    assert (apart.drafts, apart.wait, apart.fill) == (1, 60, 0.0)


def test_prompts_of_short_loads_wait_to_be_read_together():
    short = {"backend": "trtllm", "model_path": "meta-llama/Llama-3.1-70B", "tp_size": 4}
    assert (recipe(**short).wait, recipe(**short).fill) == (20, 0.9)
    assert recipe(**short | {"tp_size": 8}).wait == 0
    assert recipe(**short, osl=8192).wait == 0


def test_scripts_that_know_no_expert_degree_run_without():
    kimi = {**ROW, "backend": "vllm", "model_path": "moonshotai/Kimi-K2.5", "precision": "fp4",
            "gemm_quant_mode": "", "moe_quant_mode": "", "tp_size": 4, "attention_dp_size": 4,
            "moe_tp_size": 1, "moe_ep_size": 16}
    plan = read_serving_row(kimi).decode.deployment
    assert (plan.tp, plan.attention_dp, plan.ep) == (4, 1, 1)
    mini = {**ROW, "backend": "vllm", "model_path": "MiniMaxAI/MiniMax-M2.5",
            "system": "h200_sxm", "silicon_data_source": "x; measured=2026-03-28T00:00:00.000Z"}
    assert read_serving_row(mini).decode.deployment.ep == 8


def test_budgets_follow_the_load():
    assert Recipe(budget=8192, budget_load=1).token_budget(8192, 64) == 8704
    assert Recipe(budget=8192, budget_load=1).token_budget(1024, 64) == 8192
    assert Recipe(budget_prompts=2).token_budget(8192, 4) == 16384
    assert Recipe().token_budget(1024, 4) is None


def test_a_row_is_deployed_as_its_recipe_says():
    run = read_serving_row(ROW)
    plan = run.decode.deployment
    assert (plan.kv, plan.max_num_batched_tokens, plan.max_num_seqs) == ("fp8", 32768, 128)
    assert protocol_of(run).poll == 30


@pytest.mark.parametrize("other", [
    {}, {"protocol": "dynamo"}, {"backend": "vllm", "model_path": "MiniMaxAI/MiniMax-M2.5"}])
def test_first_tokens_of_vllm_and_sglang_go_out_at_once(other):
    assert protocol_of(read_serving_row({**ROW, **other})).stream == 0


def test_tensorrt_gathers_steps_and_drafting_makes_them_longer():
    row = {**ROW, "backend": "trtllm", "backend_version": "1.2.0rc6.post2"}
    assert protocol_of(read_serving_row(row)).stream == 10
    drafting = {**row, "backend_version": "1.2.0rc6.post3"}
    assert protocol_of(read_serving_row(drafting)).stream == 25


def test_nobody_says_how_other_servers_stream():
    row = {**ROW, "backend": "trtllm", "protocol": "dynamo"}
    assert protocol_of(read_serving_row(row)).stream == 0


def test_times_of_day_are_no_versions():
    run = read_serving_row({**ROW, "backend_version": "", "silicon_data_source":
                            "measured=2025-11-02T00:00:00.000Z; workflow_run_id=101"})
    assert run.decode.deployment.engine_version == ""
