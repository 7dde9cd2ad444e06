"""`ridgeline retrieve` and `ridgeline think` as a person types them."""

import json

import pytest
from click.testing import CliRunner

from ridgeline.cli.retrieve import retrieve
from ridgeline.cli.think import think
from ridgeline.errors import BadInput


def answered(command, *args):
    done = CliRunner().invoke(command, args, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_retrieve_json():
    told = json.loads(answered(retrieve, "--docs", "10M", "--dim", "768", "--index", "ivf",
                               "--queries", "50/s", "--json"))
    assert told["question"] == "retrieve"
    assert {"index_bytes", "search_s", "searches_per_s", "recall_at_10", "build_s",
            "search_threads_needed"} <= set(told["answer"])
    assert {t["name"] for t in told["tables"]} == {"stages", "build", "compression", "indexes"}
    assert told["derivation"]


def test_retrieve_text_fits_a_terminal(tmp_path):
    drawn = tmp_path / "grow.svg"
    text = answered(retrieve, "--docs", "1M", "--dim", "128", "--explain", "--plot", str(drawn))
    assert max(map(len, text.splitlines())) <= 100 and "flat_index_bytes" in text
    assert "<svg" in drawn.read_text()


def test_think_json_and_figure(tmp_path):
    told = json.loads(answered(think, "Llama-3.1-8B", "--on", "H100-SXM", "--samples", "4",
                               "--tokens", "100", "--success-rate", "0.2", "--json"))
    assert {"flop", "latency_s", "kv_bytes", "usd", "coverage"} <= set(told["answer"])
    drawn = tmp_path / "think.html"
    text = answered(think, "--routes", "0.8:1,0.2:16", "--plot", str(drawn))
    assert "4.00 x" in text and drawn.is_file()


@pytest.mark.parametrize(("command", "args", "match"), [
    (retrieve, ["--docs", "1M", "--dim", "768", "--plot", "x.gif"], "must end in"),
    (retrieve, ["--docs", "1M", "--dim", "768", "--queries", "-1/s"], "queries must be"),
    (retrieve, ["--dim", "768"], "number of docs"),
    (think, ["Llama-3.1-8B"], "the other way round"),
    (think, ["--routes", "1:1", "--plot", "x"], "must end in")])
def test_bad_input_is_one_line(command, args, match):
    done = CliRunner().invoke(command, args)
    assert isinstance(done.exception, BadInput)
    assert match in str(done.exception) and "\n" not in str(done.exception)
