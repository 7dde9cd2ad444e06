"""Work of mixers that attend: grouped heads, latent, compressed."""

from __future__ import annotations

from ridgeline.model.parts import (
    Attention,
    CompressedAttention,
    LatentAttention,
)
from ridgeline.numeric import Numeric, minimum
from ridgeline.work.attended import attended_pairs
from ridgeline.work.mixers.parts import (
    UNLIMITED,
    indexer_ops,
    mixer_ops,
    query_projection,
    reduce_over_tp,
    softmax_ops,
)
from ridgeline.work.op import Follows, Op
from ridgeline.work.rank import Rank


@mixer_ops.register
def _attention(mixer: Attention, d_model: int, repeats: float, rank: Rank) -> list[Op]:
    """Grouped-query attention; KV heads are copied when tp exceeds their number."""
    tp = rank.deployment.tp
    heads = mixer.n_heads / tp
    kv_heads = max(1.0, mixer.n_kv_heads / tp)
    qk_dim, v_dim = float(mixer.head_dim), float(mixer.value_dim)
    q_width = heads * qk_dim * (2 if mixer.output_gate else 1)
    kv_width = 0.0 if mixer.shares_kv else kv_heads * (qk_dim if mixer.k_is_v else qk_dim + v_dim)
    gate_width = heads if mixer.head_gate else 0.0
    dense = rank.formats.dense
    window = float(mixer.window) if mixer.window else UNLIMITED
    kv_bytes = kv_heads * (qk_dim + v_dim) * rank.formats.kv.bytes
    return [
        rank.matmul("qkv_proj", "attention", rank.tokens, float(mixer.d_in or d_model),
                    q_width + kv_width + gate_width, repeats, dense),
        Op("rope", "elementwise", "attention", repeats=repeats,
           flop=3 * rank.tokens * (q_width + kv_width),
           activation_bytes=2 * rank.tokens * (q_width + kv_width) * rank.activation,
           shape={"rows": rank.tokens, "width": q_width + kv_width}),
        *_shared_norm(mixer, repeats, rank),
        *softmax_ops(rank, repeats, heads=heads, kv_heads=kv_heads, qk_dim=qk_dim, v_dim=v_dim,
                     kv_bytes=kv_bytes, window=window, causal=mixer.causal),
        rank.matmul("o_proj", "attention", rank.tokens, heads * v_dim,
                    float(mixer.d_out or d_model), repeats, dense),
        *reduce_over_tp(d_model, repeats, rank),
    ]


def _shared_norm(mixer: Attention, repeats: float, rank: Rank) -> list[Op]:
    """A norm over all heads together: devices that share them add up two squares a token."""
    tp = rank.deployment.tp
    if mixer.qk_norm != "full" or tp == 1:
        return []
    return [rank.collective("qk_norm_all_reduce", "all_reduce", tp, rank.tokens * 2 * 4.0, repeats)]


@mixer_ops.register
def _latent(mixer: LatentAttention, d_model: int, repeats: float, rank: Rank) -> list[Op]:
    """MLA: prefill expands the latent into heads; decode absorbs the expansion into the queries.

    The latent cache is the same on every tensor-parallel device.
    """
    tp = rank.deployment.tp
    heads = mixer.n_heads / tp
    latent = float(mixer.kv_lora_rank)
    entry = latent + mixer.qk_rope_head_dim
    qk = float(mixer.qk_nope_head_dim + mixer.qk_rope_head_dim)
    v = float(mixer.v_head_dim)
    dense, wide = rank.formats.dense, rank.formats.wide
    kv_bytes = entry * rank.formats.kv.bytes
    prompt_rows = rank.prompts * (rank.prompt_tokens + rank.prompt_past)
    up = (float(mixer.qk_nope_head_dim), latent)
    ops = query_projection(mixer.q_lora_rank, heads * qk, d_model, repeats, rank, beside=entry)
    if mixer.output_gate:
        ops.append(rank.matmul("gate_proj", "attention", rank.tokens, d_model, heads * v, repeats,
                               dense))
    ops += [
        rank.matmul("kv_b_proj", "attention", prompt_rows, latent,
                    heads * (mixer.qk_nope_head_dim + v), repeats, wide, "prefill"),
        rank.batched_matmul("absorb_k", "attention", heads, rank.decoding, *up, repeats, wide,
                            "decode"),
    ]
    window = UNLIMITED
    if mixer.indexer is not None:
        if not mixer.indexer.shared:   # a shared one reuses the choice of a layer before
            ops += indexer_ops(mixer.indexer, d_model, 1.0, float(mixer.indexer.head_dim), repeats,
                            rank)
        window = float(mixer.indexer.top_k)
    ops += softmax_ops(rank, repeats, heads=heads, kv_heads=heads, qk_dim=qk, v_dim=v,
                       kv_bytes=kv_bytes, window=window, label="latent_attention",
                       decode_heads=(1.0, entry, latent))
    ops += [
        rank.batched_matmul("absorb_v", "attention", heads, rank.decoding, latent, v, repeats,
                            wide, "decode"),
        rank.matmul("o_proj", "attention", rank.tokens, heads * v, d_model, repeats, dense),
        *reduce_over_tp(d_model, repeats, rank),
    ]
    return ops


