"""What a serving-latency row ran: degrees, formats, replicas, versions."""

import pytest

from ridgeline.errors import BadInput
from ridgeline.measure.truth.serving_row import read_serving_row

BASE = {"mode": "agg", "model_path": "deepseek-ai/DeepSeek-V3", "system": "b200_sxm",
        "backend": "sglang", "backend_version": "0.5.9", "isl": 1024.0, "osl": 512.0,
        "precision": "fp8", "gemm_quant_mode": "fp8", "moe_quant_mode": "fp8_block",
        "protocol": "inferencex", "tp_size": 8.0, "pp_size": 1.0, "attention_dp_size": 1.0,
        "moe_tp_size": 8.0, "moe_ep_size": 1.0, "batch_size": 64.0, "concurrency": 64.0,
        "silicon_data_source": ""}


def plan(**changes):
    return read_serving_row({**BASE, **changes}).decode.deployment


def test_degrees_as_written():
    found = plan()
    assert (found.tp, found.attention_dp, found.ep, found.expert_tp) == (8, 1, 1, 8)
    assert (found.weights, found.experts, found.engine) == ("fp8_block", "fp8_block", "sglang")


@pytest.mark.parametrize(("model", "written", "real"), [
    # checkpoints that scale blocks of weights, by their configs or by their family's FP8 release
    ("deepseek-ai/DeepSeek-V3", ("fp8", "fp8"), ("fp8_block", "fp8_block")),
    ("MiniMaxAI/MiniMax-M2.5", ("fp8", "fp8"), ("fp8_block", "fp8_block")),
    ("Qwen/Qwen3-32B", ("fp8", "fp8"), ("fp8_block", "fp8_block")),
    ("meta-llama/Llama-3.1-70B", ("fp8", "fp8"), ("fp8", "fp8")),
    # 4-bit releases of mixtures quantise experts alone; dense models are quantised whole
    ("deepseek-ai/DeepSeek-V3", ("nvfp4", "nvfp4"), ("bf16", "nvfp4")),
    ("moonshotai/Kimi-K2.5", ("int4_wo", "int4_wo"), ("bf16", "int4_g128")),
    ("meta-llama/Llama-3.1-70B", ("nvfp4", "nvfp4"), ("nvfp4", "nvfp4")),
    ("no/such-model", ("fp8", "nvfp4"), ("fp8", "nvfp4"))])
def test_formats_as_they_were_released(model, written, real):
    found = plan(model_path=model, gemm_quant_mode=written[0], moe_quant_mode=written[1])
    assert (found.weights, found.experts) == real


@pytest.mark.parametrize(("written", "real"), [
    # tp8_ep8 written as 64 = 8 x 8, with and without data-parallel attention
    ({"tp_size": 64, "moe_tp_size": 8, "moe_ep_size": 8}, (8, 1, 8)),
    ({"tp_size": 1, "attention_dp_size": 64, "moe_tp_size": 8, "moe_ep_size": 8}, (1, 8, 8)),
    ({"tp_size": 4, "moe_tp_size": 2, "moe_ep_size": 2}, (2, 1, 2)),
    # the group written twice
    ({"tp_size": 4, "attention_dp_size": 4, "moe_tp_size": 1, "moe_ep_size": 16}, (1, 4, 4)),
    ({"tp_size": 1, "attention_dp_size": 8, "moe_tp_size": 1, "moe_ep_size": 8}, (1, 8, 8)),
    ({"tp_size": 2, "attention_dp_size": 0, "moe_tp_size": 0, "moe_ep_size": 0}, (2, 1, 1)),
])
def test_degrees_as_they_were(written, real):
    found = plan(**{k: float(v) for k, v in written.items()})
    assert (found.tp, found.attention_dp, found.ep) == real


def test_replicas_share_the_concurrency():
    run = read_serving_row({**BASE, "concurrency": 128.0, "batch_size": 32.0})
    assert run.concurrency == 128 and run.decode.workers == 4 and not run.disaggregated


def test_pools_apart():
    row = {**BASE, "mode": "disagg", "concurrency": 16.0,
           **{f"{pool}_{name}": value for pool in ("prefill", "decode") for name, value in (
               ("tp_size", 8.0), ("pp_size", 1.0), ("attention_dp_size", 1.0),
               ("moe_tp_size", 8.0), ("moe_ep_size", 1.0), ("num_workers", 2.0),
               ("batch_size", 4.0))}}
    run = read_serving_row(row)
    assert run.disaggregated and run.prefill.workers == run.decode.workers == 2


def test_own_formats_and_versions():
    found = plan(model_path="openai/gpt-oss-120b", gemm_quant_mode="nvfp4")
    assert (found.weights, found.experts) == ("bf16", "mxfp4")
    image = plan(backend_version="", silicon_data_source="x; vllm/vllm-openai:v0.18.0")
    assert image.engine_version == "0.18.0"
    assert plan(backend_version="nightly-5b8c30").engine_version == ""


@pytest.mark.parametrize(("change", "says"), [
    ({"tp_size": None}, "tp_size"),
    ({"concurrency": None, "batch_size": None}, "neither concurrency nor batch")])
def test_rows_that_say_too_little(change, says):
    with pytest.raises(BadInput, match=says):
        read_serving_row({**BASE, **change})
