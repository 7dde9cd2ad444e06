"""What feed-forward parts compute: dense matrices, and mixtures of experts with their traffic."""

from __future__ import annotations

from functools import singledispatch

from ridgeline.deployment.operands import Format
from ridgeline.model.parts import DenseFfn, ExpertFfn
from ridgeline.numeric import Numeric
from ridgeline.work.experts_read import distinct_experts
from ridgeline.work.op import Op
from ridgeline.work.rank import Rank

# Engines that exchange tokens of attention copies by gathering them all, unless told otherwise
# (vLLM's documentation of expert parallel deployment).
_GATHERING = ("vllm",)


@singledispatch
def feed_forward_ops(ffn: object, d_model: int, repeats: float, rank: Rank) -> list[Op]:
    """Ops of one feed-forward on one device, `repeats` layers of it."""
    raise TypeError(f"no work is defined for {type(ffn).__name__}")


@feed_forward_ops.register
def _dense(ffn: DenseFfn, d_model: int, repeats: float, rank: Rank) -> list[Op]:
    tp = rank.deployment.tp
    ops = _mlp("", ffn.d_ff / tp, d_model, ffn.gated, "ffn", repeats, rank, rank.formats.dense)
    if ffn.receptance:
        ops.append(rank.matmul("receptance", "ffn", rank.tokens, d_model, d_model / tp, repeats,
                               rank.formats.dense))
    if tp > 1:
        ops.append(_all_reduce("ffn_all_reduce", tp, d_model, repeats, rank))
    return ops


def _mlp(prefix: str, d_ff: Numeric, d_model: Numeric, gated: bool, part: str, repeats: float,
         rank: Rank, weight: Format) -> list[Op]:
    """Up (and gate) projection, activation, down projection on this device's own tokens."""
    first = 2 * d_ff if gated else d_ff
    up = "gate_up_proj" if gated else "up_proj"
    return [
        rank.matmul(prefix + up, part, rank.tokens, d_model, first, repeats, weight),
        Op(prefix + "activation", "elementwise", part, repeats=repeats,
           flop=4 * rank.tokens * d_ff,
           activation_bytes=rank.tokens * (first + d_ff) * rank.activation,
           shape={"rows": rank.tokens, "width": first}),
        rank.matmul(prefix + "down_proj", part, rank.tokens, d_ff, d_model, repeats, weight),
    ]


def _all_reduce(name: str, group: int, d_model: int, repeats: float, rank: Rank) -> Op:
    return rank.collective(name, "all_reduce", group, rank.tokens * d_model * rank.activation,
                           repeats)


@feed_forward_ops.register
def _experts(ffn: ExpertFfn, d_model: int, repeats: float, rank: Rank) -> list[Op]:
    """Router, experts (one grouped product for all matrices), shared and dense branches.

    Without attention data parallelism every device of the group has all tokens, so experts close
    with one all-reduce. With it, tokens travel to their experts and back (all-to-all).
    """
    plan = rank.deployment
    ops = [rank.matmul("router", "ffn", rank.tokens, d_model, ffn.n_experts, repeats,
                       rank.formats.wide)]
    width = float(ffn.latent or d_model)
    if ffn.latent:
        ops.append(rank.matmul("latent_proj", "ffn", rank.tokens, d_model, 2 * width, repeats,
                               rank.formats.dense))
    if plan.attention_dp > 1:
        ops += _dispatch(ffn, width, repeats, rank)
    ops.append(_grouped(ffn, width, repeats, rank))
    for prefix, d_ff in (("shared_", ffn.shared_d_ff), ("dense_", ffn.dense_d_ff)):
        if d_ff:
            ops += _mlp(prefix, d_ff / plan.tp, d_model, ffn.gated, "ffn", repeats, rank,
                        rank.formats.dense)
    if plan.attention_dp == 1 and plan.tp > 1:
        ops.append(_all_reduce("ffn_all_reduce", plan.tp, d_model, repeats, rank))
    return ops


def _grouped(ffn: ExpertFfn, width: float, repeats: float, rank: Rank) -> Op:
    """The routed experts of one layer on one device."""
    plan, weight = rank.deployment, rank.formats.experts
    inter = ffn.d_expert / plan.expert_tp
    matrices = 3 if ffn.gated else 2
    rows = rank.all_tokens * ffn.top_k / plan.ep
    local = ffn.n_experts / plan.ep
    read = distinct_experts(n_experts=float(ffn.n_experts), top_k=float(ffn.top_k),
                            batch_size=rank.all_tokens) / plan.ep
    return Op("experts", "grouped_matmul", "experts", repeats=repeats,
              flop=2 * rows * matrices * width * inter,
              weight_bytes=read * matrices * width * inter * weight.bytes,
              activation_bytes=rows * (2 * width + (matrices + 1) * inter) * rank.activation,
              compute=weight.compute,
              shape={"tokens": rank.all_tokens, "hidden": width, "inter": float(ffn.d_expert),
                     "top_k": float(ffn.top_k), "experts": float(ffn.n_experts),
                     "local_experts": local, "tp": float(plan.expert_tp), "ep": float(plan.ep)},
              labels={"format": weight.name, "gated": "1" if ffn.gated else "0"})


def _dispatch(ffn: ExpertFfn, width: float, repeats: float, rank: Rank) -> list[Op]:
    """Tokens to their experts in the expert format's activations, and 16-bit results back.

    A token goes once to each device that holds any of its experts. vLLM's default backend
    (`allgather_reducescatter`) gives all tokens of all copies to every device instead, and sums.
    """
    plan = rank.deployment
    group = plan.expert_group
    # Each of a token's top-k choices falls on one of `ep` devices.
    reached = distinct_experts(n_experts=float(plan.ep), top_k=1.0,
                               batch_size=float(ffn.top_k))
    gathers = plan.engine in _GATHERING
    there, back = (("all_to_all", "all_to_all") if plan.ep > 1 and not gathers
                   else ("all_gather", "reduce_scatter"))
    out_bytes = 1.0 if rank.formats.experts.compute in ("fp8", "fp4") else rank.activation
    rows = rank.tokens * (float(plan.attention_dp) if gathers
                          else reached if plan.ep > 1 else float(group))
    shape = {"tokens": rank.tokens, "hidden": width, "top_k": float(ffn.top_k),
             "experts": float(ffn.n_experts), "group": float(group), "spans": float(group)}
    return [
        Op("dispatch", "collective", "network", repeats=repeats, shape=shape,
           message_bytes=rows * width * out_bytes,
           labels={"collective": there}),
        Op("combine", "collective", "network", repeats=repeats, shape=shape,
           message_bytes=rows * width * rank.activation,
           labels={"collective": back}),
    ]
