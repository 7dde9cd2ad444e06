"""Decoder types of 2024 to 2026 whose layers differ in their own ways.

Shapes read from the public modelling code of each type (Hugging Face Transformers 5, Apache-2.0)
and checked against the parameters of the modules it builds.
"""

from __future__ import annotations

from dataclasses import replace

from ridgeline.errors import BadInput
from ridgeline.model.architecture import Architecture
from ridgeline.model.decoder import (
    Style,
    assemble,
    generic,
    head_shape,
    read_attention,
    read_ends,
    read_ffn,
)
from ridgeline.model.fields import Fields
from ridgeline.model.hybrids import Family, block_of, layer_kinds, mtp_block
from ridgeline.model.parts import Attention, Block, DenseFfn, ExpertFfn, LinearAttention, Weight
from ridgeline.model.tensors import linear, norm, times


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


def minimax_m3(f: Fields, name: str) -> Architecture:
    """MiniMax M3: grouped heads that see the key blocks an indexer with one shared key chooses."""
    style = Style(qk_norm="head", router_bias=True)
    ends = read_ends(f, style)
    d, wide = ends.d_model, f.count("dense_intermediate_size", default=12_288)
    heads, width = f.count("index_n_heads", default=4), f.count("index_head_dim", default=128)
    kinds = layer_kinds(f, ends, "layer_types") or _m3_kinds(f, ends.n_layers)
    f.ignore("index_block_size", "index_local_blocks", "index_topk_blocks",
             "sparse_attention_config")
    indexer = (*linear("indexer.q_proj", d, heads * width, "attention", shard="replicated"),
               *linear("indexer.k_proj", d, width, "attention", shard="replicated"),
               norm("indexer.norms", width, count=2))
    blocks = []
    for kind, mixer, ffn in zip(kinds, read_attention(f, style, ends), read_ffn(f, style, ends),
                                strict=True):
        feed = DenseFfn(wide) if isinstance(ffn, DenseFfn) else ffn
        if "sparse" in kind and isinstance(mixer, Attention):
            block = block_of(replace(mixer, index_head_dim=width), feed, d)
            blocks.append(replace(block, norms=(*block.norms, *indexer)))
        else:
            blocks.append(block_of(mixer, feed, d))
    return assemble(f, name, style, ends, blocks)


def _m3_kinds(f: Fields, layers: int) -> list[str]:
    """Layer kinds from the published form, where a nested group marks the indexed layers."""
    group = f.sub("sparse_attention_config")
    marks = group.counts("sparse_attention_freq", length=layers) if group else None
    return ["sparse" if m else "full" for m in marks] if marks else ["full"] * layers


def _per_layer_heads(f: Fields, style: Style, name: str, heads: list[int],
                     gate: bool) -> Architecture:
    """A stack whose layers differ in their number of query heads, each with an output gate."""
    ends = read_ends(f, style)
    blocks = []
    for i, (mixer, ffn) in enumerate(zip(read_attention(f, style, ends), read_ffn(f, style, ends),
                                         strict=True)):
        if isinstance(mixer, Attention):
            if heads[i] % mixer.n_kv_heads:
                raise BadInput(f"{f.where}: {mixer.n_kv_heads} KV heads do not divide {heads[i]}")
            mixer = replace(mixer, n_heads=heads[i], head_gate=gate)
        blocks.append(block_of(mixer, ffn, ends.d_model))
    return assemble(f, name, style, ends, blocks)


def laguna(f: Fields, name: str) -> Architecture:
    """Laguna: query heads by layer, one gate a head, windows between global layers."""
    style = Style(qk_norm="head", router_bias=True)
    layers = read_ends(f, style).n_layers
    heads = f.counts("num_attention_heads_per_layer", length=layers, low=1, high=100_000) \
        or [f.count("num_attention_heads", high=100_000)] * layers
    said = f.raw("gating")
    f.ignore("gating")
    return _per_layer_heads(f, style, name, heads, gate=said is not False)


