"""Work of mixers with a state of constant size: linear attention, Mamba, RWKV, convolutions."""

from __future__ import annotations

from ridgeline.model.parts import (
    GatedRecurrence,
    LinearAttention,
    Mamba,
    Rwkv,
    ShortConv,
)
from ridgeline.numeric import Numeric, minimum
from ridgeline.work.mixers.parts import (
    mixer_ops,
    reduce_over_tp,
)
from ridgeline.work.op import Follows, Op
from ridgeline.work.rank import Rank

# Chunk length of chunked scans (gated delta net, Mamba-2): both libraries use 64 to 256.
_SCAN_CHUNK = 64.0


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
        *reduce_over_tp(d_model, repeats, rank),
    ]


def _gates(mixer: LinearAttention, d_model: int, keys: Numeric, values: Numeric,
           v_heads: Numeric, repeats: float, rank: Rank) -> tuple[Numeric, list[Op]]:
    """Width of the gates in the input projection, and products of low-rank ones.

    The output gate is as wide as the values; gated delta has decay and beta, one a head; KDA has
    beta, a decay for each key channel of rank k_dim, and a gate of rank v_dim unless full. Rules
    that bring tensors of their own (RWKV-7's low-rank pairs) count those, as one product.
    """
    if mixer.extra:
        return mixer.extra_products / d_model / rank.deployment.tp, []
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
        *reduce_over_tp(d_model, repeats, rank),
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
        *reduce_over_tp(d_model, repeats, rank),
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
        *reduce_over_tp(d_model, repeats, rank),
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
        *reduce_over_tp(d_model, repeats, rank),
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
