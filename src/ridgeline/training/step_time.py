"""Seconds of a training step: forward, backward, recomputation, pipeline, collectives, optimizer.

    step = ((m + (p - 1) / v) * (t_forward + t_backward) + exposed data-parallel time + optimizer)
           * framework

Each part is time at the roofs (`training.work`) over an efficiency of at most 1, plus overheads;
efficiencies and overheads are fitted (`measure.fit.training`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ridgeline.machine import Cluster
from ridgeline.model.architecture import Architecture
from ridgeline.numeric import Numeric, maximum
from ridgeline.training.layout import Batch, Layout
from ridgeline.training.work import Work, link_seconds, microbatch_work, precision_formats

__all__ = ["PRIORS", "Constants", "StepTime", "TrainingCase", "step_time"]

# Constant -> (prior, spread of its logarithm, most). Where nothing was measured the prior stands.
PRIORS: dict[str, tuple[float, float, float]] = {
    "matmul_Ampere_bf16": (0.80, 0.15, 0.95), "matmul_Hopper_bf16": (0.70, 0.15, 0.95),
    "matmul_Hopper_fp8": (0.60, 0.15, 0.95), "matmul_Blackwell_bf16": (0.75, 0.15, 0.95),
    "matmul_Blackwell_fp8": (0.70, 0.15, 0.95), "matmul_Blackwell_fp4": (0.55, 0.2, 0.95),
    "matmul_TPU_bf16": (0.80, 0.15, 0.97), "matmul_other_bf16": (0.65, 0.2, 0.95),
    "matmul_other_fp8": (0.60, 0.2, 0.95), "matmul_other_fp4": (0.50, 0.2, 0.95),
    "grouped": (0.75, 0.3, 1.0), "attention_Ampere": (0.55, 0.2, 0.95),
    "attention_Hopper": (0.50, 0.2, 0.95), "attention_Blackwell": (0.55, 0.2, 0.95),
    "attention_TPU": (0.45, 0.3, 0.95), "attention_other": (0.4, 0.3, 0.95),
    "memory": (0.80, 0.2, 1.0), "link": (0.75, 0.2, 1.0), "network": (0.70, 0.3, 1.0),
    "quantise": (1.0, 0.5, 5.0), "launch": (5e-6, 0.7, 5e-5), "collective": (1e-5, 0.7, 1e-4),
    "expert_layer": (1e-4, 1.0, 2e-3), "misaligned": (0.15, 0.7, 1.0),
    "exposed_old": (1.0, 0.1, 1.0), "exposed_new": (0.5, 0.5, 1.0), "exposed_data": (0.2, 0.5, 1.0),
}
_FAMILIES = ("Ampere", "Hopper", "Blackwell", "TPU")
# Frameworks whose tensor-parallel collectives run beside matrix products.
_OVERLAPPED = ("megatron_bridge", "nemo")
# Bytes of each parameter that an Adam step reads and writes: two moments, master, gradient, weight.
_OPTIMIZER_TRAFFIC = 34.0
GRADIENT_BYTES, WEIGHT_BYTES = 4.0, 2.0


@dataclass(frozen=True)
class Constants:
    """Fitted constants by name, and the time of each framework over Megatron-Bridge's."""

    values: Mapping[str, float]
    frameworks: Mapping[str, float]

    @classmethod
    def prior(cls) -> Constants:
        """Constants before any fit."""
        return cls({n: p[0] for n, p in PRIORS.items()}, {})


@dataclass(frozen=True)
class TrainingCase:
    """One run: model, machine, layout, batch, recipe.

    Attributes:
        backward: backward over forward matrix work: 2 in full training, 1 under frozen weights.
        flash: attention without stored scores.
        framework: key of `Constants.frameworks`; "" for the reference.
    """

    architecture: Architecture
    cluster: Cluster
    layout: Layout
    batch: Batch
    precision: str = "bf16"
    backward: float = 2.0
    flash: bool = True
    sequence_parallel: bool = True
    framework: str = "megatron_bridge"


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step and its parts; `parts` add up to `step` but for the framework factor."""

    step: float
    parts: Mapping[str, float]
    bubble_share: float
    recomputed: float


def family_of(architecture: str, kind: str) -> str:
    """The family whose efficiencies stand for a chip's."""
    if kind == "tpu":
        return "TPU"
    return next((f for f in _FAMILIES if f in architecture), "other")


def case_work(case: TrainingCase) -> Work:
    """Work of one micro-batch of a case."""
    layout = case.layout
    return microbatch_work(
        case.architecture, tp=layout.tp, cp=layout.cp, ep=layout.ep,
        micro_batch=float(layout.micro_batch), seq=case.batch.seq,
        formats=precision_formats(case.precision, case.cluster.chip), cluster=case.cluster,
        sequence_parallel=case.sequence_parallel, flash=case.flash)


@lru_cache(maxsize=64)
def _counted(architecture: Architecture) -> tuple[float, float]:
    """Parameters outside experts and of experts; counting takes longer than a step time."""
    expert = float(architecture.params_by_role.get("expert", 0))
    return float(architecture.total_params) - expert, expert


def rank_params(architecture: Architecture, layout: Layout) -> tuple[float, float]:
    """Mean parameters of a rank: dense and expert."""
    dense, expert = _counted(architecture)
    return dense / (layout.tp * layout.pp), expert / (max(layout.ep, 1) * layout.pp)


