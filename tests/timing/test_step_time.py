"""Calibrated step times keep the laws of the house on every chip of the catalog."""

import dataclasses

import numpy as np
import pytest

from ridgeline.catalog import list_names, load_chip
from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import settle_formats
from ridgeline.errors import BadInput
from ridgeline.machine import Cluster
from ridgeline.model.load import load_architecture
from ridgeline.timing.engine import EngineCosts
from ridgeline.timing.roofline import op_bounds, step_bounds
from ridgeline.timing.step_time import StepTimer, kernel_format
from ridgeline.work.step import decode_step, prefill_step, step_ops

STEPS = (decode_step(sequences=np.array([1.0, 32.0, 256.0]), context=2000.0),
         prefill_step(tokens=np.array([16.0, 512.0, 8192.0])))
MODELS = ("Llama-3.1-8B", "Qwen3-30B-A3B", "DeepSeek-V3", "Qwen3-Next-80B-A3B-Instruct",
          "gpt-oss-20b", "gemma-3-27b-it", "mamba-2.8b-hf", "DeepSeek-V3.2", "DeepSeek-V4-Flash")


def timed(model, chip, **fields):
    """(ops, timer, cluster) of both steps of a model on one chip or a tensor-parallel group."""
    plan = Deployment(**fields)
    architecture = load_architecture(model)
    cluster = Cluster.of(chip, plan.chips_per_replica)
    formats = settle_formats(architecture, plan, chip)
    ops = [op for step in STEPS for op in step_ops(architecture, plan, formats, step)]
    return ops, StepTimer(cluster, plan, EngineCosts()), cluster


@pytest.mark.parametrize("part", range(6))
def test_no_op_is_faster_than_physics_on_any_chip(part):
    for name in list_names("chips")[part::6]:
        chip = load_chip(name)
        try:
            ops, timer, cluster = timed("Llama-3.1-8B", chip, weights="bf16")
        except BadInput as error:         # a chip without a matrix rate says so
            assert "no rate" in str(error)
            continue
        for op in ops:
            seconds = timer.op_seconds(op)
            assert np.all(np.isfinite(seconds)), (name, op.name)
            assert np.all(seconds >= np.asarray(op_bounds(op, cluster).lower) * (1 - 1e-9)), (
                name, op.name)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("fields", [{"tp": 8}, {"tp": 4, "engine": "sglang", "weights": "fp8"},
                                    {"tp": 2, "engine": "trtllm"}])
def test_every_kind_of_model_is_timed_above_its_floor(model, fields):
    ops, timer, cluster = timed(model, load_chip("H200"), **fields)
    for op in ops:
        assert np.all(timer.op_seconds(op) >= np.asarray(op_bounds(op, cluster).lower)
                      * (1 - 1e-9)), op.name


@pytest.mark.parametrize("name", ["H100-SXM", "RTX-4090", "MI300X", "L40S"])
def test_more_bandwidth_and_more_peak_are_never_slower(name):
    chip = load_chip(name)
    ops, timer, _ = timed("Llama-3.1-8B", chip)
    now = timer(ops)
    faster = {
        "bandwidth": dataclasses.replace(chip, memory_bandwidth=1.5 * chip.memory_bandwidth),
        "peak": dataclasses.replace(chip, peaks={k: 1.5 * v for k, v in chip.peaks.items()})}
    for what, better in faster.items():
        then = timed("Llama-3.1-8B", better)[1](timed("Llama-3.1-8B", better)[0])
        # The learned part sees ratios of rates, so a peak that does not bind may cost a trifle.
        assert np.all(then <= now * (1.001 if what == "bandwidth" else 1.02)), what


def test_more_sequences_and_longer_contexts_take_longer():
    architecture, chip = load_architecture("Llama-3.1-8B"), load_chip("H100-SXM")
    plan = Deployment()
    timer = StepTimer(Cluster.of(chip), plan, EngineCosts())
    formats = settle_formats(architecture, plan, chip)
    batches = 2.0 ** np.arange(10)
    by_batch = timer(step_ops(architecture, plan, formats,
                              decode_step(sequences=batches, context=1000.0)))
    by_length = timer(step_ops(architecture, plan, formats, decode_step(
        sequences=32.0, context=np.geomspace(100, 100_000, 12))))
    by_prompt = timer(step_ops(architecture, plan, formats, prefill_step(
        tokens=2.0 ** np.arange(4, 15))))
    # Tiles, waves and the change of kernel may save a few per cent on the way up, never more.
    for seconds in (by_batch, by_length, by_prompt):
        assert np.all(np.diff(seconds) > -0.05 * seconds[1:])
        assert seconds[-1] > seconds[0]


@pytest.mark.parametrize("model", ["Qwen3-30B-A3B", "DeepSeek-V3"])
def test_ops_timed_together_take_what_they_take_alone(model):
    ops, timer, _ = timed(model, load_chip("H200-SXM"), tp=8)
    alone = sum(np.broadcast_to(timer.op_seconds(op), (3,)) for op in ops)
    assert timer(ops) == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("model", ["Llama-3.1-70B", "DeepSeek-V3", "Qwen3-30B-A3B"])
def test_each_op_takes_what_it_takes_by_itself(model):
    _, timer, _ = timed(model, load_chip("B200-SXM"), tp=8)
    architecture, plan = load_architecture(model), timer.deployment
    formats = settle_formats(architecture, plan, load_chip("B200-SXM"))
    step = decode_step(sequences=16.0, context=2000.0)
    ops = step_ops(architecture, plan, formats, step)
    alone = [float(timer([op])) for op in ops]
    assert timer.each(ops) == pytest.approx(alone, rel=1e-6)


def test_an_empty_step_costs_nothing():
    architecture, chip = load_architecture("Llama-3.1-8B"), load_chip("H100-SXM")
    ops = step_ops(architecture, Deployment(), settle_formats(architecture, Deployment(), chip),
                   decode_step(sequences=0.0, context=1.0))
    timer = StepTimer(Cluster.of(chip), Deployment(), EngineCosts())
    assert float(timer([op for op in ops if op.kind != "collective"])) == 0.0


def test_bounds_are_ordered():
    ops, _, cluster = timed("DeepSeek-V3", load_chip("H200"), tp=8)
    bounds = step_bounds(ops, cluster)
    assert np.all(bounds.lower <= bounds.serial * (1 + 1e-12))
    assert np.all(bounds.serial <= bounds.upper * (1 + 1e-12))


@pytest.mark.parametrize(("name", "chip", "kernel"), [
    ("bf16", "H100", "bf16"), ("fp8", "H100", "fp8"), ("fp8", "A100-SXM", "int8_wo"),
    ("nvfp4", "B200", "nvfp4"), ("nvfp4", "H100", "int4_wo"), ("q4_k_m", "RTX-4090", "int4_wo"),
    ("q8_0", "RTX-4090", "int8_wo"), ("int4_g128", "H100", "int4_wo")])
def test_kernel_format(name, chip, kernel):
    assert kernel_format(name, load_chip(chip)) == kernel
