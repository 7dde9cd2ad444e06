"""Tensors and caches: the two things a part of a model reports about itself."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from ridgeline.numeric import Numeric, minimum

Role = Literal["embedding", "position", "head", "attention", "mixer", "ffn", "expert",
               "shared_expert", "router", "norm", "other"]
# How a tensor divides over a tensor-parallel group: not at all, evenly, by KV head (copied when
# there are more devices than KV heads), by vocabulary, by expert.
Shard = Literal["replicated", "tp", "kv", "vocab", "expert"]


@dataclass(frozen=True)
class Weight:
    """One tensor, or `count` equal ones.

    Attributes:
        name: short name inside its part ("q_proj", "router").
        shape: elements by axis, (in, out) for matrices.
        role: what part of the model it belongs to; decides its number format.
        shard: how tensor parallelism divides it.
        count: how many such tensors there are (experts).
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    shard: Shard = "replicated"
    count: int = 1

    @property
    def elements(self) -> int:
        """Number of parameters."""
        return math.prod(self.shape) * self.count


@dataclass(frozen=True)
class Cache:
    """What a mixer keeps between steps, for one layer.

    A layer that compresses keeps the last `window` tokens as they are and one further entry for
    every `compress_ratio` tokens; any other layer keeps every token up to `window`.

    Attributes:
        elements_per_token: cached values per entry, in the KV-cache format.
        window: tokens kept at most (None: all of them).
        elements_per_sequence: recurrent state values, of any length, in the state format.
        conv_elements_per_sequence: short-convolution state values, in the activation format.
        shard: how tensor parallelism divides the per-token part ("kv", "replicated" for MLA).
        n_kv_heads: heads to divide when shard is "kv".
        index_elements_per_token: indexer keys of sparse attention, one byte each with
            `index_scale_bytes_per_token` of scales.
        compress_ratio: one entry is kept for this many tokens (1: every token).
    """

    elements_per_token: int = 0
    window: int | None = None
    elements_per_sequence: int = 0
    conv_elements_per_sequence: int = 0
    shard: Shard = "kv"
    n_kv_heads: int = 1
    index_elements_per_token: int = 0
    index_scale_bytes_per_token: int = 0
    compress_ratio: int = 1

    def entries(self, context_length: Numeric) -> Numeric:
        """Entries kept for one sequence: min(context, window), plus context / ratio if compressed.

        Args:
            context_length: tokens in the sequence [token], any shape.
        """
        kept = context_length if self.window is None else minimum(context_length, self.window)
        if self.compress_ratio > 1:
            return kept + context_length / self.compress_ratio
        return kept

    def bytes_per_sequence(self, *, context_length: Numeric, kv_bytes: Numeric = 2.0) -> Numeric:
        """Growing part of the cache of one sequence, without the constant state [bytes].

            entries * elements_per_token * kv_bytes + context / ratio * indexer key bytes

        Args:
            context_length: tokens in the sequence [token].
            kv_bytes: bytes of one cached value, scales included [bytes].
        """
        index = self.index_elements_per_token + self.index_scale_bytes_per_token
        return (self.entries(context_length) * self.elements_per_token * kv_bytes
                + context_length / self.compress_ratio * index)


class Part(Protocol):
    """What every mixer and feed-forward answers."""

    def describe(self) -> str:
        """The part in the field's words, for `ridgeline catalog models`."""
        ...

    def weights(self, d_model: int) -> tuple[Weight, ...]:
        """Every tensor of the part."""
        ...


class Mixer(Part, Protocol):
    """What every mixer answers besides."""

    @property
    def pair_width(self) -> float:
        """Half the products of one query-key pair [1]: 4 * pair_width FLOP a pair; 0: no pairs."""
        ...

    def cache(self) -> Cache:
        """What one layer keeps between steps."""
        ...


def elements(weights: Iterable[Weight]) -> int:
    """Parameters of several tensors together."""
    return sum(w.elements for w in weights)


def times(weights: Iterable[Weight], count: int) -> tuple[Weight, ...]:
    """The same tensors `count` times over."""
    return tuple(replace(w, count=w.count * count) for w in weights)


def norm(name: str, width: int, bias: bool = False, count: int = 1) -> Weight:
    """The tensors of a normalisation: a gain, and an offset where it has one."""
    return Weight(name, (2, width) if bias else (width,), "norm", count=count)


def linear(name: str, d_in: int, d_out: int, role: Role, *, bias: bool = False,
           shard: Shard = "tp", count: int = 1) -> tuple[Weight, ...]:
    """A matrix and, where it has one, its bias.

    A row-parallel bias (of an output projection) is held whole by every device, but it is so small
    that it is filed with its matrix.
    """
    matrix = Weight(name, (d_in, d_out), role, shard, count)
    if not bias:
        return (matrix,)
    return (matrix, Weight(f"{name}.bias", (d_out,), role, shard, count))
