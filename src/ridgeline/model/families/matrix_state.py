"""Decoders whose layers keep a matrix of state a head: linear attention, delta rules, RWKV, xLSTM.

Shapes from the public modelling code (RWKV-7: flash-linear-attention, MIT; the others: Hugging Face
Transformers 5, Apache-2.0), checked against element counts of published checkpoints.

A reader raises `BadInput` when the config lacks a field it needs.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ridgeline.errors import BadInput
from ridgeline.model.architecture import Architecture, CheckpointExtra
from ridgeline.model.decoder import (
    Style,
    assemble,
    head_shape,
    read_attention,
    read_ends,
    read_ffn,
)
from ridgeline.model.families.blocks import Family, block_of, layer_kinds, mtp_block
from ridgeline.model.fields import Fields
from ridgeline.model.parts import (
    Block,
    DenseFfn,
    LinearAttention,
    Rwkv,
    Weight,
)
from ridgeline.model.tensors import elements, linear, norm


def qwen3_next(f: Fields, name: str) -> Architecture:
    """Qwen3-Next and Qwen3.5: gated delta nets, gated attention every few layers, MTP."""
    style = Style(qk_norm="head", output_gate=f.flag("attn_output_gate", default=True),
                  shared_gate=True)
    ends = read_ends(f, style)
    d = ends.d_model
    every = f.count("full_attention_interval", default=4)
    kinds = layer_kinds(f, ends, "layer_types") or [
        "linear_attention" if (i + 1) % every else "full_attention" for i in range(ends.n_layers)]
    delta = LinearAttention(
        "gated_delta", f.count("linear_num_key_heads"), f.count("linear_num_value_heads"),
        f.count("linear_key_head_dim"), f.count("linear_value_head_dim"),
        f.count("linear_conv_kernel_dim"))
    attention, ffn = read_attention(f, style, ends), read_ffn(f, style, ends)
    blocks = [block_of(delta if "linear" in kind else a, ff, d)
              for kind, a, ff in zip(kinds, attention, ffn, strict=True)]
    # Qwen3-Next publishes its one prediction layer without naming it in the config.
    unnamed = 1 if f.text("model_type") == "qwen3_next" else 0
    layers = f.count("mtp_num_hidden_layers", default=unnamed, low=0, high=100)
    f.ignore("mtp_use_dedicated_embeddings")
    mtp = mtp_block(block_of(attention[-1], ffn[-1], d), d, layers) if layers else ()
    return assemble(f, name, style, ends, blocks, mtp=mtp)


def kimi_linear(f: Fields, name: str) -> Architecture:
    """Kimi Linear and Kimi K3: delta attention with latent attention every fourth layer."""
    style = Style(router_bias=True)
    ends = read_ends(f, style)
    d = ends.d_model
    group = f.sub("linear_attn_config")
    kinds = layer_kinds(f, ends, "layer_types")
    if group is None and kinds is not None:
        full = {i + 1 for i, kind in enumerate(kinds) if "full" in kind}
        group = Fields({"num_heads": f.raw("linear_num_heads"),
                        "head_dim": f.raw("linear_head_dim"),
                        "short_conv_kernel_size": f.raw("linear_conv_kernel_dim")}, f.where)
    elif group is not None:
        full = set(group.counts("full_attn_layers") or ())
    else:
        raise BadInput(f"{f.where}: needs linear_attn_config")
    heads, width = group.count("num_heads"), group.count("head_dim")
    # K3's files hold 128 decay values a layer for its 96 heads.
    padded = width if group.flag("use_full_rank_gate") else 0
    kda = LinearAttention("kda", heads, heads, width, width,
                          group.count("short_conv_kernel_size", default=4),
                          full_rank_gate=group.flag("use_full_rank_gate"), decay_width=padded)
    attention, ffn = read_attention(f, style, ends), read_ffn(f, style, ends)
    latent = f.maybe("routed_expert_hidden_size")
    f.flag("latent_moe_use_norm")
    residual = f.maybe("attn_res_block_size")
    # Attention residuals: a norm and a d x 1 query before each half of a layer, one pair at the end
    extra = (norm("residual_norms", d, count=2),
             Weight("residual_queries", (d, 1), "other", count=2)) if residual else ()
    blocks = []
    for i, (mixer, ff) in enumerate(zip(attention, ffn, strict=True)):
        if latent and not isinstance(ff, DenseFfn):
            ff = replace(ff, latent=latent, latent_norm=f.flag("latent_moe_use_norm"))
        block = block_of(mixer if i + 1 in full else kda, ff, d)
        blocks.append(replace(block, norms=(*block.norms, *extra)))
    ending = (norm("residual_norm", d), Weight("residual_query", (d, 1), "other")) \
        if residual else ()
    return assemble(f, name, style, ends, blocks, final=ending)


def minimax(f: Fields, name: str) -> Architecture:
    """MiniMax Text-01 and M1: lightning attention, softmax attention at listed layers."""
    style = Style()
    ends = read_ends(f, style)
    heads, _, width = head_shape(f, ends.d_model, style)
    lightning = LinearAttention("lightning", heads, heads, width, width)
    listed = f.counts("attn_type_list", length=ends.n_layers)
    kinds = layer_kinds(f, ends, "layer_types")
    full = [bool(t) for t in listed] if listed is not None else [
        "full" in k for k in kinds] if kinds is not None else [
        (i + 1) % 8 == 0 for i in range(ends.n_layers)]
    attention, ffn = read_attention(f, style, ends), read_ffn(f, style, ends)
    blocks = [block_of(attention[i] if full[i] else lightning, ffn[i], ends.d_model)
              for i in range(ends.n_layers)]
    return assemble(f, name, style, ends, blocks)


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


def rwkv(f: Fields, name: str) -> Architecture:
    """RWKV-4: time mixing and channel mixing, layer norms with offsets, one more before all."""
    style = Style(norm_bias=True)
    ends = read_ends(f, style)
    d = ends.d_model
    mixer = Rwkv(f.count("attention_hidden_size", default=d))
    ffn = DenseFfn(f.count("intermediate_size", default=4 * d), gated=False, receptance=True)
    block = Block(mixer, ffn, (norm("norms", d, True, 2),))
    return assemble(f, name, replace(style, embed_norm=True), ends, [block] * ends.n_layers)


def rwkv7(f: Fields, name: str) -> Architecture:
    """RWKV-7: a delta rule with low-rank decay, in-context rate, value mixing and gate."""
    style = Style(norm_bias=True)
    ends = read_ends(f, style)
    d = ends.d_model
    width = f.count("head_dim", default=64)
    if d % width:
        raise f.fail("head_dim", width, f"a divisor of the width {d}")
    heads = f.count("num_heads", default=d // width)
    ranks = {part: f.count(f"{part}_low_rank_dim", default=default) for part, default in
             (("decay", _rank(d, 1.8)), ("a", _rank(d, 1.8)), ("v", _rank(d, 1.3)),
              ("gate", max(32, round(0.6 * d**0.8 / 32) * 32)))}
    low = [w for part, rank in ranks.items()
           for w in (*linear(f"{part}_lora.a", d, rank, "mixer", shard="replicated"),
                     *linear(f"{part}_lora.b", rank, d, "mixer", bias=part != "gate"))]
    mixing = (Weight("x_r, x_w, x_k, x_v, x_a, x_g", (d,), "mixer", count=6),
              Weight("k_k, k_a, r_k", (d,), "mixer", "tp", 3), norm("g_norm", d, True))
    f.ignore("attn", "value_dim", "hidden_ratio", "attn_mode", "num_attention_heads")
    mixer = LinearAttention("rwkv7", heads, heads, d // heads, d // heads,
                            extra=(*low, *mixing), shifted=2 * d)
    ffn = DenseFfn(f.count("intermediate_size", default=4 * d), gated=False)
    block = Block(mixer, ffn, (norm("norms", d, True, 2), Weight("ffn.x_k", (d,), "ffn")))
    first = f.flag("norm_first", default=True)
    arch = assemble(f, name, replace(style, embed_norm=first), ends, [block] * ends.n_layers)
    unused = -elements([w for w in low if w.name.startswith("v_lora")])
    return replace(arch, checkpoint_extras=(*arch.checkpoint_extras, CheckpointExtra(
        "value mixing of the first layer, not stored", unused, likely=False)))


def _rank(d: int, factor: float) -> int:
    """Low rank of a width when the config does not say: a multiple of 32."""
    return max(32, round(factor * math.sqrt(d) / 32) * 32)


def xlstm(f: Fields, name: str) -> Architecture:
    """xLSTM 7B: mLSTM layers, each with a gated feed-forward."""
    style = Style()
    sizes = Fields({**f.data, "num_hidden_layers": f.raw("num_hidden_layers", "num_blocks"),
                    "hidden_size": f.raw("hidden_size", "embedding_dim")}, f.where)
    ends = read_ends(sizes, style)
    d, heads = ends.d_model, f.count("num_heads", default=8)
    keys = int(d * f.number("qk_dim_factor", default=0.5, high=100))
    values = int(d * f.number("v_dim_factor", default=1.0, high=100))
    if keys < heads or keys % heads or values % heads:
        raise f.fail("num_heads", heads, f"a divisor of {keys} and {values}")
    step = f.count("ffn_round_up_to_multiple_of", default=64)
    wide = d * f.number("ffn_proj_factor", default=2.667, high=1000)
    bias = f.flag("use_bias")
    gates = (*linear("ogate", d, values, "mixer", bias=bias),
             *linear("igate, fgate", d, heads, "mixer", bias=True, count=2),
             norm("multihead_norm", values))
    if bias:
        gates = (*gates, Weight("qkvo.bias", (2 * keys + values + d,), "mixer", "tp"))
    f.ignore("num_blocks", "embedding_dim", *f.data)
    mixer = LinearAttention("mlstm", heads, heads, keys // heads, values // heads, extra=gates,
                            vector_state=keys + heads)
    block = Block(mixer, DenseFfn(max(step, int(-(-wide // step) * step)), bias=bias),
                  (norm("norms", d, count=2),))
    final = replace(style, final_norm=f.flag("add_out_norm", default=True))
    return assemble(f, name, final, ends, [block] * ends.n_layers)


FAMILIES: dict[str, Family] = {
    "qwen3_next": qwen3_next, "qwen3_5": qwen3_next, "qwen3_5_moe": qwen3_next,
    "qwen3_5_text": qwen3_next, "qwen3_5_moe_text": qwen3_next, "kimi_linear": kimi_linear,
    "kimi_k3": kimi_linear, "minimax_m1": minimax, "minimax_text_01": minimax, "minimax": minimax,
    "rwkv": rwkv, "olmo_hybrid": olmo_hybrid, "rwkv7": rwkv7, "xlstm": xlstm,
}
