"""Seconds of ops by kernels measured on the machine."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.deployment import Deployment
from ridgeline.machine.chip import Chip, Cluster
from ridgeline.machine.kernels import AttentionCurve, KernelTimes, MatmulCurve
from ridgeline.model.huggingface import architecture_from_config
from ridgeline.timing.engine import EngineCosts
from ridgeline.timing.measured import costs_of, measured_seconds, runs_format, weight_seconds
from ridgeline.timing.single_stream import single_stream_rates
from ridgeline.timing.step_time import StepTimer
from ridgeline.work.op import Op

KERNELS = KernelTimes("llama.cpp", (
    MatmulCurve("q4_k", 512, 8e6, (1, 4, 8), (2e-11, 8e-11, 1e-10)),
    MatmulCurve("q4_k", 2048, 8e6, (1, 4, 8), (1e-11, 4e-11, 5e-11)),
    MatmulCurve("q6_k", 512, 8e6, (1, 4, 8), (4e-11, 16e-11, 2e-10))),
    (AttentionCurve("decode", 64, (64, 1024), (1e-10, 2e-10)),
     AttentionCurve("prefill", 64, (64, 1024), (4e-11, 2e-11))),
    move=1e-10, launch=1e-6, step=1e-4, layer=1e-5, sequence=2e-5, logit=1e-9, stream=1e-4)
CHIP = Chip("box", "AMD", "x", {"fp32": 1e15}, 16e9, 1e15, kind="cpu",
            kernels={"llamacpp": KERNELS})
TINY = architecture_from_config({
    "model_type": "llama", "hidden_size": 512, "num_hidden_layers": 4, "intermediate_size": 2048,
    "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 4096,
    "tie_word_embeddings": False}, name="tiny")


def product(m, k, n, format="q4_k"):
    return Op("p", "matmul", "ffn", flop=2 * m * k * n, weight_bytes=k * n / 2,
              shape={"m": m, "k": k, "n": n}, labels={"format": format})


def test_measured_products_come_out_as_measured():
    assert float(weight_seconds(KERNELS, "q4_k", 4, 512)) == pytest.approx(8e-11)
    assert float(weight_seconds(KERNELS, "q4_k", 4, 1024)) == pytest.approx(6e-11)
    assert float(weight_seconds(KERNELS, "q4_k", 16, 512)) == pytest.approx(2e-10)
    assert float(measured_seconds(KERNELS, product(1, 512, 100))) == pytest.approx(
        512 * 100 * 2e-11 + 1e-6)


def test_a_mix_lies_between_the_formats_it_is_made_of():
    at = [float(weight_seconds(KERNELS, f, 1, 512)) for f in ("q4_k", "q4_k_m", "q5_k", "q6_k")]
    assert at == sorted(at) and at[0] < at[1]
    assert not runs_format(KERNELS, "iq2_xxs") and not runs_format(KERNELS, "fp16")
    assert runs_format(KERNELS, "q3_k") and runs_format(KERNELS, "q8_0")


@settings(deadline=None)
@given(st.floats(1, 1000), st.floats(1, 1000), st.floats(64, 8192))
def test_more_rows_never_take_less_time(some, more, depth):
    few, many = sorted((some, some + more))
    assert weight_seconds(KERNELS, "q4_k", few, depth) <= (
        weight_seconds(KERNELS, "q4_k", many, depth) * (1 + 1e-12))


@settings(deadline=None)
@given(st.lists(st.floats(1, 600), min_size=1, max_size=5))
def test_arrays_are_the_single_values(rows):
    together = measured_seconds(KERNELS, product(np.array(rows), 700.0, 300.0))
    alone = [float(measured_seconds(KERNELS, product(m, 700.0, 300.0))) for m in rows]
    assert together == pytest.approx(np.array(alone))


def test_experts_share_the_rows():
    shape = {"tokens": 8.0, "hidden": 512.0, "inter": 256.0, "top_k": 2.0, "experts": 16.0}
    each = 3 * 512 * 256.0
    op = Op("experts", "grouped_matmul", "experts", flop=2 * 16 * each,
            weight_bytes=8 * each * 4.5 / 8, shape=shape, labels={"format": "q4_k", "gated": "1"})
    rows = float(weight_seconds(KERNELS, "q4_k", 2.0, 512))
    assert float(measured_seconds(KERNELS, op)) == pytest.approx(8 * (each * rows + 1e-6))


def test_a_timer_takes_the_machines_own_kernels():
    timer = StepTimer(Cluster.of(CHIP), Deployment(engine="llamacpp"), EngineCosts())
    op = product(4.0, 512.0, 512.0)
    assert float(timer([op])) == pytest.approx(float(measured_seconds(KERNELS, op)))
    assert costs_of(KERNELS).sequence == 2e-5 and costs_of(KERNELS, served=True).sequence == 1.2e-4


def test_one_users_rates_are_the_sum_of_the_steps_parts():
    still = dataclasses.replace(CHIP, kernels={"llamacpp": dataclasses.replace(KERNELS, move=0.0)})
    rates = single_stream_rates(TINY, still, quant="q4_k", prompt_tokens=100, gen_tokens=2)
    assert rates.distance == "machine"
    matrices = [(512, 768), (512, 512), (512, 4096), (2048, 512)]
    weights = sum(k * n * float(weight_seconds(KERNELS, "q4_k", 1, k)) for k, n in matrices) * 4
    weights += 512 * 4096 * 2e-11
    attention = 4 * 8 * 4 * 64 * 101 * (1e-10 * (1 - np.log(101 / 64) / np.log(16))
                                        + 2e-10 * np.log(101 / 64) / np.log(16))
    costs = 1e-4 + 4 * 1e-5 + 2e-5 + 4096 * 1e-9 + 21 * 1e-6
    predicted = 1 / rates.generation.value
    assert predicted == pytest.approx(weights + attention + costs, rel=1e-3)
    assert rates.generation.low < rates.generation.value < rates.generation.high


def test_prompts_are_read_in_passes_and_two_users_share_a_step():
    one, two = (single_stream_rates(TINY, CHIP, quant="q4_k", prompt_tokens=n)
                for n in (512, 1024))
    assert 1024 / two.prompt.value > 2 * 512 / one.prompt.value    # later tokens attend to more
    pair = single_stream_rates(TINY, CHIP, quant="q4_k", batch=2)
    assert pair.generation.value > single_stream_rates(TINY, CHIP, quant="q4_k").generation.value


def test_formats_and_machines_without_measurements_take_the_fitted_constants():
    other = dataclasses.replace(CHIP, peaks={"fp32": 1e11}, memory_bandwidth=2e10)
    assert single_stream_rates(TINY, other, quant="fp16").distance != "machine"
    assert single_stream_rates(TINY, other, quant="q4_k", n_devices=2).distance != "machine"
