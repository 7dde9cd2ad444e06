"""`--ideal`: the roofline of the whole model, as the field's back-of-envelope has it.

Every parameter counts as read once a step (experts: those a batch hits), KV cache and weights are
spread evenly over the chips, and compute, memory and network overlap perfectly. All efficiencies
are 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from ridgeline.model.architecture import Architecture
from ridgeline.questions.resolve import Resolved
from ridgeline.work.experts_read import distinct_experts

__all__ = ["WholeModel", "whole_model"]


@dataclass(frozen=True)
class WholeModel:
    """A model as a handful of numbers, all devices of a replica together.

    Attributes:
        total_params, expert_params: all parameters, and those of routed experts.
        params_bytes, expert_bytes: the same in their formats [bytes].
        active_params: parameters a token uses.
        n_experts, top_k: of the routed layers, 0 when dense.
        n_layers, d_attention: attention layers, and their query heads times head width.
        chips: devices of a replica.
        peak: FLOP/s of the weights' compute format, one chip.
        bandwidth: bytes/s of one chip.
    """

    total_params: float
    expert_params: float
    params_bytes: float
    expert_bytes: float
    active_params: float
    n_experts: float
    top_k: float
    n_layers: float
    d_attention: float
    chips: int
    peak: float
    bandwidth: float

    def params_read(self, tokens: float) -> float:
        """Parameters that a step of so many tokens reads."""
        if not self.n_experts:
            return self.total_params
        return self.total_params - self.expert_params * self._idle(tokens)

    def read_bytes_per_param(self, tokens: float) -> float:
        """Mean stored bytes of a parameter among those read."""
        if not self.n_experts:
            return self.params_bytes / self.total_params
        read = self.params_bytes - self.expert_bytes * self._idle(tokens)
        return read / self.params_read(tokens)

    def _idle(self, tokens: float) -> float:
        """Share of the experts that no token of the step is sent to."""
        hit = distinct_experts(n_experts=self.n_experts, top_k=self.top_k, batch_size=tokens)
        return 1 - float(hit) / self.n_experts


def whole_model(resolved: Resolved) -> WholeModel:
    """Reduce a resolved scenario to the textbook's numbers."""
    from ridgeline.deployment.sharding import weight_formats

    architecture, chip = resolved.architecture, resolved.cluster.chip
    formats = weight_formats(architecture, resolved.deployment)
    params = {True: 0.0, False: 0.0}
    size = {True: 0.0, False: 0.0}
    for weight, repeats in architecture.weights():
        expert = weight.role == "expert"
        params[expert] += weight.elements * repeats
        size[expert] += weight.elements * repeats * formats.bits(weight) / 8
    routed = [ffn for ffn, _ in architecture.mixtures]
    layers, width = _attention(architecture)
    compute = (resolved.formats.experts if routed else resolved.formats.dense).compute
    return WholeModel(
        total_params=sum(params.values()), params_bytes=sum(size.values()),
        expert_params=params[True], expert_bytes=size[True],
        active_params=float(architecture.active_params),
        n_experts=float(routed[0].n_experts) if routed else 0.0,
        top_k=float(routed[0].top_k) if routed else 0.0,
        n_layers=layers, d_attention=width, chips=resolved.deployment.chips_per_replica,
        peak=chip.peak(compute), bandwidth=chip.memory_bandwidth)


def _attention(architecture: Architecture) -> tuple[float, float]:
    """Attention layers, and mean query heads times head width over them."""
    layers = width = 0.0
    for block, count in architecture.blocks:
        if block.mixer is not None and block.mixer.pair_width:
            layers, width = layers + count, width + count * block.mixer.pair_width
    return layers, width / layers if layers else 0.0
