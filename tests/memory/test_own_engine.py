"""An engine file of a user's own: its memory is shared as by the engine that reserves likewise."""

from pathlib import Path

import pytest

import ridgeline

RELATIVES = {"start": "vllm", "context": "llamacpp", "growth": "transformers"}
ENGINES = Path(ridgeline.__file__).parent / "catalog" / "data" / "engines"


@pytest.mark.parametrize("reserved", RELATIVES)
def test_an_engine_that_only_differs_in_name_answers_alike(reserved, tmp_path, monkeypatch):
    relative = RELATIVES[reserved]
    text = (ENGINES / f"{relative}.toml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith(("name =", "aliases ="))]
    name = f"mine-{reserved}"
    file = tmp_path / f"{name}.toml"
    file.write_text(f'name = "{name}"\n' + "\n".join(lines), encoding="utf-8")
    monkeypatch.setenv("RIDGELINE_CATALOG", str(file))
    ours, theirs = (ridgeline.fit("Llama-3.1-8B", "H100-SXM", engine=engine, context=8192)
                    for engine in (name, relative))
    assert ours["kv_capacity_tokens"].value == theirs["kv_capacity_tokens"].value > 0
    assert ours["overhead_bytes"].value == theirs["overhead_bytes"].value
