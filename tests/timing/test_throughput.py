import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.catalog import load_chip
from ridgeline.deployment import Deployment
from ridgeline.errors import BadInput
from ridgeline.model.load import load_architecture
from ridgeline.timing.throughput import (
    LOADED,
    LoadCase,
    load_columns,
    load_keys,
    loaded_throughput,
    wave_floor,
    wave_seconds,
    wave_time,
)

LLAMA = load_architecture("meta-llama/Meta-Llama-3-8B")
NO_LOSS = {c.name: c.low for c in LOADED} | {
    "step": 0.0, "launch": 0.0, "sequence": 0.0, "hop": 0.0, "wire": 0.0}


def case(chip="H100-SXM", **change):
    start = LoadCase(LLAMA, load_chip(chip), Deployment(weights="bf16"), "vllm-2024", 1024.0,
                     1024.0, 16.0)
    return dataclasses.replace(start, **change)


def test_without_losses_a_wave_is_its_bytes_and_flop():
    columns = load_columns(case())
    # Decode: weights without the embedding and half-filled caches of 16 sequences, 1,023 times.
    weights = 2 * (LLAMA.total_params - LLAMA.vocab_size * LLAMA.d_model)
    cache = 16 * float(LLAMA.cache_bytes(1536))
    decode = 1023 * (weights + cache) / 3.35e12
    prefill = 2 * (LLAMA.total_params - 2 * LLAMA.vocab_size * LLAMA.d_model) * 16 * 1024 / 989.4e12
    assert wave_seconds(columns, NO_LOSS) > decode + prefill
    assert wave_seconds(columns, NO_LOSS) == pytest.approx(decode + prefill, rel=0.15)
    assert wave_floor(columns) <= wave_seconds(columns, NO_LOSS)


def test_prompts_longer_than_a_pass_are_counted_once():
    long = load_columns(case(prompt=20000.0, output=1.0, batch=21.0))
    matmuls = 2 * (LLAMA.total_params - 2 * LLAMA.vocab_size * LLAMA.d_model) * 20000
    attention = 32 * 2 * 20000**2 / 2 * 32 * 2 * 128
    whole = 21 * (matmuls + attention) / 989.4e12
    assert long["passes"] * long["p_compute"] == pytest.approx(whole, rel=0.02)


def test_stages_of_a_pipeline_work_on_parts_of_the_batch():
    whole = Deployment(weights="bf16")
    stages = Deployment(weights="bf16", pp=4)
    part, lone = (load_columns(case(deployment=stages, batch=b)) for b in (64.0, 1.0))
    quarter = load_columns(case(deployment=whole, batch=16.0))
    assert part["d_compute"] == pytest.approx(quarter["d_compute"])
    assert part["d_read"] == pytest.approx(quarter["d_read"])
    # One request walks through all stages.
    assert lone["d_read"] == load_columns(case(deployment=whole, batch=1.0))["d_read"]


def test_groups_beyond_the_bridges_of_cards_exchange_over_pcie():
    def wire(chip, tp):
        return load_columns(case(chip, deployment=Deployment(tp=tp, weights="bf16")))["d_wire"]

    # A ring's traffic is 2 (n - 1) / n messages: 1 of two cards, 1.5 of four.
    bridge, pcie = load_chip("A100-PCIe-80GB").scale_up, load_chip("A100-PCIe-80GB").host
    assert wire("A100-PCIe-80GB", 4) / wire("A100-PCIe-80GB", 2) == pytest.approx(
        1.5 * bridge.bandwidth / pcie.bandwidth)
    assert wire("A100-SXM-80GB", 4) / wire("A100-SXM-80GB", 2) == pytest.approx(1.5)


def test_graphics_chips_share_no_constants_with_datacentre_chips_of_their_architecture():
    keys = [load_keys(case(chip)) for chip in ("B200", "RTX-PRO-6000", "H100-PCIe", "H100-SXM")]
    assert [k["arch"] for k in keys] == ["NVIDIA/Blackwell", "NVIDIA/Blackwell/graphics",
                                         "NVIDIA/Hopper", "NVIDIA/Hopper"]
    assert keys[0]["maker"] == "vllm-2024/NVIDIA"


def test_kinds_of_run_share_what_their_engine_has_in_common():
    names = "vllm-2024", "mlperf-trtllm", "trtllm-max", "deepspeed-mii-2024"
    assert [load_keys(case(engine=n))["software"] for n in names] == [
        "vllm", "trtllm", "trtllm", "deepspeed"]


@settings(max_examples=40, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(1.0, 8.0))
def test_reading_and_multiplying_overlap_between_their_maximum_and_sum(read, compute, knee):
    none = dict.fromkeys(load_columns(case()), 0.0)
    columns = none | {"d_read": read, "d_compute": compute, "steps": 1.0}
    seconds = wave_seconds(columns, NO_LOSS | {"knee": knee})
    assert max(read, compute) * (1 - 1e-9) <= seconds <= (read + compute) * (1 + 1e-9)


def test_a_form_of_arrays():
    one = load_columns(case())
    starts = {c.name: c.start for c in LOADED}
    two = wave_seconds({k: np.array([v, v]) for k, v in one.items()}, starts)
    assert two == pytest.approx([wave_seconds(one, starts)] * 2)


@settings(max_examples=20, deadline=None)
@given(st.floats(1.0, 256.0), st.floats(1.1, 4.0))
def test_more_requests_take_longer_and_make_more(batch, more):
    few, many = wave_time(case(batch=batch)), wave_time(case(batch=batch * more))
    assert many.seconds > few.seconds
    assert many.throughput.value > few.throughput.value


@pytest.mark.parametrize("chip", ["H100-SXM", "A100-SXM-80GB", "MI300X", "Gaudi-2", "L40S", "B200"])
def test_never_faster_than_the_roofline(chip):
    for batch in (1.0, 64.0, 1024.0):
        found = wave_time(case(chip=chip, batch=batch))
        assert found.seconds >= 0.999 * found.floor
        assert found.throughput.high <= found.tokens / found.floor * (1 + 1e-9)


def test_tensor_parallel_is_faster_and_exchanges_messages():
    one, four = case(), case(deployment=Deployment(tp=4, weights="bf16"))
    assert load_columns(one)["d_hops"] == 0 < load_columns(four)["d_hops"]
    assert wave_time(four).seconds < wave_time(one).seconds


def test_replicas_add_up_and_distance_is_told():
    assert wave_time(case(replicas=4.0)).throughput.value == pytest.approx(
        4 * wave_time(case()).throughput.value)
    assert wave_time(case()).distance == "device"
    assert wave_time(case("H200-NVL")).distance == "architecture"
    assert wave_time(case(engine="new")).distance == "pooled"


def test_throughput_of_a_deployment():
    found = loaded_throughput(LLAMA, load_chip("H100-SXM"), Deployment(weights="bf16"),
                              prompt_tokens=1024, output_tokens=1024, concurrency=64,
                              engine="vllm-2024")
    assert found.low < found.value < found.high
    # Published runs of early 2024 at this point lie between 2,000 and 4,500 tokens a second.
    assert 1800 < found.value < 5000
    with pytest.raises(BadInput, match="concurrency"):
        loaded_throughput(LLAMA, load_chip("H100-SXM"), Deployment(), prompt_tokens=1,
                          output_tokens=1, concurrency=0)
