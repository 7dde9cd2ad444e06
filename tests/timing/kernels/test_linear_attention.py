"""Linear attention: bytes of the state by hand, shipped constants against physics."""

import numpy as np
import pytest

from ridgeline.catalog import load_chip
from ridgeline.errors import BadInput, UnknownName
from ridgeline.timing.kernels.linear_attention import CONSTANTS, linear_attention_time, scan_form

LAYER = {"k_heads": 16.0, "v_heads": 32.0}
CHIPS = ("H100-SXM", "H200-SXM", "B200-SXM", "B300-SXM", "GB300", "RTX-PRO-6000", "GB200",
         "A100-SXM-80GB", "MI300X")
START = {c.name: c.start for c in CONSTANTS}
FORM = {"batch": 8.0, "new_tokens": 1.0, **LAYER, "k_dim": 128.0, "v_dim": 128.0,
        "conv_kernel": 4.0, "state_bytes": 4.0, "convolution": 0.0, "chunked": 0.0,
        "peak": 1e15, "fastest_peak": 2e15, "memory_bandwidth": 3e12, "l2_bytes": 5e7,
        "n_cores": 132.0}


def test_a_decode_step_reads_and_writes_the_state_once():
    got = scan_form(**FORM, warm=0.0, **START)
    state = 2 * 8 * 32 * 128 * 128 * 4                   # in and out, 32 bit
    inputs = 2 * 8 * (2 * 16 * 128 + 2 * 32 * 128)       # q, k, v in and o out, 16 bit
    assert got["bytes"] == state + inputs
    assert got["floor"] == pytest.approx((state + inputs) / 3e12)


def test_the_convolution_moves_q_k_and_v():
    got = scan_form(**{**FORM, "convolution": 1.0, "new_tokens": 100.0}, warm=0.0, **START)
    assert got["bytes"] == 4 * 8 * (100 + 3) * (2 * 16 + 32) * 128
    assert got["chain"] == 0


def test_scalar_array_and_symbol_agree():
    sympy = pytest.importorskip("sympy")
    case = {**FORM, "new_tokens": 300.0, "chunked": 1.0}
    plain = scan_form(**case, warm=1.0, **START)["seconds"]
    arrays = scan_form(**{**case, "batch": np.full(2, 8.0)}, warm=1.0, **START)["seconds"]
    assert arrays == pytest.approx([plain] * 2)
    batch = sympy.Symbol("b", positive=True)
    traced = scan_form(**{**case, "batch": batch}, warm=1.0, **START)["seconds"]
    assert float(traced.subs(batch, 8.0)) == pytest.approx(plain)


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("rule", ["gated_delta", "kda", "lightning"])
def test_never_faster_than_physics(name, rule):
    chip, batch = load_chip(name), np.array([1.0, 16.0, 256.0, 1024.0])
    time = linear_attention_time(chip, phase="decode", batch=batch, **LAYER, rule=rule).seconds
    assert (time >= 0.9999 * 2 * batch * 32 * 128 * 128 * 4 / chip.memory_bandwidth).all()
    length = np.geomspace(64, 65536, 6)
    scan = linear_attention_time(chip, phase="prefill", batch=4.0, new_tokens=length, **LAYER,
                                 rule=rule).seconds
    moved = 2 * 4 * length * (2 * 16 + 2 * 32) * 128
    assert (scan >= 0.9999 * moved / chip.memory_bandwidth).all()


@pytest.mark.parametrize("name", CHIPS)
@pytest.mark.parametrize("part", ["scan", "convolution"])
def test_a_long_prompt_costs_in_proportion(name, part):
    chip = load_chip(name)
    length = 2.0 ** np.arange(6, 20)
    time = linear_attention_time(chip, phase="prefill", batch=2.0, new_tokens=length, **LAYER,
                                 part=part, rule="gated_delta").seconds
    assert (time[1:] > 0.8 * time[:-1]).all()
    assert time[-1] / time[-2] == pytest.approx(2, rel=0.05)


def test_decode_does_not_depend_on_context_and_a_narrower_state_is_faster():
    chip = load_chip("H100-SXM")
    wide = linear_attention_time(chip, phase="decode", batch=512.0, **LAYER).seconds
    narrow = linear_attention_time(chip, phase="decode", batch=512.0, **LAYER,
                                   state_bytes=2.0).seconds
    assert 0.45 < narrow / wide < 0.75


def test_bad_input():
    chip = load_chip("H100-SXM")
    with pytest.raises(UnknownName, match="kda"):
        linear_attention_time(chip, phase="decode", batch=1, rule="kdaa", **LAYER)
    with pytest.raises(UnknownName, match="phase"):
        linear_attention_time(chip, phase="warm", batch=1, **LAYER)
    with pytest.raises(BadInput, match="v_heads"):
        linear_attention_time(chip, phase="decode", batch=1, k_heads=1, v_heads=0)