def forward_parts(work: Work, c: Mapping[str, float], family: str, exposed: float
                  ) -> dict[str, Numeric]:
    """Seconds of a forward pass through all layers, by part."""
    s = work.sums
    matmul: Numeric = 0.0
    grouped: Numeric = 0.0
    for width in ("bf16", "fp8", "fp4"):
        speed = c.get(f"matmul_{family}_{width}") or c[f"matmul_other_{width}"]
        matmul = matmul + s["matmul_" + width] / speed
        grouped = grouped + s["grouped_" + width] / (speed * c["grouped"])
    return {
        "matmul": matmul + s["misaligned"] * c["misaligned"], "experts": grouped,
        "attention": s["attention"] / c["attention_" + family],
        "memory": (s["scan"] + s["scores"] + s["elementwise"]) / c["memory"]
        + s["quantise"] * c["quantise"] + s["ops"] * c["launch"],
        "tensor_parallel": exposed * (s["tp"] / c["link"] + s["tp_count"] * c["collective"]),
        "expert_parallel": c["exposed_new"] * s["ep"] / c["link"]
        + 0.5 * s["ep_count"] * c["expert_layer"],
        "context_parallel": 0.5 * s["cp"] / c["network"]}


def backward_parts(forward: Mapping[str, Numeric], backward: float) -> dict[str, Numeric]:
    """Seconds of a backward pass: flash attention does 2.5 forward passes' products."""
    more = {"matmul": backward, "experts": backward, "attention": 2.5, "memory": 2.0}
    return {name: more.get(name, 1.0) * value for name, value in forward.items()}


def step_time(case: TrainingCase, constants: Constants, work: Work | None = None) -> StepTime:
    """Seconds of one optimizer step.

    Args:
        case: what runs where.
        constants: fitted or prior.
        work: of `case_work`, when it is known already.

    Sources: 1F1B and interleaving: Narayanan et al. 2021, arXiv 2104.04473; zero bubble: Qi et al.
        2023, arXiv 2401.10241; ring collectives in two levels.
    """
    c, layout, work = constants.values, case.layout, work or case_work(case)
    chip = case.cluster.chip
    family = family_of(chip.architecture, chip.kind)
    exposed = c["exposed_new" if case.framework in _OVERLAPPED else "exposed_old"]
    forward = forward_parts(work, c, family, exposed)
    back = backward_parts(forward, case.backward)
    again = 1.0 if layout.recompute == "full" else 0.0
    layers = {n: float((1.0 + again) * forward[n] + back[n]) for n in forward}
    wide = c.get(f"matmul_{family}_bf16") or c["matmul_other_bf16"]
    head = float((1.0 + case.backward) * work.sums["head"] / wide
                 + 3.0 * work.sums["head_elementwise"] / c["memory"])
    deepest = -(-case.architecture.n_layers // (layout.pp * layout.vp)) * layout.vp
    stack = sum(layers.values())
    share = deepest / case.architecture.n_layers
    stage = max(share * stack, (stack + head) / layout.pp)
    m = case.batch.sequences / (layout.dp * layout.micro_batch)
    weight_part = 0.5 * float(back["matmul"] + back["experts"]) * share
    bubble = (layout.pp - 1) / layout.vp * stage
    if layout.schedule == "zero-bubble":
        bubble = (layout.pp - 1) * max(stage - 2.0 * weight_part, 0.0)
    busy = m * stage
    data = _data_parallel(case, m, busy + bubble, c)
    optimizer = _optimizer(case) / c["memory"]
    total = busy + bubble + data + optimizer
    scale = constants.frameworks.get(case.framework, 1.0)
    parts = {n: m * stage * v / (stack + head) for n, v in layers.items()}
    parts |= {"head": m * stage * head / (stack + head), "bubble": bubble, "data_parallel": data,
              "optimizer": optimizer}
    # A fitted framework may differ from the reference, never from the roofs.
    step = max(total * scale, floor_seconds(case, work))
    return StepTime(step, parts, bubble / total, again)


def _data_parallel(case: TrainingCase, m: float, compute: float, c: Mapping[str, float]) -> float:
    """Gradient and weight traffic that computing does not hide [s]."""
    layout, ranks = case.layout, case.layout.dp * case.layout.cp
    if ranks == 1:
        return 0.0
    dense, expert = rank_params(case.architecture, layout)
    trained = 0.0 if case.backward < 2 else 1.0
    per_param = trained * GRADIENT_BYTES + (WEIGHT_BYTES if trained else 0.0)
    if layout.zero == 3:
        # Weights are gathered for every forward and backward pass, gradients scattered after.
        per_param = m * (2.0 * WEIGHT_BYTES + trained * WEIGHT_BYTES)
    inner, expert_ranks = layout.tp, max(1, ranks * layout.tp // max(layout.ep, 1))
    seconds = float(
        link_seconds(case.cluster, "all_gather", dense * per_param, float(ranks),
                     float(ranks * inner))
        + link_seconds(case.cluster, "all_gather", expert * per_param, float(expert_ranks),
                       float(ranks * inner))) / c["network"]
    hidden = (1.0 - c["exposed_data"]) * seconds
    return seconds - hidden + max(0.0, hidden - compute)


def _optimizer(case: TrainingCase) -> float:
    layout = case.layout
    if case.backward < 2:
        return 0.0
    shards = layout.dp * layout.cp if layout.zero else 1
    held = sum(rank_params(case.architecture, layout))
    return held * _OPTIMIZER_TRAFFIC / shards / case.cluster.chip.memory_bandwidth


def floor_seconds(case: TrainingCase, work: Work) -> float:
    """What no schedule beats: the FLOP of the fullest stage at the peaks, nothing recomputed."""
    s: Mapping[str, Any] = work.sums
    matrices = sum(float(s[k]) for k in s if k.startswith(("matmul", "grouped")))
    per = (1.0 + case.backward) * (matrices + float(s["head"])) + 3.0 * float(s["attention"])
    m = case.batch.sequences / (case.layout.dp * case.layout.micro_batch)
    return float(maximum(m * per / case.layout.pp, 0.0))
