"""Seconds of a step: every op timed by its kernel family, plus what the engine adds.

Each op's time is its calibrated kernel time, cold caches, never below the op's own roofline. Ops
with zero size take no time (a decode-only step has prefill ops of zero tokens).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.deployment import Deployment
from ridgeline.machine import Chip, Cluster
from ridgeline.timing.engine import EngineCosts
from ridgeline.timing.roofline import op_bounds
from ridgeline.work.op import Op

__all__ = ["StepTimer", "kernel_format"]

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
        """Seconds of all ops, one after another; ops of one kind are timed in one call."""
        total: Any = 0.0
        for group in _alike(ops):
            seconds = self.op_seconds(_stacked(group) if len(group) > 1 else group[0])
            total = total + (seconds.sum(axis=0) if len(group) > 1 else seconds)
        return np.asarray(total, float)

    def each(self, ops: Sequence[Op]) -> list[float]:
        """Seconds of each op by itself, for ops of single numbers; asked kind by kind."""
        found: dict[int, float] = {}
        # Matrices by head have kernels of their own, told apart one op at a time.
        by_head = [[op] for op in ops if "heads" in op.shape]
        for group in _alike([op for op in ops if "heads" not in op.shape]) + by_head:
            seconds = self.op_seconds(_stacked(group) if len(group) > 1 else group[0])
            values = [float(v) for v in np.broadcast_to(
                np.asarray(seconds, float).reshape(-1), len(group))]
            found |= {id(op): value for op, value in zip(group, values, strict=True)}
        return [found[id(op)] for op in ops]

    def op_seconds(self, op: Op) -> Array:
        """Seconds of all repeats of one op."""
        bounds = op_bounds(op, self.cluster)
        floor = np.asarray(bounds.lower, float)
        size = np.asarray(op.message_bytes if op.kind == "collective"
                          else op.flop + op.memory_bytes, float)
        active = (size > 0) & (np.asarray(_rows(op), float) > 0)
        kernel = op.repeats * np.asarray(_KERNELS[op.kind](self, _positive(op)), float)
        kernel = kernel * self.costs.factor(op.kind)
        return np.where(active, np.maximum(kernel, floor), 0.0)

    @property
    def backend(self) -> str:
        """The engine whose measured kernels stand for this deployment's."""
        return self.deployment.engine


_SIZES = ("repeats", "flop", "weight_bytes", "activation_bytes", "state_bytes", "message_bytes")


# Kinds whose ops differ in size alone, and shape entries that must stay single numbers.
_STACKABLE = ("matmul", "elementwise", "gather", "collective")
_SINGLE = ("group", "spans")


def _alike(ops: Sequence[Op]) -> list[list[Op]]:
    """Ops that one kernel call can time together: same kind, formats and form."""
    groups: dict[Any, list[Op]] = {}
    for index, op in enumerate(ops):
        single = tuple(float(op.shape[name]) for name in _SINGLE if name in op.shape)
        # Per-head products that widen and that narrow run in kernels of their own.
        widens = "heads" in op.shape and float(np.max(op.shape["k"])) < float(np.max(op.shape["n"]))
        key = (op.kind, op.compute, tuple(sorted(op.labels.items())), tuple(op.shape), single,
               widens)
        groups.setdefault(key if op.kind in _STACKABLE else index, []).append(op)
    return list(groups.values())


def _stacked(ops: Sequence[Op]) -> Op:
    """One op whose fields have the ops along a new first axis."""
    first = ops[0]
    names = [name for name in first.shape if name not in _SINGLE]
    columns = [[getattr(op, size) for size in _SIZES] + [op.shape[name] for name in names]
               for op in ops]
    shape = np.broadcast_shapes(*(np.shape(v) for column in columns for v in column))
    stacked = [_rows_of(row, shape) for row in zip(*columns, strict=True)]
    sizes: dict[str, Any] = dict(zip(_SIZES, stacked, strict=False))
    sizes["shape"] = {**first.shape, **dict(zip(names, stacked[len(_SIZES):], strict=True))}
    return dataclasses.replace(first, **sizes)


