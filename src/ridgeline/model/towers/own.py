"""Towers that a publisher made for its own models.

Shapes read from the public modelling code of each type (Hugging Face Transformers 5, Apache-2.0)
and checked against the parameters of the modules it builds.
"""

from __future__ import annotations

from ridgeline.model.fields import Fields
from ridgeline.model.tensors import Weight, norm, times
from ridgeline.model.towers.parts import (
    Tower,
    matrix,
    siglip,
    tower_layer,
)


def gemma3(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """SigLIP with Gemma 3's projector (a norm and one matrix) or PaliGemma's (one with a bias)."""
    d = v.count("hidden_size", default=1152)
    if outer.text("model_type") == "paligemma":
        return (*siglip(v, pooled=False), *matrix("projector", d, d_model))
    return (*siglip(v), Weight("projector", (d, d_model), "other"),
            norm("projector.norm", d))


def mistral3(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """Pixtral with Mistral 3's patch merger and two-matrix projector."""
    d, layers = v.count("hidden_size", default=1024), v.count("num_hidden_layers", default=24,
                                                              high=500)
    d_ff, patch = v.count("intermediate_size", default=4096), v.count("patch_size", default=14)
    merge = outer.count("spatial_merge_size", default=2)
    bias = outer.flag("multimodal_projector_bias")
    own = (*matrix("vision.patch_embed", 3 * patch * patch, d, False), norm("vision.norm", d),
           *times(tower_layer(d, d_ff, bias=False, gated=True, norm_bias=False), layers))
    return (*own, norm("projector.norm", d),
            *matrix("projector.merge", merge * merge * d, d, False),
            *matrix("projector.1", d, d_model, bias),
            *matrix("projector.2", d_model, d_model, bias))


def llama4(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """Llama 4's encoder, pixel-shuffle adapter and one-matrix projector."""
    d, layers = v.count("hidden_size", default=768), v.count("num_hidden_layers", default=34,
                                                             high=500)
    d_ff, patch = v.count("intermediate_size", default=5632), v.count("patch_size", default=14)
    side = v.count("image_size", default=448) // patch
    p_in, p_out = v.count("projector_input_dim", default=4096), v.count("projector_output_dim",
                                                                        default=4096)
    out = v.count("vision_output_dim", default=p_out)
    return (*matrix("vision.patch_embed", 3 * patch * patch, d, False),
            Weight("vision.class", (d,), "other"),
            Weight("vision.positions", (side * side + 1, d), "other"),
            norm("vision.norm", d, True, 2), *times(tower_layer(d, d_ff), layers),
            *matrix("adapter.1", d_ff, p_in, False), *matrix("adapter.2", p_out, p_out, False),
            *matrix("projector", out, d_model, False))


def gemma4(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """Gemma 4's encoder: gated, head norms, a table of positions for each axis."""
    d, layers = v.count("hidden_size"), v.count("num_hidden_layers", high=500)
    d_ff, patch = v.count("intermediate_size"), v.count("patch_size", default=16)
    heads = v.count("num_attention_heads")
    width = v.count("head_dim", default=max(1, d // heads))
    layer = (*tower_layer(d, d_ff, bias=False, gated=True, norm_bias=False, norms=4,
                     qkv=heads * width), norm("vision.qk_norms", width, count=2))
    if v.flag("use_clipped_linears"):
        layer = (*layer, Weight("vision.clip_bounds", (4,), "other", count=7))
    audio = outer.sub("audio_config")
    own = (*(gemma4_audio(audio, d_model) if audio else ()),
           *matrix("vision.patch_embed", 3 * patch * patch, d, False),
           Weight("vision.positions", (2, v.count("position_embedding_size", default=10_240), d),
                  "other"), *times(layer, layers), *matrix("projector", d, d_model, False))
    return (*own, Weight("vision.standardize", (2, d), "other")) if v.flag("standardize") else own


def qwen3_vl(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """Qwen3-VL's and Qwen3.5's encoder: learned positions, one merger and deep-stack mergers."""
    d, layers = v.count("hidden_size"), v.count("depth", high=500)
    patch, frames = v.count("patch_size", default=16), v.count("temporal_patch_size", default=2)
    merge = v.count("spatial_merge_size", default=2) ** 2 * d
    out = v.count("out_hidden_size", default=d_model)
    mixing = (*matrix("merger.fc1", merge, merge), *matrix("merger.fc2", merge, out))
    deep = len(v.counts("deepstack_visual_indexes") or ())
    return (*matrix("vision.patch_embed", v.count("in_channels", default=3) * frames * patch**2,
                     d),
            Weight("vision.positions", (v.count("num_position_embeddings", default=2304), d),
                   "other"),
            *times(tower_layer(d, v.count("intermediate_size")), layers),
            *mixing, norm("merger.norm", d, True),
            *times((*mixing, norm("merger.norm", merge, True)), deep))


def qwen2_vl(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """Qwen2-VL's and Qwen2.5-VL's encoder and patch merger."""
    newer = v.has("intermediate_size") and v.has("out_hidden_size")
    heads = v.count("num_heads", default=16, high=100_000)
    kv = v.count("num_key_value_heads", default=heads, high=100_000)
    d = v.count("hidden_size") if newer else v.count("embed_dim")
    patch, frames = v.count("patch_size", default=14), v.count("temporal_patch_size", default=2)
    d_ff = v.count("intermediate_size") if newer else int(v.number("mlp_ratio", default=4.0) * d)
    merge = v.count("spatial_merge_size", default=2) ** 2 * d
    out = v.count("out_hidden_size", default=d_model) if newer else v.count("hidden_size",
                                                                            default=d_model)
    layer = tower_layer(d, d_ff, gated=newer, norm_bias=not newer)
    if kv < heads:   # EXAONE 4.5 groups its tower's heads
        spare = 2 * d * (heads - kv) // heads
        layer = (Weight("vision.qkv", (d, 3 * d - spare), "other"),
                 Weight("vision.qkv.bias", (3 * d - spare,), "other"),
                 *(w for w in layer if not w.name.startswith("vision.qkv")))
    return (*matrix("vision.patch_embed", 3 * frames * patch**2, d, False),
            *times(layer, v.count("depth", default=32, high=500)),
            norm("merger.norm", d, not newer), *matrix("merger.fc1", merge, merge),
            *matrix("merger.fc2", merge, out))


def moonvit(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """MoonViT of Kimi K2.5 and K3 with its patch merger."""
    d = v.count("vt_hidden_size", "hidden_size", default=1152)
    layers = v.count("vt_num_hidden_layers", "num_hidden_layers", default=27, high=500)
    d_ff, patch = v.count("vt_intermediate_size", "intermediate_size", default=4304), v.count(
        "patch_size", default=14)
    side = (v.count("init_pos_emb_height", "pos_emb_height", default=64, high=10_000)
            * v.count("init_pos_emb_width", "pos_emb_width", default=64, high=10_000))
    bias = v.flag("linear_bias", default=True)
    rms = v.text("norm_type") == "rmsnorm"
    layer = tower_layer(d, d_ff, bias=bias, norm_bias=not rms, qkv=v.maybe("qkv_hidden_size"))
    merge = 4 * v.count("mm_hidden_size", default=d)
    newer = v.text("mm_projector_type").endswith("v2")
    projector_bias = not newer
    # K2.5 normalises what enters its projector; K3 what leaves it.
    projector_norm = norm("projector.norm", d_model if newer else d, not rms)
    return (*matrix("vision.patch_embed", 3 * patch**2, d,
                     v.flag("patch_embed_proj_bias", default=True)),
            Weight("vision.positions", (side, d), "other"), *times(layer, layers),
            norm("vision.norm", d, not rms), projector_norm,
            *matrix("projector.1", merge, merge, projector_bias),
            *matrix("projector.2", merge, d_model, projector_bias))


def gemma4_audio(a: Fields, d_model: int) -> tuple[Weight, ...]:
    """Gemma 4's audio encoder: two strided convolutions, conformer layers, two projections."""
    d, kernel = a.count("hidden_size", default=1024, high=100_000), a.count("conv_kernel_size",
                                                                             default=5)
    first, second = (a.counts("subsampling_conv_channels", length=2, low=1) or [128, 32])[:2]
    width, out = d // a.count("num_attention_heads", default=8), a.count("output_proj_dims",
                                                                        default=1536)
    layer = (*matrix("audio.feed_forward", d, 4 * d, False, 4),
             *matrix("audio.attention", d, d, False, 5), *matrix("audio.conv", d, d, False, 3),
             Weight("audio.depthwise", (d, kernel), "other"), norm("audio.norms", d, count=9),
             Weight("audio.dim_scale", (width,), "other"))
    if a.flag("use_clipped_linears", default=True):
        layer = (*layer, Weight("audio.clip_bounds", (4,), "other", count=10))
    return (Weight("audio.conv.0", (first, 9), "other"), norm("audio.conv_norm.0", first),
            Weight("audio.conv.1", (second, first, 9), "other"), norm("audio.conv_norm.1", second),
            *matrix("audio.input", 32 * second, d, False),
            *times(layer, a.count("num_hidden_layers", default=12, high=500)),
            *matrix("audio.output", d, out), *matrix("audio.projector", out, d_model, False))


TOWERS: dict[str, Tower] = {
    "gemma3": gemma3, "shieldgemma2": gemma3, "paligemma": gemma3, "mistral3": mistral3,
    "llama4": llama4, "gemma4": gemma4, "qwen3_vl": qwen3_vl, "qwen3_vl_moe": qwen3_vl,
    "qwen3_5": qwen3_vl, "qwen3_5_moe": qwen3_vl, "qwen2_vl": qwen2_vl, "qwen2_5_vl": qwen2_vl,
    "exaone4_5": qwen2_vl, "kimi_k25": moonvit, "kimi_vl": moonvit, "kimi_k3": moonvit,
}
