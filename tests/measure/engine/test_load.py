"""The load on a server, well-behaved and not."""

import json
import math
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import ridgeline
from ridgeline.errors import BadInput, RidgelineError
from ridgeline.measure.engine.client import Endpoint
from ridgeline.measure.engine.compare import predict_run, predicted_table
from ridgeline.measure.engine.load import run_load
from ridgeline.measure.engine.protocol import parse_protocol, planned_requests
from ridgeline.measure.engine.record import FAILURES
from ridgeline.measure.engine.result import engine_answer, summarise, write_json, write_parquet
from ridgeline.scenario import Scenario

PACE = 0.004


def load(server, model="good", protocol="closed:4", requests=12, output=8, warmup=0, **fields):
    how = parse_protocol(protocol)
    plan = planned_requests(how, requests=requests, prompt=20, output=output)
    return run_load(Endpoint(server.url, model, **fields), how, plan, warmup=warmup)


def test_a_good_server_is_measured_exactly(server):
    outcome = load(server)
    numbers = summarise(outcome)
    assert (numbers["requests"], numbers["served"], numbers["failed"]) == (12, 12, 0)
    assert numbers["output_tokens"] == 12 * 8
    assert all(r.basis == "usage" and r.prompt_tokens == 20 for r in outcome.records)
    # The server waits PACE before and after each token; nothing can be faster.
    assert PACE <= numbers["ttft_mean"] < 20 * PACE
    assert PACE <= numbers["tpot_mean"] < 5 * PACE
    assert numbers["latency_mean"] >= 8 * PACE
    assert numbers["ttft_p50"] <= numbers["ttft_p90"] <= numbers["ttft_p99"]


def test_a_closed_loop_holds_its_concurrency(server):
    load(server, protocol="closed:4", requests=16)
    assert server.most_in_flight == 4


def test_five_hundred_streams_at_once(server):
    outcome = load(server, "ids", protocol="closed:500", requests=500, output=6)
    assert summarise(outcome)["served"] == 500 and server.most_in_flight > 100
    assert all(r.output_tokens == 6 for r in outcome.records)
    seen = outcome.overhead
    assert seen.events == 3000 and 0 < seen.cpu_per_event < 0.01
    assert 0 <= seen.lag_p50 <= seen.lag_p99 <= seen.lag_max


def test_requests_carry_what_fixes_their_length(server):
    load(server, requests=2)
    first, second = server.seen[:2]
    assert first["path"] == "/v1/completions" and first["stream"] is True
    assert first["ignore_eos"] and first["stream_options"] == {"include_usage": True}
    assert len(first["prompt"]) == 20 and first["prompt"] != second["prompt"]
    load(server, requests=1, plain=True, chat=True, key="secret", extra={"top_p": 0.5})
    asked = server.seen[-1]
    assert asked["path"] == "/v1/chat/completions" and "ignore_eos" not in asked
    assert asked["top_p"] == 0.5 and "Bearer secret" in asked["head"]


def test_an_open_load_keeps_its_arrivals(server):
    how = parse_protocol("rate:100")
    plan = planned_requests(how, requests=30, prompt=5, output=2, seed=3)
    outcome = run_load(Endpoint(server.url, "good"), how, plan, warmup=1)
    sent = np.array([r.sent for r in outcome.records])
    assert np.all(sent >= plan.arrival - 1e-3)
    assert outcome.overhead.late_p99 == pytest.approx(
        float(np.percentile(sent - plan.arrival, 99)), abs=1e-6)
    assert len(outcome.warmup) == 1


def test_a_trace_is_replayed_at_its_times_and_lengths(server, tmp_path):
    file = tmp_path / "trace.csv"
    file.write_text("arrival,prompt,output\n0,5,3\n0.2,7,2\n0.4,9,4\n")
    how = parse_protocol(f"trace:{file}")
    plan = planned_requests(how, requests=None, prompt=1, output=1, speed=2.0)
    outcome = run_load(Endpoint(server.url, "good"), how, plan, warmup=0)
    assert [(r.prompt, r.output, r.output_tokens) for r in outcome.records] == [
        (5, 3, 3), (7, 2, 2), (9, 4, 4)]
    assert all(r.sent >= at - 1e-3 for r, at in zip(outcome.records, (0, 0.1, 0.2), strict=True))


@pytest.mark.parametrize(("protocol", "engine"), [
    ("closed:8", "vllm"), ("rate:20", "vllm"), ("closed:2", "llamacpp")])
def test_predictions_stand_beside_measurements(server, protocol, engine):
    how = parse_protocol(protocol)
    plan = planned_requests(how, requests=24, prompt=64, output=8)
    scenario = Scenario.from_fields({"model": "Llama-3.2-1B", "machine": "RTX-4090",
                                     "engine": engine})
    predicted = predict_run(scenario, how, plan)
    assert all(0 < q.low <= q.value <= q.high for q in predicted.values())
    outcome = run_load(Endpoint(server.url, "good"), how, plan, warmup=0)
    table = predicted_table(predicted, summarise(outcome))
    assert {"tpot mean", "ttft mean", "output tokens per s"} <= {row[0] for row in table.rows}
    for name, value, measured, error, inside in table.rows:
        assert error == pytest.approx(100 * (value.value / measured.value - 1)), name
        assert inside == (value.low <= measured.value <= value.high)


@pytest.mark.parametrize(("model", "failure"), [
    ("500", "http"), ("cut", "cut"), ("garbage", "garbage"), ("error", "error"),
    ("empty", "empty"), ("nohttp", "garbage")])
