"""Seconds of a training step: forward, backward, recomputation, pipeline, collectives, optimizer.

    step = (m * slowest stage + (p - 1) / v * mean stage + exposed data-parallel time + optimizer)
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
from ridgeline.numeric import Numeric, ceil_div, maximum, minimum, where
from ridgeline.training.layout import Batch, Layout
from ridgeline.training.work import Work, link_seconds, microbatch_work, precision_formats

__all__ = ["PRIORS", "Constants", "StepTime", "TrainingCase", "step_time"]

# Constant -> (prior, spread of its logarithm, most). Where nothing was measured the prior stands.
PRIORS: dict[str, tuple[float, float, float]] = {
    "matmul_Ampere_bf16": (0.85, 0.1, 0.95), "matmul_Hopper_bf16": (0.75, 0.15, 0.95),
    "matmul_Hopper_fp8": (0.70, 0.1, 0.95), "matmul_Blackwell_bf16": (0.75, 0.15, 0.95),
    "matmul_Blackwell_fp8": (0.74, 0.1, 0.95), "matmul_Blackwell_fp4": (0.55, 0.2, 0.95),
    "matmul_TPU_bf16": (0.80, 0.15, 0.97), "matmul_other_bf16": (0.65, 0.2, 0.95),
    "matmul_other_fp8": (0.60, 0.2, 0.95), "matmul_other_fp4": (0.50, 0.2, 0.95),
    "grouped": (0.55, 0.3, 1.0), "attention_Ampere": (0.55, 0.2, 0.95),
    "attention_Hopper": (0.50, 0.2, 0.95), "attention_Blackwell": (0.65, 0.2, 0.95),
    "attention_TPU": (0.45, 0.3, 0.95), "attention_other": (0.4, 0.3, 0.95),
    "memory": (0.80, 0.2, 1.0), "link": (0.75, 0.2, 1.0), "network": (0.70, 0.3, 1.0),
    "attention_Hopper_fa2": (0.35, 0.2, 0.95), "eager": (4.0, 0.4, 10.0),
    "quantise": (3.0, 0.3, 8.0), "quantise_fp4": (3.5, 0.3, 10.0),
    "launch": (3e-5, 0.5, 2e-4), "collective": (1e-5, 0.7, 1e-4), "expert_layer": (1e-3, 0.7, 5e-3),
    "misaligned": (0.15, 0.7, 1.0), "widen": (1.5, 0.5, 20.0), "host_optimizer": (2e-9, 0.7, 5e-8),
    "exposed_old": (1.0, 0.1, 1.0), "exposed_new": (0.5, 0.5, 1.0), "exposed_data": (0.2, 0.5, 1.0),
    "exposed_expert": (0.5, 0.4, 1.0), "exposed_ring": (0.3, 0.5, 1.0),
}
_FAMILIES = ("Ampere", "Hopper", "Blackwell", "TPU")
# Frameworks whose tensor-parallel collectives run beside matrix products.
_OVERLAPPED = ("megatron_bridge", "nemo")
# Bytes of each parameter that an Adam step reads and writes: two moments, master, gradient, weight.
_OPTIMIZER_TRAFFIC = 34.0
# Frameworks that run element by element, one kernel an operator; those without Hopper's attention.
_EAGER = ("peft", "deepspeed")
_FLASH2 = ("llm_foundry", "torchtitan", "nemo", "peft")
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
        trained: parameters that get gradients and optimizer state; None: all.
        flash: attention without stored scores.
        framework: key of `Constants.frameworks`; "" for the reference.
        async_tp: tensor-parallel collectives run beside products; None: as the framework does.
        packed_bytes: bytes of a frozen weight that is widened to 16 bit before each product;
            0: weights are stored as computed.
        offload: optimizer state and its step are on the host.
    """

    architecture: Architecture
    cluster: Cluster
    layout: Any
    batch: Batch
    precision: str = "bf16"
    backward: float = 2.0
    trained: float | None = None
    flash: bool = True
    sequence_parallel: bool = True
    framework: str = "megatron_bridge"
    async_tp: bool | None = None
    packed_bytes: float = 0.0
    offload: bool = False


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step and its parts; `parts` add up to `step` but for the framework factor."""

    step: Numeric
    parts: Mapping[str, Numeric]
    bubble_share: Numeric
    recomputed: Numeric


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
        micro_batch=layout.micro_batch * 1.0, seq=case.batch.seq,
        formats=precision_formats(case.precision, case.cluster.chip), cluster=case.cluster,
        sequence_parallel=case.sequence_parallel, flash=case.flash)


@lru_cache(maxsize=64)
def _counted(architecture: Architecture) -> tuple[float, float]:
    """Parameters outside experts and of experts; counting takes longer than a step time."""
    expert = float(architecture.params_by_role.get("expert", 0))
    return float(architecture.total_params) - expert, expert


def rank_params(architecture: Architecture, layout: Layout) -> tuple[Numeric, Numeric]:
    """Mean parameters of a rank: dense and expert."""
    dense, expert = _counted(architecture)
    return dense / (layout.tp * layout.pp), expert / (maximum(layout.ep, 1) * layout.pp)


def _speed(c: Mapping[str, Numeric], family: str, width: str) -> Numeric:
    """Efficiency of matrix products of a family at a width; of chips at large where unmeasured."""
    name = f"matmul_{family}_{width}"
    return c[name if name in c else f"matmul_other_{width}"]


def forward_parts(work: Work, c: Mapping[str, Numeric], case: TrainingCase) -> dict[str, Numeric]:
    """Seconds of a forward pass through all layers, by part."""
    s, chip = work.sums, case.cluster.chip
    family = family_of(chip.architecture, chip.kind)
    overlapped = case.framework in _OVERLAPPED if case.async_tp is None else case.async_tp
    exposed = c["exposed_new" if overlapped else "exposed_old"]
    attention = c["attention_" + family + (
        "_fa2" if family == "Hopper" and case.framework in _FLASH2 else "")]
    passes = c["eager"] if case.framework in _EAGER else 1.0
    matmul: Numeric = 0.0
    grouped: Numeric = 0.0
    for width in ("bf16", "fp8", "fp4"):
        speed = _speed(c, family, width)
        matmul = matmul + s["matmul_" + width] / speed
        grouped = grouped + s["grouped_" + width] / (speed * c["grouped"])
    return {
        "matmul": matmul + s["misaligned"] * c["misaligned"], "experts": grouped,
        "attention": s["attention"] / attention,
        "memory": (s["scan"] + s["scores"] + passes * s["elementwise"]) / c["memory"]
        + s["quantise"] * c["quantise"] + s["quantise_fp4"] * c["quantise_fp4"],
        "tensor_parallel": exposed * (s["tp"] / c["link"] + s["tp_count"] * c["collective"]),
        "expert_parallel": c["exposed_expert"] * s["ep"] / c["link"]
        + 0.5 * s["ep_count"] * c["expert_layer"],
        "context_parallel": c["exposed_ring"] * s["cp"] / c["network"]}


def backward_parts(forward: Mapping[str, Numeric], backward: float) -> dict[str, Numeric]:
    """Seconds of a backward pass: flash attention does 2.5 forward passes' products."""
    more = {"matmul": backward, "experts": backward, "attention": 2.5, "memory": 2.0,
            "context_parallel": 2.0}
    return {name: more.get(name, 1.0) * value for name, value in forward.items()}


