"""The simulator beside what a real vLLM scheduler did, from a record of its runs."""

import numpy as np
import pytest

from ridgeline.errors import BadInput
from ridgeline.measure.engine.replay import calibrated, read_record, replay, replay_scheduled


def test_the_simulator_schedules_exactly_as_vllm_does(record):
    runs = replay_scheduled(record("vllm_replay.json"))
    assert len(runs) >= 12 and sum(r.requests for r in runs) > 800
    for run in runs:
        for metric in ("tpot_mean", "ttft_p50", "ttft_p99", "wall"):
            assert abs(run.error(metric)) < 0.002, (run.name, metric)
        assert run.simulated["preemptions"] == run.measured["preemptions"], run.name


def test_the_simulator_serves_as_vllm_did(record):
    runs = replay(record("vllm_replay.json"))
    assert len(runs) >= 10
    errors = {m: [abs(r.error(m)) for r in runs] for m in ("tpot_mean", "ttft_p50", "ttft_p99")}
    # Targets are 5, 10 and 20 % a load; the record was taken on a machine shared with others.
    assert np.median(errors["tpot_mean"]) < 0.05
    assert np.median(errors["ttft_p50"]) < 0.10
    assert np.median(errors["ttft_p99"]) < 0.20
    assert max(abs(r.error("wall")) for r in runs) < 0.15


def test_preemptions_are_of_the_same_size(record):
    runs = replay(record("vllm_replay.json"))
    short = [r for r in runs if "short of cache" in r.name]
    assert len(short) == 2
    for run in runs:
        measured, simulated = run.measured["preemptions"], run.simulated["preemptions"]
        assert (measured > 0) == (simulated > 0) == (run in short)
        assert abs(simulated - measured) <= 0.35 * measured


def test_calibration_reproduces_the_steps_it_saw(record):
    data = record("vllm_replay.json")
    for engine in data["engines"]:
        assert calibrated(data, engine).error < 0.15


def test_the_simulator_serves_as_vllms_http_server_did(record):
    runs = replay(record("vllm_server.json"))
    assert len(runs) >= 6 and sum(r.requests for r in runs) > 200
    errors = {m: [abs(r.error(m)) for r in runs] for m in ("tpot_mean", "ttft_p50", "ttft_p99")}
    # By the wall's clock on a shared machine, so twice the targets of a load in the middle.
    assert np.median(errors["tpot_mean"]) < 0.10
    assert np.median(errors["ttft_p50"]) < 0.20
    assert np.median(errors["ttft_p99"]) < 0.20


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"config": {}}'])
def test_files_that_are_no_records(tmp_path, text):
    file = tmp_path / "record.json"
    file.write_text(text)
    with pytest.raises(BadInput):
        read_record(file)
