"""Parameter counts, to the last parameter.

`data/published.json`: layouts of public models that are not bundled, with the element counts their
hub pages state. `data/modules.json`: layouts with the parameters that the modules of Hugging Face
Transformers 5.23 (Apache-2.0) hold when built from them, stored buffers included.
"""

import csv
import json
import statistics
from importlib.resources import files
from pathlib import Path

import pytest

from ridgeline.model.huggingface import architecture_from_config
from ridgeline.model.load import load_architecture
from ridgeline.model.tensors import elements

DATA = Path(__file__).parent / "data"
ROWS = list(csv.DictReader((files("ridgeline.catalog") / "data" / "models.csv")
                           .read_text().splitlines()))
EXACT = [r for r in ROWS if r["total_params_exact"]]
PUBLISHED = json.loads((DATA / "published.json").read_text())
MODULES = json.loads((DATA / "modules.json").read_text())


@pytest.mark.parametrize("row", EXACT, ids=lambda r: r["name"])
def test_bundled(row):
    arch = load_architecture(row["name"])
    assert arch.explain_count(int(row["total_params_exact"])) is not None


def test_every_bundled_model_is_read():
    assert len(EXACT) >= 98
    assert all(load_architecture(r["name"]).total_params > 1e7 for r in ROWS)


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda r: r["name"])
def test_published(row):
    arch = architecture_from_config(row["config"], row["name"])
    assert arch.explain_count(row["count"]) == tuple(row["extras"])


@pytest.mark.parametrize("row", MODULES,
                         ids=lambda r: f"{r['config']['model_type']}-{r['count']}")
def test_modules(row):
    arch = architecture_from_config(row["config"])
    assert arch.total_params + elements(arch.vision) == row["count"]


def test_a_wrong_count_is_not_explained():
    arch = load_architecture("Llama-3.1-8B")
    assert arch.explain_count(arch.total_params + 1) is None


@pytest.mark.parametrize(("name", "extras"), [
    ("gpt2", ("causal-mask buffers",)),                       # 12 layers x 1024 x 1024
    ("Llama-2-7b-hf", ("rotary frequency buffers",)),         # 32 layers x 64
    ("Qwen3-0.6B", ("tied head stored twice",)),              # 151,936 x 1,024
    ("falcon-40b", ("tied head stored twice",)),
    ("gemma-3-27b-it", ("vision or audio tower",)),
    ("DeepSeek-V3", ("multi-token-prediction layers", "FP8 block scales",
                     "embedding and head repeated by prediction layers")),
    ("Phi-4-mini-instruct", ()),
    ("e5-mistral-7b-instruct", ()),
])
def test_reasons(name, extras):
    count = next(int(r["total_params_exact"]) for r in EXACT if r["name"].endswith("/" + name))
    assert set(load_architecture(name).explain_count(count)) == set(extras)


def test_roles_add_up():
    for row in ROWS:
        arch = load_architecture(row["name"])
        assert sum(arch.params_by_role.values()) == arch.total_params
        assert arch.active_params <= arch.total_params


def test_active_params_against_published():
    errors = [abs(load_architecture(r["name"]).active_params
                  / float(r["active_params_published"]) - 1)
              for r in ROWS if r["active_params_published"]]
    assert len(errors) == 35 and statistics.median(errors) < 0.025


def test_active_params_by_hand():
    arch = load_architecture("Qwen3-30B-A3B")
    # 48 layers, 128 experts of 3 x 2048 x 768, of which 8 are used
    assert arch.total_params - arch.active_params == 48 * 120 * 3 * 2048 * 768


def test_shared_blocks_are_counted_once():
    arch = load_architecture("Zamba2-7B")
    uses = [b for b, n in arch.blocks for _ in range(n) if b.shared]
    assert len(uses) > 2 and {b.shared for b in uses} == {"block 0", "block 1"}
    held = [w for b, w, _ in arch.block_weights() if b.shared and w.name == "q_proj"]
    assert len(held) == 2
