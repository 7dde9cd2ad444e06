"""Towers around CLIP, SigLIP and their like, with the projectors put behind them.

Shapes read from the public modelling code of each type (Hugging Face Transformers 5, Apache-2.0)
and checked against the parameters of the modules it builds.
"""

from __future__ import annotations

from ridgeline.model.fields import Fields
from ridgeline.model.tensors import Weight, linear, norm, times
from ridgeline.model.towers.parts import (
    Tower,
    encoder,
    layers_of,
    matrix,
    patches,
    pixels,
    pixtral,
    siglip,
    tower_layer,
    two_layers,
)


def llava(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """LLaVA, LLaVA-NeXT, LLaVA-OneVision, VipLLaVA and Video-LLaVA."""
    kind, d = outer.text("model_type"), v.count("hidden_size", high=100_000)
    several = outer.raw("vision_feature_layers" if kind == "vipllava" else "vision_feature_layer")
    d_in = d * len(several) if isinstance(several, list) and several else d
    tower = encoder(v) * (2 if kind == "video_llava" else 1)
    own = (*tower, *two_layers(d_in, d_model, outer.flag("multimodal_projector_bias",
                                                         default=True)))
    if kind == "vipllava":
        return (*own, norm("projector.norm", d_in, True))
    row = kind in ("llava_next", "llava_next_video", "llava_onevision")
    return (*own, Weight("image_newline", (d_model,), "other")) if row else own


def pixel_shuffle(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """DeepSeek-VL's aligner behind SigLIP."""
    return (*siglip(v), *two_layers(v.count("hidden_size"), d_model))


def idefics3(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """Idefics 3 and SmolVLM: SigLIP without pooling, pixels folded into one matrix."""
    d, fold = v.count("hidden_size", high=100_000), outer.count("scale_factor", default=2, high=64)
    return (*siglip(v, pooled=False), *matrix("connector", d * fold * fold, d_model, False))


def idefics2(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """Idefics 2: SigLIP, a gated projector and a perceiver that keeps 64 latents."""
    p = outer.sub("perceiver_config") or Fields({}, outer.where)
    text = outer.sub("text_config") or Fields({}, outer.where)
    d, wide = v.count("hidden_size", high=100_000), text.count("intermediate_size", default=14336)
    heads = p.count("resampler_n_heads", default=16) * p.count("resampler_head_dim", default=96)
    kv = p.count("num_key_value_heads", default=4) * p.count("resampler_head_dim", default=96)
    layer = (norm("perceiver.norms", d_model, count=3),
             *matrix("perceiver.q_proj", d_model, heads, False),
             *matrix("perceiver.kv_proj", d_model, kv, False, 2),
             *matrix("perceiver.o_proj", heads, d_model, False),
             *matrix("perceiver.up", d_model, 4 * d_model, False, 2),
             *matrix("perceiver.down", 4 * d_model, d_model, False))
    return (*siglip(v, pooled=False), *matrix("projection.up", d, wide, False, 2),
            *matrix("projection.down", wide, d_model, False),
            Weight("perceiver.latents", (p.count("resampler_n_latents", default=64), d_model),
                   "other"),
            *times(layer, p.count("resampler_depth", default=3, high=500)),
            norm("perceiver.norm", d_model))


def aria(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """Aria: SigLIP, then cross attention from learned queries and a feed-forward."""
    d = v.count("hidden_size", high=100_000)
    text = outer.sub("text_config") or Fields({}, outer.where)
    wide = text.count("hidden_size", default=d_model)
    queries = outer.count("max_value_projector_patch_to_query_dict", default=256)
    return (*siglip(v, pooled=False), Weight("projector.query", (queries, d), "other"),
            *matrix("projector.qkv", d, d, False, 3), *matrix("projector.in", d, 3 * d),
            *matrix("projector.out", d, d), *matrix("projector.linear", d, d),
            norm("projector.norms", d, True, 3),
            *matrix("projector.up", d, wide, False), *matrix("projector.down", wide, d_model,
                                                             False))


def cohere_vision(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """Aya Vision and Command A Vision: SigLIP, folded pixels, a gated projector."""
    fold = outer.count("downsample_factor", default=2, high=64)
    d_in = v.count("hidden_size", high=100_000) * fold * fold
    aya = outer.text("model_type") == "aya_vision"
    wide = outer.count("alignment_intermediate_size", default=d_model if aya else 36_864)
    own = (*siglip(v), *matrix("projector.1", d_in, wide),
           *matrix("projector.2", wide // 2, d_model))
    return (*own, norm("projector.norm", d_in, True)) if aya else own


def internvl(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """InternVL in the library's own form: InternViT, folded pixels, two matrices."""
    d = v.count("hidden_size", high=100_000)
    d_ff, bias = v.count("intermediate_size"), v.flag("attention_bias")
    fold = 1 / outer.number("downsample_ratio", default=0.5, low=0.01, high=1.0)
    norm_bias = v.text("norm_type", default="layer_norm") == "layer_norm"
    layer = (*matrix("vision.qkv", d, d, bias, 3), *matrix("vision.proj", d, d),
             *matrix("vision.fc1", d, d_ff), *matrix("vision.fc2", d_ff, d),
             norm("vision.norms", d, norm_bias, 2), Weight("vision.scales", (2, d), "other"))
    if v.flag("use_qk_norm"):
        layer = (*layer, norm("vision.qk_norms", d, count=2))
    ending = () if v.flag("use_mean_pooling", default=True) else (norm("vision.norm", d, True),)
    folded = int(d * fold * fold)
    return (Weight("vision.class", (d,), "other"), *matrix("vision.patch_embed", pixels(v), d),
            Weight("vision.positions", (patches(v) + 1, d), "other"),
            *times(layer, v.count("num_hidden_layers", high=500)), *ending,
            norm("projector.norm", folded, True), *matrix("projector.1", folded, d_model),
            *matrix("projector.2", d_model, d_model))


def internvl_chat(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """InternVL's published form: the same tower with its own names for the same choices."""
    own = {**v.data, "attention_bias": v.raw("qkv_bias"), "use_qk_norm": v.raw("qk_normalization"),
           "norm_type": v.text("norm_type", default="layer_norm"), "use_mean_pooling": True}
    return internvl(Fields(own, v.where), d_model, outer)


def glm4v(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """GLM-4.1V to 4.6V and GLM-OCR: gated tower, strided merge, gated projector."""
    d, out = v.count("hidden_size", high=100_000), v.count("out_hidden_size", default=d_model)
    frames, merge = v.count("temporal_patch_size", default=2), v.count("spatial_merge_size",
                                                                       default=2)
    ocr = outer.text("model_type") in ("glm_ocr", "glm5_next")
    bias = v.flag("attention_bias", default=ocr)
    # GLM-4V's config gives its tower's own width to the projector and 4096 to the tower's layers.
    inner = v.count("intermediate_size") if ocr else out
    wide = v.count("projection_intermediate_size", default=3 * out) if ocr else v.count(
        "intermediate_size")
    layer = tower_layer(d, inner, bias=bias, gated=True, norm_bias=False)
    if ocr:
        width = d // v.count("num_heads", default=16)
        layer = (*layer, norm("vision.qk_norms", width, count=2))
    ends = () if ocr else (Weight("vision.positions", (patches(v), d), "other"),
                           norm("vision.first_norm", d))
    return (*matrix("vision.patch_embed", pixels(v) * frames, d), *ends,
            *times(layer, v.count("depth", default=24, high=500)), norm("vision.norm", d),
            *matrix("downsample", d * merge * merge, out), *matrix("merger.proj", out, out, False),
            norm("merger.norm", out, True), *matrix("merger.up", out, wide, False, 2),
            *matrix("merger.down", wide, out, False))


def mllama(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """Llama 3.2 Vision: layers over tiles, gated global layers, outputs joined."""
    d, d_ff = v.count("hidden_size", high=100_000), v.count("intermediate_size")
    tiles = v.count("max_num_tiles", default=4, high=64)
    ratios = v.listed("supported_aspect_ratios") or [0] * 8
    rows, ratios_held = patches(v) + 1, len(ratios) + 1
    layer = (*matrix("vision.qkvo", d, d, False, 4), *matrix("vision.fc1", d, d_ff),
             *matrix("vision.fc2", d_ff, d), norm("vision.norms", d, True, 2))
    wide = v.count("vision_output_dim", default=6 * d, high=1_000_000)
    return (Weight("vision.class", (d,), "other"),
            *matrix("vision.patch_embed", pixels(v), d, False),
            Weight("vision.positions", (rows, d), "other"),
            Weight("vision.tile_positions", (ratios_held, tiles * rows * d), "other"),
            Weight("vision.tile_embeddings", (ratios_held, tiles * d), "other", count=2),
            Weight("vision.gates", (3,), "other"), norm("vision.norm", d, True, 2),
            *times(layer, v.count("num_hidden_layers", default=32, high=500)),
            *times((*layer, Weight("vision.layer_gates", (2,), "other")),
                   v.count("num_global_layers", default=8, high=500)),
            *matrix("projector", wide, d_model))


def lfm2_vl(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """LFM2-VL: SigLIP 2 and two matrices of a width of their own."""
    fold = outer.count("downsample_factor", default=2, high=64)
    d_in = v.count("hidden_size", high=100_000) * fold * fold
    wide, bias = outer.count("projector_hidden_size", default=2560), outer.flag("projector_bias",
                                                                                default=True)
    ends = (norm("projector.norm", d_in, True),) \
        if outer.flag("projector_use_layernorm", default=True) else ()
    return (*siglip(v, positions=v.count("num_patches", default=256)), *ends,
            *matrix("projector.1", d_in, wide, bias), *matrix("projector.2", wide, d_model, bias))


def lighton(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """LightOn OCR: Pixtral with Mistral 3's merger."""
    d, merge = v.count("hidden_size", high=100_000), outer.count("spatial_merge_size", default=2)
    return (*pixtral(v), norm("projector.norm", d),
            *matrix("projector.merge", merge * merge * d, d, False),
            *matrix("projector.1", d, d_model, False),
            *matrix("projector.2", d_model, d_model, False))


def ovis2(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """Ovis 2: a gated tower whose outputs choose among visual words."""
    d, words = v.count("hidden_size", high=100_000), v.count("vocab_size", default=16_384)
    stride = v.count("hidden_stride", default=1, high=64)
    special = 5   # begin and end of image, rows, columns, padding
    own = words - special
    return (*matrix("vision.patch_embed", pixels(v), d),
            Weight("vision.positions", (patches(v), d), "other"), norm("vision.norm", d, count=2),
            *layers_of(v, bias=v.flag("qkv_bias"), gated=True, norm_bias=False),
            *matrix("head", d * stride * stride, own, False), norm("head.norm", own, True),
            Weight("visual_words", (words, outer.count("hidden_size", default=d_model)), "other"))


def paddleocr(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """PaddleOCR-VL: SigLIP without pooling, merged pixels, two matrices."""
    d = v.count("hidden_size", high=100_000)
    folded = d * v.count("spatial_merge_size", default=2, high=64) ** 2
    return (*siglip(v, pooled=False), norm("projector.norm", d, True),
            *linear("projector.1", folded, folded, "other", bias=True, shard="replicated"),
            *matrix("projector.2", folded, d_model))


def gemma4_unified(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """Gemma 4 without an encoder: patches and audio frames are projected straight in."""
    wide, out = v.count("mm_embed_dim", default=3840), v.count("output_proj_dims", default=3840)
    side = v.count("patch_size", default=16) * v.count("pooling_kernel_size", default=3)
    pixel = 3 * v.count("model_patch_size", default=side, high=10_000) ** 2
    own = (norm("patch_norm", pixel, True), *matrix("patch_embed", pixel, wide),
           norm("vision.norms", wide, True, 2),
           Weight("vision.positions", (v.count("mm_posemb_size", default=1120), 2, wide), "other"),
           *matrix("projector", out, d_model, False))
    audio = outer.sub("audio_config")
    frame = audio.count("output_proj_dims", "audio_embed_dim", default=640) if audio else 0
    return (*own, *matrix("audio.projector", frame, d_model, False)) if frame else own


def minimax_m3(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """MiniMax M3: CLIP layers over video patches, a projector, and a merge of two by two."""
    d, frames = v.count("hidden_size", high=100_000), v.count("temporal_patch_size", default=2)
    wide, merged = outer.count("projector_hidden_size", default=d_model), outer.count(
        "merged_hidden_size", default=4 * d_model, high=10_000_000)
    return (*matrix("vision.patch_embed", pixels(v) * frames, d, False),
            norm("vision.norm", d, True), *layers_of(v), *two_layers(d, wide),
            *matrix("merge.1", merged, d_model), *matrix("merge.2", d_model, d_model))


def step3p7(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """Step 3.7: scaled residuals, two strided convolutions, one matrix."""
    d = v.count("hidden_size", high=50_000)
    layers = v.count("num_hidden_layers", "layers", high=500)
    rows = v.count("max_position_embeddings", default=2704, high=10_000_000)
    layer = (*tower_layer(d, v.count("intermediate_size")),
             Weight("vision.scales", (2, d), "other"))
    return (*matrix("vision.patch_embed", pixels(v), d, False),
            Weight("vision.positions", (rows, d), "other"), norm("vision.norm", d, True),
            *times(layer, layers), *matrix("downsample.1", 9 * d, 2 * d),
            *matrix("downsample.2", 18 * d, 4 * d),
            *matrix("projector", 4 * d, d_model, outer.flag("projector_bias")))


def ernie_vl(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """ERNIE 4.5 VL: a tower, then a spatial and a temporal merge of its outputs."""
    d = v.count("hidden_size", high=100_000)
    merged = d * v.count("spatial_merge_size", default=2, high=64) ** 2
    frames = v.count("temporal_merge_size", default=2, high=64)
    return (*matrix("vision.patch_embed", pixels(v), d, False),
            *times(tower_layer(d, v.count("intermediate_size", default=4 * d)),
                   v.count("depth", high=500)),
            norm("vision.norm", d, True), *matrix("spatial.1", merged, merged),
            *matrix("spatial.2", merged, merged), norm("merge.norms", merged, True, 2),
            *matrix("temporal.1", frames * merged, merged), *matrix("temporal.2", merged, merged),
            *matrix("projector", merged, d_model), norm("projector.norm", d_model))


def muse(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """Muse Glimmer: a windowed tower, an adapter of two matrices and a projection."""
    d, frames = v.count("hidden_size", high=100_000), v.count("patch_temporal",
                                                               "temporal_patch_size", default=2)
    folded = outer.count("out_hidden_size", default=4 * d)
    wide = outer.count("projector_hidden_size", default=4096)
    rows = v.count("max_position_embeddings", default=1024, high=10_000_000)
    return (*matrix("vision.patch_embed", pixels(v) * frames, d, False),
            Weight("vision.positions", (rows, d), "other"), norm("vision.norm", d, True, 2),
            *layers_of(v), *matrix("adapter.1", folded, wide, False),
            *matrix("adapter.2", wide, wide, False), *matrix("projector", wide, d_model, False))


def fuyu(v: Fields, d_model: int, outer: Fields) -> tuple[Weight, ...]:
    """Fuyu: patches are projected straight in."""
    side = outer.count("patch_size", default=30, high=10_000)
    return matrix("patch_embed", outer.count("num_channels", default=3) * side * side, d_model)


TOWERS: dict[str, Tower] = {
    "llava": llava, "llava_next": llava, "llava_next_video": llava, "llava_onevision": llava,
    "vipllava": llava, "video_llava": llava, "idefics3": idefics3, "smolvlm": idefics3,
    "idefics2": idefics2, "aria": aria, "aya_vision": cohere_vision,
    "cohere2_vision": cohere_vision, "internvl": internvl, "internvl_chat": internvl_chat,
    "mllama": mllama, "lfm2_vl": lfm2_vl, "lighton_ocr": lighton, "ovis2": ovis2,
    "paddleocr_vl": paddleocr, "deepseek_vl": pixel_shuffle, "gemma4_unified": gemma4_unified,
    "minimax_m3_vl": minimax_m3, "step3p7": step3p7, "fuyu": fuyu, "ernie4_5_vl_moe": ernie_vl,
    "ernie4_5_moe_vl": ernie_vl, "muse_glimmer": muse, "glm4v": glm4v, "glm4v_moe": glm4v,
    "glm46v": glm4v, "glm_ocr": glm4v, "glm5_next": glm4v,
}
