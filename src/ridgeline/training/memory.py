"""What a device holds in a training step, item by item, for one layout or arrays of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ridgeline.deployment import Deployment
from ridgeline.deployment.sharding import WeightFormats, fullest_weights
from ridgeline.memory import activations
from ridgeline.memory.peak import (
    ELEMENTS,
    TrainingRun,
    activation_items,
    get_framework,
    layer_activation,
)
from ridgeline.memory.training import adapter_params, get_optimizer, zero_shards
from ridgeline.model.architecture import Architecture
from ridgeline.numeric import Numeric, maximum, where
from ridgeline.training.layout import Batch

__all__ = ["Tuning", "device_items"]

WEIGHT_BYTES, GRADIENT_BYTES = 2.0, 2.0


@dataclass(frozen=True)
class Tuning:
    """What is trained, and how.

    Attributes:
        optimizer: name in `memory.training.OPTIMIZERS`.
        adapter_rank: of low-rank adapters on frozen weights; None: all weights are trained.
        frozen_bits: of a frozen weight of the layers (16; about 4 for QLoRA).
        frozen_embedding_bits: of the frozen embedding and output head.
    """

    optimizer: str = "adamw"
    adapter_rank: int | None = None
    frozen_bits: float = 16.0
    frozen_embedding_bits: float = 16.0


@lru_cache(maxsize=4096)
def _elements(architecture: Architecture, tp: int, pp: int, ep: int) -> float:
    """Parameters of the fullest device; layouts share them by the hundred."""
    return fullest_weights(architecture, _plan(tp, pp, ep), ELEMENTS).total


@lru_cache(maxsize=64)
def _experts(architecture: Architecture) -> float:
    """Parameters of routed experts; counting them takes longer than the rest."""
    return float(architecture.params_by_role.get("expert", 0))


def _plan(tp: int, pp: int, ep: int) -> Deployment:
    # Experts spread over tensor and data ranks; what the others of those hold is a copy.
    return Deployment(tp=tp, pp=pp, attention_dp=max(1, ep // tp), ep=ep)


def device_items(architecture: Architecture, layout: Any, batch: Batch, tuning: Tuning
                 ) -> dict[str, Numeric]:
    """Bytes on the fullest device: frozen weights, weights, gradients, optimizer, activations.

    Counts alone, without what a framework copies.

    Args:
        architecture: the model.
        layout: a `Layout`; its dp, vp, micro_batch and zero may be arrays.
        batch: sequences of a step.
        tuning: optimizer and adapters.

    Returns:
        bytes by item; those that are zero are left out of plain layouts.

    Raises:
        UnknownName: no such optimizer.
    """
    tp, pp, ep = int(layout.tp), int(layout.pp), int(layout.ep)
    held = _elements(architecture, tp, pp, ep)
    ranks = layout.dp * layout.cp
    shards, frozen = zero_shards(layout.zero, ranks), 0.0
    # Experts have fewer copies than the rest, so their state is divided less.
    experts = min(held, _experts(architecture) / (ep * pp))
    expert_shards = zero_shards(layout.zero, maximum(1, ranks * tp // ep))
    dense = held - experts
    if tuning.adapter_rank is not None:
        dense, experts = adapter_params(architecture, tuning.adapter_rank) / (tp * pp), 0.0
        bits, ends = tuning.frozen_bits, tuning.frozen_embedding_bits
        frozen = fullest_weights(architecture, _plan(tp, pp, ep),
                                 WeightFormats(bits, bits, ends)).total
    run = TrainingRun(
        layout.micro_batch, -(-batch.seq // layout.cp),
        n_microbatches=batch.sequences / (layout.dp * layout.micro_batch),
        recompute="full" if layout.recompute in ("full", "reversible") else "none",
        flash_attention=layout.recompute != "none", chunks=layout.vp)
    kept = activation_items(architecture, _plan(tp, pp, ep), run, get_framework("ideal"))
    if layout.recompute == "reversible":
        kept["activations"] = _reversible(architecture, run, tp)
    optimizer = get_optimizer(tuning.optimizer).bytes_per_param
    return {"frozen weights": frozen / where(layout.zero == 3, shards.weights, 1.0),
            "weights": WEIGHT_BYTES * (dense / shards.weights + experts / expert_shards.weights),
            "gradients": GRADIENT_BYTES * (dense / shards.grads + experts / expert_shards.grads),
            "optimizer": optimizer * (dense / shards.optimizer
                                      + experts / expert_shards.optimizer), **kept}


def _reversible(architecture: Architecture, run: TrainingRun, tp: int) -> Numeric:
    """Two streams and one layer, whatever the depth."""
    tokens = run.micro_batch * run.seq_len
    layer = max(layer_activation(architecture, i, tp, run)
                for i in range(len(architecture.blocks)))
    entry = activations.layer_input(
        seq_len=float(run.seq_len), batch_size=run.micro_batch * 1.0,
        d_model=float(architecture.d_model), shards=float(tp))
    return activations.reversible(layer_bytes=layer * tokens, input_bytes=entry)
