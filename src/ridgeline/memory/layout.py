"""The cache of one device as its engine lays it out: kinds of layers, pages, groups, blocks.

vLLM keeps one pool of equal pages. Layers of one kind (full, windowed, recurrent) form groups of
equal size, filled up with padding layers; a block is one page for each layer of a group, so a
request takes blocks from every group. Other engines keep a pool for each kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ridgeline.deployment import Deployment
from ridgeline.memory.kv import kv_heads_per_device
from ridgeline.model.architecture import Architecture
from ridgeline.model.parts import Block, Cache

STATE_BYTES = 4.0            # recurrent state is kept in fp32
CONV_BYTES = 2.0             # short-convolution state, in the activation format


@dataclass(frozen=True)
class LayerKind:
    """Layers of one device that keep the same thing.

    Attributes:
        count: how many.
        bytes_per_token: growing cache of one layer and entry on this device [bytes].
        window: tokens kept at most; None: all.
        state_bytes: constant state of one sequence in one layer [bytes].
        compress_ratio: entries are kept for one in this many tokens, beside the window.
        side_bytes_per_token: indexer keys of one layer, kept for every entry [bytes].
    """

    count: int
    bytes_per_token: float
    window: int | None = None
    state_bytes: float = 0.0
    compress_ratio: int = 1
    side_bytes_per_token: float = 0.0

    @property
    def endless(self) -> float:
        """Bytes each further token adds for ever, one layer."""
        kept = self.bytes_per_token + self.side_bytes_per_token
        return kept / self.compress_ratio if self.window is None or self.compress_ratio > 1 else 0.0

    def bytes(self, tokens: float, extra_window: float = 0.0) -> float:
        """Cache of one sequence in one layer, with a window that much wider [bytes]."""
        if self.window is None:
            return tokens * self.endless + self.state_bytes
        near = min(tokens, self.window + extra_window) * self.bytes_per_token
        return near + tokens * self.endless + self.state_bytes


@dataclass(frozen=True)
class CacheLayout:
    """What the fullest device of a pipeline stage caches."""

    kinds: tuple[LayerKind, ...]

    @property
    def bytes_per_token(self) -> float:
        """Bytes each further token adds once windows are full [bytes]."""
        return sum(kind.count * kind.endless for kind in self.kinds)

    @property
    def short_bytes_per_token(self) -> float:
        """Bytes each of the first tokens adds, while every window still grows [bytes]."""
        return sum(kind.count * (kind.endless if kind.window is None
                                 else kind.bytes_per_token + kind.endless) for kind in self.kinds)

    @property
    def state_bytes_per_sequence(self) -> float:
        """Constant state of one sequence [bytes]."""
        return sum(kind.count * kind.state_bytes for kind in self.kinds)

    def sequence_bytes(self, tokens: float, block_size: int = 1) -> float:
        """Cache of one sequence, whole blocks, without what an engine pads [bytes]."""
        paged = math.ceil(tokens / block_size) * block_size
        return sum(kind.count * kind.bytes(paged) for kind in self.kinds)

    def unified_bytes(self, tokens: float, block_size: int, step_tokens: int) -> float:
        """Cache of one sequence in vLLM's one pool of equal pages [bytes].

        Every group holds as many layers as the smallest kind, the rest are padding. A windowed
        group keeps window - 1 + step_tokens tokens and one more block; a recurrent group takes
        one block, whose page is as large as its state needs.

        Sources: derivation from the rules vLLM states for its hybrid KV-cache manager; checked
        against start-up logs (see the tests).
        """
        if not self.kinds or (len(self.kinds) == 1 and self.kinds[0].window is None):
            return self.sequence_bytes(tokens, block_size)
        size = group_size(kind.count for kind in self.kinds)
        page = self.page_tokens(block_size)
        blocks = 0.0
        for kind in self.kinds:
            blocks += math.ceil(kind.count / size) * _blocks(kind, tokens, page, step_tokens)
        return blocks * size * self._page_bytes(page)

    def page_tokens(self, block_size: int) -> int:
        """Tokens of an attention page, raised until a page holds a recurrent state."""
        widest = max((kind.state_bytes for kind in self.kinds), default=0.0)
        per_token = max((kind.bytes_per_token + kind.side_bytes_per_token
                         for kind in self.kinds), default=0.0)
        if widest == 0.0 or per_token == 0.0:
            return block_size
        return max(block_size, math.ceil(widest / per_token / block_size) * block_size)

    def _page_bytes(self, page: int) -> float:
        return max(max((kind.bytes_per_token + kind.side_bytes_per_token) * page, kind.state_bytes)
                   for kind in self.kinds)


def _blocks(kind: LayerKind, tokens: float, page: int, step_tokens: int) -> float:
    if kind.bytes_per_token == 0.0:
        return 1.0
    if kind.window is not None and kind.compress_ratio == 1:
        kept = min(tokens, kind.window - 1 + step_tokens)
        return math.ceil(kept / page) + (1 if kept < tokens else 0)
    return math.ceil(tokens / kind.compress_ratio / page)


def group_size(counts: Iterable[int]) -> int:
    """Layers in each group: the smallest kind's, or the largest's when they nearly agree.

    >>> group_size((10, 52)), group_size((20, 7)), group_size((9, 10))
    (10, 7, 10)
    """
    sizes = list(counts)
    return max(sizes) if max(sizes) < 1.25 * min(sizes) else min(sizes)


def cache_layout(architecture: Architecture, deployment: Deployment,
                 layers: tuple[int, int] | None = None,
                 kv_bytes: float | None = None) -> CacheLayout:
    """Kinds of cache on one device, for a range of layers.

    KV heads divide over tp and are copied when there are fewer; latent caches are whole on every
    device; recurrent state divides by tp. Context parallelism divides the tokens.

    Args:
        architecture: the model.
        deployment: degrees and the KV format.
        layers: first and one past the last; None: all.
        kv_bytes: bytes of a cached value; None: from the deployment's KV format.

    Raises:
        UnknownName: a KV format that is not in the catalog.
    """
    size = kv_value_bytes(deployment) if kv_bytes is None else kv_bytes
    start, stop = layers or (0, architecture.n_layers)
    alike: dict[int, tuple[Block, int]] = {}
    for block in architecture.layers[start:stop]:
        alike[id(block)] = (block, alike.get(id(block), (block, 0))[1] + 1)
    counts: dict[LayerKind, int] = {}
    for block, count in alike.values():
        kind = _kind(block, deployment, size)
        if kind is not None:
            counts[kind] = counts.get(kind, 0) + count
    return CacheLayout(tuple(LayerKind(n, k.bytes_per_token, k.window, k.state_bytes,
                                       k.compress_ratio, k.side_bytes_per_token)
                             for k, n in counts.items()))


def kv_value_bytes(deployment: Deployment) -> float:
    """Bytes of one cached value, its scales included; 16 bit unless the deployment says."""
    if deployment.kv is None or deployment.kv in ("bf16", "fp16"):
        return 2.0
    from ridgeline.formats import get_format

    return float(get_format(deployment.kv).bits) / 8


def _kind(block: Block, deployment: Deployment, kv_bytes: float) -> LayerKind | None:
    if block.mixer is None:
        return None
    cache: Cache = block.mixer.cache()
    tp = deployment.tp
    share = 1.0
    if cache.shard == "kv" and cache.n_kv_heads:
        heads = float(kv_heads_per_device(n_kv_heads=cache.n_kv_heads, tp=tp))
        share = heads / cache.n_kv_heads
    side = float(cache.index_elements_per_token + cache.index_scale_bytes_per_token)
    state = (cache.elements_per_sequence * STATE_BYTES / (tp if cache.shard != "replicated" else 1)
             + cache.conv_elements_per_sequence * CONV_BYTES / tp)
    kind = LayerKind(1, cache.elements_per_token * kv_bytes * share / deployment.cp, cache.window,
                     state, cache.compress_ratio, side / deployment.cp)
    return kind if kind.bytes_per_token or kind.state_bytes else None
