"""Decoders of one attention and one feed-forward in every layer, told in their own words.

A reader raises `BadInput` when the config lacks a field it needs.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ridgeline.errors import BadInput
from ridgeline.model.architecture import Architecture, CheckpointExtra
from ridgeline.model.decoder import (
    Style,
    assemble,
    generic,
    layer_norms,
    read_attention,
    read_ends,
    read_ffn,
)
from ridgeline.model.families.blocks import Family, mtp_block
from ridgeline.model.fields import Fields
from ridgeline.model.parts import (
    Block,
    DenseFfn,
    ExpertFfn,
    Weight,
)
from ridgeline.model.styles import STYLES
from ridgeline.model.tensors import norm


def plain_with_mtp(f: Fields, name: str) -> Architecture:
    """DeepSeek V3, GLM-4.5 and their kin: a generic stack, then prediction layers.

    Most of their files repeat embedding and head for each prediction layer (GLM-4.6's and GLM-5's
    do not); GLM-4.7-Flash has one prediction layer that its config does not name.
    """
    arch = generic(f, name, STYLES[f.text("model_type")])
    unnamed = 1 if f.text("model_type") == "glm4_moe_lite" else 0
    layers = f.count("num_nextn_predict_layers", default=unnamed, low=0, high=100)
    if not layers:
        return arch
    last = arch.blocks[-1][0]
    own = mtp_block(last, arch.d_model, layers)
    if f.text("model_type") in ("glm_moe_dsa", "mimo"):
        return replace(arch, mtp=own)
    ends = CheckpointExtra("embedding and head repeated by prediction layers",
                           2 * layers * arch.vocab_size * arch.d_model)
    return replace(arch, mtp=own, checkpoint_extras=(*arch.checkpoint_extras, ends))


def qwen1(f: Fields, name: str) -> Architecture:
    """Qwen 1: `intermediate_size` counts gate and up together."""
    style = STYLES["qwen"]
    ends = read_ends(f, style)
    f.ignore("no_bias", "seq_length")
    attention = read_attention(Fields({**f.data, "use_bias": None, "bias": None}, f.where), style,
                               ends)
    ffn = DenseFfn(f.count("intermediate_size") // 2)
    f.ignore("kv_channels", "num_attention_heads")
    blocks = [Block(a, ffn, layer_norms(style, ends.d_model)) for a in attention]
    return assemble(f, name, style, ends, blocks)


def falcon(f: Fields, name: str) -> Architecture:
    """Falcon 7B, 40B, 180B and RW: fused heads, shared norms, a tied head stored twice."""
    new = f.flag("new_decoder_architecture")
    parallel = f.flag("parallel_attn", default=True)
    bias = f.flag("bias")
    two = f.count("num_ln_in_parallel_attn", default=2 if new else 1, low=1, high=2)
    style = Style(gated=False, norm_bias=True, norms=2 if two == 2 or not parallel else 1,
                  tied=True, q_bias=bias, kv_bias=bias, out_bias=bias, mlp_bias=bias,
                  d_ff_ratio=4, parallel=parallel, context=2048)
    ends = read_ends(f, style)
    data = dict(f.data)
    if not new:
        # The first generation shares one KV head whatever num_kv_heads says, unless told not to.
        data["num_kv_heads"] = 1 if f.flag("multi_query", default=True) else None
    own = Fields({**data, "multi_query": False}, f.where)
    f.ignore("num_kv_heads", "multi_query", "alibi", "n_head_kv", *data)
    blocks = [Block(a, ffn, layer_norms(style, ends.d_model), parallel)
              for a, ffn in zip(read_attention(own, style, ends), read_ffn(own, style, ends),
                                strict=True)]
    arch = assemble(f, name, style, ends, blocks)
    return replace(arch, checkpoint_extras=tuple(replace(e, likely=True)
                                                 for e in arch.checkpoint_extras))


def mpt(f: Fields, name: str) -> Architecture:
    """MPT: norms without offsets, biases unless `no_bias`, positions unless ALiBi or rotary."""
    group = f.sub("attn_config") or Fields({}, f.where)
    plain = not f.flag("no_bias", default=True)
    placed = group.flag("alibi") or group.flag("rope")
    style = Style(gated=False, tied=True, q_bias=plain, kv_bias=plain, out_bias=plain,
                  mlp_bias=plain, norm_bias=plain, d_ff_ratio=4,
                  learned_positions=f.flag("learned_pos_emb", default=True) and not placed,
                  qk_norm="full" if group.flag("qk_ln") else "none")
    ends = read_ends(f, style)
    kv = group.maybe("kv_n_heads")
    if group.text("attn_type") == "multiquery_attention":
        kv = 1
    own = Fields({**f.data, "num_key_value_heads": kv}, f.where)
    f.ignore(*f.data)
    blocks = [Block(a, ffn, layer_norms(style, ends.d_model))
              for a, ffn in zip(read_attention(own, style, ends), read_ffn(own, style, ends),
                                strict=True)]
    return assemble(f, name, style, ends, blocks)


def dbrx(f: Fields, name: str) -> Architecture:
    """DBRX: sizes in two nested groups."""
    attn, ffn = f.sub("attn_config"), f.sub("ffn_config")
    if attn is None or ffn is None:
        raise BadInput(f"{f.where}: needs attn_config and ffn_config")
    own = {**f.data, "num_key_value_heads": attn.raw("kv_n_heads"),
           "moe_intermediate_size": ffn.raw("ffn_hidden_size"),
           "num_experts": ffn.raw("moe_num_experts"), "moe_top_k": ffn.raw("moe_top_k")}
    f.ignore(*f.data)
    return generic(Fields(own, f.where), name, Style())


def hunyuan_dense(f: Fields, name: str) -> Architecture:
    """Hunyuan dense: its config repeats expert fields of the sparse type, which it never uses."""
    own = {k: v for k, v in f.data.items() if "expert" not in k and not k.startswith("moe_")}
    f.ignore(*f.data)
    return generic(Fields(own, f.where), name, STYLES[f.text("model_type")])


def unpredicted(f: Fields, name: str) -> Architecture:
    """ERNIE 4.5: its prediction layers are not in the published files."""
    f.ignore("num_nextn_predict_layers")
    return generic(f, name, STYLES[f.text("model_type")])


def stablelm(f: Fields, name: str) -> Architecture:
    """StableLM: parallel layers have one norm."""
    one = f.flag("use_parallel_residual")
    return generic(f, name, replace(STYLES["stablelm"], norms=1 if one else 2))


def apertus(f: Fields, name: str) -> Architecture:
    """Apertus: an activation with two learned scalars a layer."""
    f.ignore("qk_norm")
    arch = generic(f, name, STYLES["apertus"])
    learned = Weight("xielu", (2,), "other")
    return replace(arch, blocks=tuple((replace(b, norms=(*b.norms, learned)), n)
                                      for b, n in arch.blocks))


def grok(f: Fields, name: str) -> Architecture:
    """Grok-1: four norms a layer, a tied head."""
    return generic(f, name, STYLES["grok-1"])


def opt(f: Fields, name: str) -> Architecture:
    """OPT: position rows offset by two; a narrow embedding is projected up (350M)."""
    before = f.flag("do_layer_norm_before", default=True)
    removed = f.flag("_remove_final_layer_norm")
    style = replace(STYLES["opt"], final_norm=before and not removed)
    arch = generic(f, name, style)
    narrow = f.count("word_embed_proj_dim", default=arch.d_model)
    if narrow == arch.d_model:
        return arch
    d = arch.d_model
    embedding = (Weight("embed_tokens", (arch.vocab_size, narrow), "embedding", "vocab"),
                 *arch.embedding[1:], Weight("project_in", (narrow, d), "embedding"))
    return replace(arch, embedding=embedding,
                   final=(*arch.final, Weight("project_out", (d, narrow), "head")))


def chatglm(f: Fields, name: str) -> Architecture:
    """ChatGLM 2 and 3, GLM-4 9B (remote code): grouped heads under their own names."""
    if not f.flag("multi_query_attention"):
        f.ignore("multi_query_group_num")
        data = {**f.data, "multi_query_group_num": None}
    else:
        data = {**f.data, "multi_query_attention": False}
    # The remote class is called ChatGLMModel and has its head all the same.
    said = f.names("architectures")
    named = said if said and said[0] != "ChatGLMModel" else None
    own = Fields({**data, "bias": None, "add_bias_linear": None,
                  "use_bias": None, "tie_word_embeddings": False,
                  "architectures": named}, f.where)
    f.ignore(*f.data)
    bias = f.flag("add_bias_linear")
    qkv = f.flag("add_qkv_bias", default=True) or bias
    style = Style(q_bias=qkv, kv_bias=qkv, out_bias=bias, mlp_bias=bias)
    own.data = {**own.data, "add_qkv_bias": None}
    return generic(own, name, style)


def minimax_m2(f: Fields, name: str) -> Architecture:
    """MiniMax M2: norms over all heads, no shared expert; its MTP layers are not published."""
    style = replace(STYLES["minimax_m2"],
                    qk_norm="full" if f.flag("use_qk_norm", default=True) else "none")
    f.ignore("mtp_transformer_layers", "num_mtp_modules", "attn_type_list", "layer_types")
    return generic(f, name, style)


def axk1(f: Fields, name: str) -> Architecture:
    """A.X K1: DeepSeek V3's stack with one more norm behind every mixture."""
    arch = generic(f, name, Style(router_bias=True))
    extra = norm("post_mlp_norm", arch.d_model)
    return replace(arch, blocks=tuple(
        (replace(b, norms=(*b.norms, extra)) if isinstance(b.ffn, ExpertFfn) else b, n)
        for b, n in arch.blocks))


