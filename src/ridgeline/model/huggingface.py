"""Hugging Face config.json -> Architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ridgeline.errors import BadInput
from ridgeline.files import read_json
from ridgeline.model.architecture import Architecture
from ridgeline.model.decoder import Style, generic
from ridgeline.model.defaults import with_defaults
from ridgeline.model.encoders import ENCODERS, encoder, modernbert
from ridgeline.model.extras import checkpoint_extras, declared_formats
from ridgeline.model.families import FAMILIES
from ridgeline.model.fields import Fields
from ridgeline.model.styles import STYLES
from ridgeline.model.towers import tower

_TEXT_GROUPS = ("text_config", "llm_config", "language_config", "thinker_config")
# What a multimodal file says at its top for the text model inside it.
_FROM_TOP = ("tie_word_embeddings", "quantization_config", "architectures", "transformers_version",
             "vocab_size", "torch_dtype", "dtype")
# Types of the text model inside a multimodal file that does not name it.
_INNER = {"gemma3": "gemma3_text", "mistral3": "mistral", "kimi_k25": "kimi_k2",
          "kimi_vl": "deepseek_v3", "deepseek_vl_v2": "deepseek_v2", "llava": "llama",
          "llava_next": "llama", "gemma4": "gemma4_text", "llama4": "llama4_text",
          "glm4v": "glm4", "glm4v_moe": "glm4_moe", "internvl": "qwen2", "internvl_chat": "qwen2",
          "paligemma": "gemma", "idefics3": "llama", "smolvlm": "llama", "pixtral": "mistral"}


def read_config(path: str | Path) -> dict[str, Any]:
    """Decode a config.json file.

    Raises:
        BadInput: not readable, not JSON, or not a group of fields.
    """
    data = read_json(path)
    if not isinstance(data, dict):
        raise BadInput(f"{path} is no config: expected a group of fields at the top")
    return data


def architecture_from_config(config: Mapping[str, Any], name: str = "") -> Architecture:
    """Build the architecture that a decoded config.json describes.

    Args:
        config: the decoded file; multimodal ones hold their text model in a nested group.
        name: what to call the model; the config's own name when empty.

    Raises:
        BadInput: a field is missing, out of range, or not understood though it changes the cost.
    """
    if not isinstance(config, Mapping):
        raise BadInput("a config is a group of fields")
    own = config.get("_name_or_path")
    label = name or (own if isinstance(own, str) and own else "model")
    where = f"config of {label[:80]}"
    config = with_defaults(config)
    text = text_config(config, where)
    f = Fields(text, where)
    kind = f.text("model_type")
    try:
        arch = _build(f, label, kind)
        outer = Fields(config, where)
        arch = replace(arch, model_type=outer.text("model_type") or kind,
                       vision=tower(outer, arch.d_model))
        weight_format, expert_format = declared_formats(outer, f)
        arch = replace(arch, weight_format=weight_format, expert_format=expert_format)
        return replace(arch, checkpoint_extras=(*arch.checkpoint_extras,
                                                *checkpoint_extras(outer, f, arch)))
    except (OverflowError, RecursionError, MemoryError) as error:
        raise BadInput(f"{where}: values too large ({type(error).__name__})") from None


def text_config(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The text model's fields, taken out of a multimodal file.

    Raises:
        BadInput: a nested part that is not a group of fields.
    """
    for group in _TEXT_GROUPS:
        inner = config.get(group)
        if inner is None:
            continue
        if not isinstance(inner, Mapping):
            raise BadInput(f"{where}: {group} is {str(inner)[:30]!r}; expected a group of fields")
        if group == "thinker_config":
            return text_config(inner, where)
        # The outer tie decides where both say: it is the outer model that has the head.
        merged = {k: config[k] for k in _FROM_TOP if config.get(k) is not None}
        merged = {**merged, **inner, **{k: v for k, v in merged.items() if k in
                                        ("tie_word_embeddings", "architectures")}}
        if isinstance(inner.get("architectures"), list) and _wraps(config.get("architectures")):
            merged["architectures"] = inner["architectures"]
        outer = config.get("model_type")
        if not merged.get("model_type") and isinstance(outer, str):
            merged["model_type"] = _INNER.get(outer, outer)
        return merged
    return dict(config)


def _wraps(named: Any) -> bool:
    """Whether an outer class name says nothing of a head ("InternVLChatModel")."""
    return not named or (isinstance(named, list) and str(named[0]).endswith("Model"))


def _build(f: Fields, name: str, kind: str) -> Architecture:
    """Choose the reader of a model type; unknown types are read as a generic decoder."""
    if kind in ENCODERS:
        return encoder(f, name)
    if kind == "modernbert":
        return modernbert(f, name)
    family = FAMILIES.get(kind)
    named = f.names("architectures")
    if not kind and named and "Grok" in named[0]:
        kind, family = "grok-1", FAMILIES["grok-1"]
    known = family is not None or kind in STYLES
    arch = family(f, name) if family else generic(f, name, STYLES.get(kind, Style()))
    f.check_understood(known)
    return arch
