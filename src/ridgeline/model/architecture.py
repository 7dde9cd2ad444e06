"""Architecture: everything about a model that costs memory or time."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ridgeline.errors import BadInput
from ridgeline.model.parts import Block, ExpertFfn, Role, Weight
from ridgeline.model.tensors import Cache, elements
from ridgeline.numeric import Numeric


@dataclass(frozen=True)
class CheckpointExtra:
    """Elements a published checkpoint counts beyond the parameters of the model.

    `likely` extras are part of `Architecture.checkpoint_params`; the others are known variants
    (an old file that keeps rotary buffers, a tied head stored twice) that `explain_count` tries.
    """

    reason: str
    elements: int
    likely: bool = True


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

    @functools.cached_property
    def layers(self) -> tuple[Block, ...]:
        """The block of every layer in order; equal ones are one object."""
        one: dict[Block, Block] = {}
        return tuple(block for block, count in ((one.setdefault(b, b), n) for b, n in self.blocks)
                     for _ in range(count))

    @functools.cached_property
    def kinds_of_layer(self) -> tuple[tuple[Block, int], ...]:
        """Blocks that differ, in order, each with how many layers are like it."""
        counts = Counter(map(id, self.layers))
        return tuple((block, counts.pop(id(block))) for block in self.layers if id(block) in counts)

    @functools.cached_property
    def mixtures(self) -> tuple[tuple[ExpertFfn, int], ...]:
        """Feed-forwards with routed experts, each with its layers."""
        return tuple((block.ffn, count) for block, count in self.blocks
                     if isinstance(block.ffn, ExpertFfn))

    def block_weights(self) -> Iterator[tuple[Block, Weight, int]]:
        """Every tensor of the layers with its block and how many layers hold one of their own.

        Blocks that share their tensors (`Block.shared`) yield them once.
        """
        held: set[str] = set()
        for block, repeats in self.blocks:
            copies = repeats
            if block.shared:
                copies = 0 if block.shared in held else 1
                held.add(block.shared)
            if copies:
                for weight in block.shared_weights(self.d_model):
                    yield block, weight, copies
            for weight in block.norms:
                yield block, weight, repeats

    def weights(self) -> Iterator[tuple[Weight, int]]:
        """Every tensor of the main stack, embedding and head, with how many layers hold one."""
        for weight in self.embedding:
            yield weight, 1
        for _, weight, repeats in self.block_weights():
            yield weight, repeats
        for weight in (*self.final, *self.head):
            yield weight, 1

    @property
    def total_params(self) -> int:
        """Parameters of embedding, layers and head; a tied head once; no MTP, no vision."""
        return sum(weight.elements * repeats for weight, repeats in self.weights())

    @property
    def active_params(self) -> int:
        """Parameters one token's forward pass uses, the whole input embedding included.

            total - experts of each layer * (1 - top_k / n_experts)

        Publishers' rules differ: DeepSeek and Qwen count the embedding as here, gpt-oss leaves it
        out. Over the 35 mixtures of the catalog with a published figure the median difference is
        2.3 % (2.0 % without the input embedding, 4.2 % without embedding and head).
        """
        idle = 0
        for block, weight, repeats in self.block_weights():
            if weight.role == "expert" and isinstance(block.ffn, ExpertFfn):
                rest = block.ffn.n_experts - block.ffn.top_k
                idle += weight.elements // block.ffn.n_experts * rest * repeats
        return self.total_params - idle

    @property
    def params_by_role(self) -> dict[Role, int]:
        """Parameters of the main stack by what they are for; adds up to `total_params`."""
        out: dict[Role, int] = {}
        for weight, repeats in self.weights():
            out[weight.role] = out.get(weight.role, 0) + weight.elements * repeats
        return out

    @property
    def count_terms(self) -> tuple[CheckpointExtra, ...]:
        """What a checkpoint may count beyond `total_params`: MTP, towers, buffers, scales."""
        own = (CheckpointExtra("multi-token-prediction layers", elements(self.mtp)),
               CheckpointExtra("vision or audio tower", elements(self.vision)))
        return tuple(t for t in own if t.elements) + self.checkpoint_extras

    @property
    def checkpoint_params(self) -> int:
        """Elements the published checkpoint counts: `total_params` and the likely extras."""
        return self.total_params + sum(t.elements for t in self.count_terms if t.likely)

    def explain_count(self, count: int) -> tuple[str, ...] | None:
        """The extras that make `total_params` equal a file's element count, or None.

        Args:
            count: elements of a checkpoint [param].

        An empty tuple means the file holds the model's parameters and nothing else.
        """
        terms = self.count_terms
        for size in range(len(terms) + 1):
            for chosen in itertools.combinations(terms, size):
                if self.total_params + sum(t.elements for t in chosen) == count:
                    return tuple(t.reason for t in chosen)
        return None

    def caches(self) -> Iterator[tuple[Cache, int]]:
        """What each run of layers keeps between steps, with the number of layers."""
        for block, repeats in self.blocks:
            if block.mixer is not None:
                yield block.mixer.cache(), repeats

    def cache_bytes(self, context_length: Numeric, *, kv_bits: Numeric = 16) -> Numeric:
        """Growing cache of one sequence: keys and values, latents, indexer keys [bytes].

        Windows and chunks keep at most their width; compressed layers one entry for each
        `compress_ratio` tokens. Indexer keys stay one byte whatever the KV format.

        Args:
            context_length: tokens in the sequence [token], any shape.
            kv_bits: bits of one cached value, scales included.
        """
        total: Numeric = 0
        for cache, repeats in self.caches():
            total = total + repeats * cache.bytes_per_sequence(context_length=context_length,
                                                               kv_bytes=kv_bits / 8)
        return total

    def kv_bytes_per_token(self, *, kv_bits: Numeric = 16, context_length: Numeric = 1) -> Numeric:
        """`cache_bytes` over its tokens; at the default length no window has filled yet.

        Args:
            kv_bits: bits of one cached value, scales included.
            context_length: tokens in the sequence [token], at least 1.

        Raises:
            BadInput: a context length below one token.
        """
        if isinstance(context_length, (int, float)) and not context_length >= 1:
            raise BadInput(f"context length {context_length} is below one token")
        return self.cache_bytes(context_length, kv_bits=kv_bits) / context_length

    def state_bytes(self, *, state_bits: Numeric = 16, conv_bits: Numeric = 16) -> Numeric:
        """Recurrent and convolution state of one sequence, of any length [bytes].

        Args:
            state_bits: bits of one recurrent state value (engines often keep 32).
            conv_bits: bits of one convolution state value.
        """
        return sum(repeats * (cache.elements_per_sequence * state_bits
                              + cache.conv_elements_per_sequence * conv_bits) / 8
                   for cache, repeats in self.caches())