def unmodelled(f: Fields, name: str) -> Architecture:
    """JetMoE routes its attention heads, Phi-3-small's attention is block-sparse: no mixer here."""
    raise BadInput(f"{f.where}: the attention of {f.text('model_type')} is not modelled")


def encoder_decoder(f: Fields, name: str) -> Architecture:
    """Encoder-decoders: two stacks with cross attention; refused rather than approximated."""
    kind = re.sub(r"[^\w-]", "", f.text("model_type"))[:20]
    raise BadInput(f"{f.where}: {kind} is an encoder-decoder model; only decoders and encoders "
                   "are modelled")


FAMILIES: dict[str, Family] = {
    "deepseek_v3": plain_with_mtp, "deepseek_v32": plain_with_mtp, "kimi_k2": plain_with_mtp,
    "glm4_moe": plain_with_mtp, "glm4_moe_lite": plain_with_mtp, "glm_moe_dsa": plain_with_mtp,
    "mimo": plain_with_mtp, "hunyuan_v1_dense": hunyuan_dense, "ernie4_5_moe": unpredicted,
    "stablelm": stablelm, "apertus": apertus, "qwen": qwen1, "falcon": falcon,
    "RefinedWebModel": falcon, "RefinedWeb": falcon, "mpt": mpt, "dbrx": dbrx, "grok-1": grok,
    "opt": opt, "chatglm": chatglm, "jetmoe": unmodelled, "phi3small": unmodelled,
    "minimax_m2": minimax_m2, "t5": encoder_decoder, "mt5": encoder_decoder,
    "umt5": encoder_decoder, "bart": encoder_decoder, "mbart": encoder_decoder,
    "pegasus": encoder_decoder, "marian": encoder_decoder, "whisper": encoder_decoder,
    "m2m_100": encoder_decoder, "nllb-moe": encoder_decoder, "blenderbot": encoder_decoder,
    "switch_transformers": encoder_decoder, "longt5": encoder_decoder, "t5gemma": encoder_decoder,
    "led": encoder_decoder, "prophetnet": encoder_decoder, "encoder-decoder": encoder_decoder,
    "axk1": axk1,
}
