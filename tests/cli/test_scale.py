import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ridgeline.cli.scale import scale
from ridgeline.errors import BadInput


def run(*arguments: str) -> str:
    done = CliRunner().invoke(scale, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_json_has_the_promised_keys() -> None:
    found = json.loads(run("--compute", "8.4e23", "--json"))["answer"]
    assert {"params", "tokens", "flop", "loss", "tokens_per_param", "saving_flop"} <= set(found)


def test_text_explains() -> None:
    text = run("--compute", "8.4e23", "--explain")
    assert "87,664,756,945 param" in text
    assert "optimal_params = " in text


def test_plots(tmp_path: Path) -> None:
    for name, flags in {"iso": ["--compute", "1e23"], "trends": ["--trends", "algorithms"],
                        "over": ["--params", "13B", "--inference-tokens", "2T"]}.items():
        file = tmp_path / f"{name}.svg"
        run(*flags, "--plot", str(file))
        assert "<svg" in file.read_text(encoding="utf-8")


def test_trends_take_no_budget() -> None:
    with pytest.raises(BadInput, match="compute"):
        run("--trends", "algorithms", "--compute", "1e23")
