"""Gemma 3n and Gemma 4: per-layer inputs, shared caches, several residual streams, experts."""

from __future__ import annotations

from dataclasses import replace

from ridgeline.model.architecture import Architecture
from ridgeline.model.decoder import (
    Style,
    assemble,
    head_shape,
    read_attention,
    read_ends,
    read_experts,
    windows,
)
from ridgeline.model.families.blocks import Family, layer_kinds
from ridgeline.model.fields import Fields
from ridgeline.model.parts import (
    Attention,
    Block,
    DenseFfn,
    Ffn,
    Weight,
)
from ridgeline.model.tensors import norm


def gemma4(f: Fields, name: str) -> Architecture:
    """Gemma 4: wide global heads whose values are their keys, a scalar a layer, experts."""
    style = Style(norms=4, tied=True, qk_norm="head", vocab=262_144, head_dim=256)
    ends = read_ends(f, style)
    d, layers = ends.d_model, ends.n_layers
    heads, kv, width = head_shape(f, d, style)
    wide = f.count("global_head_dim", default=512)
    k_is_v = f.flag("attention_k_eq_v")
    global_kv = f.maybe("num_global_key_value_heads") if k_is_v else None
    kinds = layer_kinds(f, ends, "layer_types") or [
        "sliding_attention" if (i + 1) % 6 else "full_attention" for i in range(layers)]
    local = windows(f, style, layers, 0)
    shared = f.count("num_kv_shared_layers", default=0, low=0)
    sparse = f.flag("enable_moe_block")
    extra = f.count("hidden_size_per_layer_input", default=0, low=0)
    double = f.flag("use_double_wide_mlp")
    d_ff = f.per_layer("intermediate_size", layers=layers, low=1)
    experts = read_experts(f, style) if sparse else None
    f.ignore("top_k_experts", "num_experts", "moe_intermediate_size", "expert_intermediate_size")
    blocks = []
    for i, kind in enumerate(kinds):
        full, reuses = "full" in kind, shared > 0 and i >= layers - shared
        mixer = Attention(heads, (global_kv or kv) if full else kv, wide if full else width,
                          window=None if full else local[i], qk_norm="head",
                          k_is_v=full and k_is_v, shares_kv=reuses)
        width_ff = d_ff[i] * (2 if double and reuses else 1)
        norms = [norm("norms", d, count=4), Weight("layer_scalar", (1,), "other")]
        ffn: Ffn = DenseFfn(width_ff)
        if experts is not None:
            ffn = replace(experts, dense_d_ff=width_ff)
            norms += [norm("expert_norms", d, count=3), Weight("router.scale", (d,), "router"),
                      Weight("router.expert_scale", (experts.n_experts,), "router")]
        if extra:
            norms += [Weight("per_layer_gate", (d, extra), "other"),
                      Weight("per_layer_projection", (extra, d), "other"),
                      norm("per_layer_norm", d)]
        blocks.append(Block(mixer, ffn, tuple(norms)))
    arch = assemble(f, name, style, ends, blocks)
    return _per_layer_embedding(f, arch, extra)


def _per_layer_embedding(f: Fields, arch: Architecture, extra: int) -> Architecture:
    """A second embedding table with `extra` values for each layer (Gemma 3n and 4 E models)."""
    vocab = f.count("vocab_size_per_layer_input", default=262_144)
    if not extra:
        return arch
    wide = arch.n_layers * extra
    own = (Weight("embed_tokens_per_layer", (vocab, wide), "embedding", "vocab"),
           Weight("per_layer_model_projection", (arch.d_model, wide), "embedding"),
           norm("per_layer_projection_norm", extra))
    return replace(arch, embedding=(*arch.embedding, *own))


def gemma3n(f: Fields, name: str) -> Architecture:
    """Gemma 3n: four residual streams (AltUp), a low-rank bypass (Laurel), per-layer inputs."""
    style = Style(norms=4, tied=True, qk_norm="head", vocab=262_400, head_dim=256)
    ends = read_ends(f, style)
    d, layers = ends.d_model, ends.n_layers
    streams = f.count("altup_num_inputs", default=4, high=100)
    rank, extra = f.count("laurel_rank", default=64), f.count("hidden_size_per_layer_input",
                                                              default=256)
    shared = f.count("num_kv_shared_layers", default=0, low=0)
    attention = read_attention(f, style, ends)
    d_ff = f.per_layer("intermediate_size", layers=layers, low=1)
    norms = (norm("norms", d, count=4), Weight("altup.correct_scale", (d,), "other"),
             Weight("altup.coefs", (streams, streams * streams + streams), "other"),
             Weight("altup.router", (d, streams), "other"), norm("altup.router_norm", d),
             Weight("laurel", (d, rank), "other", count=2), norm("laurel.norm", d),
             Weight("per_layer_gate", (d, extra), "other"),
             Weight("per_layer_projection", (extra, d), "other"), norm("per_layer_norm", d))
    blocks = []
    for i, mixer in enumerate(attention):
        if isinstance(mixer, Attention) and i >= layers - shared:
            mixer = replace(mixer, shares_kv=True)
        blocks.append(Block(mixer, DenseFfn(d_ff[i]), norms))
    heads = (Weight("altup.projections", (d, d), "other", count=2 * (streams - 1)),)
    arch = assemble(f, name, style, ends, blocks, final=heads)
    return _per_layer_embedding(f, arch, extra)


FAMILIES: dict[str, Family] = {
    "gemma4": gemma4, "gemma4_text": gemma4, "gemma4_unified": gemma4,
    "gemma4_unified_text": gemma4, "gemma3n": gemma3n, "gemma3n_text": gemma3n,
}
