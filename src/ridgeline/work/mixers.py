"""What each kind of mixer computes, reads and sends: one function a class of `model.parts`."""

from __future__ import annotations

from functools import singledispatch

from ridgeline.model.parts import (
    Attention,
    CompressedAttention,
    GatedRecurrence,
    Indexer,
    LatentAttention,
    LinearAttention,
    Mamba,
    Rwkv,
    ShortConv,
)
from ridgeline.numeric import Numeric, minimum
from ridgeline.work.attended import attended_pairs
from ridgeline.work.op import Follows, Op
from ridgeline.work.rank import Rank

# Chunk length of chunked scans (gated delta net, Mamba-2): both libraries use 64 to 256.
_SCAN_CHUNK = 64.0
_UNLIMITED = 1e18


@singledispatch
def mixer_ops(mixer: object, d_model: int, repeats: float, rank: Rank) -> list[Op]:
    """Ops of one mixer on one device, `repeats` layers of it."""
    raise TypeError(f"no work is defined for {type(mixer).__name__}")


def _reduce(d_model: int, repeats: float, rank: Rank) -> list[Op]:
    """The all-reduce that closes a tensor-parallel block."""
    if rank.deployment.tp == 1:
        return []
    return [rank.collective("attention_all_reduce", "all_reduce", rank.deployment.tp,
                            rank.tokens * d_model * rank.activation, repeats)]


def _core(rank: Rank, repeats: float, *, heads: Numeric, kv_heads: Numeric, qk_dim: Numeric,
          v_dim: Numeric, kv_bytes: Numeric, window: Numeric, causal: bool = True,
          label: str = "attention", decode_heads: tuple[Numeric, Numeric, Numeric] | None = None,
          ) -> list[Op]:
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


@mixer_ops.register
def _attention(mixer: Attention, d_model: int, repeats: float, rank: Rank) -> list[Op]:
    """Grouped-query attention; KV heads are copied when tp exceeds their number."""
    tp = rank.deployment.tp
    heads = mixer.n_heads / tp
    kv_heads = max(1.0, mixer.n_kv_heads / tp)
    d_in = mixer.d_in or d_model
    values = 0 if mixer.shares_kv else (1 if mixer.k_is_v else 2)
    q_width = heads * mixer.head_dim * (2 if mixer.output_gate else 1)
    kv_width = 0.0 if mixer.shares_kv else kv_heads * mixer.head_dim * values
    dense = rank.formats.dense
    window = float(mixer.window) if mixer.window else _UNLIMITED
    kv_bytes = 2 * kv_heads * mixer.head_dim * rank.formats.kv.bytes
    return [
        rank.matmul("qkv_proj", "attention", rank.tokens, d_in, q_width + kv_width, repeats, dense),
        Op("rope", "elementwise", "attention", repeats=repeats,
           flop=3 * rank.tokens * (q_width + kv_width),
           activation_bytes=2 * rank.tokens * (q_width + kv_width) * rank.activation,
           shape={"rows": rank.tokens, "width": q_width + kv_width}),
        *_core(rank, repeats, heads=heads, kv_heads=kv_heads, qk_dim=float(mixer.head_dim),
               v_dim=float(mixer.head_dim), kv_bytes=kv_bytes, window=window, causal=mixer.causal),
        rank.matmul("o_proj", "attention", rank.tokens, heads * mixer.head_dim,
                    float(mixer.d_out or d_model), repeats, dense),
        *_reduce(d_model, repeats, rank),
    ]


def _query_projection(q_lora_rank: int | None, width: Numeric, d_model: int, repeats: float,
                      rank: Rank) -> list[Op]:
    """Queries through a low-rank pair (the first half is not split by tp) or directly."""
    dense = rank.formats.dense
    if q_lora_rank is None:
        return [rank.matmul("q_proj", "attention", rank.tokens, d_model, width, repeats, dense)]
    return [
        rank.matmul("q_a_proj", "attention", rank.tokens, d_model, q_lora_rank, repeats, dense),
        rank.matmul("q_b_proj", "attention", rank.tokens, q_lora_rank, width, repeats, dense),
    ]


