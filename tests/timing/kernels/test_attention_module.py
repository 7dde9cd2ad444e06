"""Attention modules: the form with its arithmetic by hand, and shipped constants."""

from dataclasses import asdict

import numpy as np
import pytest

from ridgeline.catalog import load_chip
from ridgeline.errors import BadInput, UnknownName
from ridgeline.measure.fit.attention_module import SHAPES, shape_of
from ridgeline.timing.kernels.attention_module import (
    CONSTANTS,
    PARTS,
    ModuleShape,
    attention_module_time,
    module_form,
    parts_of,
    weight_name,
)

START = {c.name: c.start for c in CONSTANTS}
V3, V32 = SHAPES["deepseek-v3"], SHAPES["deepseek-v3.2"]
RATES = {"peak": 1e15, "linear_peak": 1e15, "fastest_peak": 2e15, "memory_bandwidth": 3e12,
         "l2_bytes": 5e7, "n_cores": 132.0}


def run(shape=V3, op="mla_generation_module", kernel="", **case):
    given = {"batch": 128.0, "new_tokens": 1.0, "past_tokens": 4095.0, "heads": 16.0,
             "weight_bytes": 2.0, "kv_bytes": 2.0, **case}
    return module_form(**given, **asdict(shape), **asdict(parts_of(op, kernel)), **RATES,
                       warm=0.0, **START)


def test_projections_are_the_parameters_of_the_layer():
    got = run(past_tokens=0.0)
    d, rank, heads = 7168, 1536, 16
    weights = d * rank + rank * heads * 192 + d * 576 + heads * 128 * d
    absorption = heads * 576 * (192 + 128)
    assert got["linear"] == pytest.approx(
        2 * 128 * (weights + absorption) / (START["linear_efficiency"] * 1e15))


def test_a_short_batch_pays_a_whole_tile():
    assert run(batch=1.0, past_tokens=0.0)["linear"] > 0.9 * run(past_tokens=0.0)["linear"]


def test_sparse_attention_stops_growing_and_its_indexer_does_not():
    context = np.array([1024.0, 4096.0, 65536.0]) - 1
    got = run(V32, "dsa_generation_module", past_tokens=context)
    assert got["far"] == pytest.approx([1024, 2048, 2048])
    assert got["index"][2] / got["index"][1] == pytest.approx(16)
    assert (run(V32, "dsa_generation_module", "x_skip_indexer_y", past_tokens=context)["index"]
            == 0).all()


def test_compressed_entries_stand_for_many_tokens():
    shape = shape_of("deepseek-ai/DeepSeek-V4-Pro", "dsv4_hca_generation_module", 128.0)
    got = run(shape, "dsv4_hca_generation_module", past_tokens=12799.0)
    assert got["far"] == pytest.approx(12800 / 128, rel=0.02)
    assert got["index"] == 0


def test_shapes_by_model_name():
    assert shape_of("nvidia/DeepSeek-V3.1-NVFP4", "mla_context_module", 0.0).top_k == 0
    assert shape_of("deepseek-ai/DeepSeek-V3.2", "dsa_context_module", 0.0) == V32
    assert shape_of("zai-org/GLM-5.2-FP8", "dsa_context_module", 0.0).qk_dim == 256
    with pytest.raises(UnknownName):
        shape_of("someone/Else-7B", "mla_context_module", 0.0)


def test_scalar_array_and_symbol_agree():
    sympy = pytest.importorskip("sympy")
    plain = run(V32, "dsa_context_module", new_tokens=512.0)["seconds"]
    assert run(V32, "dsa_context_module", new_tokens=np.full(2, 512.0))["seconds"] == (
        pytest.approx([plain] * 2))
    batch = sympy.Symbol("b", positive=True)
    traced = run(V32, "dsa_context_module", new_tokens=512.0, batch=batch)["seconds"]
    assert float(traced.subs(batch, 128.0)) == pytest.approx(plain)


@pytest.mark.parametrize("name", ["H100-SXM", "H200-SXM", "B200-SXM", "GB300", "GB200"])
@pytest.mark.parametrize("op", sorted(PARTS))
def test_shipped_constants_rise_with_work(name, op):
    model = ("DeepSeek-V4-Flash" if "dsv4" in op else "DeepSeek-V3" if "mla" in op else "GLM-5")
    shape = shape_of(model, op, 128.0 if "hca" in op else 4.0)
    # One block of new tokens by sequences: work grows about linearly.
    batch = np.array([1.0, 16.0, 256.0])
    time = attention_module_time(load_chip(name), op=op, shape=shape, heads=16.0, batch=batch,
                                 new_tokens=1.0 if "generation" in op else 64.0,
                                 past_tokens=2048.0, kv_format="fp8", backend="sglang").seconds
    assert (time > 1e-6).all() and (time[1:] > 0.6 * time[:-1]).all() and time[2] > time[0]


def test_bad_input():
    chip = load_chip("H100-SXM")
    with pytest.raises(UnknownName, match="attention module"):
        attention_module_time(chip, op="mla_module", shape=V3, heads=1, batch=1)
    with pytest.raises(BadInput, match="heads"):
        attention_module_time(chip, op="mla_context_module", shape=V3, heads=0, batch=1)
    assert weight_name("fp8") == "fp8_block" and weight_name("mxfp4") == "nvfp4"
    assert isinstance(V3, ModuleShape)
