"""The fit of attention in mixed steps finds the constants behind made-up measurements."""

import numpy as np
import pytest

from ridgeline.catalog import load_chip
from ridgeline.measure.fit.attention_mixed import cases_of, fit_mixed
from ridgeline.timing.kernels.attention_mixed import mixed_form

MADE = {"launch": 4e-6, "score_time": 1.5e-10, "block_time": 3e-6, "crowding": 0.2,
        "memory_efficiency": 0.8}
CHIPS = {name: load_chip(name) for name in ("RTX-PRO-6000", "RTX-4090")}


def rows_of(noise=0.0, gpus=("RTX-PRO-6000", "RTX-4090"), seed=0):
    batch, length, q_heads, gpu = (a.ravel() for a in np.meshgrid(
        2.0 ** np.arange(0, 9), 2.0 ** np.arange(5, 14), [16.0, 32.0], np.arange(len(gpus))))
    rows = {"gpu": np.array(gpus)[gpu.astype(int)], "batch": batch, "kv_len": length,
            "q_heads": q_heads, "kv_heads": q_heads / 4, "head_dim": np.full(len(batch), 128.0),
            "time_us": np.ones(len(batch))}
    cases = {k: v for k, v in cases_of(rows, CHIPS).items() if k != "seconds"}
    error = np.random.default_rng(seed).normal(0, noise, len(batch))
    return {**rows, "time_us": 1e6 * mixed_form(**cases, **MADE) * np.exp(error)}


def test_constants_of_a_made_table_are_found_again():
    content, errors = fit_mixed(rows_of(), CHIPS)
    for name in ("*", *CHIPS):
        assert content["constants"][name] == pytest.approx(MADE, rel=0.02)
    assert errors["table"]["median_ape_pct"] < 0.5 and content["rows"]["RTX-4090"] == 162


def test_noise_becomes_the_width_of_intervals_and_the_fit_repeats():
    rows = rows_of(noise=0.1)
    content, errors = fit_mixed(rows, CHIPS)
    assert content == fit_mixed(rows, CHIPS)[0]
    low, high = content["spreads"]["RTX-PRO-6000"][1:3]
    assert low == pytest.approx(-0.128, abs=0.04) and high == pytest.approx(0.128, abs=0.04)
    assert 70 < errors["table"]["coverage80_pct"] < 90


def test_machines_the_catalog_lacks_are_left_out():
    one = rows_of(gpus=("RTX-PRO-6000",))
    with_other = {k: np.concatenate([v, v[:5]]) for k, v in one.items()}
    with_other["gpu"] = np.array([*one["gpu"], *["unheard-of"] * 5])
    assert fit_mixed(with_other, CHIPS) == fit_mixed(one, CHIPS)