def _rows_of(values: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """The values one below the other, each filling `shape`."""
    rows = np.empty((len(values), *shape))
    for place, value in enumerate(values):
        rows[place] = value
    return rows


def kernel_format(name: str, chip: Chip) -> str:
    """The measured kernel format that runs a stored format on a chip.

    Weights that the chip cannot multiply as stored are widened on the way (weight-only kernels),
    and so are GGUF and other block formats.
    """
    from ridgeline.formats import compute_format, get_format

    found = get_format(name)
    compute = compute_format(found, chip)
    if found.bits >= 15:
        return "bf16" if found.compute != "fp16" else "fp16"
    if compute == "fp4":
        return "nvfp4"
    if compute == "fp8":
        return "fp8_block" if found.name == "fp8_block" else "fp8"
    if compute == "int8":
        return "sq"
    return "int8_wo" if found.bits > 6 else "int4_wo"


def _rows(op: Op) -> Any:
    """What must be above zero for the op to run at all."""
    for name in ("rows", "m", "batch", "tokens", "group"):
        if name in op.shape:
            return op.shape[name]
    return 1.0


def _positive(op: Op) -> Op:
    """The op with zero sizes lifted to one, since kernel models take no empty launch."""
    kept = (*_SINGLE, "past_tokens")
    shape = {name: value if name in kept else np.where(np.asarray(value, float) > 0, value, 1.0)
             for name, value in op.shape.items()}
    return dataclasses.replace(op, shape=shape)


def _matmul(timer: StepTimer, op: Op) -> Any:
    from ridgeline.timing.kernels.gemm import gemm_time
    from ridgeline.timing.kernels.mla import mla_bmm_time

    s, chip = op.shape, timer.cluster.chip
    if "heads" in s:
        return mla_bmm_time(chip, tokens=s["m"], heads=s["heads"], k=s["k"], n=s["n"],
                            backend=timer.backend).seconds
    return gemm_time(chip, m=s["m"], n=s["n"], k=s["k"], backend=timer.backend,
                     format=kernel_format(op.labels["format"], chip)).seconds


def _experts(timer: StepTimer, op: Op) -> Any:
    from ridgeline.timing.kernels.moe import moe_time

    s, chip = op.shape, timer.cluster.chip
    name = op.labels["format"]
    stored = "mxfp4" if name == "mxfp4" else kernel_format(name, chip)
    backend, kernel = expert_kernel(timer.backend, stored, chip)
    return moe_time(chip, tokens=s["tokens"], hidden=s["hidden"], inter=s["inter"],
                    top_k=s["top_k"], experts=s["experts"], tp=s["tp"], ep=s["ep"],
                    gated=op.labels["gated"] == "1", backend=backend, format=stored,
                    kernel=kernel).seconds


def expert_kernel(backend: str, stored: str, chip: Chip) -> tuple[str, str]:
    """The measured grouped kernel that stands for the one an engine runs.

    Servers on Blackwell choose the TensorRT-LLM grouped kernels where they have them. The vLLM
    table of 4-bit integer experts is twice as slow as the same (Marlin) kernel in SGLang and as
    whole vLLM servers, so SGLang's stands for it.
    """
    if stored == "int4_wo" and backend == "vllm":
        return "sglang", "marlin"
    if chip.architecture.startswith("Blackwell") and backend in ("vllm", "sglang"):
        return backend, "trtllm"
    return backend, "marlin" if stored == "mxfp4" and backend == "vllm" else ""


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

    s, chip, kv = op.shape, timer.cluster.chip, op.labels["kv_format"]
    window = np.where(np.asarray(s["window"]) > 1e15, 0.0, s["window"])
    if phase == "prefill":
        return prefill_attention_time(
            chip, batch=s["batch"], new_tokens=s["new_tokens"], past_tokens=s["past_tokens"],
            q_heads=s["q_heads"], kv_heads=s["kv_heads"], head_dim=s["head_dim"],
            v_head_dim=s["v_head_dim"], window=window, kv_format=kv,
            backend=timer.backend).seconds
    return decode_attention_time(
        chip, batch=s["batch"], kv_len=s["kv_len"], q_heads=s["q_heads"],
        kv_heads=s["kv_heads"], head_dim=s["head_dim"], v_head_dim=s["v_head_dim"],
        window=window, kv_format=kv, backend=timer.backend).seconds


# Rotary width of every latent-attention model so far; only its sum with the rest sets the time.
_ROPE = 64.0


def _latent(timer: StepTimer, op: Op, phase: str) -> Any:
    from ridgeline.timing.kernels.mla import mla_time

    s, chip = op.shape, timer.cluster.chip
    window = np.where(np.asarray(s["window"]) > 1e15, 0.0, s["window"])
    if phase == "prefill":
        return mla_time(chip, phase="prefill", batch=s["batch"], q_heads=s["q_heads"],
                        new_tokens=s["new_tokens"], past_tokens=s["past_tokens"], window=window,
                        qk_nope_head_dim=s["head_dim"] - _ROPE, qk_rope_head_dim=_ROPE,
                        v_head_dim=s["v_head_dim"], kv_format=op.labels["kv_format"],
                        backend=timer.backend).seconds
    # Absorbed decode: scores over the latent and the rotary key, values are the latent.
    return mla_time(chip, phase="decode", batch=s["batch"], q_heads=s["q_heads"],
                    kv_len=s["kv_len"], window=window, kv_lora_rank=s["v_head_dim"],
                    qk_rope_head_dim=s["head_dim"] - s["v_head_dim"],
                    kv_format=op.labels["kv_format"], backend=timer.backend).seconds


def _scan(timer: StepTimer, op: Op) -> Any:
    from ridgeline.timing.kernels.linear_attention import RULES, linear_attention_time

    s, rule = op.shape, op.labels["rule"]
    if rule not in RULES:
        return _bandwidth(timer, op)
    return linear_attention_time(
        timer.cluster.chip, phase=op.labels["phase"], batch=s["batch"], new_tokens=s["seq_len"],
        k_heads=s["k_heads"], k_dim=s["k_dim"], v_heads=s["v_heads"], v_dim=s["v_dim"],
        rule=rule, backend=timer.backend).seconds


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
