"""Decoder types that are one attention and one feed-forward a layer, told in their own words."""

from __future__ import annotations

import re
from dataclasses import replace

from ridgeline.errors import BadInput
from ridgeline.model.architecture import Architecture, CheckpointExtra
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
    read_indexer,
)
from ridgeline.model.fields import MAX_CONTEXT, Fields
from ridgeline.model.gemma import gemma3n, gemma4
from ridgeline.model.hybrids import Family, block_of, layer_kinds, mtp_block
from ridgeline.model.parts import (
    Attention,
    Block,
    CompressedAttention,
    DenseFfn,
    ExpertFfn,
    Ffn,
    Mixer,
    Weight,
)
from ridgeline.model.styles import STYLES
from ridgeline.model.tensors import linear, norm


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


def deepseek_v4(f: Fields, name: str) -> Architecture:
    """DeepSeek V4: compressed attention, hyper-connections over several residual streams."""
    style = Style(router_bias=True)
    ends = read_ends(f, style)
    d, layers = ends.d_model, ends.n_layers
    streams = f.count("hc_mult", default=4, high=64)
    ratios = _v4_ratios(f, ends)
    window = f.count("sliding_window", default=128, high=MAX_CONTEXT)
    rank = f.count("q_lora_rank")
    indexer = read_indexer(f, rank)
    experts = read_experts(f, style)
    if experts is None:
        raise BadInput(f"{f.where}: needs n_routed_experts")
    marked = f.names("mlp_layer_types") or []
    hashed = f.count("num_hash_layers", default=sum("hash" in k for k in marked), low=0)
    mixes = (2 + streams) * streams
    hyper = (Weight("hyper.fn", (streams * d, mixes), "other", count=2),
             Weight("hyper.base, scale", (mixes + 3,), "other", count=2))
    blocks = []
    for i, ratio in enumerate(ratios[:layers + 1]):
        mixer = CompressedAttention(
            f.count("num_attention_heads"), f.count("head_dim"),
            f.count("qk_rope_head_dim", default=64), rank, f.count("o_lora_rank"),
            f.count("o_groups"), window, ratio, indexer if 0 < ratio < 128 else None)
        ffn = replace(experts, hash_routed=True, router_bias=False) if i < hashed else experts
        blocks.append(Block(mixer, ffn, (norm("norms", d, count=2), *hyper)))
    f.ignore("num_key_value_heads", "compress_rope_theta", "num_hash_layers")
    head = (Weight("hyper_head.fn", (streams * d, streams), "other"),
            Weight("hyper_head.base, scale", (streams + 1,), "other"))
    table = CheckpointExtra("token-to-expert tables of hash-routed layers",
                            hashed * ends.vocab_size * experts.top_k)
    count = f.count("num_nextn_predict_layers", default=0, low=0, high=100)
    mtp: tuple[Weight, ...] = ()
    if count:
        last = replace(blocks[-1], mixer=replace(blocks[-1].mixer, compress_ratio=0, indexer=None)
                       if isinstance(blocks[-1].mixer, CompressedAttention) else None)
        mtp = (*mtp_block(last, d, count), *head)
    return assemble(f, name, style, ends, blocks[:layers], final=head, mtp=mtp,
                    extras=(table,) if hashed else ())


def _v4_ratios(f: Fields, ends: Ends) -> list[int]:
    listed = f.counts("compress_ratios", length=ends.n_layers, high=MAX_CONTEXT)
    if listed is not None:
        return listed
    rates = f.sub("compress_rates")
    sparse = rates.count("compressed_sparse_attention", default=4) if rates else 4
    heavy = rates.count("heavily_compressed_attention", default=128) if rates else 128
    kinds = layer_kinds(f, ends, "layer_types")
    if kinds is None:
        raise BadInput(f"{f.where}: needs compress_ratios or layer_types")
    return [heavy if "heavily" in k else sparse if "compressed" in k else 0 for k in kinds]


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


def unmodelled(f: Fields, name: str) -> Architecture:
    """JetMoE routes its attention heads, Phi-3-small's attention is block-sparse: no mixer here."""
    raise BadInput(f"{f.where}: the attention of {f.text('model_type')} is not modelled")


def minimax_m2(f: Fields, name: str) -> Architecture:
    """MiniMax M2: norms over all heads, no shared expert; its MTP layers are not published."""
    style = replace(STYLES["minimax_m2"],
                    qk_norm="full" if f.flag("use_qk_norm", default=True) else "none")
    f.ignore("mtp_transformer_layers", "num_mtp_modules", "attn_type_list", "layer_types")
    return generic(f, name, style)


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


def encoder_decoder(f: Fields, name: str) -> Architecture:
    """Encoder-decoders: two stacks with cross attention; refused rather than approximated."""
    kind = re.sub(r"[^\w-]", "", f.text("model_type"))[:20]
    raise BadInput(f"{f.where}: {kind} is an encoder-decoder model; only decoders and encoders "
                   "are modelled")


FAMILIES: dict[str, Family] = {
    "deepseek_v3": plain_with_mtp, "deepseek_v32": plain_with_mtp, "kimi_k2": plain_with_mtp,
    "glm4_moe": plain_with_mtp, "glm4_moe_lite": plain_with_mtp, "glm_moe_dsa": plain_with_mtp,
    "hunyuan_v1_dense": hunyuan_dense, "mimo": plain_with_mtp, "ernie4_5_moe": unpredicted,
    "stablelm": stablelm, "apertus": apertus,
    "qwen": qwen1, "gemma4": gemma4, "gemma4_text": gemma4, "gemma4_unified": gemma4,
    "gemma4_unified_text": gemma4, "gemma3n": gemma3n,
    "gemma3n_text": gemma3n, "llama4": llama4, "llama4_text": llama4, "deepseek_v4": deepseek_v4,
    "falcon": falcon, "RefinedWebModel": falcon, "RefinedWeb": falcon, "mpt": mpt, "dbrx": dbrx,
    "deci": deci, "nemotron-nas": deci, "grok-1": grok, "gpt_neo": gpt_neo, "opt": opt,
    "chatglm": chatglm, "mimo_v2_flash": mimo_v2, "mimo_v2": mimo_v2,
    "jetmoe": unmodelled, "minimax_m2": minimax_m2,
    "arctic": arctic, "openelm": openelm, "phi3small": unmodelled,
    **dict.fromkeys(("t5", "mt5", "umt5", "bart", "mbart", "pegasus", "marian", "whisper",
                     "m2m_100", "nllb-moe", "blenderbot", "switch_transformers", "longt5",
                     "t5gemma", "led", "prophetnet", "encoder-decoder"), encoder_decoder),
}
