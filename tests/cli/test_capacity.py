"""`ridgeline capacity` end to end."""

import json

import pytest
from click.testing import CliRunner

from ridgeline.cli import cli

BASE = ["capacity", "Llama-3.1-8B", "--on", "H100-SXM", "--output", "50"]


def run(*args):
    return CliRunner().invoke(cli, [*BASE, *args])


def test_json_table_and_plot(tmp_path):
    plot = tmp_path / "load.svg"
    result = run("--tpot", "30ms", "--requests", "300", "--json", "--plot", str(plot))
    assert result.exit_code == 0, result.output
    answer = json.loads(result.output)
    assert answer["answer"]["rate_per_s"]["unit"] == "1/s"
    assert answer["tables"][0]["name"] == "load_curve"
    assert plot.read_text().startswith("<svg")


def test_a_rate_asks_for_replicas_and_text_fits_100_columns():
    result = run("--tpot", "30ms", "--rate", "90/s", "--requests", "1000")
    assert result.exit_code == 0 and "need" in result.output
    assert max(len(line) for line in result.output.splitlines()) <= 100


@pytest.mark.parametrize("args", [
    [], ["--ttft", "soon"], ["--ttft", "1s", "--percentile", "many"], ["--ttft", "0s"],
    ["--ttft", "1s", "--find", "money"], ["--ttft", "1s", "--requests", "inf"],
    ["--ttft", "1s", "--percentile", "nan"], ["--ttft", "1s", "--trace", "nope.csv"]])
def test_bad_flags_get_one_line(args):
    result = run(*args)
    assert result.exit_code != 0
    assert str(result.exception) and "\n" not in str(result.exception)
