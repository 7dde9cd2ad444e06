"""Typed reading of a config: every value is checked where it is read, and every read is noted."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ridgeline.errors import BadInput

# Upper bounds that no real model comes near; they catch broken values before arithmetic does.
MAX_LAYERS, MAX_WIDTH, MAX_CONTEXT = 2_000, 10_000_000, 10**10

# Fields that look as if they changed a model's cost and do not: routing arithmetic, generation
# and training settings, tokens.
_HARMLESS = frozenset({
    "n_group", "topk_group", "num_expert_group", "n_groups_router", "topk_method",
    "num_logits_to_keep", "num_return_sequences", "num_beams", "num_beam_groups",
    "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "num_labels",
    "chunk_size_feed_forward", "ep_size", "expert_capacity", "router_aux_loss_coef",
    "norm_topk_prob", "max_window_layers", "original_max_position_embeddings",
    "initial_context_length", "chunk_size", "mamba_chunk_size", "pad_vocab_size_multiple",
    "num_expert_per_group", "moe_jitter_eps", "moe_loss_weight", "moe_normalize_expert_weights",
    "uniform_expert_assignment", "expert_dtype", "num_tokens_per_image", "rotary_dim",
    "n_special", "cross_attention_hidden_size", "num_memory_blocks",
})
_COSTLY = re.compile(r"expert|compress|_rank$|lora_dim|window|_latent_|latent_size|kv_shared|"
                     r"nextn|per_layer|indexer")
_COSTLY_UNKNOWN = re.compile(_COSTLY.pattern + r"|^(num|n)_|_layers$|_(size|dim|heads|width)$|"
                             r"^(dim|depth|width)")


class Fields:
    """A config's fields under one path, with the names that were read.

    Args:
        data: the decoded mapping.
        where: what to call it in messages ("config.json of X").
    """

    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        self.data, self.where = data, where
        self.used: set[str] = set()

    def raw(self, *names: str) -> Any:
        """The first of the synonyms that is present and not null, else None."""
        self.used.update(names)
        for name in names:
            value = self.data.get(name)
            if value is not None:
                return value
        return None

    def has(self, *names: str) -> bool:
        """Whether one of the synonyms is present and not null."""
        return any(self.data.get(name) is not None for name in names)

    def fail(self, names: tuple[str, ...] | str, value: Any, accepted: str) -> BadInput:
        """The one-line error of a value that cannot be."""
        name = names if isinstance(names, str) else next(
            (n for n in names if self.data.get(n) is not None), names[0])
        shown = repr(value)
        shown = shown if len(shown) <= 40 else shown[:37] + "..."
        return BadInput(f"{self.where}: {name} is {shown}; expected {accepted}")

    def count(self, *names: str, default: int | None = None, low: int = 1,
              high: int = MAX_WIDTH) -> int:
        """A whole number under the first synonym present.

        Raises:
            BadInput: missing without a default, not a whole number, or out of [low, high].
        """
        value = self.raw(*names)
        if value is None:
            if default is None:
                raise BadInput(f"{self.where}: needs {' or '.join(names[:2])}")
            return default
        return self.whole(names, value, low, high)

    def maybe(self, *names: str, low: int = 1, high: int = MAX_WIDTH) -> int | None:
        """A whole number, or None when absent or null."""
        value = self.raw(*names)
        return None if value is None else self.whole(names, value, low, high)

    def whole(self, names: tuple[str, ...] | str, value: Any, low: int, high: int) -> int:
        """Check one value as a whole number in [low, high]."""
        if isinstance(value, float) and math.isfinite(value) and value == int(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.fail(names, value, f"a whole number from {low} to {high}")
        return value

    def number(self, *names: str, default: float, low: float = 0.0, high: float = 1e6) -> float:
        """A finite number in [low, high]."""
        value = self.raw(*names)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) \
                or not low <= value <= high:
            raise self.fail(names, value, f"a number from {low:g} to {high:g}")
        return float(value)

    def flag(self, *names: str, default: bool = False) -> bool:
        """A true or false."""
        value = self.raw(*names)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.fail(names, value, "true or false")
        return value

    def text(self, *names: str, default: str = "") -> str:
        """A text."""
        value = self.raw(*names)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.fail(names, value, "a text")
        return value

    def listed(self, *names: str, length: int | None = None) -> list[Any] | None:
        """A list, of the length given at least, or None when absent."""
        value = self.raw(*names)
        if value is None:
            return None
        if not isinstance(value, list) or (length is not None and len(value) < length):
            raise self.fail(names, value,
                            "a list" + (f" of {length} entries" if length is not None else ""))
        return value

    def counts(self, *names: str, length: int | None = None, low: int = 0,
               high: int = MAX_WIDTH) -> list[int] | None:
        """A list of whole numbers."""
        values = self.listed(*names, length=length)
        return None if values is None else [self.whole(names, v, low, high) for v in values]

    def per_layer(self, *names: str, layers: int, default: int | None = None,
                  low: int = 0) -> list[int]:
        """A whole number for each layer, given as one number or as a list."""
        if isinstance(self.raw(*names), list):
            return (self.counts(*names, length=layers, low=low) or [])[:layers]
        return [self.count(*names, default=default, low=low)] * layers

    def names(self, *names: str, length: int | None = None) -> list[str] | None:
        """A list of texts."""
        values = self.listed(*names, length=length)
        if values is not None and not all(isinstance(v, str) for v in values):
            raise self.fail(names, values, "a list of texts")
        return values

    def sub(self, *names: str) -> Fields | None:
        """A nested mapping, or None when absent."""
        value = self.raw(*names)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.fail(names, value, "a group of fields")
        return Fields(value, self.where)

    def ignore(self, *names: str) -> None:
        """Note fields that the family knows not to change parameters or cost."""
        self.used.update(names)

    def check_understood(self, known_type: bool) -> None:
        """Refuse fields that would change the cost and were not read.

        Args:
            known_type: whether the model type's own reader was used; an unknown type is held to
                a wider pattern.

        Raises:
            BadInput: naming the fields.
        """
        pattern = _COSTLY if known_type else _COSTLY_UNKNOWN
        odd = [k for k, v in self.data.items()
               if isinstance(k, str) and k not in self.used and k not in _HARMLESS
               and _matters(v) and pattern.search(k) and not re.search(r"token|_id$|_ids$", k)]
        if odd:
            raise BadInput(f"{self.where}: fields not understood that may change the cost: "
                           + ", ".join(sorted(odd)[:6]))


def _matters(value: Any) -> bool:
    """Whether a value can size something: not null, false, zero, text or empty."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return False
    if isinstance(value, (int, float)):
        return value > 0 and value == value // 1
    return bool(value) and isinstance(value, list)
