"""Kernels to be timed: which kernel model stands for an op, with what sizes.

Calls of one model that differ in sizes alone are timed in one evaluation: a search asks for the
kernels of many deployments together, and for each distinct one only once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ridgeline.machine import Chip, Cluster
from ridgeline.timing.kernels.residual import asked_apart
from ridgeline.timing.kernels.store import kernel_family
from ridgeline.timing.roofline import op_bounds
from ridgeline.work.op import Op

__all__ = ["Call", "call_of", "dense_backend", "expert_kernel", "kernel_format", "timed_together"]

Array = np.ndarray[Any, np.dtype[np.float64]]
# Cases of one evaluation at most.
_MOST_CASES = 65536


@dataclass(frozen=True, eq=False)
class Call:
    """One kernel on one chip.

    Attributes:
        model: kernel model, (chip, sizes and names by keyword) -> KernelTime.
        chip: what it runs on.
        sizes: numbers that broadcast together.
        names: everything else, hashable.
        telling: sizes by which the model also chooses its constants.
        least: seconds that it takes at least.
    """

    model: Callable[..., Any]
    chip: Chip
    sizes: Mapping[str, Any]
    names: Mapping[str, Any] = field(default_factory=dict)
    telling: tuple[str, ...] = ()
    least: Any = 0.0

    def seconds(self) -> Array:
        """Its time, in the broadcast shape of the sizes."""
        return self.bounded(self.model(self.chip, **self.sizes, **self.names).seconds)

    def bounded(self, seconds: Any) -> Array:
        """Times held above the least."""
        held: Array = np.maximum(np.asarray(seconds, float), self.least)
        return held

    @functools.cached_property
    def kind(self) -> Any:
        """What calls share that one evaluation can answer."""
        told = tuple(np.asarray(self.sizes[name], float).tobytes() for name in self.telling)
        return (self.model, id(self.chip), tuple(self.names.items()), tuple(self.sizes), told)

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """Broadcast shape of the sizes."""
        return np.broadcast_shapes(*(np.shape(v) for v in self.sizes.values()))

    @functools.cached_property
    def key(self) -> Any:
        """What tells its sizes from those of others of its kind."""
        return tuple(v if isinstance(v, float) else (np.shape(v), np.asarray(v, float).tobytes())
                     for v in self.sizes.values())


def timed_together(calls: Sequence[Call]) -> list[Array]:
    """Seconds of each call, to the bit what `Call.seconds` gives, in as few evaluations as can be.

    Args:
        calls: any kernels, of any chips.
    """
    kinds: dict[Any, dict[Any, Call]] = {}
    for call in calls:
        kinds.setdefault(call.kind, {}).setdefault(call.key, call)
    found: dict[Any, dict[Any, Array]] = {}
    for kind, distinct in kinds.items():
        found[kind] = dict(zip(distinct, _of_one_kind(list(distinct.values())), strict=True))
    return [call.bounded(found[call.kind][call.key]) for call in calls]


def _of_one_kind(calls: Sequence[Call]) -> list[Array]:
    """Seconds of each call without its least."""
    out: list[Array] = []
    batch: list[Call] = []
    cases = 0
    for call in calls:
        size = int(np.prod(call.shape))
        if batch and cases + size > _MOST_CASES:
            out += _evaluated(batch)
            batch, cases = [], 0
        batch.append(call)
        cases += size
    return out + _evaluated(batch)


def _evaluated(calls: Sequence[Call]) -> list[Array]:
    first = calls[0]
    if len(calls) == 1:
        return [np.asarray(first.model(first.chip, **first.sizes, **first.names).seconds, float)]
    lengths = [int(np.prod(call.shape)) for call in calls]
    sizes = {name: _column([call.sizes[name] for call in calls], calls) for name in first.sizes}
    with asked_apart(lengths):
        seconds = np.asarray(first.model(first.chip, **sizes, **first.names).seconds, float)
    parts = np.split(seconds, np.cumsum(lengths)[:-1])
    return [part.reshape(call.shape) for part, call in zip(parts, calls, strict=True)]


def _column(values: Sequence[Any], calls: Sequence[Call]) -> Any:
    """A size of all calls, one after another; the number itself where it is one and the same."""
    if all(np.ndim(value) == 0 for value in values) and len({float(v) for v in values}) == 1:
        return values[0]
    return np.concatenate([np.broadcast_to(np.asarray(value, float), call.shape).ravel()
                           for value, call in zip(values, calls, strict=True)])


def call_of(op: Op, cluster: Cluster, engine: str) -> Call:
    """The kernel call behind one repeat of an op.

    Args:
        op: with sizes of at least one everywhere.
        cluster: where.
        engine: whose measured kernels stand for the deployment's.

    Raises:
        BadInput: no such link, or no kernel for such a chip.
    """
    return _CALLS[op.kind](op, cluster, engine)


def _matmul(op: Op, cluster: Cluster, engine: str) -> Call:
    from ridgeline.timing.kernels.gemm import gemm_time
    from ridgeline.timing.kernels.mla import mla_bmm_time

    s, chip = op.shape, cluster.chip
    if "heads" in s:
        return Call(mla_bmm_time, chip,
                    {"tokens": s["m"], "heads": s["heads"], "k": s["k"], "n": s["n"]},
                    {"backend": engine}, ("k", "n"))
    stored = kernel_format(op.labels["format"], chip)
    return Call(gemm_time, chip, {"m": s["m"], "n": s["n"], "k": s["k"]},
                {"backend": dense_backend(engine, stored, chip), "format": stored, "fused": True})


def dense_backend(backend: str, stored: str, chip: Chip) -> str:
    """The backend whose measured products stand for an engine's.

    TensorRT-LLM's table of NVFP4 products was taken without its tuner, which chooses among the
    kernels that vLLM uses. SGLang's of block-scaled 8-bit ones on Blackwell is of its general
    kernel, where servers run TensorRT-LLM's.
    """
    if kernel_family(chip) == "Blackwell":
        return {("trtllm", "nvfp4"): "vllm",
                ("sglang", "fp8_block"): "trtllm"}.get((backend, stored), backend)
    return backend


def _experts(op: Op, cluster: Cluster, engine: str) -> Call:
    from ridgeline.timing.kernels.moe import moe_time

    chip, name = cluster.chip, op.labels["format"]
    stored = "mxfp4" if name == "mxfp4" else kernel_format(name, chip)
    backend, kernel, stored = expert_kernel(engine, stored, chip)
    sizes = ("tokens", "hidden", "inter", "top_k", "experts", "tp", "ep")
    return Call(moe_time, chip, {size: op.shape[size] for size in sizes},
                {"gated": op.labels["gated"] == "1", "backend": backend, "format": stored,
                 "kernel": kernel})


def expert_kernel(backend: str, stored: str, chip: Chip) -> tuple[str, str, str]:
    """The measured grouped kernel that stands for the one an engine runs: backend, kernel, format.

    Servers on Blackwell's HBM chips choose the grouped kernels of TensorRT-LLM's generator; for
    TensorRT-LLM itself those were measured inside SGLang. vLLM's 4-bit experts on other chips run
    in Marlin kernels, whose own table is twice as slow as the same kernel in SGLang and as whole
    vLLM servers, so SGLang's stands for it.
    """
    blackwell = kernel_family(chip) == "Blackwell"
    if backend == "vllm" and (stored == "int4_wo" or (stored == "mxfp4" and not blackwell)):
        return "sglang", "marlin", "int4_wo"
    if blackwell and backend in ("vllm", "sglang"):
        return backend, "trtllm", stored
    if blackwell and backend == "trtllm" and stored in ("nvfp4", "fp8_block"):
        return "sglang", "trtllm", stored
    return backend, "", stored


def _attention(op: Op, cluster: Cluster, engine: str) -> Call:
    form, phase = op.labels["form"], op.labels["phase"]
    if form == "index":
        return _bandwidth(op, cluster, engine)
    calling = _latent if form == "latent_attention" else _softmax
    return calling(op, cluster.chip, engine, phase)


def _window(op: Op) -> Any:
    return np.where(np.asarray(op.shape["window"]) > 1e15, 0.0, op.shape["window"])


def _softmax(op: Op, chip: Chip, engine: str, phase: str) -> Call:
    from ridgeline.timing.kernels.attention import (
        decode_attention_time,
        prefill_attention_time,
    )
    from ridgeline.timing.kernels.attention_mixed import mixed_decode_time

    # "mixed": a decoding sequence in a step that reads prompts too.
    models: dict[str, Callable[..., Any]] = {
        "prefill": prefill_attention_time, "decode": decode_attention_time,
        "mixed": mixed_decode_time}
    lengths = ("new_tokens", "past_tokens") if phase == "prefill" else ("kv_len",)
    names = ("batch", *lengths, "q_heads", "kv_heads", "head_dim", "v_head_dim")
    sizes = {name: op.shape[name] for name in names} | {"window": _window(op)}
    return Call(models[phase], chip, sizes,
                {"kv_format": op.labels["kv_format"], "backend": engine}, ("head_dim", "window"))


# Rotary width of every latent-attention model so far; only its sum with the rest sets the time.
_ROPE = 64.0


def _latent(op: Op, chip: Chip, engine: str, phase: str) -> Call:
    from ridgeline.timing.kernels.mla import mla_time

    s = op.shape
    sizes = {"batch": s["batch"], "q_heads": s["q_heads"], "window": _window(op)}
    if phase == "prefill":
        sizes |= {"new_tokens": s["new_tokens"], "past_tokens": s["past_tokens"],
                  "qk_nope_head_dim": s["head_dim"] - _ROPE, "qk_rope_head_dim": _ROPE,
                  "v_head_dim": s["v_head_dim"]}
    else:
        # Absorbed decode: scores over the latent and the rotary key, values are the latent.
        sizes |= {"kv_len": s["kv_len"], "kv_lora_rank": s["v_head_dim"],
                  "qk_rope_head_dim": s["head_dim"] - s["v_head_dim"]}
    return Call(mla_time, chip, sizes, {"phase": phase, "kv_format": op.labels["kv_format"],
                                        "backend": engine})


def _scan(op: Op, cluster: Cluster, engine: str) -> Call:
    from ridgeline.timing.kernels.linear_attention import RULES, linear_attention_time

    s, rule = op.shape, op.labels["rule"]
    if rule not in RULES:
        return _bandwidth(op, cluster, engine)
    sizes = {"batch": s["batch"], "new_tokens": s["seq_len"], "k_heads": s["k_heads"],
             "k_dim": s["k_dim"], "v_heads": s["v_heads"], "v_dim": s["v_dim"]}
    return Call(linear_attention_time, cluster.chip, sizes,
                {"phase": op.labels["phase"], "rule": rule, "backend": engine})


def _bandwidth(op: Op, cluster: Cluster, engine: str) -> Call:
    """Ops without a table of their own: memory-bound kernels of the measured elementwise kind."""
    from ridgeline.timing.kernels.elementwise import elementwise_time

    bounds = op_bounds(op, cluster)
    return Call(elementwise_time, cluster.chip, {"bytes": op.memory_bytes},
                least=np.asarray(bounds.compute, float) / np.maximum(op.repeats, 1e-30))


def _collective(op: Op, cluster: Cluster, engine: str) -> Call:
    from ridgeline.timing.kernels.collective import collective_time

    spans, group = int(np.max(op.shape["spans"])), int(np.max(op.shape["group"]))
    if engine == "vllm" and kernel_family(cluster.chip) == "Blackwell":
        # There vLLM fuses the all-reduce with the norm after it, in TensorRT-LLM's kernels.
        engine = "trtllm"
    nodes = max(1, -(-spans // cluster.domain_size)) if group > 1 else 1
    return Call(collective_time, cluster.chip, {"bytes": op.message_bytes, "group": group},
                {"op": op.labels["collective"], "link": cluster.link(min(spans,
                                                                         cluster.domain_size)),
                 "nodes": min(nodes, group),
                 "cross_domain_link": cluster.scale_out if nodes > 1 else None,
                 "backend": engine if engine in ("vllm", "sglang", "trtllm") else "nccl"})


_CALLS: dict[str, Callable[[Op, Cluster, str], Call]] = {
    "matmul": _matmul, "grouped_matmul": _experts, "attention": _attention, "scan": _scan,
    "elementwise": _bandwidth, "gather": _bandwidth, "collective": _collective,
}


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
