"""What each device holds: bytes of weights by pipeline stage, and the layers of each stage."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ridgeline.deployment.deployment import Deployment
from ridgeline.errors import BadInput
from ridgeline.model.architecture import Architecture
from ridgeline.model.parts import Block, Weight

# Engines pad the vocabulary to whole tiles of this many rows before dividing it.
VOCAB_TILE = 64
# Roles whose matrices a quantiser narrows; the rest stays in 16 bit.
QUANTISED = frozenset({"attention", "mixer", "ffn", "expert", "shared_expert"})
WIDE_BITS = 16.0


@dataclass(frozen=True)
class WeightFormats:
    """Bits of one stored parameter, by what it is.

    Attributes:
        dense: attention and feed-forward matrices.
        experts: expert matrices.
        embedding: embedding and head.
        wide: norms, biases, routers, small gates.
    """

    dense: float
    experts: float
    embedding: float
    wide: float = WIDE_BITS

    def bits(self, weight: Weight) -> float:
        """Bits of each element of a tensor."""
        if weight.role in ("embedding", "head"):
            return self.embedding
        if weight.role not in QUANTISED or len(weight.shape) < 2:
            return self.wide
        return self.experts if weight.role == "expert" else self.dense


@dataclass(frozen=True)
class DeviceWeights:
    """Bytes of weights on one device of a pipeline stage.

    Attributes:
        stage: index of the pipeline stage.
        layers: first layer and one past the last.
        by_role: bytes by role of the tensor.
    """

    stage: int
    layers: tuple[int, int]
    by_role: Mapping[str, float]

    @property
    def total(self) -> float:
        """All of them [bytes]."""
        return sum(self.by_role.values())


def weight_formats(architecture: Architecture, deployment: Deployment) -> WeightFormats:
    """What the deployment asks for, else what the model declares.

    A format asked for the dense matrices covers the experts too unless they have their own;
    embeddings and head stay in 16 bit unless the format covers them (whole-file formats such as
    q4_k_m, and the unquantised ones).

    Raises:
        UnknownName: a format that is not in the catalog.
    """
    from ridgeline.formats import get_format

    dense = get_format(deployment.weights or architecture.weight_format)
    experts = get_format(deployment.experts or deployment.weights or architecture.expert_format
                         or architecture.weight_format)
    wide = dense.bits if dense.name == "fp32" else WIDE_BITS
    return WeightFormats(dense.bits, experts.bits,
                         dense.bits if dense.covers_embeddings else wide, wide)


def stage_bounds(n_layers: int, pp: int) -> tuple[tuple[int, int], ...]:
    """Layers of each pipeline stage, as vLLM deals them out.

    Each stage gets n_layers // pp; what is left goes one by one to the stages before the last,
    which carries the head.

    Raises:
        BadInput: more stages than layers.
    >>> stage_bounds(10, 4)
    ((0, 2), (2, 5), (5, 8), (8, 10))
    """
    if not 1 <= pp <= n_layers:
        raise BadInput(f"{pp} pipeline stages cannot share {n_layers} layers; use 1 to {n_layers}")
    sizes = [n_layers // pp] * pp
    for index in range(n_layers % pp):
        sizes[-2 - index] += 1
    bounds, start = [], 0
    for size in sizes:
        bounds.append((start, start + size))
        start += size
    return tuple(bounds)


def device_elements(weight: Weight, deployment: Deployment, n_kv_heads: int = 1) -> float:
    """Elements of a tensor that the fullest device of a tensor-parallel group holds.

    Even pieces over tp; KV projections by whole KV heads, copied when there are more devices than
    heads; the vocabulary padded to tiles of 64 and divided; experts dealt over ep and each split
    over the rest of the tp x attention_dp group; everything else whole.

    Args:
        weight: the tensor.
        deployment: its degrees tp, ep and attention_dp count.
        n_kv_heads: heads of the layer when the tensor is divided by KV head.
    """
    tp = deployment.tp
    if weight.shard == "tp":
        return math.ceil(weight.elements / tp)
    if weight.shard == "kv":
        return weight.elements * max(1, math.ceil(n_kv_heads / tp)) / n_kv_heads
    if weight.shard == "vocab":
        rows = max(weight.shape)
        padded = math.ceil(math.ceil(rows / VOCAB_TILE) * VOCAB_TILE / tp)
        return weight.elements * (padded if tp > 1 else rows) / rows
    if weight.shard == "expert":
        return (math.prod(weight.shape) * math.ceil(weight.count / deployment.ep)
                / deployment.expert_tp)
    return weight.elements


def device_weights(architecture: Architecture, deployment: Deployment,
                   formats: WeightFormats | None = None) -> tuple[DeviceWeights, ...]:
    """Bytes of weights on the fullest device of every pipeline stage.

    The embedding and a vision tower sit on the first stage, the final norm and the head on the
    last; a tied embedding is copied there. Multi-token-prediction layers are not loaded.

    Args:
        architecture: the model.
        deployment: degrees and formats.
        formats: bits by kind; None: as deployment and model say.

    Raises:
        BadInput: more stages than layers.
        UnknownName: a format that is not in the catalog.
    """
    formats = formats or weight_formats(architecture, deployment)
    layers = architecture.layers
    bounds = stage_bounds(len(layers), deployment.pp)
    stages = []
    memo: dict[int, dict[str, float]] = {}
    for stage, (start, stop) in enumerate(bounds):
        held = _Held(deployment, formats, memo)
        if stage == 0:
            held.add((*architecture.embedding, *architecture.vision))
        if stage == len(bounds) - 1:
            held.add((*architecture.head, *architecture.final))
            if architecture.tied and stage > 0:
                held.add(architecture.embedding)
        for block in layers[start:stop]:
            held.add_block(block, architecture.d_model)
        stages.append(DeviceWeights(stage, (start, stop), held.by_role))
    return tuple(stages)


def fullest_weights(architecture: Architecture, deployment: Deployment,
                    formats: WeightFormats | None = None) -> DeviceWeights:
    """The stage whose devices hold most weights; arguments as `device_weights`."""
    return max(device_weights(architecture, deployment, formats), key=lambda stage: stage.total)


class _Held:
    """Running sum of what one device holds; `memo` keeps layers by their identity."""

    def __init__(self, deployment: Deployment, formats: WeightFormats,
                 memo: dict[int, dict[str, float]]) -> None:
        self.deployment, self.formats = deployment, formats
        self.by_role: dict[str, float] = {}
        self._memo = memo
        self._shared: set[str] = set()

    def add(self, weights: Iterable[Weight], n_kv_heads: int = 1) -> None:
        for role, size in self._sizes(weights, n_kv_heads).items():
            self.by_role[role] = self.by_role.get(role, 0.0) + size

    def add_block(self, block: Block, d_model: int) -> None:
        """A layer; equal layers are counted once and blocks of one `shared` label held once."""
        if block.shared:
            if block.shared not in self._shared:
                self._shared.add(block.shared)
                self.add(block.shared_weights(d_model), _kv_heads(block))
            self.add(block.norms)
            return
        if id(block) not in self._memo:
            self._memo[id(block)] = self._sizes(block.weights(d_model), _kv_heads(block))
        for role, size in self._memo[id(block)].items():
            self.by_role[role] = self.by_role.get(role, 0.0) + size

    def _sizes(self, weights: Iterable[Weight], n_kv_heads: int) -> dict[str, float]:
        sizes: dict[str, float] = {}
        for weight in weights:
            size = (device_elements(weight, self.deployment, n_kv_heads)
                    * self.formats.bits(weight) / 8)
            sizes[weight.role] = sizes.get(weight.role, 0.0) + size
        return sizes


def _kv_heads(block: Block) -> int:
    return getattr(block.mixer, "n_kv_heads", 1)
