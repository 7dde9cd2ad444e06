"""Number formats: bits of a stored value with its scales, and the matrix peak that runs it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ridgeline.errors import BadInput, UnknownName
from ridgeline.machine.chip import Chip

if TYPE_CHECKING:
    from ridgeline.catalog.loader import Catalog

__all__ = ["MixRule", "NumberFormat", "compute_format", "get_format", "list_formats",
           "tensor_format"]


@dataclass(frozen=True)
class MixRule:
    """Which block format a file mix gives to a kind of tensor.

    Attributes:
        tensor: "attn_v", "ffn_down", "output", ... as llama.cpp names them.
        format: the block format.
        layers: "all", or which layers: "more_bits" (first and last eighth, every third between),
            "first_eighth", "first_sixteenth", "first_4", "first_2".
        min_heads_per_kv: only where at least so many heads share a KV head.
    """

    tensor: str
    format: str
    layers: str = "all"
    min_heads_per_kv: int = 1


@dataclass(frozen=True)
class NumberFormat:
    """How a value is stored and which peak multiplies it.

    Attributes:
        name: catalog name ("bf16", "fp8_block", "q4_k_m").
        bits: bits of a value with its share of scales; the mean over a file for a mix.
        compute: matrix peak that runs it when both operands have it.
        family: "float", "integer", "gguf" (one block type) or "gguf_mix" (several in a file).
        weight_only: weights are widened before the multiplication.
        covers_embeddings: embeddings and head are stored so too.
        base, mix: block format of most tensors of a mix, and the exceptions, the last one that
            applies winning.
    """

    name: str
    bits: float
    compute: str
    family: str
    weight_only: bool = False
    covers_embeddings: bool = False
    aliases: tuple[str, ...] = ()
    base: str = ""
    mix: tuple[MixRule, ...] = ()
    source: str = ""
    notes: str = ""

    @property
    def bytes(self) -> float:
        """Bytes of a value with its share of scales."""
        return self.bits / 8.0


@lru_cache(maxsize=8)
def _table(catalog: Catalog) -> dict[str, NumberFormat]:
    """Every spelling of every format of a catalog."""
    table: dict[str, NumberFormat] = {}
    for e in catalog.formats():
        rules = tuple(MixRule(r.tensor, r.format, r.layers, r.min_heads_per_kv) for r in e.mix)
        found = NumberFormat(e.name, e.bits, e.compute, e.family, e.weight_only,
                             e.covers_embeddings, e.aliases, e.base, rules, e.source, e.notes)
        for spelling in (e.name, *e.aliases):
            table.setdefault(_key(spelling), found)
    return table


def _key(name: str) -> str:
    """Lower-case words joined by underscores."""
    return re.sub(r"[^a-z0-9.]+", "_", name.lower().removeprefix("torch.")).strip("_")


def _inside(key: str, table: dict[str, NumberFormat]) -> NumberFormat | None:
    """The one format named inside a longer text ("qwen3 30B Q4_K - Medium", "IQ2_M - 2.7 bpw").

    A short word behind the name belongs to it, so "q4_k_n" is a mistake and not q4_k.
    """
    words = key.split("_")
    for length in range(len(words) - 1, 0, -1):
        found = {table[run] for start in range(len(words) - length + 1)
                 if (run := "_".join(words[start:start + length])) in table
                 and not (words[start + length:] and len(words[start + length]) < 3)}
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def get_format(name: str | NumberFormat) -> NumberFormat:
    """The format of a name, however it is spelled; it may stand inside a longer text.

    Raises:
        UnknownName: no format or two of them, with the nearest.

    >>> get_format("FP8").bits, get_format("Q8_0").bits, get_format("NVFP4").bytes
    (8.0, 8.5, 0.5625)
    """
    if isinstance(name, NumberFormat):
        return name
    from ridgeline.catalog.loader import default_catalog

    table = _table(default_catalog())
    key = _key(name)
    found = table.get(key) or _inside(key, table)
    if found is None:
        raise UnknownName.among("number format", name, table,
                                "List them with `ridgeline catalog formats`.")
    return found


def list_formats() -> list[NumberFormat]:
    """Every format once, in catalog order."""
    from ridgeline.catalog.loader import default_catalog

    return list(dict.fromkeys(_table(default_catalog()).values()))


# Wider formats have a lower rank. A product runs at the rate of its wider operand.
_RANK = {"fp32": 0, "tf32": 1, "fp16": 2, "bf16": 2, "fp8": 3, "int8": 3, "fp6": 4, "fp4": 5,
         "int4": 5}
_SIXTEEN = ("bf16", "fp16", "tf32", "fp32")


def compute_format(weight: str | NumberFormat, chip: Chip,
                   activation: str | NumberFormat | None = None) -> str:
    """The peak of `chip` at which weights of a format are multiplied.

    The product runs at the rate of the wider operand. With no activation format given, activations
    take the weights' own where the chip multiplies it (fp8 on Hopper, nvfp4 on Blackwell), else 16
    bit: fp8 on Ampere, nvfp4 on Hopper and every weight-only format run at the 16-bit rate. A
    narrow rate below the 16-bit one (INT8 of B300) is not used.

    Raises:
        UnknownName: no such format.
        BadInput: the chip has no rate for 16 bits or wider.

    >>> from ridgeline.catalog import load_chip
    >>> [compute_format("fp8", load_chip(c)) for c in ("H100", "A100", "V100")]
    ['fp8', 'bf16', 'fp16']
    """
    stored = get_format(weight)
    wide = _wide(chip, stored.compute)
    if activation is not None:
        other = get_format(activation).compute
    else:
        other = wide if stored.weight_only else stored.compute
    chosen = other if _RANK[other] <= _RANK[stored.compute] else stored.compute
    if _RANK[chosen] <= _RANK["bf16"]:
        return chosen if chosen in chip.peaks else wide
    if chosen in chip.peaks and chip.peaks[chosen] >= chip.peaks[wide]:
        return chosen
    return wide


def _wide(chip: Chip, preferred: str) -> str:
    """The chip's 16-bit rate, or the next wider it has."""
    order = (preferred, *_SIXTEEN) if preferred in _SIXTEEN else _SIXTEEN
    for name in order:
        if name in chip.peaks:
            return name
    raise BadInput(f"{chip.name} has no rate for 16-bit numbers or wider in the catalog; "
                   f"it has: {', '.join(chip.peaks)}")