def test_every_failure_has_its_name(server, model, failure):
    outcome = load(server, model, requests=3)
    assert [r.failure for r in outcome.records] == [failure] * 3
    assert failure in FAILURES and all(r.detail for r in outcome.records)
    answer = engine_answer(outcome, {"url": server.url, "model": model})
    assert answer["failed"] == 3 and answer.tables[0].rows[0][:2] == (failure, 3)
    assert math.isnan(summarise(outcome)["ttft_mean"])
    json.dumps(answer.to_dict(), allow_nan=False)


def test_a_stalled_stream_is_given_up(server):
    begun = time.perf_counter()
    outcome = load(server, "stall", requests=2, stall=0.3)
    assert [r.failure for r in outcome.records] == ["stall", "stall"]
    assert time.perf_counter() - begun < 4
    slow = load(server, "good", requests=1, output=200, timeout=0.2)
    assert slow.records[0].failure == "timeout"


def test_a_run_goes_on_beside_failures(server):
    outcome = load(server, "mixed", requests=40, protocol="closed:8")
    assert len(outcome.records) == 40
    found = {r.failure for r in outcome.records}
    assert {"", "http", "cut", "garbage", "error"} == found
    numbers = summarise(outcome)
    assert numbers["served"] + numbers["failed"] == 40 and numbers["ttft_mean"] > 0


@pytest.mark.parametrize(("model", "words"), [("fewer", "claims 4 tokens in 8 chunks"),
                                              ("more", "80 tokens, at most 8")])
def test_lies_about_tokens_are_named_and_not_believed(server, model, words):
    outcome = load(server, model, requests=2)
    assert all(words in r.lies[0] for r in outcome.records)
    assert [r.output_tokens for r in outcome.records] == [8, 8]
    assert engine_answer(outcome, {})["lies"] == 2


@pytest.mark.parametrize(("model", "basis"), [("ids", "token ids"), ("nousage", "chunks")])
def test_tokens_are_counted_by_the_best_there_is(server, model, basis):
    outcome = load(server, model, requests=2)
    assert all((r.basis, r.output_tokens) == (basis, 8) for r in outcome.records)


def test_retries_are_counted_and_their_wait_kept(server):
    outcome = load(server, "flaky", requests=1, protocol="closed:1", retries=3)
    record = outcome.records[0]
    assert record.served and record.attempts == 3
    assert summarise(outcome)["retried"] == 1 and record.ttft >= PACE


def test_a_connection_closed_before_the_answer_is_opened_anew_and_counted(server):
    outcome = load(server, "closing", requests=3, protocol="closed:1")
    assert all(r.served and r.attempts == 1 for r in outcome.records)
    assert [r.reconnects for r in outcome.records] == [1, 0, 0]
    assert engine_answer(outcome, {})["reconnects"] == 1


def test_the_same_from_python(server):
    answer = ridgeline.measure_engine(server.url, model="ids", protocol="closed:2", requests=4,
                                      prompt=6, output=5, key="k")
    assert answer["served"] == 4 and answer.value("ttft_mean_s") >= PACE
    assert "k" in server.seen[-1]["head"] and len(server.seen[-1]["prompt"]) == 6


def test_nobody_there(server):
    with pytest.raises(RidgelineError, match="connect"):
        run_load(Endpoint("http://127.0.0.1:9", "m"), parse_protocol("closed:1"),
                 planned_requests(parse_protocol("closed:1"), requests=1, prompt=2, output=2))
    outcome = run_load(Endpoint("http://127.0.0.1:9", "m"), parse_protocol("closed:1"),
                       planned_requests(parse_protocol("closed:1"), requests=2, prompt=2,
                                        output=2), warmup=0)
    assert [r.failure for r in outcome.records] == ["connect", "connect"]


@pytest.mark.parametrize("url", ["", "localhost", "ftp://x", "http://", "http://a:99999999"])
def test_addresses_that_are_none(url):
    with pytest.raises(BadInput, match="address"):
        run_load(Endpoint(url), parse_protocol("closed:1"),
                 planned_requests(parse_protocol("closed:1"), requests=1, prompt=2, output=2))


@pytest.mark.parametrize("text", ["", "closed", "closed:0", "closed:x", "closed:1.5", "rate:0",
                                  "rate:-1", "rate:nan", "burst:4", "trace:", "closed:1e9"])
def test_protocols_that_are_none(text):
    with pytest.raises(BadInput):
        parse_protocol(text)


def test_files_hold_every_request(server, tmp_path):
    import duckdb

    outcome = load(server, "mixed", requests=10)
    settings = {"url": server.url, "model": "mixed", "protocol": "closed:4"}
    write_json(outcome, settings, tmp_path / "run.json")
    data = json.loads((tmp_path / "run.json").read_text())
    assert len(data["requests"]) == 10 and data["overhead"]["events"] > 0
    file = write_parquet(outcome, tmp_path / "run.parquet")
    rows = duckdb.sql(f"SELECT index, failure, len(arrivals) FROM '{file}' ORDER BY index"
                      ).fetchall()
    assert rows == [(r.index, r.failure, len(r.arrivals)) for r in outcome.records]


def test_interrupting_keeps_what_is_done(server, tmp_path):
    out = tmp_path / "run.json"
    command = [sys.executable, "-m", "ridgeline", "measure", "engine", server.url, "--model",
               "good", "--protocol", "closed:2", "--requests", "100000", "--output", "4",
               "--out", str(out), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        while len(server.seen) < 20 and run.poll() is None:
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        text, errors = run.communicate(timeout=20)
    assert run.returncode == 130, errors
    answer = json.loads(text)["answer"]
    assert answer["complete"]["value"] is False and answer["served"]["value"] >= 10
    assert len(json.loads(out.read_text())["requests"]) == answer["requests"]["value"]
    assert b"Traceback" not in errors
