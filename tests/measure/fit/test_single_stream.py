import math

import numpy as np
import pytest

from ridgeline.measure.fit.levels import fit_levels, predict_levels
from ridgeline.measure.fit.single_stream import stream_rows
from ridgeline.measure.fit.throughput import load_rows, measured_wave
from ridgeline.measure.truth.reader import read_table
from ridgeline.timing.single_stream import GENERATION, generation_seconds
from ridgeline.truth_data import shipped_file


def sample(name, step):
    table = read_table(shipped_file(f"{name}.csv.xz"))
    return dict(table.take(np.arange(0, len(table), step)).columns)


def test_generation_rows_become_columns_and_fit_better_than_one_efficiency():
    data = stream_rows(sample("single_stream", 6), "generation")
    rows = data.rows
    assert len(rows.seconds) > 80 and set(data.groups) == {"model_name", "chip_name", "source"}
    fitted = fit_levels(generation_seconds, rows, GENERATION)
    guess = predict_levels(generation_seconds, fitted, rows)
    floor = (rows.columns["dense_bytes"] + rows.columns["expert_bytes"]) / rows.columns["bandwidth"]
    simple = floor * np.median(rows.seconds / floor)
    error, plain = (np.median(np.abs(np.log(g / rows.seconds))) for g in (guess, simple))
    assert error < 0.08 < plain


def test_rows_that_cannot_be_read_are_left_out():
    columns = sample("single_stream", 1)
    hybrids = [i for i, d in enumerate(columns["device"]) if "experts on CPU" in d]
    keep = np.array([*hybrids[:3], 0, 1])
    data = stream_rows({k: v[keep] for k, v in columns.items()}, "generation")
    assert len(data.rows.seconds) == 2


def test_throughput_rows_become_waves():
    data = load_rows(sample("serving_throughput", 60))
    assert len(data.rows.seconds) > 40
    assert np.all(data.rows.seconds > 0) and np.all(np.isfinite(data.rows.columns["d_read"]))


def test_runs_far_faster_than_the_roofline_are_set_aside():
    table = sample("serving_throughput", 1)
    odd = [i for i, m in enumerate(table["model"].tolist()) if "opt-6.7b" in m.lower()
           and "GH200" in table["gpu"][i]]
    data = load_rows({k: v[np.array(odd)] for k, v in table.items()})
    # Four of these runs are 25 times faster than the weights and caches can be read.
    assert 0 < np.sum(~data.rows.keep) < len(data.rows.keep) / 2


def test_what_a_wave_took():
    row = {"output_tokens_per_s": 50.0, "osl_tokens": 100.0, "ttft_ms": None}
    assert measured_wave(row, 200.0) == pytest.approx(4.0)
    first = {"output_tokens_per_s": None, "osl_tokens": 1, "ttft_ms": 12.0}
    assert math.isclose(measured_wave(first, 1.0), 0.012)
    assert measured_wave({**first, "osl_tokens": 100.0}, 1.0) is None
