"""A model of the catalog on the screen: its counts with reasons, cache, state and layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ridgeline.quantity import format_si

if TYPE_CHECKING:
    from ridgeline.cli.catalog_views import Sections
    from ridgeline.model.architecture import Architecture

__all__ = ["model_json", "model_sections"]

# Cache sizes are shown at these contexts too where windows or state make them differ.
_CONTEXTS = (8192, 131072)


def model_sections(found: Architecture, config: dict[str, Any]) -> Sections:
    """A model in full.

    Args:
        found: the model.
        config: its bundled config, {} when it comes from elsewhere.
    """
    return [(found.name, _head(found)), ("parameters", _counts(found)),
            ("cache and state of a sequence", _memory(found)), ("layers", _layers(found)),
            *([("config", _scalars(config))] if config else [])]


def model_json(found: Architecture, config: dict[str, Any]) -> dict[str, Any]:
    """The same as data: counts, bytes, layers and the whole config."""
    return {
        "name": found.name, "model_type": found.model_type, "d_model": found.d_model,
        "vocab_size": found.vocab_size, "max_context_tokens": found.max_context,
        "n_layers": found.n_layers, "weight_format": found.weight_format,
        "expert_format": found.expert_format, "total_params": found.total_params,
        "active_params": found.active_params, "checkpoint_params": found.checkpoint_params,
        "checkpoint_extras": [{"reason": t.reason, "elements": t.elements, "counted": t.likely}
                              for t in found.count_terms],
        "params_by_role": dict(found.params_by_role),
        "kv_bytes_per_token": float(found.kv_bytes_per_token()),
        "state_bytes_per_sequence": float(found.state_bytes()),
        "layers": [{"layers": count, "mixer": mixer, "feed_forward": ffn}
                   for block, count in found.blocks for mixer, ffn in [block.describe()]],
        "config": config}


def _head(found: Architecture) -> list[tuple[str, str]]:
    kind = "decoder" if found.causal else "encoder"
    return [("type", f"{found.model_type}, {kind}"), ("width", f"{found.d_model:,}"),
            ("vocabulary", f"{found.vocab_size:,}"),
            ("longest context", f"{found.max_context:,}" if found.max_context else "unlimited"),
            ("weights as published", found.weight_format
             + (f", experts {found.expert_format}" if found.expert_format else ""))]


def _counts(found: Architecture) -> list[tuple[str, str]]:
    """Total, active and checkpoint counts, and what the last adds to the first."""
    from ridgeline.model.published import published_sizes

    pairs = [("total", f"{found.total_params:,}"),
             ("active a token", f"{found.active_params:,}"
              + ("" if found.active_params == found.total_params else
                 f" ({100 * found.active_params / found.total_params:.1f} %)"))]
    pairs += [(f"  of {role}", f"{count:,}") for role, count in found.params_by_role.items()]
    pairs.append(("in the checkpoint", f"{found.checkpoint_params:,}"))
    for term in found.count_terms:
        how = "and" if term.likely else "some files also hold"
        pairs.append((f"  {how}", f"{term.elements:,} {term.reason}"))
    stated = published_sizes().get(found.name)
    if stated and (stated.total or stated.active):
        active = f", {stated.active:,} active" if stated.active else ""
        pairs.append(("as published", f"{stated.total or 0:,}{active} ({stated.source})"))
    if stated and stated.exact:
        pairs.append(("counted in the file", f"{stated.exact:,} ({stated.exact_source})"))
    return pairs


def _memory(found: Architecture) -> list[tuple[str, str]]:
    """Cache of a token, whole caches where windows make them differ, and constant state."""
    kv = float(found.kv_bytes_per_token())
    pairs = [("KV cache a token", f"{kv:,.0f} B ({format_si(kv, 'B')}) in 16 bit")]
    for context in _CONTEXTS:
        if found.max_context and context > found.max_context:
            continue
        whole = float(found.cache_bytes(context))
        pairs.append((f"at {context:,} tokens", format_si(whole, "B")
                      + ("" if abs(whole - kv * context) < 1 else
                         f", {whole / context:,.0f} B a token")))
    state = float(found.state_bytes())
    if state:
        pairs.append(("constant state", f"{format_si(state, 'B')} in 16 bit"))
    return pairs


def _layers(found: Architecture) -> list[tuple[str, str]]:
    """Kinds of layers with how many there are, in order of their first one."""
    kinds: dict[tuple[str, str], int] = {}
    for block, count in found.blocks:
        key = block.describe()
        kinds[key] = kinds.get(key, 0) + count
    return [(f"{count} x", f"{mixer}; {ffn}") for (mixer, ffn), count in kinds.items()]


def _scalars(config: dict[str, Any]) -> list[tuple[str, str]]:
    """The single values of a config; the rest is in the JSON form."""
    inner = config.get("text_config")
    merged = {**config, **inner} if isinstance(inner, dict) else config
    return [(key, str(value)) for key, value in merged.items()
            if isinstance(value, (str, int, float)) and value != ""]
