"""Kernels timed together answer, to the bit, what they answer alone."""

import numpy as np
import pytest

from ridgeline.catalog import load_chip
from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import settle_formats
from ridgeline.errors import BadInput
from ridgeline.machine import Cluster
from ridgeline.model.load import load_architecture
from ridgeline.serving.deployed import Deployed, tables_together
from ridgeline.timing import kernel_calls
from ridgeline.timing.kernel_calls import Call, timed_together
from ridgeline.timing.step_time import seconds_together

MODELS = ("DeepSeek-V3", "gpt-oss-20b", "Qwen3-Next-80B-A3B-Instruct", "gemma-3-27b-it")


def replicas(model, chip_name, degrees=({"tp": 8}, {"tp": 4, "pp": 2}, {"tp": 2, "pp": 4})):
    """One model split in several ways over one kind of chip."""
    architecture, chip = load_architecture(model), load_chip(chip_name)
    plans = [Deployment(**given) for given in degrees]
    return [Deployed(architecture, plan, Cluster.of(chip, plan.chips_per_replica),
                     settle_formats(architecture, plan, chip), 3000) for plan in plans]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("chip", ["H200", "B200-SXM", "MI300X"])
def test_together_is_alone_to_the_bit(model, chip):
    work = [(one.timer, part.ops) for one in replicas(model, chip)
            for part in one.table_work().parts]
    for (timer, ops), together in zip(work, seconds_together(work), strict=True):
        assert np.array_equal(together, timer(ops))


def test_tables_made_together_are_the_replicas_own():
    first, second = replicas("Qwen3-30B-A3B", "H100-SXM"), replicas("Qwen3-30B-A3B", "H100-SXM")
    tables = tables_together(first)
    assert [one.table for one in first] == tables
    for table, alone in zip(tables, second, strict=True):
        for name in ("tokens", "prefill", "decode", "logits"):
            assert np.array_equal(getattr(table, name).values, getattr(alone.table, name).values)
        assert table.fixed == alone.table.fixed


@pytest.mark.parametrize(("chip", "engine", "slower"), [
    ("RTX-PRO-6000", "vllm", True), ("RTX-3090", "vllm", True), ("H100-SXM", "vllm", False),
    ("RTX-PRO-6000", "sglang", False), ("RTX-PRO-6000", "trtllm", False)])
def test_decoding_takes_longer_beside_prompts_where_one_kernel_serves_both(chip, engine, slower):
    (one,) = replicas("Llama-3.1-8B", chip, ({"engine": engine},))
    assert one.mixes == slower == (one.table.mixed is not None)
    beside, alone = (grid(64.0, 1500.0) for grid in (one.table.beside_prompts, one.table.decode))
    assert beside > 1.2 * alone if slower else beside == alone
    if slower:
        work = one.table_work().parts[4]
        assert [op.labels["phase"] for op in work.ops if op.kind == "attention"] == ["mixed"]
        assert np.array_equal(one.timer(work.ops), seconds_together([(one.timer, work.ops)])[0])


def counted(monkeypatch):
    """Sizes of the evaluations that are made, as they are made."""
    made, evaluate = [], kernel_calls._evaluated
    monkeypatch.setattr(kernel_calls, "_evaluated",
                        lambda calls: made.append(len(calls)) or evaluate(calls))
    return made


def gemm(m, n, chip, **names):
    from ridgeline.timing.kernels.gemm import gemm_time

    return Call(gemm_time, chip, {"m": m, "n": n, "k": 4096.0}, {"backend": "vllm", **names})


def test_equal_kernels_are_timed_once_and_alike_ones_together(monkeypatch):
    made, chip = counted(monkeypatch), load_chip("H100-SXM")
    rows = np.arange(1.0, 38.0)
    calls = [gemm(rows, 4096.0, chip), gemm(rows, 1024.0, chip), gemm(rows, 4096.0, chip),
             gemm(rows, 4096.0, chip, format="fp8"), gemm(rows[:, None], np.ones(3) * 8, chip)]
    found = timed_together(calls)
    assert sorted(made) == [1, 3]                  # fp8 by itself; three distinct in bf16
    for call, seconds in zip(calls, found, strict=True):
        assert seconds.shape == call.shape
        assert np.array_equal(seconds, call.seconds())


def test_long_lists_are_cut_and_the_least_holds(monkeypatch):
    monkeypatch.setattr(kernel_calls, "_MOST_CASES", 50)
    made, chip = counted(monkeypatch), load_chip("H100-SXM")
    rows = np.arange(1.0, 21.0)
    calls = [gemm(rows, 64.0 * n, chip) for n in range(1, 8)]
    calls.append(Call(calls[0].model, chip, calls[0].sizes, calls[0].names, least=1.0))
    found = timed_together(calls)
    assert made == [2, 2, 2, 1]
    assert np.all(found[-1] == 1.0)
    for call, seconds in zip(calls, found, strict=True):
        assert np.array_equal(seconds, call.seconds())


def test_one_bad_kernel_is_told():
    chip = load_chip("H100-SXM")
    with pytest.raises(BadInput, match="GEMM size m"):
        timed_together([gemm(np.ones(3), 64.0, chip), gemm(np.zeros(3), 64.0, chip)])
    assert timed_together([]) == []


@pytest.mark.parametrize(("engine", "format", "chip", "stands"), [
    ("vllm", "mxfp4", "H100-SXM", ("sglang", "marlin", "int4_wo")),
    ("vllm", "int4_wo", "B200-SXM", ("sglang", "marlin", "int4_wo")),
    ("vllm", "mxfp4", "B200-SXM", ("vllm", "trtllm", "mxfp4")),
    ("trtllm", "nvfp4", "B200-SXM", ("sglang", "trtllm", "nvfp4")),
    ("trtllm", "fp8_block", "H200-SXM", ("trtllm", "", "fp8_block")),
    ("trtllm", "nvfp4", "RTX-PRO-6000", ("trtllm", "", "nvfp4")),
    ("sglang", "bfloat16", "H100-SXM", ("sglang", "", "bfloat16"))])
def test_whose_grouped_kernels_stand_for_an_engines(engine, format, chip, stands):
    assert kernel_calls.expert_kernel(engine, format, load_chip(chip)) == stands


@pytest.mark.parametrize(("engine", "format", "chip", "stands"), [
    ("trtllm", "nvfp4", "B200-SXM", "vllm"), ("trtllm", "fp8", "B200-SXM", "trtllm"),
    ("sglang", "nvfp4", "B200-SXM", "sglang")])
def test_whose_products_stand_for_an_engines(engine, format, chip, stands):
    assert kernel_calls.dense_backend(engine, format, load_chip(chip)) == stands
