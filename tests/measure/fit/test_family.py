"""Fitting a family from rows made with known constants."""

from dataclasses import replace

import numpy as np
import pytest

from ridgeline.machine.chip import Chip
from ridgeline.measure.fit.attention import compact, decode_rows, prefill_rows
from ridgeline.measure.fit.family import fit_family, fit_unit, held_out
from ridgeline.measure.fit.fitting import Training
from ridgeline.measure.fit.plausible import rank_correlation, spread_flags, table_flags
from ridgeline.timing.kernels.attention import (
    DECODE,
    DECODE_CONSTANTS,
    decode_attention_time,
)
from ridgeline.timing.kernels.attention_forms import decode_form
from ridgeline.timing.kernels.family import bent, chip_cases
from ridgeline.timing.kernels.store import Store

H100 = Chip("H100-SXM", "NVIDIA", "Hopper", {"bf16": 989e12, "fp8": 1979e12}, 80e9, 3.35e12,
            n_cores=132, l2_bytes=50e6)
H200 = replace(H100, name="H200-SXM", memory_bandwidth=4.8e12)
CHIPS = {"H100-SXM": H100, "H200-SXM": H200}
TRUE = {"launch": 9e-6, "compute_efficiency": 0.4, "memory_efficiency": 0.85, "depth_time": 4e-7,
        "occupancy": 0.6, "l2_gain": 1.5, "wave_time": 8e-7}
QUICK = Training(hidden=(8, 8), bound=1.5, steps=300, rate=6e-3, knee=0.03)


def made_rows(chips=("H100-SXM", "H200-SXM"), backends=("vllm", "sglang"), noise=0.01):
    """Decode measurements by the form itself, with the constants of `TRUE` and some noise."""
    parts = [(g, b, k, n, q, h, d) for g in chips for b in backends for k in ("bfloat16", "fp8")
             for n in (1, 4, 16, 64, 256) for q, h in ((32, 8), (16, 2), (8, 8), (64, 8))
             for d in (16, 256, 2048, 16384)]
    gpu, backend, kv, batch, heads, kv_heads, length = map(np.array, zip(*parts, strict=True))
    rows = {"gpu": gpu, "backend": backend, "version": np.full(len(gpu), "1.0"),
            "kernel": np.full(len(gpu), "flash"), "kv_dtype": kv, "batch": batch,
            "dtype": np.full(len(gpu), "bfloat16"), "kv_len": length, "q_heads": heads,
            "kv_heads": kv_heads, "head_dim": np.full(len(gpu), 128),
            "window": np.zeros(len(gpu))}
    rng = np.random.default_rng(0)
    seconds = np.empty(len(gpu))
    for name in chips:
        mine = gpu == name
        cases = {"batch": batch[mine], "kv_len": length[mine], "q_heads": heads[mine],
                 "kv_heads": kv_heads[mine], "head_dim": 128.0, "v_head_dim": 128.0,
                 "shared_kv": 0.0, "window": 0.0, "kv_bytes": np.where(kv == "fp8", 1.0, 2.0)[mine],
                 **chip_cases(CHIPS[name], "bf16")}
        seconds[mine] = decode_form(**cases, warm=1.0, **TRUE)["seconds"]
    rows["time_us"] = seconds * 1e6 * np.exp(noise * rng.standard_normal(len(gpu)))
    return rows


def test_constants_come_back():
    rows = decode_rows(made_rows(("H100-SXM",), ("vllm",), noise=0.0), CHIPS)
    fitted = fit_unit(DECODE, rows, rows.tables(), 2, QUICK)
    again = bent(DECODE, fitted.values, fitted.residual, rows.cases, rows.tables(), warm=True)
    assert np.median(np.abs(again / rows.seconds - 1)) < 0.02
    launch = [c.name for c in DECODE_CONSTANTS].index("launch")
    assert fitted.values[:, launch] == pytest.approx([TRUE["launch"]] * 2, rel=0.1)


def test_held_out_rows_are_predicted_without_their_geometry():
    rows = decode_rows(made_rows(("H100-SXM",), ("vllm",)), CHIPS)
    guess = held_out(DECODE, rows, rows.tables(), 2, QUICK)
    assert np.median(np.abs(guess / rows.seconds - 1)) < 0.06
    # A geometry whose times are all wrong cannot teach the fit its own error.
    wrong = replace(rows, seconds=np.where(rows.groups == 0, 5 * rows.seconds, rows.seconds))
    assert np.median((held_out(DECODE, wrong, rows.tables(), 2, QUICK) / wrong.seconds)[
        rows.groups == 0]) < 0.4


