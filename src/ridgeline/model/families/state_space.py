"""Decoders with state-space layers, gated recurrences or short convolutions.

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
    head_shape,
    read_attention,
    read_ends,
    read_experts,
    read_ffn,
)
from ridgeline.model.families.blocks import Family, block_of, layer_kinds
from ridgeline.model.fields import Fields
from ridgeline.model.parts import (
    Attention,
    Block,
    DenseFfn,
    Ffn,
    GatedRecurrence,
    Mamba,
    ShortConv,
    Weight,
)
from ridgeline.model.tensors import linear, norm, times


def mamba(f: Fields, name: str) -> Architecture:
    """Mamba and Falcon-Mamba: version-1 layers only."""
    style = Style(norms=1, tied=True)
    ends = read_ends(f, style)
    d = ends.d_model
    rank = f.raw("time_step_rank")
    mixer = Mamba(1, f.count("intermediate_size", default=f.count("expand", default=2) * d),
                  f.count("state_size", default=16), f.count("conv_kernel", default=4),
                  dt_rank=-(-d // 16) if rank in (None, "auto")
                  else f.whole("time_step_rank", rank, 1, 100_000),
                  conv_bias=f.flag("use_conv_bias", default=True), proj_bias=f.flag("use_bias"))
    f.ignore("expand")
    return assemble(f, name, style, ends, [block_of(mixer, None, d, 1)] * ends.n_layers)


def mamba2(f: Fields, name: str) -> Architecture:
    """Mamba-2 layers only."""
    style = Style(norms=1)
    ends = read_ends(f, style)
    d, expand = ends.d_model, f.count("expand", default=2)
    mixer = Mamba(2, f.count("intermediate_size", default=expand * d),
                  f.count("state_size", default=128), f.count("conv_kernel", default=4),
                  n_groups=f.count("n_groups", default=8), n_heads=f.count("num_heads"),
                  conv_bias=f.flag("use_conv_bias", default=True), proj_bias=f.flag("use_bias"))
    f.ignore("head_dim", "time_step_rank")
    return assemble(f, name, style, ends, [block_of(mixer, None, d, 1)] * ends.n_layers)


def mamba2_mixer(f: Fields, d: int, gated_norm: bool = True) -> Mamba:
    """The Mamba-2 layer of Bamba, Falcon-H1, Granite hybrids and their kin (`mamba_*` fields)."""
    expand = f.number("mamba_expand", default=2, high=100)
    inner = f.maybe("mamba_d_ssm") or int(expand * d)
    heads = f.count("mamba_n_heads", high=100_000)
    f.ignore("mamba_d_head")
    return Mamba(2, inner, f.count("mamba_d_state"), f.count("mamba_d_conv", default=4),
                 n_groups=f.count("mamba_n_groups", default=1), n_heads=heads,
                 conv_bias=f.flag("mamba_conv_bias", default=True),
                 proj_bias=f.flag("mamba_proj_bias"), gated_norm=gated_norm)


def bamba(f: Fields, name: str) -> Architecture:
    """Bamba and Granite 4 hybrids: Mamba-2 layers with attention at listed places."""
    granite = "granite" in f.text("model_type")
    style = Style(tied=granite)
    ends = read_ends(f, style)
    d = ends.d_model
    places = set(f.counts("attn_layer_indices") or ())
    kinds = layer_kinds(f, ends, "layer_types", "layers_block_type") or [
        "attention" if i in places else "mamba" for i in range(ends.n_layers)]
    attention = read_attention(f, style, ends)
    mixer = mamba2_mixer(f, d) if any(k != "attention" and "full" not in k for k in kinds) \
        else None
    if granite and not f.count("num_local_experts", default=0, low=0):
        f.ignore("num_experts_per_tok", "intermediate_size")
        ffn: list[Ffn] = [DenseFfn(f.count("shared_intermediate_size"))] * ends.n_layers
    else:
        ffn = read_ffn(f, style, ends)
    blocks = [block_of(a if kind in ("attention", "full_attention") else mixer, ff, d)
              for kind, a, ff in zip(kinds, attention, ffn, strict=True)]
    return assemble(f, name, style, ends, blocks)


def falcon_h1(f: Fields, name: str) -> Architecture:
    """Falcon-H1: attention and a Mamba-2 mixer side by side in every layer."""
    style = Style()
    ends = read_ends(f, style)
    d = ends.d_model
    mixer = mamba2_mixer(f, d, gated_norm=f.flag("mamba_rms_norm"))
    attention, ffn = read_attention(f, style, ends), read_ffn(f, style, ends)
    blocks = []
    for a, ff in zip(attention, ffn, strict=True):
        blocks += [Block(mixer, None, (norm("norm", d),), parallel=True), block_of(a, ff, d, 1)]
    return assemble(f, name, style, ends, blocks)


def jamba(f: Fields, name: str) -> Architecture:
    """Jamba: attention one layer in eight among Mamba-1 layers, experts every other layer."""
    style = Style()
    ends = read_ends(f, style)
    d = ends.d_model
    mixer = Mamba(1, int(f.number("mamba_expand", default=2, high=100) * d),
                  f.count("mamba_d_state", default=16), f.count("mamba_d_conv", default=4),
                  dt_rank=-(-d // 16) if f.raw("mamba_dt_rank") in (None, "auto")
                  else f.count("mamba_dt_rank"), inner_norms=True,
                  conv_bias=f.flag("mamba_conv_bias", default=True),
                  proj_bias=f.flag("mamba_proj_bias"))
    a_every, a_first = f.count("attn_layer_period"), f.count("attn_layer_offset", low=0)
    e_every, e_first = f.count("expert_layer_period"), f.count("expert_layer_offset", low=0)
    attention = read_attention(f, style, ends)
    many = f.count("num_experts", low=0) > 1
    dense, sparse = DenseFfn(f.count("intermediate_size")), read_experts(f, style)
    blocks = [block_of(attention[i] if i % a_every == a_first else mixer,
                       sparse if many and i % e_every == e_first else dense, d)
              for i in range(ends.n_layers)]
    return assemble(f, name, style, ends, blocks)


def zamba(f: Fields, name: str) -> Architecture:
    """Zamba: Mamba-1 layers, and one attention block shared by every hybrid layer."""
    style = Style(tied=True)
    ends = read_ends(f, style)
    d = ends.d_model
    mixer = Mamba(1, f.count("mamba_expand", default=2) * d, f.count("mamba_d_state"),
                  f.count("mamba_d_conv"), dt_rank=-(-d // 16)
                  if f.raw("mamba_dt_rank") in (None, "auto") else f.count("mamba_dt_rank"),
                  conv_bias=f.flag("mamba_conv_bias", default=True),
                  proj_bias=f.flag("mamba_proj_bias"))
    # Per-head input projections: each head has its own dt_rank rows over its own channels.
    kinds = layer_kinds(f, ends, "layers_block_type") or _zamba_kinds(f, ends)
    heads, width = f.count("num_attention_heads"), 2 * d
    head_dim = f.count("attention_head_dim", default=width // heads)
    shared = Attention(heads, f.count("num_key_value_heads", default=heads), head_dim,
                       d_in=width, d_out=d)
    block = Block(shared, DenseFfn(f.count("intermediate_size")),
                  (Weight("linear", (d, d), "mixer", "tp"),), shared="block 0")
    own = (norm("input_norm", width), norm("pre_ff_norm", d))
    blocks: list[Block] = []
    for kind in kinds:
        if kind == "hybrid":
            blocks.append(block)
        blocks.append(block_of(mixer, None, d, 1))
    f.ignore("attention_hidden_size", "n_mamba_heads")
    return assemble(f, name, style, ends, blocks, final=own)


def _zamba_kinds(f: Fields, ends: Ends) -> list[str]:
    every, first = f.count("attn_layer_period", default=6), f.count("attn_layer_offset",
                                                                    default=4, low=0)
    return ["hybrid" if i >= 2 and i % every == first else "mamba" for i in range(ends.n_layers)]


def zamba2(f: Fields, name: str) -> Architecture:
    """Zamba2: Mamba-2 layers, shared attention blocks with a low-rank adapter for each use."""
    style = Style(tied=f.flag("tie_word_embeddings", default=True))
    ends = read_ends(f, style)
    d = ends.d_model
    expand = f.count("mamba_expand", "expansion_factor", default=2)
    heads = f.maybe("n_mamba_heads")
    width = f.maybe("mamba_headdim")
    mixer = Mamba(2, expand * d, f.count("mamba_d_state", "state_size"),
                  f.count("mamba_d_conv", "conv_dimension", default=4),
                  n_groups=f.count("mamba_ngroups", default=1),
                  n_heads=heads or expand * d // (width or 64))
    rank = f.count("adapter_rank", "lora_rank", default=128)
    d_ff = f.count("intermediate_size", "ffn_hidden_size", default=4 * d)
    n_heads, n_blocks = f.count("num_attention_heads"), f.count("num_mem_blocks", default=1)
    attention = Attention(n_heads, f.count("num_key_value_heads", default=n_heads),
                          f.count("attention_head_dim", default=2 * d // n_heads), d_in=2 * d,
                          d_out=d)
    adapter = (*linear("adapter.a", d, rank, "ffn", shard="replicated"),
               *linear("adapter.b", rank, 2 * d_ff, "ffn"), Weight("linear", (d, d), "mixer", "tp"))
    if f.flag("use_shared_attention_adapter", "use_shared_attention_lora"):
        adapter = (*adapter, *linear("adapter.qkv_a", 2 * d, rank, "attention", count=3),
                   *linear("adapter.qkv_b", rank, 2 * d, "attention", count=3))
    kinds = layer_kinds(f, ends, "layers_block_type")
    places = set(f.counts("hybrid_layer_ids") or ())
    blocks: list[Block] = []
    used = 0
    for i in range(ends.n_layers):
        if (kinds is not None and kinds[i] == "hybrid") or i in places:
            blocks.append(Block(attention, DenseFfn(d_ff), adapter,
                                shared=f"block {used % n_blocks}"))
            used += 1
        blocks.append(block_of(mixer, None, d, 1))
    own = times((norm("input_norm", 2 * d), norm("pre_ff_norm", d)), min(n_blocks, used))
    f.ignore("kv_channels", "num_query_groups", "attention_hidden_size", "ft_lora")
    return assemble(f, name, style, ends, blocks, final=own)


def nemotron_h(f: Fields, name: str) -> Architecture:
    """Nemotron-H and Nemotron 3: one mixer or one feed-forward a layer, by a pattern of letters."""
    style = Style(gated=False, router_bias=True)
    pattern = f.text("hybrid_override_pattern")
    kinds = f.names("layers_block_type") or [
        {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}.get(c, c) for c in pattern]
    if not kinds:
        raise BadInput(f"{f.where}: needs hybrid_override_pattern")
    ends = replace(read_ends(f, style), n_layers=len(kinds)) if f.has("num_hidden_layers") \
        else read_ends(Fields({**f.data, "num_hidden_layers": len(kinds)}, f.where), style)
    mixer = Mamba(2, f.count("mamba_num_heads") * f.count("mamba_head_dim"),
                  f.count("ssm_state_size"), f.count("conv_kernel", default=4),
                  n_groups=f.count("n_groups", default=8), n_heads=f.count("mamba_num_heads"),
                  conv_bias=f.flag("use_conv_bias", default=True), proj_bias=f.flag("use_bias"))
    f.ignore("expand", "moe_shared_expert_overlap", "mtp_layers_block_type")
    makers: dict[str, Block] = {}

    def made(kind: str) -> Block:
        if kind not in makers:
            makers[kind] = _nemotron_block(f, style, ends, mixer, kind)
        return makers[kind]

    blocks = [made({"linear_attention": "mamba", "full_attention": "attention"}.get(k, k))
              for k in kinds]
    layers = f.count("num_nextn_predict_layers", default=0, low=0, high=100)
    own = [w for c in f.text("mtp_hybrid_override_pattern", default="*E")
           for w in made({"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}.get(c, c)
                         ).weights(ends.d_model)] if layers else []
    mtp = times((*own, *linear("mtp.eh_proj", 2 * ends.d_model, ends.d_model, "other",
                               shard="replicated"),
                 norm("mtp.norms", ends.d_model, count=3)), layers) if layers else ()
    return assemble(f, name, style, ends, blocks, mtp=mtp)


def _nemotron_block(f: Fields, style: Style, ends: Ends, mixer: Mamba, kind: str) -> Block:
    one = replace(ends, n_layers=1)
    if kind == "mamba":
        return block_of(mixer, None, ends.d_model, 1)
    if kind == "attention":
        return block_of(read_attention(f, style, one)[0], None, ends.d_model, 1)
    if kind == "mlp":
        return block_of(None, DenseFfn(f.count("intermediate_size"), False, f.flag("mlp_bias")),
                        ends.d_model, 1)
    if kind == "moe":
        experts = read_experts(f, style)
        if experts is None:
            raise BadInput(f"{f.where}: its pattern has experts; needs n_routed_experts")
        return block_of(None, replace(experts, latent=f.maybe("moe_latent_size")),
                        ends.d_model, 1)
    raise BadInput(f"{f.where}: layer kind {kind!r} in the pattern; expected M, *, - or E")


def recurrent_gemma(f: Fields, name: str) -> Architecture:
    """RecurrentGemma: gated linear recurrences with local attention every third layer."""
    style = Style(tied=True, out_bias=True)
    ends = read_ends(f, style)
    d = ends.d_model
    period = f.names("block_types", "_block_types") or ["recurrent", "recurrent", "attention"]
    heads, kv, width = head_shape(f, d, style)
    attention = Attention(heads, kv, width, out_bias=True,
                          window=f.count("attention_window_size", default=2048))
    mixer = GatedRecurrence(f.count("lru_width", default=d), heads,
                            f.count("conv1d_width", default=4))
    ffn = DenseFfn(f.count("intermediate_size") // 2, bias=True)
    blocks = [block_of(attention if period[i % len(period)] == "attention" else mixer, ffn, d)
              for i in range(ends.n_layers)]
    return assemble(f, name, style, ends, blocks)


def lfm2(f: Fields, name: str) -> Architecture:
    """LFM2: gated short convolutions with attention at listed layers."""
    style = Style(tied=f.flag("tie_embedding", default=True), qk_norm="head", router_bias=f.flag(
        "use_expert_bias"))
    ends = read_ends(f, style)
    d = ends.d_model
    places = f.counts("full_attn_idxs")
    kinds = layer_kinds(f, ends, "layer_types") or [
        "full_attention" if places is None or i in places else "conv"
        for i in range(ends.n_layers)]
    conv = ShortConv(d, f.count("conv_L_cache", default=3), f.flag("conv_bias"))
    attention = read_attention(f, replace(style, window="none"), ends)
    if f.flag("block_auto_adjust_ff_dim"):
        multiple = f.count("block_multiple_of", default=256)
        wide = int(f.number("block_ffn_dim_multiplier", default=1.0)
                   * int(2 * f.count("intermediate_size", "block_ff_dim") / 3))
        ffn: list[Ffn] = [DenseFfn(-(-wide // multiple) * multiple)] * ends.n_layers
    else:
        ffn = read_ffn(f, style, ends)
    blocks = [block_of(attention[i] if "attention" in kinds[i] else conv, ffn[i], d)
              for i in range(ends.n_layers)]
    return assemble(f, name, style, ends, blocks)


FAMILIES: dict[str, Family] = {
    "mamba": mamba, "falcon_mamba": mamba, "mamba2": mamba2, "bamba": bamba,
    "granitemoehybrid": bamba, "falcon_h1": falcon_h1, "jamba": jamba, "zamba": zamba,
    "zamba2": zamba2, "nemotron_h": nemotron_h, "recurrent_gemma": recurrent_gemma, "lfm2": lfm2,
    "lfm2_moe": lfm2,
}
