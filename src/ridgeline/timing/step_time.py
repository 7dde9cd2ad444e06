"""Seconds of a step: every op timed by its kernel family, plus what the engine adds.

Each op's time is its calibrated kernel time, cold caches, never below the op's own roofline. Ops
with zero size take no time (a decode-only step has prefill ops of zero tokens).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.deployment import Deployment
from ridgeline.machine import Cluster
from ridgeline.timing.engine import EngineCosts
from ridgeline.timing.roofline import op_bounds
from ridgeline.work.op import Op

__all__ = ["StepTimer"]

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class StepTimer:
    """Times ops on one machine with one engine's kernels.

    Calling it gives the seconds of a list of ops, broadcast over their array fields.
    """

    cluster: Cluster
    deployment: Deployment
    costs: EngineCosts

    def __call__(self, ops: Sequence[Op]) -> Array:
        """Seconds of all ops, one after another."""
        total = np.zeros(1)
        for op in ops:
            total = total + self.op_seconds(op)
        return total[0] if total.shape == (1,) else total

    def op_seconds(self, op: Op) -> Array:
        """Seconds of all repeats of one op."""
        bounds = op_bounds(op, self.cluster)
        floor = np.asarray(bounds.lower, float)
        size = np.asarray(op.message_bytes if op.kind == "collective"
                          else op.flop + op.memory_bytes, float)
        active = (size > 0) & (np.asarray(_rows(op), float) > 0)
        kernel = op.repeats * np.asarray(_KERNELS[op.kind](self, _positive(op)), float)
        kernel = kernel * self.costs.factor(op.kind)
        if op.kind == "collective":
            kernel = kernel * (1 - self.costs.hidden_network)
        return np.where(active, np.maximum(kernel, floor), 0.0)

    @property
    def backend(self) -> str:
        """The engine whose measured kernels stand for this deployment's."""
        return self.deployment.engine


def _rows(op: Op) -> Any:
    """What must be above zero for the op to run at all."""
    for name in ("rows", "m", "batch", "tokens", "group"):
        if name in op.shape:
            return op.shape[name]
    return 1.0


def _positive(op: Op) -> Op:
    """The op with zero sizes lifted to one, since kernel models take no empty launch."""
    shape = {k: v if k == "past_tokens" else np.where(np.asarray(v, float) > 0, v, 1.0)
             for k, v in op.shape.items()}
    return Op(**{**op.__dict__, "shape": shape})


def _matmul(timer: StepTimer, op: Op) -> Any:
    from ridgeline.timing.kernels.gemm import gemm_time

    s = op.shape
    # Products of many heads are timed as one product with their columns side by side.
    n = s["n"] * s["heads"] if "heads" in s else s["n"]
    return gemm_time(timer.cluster.chip, m=s["m"], n=n, k=s["k"], format=op.labels["format"],
                     backend=timer.backend).seconds


def _experts(timer: StepTimer, op: Op) -> Any:
    from ridgeline.timing.kernels.moe import moe_time

    s = op.shape
    return moe_time(timer.cluster.chip, tokens=s["tokens"], hidden=s["hidden"], inter=s["inter"],
                    top_k=s["top_k"], experts=s["experts"], tp=s["tp"], ep=s["ep"],
                    gated=op.labels["gated"] == "1", format=op.labels["format"],
                    backend=timer.backend).seconds


def _attention(timer: StepTimer, op: Op) -> Any:
    form, phase = op.labels["form"], op.labels["phase"]
    if form == "index":
        return _bandwidth(timer, op)
    timing = _latent if form == "latent_attention" else _softmax
    return timing(timer, op, phase)


def _softmax(timer: StepTimer, op: Op, phase: str) -> Any:
    from ridgeline.timing.kernels.attention import (
        decode_attention_time,
        prefill_attention_time,
    )

    s = op.shape
    window = np.where(np.asarray(s["window"]) > 1e15, 0.0, s["window"])
    shared = {"q_heads": s["q_heads"], "kv_heads": s["kv_heads"], "head_dim": s["head_dim"],
              "v_head_dim": s["v_head_dim"], "window": window, "backend": timer.backend,
              "kv_format": op.labels["kv_format"]}
    if phase == "prefill":
        return prefill_attention_time(timer.cluster.chip, batch=s["batch"],
                                      new_tokens=s["new_tokens"], past_tokens=s["past_tokens"],
                                      **shared).seconds
    return decode_attention_time(timer.cluster.chip, batch=s["batch"], kv_len=s["kv_len"],
                                 **shared).seconds


def _latent(timer: StepTimer, op: Op, phase: str) -> Any:
    from ridgeline.timing.kernels.mla import mla_time

    s = op.shape
    tokens = ({"q_len": s["new_tokens"], "kv_len": s["new_tokens"] + s["past_tokens"]}
              if phase == "prefill" else {"q_len": 1.0, "kv_len": s["kv_len"]})
    return mla_time(timer.cluster.chip, phase=phase, batch=s["batch"], q_heads=s["q_heads"],
                    kv_format=op.labels["kv_format"], backend=timer.backend, **tokens).seconds


def _scan(timer: StepTimer, op: Op) -> Any:
    from ridgeline.timing.kernels.linear_attention import linear_attention_time

    s = op.shape
    if op.labels["rule"] not in ("gated_delta", "kda"):
        return _bandwidth(timer, op)
    return linear_attention_time(timer.cluster.chip, phase=op.labels["phase"], batch=s["batch"],
                                 seq_len=s["seq_len"], k_heads=s["k_heads"], k_dim=s["k_dim"],
                                 v_heads=s["v_heads"], v_dim=s["v_dim"], rule=op.labels["rule"],
                                 backend=timer.backend).seconds


def _bandwidth(timer: StepTimer, op: Op) -> Any:
    """Ops without a table of their own: memory-bound kernels of the measured elementwise kind."""
    from ridgeline.timing.kernels.elementwise import elementwise_time

    bounds = op_bounds(op, timer.cluster)
    moved = elementwise_time(timer.cluster.chip, bytes=op.memory_bytes).seconds
    return np.maximum(moved, np.asarray(bounds.compute, float) / np.maximum(op.repeats, 1e-30))


def _collective(timer: StepTimer, op: Op) -> Any:
    from ridgeline.timing.kernels.collective import collective_time

    cluster, spans = timer.cluster, int(np.max(op.shape["spans"]))
    group = int(np.max(op.shape["group"]))
    link = cluster.link(min(spans, cluster.domain_size))
    nodes = max(1, -(-spans // cluster.domain_size)) if group > 1 else 1
    backend = timer.backend if timer.backend in ("vllm", "sglang", "trtllm") else "nccl"
    return collective_time(cluster.chip, op=op.labels["collective"], bytes=op.message_bytes,
                           group=group, link=link, nodes=min(nodes, group),
                           cross_domain_link=cluster.scale_out if nodes > 1 else None,
                           backend=backend).seconds


_KERNELS: dict[str, Callable[[StepTimer, Op], Any]] = {
    "matmul": _matmul, "grouped_matmul": _experts, "attention": _attention, "scan": _scan,
    "elementwise": _bandwidth, "gather": _bandwidth, "collective": _collective,
}
