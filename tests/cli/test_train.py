import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ridgeline.cli.train import train
from ridgeline.errors import BadInput

RUN = ["Llama-3.1-8B", "--on", "64xH100-SXM", "--tokens", "1T", "--seq", "8192", "--batch", "4M"]


def run(*arguments: str) -> str:
    done = CliRunner().invoke(train, [*RUN, *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_json_has_the_promised_keys() -> None:
    answer = json.loads(run("--zero", "3", "--recompute", "full", "--json"))["answer"]
    assert {"step_s", "tokens_per_s_per_chip", "mfu", "hfu", "bubble_share", "memory_bytes",
            "fits", "days", "usd", "mwh", "flop"} <= set(answer)


def test_explain_and_plot(tmp_path: Path) -> None:
    picture = tmp_path / "step.svg"
    text = run("--zero", "3", "--recompute", "full", "--explain", "--plot", str(picture))
    assert "run_seconds = flop / (n * C * mfu * g_run)" in text and "Llama 3 report" in text
    assert picture.read_text().startswith("<svg")
    with pytest.raises(BadInput, match="svg"):
        run("--plot", "step.docx")


def test_search_finds_a_layout_and_takes_no_degrees() -> None:
    assert json.loads(run("--search", "--json"))["answer"]["fits"]["value"] is True
    with pytest.raises(BadInput, match="leave out --tp, --zero"):
        run("--search", "--tp", "2", "--zero", "3")


def test_adapters(tmp_path: Path) -> None:
    answer = json.loads(run("--adapter-rank", "16", "--frozen", "nf4", "--recompute", "full",
                            "--json"))["answer"]
    assert answer["trained_params"]["value"] < 1e8


def test_what_does_not_fit_exits_3() -> None:
    done = CliRunner().invoke(train, ["Llama-3.1-70B", "--on", "8xH100-SXM", "--tokens", "1T"])
    assert done.exit_code == 3


@pytest.mark.parametrize(("flags", "says"), [
    (["--tp", "3"], "Nearest valid: tp"), (["--tp", "two"], "tp must be a number"),
    (["--schedule", "interleaved"], "--vp of 2"), (["--tokens", "-1"], "positive"),
])
def test_nonsense_is_refused(flags: list[str], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        run(*flags)
