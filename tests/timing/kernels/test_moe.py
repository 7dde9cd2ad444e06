"""Experts: loads add up, times respect physics, measured geometries come out right."""

import numpy as np
import pytest

from ridgeline.catalog import load_chip
from ridgeline.errors import BadInput, UnknownName
from ridgeline.timing.kernels.moe import kernel_class, moe_time
from ridgeline.timing.kernels.moe_form import FORMATS
from ridgeline.timing.kernels.moe_load import rank_loads

V3 = {"hidden": 7168, "inter": 2048, "top_k": 8, "experts": 256}
T = 2.0 ** np.arange(0, 15)


def test_balanced_load_is_an_even_share():
    rows, active, t16, t64, t128 = rank_loads(tokens=1024, top_k=8, experts=256, ep=8,
                                              routing="balanced")[0]
    assert rows == 1024 * 8 / 8 and active == 32
    assert (t16, t64, t128) == (32 * 2, 32, 32)


def test_few_tokens_touch_as_many_experts_as_choices():
    loads = rank_loads(tokens=np.array([1, 2, 4]), top_k=8, experts=256, ep=1, routing="balanced")
    assert loads[:, 1].tolist() == [8, 16, 32]


@pytest.mark.parametrize("routing", ["balanced", "uniform", "power_law_1.01", "power_law_1.2"])
def test_all_ranks_together_do_all_choices_and_the_busiest_at_least_its_share(routing):
    whole = rank_loads(tokens=T, top_k=8, experts=128, ep=1, routing=routing)
    part = rank_loads(tokens=T, top_k=8, experts=128, ep=8, routing=routing)
    if routing == "power_law_1.2":  # its cap of one choice per token and expert can bind
        assert np.all(whole[:, 0] >= 0.9 * T * 8)
    else:
        np.testing.assert_allclose(whole[:, 0], T * 8)
    assert np.all(part[:, 0] >= whole[:, 0] / 8 - 1e-9)
    assert np.all(whole[:, 1] <= np.minimum(128, T * 8))


def test_skew_loads_the_busiest_rank_more():
    at = {"tokens": 4096, "top_k": 8, "experts": 256, "ep": 16}
    even, mild, hard = (rank_loads(**at, routing=r)[0, 0]
                        for r in ("balanced", "power_law_1.01", "power_law_1.2"))
    assert even < mild and even < hard


@pytest.mark.parametrize("name", ["A100-SXM-80GB", "H100-SXM", "B200-SXM", "GB300", "L40S",
                                  "MI300X", "RTX-PRO-6000"])
@pytest.mark.parametrize("format", ["bf16", "fp8", "nvfp4", "int4_wo", "int8_wo", "sq", "mxfp4"])
def test_never_faster_than_physics(name, format):
    chip = load_chip(name)
    for ep in (1, 8, 64):
        loads = rank_loads(tokens=T, top_k=8, experts=256, ep=ep, routing="uniform")
        seconds = moe_time(chip, tokens=T, **V3, ep=ep, format=format).seconds
        key = {"bf16": "bfloat16"}.get(format, format)
        key = "w4a16_mxfp4" if format == "mxfp4" else key  # the lighter of the two
        f = FORMATS[key]
        per = 3 * 7168 * 2048
        fast = max(chip.peaks.get(c, 0.0) for c in (*f.compute, "fp8", "bf16"))
        floor = np.maximum(2 * loads[:, 0] * per / fast,
                           loads[:, 1] * per * f.weight_bytes / chip.memory_bandwidth)
        assert np.all(seconds >= floor * (1 - 1e-9))


def test_more_tokens_never_take_much_less_time_and_far_out_cost_in_proportion():
    chip = load_chip("H200-SXM")
    t = moe_time(chip, tokens=T, **V3, ep=8, format="fp8_block", backend="sglang").seconds
    assert np.min(t / np.maximum.accumulate(t)) > 0.75
    far = moe_time(chip, tokens=np.array([2.0**20, 2.0**21]), **V3, ep=8).seconds
    assert far[1] / far[0] == pytest.approx(2.0, rel=0.05)


def test_shipped_constants_answer_the_shipped_measurements():
    from ridgeline.measure.truth.reader import read_table
    from ridgeline.measure.validate.kernels import chip_named
    from ridgeline.truth_data import shipped_file

    c = read_table(shipped_file("moe.csv.xz")).columns
    mine = np.flatnonzero((c["gpu"] == "H100-SXM") & (c["backend"] == "trtllm")
                          & (c["dtype"] == "fp8") & (c["routing"] == "balanced")
                          & (c["kernel"] == "moe_torch_flow_cutlass"))
    guess = moe_time(chip_named("H100-SXM"), tokens=c["tokens"][mine], hidden=c["hidden"][mine],
                     inter=c["inter"][mine], top_k=c["topk"][mine], experts=c["experts"][mine],
                     tp=c["tp"][mine], ep=c["ep"][mine], gated=c["gated"][mine], format="fp8",
                     backend="trtllm", routing="balanced", warm=True)
    ratio = guess.seconds / (c["time_us"][mine] * 1e-6)
    assert np.median(np.abs(ratio - 1)) < 0.1
    assert abs(np.median(ratio) - 1) < 0.03


def test_kernel_names_fall_into_classes():
    assert kernel_class("vllm_fp8moe_flashinfer_trtllm_trtllmfp8expertsmodular") == "trtllm"
    assert kernel_class("moe_torch_flow_triton_fp8_block") == "triton"
    assert kernel_class("vllm_marlin_int4_moe") == "marlin"


def test_bad_input_is_named():
    chip = load_chip("H100-SXM")
    with pytest.raises(UnknownName, match="MoE format"):
        moe_time(chip, tokens=1, **V3, format="fp9")
    with pytest.raises(BadInput, match="unknown routing 'zipf'"):
        moe_time(chip, tokens=1, **V3, routing="zipf")
    with pytest.raises(BadInput, match="top_k 8 is more than the 4 experts"):
        moe_time(chip, tokens=1, hidden=64, inter=64, top_k=8, experts=4)
    with pytest.raises(BadInput, match="MoE tokens must be at least 1"):
        moe_time(chip, tokens=0, **V3)
