"""Attention of decoding sequences beside prompts: physics, limits, whom it concerns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.catalog import load_chip
from ridgeline.errors import BadInput
from ridgeline.timing.kernels.attention import decode_attention_time
from ridgeline.timing.kernels.attention_mixed import (
    chip_side,
    decodes_in_prompt_kernel,
    mixed_decode_time,
    mixed_form,
    shipped,
)

CARD = load_chip("RTX-PRO-6000")
HEADS = {"q_heads": 32.0, "kv_heads": 4.0, "head_dim": 128.0}
FORM = {**HEADS, "v_head_dim": 128.0, "window": 0.0, "kv_bytes": 2.0, **chip_side(CARD),
        **shipped()["constants"]["RTX-PRO-6000-BSE"]}


# Kernels of vLLM 0.19 timed by the profiler of LLMServingSim, with 16 prompt tokens beside [us].
@pytest.mark.parametrize(("sequences", "length", "measured"), [
    (1, 1024, 28.1), (16, 1024, 81.8), (64, 1024, 301.0), (64, 2048, 546.0), (128, 512, 388.0),
    (128, 1024, 645.0), (128, 2048, 1309.0), (128, 4096, 4092.0)])
def test_measured_kernels_are_met_within_20_percent(sequences, length, measured):
    time = mixed_decode_time(CARD, batch=sequences, kv_len=length, **HEADS)
    assert float(time.seconds) * 1e6 == pytest.approx(measured, rel=0.2)
    assert time.distance == "table"


def test_heads_that_share_a_cache_are_not_packed():
    """Twice the query heads take twice as long beside prompts, and hardly longer alone."""
    wide, narrow = ({**HEADS, "q_heads": q, "kv_heads": 4.0} for q in (32.0, 16.0))
    beside = [float(mixed_decode_time(CARD, batch=96, kv_len=1024, **h).seconds)
              for h in (wide, narrow)]
    alone = [float(decode_attention_time(CARD, batch=96, kv_len=1024, **h).seconds)
             for h in (wide, narrow)]
    assert 1.8 < beside[0] / beside[1] < 2.2
    assert 0.8 < alone[0] / alone[1] < 1.4
    assert beside[0] > 2 * alone[0]


@given(st.integers(1, 512), st.integers(1, 20000))
def test_more_work_never_takes_less(sequences, length):
    here = mixed_form(batch=float(sequences), kv_len=float(length), **FORM)
    assert mixed_form(batch=float(sequences), kv_len=length + 64.0, **FORM) >= here
    assert mixed_form(batch=sequences + 6.0, kv_len=float(length), **FORM) >= here
    flop = 2 * sequences * length * 32 * 256
    assert here > flop / CARD.peaks["bf16"]
    assert here > sequences * length * 4 * 256 * 2 / CARD.memory_bandwidth


def test_a_long_cache_is_read_once_a_pass():
    """Beyond L2, at more sequences than cores, every query head reads the cache from memory."""
    given = {**FORM, "launch": 0.0, "block_time": 0.0, "score_time": 0.0,
             "peak": 1e20, "memory_efficiency": 1.0}
    cache = 1e5 * 256 * 256 * 2.0
    assert mixed_form(batch=256.0, kv_len=1e5, **given) == pytest.approx(
        32 * cache / CARD.memory_bandwidth, rel=1e-3)


def test_a_window_ends_the_walk():
    whole, window = (float(mixed_decode_time(CARD, batch=64, kv_len=8192, window=w, **HEADS)
                           .seconds) for w in (0.0, 1024.0))
    same = float(mixed_decode_time(CARD, batch=64, kv_len=1024, **HEADS).seconds)
    assert window < whole / 4
    assert window == pytest.approx(same, rel=0.05)


@pytest.mark.parametrize(("engine", "chip", "cache", "meant"), [
    ("vllm", "RTX-PRO-6000", "bf16", True), ("vllm", "A100-SXM-80GB", "fp16", True),
    ("vllm", "RTX-4090", "bf16", True), ("vllm", "H100-SXM", "bf16", False),
    ("vllm", "T4", "fp16", False),
    ("vllm", "B200-SXM", "bf16", False), ("vllm", "RTX-PRO-6000", "fp8", False),
    ("sglang", "RTX-PRO-6000", "bf16", False), ("trtllm", "RTX-4090", "bf16", False)])
def test_whom_it_concerns(engine, chip, cache, meant):
    found = load_chip(chip)
    assert decodes_in_prompt_kernel(engine, found, cache) is meant
    size = {"batch": np.array([8.0, 64.0]), "kv_len": 2048.0, **HEADS, "kv_format": cache,
            "backend": engine}
    beside, alone = mixed_decode_time(found, **size), decode_attention_time(found, **size)
    assert (beside.seconds >= alone.seconds).all()
    assert meant == bool((beside.seconds > alone.seconds).any())


def test_unmeasured_chips_take_the_pooled_constants_and_wider_intervals():
    far = mixed_decode_time(load_chip("A100-SXM-80GB"), batch=64, kv_len=1024, **HEADS)
    near = mixed_decode_time(CARD, batch=64, kv_len=1024, **HEADS)
    assert far.distance == "pooled" and far.log_sigma > near.log_sigma


@pytest.mark.parametrize("bad", [{"batch": 0}, {"kv_len": -1}, {"q_heads": float("nan")}])
def test_sizes_that_no_kernel_has_are_refused(bad):
    with pytest.raises(BadInput, match=next(iter(bad))):
        mixed_decode_time(CARD, **{"batch": 1, "kv_len": 64, **HEADS, **bad})
