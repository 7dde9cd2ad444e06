"""The catalog on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ridgeline.catalog.files import DATA
from ridgeline.cli.catalog import catalog_command
from ridgeline.errors import BadInput, UnknownName


def _run(*words: str) -> str:
    result = CliRunner().invoke(catalog_command, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("words", [
    ("chips",), ("models",), ("links",), ("tiers",), ("prices",), ("prices", "--rent"),
    ("prices", "--rules"), ("engines",), ("formats",), ("chips", "h100"), ("chips", "TPU v5e"),
    ("links", "NVLink 5"), ("tiers", "HBM3 stack"), ("engines", "vllm"), ("formats", "q4_k_m"),
    ("prices", "claude-haiku-4-5"), ("models", "meta-llama/Llama-3.1-8B")])
def test_every_view_fits_and_has_json(words: tuple[str, ...]) -> None:
    text = _run(*words)
    assert max(len(line) for line in text.splitlines()) <= 100
    assert json.loads(_run(*words, "--json"))


def test_a_chip_shows_units_source_and_confidence() -> None:
    text = _run("chips", "h100")
    for part in ("989 TFLOP/s", "3.35 TB/s", "80.0 GB", "450 GB/s", "700 W", "source",
                 "high confidence", "2026-11", "notes"):
        assert part in text
    data = json.loads(_run("chips", "h100", "--json"))
    assert data["peaks"]["bf16_flop_per_s"] == 989.4e12
    assert data["memory"]["bandwidth_bytes_per_s"] == 3.35e12
    assert data["scale_up"]["latency_s"] == 1.5e-6 and data["power"]["tdp_w"] == 700


def test_filters() -> None:
    chips = json.loads(_run("chips", "--vendor", "amd", "--kind", "gpu", "--json"))
    assert {c["vendor"] for c in chips} == {"AMD"} and {c["kind"] for c in chips} == {"gpu"}
    prices = json.loads(_run("prices", "--provider", "anthropic", "--json"))
    assert prices and {p["provider"] for p in prices} == {"anthropic"}
    with pytest.raises(BadInput, match=r"There are: .*NVIDIA"):
        _run("chips", "--vendor", "Nvidiaa")
    with pytest.raises(BadInput, match="unknown provider"):
        _run("prices", "--provider", "nobody")


@pytest.mark.parametrize("words", [("chips", "H100-SXM6"), ("engines", "vlm"), ("tiers", "HBN3"),
                                   ("formats", "q4_k_n"), ("models", "Llama-9-Gigantic"),
                                   ("prices", "gtp-4o-minni")])
def test_unknown_names_are_one_line(words: tuple[str, ...]) -> None:
    with pytest.raises(UnknownName) as error:
        _run(*words)
    assert "\n" not in str(error.value)


def test_a_users_file(tmp_path: Path) -> None:
    text = (DATA / "chips" / "T4.toml").read_text("utf-8")
    path = tmp_path / "Mine.toml"
    path.write_text(text.replace('name = "T4"', 'name = "Mine"').replace("Tesla T4", "My T4")
                    .replace("T4 16GB", "My T4 16GB"))
    assert "Mine" in _run("chips", "mine", "--catalog", str(path))
    assert "Mine" in _run("chips", "--vendor", "NVIDIA", "--catalog", str(path))
