"""What readers of model types share: blocks with plain norms, prediction layers, kinds by layer."""

from __future__ import annotations

from collections.abc import Callable

from ridgeline.model.architecture import Architecture
from ridgeline.model.decoder import (
    Ends,
)
from ridgeline.model.fields import Fields
from ridgeline.model.parts import (
    Block,
    Ffn,
    Mixer,
    Weight,
)
from ridgeline.model.tensors import linear, norm, times

# Reads the config of one model type: (fields, name) -> architecture.
Family = Callable[[Fields, str], Architecture]


def layer_kinds(f: Fields, ends: Ends, *names: str) -> list[str] | None:
    """A text for each layer, cut to the depth."""
    kinds = f.names(*names, length=ends.n_layers)
    return None if kinds is None else kinds[:ends.n_layers]


def block_of(mixer: Mixer | None, ffn: Ffn | None, d: int, norms: int = 2) -> Block:
    """A block with plain norms."""
    return Block(mixer, ffn, (norm("norms", d, count=norms),))


def mtp_block(block: Block, d: int, layers: int, norms: int = 3) -> tuple[Weight, ...]:
    """Prediction layers: a block, the merge of two streams (2 d x d), its norms.

    Args:
        block: the layer that is repeated.
        d: model width.
        layers: how many prediction layers.
        norms: norms outside the block.
    """
    own = (*block.weights(d), *linear("mtp.eh_proj", 2 * d, d, "other", shard="replicated"),
           norm("mtp.norms", d, count=norms))
    return times(own, layers)
