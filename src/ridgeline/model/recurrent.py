"""RWKV-7, xLSTM and GLM 5 Next: models with a matrix of state a head.

Shapes from the public modelling code (RWKV-7: flash-linear-attention, MIT; xLSTM: Hugging Face
Transformers 5, Apache-2.0), checked against element counts of published checkpoints.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ridgeline.model.architecture import Architecture, CheckpointExtra
from ridgeline.model.decoder import Style, assemble, read_attention, read_ends, read_ffn
from ridgeline.model.fields import Fields
from ridgeline.model.hybrids import Family, layer_kinds
from ridgeline.model.parts import Block, DenseFfn, LinearAttention, Weight
from ridgeline.model.tensors import elements, linear, norm


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
    mixing = (Weight("x_r, x_w, x_k, x_v, x_a, x_g", (6, d), "mixer"),
              Weight("k_k, k_a, r_k", (3, d), "mixer", "tp"), norm("g_norm", d, True))
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


RECURRENT: dict[str, Family] = {"rwkv7": rwkv7, "xlstm": xlstm, "glm5_next": glm5_next,
                               "glm5_next_text": glm5_next}