def _indexer(indexer: Indexer, d_model: int, stride: Numeric, key_width: float, repeats: float,
             rank: Rank) -> list[Op]:
    """Projections and scoring of a sparse-attention indexer: every cached key is scored in fp8.

    It is not split by tensor parallelism. Keys are 8 bit with one 4-byte scale; `stride` tokens
    share one, made by projections `key_width` wide in all.
    """
    width = float(indexer.n_heads * indexer.head_dim)
    dense = rank.formats.dense
    key_bytes = indexer.head_dim + 4.0
    new, past = rank.prompt_tokens, rank.prompt_past
    pairs = rank.prompts * attended_pairs(new=new, past=past, window=_UNLIMITED) / stride
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
    ops = _query_projection(mixer.q_lora_rank, heads * qk, d_model, repeats, rank)
    if mixer.output_gate:
        ops.append(rank.matmul("gate_proj", "attention", rank.tokens, d_model, heads * v, repeats,
                               dense))
    ops += [
        rank.matmul("kv_a_proj", "attention", rank.tokens, d_model, entry, repeats, dense),
        rank.matmul("kv_b_proj", "attention", prompt_rows, latent,
                    heads * (mixer.qk_nope_head_dim + v), repeats, wide, "prefill"),
        rank.batched_matmul("absorb_k", "attention", heads, rank.decoding, *up, repeats, wide,
                            "decode"),
    ]
    window = _UNLIMITED
    if mixer.indexer is not None:
        if not mixer.indexer.shared:   # a shared one reuses the choice of a layer before
            ops += _indexer(mixer.indexer, d_model, 1.0, float(mixer.indexer.head_dim), repeats,
                            rank)
        window = float(mixer.indexer.top_k)
    ops += _core(rank, repeats, heads=heads, kv_heads=heads, qk_dim=qk, v_dim=v, kv_bytes=kv_bytes,
                 window=window, label="latent_attention", decode_heads=(1.0, entry, latent))
    ops += [
        rank.batched_matmul("absorb_v", "attention", heads, rank.decoding, latent, v, repeats,
                            wide, "decode"),
        rank.matmul("o_proj", "attention", rank.tokens, heads * v, d_model, repeats, dense),
        *_reduce(d_model, repeats, rank),
    ]
    return ops


@mixer_ops.register
def _compressed(mixer: CompressedAttention, d_model: int, repeats: float, rank: Rank) -> list[Op]:
    """DeepSeek V4: one KV head shared by all queries, near window plus compressed far range."""
    heads = mixer.n_heads / rank.deployment.tp
    dim = float(mixer.head_dim)
    dense = rank.formats.dense
    kv_bytes = dim * rank.formats.kv.bytes
    ops = _query_projection(mixer.q_lora_rank, heads * dim, d_model, repeats, rank)
    ops.append(rank.matmul("kv_proj", "attention", rank.tokens, d_model, dim, repeats, dense))
    ops += _core(rank, repeats, heads=heads, kv_heads=1.0, qk_dim=dim, v_dim=dim,
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
        *_reduce(d_model, repeats, rank),
    ]
    return ops


def _far_range(mixer: CompressedAttention, d_model: int, heads: Numeric, kv_bytes: Numeric,
               repeats: float, rank: Rank) -> list[Op]:
    """Attention to compressed entries: all of them, or the indexer's best."""
    ratio, dim = float(mixer.compress_ratio), float(mixer.head_dim)
    kept = float(mixer.indexer.top_k) if mixer.indexer else _UNLIMITED
    new, past = rank.prompt_tokens, rank.prompt_past
    pairs = rank.prompts * attended_pairs(new=new, past=past, window=kept * ratio) / ratio
    length = minimum(rank.context / ratio, kept)
    ops = [rank.matmul("compress_proj", "attention", rank.tokens, d_model,
                       2 * mixer.overlap * dim, repeats, rank.formats.dense)]
    if mixer.indexer is not None:
        pooled = 2.0 * mixer.overlap * mixer.indexer.head_dim
        ops += _indexer(mixer.indexer, d_model, ratio, pooled, repeats, rank)

    def far(follows: Follows, batch: Numeric, rows: Numeric, scored: Numeric, keys: Numeric) -> Op:
        return Op(f"{follows}_far_attention", "attention", "attention", repeats=repeats,
                  flop=4 * heads * dim * scored,
                  activation_bytes=2 * rows * heads * dim * rank.activation,
                  state_bytes=keys * kv_bytes, follows=follows,
                  compute=rank.formats.attention_compute,
                  shape={"batch": batch, "new_tokens": new, "past_tokens": past, "kv_len": length,
                         "q_heads": heads, "kv_heads": 1.0, "head_dim": dim, "v_head_dim": dim,
                         "window": _UNLIMITED},
                  labels={"phase": follows, "form": "far",
                          "kv_format": rank.formats.kv.name})

    return [*ops, far("prefill", rank.prompts, rank.prompts * new, pairs,
                      rank.prompts * (new + past) / ratio),
            far("decode", rank.decoding, rank.decoding, rank.decoding * length,
                rank.decoding * length)]