def test_same_rows_same_content_and_it_predicts():
    rows = made_rows()
    content, report = fit_family(DECODE, decode_rows(rows, CHIPS), CHIPS, QUICK)
    assert fit_family(DECODE, decode_rows(rows, CHIPS), CHIPS, QUICK)[0] == content
    store = Store(content)
    time = decode_attention_time(H100, batch=64.0, kv_len=16384.0, q_heads=32.0, kv_heads=8.0,
                                 head_dim=128.0, warm=True, store=store)
    at = ((rows["gpu"] == "H100-SXM") & (rows["backend"] == "vllm") & (rows["batch"] == 64)
          & (rows["kv_len"] == 16384) & (rows["q_heads"] == 32) & (rows["kv_dtype"] == "bfloat16"))
    assert float(time.seconds) * 1e6 == pytest.approx(float(rows["time_us"][at][0]), rel=0.1)
    assert time.distance == "table"
    assert set(report.predicted) >= {"table", "architecture"}
    # The other chip of the generation follows from this one, at its own bandwidth.
    far = report.predicted["architecture"] / report.rows["architecture"].seconds
    assert np.median(np.abs(far - 1)) < 0.06
    changed = {**rows, "time_us": rows["time_us"] * 1.001}
    assert decode_rows(changed, CHIPS).seconds[0] != decode_rows(rows, CHIPS).seconds[0]


def test_chips_without_an_entry_are_left_out():
    rows = made_rows()
    assert set(decode_rows(rows, {"H100-SXM": H100}).gpu) == {"H100-SXM"}


def test_prefill_rows_share_the_decode_kernels_one_token_prompts():
    rows = made_rows(("H100-SXM",), ("vllm",))
    rows["seq_len"] = rows.pop("kv_len")
    rows["kernel"] = np.where(np.arange(len(rows["gpu"])) % 2, "vllm_flashinfer_trtllmdecode",
                              "vllm_flashinfer_trtllmprefill")
    assert set(prefill_rows(rows, CHIPS).fields["kernel"]) == {"vllm_flashinfer_trtllmprefill"}


def test_compact_keeps_small_tables_whole_and_large_ones_in_part():
    rows = made_rows()
    few = compact(rows, most=100, keep=40)
    counts = {(g, b): int(((few["gpu"] == g) & (few["backend"] == b)).sum())
              for g in CHIPS for b in ("vllm", "sglang")}
    assert set(counts.values()) == {100}
    assert len(compact(rows, most=10**6)["gpu"]) == len(rows["gpu"])
    assert few["time_us"] == pytest.approx(np.array([float(f"{t:.3g}") for t in few["time_us"]]))
    again = compact(few, most=100, keep=40)
    assert all((again[k] == few[k]).all() for k in few)


def test_implausible_tables_are_named():
    rng = np.random.default_rng(1)
    work = np.geomspace(1, 1000, 200)
    sane, slow = 1e-5 + work * 1e-6, 2e-4 + work * 1e-6
    tables = np.repeat([0, 1, 2, 3], 200)
    seconds = np.concatenate([sane, slow, 1e-5 * np.exp(rng.standard_normal(200)), sane])
    floor = np.concatenate([sane, sane, sane, 3 * sane]) * 0.3
    flags = table_flags(tables, np.zeros(800), seconds, floor * np.where(tables == 3, 2, 1),
                        np.tile(work, 4))
    reasons = [flags[tables == t][0] for t in range(4)]
    assert reasons[0] == ""
    assert "launched from the host" in reasons[1]
    assert "does not rise" in reasons[2] or "faster" in reasons[2]
    assert "faster than the chip's peak rates" in reasons[3]


def test_a_flag_spreads_over_its_collection_only():
    flags = np.array(["", "too fast", "", ""])
    spread = spread_flags(flags, np.array([0, 0, 1, 1]))
    assert spread[0].startswith("same collection") and spread[1] == "too fast"
    assert list(spread[2:]) == ["", ""]


def test_rank_correlation():
    assert rank_correlation(np.arange(9.0), np.exp(np.arange(9.0))) == pytest.approx(1)
    assert rank_correlation(np.arange(9.0), -np.arange(9.0)) == pytest.approx(-1)
