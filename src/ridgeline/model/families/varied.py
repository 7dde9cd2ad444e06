"""Decoders whose attention or feed-forward differs from layer to layer.

Shapes read from the public modelling code of each type (Hugging Face Transformers 5, Apache-2.0)
and checked against the parameters of the modules it builds.

A reader raises `BadInput` when the config lacks a field it needs.
"""

from __future__ import annotations

from dataclasses import replace

from ridgeline.errors import BadInput
from ridgeline.model.architecture import Architecture
from ridgeline.model.decoder import (
    Ends,
    Style,
    assemble,
    generic,
    head_shape,
    layer_norms,
    read_attention,
    read_ends,
    read_experts,
    read_ffn,
)
from ridgeline.model.families.blocks import Family, block_of, layer_kinds, mtp_block
from ridgeline.model.fields import MAX_CONTEXT, Fields
from ridgeline.model.parts import (
    Attention,
    Block,
    DenseFfn,
    ExpertFfn,
    Ffn,
    Mixer,
    Weight,
)
from ridgeline.model.styles import STYLES
from ridgeline.model.tensors import linear, norm, times


def llama4(f: Fields, name: str) -> Architecture:
    """Llama 4: attention in chunks except every fourth layer, experts in some layers."""
    style = Style(vocab=202_048)
    ends = read_ends(f, style)
    layers = ends.n_layers
    every = f.count("interleave_moe_layer_step", default=1)
    listed = f.counts("moe_layers")
    experts = read_experts(f, style)
    width = f.count("intermediate_size")
    if experts is None:
        raise BadInput(f"{f.where}: needs num_local_experts")
    sparse = replace(experts, d_expert=width, shared_d_ff=width)
    dense = DenseFfn(f.count("intermediate_size_mlp", default=2 * width))
    chunk = f.count("attention_chunk_size", default=8192, high=MAX_CONTEXT)
    f.ignore("use_qk_norm", "nope_layer_interval", "no_rope_layer_interval")
    rope = f.counts("no_rope_layers") or None
    kinds = layer_kinds(f, ends, "layer_types")
    whole = [("full" in kinds[i]) if kinds else not rope[i] if rope and len(rope) >= layers
             else (i + 1) % 4 == 0 for i in range(layers)]
    made = read_attention(f, style, ends)
    blocks = []
    for i, mixer in enumerate(made):
        if isinstance(mixer, Attention) and not whole[i]:
            mixer = replace(mixer, window=chunk, chunked=True)
        is_moe = i in listed if listed else (i + 1) % every == 0
        blocks.append(block_of(mixer, sparse if is_moe else dense, ends.d_model))
    return assemble(f, name, style, ends, blocks)


def deci(f: Fields, name: str) -> Architecture:
    """DeciLM and Nemotron NAS: KV heads, or whole attention and feed-forward, chosen by layer."""
    style = Style()
    ends = read_ends(f, style)
    heads, _, width = head_shape(f, ends.d_model, style)
    per_layer = f.counts("num_key_value_heads_per_layer", length=ends.n_layers, low=1)
    if per_layer is not None:
        ffn = DenseFfn(f.count("intermediate_size"))
        return assemble(f, name, style, ends, [
            block_of(Attention(heads, kv, width), ffn, ends.d_model)
            for kv in per_layer[:ends.n_layers]])
    listed = f.listed("block_configs", length=ends.n_layers)
    if listed is None:
        return generic(f, name, style)
    return assemble(f, name, style, ends, [_nas_block(f, ends, heads, width, entry)
                                           for entry in listed[:ends.n_layers]])


