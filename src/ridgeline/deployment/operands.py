"""Number formats of every operand, settled for one model, deployment and chip."""

from __future__ import annotations

from dataclasses import dataclass

from ridgeline.deployment.deployment import Deployment
from ridgeline.machine import Chip
from ridgeline.model.architecture import Architecture

__all__ = ["Format", "Formats", "settle_formats"]


@dataclass(frozen=True)
class Format:
    """A number format as an op sees it: its name, stored bytes a value, and the peak it runs at."""

    name: str
    bytes: float
    compute: str


@dataclass(frozen=True)
class Formats:
    """Formats of every kind of operand, settled for one model, deployment and chip.

    Attributes:
        dense: attention and feed-forward matrices.
        experts: expert matrices.
        head: output head.
        wide: matrices that engines leave in 16 bit (router, small gates, latent up-projections).
        kv: KV cache.
        state: recurrent state.
        activation_bytes: bytes of an activation value.
        attention_compute: peak at which attention scores run.
    """

    dense: Format
    experts: Format
    head: Format
    wide: Format
    kv: Format
    state: Format
    activation_bytes: float = 2.0
    attention_compute: str = "bf16"


def settle_formats(architecture: Architecture, deployment: Deployment, chip: Chip) -> Formats:
    """What the deployment asks for, else what the model declares, else 16 bit.

    Engines leave routers, small gates and norms in 16 bit, and the head unless the format says
    that it covers embeddings and head too.

    Raises:
        UnknownName: a format that is not in the catalog.
        BadInput: the chip cannot run one of them.
    """
    from ridgeline.formats import get_format

    dense = deployment.weights or architecture.weight_format
    experts = (deployment.experts or deployment.weights or architecture.expert_format
               or architecture.weight_format)
    head = dense if get_format(dense).covers_embeddings else "bf16"
    return Formats(
        dense=_operand(dense, chip),
        experts=_operand(experts, chip),
        head=_operand(head, chip),
        wide=_operand("bf16", chip),
        kv=_operand(deployment.kv or "bf16", chip),
        state=_operand("fp32", chip),
        attention_compute=_operand("bf16", chip).compute,
    )


def _operand(name: str, chip: Chip) -> Format:
    """A format with its stored size and the peak it runs at on this chip."""
    from ridgeline.formats import compute_format, get_format

    found = get_format(name)
    return Format(found.name, found.bits / 8, compute_format(found, chip))
