"""Memory-bound kernels: at least the bytes over the bandwidth, at least a launch."""

import numpy as np
import pytest
import sympy

from ridgeline.catalog import load_chip
from ridgeline.errors import BadInput, UnknownName
from ridgeline.timing.kernels.elementwise import (
    BYTES,
    elementwise_seconds,
    elementwise_time,
    quantize_time,
)

SIZES = 10.0 ** np.arange(0, 11)


@pytest.mark.parametrize("kind", ["elementwise", "softmax", "gelu", "norm", "rope", "add",
                                  "gated_activation", "embedding"])
@pytest.mark.parametrize("name", ["A100-SXM-80GB", "H100-SXM", "B200-SXM", "MI300X", "L40S"])
def test_never_faster_than_memory_and_rising(kind, name):
    chip = load_chip(name)
    t = elementwise_time(chip, bytes=SIZES, kind=kind).seconds
    assert np.all(t >= SIZES / chip.memory_bandwidth)
    assert t[0] > 3e-7
    assert np.min(t / np.maximum.accumulate(t)) > 0.8


def test_a_large_add_on_a100_reaches_most_of_the_bandwidth():
    chip = load_chip("A100-SXM-80GB")
    t = elementwise_time(chip, bytes=1e10, kind="add").seconds
    assert 0.6 < 1e10 / t / chip.memory_bandwidth <= 1.0


def test_quantising_scales_with_the_matrix():
    chip = load_chip("H100-SXM")
    t = quantize_time(chip, m=np.array([8192.0, 32768.0]), k=8192).seconds
    assert t[1] / t[0] == pytest.approx(4.0, rel=0.15)
    assert np.all(t >= np.array([8192, 32768]) * 8192 * 3 / chip.memory_bandwidth)


def test_scalar_array_and_symbol_agree():
    c = {"launch": 2e-6, "traffic": 1.3, "warm": 0.5, "element": 1e-10}
    machine = {"bandwidth": 2e12, "n_cores": 108.0, "l2_bytes": 4e7, "constants": c, "warm": 1.0}
    b, r, w = sympy.symbols("b r w", positive=True)
    symbolic = elementwise_seconds(bytes=b, rows=r, width=w, **machine)
    number = elementwise_seconds(bytes=1e7, rows=900.0, width=2048.0, **machine)
    array = elementwise_seconds(bytes=np.array([1e7]), rows=np.array([900.0]),
                                width=np.array([2048.0]), **machine)
    assert number == pytest.approx(float(symbolic.subs({b: 1e7, r: 900, w: 2048})))
    assert number == pytest.approx(float(array[0]))


def test_bad_input_is_named():
    chip = load_chip("H100-SXM")
    with pytest.raises(UnknownName, match="elementwise kind 'nrm'; did you mean 'norm'"):
        elementwise_time(chip, bytes=1, kind="nrm")
    with pytest.raises(BadInput, match="must not be negative"):
        elementwise_time(chip, bytes=-1)
    with pytest.raises(BadInput, match="at least 1"):
        quantize_time(chip, m=0, k=5)
    assert set(BYTES) >= {"computescale", "scale_matrix"}