def step_time(case: TrainingCase, constants: Constants, work: Work | None = None) -> StepTime:
    """Seconds of one optimizer step.

    Args:
        case: what runs where; pp, dp, vp, micro_batch and zero of its layout may be arrays.
        constants: fitted or prior.
        work: of `case_work`, when it is known already.

    Sources: 1F1B and interleaving: Narayanan et al. 2021, arXiv 2104.04473; zero bubble: Qi et al.
        2023, arXiv 2401.10241; ring collectives in two levels.
    """
    c, layout, work = constants.values, case.layout, work or case_work(case)
    again = layout.again
    layers, products = _layers(case, c, work, again)
    head = _head(case, c, work)
    stack = sum(layers.values())
    total_layers = float(case.architecture.n_layers)
    share = ceil_div(total_layers, layout.pp * layout.vp) * layout.vp / total_layers
    slowest, waits = _pipeline(layout, stack, head, share, products)
    m = case.batch.sequences / (layout.dp * layout.micro_batch)
    # Busy is the mean stage; waiting for the slowest stage is bubble too.
    busy = m * (stack + head) / layout.pp
    bubble = m * slowest - busy + waits
    data = _data_parallel(case, m, busy + bubble, c)
    optimizer = _optimizer(case, c)
    total = busy + bubble + data + optimizer
    scale = constants.frameworks.get(case.framework, 1.0)
    parts = {n: busy * v / (stack + head) for n, v in layers.items()}
    parts |= {"head": busy * head / (stack + head), "bubble": bubble, "data_parallel": data,
              "optimizer": optimizer}
    # A fitted framework may differ from the reference, never from the roofs.
    step = maximum(total * scale, floor_seconds(case, work))
    return StepTime(step, parts, bubble / total, again)


