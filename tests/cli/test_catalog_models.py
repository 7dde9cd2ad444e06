import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ridgeline.catalog import list_names
from ridgeline.cli.catalog import catalog_command
from ridgeline.cli.catalog_models import model_json, model_sections
from ridgeline.errors import BadInput, UnknownName
from ridgeline.model.load import load_architecture


def shown(*words: str) -> str:
    done = CliRunner().invoke(catalog_command, ["models", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_name_means_what_it_means_everywhere_else() -> None:
    text = shown("DeepSeek-V3")
    assert "deepseek-ai/DeepSeek-V3" in text and "70,272 B" in text
    for part in ("671,026,419,200", "37,552,297,472", "684,531,386,000",
                 "11,610,068,224 multi-token-prediction layers", "FP8 block scales",
                 "3 x", "58 x", "latent attention", "top 8 of 256 experts of 2,048"):
        assert part in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_windows_and_states_are_told() -> None:
    assert "window of 1,024" in shown("gemma-3-27b-it")
    assert "11.2 GB, 85,248 B a token" in shown("gemma-3-27b-it")
    hybrid = shown("Qwen3-Next-80B-A3B-Instruct")
    assert "constant state" in hybrid and "linear attention (gated delta)" in hybrid
    assert "Mamba-1" in shown("mamba-2.8b")


@pytest.mark.parametrize("name", list_names("models"))
def test_every_model_shows_counts_that_add_up(name: str) -> None:
    found = load_architecture(name)
    data = model_json(found, {})
    assert data["total_params"] == sum(data["params_by_role"].values())
    assert data["checkpoint_params"] == data["total_params"] + sum(
        t["elements"] for t in data["checkpoint_extras"] if t["counted"])
    assert data["active_params"] <= data["total_params"]
    assert sum(row["layers"] for row in data["layers"]) == data["n_layers"]
    sections = dict(model_sections(found, {}))
    assert sum(int(count.split()[0]) for count, _ in sections["layers"]) == found.n_layers
    json.dumps(data, allow_nan=False)


def test_paths_work_and_unknown_names_are_one_line(tmp_path: Path) -> None:
    config = json.loads(shown("Llama-3.1-8B", "--json"))["config"]
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**config, "num_hidden_layers": 4}), "utf-8")
    assert json.loads(shown(str(file), "--json"))["n_layers"] == 4
    with pytest.raises(UnknownName):
        shown("Llama-9-Gigantic")
    with pytest.raises(BadInput, match="no such file"):
        shown("./nope.json")
