"""What the nested groups of a multimodal config leave out because it is a default of their class.

The text and vision groups of many published files hold only what differs from the default of the
configuration class they are read with. Those defaults are facts kept in
`catalog/data/model_defaults.json`; a field that a group states, null included, is never replaced.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Mapping
from typing import Any


@functools.lru_cache(maxsize=1)
def _table() -> Mapping[str, Any]:
    file = importlib.resources.files("ridgeline.catalog") / "data" / "model_defaults.json"
    table: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return table


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """A multimodal config with the defaults of its own and its groups' classes filled in.

    Args:
        config: the decoded file. One without nested groups, or of a type that is not in the table,
            comes back as it is.

    Returns:
        a new mapping; groups that the file leaves out altogether are all defaults.
    """
    kind = config.get("model_type")
    parts = _table()["parts"].get(kind) if isinstance(kind, str) and nested(config) else None
    if parts is None:
        return dict(config)
    out = {**_table()["types"].get(kind, {}), **config}
    text = config.get("text_config")
    if "tie_word_embeddings" not in config and isinstance(text, Mapping) \
            and "tie_word_embeddings" in text:
        out.pop("tie_word_embeddings", None)   # the default must not outvote what the text says
    for group, default_type in parts.items():
        own = config.get(group, {})
        flat = group == "text_config" and group not in config and "hidden_size" in config
        if isinstance(own, Mapping) and not flat:
            out[group] = _group(own, default_type)
    return out


def nested(config: Mapping[str, Any]) -> bool:
    """Whether a config has its text model in a group of its own, or leaves that to the class."""
    return any(isinstance(config.get(g), Mapping) for g in ("text_config", "vision_config",
                                                            "audio_config"))


def _group(own: Mapping[str, Any], default_type: str) -> dict[str, Any]:
    """One group with the defaults of the type it names, else of the type its place implies."""
    said = own.get("model_type")
    kind = said if isinstance(said, str) and said else default_type
    filled = {"model_type": kind, **_table()["types"].get(kind, {}), **own}
    if "head_dim" not in own and any(k in own for k in ("hidden_size", "num_attention_heads")) \
            and kind not in _FIXED_HEAD_DIM:
        filled.pop("head_dim", None)
    return filled


# Types whose head width is a default of its own; the others derive it from width and heads.
_FIXED_HEAD_DIM = frozenset({
    "gemma", "gemma2", "gemma3_text", "gemma3n_text", "gemma4_text", "gemma4_unified_text", "qwen3",
    "qwen3_moe", "qwen3_vl_text", "qwen3_5_text", "qwen3_5_moe_text", "glm4", "gpt_oss",
    "mistral4", "llama4_text", "diffusion_gemma_text"})
