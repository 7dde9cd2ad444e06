"""Latent attention: forms with their arithmetic, shipped constants against physics."""

import numpy as np
import pytest

from ridgeline.catalog import load_chip
from ridgeline.errors import BadInput, UnknownName
from ridgeline.timing.kernels.mla import BMM_CONSTANTS, bmm_form, mla_bmm_time, mla_time

CALIBRATED = ("A100-SXM-80GB", "H100-SXM", "H200-SXM", "B200-SXM", "B300-SXM", "GB300",
              "RTX-PRO-6000")
EVERYWHERE = (*CALIBRATED, "GB200", "L40S", "MI300X", "H20")


@pytest.mark.parametrize("name", EVERYWHERE)
@pytest.mark.parametrize("backend", ["vllm", "sglang", "trtllm"])
def test_never_faster_than_physics(name, backend):
    chip = load_chip(name)
    fastest = max(chip.peaks.get("fp8", 0), chip.peaks["bf16"])
    batch, length = np.array([[1.0], [16.0], [256.0]]), np.geomspace(1, 131072, 9)
    decode = mla_time(chip, phase="decode", batch=batch, kv_len=length, q_heads=128.0,
                      backend=backend).seconds
    # 576 latent elements a token are read once, 576 + 512 products a head and token are done.
    assert (decode >= 0.9999 * batch * length * 576 * 2 / chip.memory_bandwidth).all()
    assert (decode >= 0.9999 * 2 * batch * length * 128 * (576 + 512) / fastest).all()
    prefill = mla_time(chip, phase="prefill", batch=batch, new_tokens=length, q_heads=128.0,
                       backend=backend).seconds
    pairs = length * (length + 1) / 2
    assert (prefill >= 0.9999 * 2 * batch * 128 * (192 + 128) * pairs / chip.peaks["bf16"]).all()


@pytest.mark.parametrize("name", CALIBRATED)
def test_more_context_more_time(name):
    chip = load_chip(name)
    length = 2.0 ** np.arange(0, 18)
    decode = mla_time(chip, phase="decode", batch=32.0, kv_len=length, q_heads=16.0,
                      backend="sglang").seconds
    assert (decode[1:] > 0.7 * decode[:-1]).all() and (decode[4:] > 0.9 * decode[:-4]).all()
    past = mla_time(chip, phase="prefill", batch=1.0, new_tokens=1024.0, q_heads=16.0,
                    past_tokens=length, backend="sglang").seconds
    assert (past[1:] > 0.95 * past[:-1]).all() and past[-1] > 8 * past[0]


def test_host_launched_tables_do_not_speak_for_engines():
    chip = load_chip("H100-SXM")
    case = {"phase": "decode", "batch": 1.0, "kv_len": 128.0, "q_heads": 16.0}
    engine = mla_time(chip, **case, backend="vllm")
    assert engine.seconds < 40e-6 and engine.distance == "backend"
    measured = mla_time(chip, **case, backend="vllm", warm=True)
    assert measured.seconds > 80e-6 and "host" in measured.note


def test_fewer_heads_on_a_device_never_cost_more():
    chip, heads = load_chip("B200-SXM"), np.array([8.0, 16.0, 32.0, 64.0, 128.0])
    time = mla_time(chip, phase="prefill", batch=1.0, new_tokens=8192.0, q_heads=heads,
                    backend="trtllm").seconds
    assert (np.diff(time) > 0).all()


def test_bmm_form_by_hand():
    constants = {c.name: c.start for c in BMM_CONSTANTS} | {"launch": 4e-6, "wave_time": 1e-7}
    got = bmm_form(tokens=256.0, heads=16.0, k=512.0, n=128.0, weight_bytes=2.0, peak=1e15,
                   fastest_peak=1e15, memory_bandwidth=1e12, l2_bytes=1e6, n_cores=16.0,
                   warm=0.0, **constants)
    # 16 heads x 2 x 1 tiles on 16 cores: 2 waves of 2 x 128 x 128 x 512 products each.
    compute = 2 * 128**2 * 512 * 2 * 16 / (constants["compute_efficiency"] * 1e15)
    moved = 16 * (512 * 128 * 2 + 2 * 256 * 640)
    memory = moved / (constants["memory_efficiency"] * 1e12)
    assert got["compute"] == pytest.approx(compute) and got["memory"] == pytest.approx(memory)
    assert got["seconds"] == pytest.approx(4e-6 + max(compute, memory)
                                           + 0.3 * min(compute, memory) + 2e-7)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_absorption_reads_its_weights(name):
    chip = load_chip(name)
    tokens = np.array([1.0, 64.0, 1024.0, 8192.0])
    time = mla_bmm_time(chip, tokens=tokens, heads=128.0, k=128.0, n=512.0).seconds
    least = 128 * (128 * 512 * 2 + 2 * tokens * 640) / chip.memory_bandwidth
    assert (time >= 0.9999 * least).all()
    assert (time[1:] > 0.9 * time[:-1]).all() and (time[2:] > 1.5 * time[:-2]).all()


def test_bad_input():
    chip = load_chip("H100-SXM")
    with pytest.raises(UnknownName, match="did you mean 'decode'"):
        mla_time(chip, phase="decoding", batch=1, q_heads=1)
    with pytest.raises(BadInput, match="q_heads"):
        mla_time(chip, phase="decode", batch=1, q_heads=0)
    with pytest.raises(BadInput, match="tokens"):
        mla_bmm_time(chip, tokens=-1, heads=1, k=1, n=1)