@mixer_ops.register
def _compressed(mixer: CompressedAttention, d_model: int, repeats: float, rank: Rank) -> list[Op]:
    """DeepSeek V4: one KV head shared by all queries, near window plus compressed far range."""
    heads = mixer.n_heads / rank.deployment.tp
    dim = float(mixer.head_dim)
    dense = rank.formats.dense
    kv_bytes = dim * rank.formats.kv.bytes
    ops = query_projection(mixer.q_lora_rank, heads * dim, d_model, repeats, rank)
    ops.append(rank.matmul("kv_proj", "attention", rank.tokens, d_model, dim, repeats, dense))
    ops += softmax_ops(rank, repeats, heads=heads, kv_heads=1.0, qk_dim=dim, v_dim=dim,
                       kv_bytes=kv_bytes, window=float(mixer.window), label="window_attention")
    if mixer.compress_ratio:
        ops += _far_range(mixer, d_model, heads, kv_bytes, repeats, rank)
    # The output projection is low rank in groups: heads -> o_groups x o_lora_rank -> d_model.
    groups = mixer.o_groups / rank.deployment.tp
    ops += [
        rank.batched_matmul("o_a_proj", "attention", groups, rank.tokens,
                            mixer.n_heads * dim / mixer.o_groups, float(mixer.o_lora_rank),
                            repeats, dense),
        rank.matmul("o_b_proj", "attention", rank.tokens, groups * mixer.o_lora_rank, d_model,
                    repeats, dense),
        *reduce_over_tp(d_model, repeats, rank),
    ]
    return ops


def _far_range(mixer: CompressedAttention, d_model: int, heads: Numeric, kv_bytes: Numeric,
               repeats: float, rank: Rank) -> list[Op]:
    """Attention to compressed entries: all of them, or the indexer's best."""
    ratio, dim = float(mixer.compress_ratio), float(mixer.head_dim)
    kept = float(mixer.indexer.top_k) if mixer.indexer else UNLIMITED
    new, past = rank.prompt_tokens, rank.prompt_past
    pairs = rank.prompts * attended_pairs(new=new, past=past, window=kept * ratio) / ratio
    length = minimum(rank.context / ratio, kept)
    ops = [rank.matmul("compress_proj", "attention", rank.tokens, d_model,
                       2 * mixer.overlap * dim, repeats, rank.formats.dense)]
    if mixer.indexer is not None:
        pooled = 2.0 * mixer.overlap * mixer.indexer.head_dim
        ops += indexer_ops(mixer.indexer, d_model, ratio, pooled, repeats, rank)

    def far(follows: Follows, batch: Numeric, rows: Numeric, scored: Numeric, keys: Numeric,
            **lengths: Numeric) -> Op:
        return Op(f"{follows}_far_attention", "attention", "attention", repeats=repeats,
                  flop=4 * heads * dim * scored,
                  activation_bytes=2 * rows * heads * dim * rank.activation,
                  state_bytes=keys * kv_bytes, follows=follows,
                  compute=rank.formats.attention_compute,
                  shape={"batch": batch, **lengths, "q_heads": heads, "kv_heads": 1.0,
                         "head_dim": dim, "v_head_dim": dim, "window": UNLIMITED},
                  labels={"phase": follows, "form": "far",
                          "kv_format": rank.formats.kv.name})

    return [*ops, far("prefill", rank.prompts, rank.prompts * new, pairs,
                      rank.prompts * (new + past) / ratio, new_tokens=new, past_tokens=past),
            far("decode", rank.decoding, rank.decoding, rank.decoding * length,
                rank.decoding * length, kv_len=length)]
