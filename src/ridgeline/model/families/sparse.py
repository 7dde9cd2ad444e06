"""Decoders that attend to a chosen or compressed part of the past.

A reader raises `BadInput` when the config lacks a field it needs.
"""

from __future__ import annotations

from dataclasses import replace

from ridgeline.errors import BadInput
from ridgeline.model.architecture import Architecture, CheckpointExtra
from ridgeline.model.decoder import (
    Ends,
    Style,
    assemble,
    read_attention,
    read_ends,
    read_experts,
    read_ffn,
    read_indexer,
)
from ridgeline.model.families.blocks import Family, block_of, layer_kinds, mtp_block
from ridgeline.model.fields import MAX_CONTEXT, Fields
from ridgeline.model.parts import (
    Attention,
    Block,
    CompressedAttention,
    DenseFfn,
    LinearAttention,
    Weight,
)
from ridgeline.model.tensors import linear, norm


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


def glm5_next(f: Fields, name: str) -> Architecture:
    """GLM 5 Next: delta attention with sparse latent attention, over several residual streams.

    The indexer scores pooled keys beside plain ones; only the plain ones are counted as cache.
    """
    style = Style(router_bias=True, first_dense=3)
    ends = read_ends(f, style)
    d = ends.d_model
    kinds = layer_kinds(f, ends, "layer_types") or [
        "linear_attention" if (i + 1) % 4 else "indexed_attention" for i in range(ends.n_layers)]
    heads, width = f.count("linear_num_heads", default=64), f.count("linear_head_dim", default=128)
    delta = LinearAttention("kda", heads, heads, width, width,
                            f.count("linear_conv_kernel_dim", default=4))
    streams, pool = f.count("hc_mult", default=4, high=64), f.count("index_kpool", default=16)
    mixes = (2 + streams) * streams
    hyper = (Weight("hyper.fn", (streams * d, mixes), "other", count=2),
             Weight("hyper.base, scale", (mixes + 3,), "other", count=2))
    index_width = f.count("index_head_dim", default=128)
    pooling = (Weight("indexer.compress_gate", (d, index_width), "attention"),
               Weight("indexer.compress_bias", (pool, index_width), "attention"))
    blocks = []
    for kind, mixer, ffn in zip(kinds, read_attention(f, style, ends), read_ffn(f, style, ends),
                                strict=True):
        linear_layer = "linear" in kind
        own = hyper if linear_layer else (*hyper, *pooling)
        blocks.append(Block(delta if linear_layer else mixer, ffn,
                            (norm("norms", d, count=2), *own)))
    f.ignore("index_kpool_always_select_tail", "head_dim", "num_nextn_predict_layers")
    return assemble(f, name, style, ends, blocks)


FAMILIES: dict[str, Family] = {
    "deepseek_v4": deepseek_v4, "minimax_m3_vl": minimax_m3, "minimax_m3_vl_text": minimax_m3,
    "minimax_m3": minimax_m3, "glm5_next": glm5_next, "glm5_next_text": glm5_next,
}
