"""Architecture: everything about a model that costs memory or time."""

from __future__ import annotations

from dataclasses import dataclass

from ridgeline.model.parts import Block, Weight


@dataclass(frozen=True)
class CheckpointExtra:
    """Elements a published checkpoint counts beyond the parameters of the model."""

    reason: str
    elements: int


@dataclass(frozen=True)
class Architecture:
    """A model as layers: `blocks` lists (block, how many in a row), in order.

    Attributes:
        name: catalog or repository name.
        model_type: Hugging Face `model_type`.
        d_model, vocab_size, max_context: widths [1]; max_context 0 when unlimited or unknown.
        blocks: the layers, runs of equal ones together.
        embedding: token, position and type embeddings, and the norm behind them.
        head: output head; empty when tied or absent.
        tied: the head is the embedding matrix.
        final: final norms, poolers, classifier heads.
        causal: decoder (generates) or encoder.
        mtp: multi-token-prediction layers and their tensors, apart from `blocks`.
        vision: tensors of a vision or audio tower.
        checkpoint_extras: what a published file counts besides parameters.
        weight_format: format that the config declares for its weights ("bf16", "fp8_block",
            "mxfp4", ...).
        expert_format: format of expert matrices where it differs.
    """

    name: str
    model_type: str
    d_model: int
    vocab_size: int
    max_context: int
    blocks: tuple[tuple[Block, int], ...]
    embedding: tuple[Weight, ...]
    head: tuple[Weight, ...]
    tied: bool
    final: tuple[Weight, ...]
    causal: bool = True
    mtp: tuple[Weight, ...] = ()
    vision: tuple[Weight, ...] = ()
    checkpoint_extras: tuple[CheckpointExtra, ...] = ()
    weight_format: str = "bf16"
    expert_format: str | None = None

    @property
    def n_layers(self) -> int:
        """Layers of the main stack."""
        return sum(count for _, count in self.blocks)
