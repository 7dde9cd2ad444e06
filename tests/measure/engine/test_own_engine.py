"""An engine of the user's: a file for its defaults, a calibration for its times, every command."""

import importlib.resources
import json

import pytest

import ridgeline
from ridgeline.errors import BadInput
from ridgeline.timing.engine import engine_content

FILES = importlib.resources.files("ridgeline")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A catalog with the engine's file, and the shipped constants with costs of its own."""
    text = (FILES / "catalog/data/engines/vllm.toml").read_text().replace(
        'name = "vllm"', 'name = "my-engine"')
    (tmp_path / "my-engine.toml").write_text(
        "\n".join(line for line in text.splitlines() if not line.startswith("aliases")))
    content = json.loads((FILES / "timing/data/engines.json").read_text())
    content["engines"]["my-engine"] = {**content["engines"]["vllm"], "step": 0.1}
    (tmp_path / "engines.json").write_text(json.dumps(content))
    monkeypatch.setenv("RIDGELINE_CATALOG", str(tmp_path / "my-engine.toml"))
    engine_content.cache_clear()
    yield tmp_path
    engine_content.cache_clear()


def test_without_measurements_its_times_are_refused_in_one_line(own):
    assert ridgeline.fit("Llama-3.1-8B", "H100", engine="my-engine").value("fits")
    with pytest.raises(BadInput, match="my-engine") as refused:
        ridgeline.estimate("Llama-3.1-8B", "H100", engine="my-engine")
    assert "\n" not in str(refused.value)


def test_calibrated_it_answers_every_question_by_its_own_costs(own, monkeypatch):
    monkeypatch.setenv("RIDGELINE_CALIBRATION", str(own))
    engine_content.cache_clear()
    asked = {"prompt": 256, "output": 32}
    slow = ridgeline.estimate("Llama-3.1-8B", "H100", engine="my-engine", **asked)
    fast = ridgeline.estimate("Llama-3.1-8B", "H100", engine="vllm", **asked)
    assert slow.value("tpot_s") > fast.value("tpot_s") + 0.05
    assert ridgeline.roofline("Llama-3.1-8B", "H100", engine="my-engine").tables
    run = ridgeline.simulate("Llama-3.1-8B", "H100", engine="my-engine", requests=4, **asked)
    assert run.value("tpot_mean_s") > 0.05
