"""Kernel tables: doubts are raised for a reason, compacting is fixed, fits are repeatable."""

import json

import numpy as np
import pytest

from ridgeline.catalog import load_chip
from ridgeline.measure.fit import gemm, moe
from ridgeline.measure.fit.elementwise import fit_elementwise
from ridgeline.measure.fit.fitting import Training
from ridgeline.measure.fit.pools import How, fit_tables, report
from ridgeline.timing.kernels.gemm import FAMILY, _physical
from ridgeline.timing.kernels.store import Store

CONSTANTS = {"launch": 2.4e-6, "math": 0.8, "memory": 0.9, "reach": 0.5, "start": 4e-7,
             "fill": 0.3, "warm": 0.05, "quant_launch": 1e-6, "quant": 2.0}


def _rows(backend: str = "vllm", add: float = 0.0, scale: float = 1.0, gpu: str = "H100-SXM",
          dtype: str = "bfloat16", seed: int = 0) -> dict[str, np.ndarray]:
    """A table drawn from the physical form itself, with 2 % noise."""
    m, n, k = (a.ravel() for a in np.meshgrid(2.0 ** np.arange(0, 15, 1),
                                              [512.0, 1024, 4096, 7168, 16384],
                                              [512.0, 2048, 4096, 14336]))
    seconds = _physical(load_chip(gpu), dtype, CONSTANTS, {"m": m, "n": n, "k": k}, True)
    noise = np.exp(np.random.default_rng(seed).normal(0, 0.02, len(m)))
    text = {"gpu": gpu, "backend": backend, "dtype": dtype, "version": "1", "source": "made"}
    return {**{c: np.full(len(m), v) for c, v in text.items()}, "m": m, "n": n, "k": k,
            "time_us": 1e6 * (add + scale * seconds) * noise}


def _joined(*tables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {c: np.concatenate([t[c] for t in tables]) for c in tables[0]}


CHIPS = {"H100-SXM": load_chip("H100-SXM")}


def test_a_host_launched_table_is_set_apart():
    rows = _joined(_rows("sglang"), _rows("vllm", add=60e-6))
    tables, flags = gemm.sane(gemm.tables_of(rows, CHIPS))
    assert [f.action for f in flags] == ["eager"] and "launched by the host" in flags[0].reason
    assert sorted(t.backend for t in tables) == ["sglang", "vllm-eager"]


def test_a_table_beyond_the_peak_is_set_aside_and_a_weight_only_one_recomputed():
    fast = gemm.sane(gemm.tables_of(_rows(scale=0.5), CHIPS))
    assert fast[0] == [] and "of the 16-bit peak" in fast[1][0].reason
    tables, _ = gemm.sane(gemm.tables_of(_rows(scale=0.5, dtype="int8_wo"), CHIPS))
    assert tables[0].compute == "int8_wo@int8"


def test_a_table_that_does_not_grow_and_a_short_one_are_set_aside():
    flat = _rows()
    flat["time_us"] = np.full(len(flat["m"]), 5e4)
    tables, flags = gemm.sane(gemm.tables_of(flat, CHIPS))
    assert tables == [] and flags[0].reason == "time does not grow with work"
    short = {c: v[:50] for c, v in _rows().items()}
    assert "only 50 rows" in gemm.sane(gemm.tables_of(short, CHIPS))[1][0].reason


def test_a_fit_recovers_a_table_made_from_the_form_and_repeats_exactly():
    how = How(own=Training(hidden=(8, 8), steps=300), fold=Training(hidden=(8, 8), steps=300),
              pooled=Training(hidden=(8, 8), steps=300))
    tables = gemm.tables_of(_rows(), CHIPS)
    entries, checks = fit_tables(FAMILY, tables, how=how)
    again, _ = fit_tables(FAMILY, tables, how=how)
    assert json.dumps([e.to_json() for e in entries]) == json.dumps([e.to_json() for e in again])
    errors = report(checks)["table"]
    assert errors["median_ape_pct"] < 3.0 and abs(errors["bias_pct"]) < 1.0
    assert 70 < errors["coverage80_pct"] < 90


def test_compacting_keeps_every_width_and_is_its_own_fixed_choice():
    rows = _rows()
    kept = gemm.compact(_joined(*(_rows(seed=s) for s in range(5))))
    assert 0.4 * 5 * len(rows["m"]) < len(kept["m"]) < 0.8 * 5 * len(rows["m"])
    assert set(zip(kept["n"], kept["k"], strict=True)) == set(zip(rows["n"], rows["k"],
                                                                  strict=True))
    again = gemm.compact(_joined(*(_rows(seed=s) for s in range(5))))
    assert all(np.array_equal(kept[c], again[c]) for c in kept)


def test_rounding_keeps_three_digits():
    np.testing.assert_array_equal(gemm.rounded(np.array([1234.5, 0.0012345])), [1230.0, 0.00123])


def test_moe_tables_are_told_apart_by_kernel():
    n = 120
    rows = {"gpu": np.full(2 * n, "H100-SXM"), "backend": np.full(2 * n, "sglang"),
            "kernel": np.repeat(["sglang_fused_moe_triton", "sglang_marlin_moe"], n),
            "dtype": np.full(2 * n, "bfloat16"), "version": np.full(2 * n, "1"),
            "routing": np.tile(["balanced", "power_law_1.2"], n),
            "tokens": np.tile(np.arange(1.0, n + 1), 2), "time_us": np.ones(2 * n),
            **{c: np.full(2 * n, v) for c, v in {
                "hidden": 2048.0, "inter": 768.0, "topk": 8.0, "experts": 128.0, "tp": 1.0,
                "ep": 4.0, "gated": 1.0}.items()}}
    tables = moe.tables_of(rows, CHIPS)
    assert sorted(t.backend for t in tables) == ["sglang/marlin", "sglang/triton"]
    balanced = tables[0].rows["balanced"] == 1
    assert balanced.sum() == n / 2
    np.testing.assert_allclose(tables[0].rows["rows"][balanced],
                               np.ceil(tables[0].rows["tokens"][balanced] * 8 / 4))


def test_small_ops_fit_to_launch_and_bandwidth():
    long = np.tile(2.0 ** np.arange(0, 16), 4)
    wide = np.repeat([2048.0, 4096, 5120, 8192], 16)
    chip = CHIPS["H100-SXM"]
    seconds = 2e-6 + long * wide * 6 * 1.2 / chip.memory_bandwidth
    rows = {"source": np.full(64, "vidur"), "gpu": np.full(64, "H100-SXM"),
            "op": np.full(64, "add"), "rows": long, "width": wide, "time_us": seconds * 1e6}
    content, errors = fit_elementwise(rows, None, CHIPS)
    entry = Store(content).get(("chip", "H100-SXM", "vllm", "add"))
    assert entry is not None
    assert entry.constants["launch"] == pytest.approx(2e-6, rel=0.1)
    assert entry.constants["traffic"] == pytest.approx(1.2, rel=0.1)
    assert errors["table"]["median_ape_pct"] < 5.0