def _layers(case: TrainingCase, c: Mapping[str, float], work: Work, again: Numeric
            ) -> tuple[dict[str, Numeric], Numeric]:
    """Seconds of a micro-batch through all layers by part, and of the weights' own gradients."""
    chip = case.cluster.chip
    forward = forward_parts(work, c, case)
    back = backward_parts(forward, case.backward)
    layers = {n: (1.0 + again) * forward[n] + back[n] for n in forward}
    passes = 1.0 + again + case.backward
    if case.packed_bytes:
        # Each pass reads the packed weights and writes and reads them in 16 bit.
        held = sum(rank_params(case.architecture, case.layout)) * case.layout.pp
        layers["widening"] = (c["widen"] * passes * held * (case.packed_bytes + 4.0)
                              / chip.memory_bandwidth)
    kernels = c["eager"] if case.framework in _EAGER else 1.0
    layers["launch"] = passes * work.sums["ops"] * kernels * c["launch"]
    return layers, 0.5 * (back["matmul"] + back["experts"])


def _head(case: TrainingCase, c: Mapping[str, float], work: Work) -> Numeric:
    """Output layer and loss of a micro-batch [s]."""
    chip = case.cluster.chip
    family = family_of(chip.architecture, chip.kind)
    return ((1.0 + case.backward) * work.sums["head"] / _speed(c, family, "bf16")
            + 3.0 * work.sums["head_elementwise"] / c["memory"])


def _pipeline(layout: Layout, stack: Numeric, head: Numeric, share: Numeric, products: Numeric
              ) -> tuple[Numeric, Numeric]:
    """The slowest stage's seconds of a micro-batch, and the bubble of a step.

    Layers divide evenly and the head joins the last stage, unless they cannot: then the head
    takes the place of the layers that lack. What the other stages take once is the bubble.
    """
    even = share * layout.pp <= 1.0 + 1e-9
    slowest = maximum(share * stack + where(even, head, 0.0), (stack + head) / layout.pp)
    others = maximum((layout.pp - 1.0) * minimum(slowest, (stack + head) / layout.pp), 0.0)
    if layout.schedule == "zero-bubble":
        # Gradients of weights fill the bubble: only forward and input gradients wait.
        others = maximum(others - 2.0 * (layout.pp - 1.0) * share * products, 0.0)
    return slowest, others / layout.vp


def _data_parallel(case: TrainingCase, m: Numeric, compute: Numeric, c: Mapping[str, float]
                   ) -> Numeric:
    """Gradient and weight traffic that computing does not hide [s]."""
    layout, ranks = case.layout, case.layout.dp * case.layout.cp
    dense, expert = rank_params(case.architecture, layout)
    grads = _trained_share(case)
    # Gradients are reduced and weights gathered once a step; sharded gradients are reduced, and
    # sharded weights gathered for both passes, in every micro-batch.
    per_param = where(layout.zero == 3, m * WEIGHT_BYTES * (2.0 + grads),
                      grads * (WEIGHT_BYTES + where(layout.zero == 2, m * WEIGHT_BYTES,
                                                    GRADIENT_BYTES)))
    expert_ranks = maximum(1.0, ranks * layout.tp // maximum(layout.ep, 1))
    spread = ranks * layout.tp * 1.0
    seconds = (link_seconds(case.cluster, "all_gather", dense * per_param, ranks * 1.0, spread)
               + link_seconds(case.cluster, "all_gather", expert * per_param, expert_ranks,
                              spread)) / c["network"]
    hidden = (1.0 - c["exposed_data"]) * seconds
    return where(ranks > 1, seconds - hidden + maximum(0.0, hidden - compute), 0.0)


def _trained_share(case: TrainingCase) -> float:
    """Parameters that get gradients, over all."""
    if case.trained is None:
        return 1.0
    return case.trained / sum(_counted(case.architecture))


def _optimizer(case: TrainingCase, c: Mapping[str, float]) -> Numeric:
    """Reading and writing gradients and the optimizer's state [s]."""
    layout = case.layout
    shards = where(layout.zero > 0, layout.dp * layout.cp, 1)
    held = _trained_share(case) * sum(rank_params(case.architecture, layout)) / shards
    if case.offload:
        return held * c["host_optimizer"]
    return held * _OPTIMIZER_TRAFFIC / case.cluster.chip.memory_bandwidth / c["memory"]


def floor_seconds(case: TrainingCase, work: Work) -> Numeric:
    """What no schedule beats: the FLOP of the fullest stage at the peaks, nothing recomputed."""
    s: Mapping[str, Any] = work.sums
    matrices = sum(s[k] for k in s if k.startswith(("matmul", "grouped")))
    per = (1.0 + case.backward) * (matrices + s["head"]) + 3.0 * s["attention"]
    m = case.batch.sequences / (case.layout.dp * case.layout.micro_batch)
    return maximum(m * per / case.layout.pp, 0.0)

