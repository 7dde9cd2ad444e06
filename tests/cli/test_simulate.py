"""`ridgeline simulate` end to end: JSON, files, one-line errors."""

import csv
import json

import pytest
from click.testing import CliRunner

from ridgeline.cli import cli

BASE = ["simulate", "Llama-3.1-8B", "--on", "H100-SXM"]


def run(*args):
    return CliRunner().invoke(cli, [*BASE, *args])


def test_json_and_files(tmp_path):
    rows, timeline, plot = (tmp_path / n for n in ("r.csv", "t.trace.json", "p.svg"))
    result = run("--rate", "300/min", "--requests", "100", "--prompt", "500", "--output", "50",
                 "--json", "--requests-out", str(rows), "--timeline", str(timeline),
                 "--plot", str(plot), "--ttft", "500ms")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.output)["answer"]
    assert answer["requests"]["value"] == 100 and answer["ttft_p99_s"]["unit"] == "s"
    with rows.open() as file:
        read = list(csv.DictReader(file))
    assert len(read) == 100
    mean = sum(float(row["ttft_s"]) for row in read) / 100
    assert mean == pytest.approx(answer["ttft_mean_s"]["value"], rel=1e-6)
    events = json.loads(timeline.read_text())["traceEvents"]
    assert {"b", "e", "C"} <= {event["ph"] for event in events}
    assert plot.read_text().startswith("<svg")


def test_text_fits_100_columns():
    result = run("--concurrency", "4", "--requests", "40")
    assert result.exit_code == 0
    assert max(len(line) for line in result.output.splitlines()) <= 100
    assert "closed loop of 4" in result.output


@pytest.mark.parametrize("args", [
    ["--rate", "fast"], ["--rate", "5 GB"], ["--requests", "1.5"], ["--trace", "none.csv"],
    ["--rate", "1/s", "--requests-out", "x.xls"], ["--rate", "1/s", "--timeline", "x.doc"],
    ["--rate", "1/s", "--plot", "x.doc"], ["--ttft", "soon"], ["--seed", "-1"]])
def test_bad_flags_are_refused_before_any_work(args):
    result = run(*args)
    assert result.exit_code != 0
    assert "\n" not in str(result.exception) and str(result.exception)
