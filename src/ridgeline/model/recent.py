"""Decoder types of 2024 to 2026 whose layers differ in their own ways.

Shapes read from the public modelling code of each type (Hugging Face Transformers 5, Apache-2.0)
and checked against the parameters of the modules it builds.
"""

from __future__ import annotations

from dataclasses import replace

from ridgeline.model.architecture import Architecture
from ridgeline.model.decoder import (
    Style,
    assemble,
    head_shape,
    read_attention,
    read_ends,
    read_ffn,
)
from ridgeline.model.fields import Fields
from ridgeline.model.hybrids import Family, block_of
from ridgeline.model.parts import Attention, Block, Weight
from ridgeline.model.tensors import norm


def mllama(f: Fields, name: str) -> Architecture:
    """Llama 3.2 Vision: layers that attend to the image alone, skipped when there is none.

    Such a layer keeps nothing for a text token, so its tensors are held as no mixer's.
    """
    style = Style()
    ends = read_ends(f, style)
    d, places = ends.d_model, set(f.counts("cross_attention_layers") or ())
    heads, kv, width = head_shape(f, d, style)
    cross = Attention(heads, kv, width, qk_norm="head")
    gates = (norm("norms", d, count=2), Weight("cross_attention.gates", (2,), "other"))
    attention, ffn = read_attention(f, style, ends), read_ffn(f, style, ends)
    blocks = [Block(None, None, (*cross.weights(d), *ff.weights(d), *gates)) if i in places
              else block_of(a, ff, d) for i, (a, ff) in enumerate(zip(attention, ffn, strict=True))]
    arch = assemble(f, name, style, ends, blocks)
    image = Weight("image_tokens", (8, d), "embedding")   # rows past the vocabulary
    return replace(arch, embedding=(*arch.embedding, image))


RECENT: dict[str, Family] = {
    "mllama": mllama, "mllama_text_model": mllama,
}
