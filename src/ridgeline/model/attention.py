"""Attention mixers: grouped heads, latent, sparse-indexed and compressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ridgeline.model.tensors import Cache, Weight, linear, norm

# Indexer keys are cached in FP8 with one FP32 scale a token (DeepSeek-V3.2 report, section 2.1).
INDEX_SCALE_BYTES = 4


@dataclass(frozen=True)
class Indexer:
    """Sparse-attention indexer (DeepSeek V3.2, GLM-5): scores all keys, keeps the best `top_k`."""

    n_heads: int
    head_dim: int
    top_k: int
    q_lora_rank: int
    shared: bool = False           # reuses the choice of the layer before: no tensors, no keys

    def weights(self, d_model: int) -> tuple[Weight, ...]:
        """Query up-projection, one shared key with its norm, and a weight for each head."""
        if self.shared:
            return ()
        return (*linear("indexer.wq_b", self.q_lora_rank, self.n_heads * self.head_dim,
                        "attention", shard="replicated"),
                *linear("indexer.wk", d_model, self.head_dim, "attention", shard="replicated"),
                norm("indexer.k_norm", self.head_dim, bias=True),
                *linear("indexer.weights_proj", d_model, self.n_heads, "attention",
                        shard="replicated"))


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
    v_head_dim: int | None = None  # value width when it is not head_dim (MiMo)
    head_gate: bool = False        # one output gate a head (Step 3.5)
    out_norm: bool = False         # normalises before the output projection (BitNet)
    index_head_dim: int = 0        # one 16-bit indexer key a token (MiniMax M3)

    @property
    def value_dim(self) -> int:
        """Width of one value head."""
        return self.head_dim if self.v_head_dim is None else self.v_head_dim

    @property
    def pair_width(self) -> float:
        """Half the products of a query-key pair: heads * mean of key and value width."""
        return self.n_heads * (self.head_dim + self.value_dim) / 2

    def describe(self) -> str:
        """The mixer in the field's words."""
        kind = ("multi-head" if self.n_kv_heads == self.n_heads else
                "multi-query" if self.n_kv_heads == 1 else "grouped-query")
        text = f"{kind} attention, {self.n_heads} heads of {self.head_dim}"
        text += f", {self.n_kv_heads} KV heads" if kind == "grouped-query" else ""
        if self.window:
            text += f", {'chunks' if self.chunked else 'window'} of {self.window:,}"
        text += ", sinks" if self.sinks else ""
        return text + (", another layer's keys and values" if self.shares_kv else "")

    def weights(self, d_model: int) -> tuple[Weight, ...]:
        """Projections, their biases and norms, sinks and gates."""
        d_in, d_out = self.d_in or d_model, self.d_out or d_model
        q_dim, o_dim = self.n_heads * self.head_dim, self.n_heads * self.value_dim
        out = [*linear("q_proj", d_in, q_dim * (2 if self.output_gate else 1), "attention",
                       bias=self.q_bias)]
        if not self.shares_kv:
            out += linear("k_proj", d_in, self.n_kv_heads * self.head_dim, "attention",
                          bias=self.kv_bias, shard="kv")
            if not self.k_is_v:
                out += linear("v_proj", d_in, self.n_kv_heads * self.value_dim, "attention",
                              bias=self.kv_bias, shard="kv")
        out += linear("o_proj", o_dim, d_out, "attention", bias=self.out_bias)
        out += self._norms()
        if self.sinks:
            out.append(Weight("sinks", (self.n_heads,), "attention", "tp"))
        if self.head_gate:
            out += linear("head_gate", d_in, self.n_heads, "attention")
        if self.out_norm:
            out.append(norm("out_norm", o_dim))
        return tuple(out)

    def _norms(self) -> tuple[Weight, ...]:
        if self.qk_norm == "none":
            return ()
        whole = self.qk_norm == "full"
        q = norm("q_norm", self.head_dim * (self.n_heads if whole else 1), self.qk_norm_bias)
        if self.shares_kv:
            return (q,)
        return (q, norm("k_norm", self.head_dim * (self.n_kv_heads if whole else 1),
                        self.qk_norm_bias))

    def cache(self) -> Cache:
        """Keys and values of every KV head: n_kv_heads * (head_dim + value_dim) a token."""
        if self.shares_kv or not self.causal:
            return Cache(0, n_kv_heads=self.n_kv_heads)
        return Cache(self.n_kv_heads * (self.head_dim + self.value_dim), self.window,
                     n_kv_heads=self.n_kv_heads,
                     index_elements_per_token=2 * self.index_head_dim)


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

    @property
    def pair_width(self) -> float:
        """Half the products of a query-key pair, as prompts compute it (expanded heads)."""
        return self.n_heads * (self.qk_nope_head_dim + self.qk_rope_head_dim
                               + self.v_head_dim) / 2

    def describe(self) -> str:
        """The mixer in the field's words."""
        text = (f"latent attention, {self.n_heads} heads, rank {self.kv_lora_rank} + "
                f"{self.qk_rope_head_dim} rotary")
        return text + (f", sparse: top {self.indexer.top_k:,}" if self.indexer else "")

    def weights(self, d_model: int) -> tuple[Weight, ...]:
        """Down- and up-projections of queries and keys/values, with their norms."""
        qk = self.n_heads * (self.qk_nope_head_dim + self.qk_rope_head_dim)
        v = self.n_heads * self.v_head_dim
        out: list[Weight] = []
        if self.q_lora_rank is None:
            out += linear("q_proj", d_model, qk, "attention")
        else:
            out += linear("q_a_proj", d_model, self.q_lora_rank, "attention", bias=self.qkv_bias,
                          shard="replicated")
            out.append(norm("q_a_norm", self.q_lora_rank))
            out += linear("q_b_proj", self.q_lora_rank, qk, "attention")
        out += linear("kv_a_proj", d_model, self.kv_lora_rank + self.qk_rope_head_dim,
                      "attention", bias=self.qkv_bias, shard="replicated")
        out.append(norm("kv_a_norm", self.kv_lora_rank))
        out += linear("kv_b_proj", self.kv_lora_rank,
                      self.n_heads * (self.qk_nope_head_dim + self.v_head_dim), "attention")
        out += linear("o_proj", v, d_model, "attention", bias=self.qkv_bias)
        if self.output_gate:
            out += linear("g_proj", d_model, v, "attention")
        if self.indexer is not None:
            out += self.indexer.weights(d_model)
        return tuple(out)

    def cache(self) -> Cache:
        """One latent and one rotary key a token, shared by all heads, plus indexer keys."""
        index = None if self.indexer and self.indexer.shared else self.indexer
        return Cache(self.kv_lora_rank + self.qk_rope_head_dim, shard="replicated",
                     index_elements_per_token=index.head_dim if index else 0,
                     index_scale_bytes_per_token=INDEX_SCALE_BYTES if index else 0)