def step3p5(f: Fields, name: str) -> Architecture:
    """Step 3.5 and 3.7: window layers with their own number of heads, one gate a head."""
    style = Style(qk_norm="head", router_bias=True)
    other = f.sub("attention_other_setting")
    data = dict(f.data)
    enum = f.raw("moe_layers_enum")
    layers = read_ends(f, style).n_layers
    if isinstance(enum, str):
        places = {int(p) for p in enum.split(",") if p.strip().isdigit() and len(p) < 6}
        data["mlp_layer_types"] = ["sparse" if i in places else "dense" for i in range(layers)]
    data.setdefault("num_key_value_heads", f.raw("num_attention_groups"))
    kinds = f.names("layer_types", length=layers) or ["full_attention"] * layers
    full = f.count("num_attention_heads", high=100_000)
    local = f.maybe("num_sliding_attention_heads", high=100_000) or (
        other.count("num_attention_heads", default=full, high=100_000) if other else full)
    f.ignore(*f.data)
    own = Fields({**data, "layer_types": kinds[:layers], "attention_other_setting": None,
                  "num_nextn_predict_layers": None}, f.where)
    arch = _per_layer_heads(own, style, name, [local if "sliding" in k else full for k in kinds],
                            gate=f.flag("use_head_wise_attn_gate", default=True))
    count = f.count("num_nextn_predict_layers", default=0, low=0, high=100)
    if not count:
        return arch
    # A window layer with a dense feed-forward and a head of its own for each predicted token.
    d, mixer = arch.d_model, arch.blocks[0][0].mixer
    if isinstance(mixer, Attention):
        mixer = replace(mixer, n_heads=local)
    block = block_of(mixer, DenseFfn(f.count("intermediate_size")), d)
    head = linear("mtp.head", d, arch.vocab_size, "head", shard="vocab")
    return replace(arch, mtp=(*mtp_block(block, d, count), *times(head, count)))


def ernie_vl(f: Fields, name: str) -> Architecture:
    """ERNIE 4.5 VL: experts for text and others for images beside one shared expert."""
    widths, counts = f.raw("moe_intermediate_size"), f.raw("moe_num_experts")
    if not isinstance(widths, list) or len(widths) < 2:
        return generic(f, name, Style(tied=True, router_bias=True))
    pair = f.counts("moe_intermediate_size", length=2, low=1) or []
    n = f.counts("moe_num_experts", length=2, low=1) if isinstance(counts, list) else None
    text, image = n[:2] if n else [f.count("moe_num_experts")] * 2
    own = Fields({**f.data, "moe_intermediate_size": pair[0], "moe_num_experts": text}, f.where)
    f.ignore(*f.data)
    style = Style(tied=True, router_bias=True)
    ends = read_ends(own, style)
    if isinstance(own.raw("moe_layer_start_index"), list):
        own.data = {**own.data, "moe_layer_start_index": min(own.counts(
            "moe_layer_start_index") or [0]), "moe_layer_end_index": None}
    unused = ExpertFfn(image, 1, pair[1], router_bias=True)
    blocks = []
    for mixer, ffn in zip(read_attention(own, style, ends), read_ffn(own, style, ends),
                          strict=True):
        block = block_of(mixer, ffn, ends.d_model)
        if isinstance(ffn, ExpertFfn):   # image tokens alone go there
            extra = tuple(replace(w, name=f"image.{w.name}", role="other")
                          for w in unused.weights(ends.d_model))
            block = replace(block, norms=(*block.norms, *extra))
        blocks.append(block)
    return assemble(own, name, style, ends, blocks)


def axk1(f: Fields, name: str) -> Architecture:
    """A.X K1: DeepSeek V3's stack with one more norm behind every mixture."""
    arch = generic(f, name, Style(router_bias=True))
    extra = norm("post_mlp_norm", arch.d_model)
    return replace(arch, blocks=tuple(
        (replace(b, norms=(*b.norms, extra)) if isinstance(b.ffn, ExpertFfn) else b, n)
        for b, n in arch.blocks))


def olmo_hybrid(f: Fields, name: str) -> Architecture:
    """Olmo Hybrid: gated delta nets with full attention every fourth layer."""
    style = Style(qk_norm="full", window="none")
    ends = read_ends(f, style)
    kinds = layer_kinds(f, ends, "layer_types") or [
        "full_attention" if (i + 1) % 4 == 0 else "linear_attention" for i in range(ends.n_layers)]
    delta = LinearAttention(
        "gated_delta", f.count("linear_num_key_heads"), f.count("linear_num_value_heads"),
        f.count("linear_key_head_dim"), f.count("linear_value_head_dim"),
        f.count("linear_conv_kernel_dim", default=4))
    blocks = [block_of(delta if "linear" in kind else a, ffn, ends.d_model)
              for kind, a, ffn in zip(kinds, read_attention(f, style, ends),
                                      read_ffn(f, style, ends), strict=True)]
    return assemble(f, name, style, ends, blocks)


RECENT: dict[str, Family] = {
    "mllama": mllama, "mllama_text_model": mllama,
    "minimax_m3_vl": minimax_m3, "minimax_m3_vl_text": minimax_m3, "minimax_m3": minimax_m3,
    "laguna": laguna, "step3p5": step3p5, "step3p7": step3p5,
    "ernie4_5_vl_moe": ernie_vl, "ernie4_5_vl_moe_text": ernie_vl, "ernie4_5_moe_vl": ernie_vl,
    "axk1": axk1, "olmo_hybrid": olmo_hybrid,
}