@mixer_ops.register
def _linear(mixer: LinearAttention, d_model: int, repeats: float, rank: Rank) -> list[Op]:
    """Matrix-state attention: state is read and written once a step, in chunks in prefill."""
    tp = rank.deployment.tp
    k_heads, v_heads = mixer.n_k_heads / tp, mixer.n_v_heads / tp
    keys, values = k_heads * mixer.k_dim, v_heads * mixer.v_dim
    dense = rank.formats.dense
    width = 2 * keys + values
    gates, gate_ops = _gates(mixer, d_model, keys, values, v_heads, repeats, rank)
    matrix = v_heads * mixer.k_dim * mixer.v_dim
    return [
        rank.matmul("in_proj", "mixer", rank.tokens, d_model, width + gates, repeats, dense),
        *gate_ops,
        *_convolution(width, mixer.conv_kernel, repeats, rank),
        *_scan(f"{mixer.rule}_scan", width + values, matrix, repeats, rank,
              {"k_heads": k_heads, "k_dim": float(mixer.k_dim), "v_heads": v_heads,
               "v_dim": float(mixer.v_dim), "d_model": float(d_model),
               "d_conv": float(mixer.conv_kernel)}, mixer.rule),
        rank.matmul("out_proj", "mixer", rank.tokens, values, d_model, repeats, dense),
        *_reduce(d_model, repeats, rank),
    ]


def _gates(mixer: LinearAttention, d_model: int, keys: Numeric, values: Numeric,
           v_heads: Numeric, repeats: float, rank: Rank) -> tuple[Numeric, list[Op]]:
    """Width of the gates in the input projection, and products of low-rank ones.

    The output gate is as wide as the values; gated delta has decay and beta, one a head; KDA has
    beta, a decay for each key channel of rank k_dim, and a gate of rank v_dim unless full.
    """
    if mixer.rule != "kda":
        return values + (2 * v_heads if mixer.rule == "gated_delta" else 0.0), []
    dense = rank.formats.dense
    ops = [rank.matmul("decay_b_proj", "mixer", rank.tokens, mixer.k_dim, keys, repeats, dense)]
    if mixer.full_rank_gate:
        return mixer.k_dim + v_heads + values, ops
    ops.append(rank.matmul("gate_b_proj", "mixer", rank.tokens, mixer.v_dim, values, repeats,
                           dense))
    return mixer.k_dim + v_heads + mixer.v_dim, ops


@mixer_ops.register
def _mamba(mixer: Mamba, d_model: int, repeats: float, rank: Rank) -> list[Op]:
    """Selective state space: `d_inner x d_state` of state a layer and sequence."""
    tp = rank.deployment.tp
    inner = mixer.d_inner / tp
    groups = mixer.n_groups * mixer.d_state
    dense = rank.formats.dense
    if mixer.version == 2:
        width = inner + 2 * groups
        projections = [rank.matmul("in_proj", "mixer", rank.tokens, d_model,
                                   2 * inner + 2 * groups + mixer.n_heads / tp, repeats, dense)]
    else:
        width = inner
        projections = [
            rank.matmul("in_proj", "mixer", rank.tokens, d_model, 2 * inner, repeats, dense),
            rank.matmul("x_proj", "mixer", rank.tokens, inner,
                        float(mixer.dt_rank + 2 * mixer.d_state), repeats, dense),
            rank.matmul("dt_proj", "mixer", rank.tokens, float(mixer.dt_rank), inner, repeats,
                        dense),
        ]
    heads = max(mixer.n_heads / tp, 1.0)
    return [
        *projections,
        *_convolution(width, mixer.conv_kernel, repeats, rank),
        *_scan("ssm_scan", 2 * inner + 2 * groups, inner * mixer.d_state, repeats, rank,
              {"k_heads": float(mixer.n_groups), "k_dim": float(mixer.d_state), "v_heads": heads,
               "v_dim": inner / heads, "d_model": float(d_model),
               "d_conv": float(mixer.conv_kernel)}, f"mamba{mixer.version}"),
        rank.matmul("out_proj", "mixer", rank.tokens, inner, d_model, repeats, dense),
        *_reduce(d_model, repeats, rank),
    ]


