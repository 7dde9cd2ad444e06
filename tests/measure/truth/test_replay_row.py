"""A measured run as one row, and back."""

import numpy as np
import pytest

from ridgeline.errors import BadInput
from ridgeline.measure.truth.replay_row import replay_row, requests_of, statistics
from ridgeline.serving.requests import Requests

MADE = Requests(np.array([0.0, 0.285, 1.5]), np.array([2358, 1034, 7]), np.array([531, 769, 1]))


def test_a_row_says_what_was_sent_and_what_came_of_it():
    ttft, latency = np.array([1.0, 2.0, 3.0]), np.array([54.0, 40.4, 3.0])
    row = replay_row("mine", MADE, ttft, latency, {"gpu": "H100-SXM", "n_gpus": 1}, "client")
    assert row["requests"] == "0 2358 531;285 1034 769;1500 7 1"
    again = requests_of(row["requests"])
    for name in ("arrival", "prompt", "output"):
        np.testing.assert_array_equal(getattr(again, name), getattr(MADE, name))
    assert row["ttft_mean_s"] == 2.0 and row["gpu"] == "H100-SXM" and row["clock"] == "client"
    assert row["tpot_mean_s"] == pytest.approx((0.1 + 0.05) / 2)    # a single token has no TPOT
    assert row["latency_p90_s"] == pytest.approx(np.percentile(latency, 90))


def test_runs_of_single_tokens_have_no_tpot():
    found = statistics(np.ones(2), np.ones(2), np.ones(2))
    assert np.isnan(found["tpot_mean"]) and found["ttft_p90"] == 1.0


@pytest.mark.parametrize("text", ["", "0 1", "0 1 2;3 4", "a b c", "0 1 2;"])
def test_requests_that_are_none_are_refused(text):
    with pytest.raises(BadInput, match="MS PROMPT OUTPUT"):
        requests_of(text)


def test_unknown_clocks_and_missing_times_are_refused():
    times = np.ones(3)
    with pytest.raises(BadInput, match="engine, client"):
        replay_row("mine", MADE, times, times, {}, "sundial")
    with pytest.raises(BadInput, match="3 requests, 2 times"):
        replay_row("mine", MADE, times[:2], times, {})
