"""The building blocks of a language model: mixers, feed-forwards, blocks.

Each part is a frozen record of what the architecture says. It knows its tensors (`weights`), what
it keeps per token and per sequence (`cache`) and its own name (`describe`); the `work` room knows
what it computes.
"""

from __future__ import annotations

from dataclasses import dataclass

from ridgeline.model.attention import Attention, CompressedAttention, Indexer, LatentAttention
from ridgeline.model.feed_forward import DenseFfn, ExpertFfn
from ridgeline.model.state_space import GatedRecurrence, LinearAttention, Mamba, Rwkv, ShortConv
from ridgeline.model.tensors import Cache, Mixer, Part, Role, Shard, Weight

__all__ = ["Attention", "Block", "Cache", "CompressedAttention", "DenseFfn", "ExpertFfn", "Ffn",
           "GatedRecurrence", "Indexer", "LatentAttention", "LinearAttention", "Mamba", "Mixer",
           "Part", "Role", "Rwkv", "Shard", "ShortConv", "Weight"]

Ffn = DenseFfn | ExpertFfn


@dataclass(frozen=True)
class Block:
    """One layer: a mixer and a feed-forward, either of which may be absent.

    `norms` are the tensors that belong to neither (norms, residual mixing, adapters).
    """

    mixer: Mixer | None
    ffn: Ffn | None
    norms: tuple[Weight, ...] = ()
    parallel: bool = False         # attention and feed-forward read the same input
    shared: str = ""               # blocks of one label hold one copy of mixer and feed-forward

    def describe(self) -> tuple[str, str]:
        """Mixer and feed-forward in the field's words."""
        return (self.mixer.describe() if self.mixer else "none",
                self.ffn.describe() if self.ffn else "no feed-forward")

    def weights(self, d_model: int) -> tuple[Weight, ...]:
        """Every tensor the block reads, shared ones included."""
        return (*self.shared_weights(d_model), *self.norms)

    def shared_weights(self, d_model: int) -> tuple[Weight, ...]:
        """Tensors of mixer and feed-forward: held once by all blocks of one `shared` label."""
        return tuple(w for part in (self.mixer, self.ffn) if part for w in part.weights(d_model))
