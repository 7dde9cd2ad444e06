"""Measured runs served again: within the promised errors, by the clock of the measurement."""

import dataclasses

import numpy as np
import pytest

from ridgeline.measure.truth.reader import read_table
from ridgeline.measure.truth.replay_row import replay_row
from ridgeline.measure.validate.run import validate_files, validate_table
from ridgeline.measure.validate.serving_replay import predict, waited_unseen
from ridgeline.serving.load import Load, generate_requests
from ridgeline.serving.scheduler import Scheduler
from ridgeline.serving.simulator import simulate_replica
from ridgeline.timing.step_table import Grid, StepTable
from ridgeline.truth_data import shipped_file

PROMISED = ("llama-8b/pro6000", "qwen-30b-a3b/2xpro6000")
# The two cards of the third run exchange at a rate that nobody published; the kernels of the fourth
# run's card are pooled from others. Both are held to what they are.
HELD = {"qwen-32b/2xpro6000": 0.27, "llama-8b/rtx4090": 0.24}


@pytest.fixture(scope="module")
def table():
    return read_table(shipped_file("serving_replay.csv.xz"))


@pytest.mark.parametrize("run", PROMISED)
def test_measured_runs_replay_within_10_percent_in_the_mean_and_15_at_p90(table, run):
    one = table.take(table.columns["run"] == run)
    report = validate_table(one)
    assert report.predicted == 1
    for metric, (measured, predicted, _) in report.points.items():
        most = 0.15 if metric.endswith("p90") else 0.10
        assert abs(predicted[0] / measured[0] - 1) < most, metric
    for group in report.groups:
        assert group.coverage80_pct == 100.0


@pytest.mark.parametrize("run", HELD)
def test_the_other_runs_stay_as_close_as_they_are_and_mostly_inside_their_intervals(table, run):
    report = validate_table(table.take(table.columns["run"] == run))
    for metric, (measured, predicted, _) in report.points.items():
        assert abs(predicted[0] / measured[0] - 1) < HELD[run], metric
    assert np.mean([group.coverage80_pct for group in report.groups]) >= 80


def test_rows_that_cannot_be_served_say_why(table):
    rows = dict(table.take(np.array([0] * 4)).columns)
    rows["clock"] = np.array(["sundial", "engine", "engine", "engine"], dtype=object)
    rows["gpu"] = np.array(["RTX-PRO-6000", "RTX-PRO-600O", "RTX-PRO-6000", "RTX-3060-12GB"],
                           dtype=object)
    rows["requests"] = np.array([rows["requests"][0]] * 2 + ["0 1"] + [rows["requests"][0]],
                                dtype=object)
    bad = dataclasses.replace(table.take(np.array([0] * 4)), columns=rows)
    reasons = predict(bad, lambda done: None)["ttft_mean"].reason
    for reason, said in zip(reasons, ("clock", "RTX-PRO-6000", "MS PROMPT", "fit"), strict=True):
        assert said in reason


def test_a_file_of_ones_own_is_told_by_its_columns(tmp_path):
    requests = generate_requests(Load(300, 40, 60, rate=20.0), seed=1)
    row = replay_row("mine", requests, np.full(60, 0.1), np.full(60, 1.0), {
        "gpu": "H100-SXM", "n_gpus": 1, "engine": "vllm", "engine_version": "0.19.0",
        "model": "Llama-3.1-8B"}, "client")
    file = tmp_path / "mine.csv"
    file.write_text(",".join(row) + "\n" + ",".join(str(v) for v in row.values()) + "\n")
    (report,) = validate_files([file])
    assert report.schema == "serving_replay" and report.predicted == 1
    assert set(report.points) == {f"{name}_{part}" for name in ("ttft", "tpot", "latency")
                                  for part in ("mean", "p90")}


def test_the_engine_takes_notice_as_a_step_ends():
    ends, flat, far = np.array([1.0, 1e5]), np.zeros(1), np.array([0.0, 1e6])
    same = StepTable(*(Grid(ends, y, np.zeros((2, len(y)))) for y in (flat, far, far, flat)), 0.5)
    requests = generate_requests(Load(10, 30, 40, rate=1.0), seed=2)
    for overlap in (False, True):
        run = simulate_replica(same, requests, Scheduler(64, 2, overlap=overlap, detail=True))
        assert np.all(np.diff(run.timeline[:, 0]) >= 0.5 - 1e-9)
        waited = waited_unseen(run)
        assert np.all((waited >= 0) & (waited <= 0.5 + 1e-9))
        assert np.all(run.arrival + waited <= run.start + 1e-9)
        seen = run.arrival + waited
        on_an_end = np.min(np.abs(seen[:, None] - run.timeline[None, :, 0]), axis=1) < 1e-9
        assert np.all(on_an_end | (waited == 0))
        assert on_an_end.mean() > 0.8
