"""Attention times with the shipped constants: physics, order, extrapolation, errors."""

import numpy as np
import pytest

from ridgeline.catalog import list_names, load_chip
from ridgeline.errors import BadInput, RidgelineError
from ridgeline.timing.kernels.attention import (
    decode_attention_time,
    kv_element_bytes,
    prefill_attention_time,
)

HEADS = {"q_heads": 32.0, "kv_heads": 8.0, "head_dim": 128.0}
BACKENDS = ("vllm", "sglang", "trtllm")
CALIBRATED = ("A100-SXM-80GB", "H100-SXM", "H200-SXM", "B200-SXM", "B300-SXM", "GB300",
              "RTX-PRO-6000")
LENGTHS = np.array([1, 16, 128, 512, 1024, 2048, 4096, 8192, 16384, 32768, 131072], dtype=float)


def chips():
    found = []
    for name in list_names("chips"):
        chip = load_chip(name)
        if {"bf16", "fp16", "fp32"} & set(chip.peaks) and chip.memory_bandwidth:
            found.append(chip)
    return found


def test_never_faster_than_physics_on_any_chip():
    batch, length = np.array([[1.0], [8.0], [256.0]]), LENGTHS
    for chip in chips():
        peak = max(v for k, v in chip.peaks.items() if k in ("bf16", "fp16", "fp32", "fp8"))
        for backend in BACKENDS:
            decode = decode_attention_time(chip, batch=batch, kv_len=length, **HEADS,
                                           backend=backend)
            read = batch * length * 2 * 8 * 128 * 2
            assert (decode.seconds >= 0.9999 * read / chip.memory_bandwidth).all(), chip.name
            prefill = prefill_attention_time(chip, batch=batch, new_tokens=length, **HEADS,
                                             backend=backend)
            flop = 4 * batch * 32 * 128 * length * (length + 1) / 2
            assert (prefill.seconds >= 0.9999 * flop / peak).all(), chip.name


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CALIBRATED)
def test_times_rise_with_batch_and_length(name, backend):
    chip, batch = load_chip(name), np.array([1, 2, 4, 8, 16, 32, 64, 128, 256], dtype=float)
    decode = decode_attention_time(chip, batch=batch[:, None], kv_len=LENGTHS, **HEADS,
                                   backend=backend).seconds
    prefill = prefill_attention_time(chip, batch=batch[:5, None], new_tokens=LENGTHS, **HEADS,
                                     backend=backend).seconds
    for time in (decode, prefill):
        # Kernels are switched with size, which can win back a part, and launch hides small work.
        assert (time[:, 1:] > 0.7 * time[:, :-1]).all()
        assert (time[1:] > 0.7 * time[:-1]).all()
        assert (time[4:] > 0.8 * time[:-4]).all()
        assert (time[:, 4:] > 0.8 * time[:, :-4]).all()


@pytest.mark.parametrize("name", CALIBRATED)
def test_far_outside_the_data_time_follows_the_work(name):
    chip = load_chip(name)
    length = np.array([2.0**20, 2.0**21])
    decode = decode_attention_time(chip, batch=64.0, kv_len=length, **HEADS).seconds
    assert decode[1] / decode[0] == pytest.approx(2, rel=0.05)
    prefill = prefill_attention_time(chip, batch=1.0, new_tokens=length / 4, **HEADS).seconds
    assert prefill[1] / prefill[0] == pytest.approx(4, rel=0.05)


def test_a_long_decode_reads_its_cache_at_most_of_the_bandwidth():
    for name, least in (("H100-SXM", 0.7), ("B200-SXM", 0.65), ("H200-SXM", 0.65)):
        chip = load_chip(name)
        time = decode_attention_time(chip, batch=64.0, kv_len=8192.0, **HEADS).seconds
        assert least < 64 * 8192 * 4096 / chip.memory_bandwidth / time < 1


def test_cached_prefix_adds_its_scores():
    chip = load_chip("H100-SXM")
    past = np.array([0.0, 2048.0, 8192.0, 32768.0, 131072.0])
    time = prefill_attention_time(chip, batch=1.0, new_tokens=2048.0, past_tokens=past,
                                  **HEADS).seconds
    assert (np.diff(time) > 0).all()
    # The last chunk of a long prompt, alone, costs what the whole costs more than without it.
    whole = prefill_attention_time(chip, batch=1.0, new_tokens=np.array([30720.0, 32768.0]),
                                   **HEADS).seconds
    chunk = prefill_attention_time(chip, batch=1.0, new_tokens=2048.0, past_tokens=30720.0,
                                   **HEADS).seconds
    assert chunk == pytest.approx(whole[1] - whole[0], rel=0.35)


def test_window_format_and_cache_matter():
    chip = load_chip("B200-SXM")
    long = {"batch": 32.0, "kv_len": 65536.0, **HEADS}
    full = decode_attention_time(chip, **long).seconds
    assert decode_attention_time(chip, **long, window=128.0).seconds < 0.1 * full
    assert 0.45 < decode_attention_time(chip, **long, kv_format="fp8").seconds / full < 0.7


def test_distance_is_told():
    case = {"batch": 8.0, "kv_len": 2048.0, **HEADS}
    assert decode_attention_time(load_chip("H100-SXM"), **case).distance == "table"
    near = decode_attention_time(load_chip("GB200"), **case)
    assert near.distance == "architecture" and "B200-SXM" in near.note
    far = decode_attention_time(load_chip("MI300X"), **case)
    assert far.distance == "pooled"
    assert far.log_sigma > near.log_sigma


def test_warm_is_no_slower_and_shapes_broadcast():
    chip = load_chip("H100-SXM")
    batch = np.array([[1.0], [4.0]])
    cold = decode_attention_time(chip, batch=batch, kv_len=LENGTHS, **HEADS)
    warm = decode_attention_time(chip, batch=batch, kv_len=LENGTHS, **HEADS, warm=True)
    assert (warm.seconds <= cold.seconds * (1 + 1e-9)).all()
    assert cold.seconds.shape == (2, 11) and cold.log_quantiles.shape == (2, 11, 4)
    one = decode_attention_time(chip, batch=4.0, kv_len=2048.0, **HEADS)
    assert one.seconds.shape == () and one.seconds == pytest.approx(cold.seconds[1, 5])


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"batch": -3}, {"kv_len": float("nan")},
                                   {"head_dim": float("inf")}, {"kv_format": "bf17"}])
def test_bad_input_is_one_clear_line(wrong):
    case = {"batch": 1.0, "kv_len": 128.0, **HEADS, **wrong}
    with pytest.raises(BadInput) as caught:
        decode_attention_time(load_chip("H100-SXM"), **case)
    assert "\n" not in str(caught.value) and isinstance(caught.value, RidgelineError)


def test_bytes_of_a_cache():
    assert kv_element_bytes("bf16") == 2 and kv_element_bytes("fp8_e4m3") == 1
    assert kv_element_bytes("nvfp4") == pytest.approx((4 + 8 / 16) / 8)
