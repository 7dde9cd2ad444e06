"""`ridgeline plan` as it is typed."""

import json
import subprocess
import sys

import pytest

SMALL = ["--on", "2xH100-SXM", "--prompt", "1000", "--output", "200", "--batches", "1,8,64"]


def run(*args):
    return subprocess.run([sys.executable, "-m", "ridgeline", "plan", *args], capture_output=True,
                          text=True, check=False)


def test_json_text_plot_and_rows(tmp_path):
    figure, rows = tmp_path / "frontier.svg", tmp_path / "rows.parquet"
    done = run("Llama-3.1-8B", *SMALL, "--tpot", "30ms", "--json", "--plot", str(figure), "--save",
               str(rows))
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["question"] == "plan"
    assert data["answer"]["best"]["tpot_s"] <= 0.03
    assert figure.read_text(encoding="utf-8").startswith("<svg")
    assert rows.stat().st_size > 1000
    text = run("Llama-3.1-8B", *SMALL, "--tpot", "30ms", "--explain")
    assert text.returncode == 0
    assert all(len(line) <= 100 for line in text.stdout.splitlines())
    assert "Frontier" in text.stdout
    assert "usd_per_mtok = " in text.stdout or "Price of a million tokens" in text.stdout


@pytest.mark.parametrize(("args", "code", "said"), [
    (["--on", "2xH100-SXM", "--rate", "5/s", "--users", "9"], 2, "not both"),
    (["--on", "2xH100-SXM", "--tpot", "quick"], 2, "--tpot: cannot read"),
    (["--on", "2xH100-SXM", "--budget", "forty"], 2, "--budget is written like"),
    (["--on", "2xH100-SXM", "--batches", "1,x"], 2, "--batches: cannot read"),
    (["--on", "2xH100-SXM", "--users", "1.5"], 2, "--users:"),
    (["--on", "-3xH100-SXM"], 2, "not a number of chips"),
    (["--on", "2xH100-SXM", "--plot", "frontier.doc"], 2, ".svg"),
    (["--on", "2xH100-SXM", "--engine", ","], 2, "--engine needs at least one"),
    (["--on", "2xH100-SXM", "--tpot", "1us"], 3, "physical floor"),
    (["--on", "2xH100-SXM", "--rate", "90000/s"], 3, "the load needs"),
])
def test_refusals_are_one_line(args, code, said):
    done = run("Llama-3.1-8B", *args)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr
