"""The generic decoder: what most configs say in the same words, read once.

A `Style` holds what a model type's own code fixes and its config leaves out; everything a config
can say overrides it. Families that are not one attention and one feed-forward a layer build their
blocks in `families`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from ridgeline.errors import BadInput
from ridgeline.model.architecture import Architecture, CheckpointExtra
from ridgeline.model.fields import MAX_CONTEXT, MAX_LAYERS, Fields
from ridgeline.model.parts import (
    Attention,
    Block,
    DenseFfn,
    ExpertFfn,
    Ffn,
    Indexer,
    LatentAttention,
    Mixer,
    Weight,
)
from ridgeline.model.tensors import linear, norm

WIDTH = ("hidden_size", "n_embd", "n_embed", "d_model", "dim", "model_dim")
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "kv_n_heads",
            "multi_query_group_num", "num_query_groups")
FF = ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "d_ff", "ffn_intermediate_size")
CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length",
           "seq_length", "n_ctx", "context_length", "max_context_length")
EXPERTS = ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts",
           "num_routed_experts")
TOP_K = ("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_topk",
         "moe_top_k", "moe_k", "top_k_experts", "num_selected_experts", "num_experts_per_topk")
D_EXPERT = ("moe_intermediate_size", "expert_ffn_hidden_size", "moe_ffn_hidden_size",
            "expert_intermediate_size")
SPARSE_STEP = ("moe_layer_freq", "decoder_sparse_step", "interleave_moe_layer_step",
               "moe_layer_interval")
SHARED = ("n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts")
SHARED_FF = ("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size",
             "shared_intermediate_size", "share_expert_dim", "shared_expert_ffn_hidden_size")


@dataclass(frozen=True)
class Style:
    """What the code of a model type fixes beyond its config.

    Attributes:
        gated: three feed-forward matrices instead of two.
        norms, norm_bias: norms a layer, and whether they have an offset.
        q_bias, kv_bias, out_bias, mlp_bias: biases when the config does not say.
        bias_covers_out: `attention_bias` also gives the output projection a bias.
        qk_norm, qk_norm_bias, qk_norm_field: norms on queries and keys; the flag that turns them
            on, where there is one.
        parallel: attention and feed-forward read the same input.
        tied, head_bias, embed_norm, final_norm: the ends of the model.
        learned_positions, position_offset: a learned position table, and its spare rows.
        window: how the config's window applies when no layer list says.
        pattern: layers in a period, the last of which attends to everything.
        sinks, inner_norm, output_gate: see `Attention` and `DenseFfn`.
        router_bias, expert_bias, shared_gate: see `ExpertFfn`.
        d_ff_ratio: feed-forward width over model width when the config does not say.
        context, vocab: defaults of the model type where its published configs leave them out.
    """

    gated: bool = True
    norms: int = 2
    norm_bias: bool = False
    q_bias: bool = False
    kv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    bias_covers_out: bool = True
    qk_norm: Literal["none", "head", "full"] = "none"
    qk_norm_bias: bool = False
    qk_norm_field: str = ""
    parallel: bool = False
    tied: bool = False
    head_bias: bool = False
    embed_norm: bool = False
    final_norm: bool = True
    learned_positions: bool = False
    position_offset: int = 0
    window: Literal["none", "all", "qwen", "period"] = "all"
    pattern: int = 0
    sinks: bool = False
    inner_norm: bool = False
    output_gate: bool = False
    router_bias: bool = False
    expert_bias: bool = False
    shared_gate: bool = False
    first_dense: int = 0
    d_ff_ratio: float = 0.0
    context: int = 0
    vocab: int = 0
    kv_heads: int = 0
    head_dim: int = 0


@dataclass(frozen=True)
class Ends:
    """Sizes every decoder has, read once."""

    d_model: int
    n_layers: int
    vocab_size: int
    max_context: int
    tied: bool


def read_ends(f: Fields, style: Style) -> Ends:
    """Widths, depth, vocabulary, context and whether the head is tied."""
    return Ends(f.count(*WIDTH), f.count(*LAYERS, high=MAX_LAYERS),
                f.count("vocab_size", "padded_vocab_size", default=style.vocab or None,
                        high=100_000_000),
                f.count(*CONTEXT, default=style.context, low=0, high=MAX_CONTEXT),
                f.flag("tie_word_embeddings", "use_embedding_sharing", default=style.tied))


def head_shape(f: Fields, d_model: int, style: Style) -> tuple[int, int, int]:
    """Query heads, KV heads and head width; kv heads default to all, width to d_model / heads.

    Raises:
        BadInput: heads that divide neither the width nor each other.
    """
    heads = f.count(*HEADS, high=100_000)
    multi_query = f.flag("multi_query", "multi_query_attention")
    kv = f.maybe(*KV_HEADS, high=100_000)
    kv = kv or (1 if multi_query else style.kv_heads or heads)
    width = f.maybe("head_dim", "kv_channels", "attention_head_dim", "head_size", high=100_000)
    width = width or style.head_dim
    if not width:
        if d_model % heads:
            raise BadInput(f"{f.where}: {heads} heads do not divide the width {d_model}")
        width = d_model // heads
    if heads % kv:
        raise BadInput(f"{f.where}: {kv} KV heads do not divide {heads} query heads")
    return heads, kv, width


def windows(f: Fields, style: Style, layers: int, context: int) -> list[int | None]:
    """The attention window of each layer, None where it sees everything."""
    size = f.maybe("sliding_window", "window_size", "sliding_window_size",
                   "attention_window_size", low=0, high=MAX_CONTEXT)
    kinds = f.names("layer_types", length=layers)
    period = f.raw("sliding_window_pattern", "_sliding_window_pattern")
    chosen = f.flag("use_sliding_window", default=style.window != "qwen")
    from_layer = f.count("max_window_layers", default=0, low=0, high=MAX_LAYERS) \
        if style.window == "qwen" else 0
    if not size or (context and size >= context) or style.window == "none" or not chosen:
        return [None] * layers
    if kinds is not None:
        return [size if "sliding" in kind else None for kind in kinds[:layers]]
    if isinstance(period, str) and set(period.upper()) <= {"L", "G"} and period:
        return [size if period[i % len(period)].upper() == "L" else None for i in range(layers)]
    every = style.pattern
    if isinstance(period, int) and not isinstance(period, bool):
        every = f.whole("sliding_window_pattern", period, 1, MAX_LAYERS)
    if every:
        return [size if (i + 1) % every else None for i in range(layers)]
    return [size if i >= from_layer else None for i in range(layers)]


def read_attention(f: Fields, style: Style, ends: Ends) -> list[Mixer]:
    """The attention of each layer: latent when the config has a KV rank, else grouped heads."""
    if f.has("kv_lora_rank"):
        return list(read_latents(f, ends))
    heads, kv, width = head_shape(f, ends.d_model, style)
    said = f.raw("attention_bias", "use_qkv_bias", "qkv_bias", "add_qkv_bias", "use_bias",
                 "add_bias_linear", "bias")
    bias = said if isinstance(said, bool) else None
    q_bias = style.q_bias if bias is None else bias
    kv_bias = style.kv_bias if bias is None else bias
    out = style.out_bias if bias is None else bias and style.bias_covers_out
    qk = style.qk_norm
    if style.qk_norm_field and not f.flag(style.qk_norm_field, default=False):
        qk = "none"
    value_width = f.maybe("v_head_dim", high=100_000)
    made = [Attention(heads, kv, width, window=window, q_bias=q_bias, kv_bias=kv_bias,
                      out_bias=out, qk_norm=qk, qk_norm_bias=style.qk_norm_bias,
                      sinks=style.sinks, output_gate=style.output_gate,
                      v_head_dim=value_width if value_width != width else None,
                      out_norm=style.inner_norm)
            for window in windows(f, style, ends.n_layers, ends.max_context)]
    return list(made)


def read_indexer(f: Fields, q_lora_rank: int | None) -> Indexer | None:
    """The sparse-attention indexer, where the config has one."""
    if not f.has("index_topk"):
        return None
    return Indexer(f.count("index_n_heads"), f.count("index_head_dim"), f.count("index_topk"),
                   q_lora_rank or f.count(*WIDTH))


def read_latents(f: Fields, ends: Ends) -> list[LatentAttention]:
    """Latent attention of each layer; some indexers reuse what the layer before chose."""
    own = read_latent(f)
    kinds = f.names("indexer_types", length=ends.n_layers)
    if own.indexer is None or kinds is None:
        return [own] * ends.n_layers
    reuses = replace(own, indexer=replace(own.indexer, shared=True))
    return [reuses if kind == "shared" else own for kind in kinds[:ends.n_layers]]


def read_latent(f: Fields) -> LatentAttention:
    """Latent attention; `head_dim` in such configs repeats the rotary width."""
    f.ignore("head_dim", "qk_head_dim", *KV_HEADS)
    rank = f.maybe("q_lora_rank")
    return LatentAttention(
        f.count(*HEADS, high=100_000), rank, f.count("kv_lora_rank"),
        f.count("qk_nope_head_dim", low=0), f.count("qk_rope_head_dim", low=0),
        f.count("v_head_dim"), indexer=read_indexer(f, rank),
        output_gate=f.flag("mla_use_output_gate"), qkv_bias=f.flag("attention_bias"))


def read_experts(f: Fields, style: Style, layer: int = 0) -> ExpertFfn | None:
    """The mixture of experts of a layer, or None when the config has no experts."""
    n = f.raw(*EXPERTS)
    if n is None or n == 0 or n == []:
        return None
    if isinstance(n, list):
        n = f.per_layer(*EXPERTS, layers=layer + 1)[layer]
    n = f.whole(EXPERTS, n, 1, 100_000)
    top_k = f.per_layer(*TOP_K, layers=layer + 1, low=1)[layer]
    if top_k > n:
        raise f.fail(TOP_K, top_k, f"at most the {n} experts")
    width = f.per_layer(*(D_EXPERT if f.has(*D_EXPERT) else FF), layers=layer + 1,
                        low=1)[layer]
    shared = f.maybe(*SHARED_FF, low=0)
    n_shared = f.per_layer(*SHARED, layers=layer + 1, default=0)[layer]
    shared = n_shared * width if shared is None else shared
    return ExpertFfn(n, top_k, width, gated=style.gated, shared_d_ff=shared,
                     shared_gate=style.shared_gate and shared > 0,
                     bias=style.expert_bias,
                     router_bias=style.router_bias or f.raw("topk_method") == "noaux_tc"
                     or f.flag("use_routing_bias", "moe_router_enable_expert_bias"))


def is_sparse(f: Fields, style: Style, layers: int) -> list[bool]:
    """Which layers have experts, from the several ways configs say it."""
    kinds = f.names("mlp_layer_types", length=layers)
    if kinds is not None:
        return ["sparse" in k or "moe" in k for k in kinds[:layers]]
    first = f.count("first_k_dense_replace", "moe_layer_start_index", "num_dense_layers",
                    "moe_layer_start", default=style.first_dense, low=0, high=MAX_LAYERS)
    last = f.count("moe_layer_end_index", default=layers - 1, low=-1, high=MAX_LAYERS)
    last = layers - 1 if last < 0 else last
    freq = f.raw(*SPARSE_STEP)
    dense = set(f.counts("mlp_only_layers") or ())
    if isinstance(freq, list):
        chosen = f.counts(*SPARSE_STEP, length=layers) or []
        return [bool(chosen[i]) and i not in dense for i in range(layers)]
    f.ignore("decoder_sparse_step", "moe_layer_freq")
    if f.has("decoder_sparse_step") and not f.has("moe_layer_freq"):
        step = f.count("decoder_sparse_step", low=1, high=MAX_LAYERS)
        return [(i + 1) % step == 0 and i not in dense for i in range(layers)]
    step = f.count("moe_layer_freq", "interleave_moe_layer_step", "moe_layer_interval",
                   default=1, low=1, high=MAX_LAYERS)
    if f.has("interleave_moe_layer_step"):
        return [(i + 1) % step == 0 for i in range(layers)]
    return [first <= i <= last and i % step == 0 and i not in dense for i in range(layers)]


def read_ffn(f: Fields, style: Style, ends: Ends) -> list[Ffn]:
    """The feed-forward of each layer."""
    sparse = is_sparse(f, style, ends.n_layers)
    has_experts = read_experts(f, style) is not None
    ratio = f.number("mlp_ratio", "expansion_ratio", default=style.d_ff_ratio, high=100.0)
    said = f.raw("mlp_bias", "use_mlp_bias", "add_bias_linear", "use_bias", "bias")
    bias = said if isinstance(said, bool) else style.mlp_bias
    out: list[Ffn] = []
    widths: list[int] = []
    for i in range(ends.n_layers):
        experts = read_experts(f, style, i) if has_experts and sparse[i] else None
        if experts is not None:
            out.append(experts)
            continue
        names = (*(("intermediate_size_mlp",) if f.has("intermediate_size_mlp") else ()), *FF)
        widths = widths or f.per_layer(
            *names, layers=ends.n_layers, low=1,
            default=int(ratio * ends.d_model) if ratio else None)
        out.append(DenseFfn(widths[i], style.gated, bias, inner_norm=style.inner_norm))
    f.ignore(*FF, *D_EXPERT)
    return out


def layer_norms(style: Style, d_model: int) -> tuple[Weight, ...]:
    """The norms of one layer."""
    return (norm("norms", d_model, style.norm_bias, style.norms),) if style.norms else ()


def runs(blocks: Sequence[Block]) -> tuple[tuple[Block, int], ...]:
    """Equal blocks in a row, counted."""
    return tuple((block, sum(1 for _ in same)) for block, same in groupby(blocks))


def assemble(f: Fields, name: str, style: Style, ends: Ends, blocks: Sequence[Block], *,
             extras: tuple[CheckpointExtra, ...] = (), mtp: tuple[Weight, ...] = (),
             final: tuple[Weight, ...] = ()) -> Architecture:
    """Put embedding, layers, final norm and head together."""
    d, vocab = ends.d_model, ends.vocab_size
    embedding = [Weight("embed_tokens", (vocab, d), "embedding", "vocab")]
    if style.learned_positions:
        embedding.append(Weight("positions", (ends.max_context + style.position_offset, d),
                                "position"))
    if style.embed_norm:
        embedding.append(norm("embed_norm", d, style.norm_bias))
    head: tuple[Weight, ...] = ()
    if has_head(f):
        head = () if ends.tied else (Weight("lm_head", (d, vocab), "head", "vocab"),)
        if f.flag("lm_head_bias", default=style.head_bias):
            head = (*head, Weight("lm_head.bias", (vocab,), "head", "vocab"))
        if ends.tied:
            extras = (*extras, CheckpointExtra("tied head stored twice", vocab * d, likely=False))
    ending = (norm("norm", d, style.norm_bias),) if style.final_norm else ()
    return Architecture(name, f.text("model_type"), d, vocab, ends.max_context, runs(blocks),
                        tuple(embedding), head, ends.tied and has_head(f),
                        (*ending, *final, *classifier(f, d)), mtp=mtp,
                        checkpoint_extras=extras)


def has_head(f: Fields) -> bool:
    """Whether the architecture the config names has an output head; yes when it names none."""
    named = f.names("architectures")
    if not named:
        return True
    plain, remote = named[0], f.raw("auto_map")
    if isinstance(remote, dict) and "AutoModelForCausalLM" in remote:
        return not plain.endswith(("ForSequenceClassification", "ForTokenClassification"))
    return not (plain.endswith(("Model", "ForSequenceClassification", "ForTokenClassification",
                                "ForEmbedding")) and not plain.endswith(
                                    ("LMHeadModel", "Grok1ModelForCausalLM")))


def classifier(f: Fields, d_model: int) -> tuple[Weight, ...]:
    """The score head of a decoder used as a classifier or reranker."""
    named = f.names("architectures")
    if not named or not named[0].endswith("ForSequenceClassification"):
        return ()
    return linear("score", d_model, n_labels(f), "head", shard="replicated")


def n_labels(f: Fields) -> int:
    """Labels of a classifier: the label table, the stated number, or the library's default 2."""
    table = f.raw("id2label")
    stated = f.maybe("num_labels", high=10_000_000)
    return len(table) if isinstance(table, dict) and table else stated or 2


def generic(f: Fields, name: str, style: Style) -> Architecture:
    """A decoder of one attention and one feed-forward a layer."""
    ends = read_ends(f, style)
    norms = layer_norms(style, ends.d_model)
    parallel = f.flag("parallel_attn", "use_parallel_residual", default=style.parallel)
    blocks = [Block(mixer, ffn, norms, parallel) for mixer, ffn in
              zip(read_attention(f, style, ends), read_ffn(f, style, ends), strict=True)]
    return assemble(f, name, style, ends, blocks)