@dataclass(frozen=True)
class CompressedAttention:
    """DeepSeek V4 attention: one shared KV head, a short window plus a compressed long range.

    `compress_ratio` 0: window only; otherwise one entry for that many tokens, searched by an
    indexer when one is given. With an indexer the pooled spans overlap, so its pooling matrices
    are twice as wide.
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

    @property
    def overlap(self) -> int:
        """2 where pooled spans overlap (layers with an indexer), else 1."""
        return 2 if self.indexer else 1

    @property
    def pair_width(self) -> float:
        """Half the products of a query-key pair: all heads on the one key-value head."""
        return float(self.n_heads * self.head_dim)

    def describe(self) -> str:
        """The mixer in the field's words."""
        far = (f", one entry for {self.compress_ratio} tokens beyond" if self.compress_ratio
               else "")
        return (f"compressed attention, {self.n_heads} heads of {self.head_dim}, window "
                f"{self.window:,}{far}")

    def weights(self, d_model: int) -> tuple[Weight, ...]:
        """Low-rank queries, one key-value head, grouped low-rank output, sinks, compressors."""
        q = self.n_heads * self.head_dim
        out = [*linear("q_a_proj", d_model, self.q_lora_rank, "attention", shard="replicated"),
               norm("q_a_norm", self.q_lora_rank),
               *linear("q_b_proj", self.q_lora_rank, q, "attention"),
               *linear("kv_proj", d_model, self.head_dim, "attention", shard="replicated"),
               norm("kv_norm", self.head_dim),
               *linear("o_a_proj", q // self.o_groups, self.o_groups * self.o_lora_rank,
                       "attention"),
               *linear("o_b_proj", self.o_groups * self.o_lora_rank, d_model, "attention"),
               Weight("sinks", (self.n_heads,), "attention", "tp")]
        if self.compress_ratio:
            out += self._compressor("compressor", d_model, self.head_dim)
        if self.indexer:
            i = self.indexer
            out += self._compressor("indexer.compressor", d_model, i.head_dim)
            out += linear("indexer.wq_b", i.q_lora_rank, i.n_heads * i.head_dim, "attention",
                          shard="replicated")
            out += linear("indexer.weights_proj", d_model, i.n_heads, "attention",
                          shard="replicated")
        return tuple(out)

    def _compressor(self, name: str, d_model: int, width: int) -> list[Weight]:
        wide = self.overlap * width
        return [*linear(f"{name}.kv_proj", d_model, wide, "attention", shard="replicated"),
                *linear(f"{name}.gate_proj", d_model, wide, "attention", shard="replicated"),
                Weight(f"{name}.position_bias", (self.compress_ratio, wide), "attention"),
                norm(f"{name}.norm", width)]

    def cache(self) -> Cache:
        """The window, one entry for each `compress_ratio` tokens, and the open pooling spans.

        An open span holds, in the state format, overlap * ratio vectors of overlap * width for the
        values and as many for their scores.
        """
        index = self.indexer.head_dim if self.indexer else 0
        open_span = 2 * self.overlap**2 * self.compress_ratio * (self.head_dim + index)
        return Cache(self.head_dim, self.window, elements_per_sequence=open_span,
                     shard="replicated", index_elements_per_token=index,
                     index_scale_bytes_per_token=INDEX_SCALE_BYTES if index else 0,
                     compress_ratio=max(1, self.compress_ratio))