def _more_bits(layer: int, n_layers: int) -> bool:
    """Layers that llama.cpp keeps wider: first and last eighth, every third between."""
    eighth = n_layers // 8
    return layer < eighth or layer >= 7 * n_layers // 8 or (layer - eighth) % 3 == 2


_LAYERS: dict[str, Callable[[int, int], bool]] = {
    "all": lambda layer, n: True,
    "more_bits": _more_bits,
    "first_eighth": lambda layer, n: layer < n // 8,
    "first_sixteenth": lambda layer, n: layer < n // 16,
    "first_4": lambda layer, n: layer < 4,
    "first_2": lambda layer, n: layer < 2,
}


def tensor_format(file_format: str | NumberFormat, tensor: str, *, layer: int = 0,
                  n_layers: int = 1, heads_per_kv: int = 1) -> NumberFormat:
    """The block format of one tensor in a file of a format; the format itself unless it is a mix.

    Args:
        file_format: such as "q4_k_m".
        tensor: "token_embd", "output", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate",
            "ffn_up", "ffn_down".
        layer, n_layers: which of how many layers; mixes widen some layers.
        heads_per_kv: query heads sharing a KV head.

    Sources: the choices of llama.cpp's quantiser without an importance matrix. Exact for dense
    models; mixtures of experts widen a few small tensors more.

    >>> tensor_format("Q4_K_M", "ffn_down", layer=0, n_layers=80).name
    'q6_k'
    """
    found = get_format(file_format)
    name = found.base or found.name
    for rule in found.mix:
        if (rule.tensor == tensor and heads_per_kv >= rule.min_heads_per_kv
                and _LAYERS[rule.layers](layer, n_layers)):
            name = rule.format
    return found if name == found.name else get_format(name)
