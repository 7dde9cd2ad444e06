"""Every model of the catalog has a footprint under every engine; golden values of real configs."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from ridgeline.catalog import load_chip
from ridgeline.deployment import Deployment
from ridgeline.deployment.sharding import WeightFormats, fullest_weights
from ridgeline.errors import RidgelineError
from ridgeline.memory.inference import footprint
from ridgeline.memory.layout import cache_layout
from ridgeline.model.architecture import Architecture
from ridgeline.model.huggingface import architecture_from_config, read_config

FOLDER = Path(str(resources.files("ridgeline.catalog"))) / "data" / "models"
CONFIGS = sorted(path.stem for path in FOLDER.glob("*.json"))


def load(stem: str) -> Architecture:
    return architecture_from_config(read_config(FOLDER / f"{stem}.json"), stem)


@pytest.mark.parametrize("stem", CONFIGS)
def test_every_model_adds_up(stem: str) -> None:
    try:
        model = load(stem)
    except RidgelineError as error:                      # the model room says what it lacks
        pytest.skip(str(error))
    chip = load_chip("H200-SXM")
    for engine in ("vllm", "sglang", "trtllm", "llamacpp", "transformers"):
        found = footprint(model, Deployment(engine=engine), chip)
        assert sum(found.items.values()) == pytest.approx(found.usable, rel=1e-6)
        assert found.sequence_bytes(4096) >= found.sequence_bytes(1) >= 0
    halves = [fullest_weights(model, Deployment(tp=tp)).total for tp in (1, 2, 4, 8)]
    assert halves == sorted(halves, reverse=True)


# name, KV bytes a token in 16 bit, gigabytes of weights as declared
GOLDEN = [
    ("meta-llama__Meta-Llama-3-70B", 327680, 141.1), ("meta-llama__Meta-Llama-3-8B", 131072, 16.06),
    ("Qwen__Qwen2.5-7B", 57344, 15.23), ("deepseek-ai__DeepSeek-V3", 70272, 673.2),
    ("moonshotai__Kimi-K2-Instruct", 70272, 1029.2), ("Qwen__Qwen3-235B-A22B", 192512, 470.2)]


@pytest.mark.parametrize(("stem", "kv_bytes", "weights_gb"), GOLDEN)
def test_golden_values_of_real_configs(stem: str, kv_bytes: float, weights_gb: float) -> None:
    model = load(stem)
    assert cache_layout(model, Deployment(), kv_bytes=2.0).bytes_per_token == kv_bytes
    assert fullest_weights(model, Deployment()).total / 1e9 == pytest.approx(weights_gb, rel=0.005)


def test_four_bit_file_of_llama_3_70b() -> None:
    """The published Q4_K_M file has 42.52 GB."""
    found = fullest_weights(load("meta-llama__Meta-Llama-3-70B"), Deployment(weights="q4_k_m"))
    assert found.total / 1e9 == pytest.approx(42.52, rel=0.005)


def test_windows_of_gemma_3_27b() -> None:
    """Five local layers of 1,024 tokens to one global: 11.2 GB at 131,072 tokens, not 66.6 GB."""
    model = load("google__gemma-3-27b-it")
    layout = cache_layout(model, Deployment(), kv_bytes=2.0)
    assert layout.sequence_bytes(131072) / 1e9 == pytest.approx(11.2, rel=0.01)
    every = fullest_weights(model, Deployment(), WeightFormats(8, 8, 8)).total
    assert every > 27e9
