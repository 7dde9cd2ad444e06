"""Training state: weights, gradients and optimizer, by optimizer and sharding.

Activations are in `activations`; `peak.training_peak` puts both together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ridgeline.errors import BadInput, UnknownName
from ridgeline.numeric import Numeric, where

if TYPE_CHECKING:
    from ridgeline.model.architecture import Architecture


@dataclass(frozen=True)
class Optimizer:
    """Bytes an optimizer keeps for one parameter, beside the weight and its gradient.

    Attributes:
        master: higher-precision copy of the weight [bytes].
        moments: running averages [bytes].
        source: where the count comes from.
    """

    master: float
    moments: float
    source: str

    @property
    def bytes_per_param(self) -> float:
        """All of it [bytes]."""
        return self.master + self.moments


OPTIMIZERS = {
    "adamw": Optimizer(4, 8, "mixed-precision AdamW; ZeRO, arXiv 1910.02054, section 3.1"),
    "adamw_fp32": Optimizer(0, 8, "AdamW on fp32 weights, which are their own master"),
    "adamw_bf16": Optimizer(0, 4, "AdamW with bf16 moments and no master copy"),
    "adamw_bf16_states": Optimizer(4, 4, "AdamW with bf16 moments and an fp32 master"),
    "adamw_8bit": Optimizer(4, 2, "8-bit optimizers, arXiv 2110.02861; fp32 master"),
    "adamw_8bit_no_master": Optimizer(0, 2, "8-bit optimizers, arXiv 2110.02861"),
    "lion": Optimizer(4, 4, "one moment; arXiv 2302.06675"),
    "sgd_momentum": Optimizer(4, 4, "one moment"),
    "sgd": Optimizer(4, 0, "no moment"),
    "muon": Optimizer(4, 4, "one momentum matrix; embeddings and head use AdamW"),
    "adafactor": Optimizer(4, 0, "row and column sums only; arXiv 1804.04235 (add "
                                 "`adafactor_elements`)"),
}


# Roles of the matrices that adapters go on.
_ADAPTED = ("attention", "ffn", "expert", "shared_expert", "mixer")


def get_optimizer(name: str) -> Optimizer:
    """The optimizer of that name.

    Raises:
        UnknownName: not in `OPTIMIZERS`.
    """
    try:
        return OPTIMIZERS[name]
    except KeyError:
        raise UnknownName.among("optimizer", name, OPTIMIZERS,
                                "There are: " + ", ".join(OPTIMIZERS)) from None


@dataclass(frozen=True)
class Shards:
    """Ways each part of the training state is divided over data-parallel devices."""

    weights: Numeric
    grads: Numeric
    optimizer: Numeric


def zero_shards(stage: Numeric, dp: Numeric) -> Shards:
    """Shards of a ZeRO stage: 0 none, 1 optimizer, 2 and gradients, 3 and weights (FSDP).

    Raises:
        BadInput: no such stage, or fewer than one device; arrays are trusted.
    """
    if isinstance(stage, int) and stage not in (0, 1, 2, 3):
        raise BadInput(f"ZeRO stage {stage} does not exist; it is 0, 1, 2 or 3 (3 is FSDP)")
    if isinstance(dp, int) and dp < 1:
        raise BadInput(f"data parallelism is {dp}; it is at least 1")
    return Shards(where(stage >= 3, dp, 1), where(stage >= 2, dp, 1), where(stage >= 1, dp, 1))


def adapter_params(architecture: Architecture, rank: float) -> float:
    """Parameters of low-rank adapters on every matrix of the layers.

    Sources: LoRA, arXiv 2106.09685: rank * (d_in + d_out) for each matrix.
    """
    return float(sum(float(lora_params(rank=rank, d_in=float(w.shape[0]), d_out=float(w.shape[1]),
                                       count=float(w.count * repeats)))
                     for w, repeats in architecture.weights()
                     if len(w.shape) == 2 and w.role in _ADAPTED))


def state_bytes(*, n_params: Numeric, optimizer_bytes: Numeric = 12.0,
                weight_bytes: Numeric = 2.0, grad_bytes: Numeric = 2.0,
                weight_shards: Numeric = 1.0, grad_shards: Numeric = 1.0,
                optimizer_shards: Numeric = 1.0) -> Numeric:
    """Weights, gradients and optimizer state on one device.

        bytes = P (weight_bytes / ws + grad_bytes / gs + optimizer_bytes / os)

    With AdamW: 16 P; ZeRO-1 (4 + 12/n) P; ZeRO-2 (2 + 14/n) P; ZeRO-3 16 P/n; Megatron-LM keeps
    fp32 gradients, 18 P, or (6 + 12/n) P with its distributed optimizer.

    Args:
        n_params: P, parameters of this model-parallel rank [1].
        optimizer_bytes: of one parameter [bytes].
        weight_bytes: of one weight [bytes].
        grad_bytes: of one gradient [bytes].
        weight_shards: ws [1].
        grad_shards: gs [1].
        optimizer_shards: os [1].

    Returns:
        bytes.

    Sources: ZeRO (arXiv 1910.02054) figure 1; Megatron-LM's memory report for 18 and 6 + 12/n.
    >>> round(state_bytes(n_params=70_553_706_496) / 1e9, 1)
    1128.9
    """
    return n_params * (weight_bytes / weight_shards + grad_bytes / grad_shards
                       + optimizer_bytes / optimizer_shards)


def lora_params(*, rank: Numeric, d_in: Numeric, d_out: Numeric, count: Numeric = 1.0) -> Numeric:
    """Parameters of a low-rank adapter on matrices of one shape.

        parameters = count * rank * (d_in + d_out)

    Args:
        rank: of the update [1].
        d_in: rows of the matrix [1].
        d_out: columns [1].
        count: such matrices [1].

    Returns:
        parameters [1].

    Sources: LoRA (arXiv 2106.09685).
    >>> lora_params(rank=8, d_in=4096, d_out=4096, count=64)
    4194304.0
    """
    return 1.0 * count * rank * (d_in + d_out)


def adapter_state_bytes(*, n_params: Numeric, n_adapter: Numeric,
                        weight_bytes: Numeric = 2.0, adapter_bytes: Numeric = 16.0) -> Numeric:
    """Frozen weights and a trained adapter: LoRA with 16-bit weights, QLoRA with 4-bit.

        bytes = weight_bytes * n_params + adapter_bytes * n_adapter

    Args:
        n_params: frozen parameters [1].
        n_adapter: trained parameters [1].
        weight_bytes: of one frozen weight: 2 for LoRA, 0.5 and scales for QLoRA [bytes].
        adapter_bytes: weight, gradient and optimizer of one trained parameter [bytes].

    Returns:
        bytes.

    Sources: LoRA (arXiv 2106.09685), QLoRA (arXiv 2305.14314).
    >>> adapter_state_bytes(n_params=7e9, n_adapter=20e6, weight_bytes=0.5) / 1e9
    3.82
    """
    return weight_bytes * n_params + adapter_bytes * n_adapter


def adafactor_elements(*, d_in: Numeric, d_out: Numeric, count: Numeric = 1.0) -> Numeric:
    """Second-moment values that Adafactor keeps for matrices of one shape.

        elements = count * (d_in + d_out)

    Args:
        d_in: rows [1].
        d_out: columns [1].
        count: such matrices [1].

    Returns:
        fp32 values [1].

    Sources: Adafactor (arXiv 1804.04235), section 3.
    >>> adafactor_elements(d_in=4096, d_out=4096)
    8192.0
    """
    return 1.0 * count * (d_in + d_out)


def muon_bytes(*, n_hidden: Numeric, n_other: Numeric, momentum_bytes: Numeric = 4.0,
               master_bytes: Numeric = 4.0, adamw_bytes: Numeric = 12.0) -> Numeric:
    """Optimizer state when hidden matrices use Muon and everything else AdamW.

        bytes = (master_bytes + momentum_bytes) * n_hidden + adamw_bytes * n_other

    Args:
        n_hidden: parameters of hidden matrices [1].
        n_other: embeddings, head, norms, biases [1].
        momentum_bytes: of one hidden parameter [bytes].
        master_bytes: of one hidden parameter [bytes].
        adamw_bytes: of one other parameter [bytes].

    Returns:
        bytes.

    Sources: Muon is scalable for LLM training (arXiv 2502.16982).
    >>> muon_bytes(n_hidden=7e9, n_other=1e9) / 1e9
    68.0
    """
    return (master_bytes + momentum_bytes) * n_hidden + adamw_bytes * n_other
