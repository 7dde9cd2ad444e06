"""The building blocks of a language model: mixers, feed-forwards, blocks.

Each part is a frozen record of what the architecture says. It knows its tensors (`weights`) and
what it keeps per token and per sequence (`cache`); the `work` room knows what it computes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

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

    Attributes:
        elements_per_token: cached values per token, in the KV-cache format.
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


class Part(Protocol):
    """What every mixer and feed-forward answers."""

    def weights(self, d_model: int) -> tuple[Weight, ...]:
        """Every tensor of the part."""
        ...


@dataclass(frozen=True)
class Indexer:
    """Sparse-attention indexer (DeepSeek V3.2, GLM-5): scores all keys, keeps the best `top_k`."""

    n_heads: int
    head_dim: int
    top_k: int
    q_lora_rank: int


@dataclass(frozen=True)
class Attention:
    """Softmax attention with grouped heads: MHA, GQA and MQA, full or windowed."""

    n_heads: int
    n_kv_heads: int
    head_dim: int
    window: int | None = None
    chunked: bool = False          # Llama 4: attends within fixed chunks of `window` tokens
    causal: bool = True
    sinks: bool = False            # one learned logit a head (gpt-oss)
    q_bias: bool = False
    kv_bias: bool = False
    out_bias: bool = False
    qk_norm: Literal["none", "head", "full"] = "none"
    qk_norm_bias: bool = False
    output_gate: bool = False      # q projection also makes a gate (Qwen3-Next)
    k_is_v: bool = False           # values reuse the keys (Gemma 4 global layers)
    shares_kv: bool = False        # reads another layer's cache, has no own keys and values
    d_in: int | None = None        # input width when it is not d_model (Zamba)
    d_out: int | None = None


@dataclass(frozen=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek V2/V3), optionally with a sparse indexer."""

    n_heads: int
    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    indexer: Indexer | None = None
    output_gate: bool = False
    qkv_bias: bool = False


@dataclass(frozen=True)
class CompressedAttention:
    """DeepSeek V4 attention: one shared KV head, a short window plus a compressed long range.

    `compress_ratio` 0: window only; otherwise one entry for that many tokens, searched by an
    indexer when one is given.
    """

    n_heads: int
    head_dim: int
    rope_head_dim: int
    q_lora_rank: int
    o_lora_rank: int
    o_groups: int
    window: int
    compress_ratio: int
    indexer: Indexer | None = None


@dataclass(frozen=True)
class LinearAttention:
    """Linear attention with a matrix state a head: gated delta net, KDA, lightning."""

    rule: Literal["gated_delta", "kda", "lightning"]
    n_k_heads: int
    n_v_heads: int
    k_dim: int
    v_dim: int
    conv_kernel: int = 0
    full_rank_gate: bool = False


@dataclass(frozen=True)
class Mamba:
    """Selective state space layer, version 1 (state a channel) or 2 (scalar decay a head)."""

    version: Literal[1, 2]
    d_inner: int
    d_state: int
    conv_kernel: int
    n_groups: int = 1
    n_heads: int = 0               # version 2
    dt_rank: int = 0               # version 1
    conv_bias: bool = True
    proj_bias: bool = False
    inner_norms: bool = False      # Jamba normalises dt, B and C


@dataclass(frozen=True)
class Rwkv:
    """RWKV-4 time mixing: three vectors of state a layer, plus the previous token."""

    d_attn: int


@dataclass(frozen=True)
class DenseFfn:
    """Dense feed-forward: gated (three matrices) or not (two)."""

    d_ff: int
    gated: bool = True
    bias: bool = False
    receptance: bool = False       # RWKV channel mixing has one more d_model x d_model matrix
    inner_norm: bool = False       # BitNet normalises before the down projection


@dataclass(frozen=True)
class ExpertFfn:
    """Mixture of experts: `top_k` of `n_experts`, optional shared experts and dense branch."""

    n_experts: int
    top_k: int
    d_expert: int
    gated: bool = True
    bias: bool = False
    shared_d_ff: int = 0           # all shared experts as one dense feed-forward
    shared_gate: bool = False      # a scalar gate on the shared expert (Qwen)
    router_bias: bool = False      # correction or plain bias of the router
    latent: int | None = None      # experts work in this width (Nemotron 3 Super)
    dense_d_ff: int = 0            # dense branch beside the experts (Gemma 4)


Mixer = Attention | LatentAttention | CompressedAttention | LinearAttention | Mamba | Rwkv
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
