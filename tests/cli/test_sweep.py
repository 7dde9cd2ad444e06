"""`ridgeline sweep` as it is typed."""

import json
import shlex

import pytest
from click.testing import CliRunner

from ridgeline.cli.sweep import sweep
from ridgeline.errors import BadInput

SMALL = """
question = "fit"
model = "Llama-3.1-8B"
machine = ["RTX-4090", "H100-SXM"]
context = {from = 1000, to = 100000, steps = 3, scale = "log"}
"""


def run(text):
    return CliRunner().invoke(sweep, shlex.split(text), catch_exceptions=False)


@pytest.fixture
def small(tmp_path):
    file = tmp_path / "small.toml"
    file.write_text(SMALL, encoding="utf-8")
    return file


def test_the_file_says_the_question_and_the_folder_is_beside_it(small):
    done = run(f"{small} --jobs 1 --json")
    found = json.loads(done.output)
    assert found["answer"]["rows"]["value"] == found["answer"]["answered"]["value"] == 6
    assert found["scenario"]["question"] == "fit"
    assert (small.parent / "small-sweep" / "rows.parquet").exists()
    text = run(f"{small} --jobs 1").output
    assert all(len(line) <= 100 or "rows.parquet" in line for line in text.splitlines())


def test_a_picture(small):
    figure = small.parent / "room.svg"
    run(f"{small} --jobs 1 --plot {figure} --y kv_pool_bytes")
    assert figure.read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.parametrize(("flags", "said"), [
    ("--jobs 0", "--jobs must be a whole number"), ("--limit nine", "--limit must be"),
    ("--limit 5", "6 combinations"), ("--x context", "give --plot FILE"),
    ("--out ''", "--out needs a name"), ("--plot ''", "--plot needs a file name"),
    ("--plot room.doc", "must end in"), ("--question plan", "unknown question"),
    ("--on-ray ''", "address of a Ray cluster"), ("--out small.toml", "is a file"),
])
def test_flags_that_make_no_sense_are_refused_before_a_row(small, monkeypatch, flags, said):
    monkeypatch.chdir(small.parent)
    with pytest.raises(BadInput, match=said):
        run(f"{small} {flags}")
    assert {p.name for p in small.parent.iterdir()} == {"small.toml"}


def test_its_help_shows_a_scenario_and_commands():
    text = run("--help").output
    assert "prompt = {from = 100" in text and "ridgeline sweep scenario.toml" in text
