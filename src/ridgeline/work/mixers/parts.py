"""What mixers share: dispatch on their kind, softmax attention, indexers, the closing reduce."""

from __future__ import annotations

from functools import singledispatch

from ridgeline.model.parts import (
    Indexer,
)
from ridgeline.numeric import Numeric, minimum
from ridgeline.work.attended import attended_pairs
from ridgeline.work.op import Follows, Op
from ridgeline.work.rank import Rank

# A window that no context fills.
UNLIMITED = 1e18


@singledispatch
def mixer_ops(mixer: object, d_model: int, repeats: float, rank: Rank) -> list[Op]:
    """Ops of one mixer on one device, `repeats` layers of it."""
    raise TypeError(f"no work is defined for {type(mixer).__name__}")


def reduce_over_tp(d_model: int, repeats: float, rank: Rank) -> list[Op]:
    """The all-reduce that closes a tensor-parallel block."""
    if rank.deployment.tp == 1:
        return []
    return [rank.collective("attention_all_reduce", "all_reduce", rank.deployment.tp,
                            rank.tokens * d_model * rank.activation, repeats)]


def softmax_ops(rank: Rank, repeats: float, *, heads: Numeric, kv_heads: Numeric,
                qk_dim: Numeric, v_dim: Numeric, kv_bytes: Numeric, window: Numeric,
                causal: bool = True, label: str = "attention",
                decode_heads: tuple[Numeric, Numeric, Numeric] | None = None) -> list[Op]:
    """Prefill and decode attention of one layer.

    `kv_bytes` are cached bytes a token on this device; `decode_heads` = (kv heads, qk dim, v dim)
    where decode works on another form than prefill (absorbed latent attention).
    """
    cp = rank.deployment.cp
    new, past = rank.prompt_tokens, rank.prompt_past
    if causal:
        pairs = attended_pairs(new=new * cp, past=past, window=window) / cp
    else:
        pairs = new * minimum(new * cp + past, window)
    seen = minimum(past + new * cp, window + new * cp)
    q_out = rank.prompts * new * heads * (qk_dim + v_dim) * rank.activation
    fresh = rank.prompts * new * kv_heads * (qk_dim + v_dim) * rank.activation
    prefill = Op(
        f"prefill_{label}", "attention", "attention", repeats=repeats,
        flop=2 * rank.prompts * pairs * heads * (qk_dim + v_dim),
        activation_bytes=q_out + fresh,
        state_bytes=rank.prompts * (new + minimum(past, seen)) * kv_bytes,
        follows="prefill", compute=rank.formats.attention_compute,
        shape={"batch": rank.prompts, "new_tokens": new, "past_tokens": past, "q_heads": heads,
               "kv_heads": kv_heads, "head_dim": qk_dim, "v_head_dim": v_dim, "window": window},
        labels={"phase": "prefill", "form": label, "kv_format": rank.formats.kv.name})
    d_kv, d_qk, d_v = decode_heads or (kv_heads, qk_dim, v_dim)
    length = minimum(rank.context, window)
    decode = Op(
        f"decode_{label}", "attention", "attention", repeats=repeats,
        flop=2 * rank.decoding * (length / cp) * heads * (d_qk + d_v),
        activation_bytes=rank.decoding * heads * (d_qk + d_v) * rank.activation,
        state_bytes=rank.decoding * (length / cp + 1) * kv_bytes,
        follows="decode", compute=rank.formats.attention_compute,
        shape={"batch": rank.decoding, "kv_len": length / cp, "q_heads": heads, "kv_heads": d_kv,
               "head_dim": d_qk, "v_head_dim": d_v, "window": window},
        labels={"phase": "decode", "form": label, "kv_format": rank.formats.kv.name})
    ops = [prefill, decode]
    if cp > 1:
        ring = rank.prompts * (past + new * cp) * kv_bytes
        ops.append(rank.collective("ring_kv", "all_gather", cp, ring, repeats,
                                   spans=cp * rank.deployment.tp, follows="prefill"))
    return ops


def query_projection(q_lora_rank: int | None, width: Numeric, d_model: int, repeats: float,
                     rank: Rank, beside: Numeric = 0.0) -> list[Op]:
    """Queries through a low-rank pair (the first half is not split by tp) or directly.

    `beside` columns of another projection from d_model that is not split either: engines take it
    in one product with the low-rank half.
    """
    dense = rank.formats.dense
    if q_lora_rank is None:
        ops = [rank.matmul("q_proj", "attention", rank.tokens, d_model, width, repeats, dense)]
        if beside:
            ops.append(rank.matmul("kv_a_proj", "attention", rank.tokens, d_model, beside, repeats,
                                   dense))
        return ops
    first = "qkv_a_proj" if beside else "q_a_proj"
    return [
        rank.matmul(first, "attention", rank.tokens, d_model, q_lora_rank + beside, repeats, dense),
        rank.matmul("q_b_proj", "attention", rank.tokens, q_lora_rank, width, repeats, dense),
    ]


def indexer_ops(indexer: Indexer, d_model: int, stride: Numeric, key_width: float,
                repeats: float, rank: Rank) -> list[Op]:
    """Projections and scoring of a sparse-attention indexer: every cached key is scored in fp8.

    It is not split by tensor parallelism. Keys are 8 bit with one 4-byte scale; `stride` tokens
    share one, made by projections `key_width` wide in all.
    """
    width = float(indexer.n_heads * indexer.head_dim)
    dense = rank.formats.dense
    key_bytes = indexer.head_dim + 4.0
    new, past = rank.prompt_tokens, rank.prompt_past
    pairs = rank.prompts * attended_pairs(new=new, past=past, window=UNLIMITED) / stride
    compute = "fp8" if dense.compute in ("fp8", "fp4") else dense.compute

    def scores(follows: Follows, batch: Numeric, rows: Numeric, scored: Numeric,
               keys: Numeric) -> Op:
        return Op(f"{follows}_index_scores", "attention", "attention", repeats=repeats,
                  flop=2 * scored * width, activation_bytes=rows * width + scored * 4.0,
                  state_bytes=keys / stride * key_bytes, follows=follows, compute=compute,
                  shape={"batch": batch, "q_heads": float(indexer.n_heads),
                         "head_dim": float(indexer.head_dim), "scored": scored},
                  labels={"phase": follows, "form": "index"})

    return [
        rank.matmul("index_q_proj", "attention", rank.tokens, indexer.q_lora_rank, width, repeats,
                    dense),
        rank.matmul("index_k_proj", "attention", rank.tokens, d_model,
                    key_width + indexer.n_heads, repeats, rank.formats.wide),
        scores("prefill", rank.prompts, rank.prompts * new, pairs, rank.prompts * (past + new)),
        scores("decode", rank.decoding, rank.decoding, rank.decoding * rank.context / stride,
               rank.decoding * rank.context),
    ]
