"""Finding a model by any spelling, file or folder."""

import json
import subprocess
import sys
import time

import pytest

from ridgeline.errors import BadInput, UnknownName
from ridgeline.model.load import bundled_models, load_architecture

TINY = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}


@pytest.mark.parametrize("name", [
    "Llama-3.1-70B", "meta-llama/Llama-3.1-70B", "llama 3.1 70b", "LLAMA_3.1_70B",
    "llama-3.1-70b-instruct", "meta-llama__Llama-3.1-70B"])
def test_spellings(name):
    assert load_architecture(name).total_params == 70_553_706_496


def test_every_bundled_name_finds_itself():
    for name in bundled_models():
        assert load_architecture(name).name == name
    assert len(bundled_models()) >= 129


def test_unknown_names_the_nearest():
    with pytest.raises(UnknownName, match=r"did you mean.*Llama-3\.1-8B"):
        load_architecture("Llama-3.1-9B")


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "no/such/file.gguf", "./nowhere"])
def test_not_a_model(name):
    with pytest.raises(BadInput) as caught:
        load_architecture(name)
    assert "\n" not in str(caught.value)


def test_files_and_folders(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(TINY))
    expected = load_architecture(str(folder)).total_params
    assert load_architecture(str(folder / "config.json")).total_params == expected
    assert load_architecture(str(folder)).name == "mine"
    with pytest.raises(BadInput, match="neither"):
        load_architecture(str(tmp_path))


def test_users_folder(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "me__tiny-1b.json").write_text(json.dumps(TINY))
    monkeypatch.setenv("RIDGELINE_CATALOG", str(tmp_path))
    assert load_architecture("tiny 1b").d_model == 64


def test_unreachable_hub_is_one_line(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub, "hf_hub_download", _refuse)
    with pytest.raises(BadInput, match="cannot fetch 'me/not-there'") as caught:
        load_architecture("me/not-there", fetch=True)
    assert "\n" not in str(caught.value)


def _refuse(*_args, **_kwargs):
    raise OSError("offline\nsecond line")


def test_loading_is_quick_and_light():
    code = ("import sys, time; from ridgeline.model.load import load_architecture;"
            "load_architecture('Llama-3.1-8B'); start = time.perf_counter();"
            "load_architecture('DeepSeek-V3').total_params;"
            "print(time.perf_counter() - start); assert 'numpy' not in sys.modules")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(out.stdout) < 0.05  # 2 ms where nothing else runs
    started = time.perf_counter()
    load_architecture("Llama-3.1-8B")
    assert time.perf_counter() - started < 0.05