def _nas_block(f: Fields, ends: Ends, heads: int, width: int, entry: object) -> Block:
    """One searched layer: attention, one linear map or nothing; feed-forward by multiplier."""
    if not isinstance(entry, dict):
        raise BadInput(f"{f.where}: block_configs holds {str(entry)[:30]!r}; expected groups")
    own = Fields(entry, f.where)
    attention = own.sub("attention") or Fields({}, f.where)
    ffn = own.sub("ffn") or Fields({}, f.where)
    d = ends.d_model
    norms: list[Weight] = []
    mixer: Mixer | None = None
    feed: Ffn | None = None
    if attention.flag("replace_with_linear"):
        norms += [norm("input_norm", d), Weight("attention_linear", (d, d), "attention", "tp")]
    elif not attention.flag("no_op"):
        group = attention.count("n_heads_in_group", default=1)
        if heads % group:
            raise attention.fail("n_heads_in_group", group, f"a divisor of {heads}")
        mixer = Attention(heads, heads // group, width)
        norms.append(norm("input_norm", d))
    if ffn.flag("replace_with_linear"):
        norms += [norm("ffn_norm", d), Weight("ffn_linear", (d, d), "ffn", "tp")]
    elif not ffn.flag("no_op"):
        size = int(2 * ffn.number("ffn_mult", default=4.0, high=1000) * d / 3)
        feed = DenseFfn(max(1, -(-size // 256) * 256))
        norms.append(norm("ffn_norm", d))
    return Block(mixer, feed, tuple(norms))


def gpt_neo(f: Fields, name: str) -> Architecture:
    """GPT-Neo: global and local layers in turn, no bias on queries, keys and values."""
    style = replace(STYLES["gpt_neo"], window="none")
    ends = read_ends(f, style)
    size = f.count("window_size", default=256, high=MAX_CONTEXT)
    kinds = layer_kinds(f, ends, "attention_layers") or [
        "local" if i % 2 else "global" for i in range(ends.n_layers)]
    attention = read_attention(f, style, ends)
    blocks = [Block(replace(a, window=size) if kind == "local" and isinstance(a, Attention) else a,
                    ffn, layer_norms(style, ends.d_model))
              for a, ffn, kind in zip(attention, read_ffn(f, style, ends), kinds, strict=True)]
    return assemble(f, name, style, ends, blocks)


def mimo_v2(f: Fields, name: str) -> Architecture:
    """MiMo-V2-Flash: window layers with sinks and their own head shape, wide keys."""
    style = Style(router_bias=True, window="period")
    ends = read_ends(f, style)
    heads, kv, width = head_shape(f, ends.d_model, style)
    value = f.count("v_head_dim", default=width)
    pattern = f.counts("hybrid_layer_pattern", length=ends.n_layers)
    kinds = layer_kinds(f, ends, "layer_types")
    local = [bool(p) for p in pattern] if pattern is not None else [
        "sliding" in k for k in kinds] if kinds is not None else [False] * ends.n_layers
    window = f.maybe("sliding_window", "sliding_window_size", high=MAX_CONTEXT)
    full = Attention(heads, kv, width, v_head_dim=value,
                     sinks=f.flag("add_full_attention_sink_bias"))
    swa = Attention(f.count("swa_num_attention_heads", default=heads),
                    f.count("swa_num_key_value_heads", default=8),
                    f.count("swa_head_dim", default=width), window=window,
                    v_head_dim=f.count("swa_v_head_dim", default=value),
                    sinks=f.flag("add_swa_attention_sink_bias", default=True))
    f.ignore("attention_chunk_size", "hybrid_block_size")
    blocks = [block_of(swa if is_local else full, ffn, ends.d_model)
              for is_local, ffn in zip(local[:ends.n_layers], read_ffn(f, style, ends),
                                        strict=True)]
    # Its files hold three prediction layers that its config does not name: windowed and dense.
    count = f.count("num_nextn_predict_layers", default=3, low=0, high=100)
    wide = f.maybe("intermediate_size")
    own = block_of(swa, DenseFfn(wide), ends.d_model) if count and wide else None
    return assemble(f, name, style, ends, blocks,
                    mtp=mtp_block(own, ends.d_model, count) if own else ())


def arctic(f: Fields, name: str) -> Architecture:
    """Snowflake Arctic: a dense feed-forward beside the experts in every expert layer."""
    style = Style()
    ends = read_ends(f, style)
    d, width = ends.d_model, f.count("intermediate_size")
    experts = read_experts(f, style)
    every = f.count("moe_layer_frequency", default=2)
    residual = f.flag("parallel_attn_mlp_res")
    if experts is None:
        raise BadInput(f"{f.where}: needs num_local_experts")
    blocks = []
    for i, mixer in enumerate(read_attention(f, style, ends)):
        sparse = (i + 1) % every == 0
        ffn: ExpertFfn | DenseFfn = experts if sparse else DenseFfn(width)
        block = block_of(mixer, ffn, d)
        if sparse and residual:
            extra = (norm("residual_norm", d), *linear("residual_mlp", d, 3 * d, "ffn"))
            block = replace(block, norms=(*block.norms, *extra))
        blocks.append(block)
    return assemble(f, name, style, ends, blocks)


def openelm(f: Fields, name: str) -> Architecture:
    """OpenELM: heads and feed-forward widths grow with depth."""
    style = Style(tied=True, qk_norm="head")
    d = f.count("model_dim")
    layers = f.count("num_transformer_layers", high=2_000)
    ends = Ends(d, layers, f.count("vocab_size"), f.count("max_context_length", default=2048),
                f.flag("share_input_output_layers", default=True))
    heads, kv = f.counts("num_query_heads", length=layers, low=1), f.counts(
        "num_kv_heads", length=layers, low=1)
    ratios = f.listed("ffn_multipliers", length=layers)
    if heads is None or kv is None or ratios is None:
        raise BadInput(f"{f.where}: needs num_query_heads, num_kv_heads and ffn_multipliers")
    f.ignore("num_gqa_groups", "qkv_multipliers")
    multiple = f.count("ffn_dim_divisor", default=256)
    blocks = []
    for h, k, ratio in zip(heads[:layers], kv[:layers], ratios[:layers], strict=True):
        if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 < ratio < 100:
            raise f.fail("ffn_multipliers", ratio, "a number from 0 to 100")
        size = max(multiple, int(ratio * d + multiple / 2) // multiple * multiple)
        blocks.append(block_of(Attention(h, k, f.count("head_dim"), qk_norm="head"),
                               DenseFfn(size if size >= 0.9 * ratio * d else size + multiple), d))
    return assemble(f, name, style, ends, blocks)


def longcat(f: Fields, name: str) -> Architecture:
    """LongCat-Flash: two latent attentions and dense paths a layer beside one expert branch."""
    style = Style(router_bias=True)
    ends = read_ends(f, style)
    d = ends.d_model
    latent = read_attention(f, style, ends)[0]
    experts = read_experts(f, style)
    if experts is None:
        raise BadInput(f"{f.where}: needs n_routed_experts")
    zero = f.count("zero_expert_num", default=0, low=0)
    f.ignore("zero_expert_type", "head_dim", "qk_head_dim")
    experts = replace(experts, router_outputs=experts.n_experts + zero)
    half = block_of(latent, DenseFfn(f.count("ffn_hidden_size")), d)
    blocks = [half, half, Block(None, experts, parallel=True)] * ends.n_layers
    return assemble(f, name, style, ends, blocks)


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


FAMILIES: dict[str, Family] = {
    "llama4": llama4, "llama4_text": llama4, "deci": deci, "nemotron-nas": deci,
    "gpt_neo": gpt_neo, "mimo_v2_flash": mimo_v2, "mimo_v2": mimo_v2, "arctic": arctic,
    "openelm": openelm, "longcat_flash": longcat, "mllama": mllama, "mllama_text_model": mllama,
    "laguna": laguna, "step3p5": step3p5, "step3p7": step3p5, "ernie4_5_vl_moe": ernie_vl,
    "ernie4_5_vl_moe_text": ernie_vl, "ernie4_5_moe_vl": ernie_vl,
}