@mixer_ops.register
def _rwkv(mixer: Rwkv, d_model: int, repeats: float, rank: Rank) -> list[Op]:
    """RWKV-4 time mixing: key, value, receptance and output projections and an elementwise scan."""
    width = mixer.d_attn / rank.deployment.tp
    return [
        rank.matmul("krv_proj", "mixer", rank.tokens, d_model, 3 * width, repeats,
                    rank.formats.dense),
        *_scan("wkv_scan", 4 * width, 5 * width, repeats, rank, {"v_heads": 1.0, "v_dim": width},
              "rwkv"),
        rank.matmul("out_proj", "mixer", rank.tokens, width, d_model, repeats, rank.formats.dense),
        *_reduce(d_model, repeats, rank),
    ]


def _phases(rank: Rank) -> tuple[tuple[Follows, Numeric, Numeric], ...]:
    """(phase, sequences, tokens of each) of the prompts and of the decoding sequences."""
    return (("prefill", rank.prompts, rank.prompt_tokens), ("decode", rank.decoding, 1.0))


@mixer_ops.register
def _short_convolution(mixer: ShortConv, d_model: int, repeats: float, rank: Rank) -> list[Op]:
    """A gated short convolution: three projections in, a depthwise convolution, one out."""
    width = mixer.width / rank.deployment.tp
    dense = rank.formats.dense
    return [
        rank.matmul("in_proj", "mixer", rank.tokens, d_model, 3 * width, repeats, dense),
        *_convolution(width, mixer.kernel, repeats, rank),
        rank.matmul("out_proj", "mixer", rank.tokens, width, d_model, repeats, dense),
        *_reduce(d_model, repeats, rank),
    ]


@mixer_ops.register
def _gated_recurrence(mixer: GatedRecurrence, d_model: int, repeats: float,
                      rank: Rank) -> list[Op]:
    """A real-gated linear recurrence: two branches in, block-diagonal gates, a scan, one out."""
    width = mixer.width / rank.deployment.tp
    dense, block = rank.formats.dense, mixer.width / mixer.n_heads
    return [
        rank.matmul("in_proj", "mixer", rank.tokens, d_model, 2 * width, repeats, dense),
        *_convolution(width, mixer.conv_kernel, repeats, rank),
        rank.matmul("gates", "mixer", rank.tokens, block, 2 * width, repeats, dense),
        *_scan("recurrence_scan", 2 * width, width, repeats, rank,
               {"v_heads": 1.0, "v_dim": width}, "rwkv"),
        rank.matmul("out_proj", "mixer", rank.tokens, width, d_model, repeats, dense),
        *_reduce(d_model, repeats, rank),
    ]


def _convolution(width: Numeric, kernel: int, repeats: float, rank: Rank) -> list[Op]:
    """Depthwise causal convolution over `kernel` tokens; its state is the last `kernel` - 1."""
    if not kernel:
        return []
    return [Op(f"{phase}_conv1d", "elementwise", "mixer", repeats=repeats,
               flop=2 * sequences * tokens * width * kernel,
               activation_bytes=2 * sequences * tokens * width * rank.activation,
               state_bytes=2 * sequences * width * (kernel - 1) * rank.activation, follows=phase,
               shape={"rows": sequences * tokens, "width": width})
            for phase, sequences, tokens in _phases(rank)]


def _scan(name: str, width: Numeric, matrix: Numeric, repeats: float, rank: Rank,
          shape: dict[str, Numeric], rule: str) -> list[Op]:
    """A recurrent scan over `matrix` state values a sequence, in the state format.

    Every token decays, updates and reads the state (6 FLOP a value); prefill in chunks adds
    products inside a chunk. State is read and written once a step and sequence.
    """
    return [Op(f"{phase}_{name}", "scan", "mixer", repeats=repeats,
               flop=sequences * tokens * (6 * matrix + 2 * minimum(_SCAN_CHUNK, tokens) * width),
               activation_bytes=sequences * tokens * width * rank.activation,
               state_bytes=2 * sequences * matrix * rank.formats.state.bytes, follows=phase,
               compute=rank.formats.attention_compute,
               shape={"batch": sequences, "seq_len": tokens, **shape},
               labels={"rule": rule, "phase": phase})
            for phase, sequences, tokens in _phases(rank)]
