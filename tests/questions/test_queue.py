"""Closed forms as a question: textbook values, loads, refusals."""

import json

import pytest
from click.testing import CliRunner

from ridgeline.cli import cli
from ridgeline.errors import BadInput, Infeasible
from ridgeline.questions.queue import QueueAsk, queue, queue_figure


@pytest.mark.parametrize(("ask", "wait"), [
    (QueueAsk(0.5, 1.0), 1.0), (QueueAsk(0.9, 1.0, service_cv=0.0), 4.5),
    (QueueAsk(0.5, 1.0, service_cv=2.0), 2.5), (QueueAsk(1.0, 1.0, servers=2), 1 / 3),
    (QueueAsk(1.0, 1.0, servers=2, service_cv=0.0), 1 / 6)])
def test_textbook_waits(ask, wait):
    answer = queue(ask)
    assert answer.value("wait_s") == pytest.approx(wait)
    assert answer.value("waiting") == pytest.approx(ask.rate * wait)
    assert answer.value("system_s") == pytest.approx(wait + 1.0)


def test_trains_every_20_ms():
    """Mean 10 ms, worst 20, done by 40; load 0.625 at 2,000/s and 64 places."""
    answer = queue(QueueAsk(2000, 0.020, batch=64, train=True))
    assert answer.value("load") == pytest.approx(0.625)
    assert answer.value("wait_s") == pytest.approx(0.010, rel=0.01)
    assert answer.value("light_worst_s") == 0.020
    assert answer.value("system_s") <= 0.040
    prompt = queue(QueueAsk(2000, 0.020, batch=64))
    assert prompt.value("wait_s") != answer.value("wait_s")


def test_waits_grow_with_load_and_the_derivation_agrees():
    answer = queue(QueueAsk(3.0, 0.1, service_cv=0.5))
    waits = [row[2] for row in answer.tables[0].rows]
    assert waits == sorted(waits)
    assert answer.derivation[0].to_dict()
    assert list(queue_figure(answer).series[0].y) == waits


def test_a_growing_queue_is_infeasible_and_says_what_would_do():
    with pytest.raises(Infeasible, match="3 servers, or below 20"):
        queue(QueueAsk(25.0, 0.1, servers=2))
    with pytest.raises(Infeasible, match="batches of 81"):
        queue(QueueAsk(4000, 0.020, batch=64))


@pytest.mark.parametrize("wrong", [
    {"rate": 0.0}, {"rate": float("nan")}, {"service": -1.0}, {"service": float("inf")},
    {"servers": 0}, {"batch": 0}, {"batch": 10**9}, {"service_cv": -1.0},
    {"batch": 4, "servers": 2}])
def test_impossible_queues_are_refused(wrong):
    with pytest.raises(BadInput):
        QueueAsk(**{"rate": 1.0, "service": 0.1, **wrong})


def test_the_command_prints_json_text_and_one_line_errors(tmp_path):
    def run(*args):
        return CliRunner().invoke(cli, ["queue", *args])

    plot = tmp_path / "q.svg"
    found = run("--rate", "0.9/s", "--service", "1s", "--json", "--plot", str(plot))
    assert json.loads(found.output)["answer"]["wait_s"]["value"] == pytest.approx(9.0)
    assert plot.read_text().startswith("<svg")
    text = run("--rate", "70/s", "--service", "100ms", "--servers", "8", "--explain")
    assert text.exit_code == 0 and "M/M/8" in text.output
    for args in (["--rate", "1/s"], ["--rate", "x", "--service", "1s"],
                 ["--rate", "2/s", "--service", "1s"]):
        failed = run(*args)
        assert failed.exit_code != 0 and "\n" not in str(failed.exception)
