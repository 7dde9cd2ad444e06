"""Mixers with a state of constant size: linear attention, Mamba, RWKV, short convolutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ridgeline.model.tensors import Cache, Weight, linear, norm


@dataclass(frozen=True)
class LinearAttention:
    """Linear attention with a matrix state a head: gated delta net, KDA, lightning and others.

    The rules "rwkv7" and "mlstm" bring their gates, mixing vectors and norms as `extra` tensors.
    """

    rule: Literal["gated_delta", "kda", "lightning", "rwkv7", "mlstm"]
    n_k_heads: int
    n_v_heads: int
    k_dim: int
    v_dim: int
    conv_kernel: int = 0
    full_rank_gate: bool = False
    decay_width: int = 0           # stored decay values when not one a head (Kimi K3 pads them)
    extra: tuple[Weight, ...] = ()
    vector_state: int = 0          # state values beside the matrices (mLSTM's normaliser)
    shifted: int = 0               # inputs of the token before (RWKV)

    @property
    def extra_products(self) -> int:
        """Products of one token with the matrices among the extra tensors."""
        return sum(w.elements for w in self.extra if len(w.shape) == 2)

    @property
    def key_width(self) -> int:
        """All key heads together."""
        return self.n_k_heads * self.k_dim

    @property
    def value_width(self) -> int:
        """All value heads together."""
        return self.n_v_heads * self.v_dim

    pair_width: ClassVar[float] = 0.0

    def describe(self) -> str:
        """The mixer in the field's words."""
        return (f"linear attention ({self.rule.replace('_', ' ')}), {self.n_v_heads} heads of "
                f"{self.k_dim} x {self.v_dim}")

    def weights(self, d_model: int) -> tuple[Weight, ...]:
        """Projections, short convolutions, decay and gate tensors of the rule."""
        k, v = self.key_width, self.value_width
        out = [*linear("q_proj", d_model, k, "mixer"), *linear("k_proj", d_model, k, "mixer"),
               *linear("v_proj", d_model, v, "mixer"), *linear("o_proj", v, d_model, "mixer")]
        if self.conv_kernel:
            out.append(Weight("conv1d", (2 * k + v, self.conv_kernel), "mixer", "tp"))
        if self.rule in ("rwkv7", "mlstm"):
            return (*out, *self.extra)
        if self.rule == "kda":
            return (*out, *self._kda(d_model))
        out += linear("gate_proj", d_model, v, "mixer")
        if self.rule == "lightning":
            return (*out, norm("norm", v))
        heads = self.n_v_heads
        return (*out, *linear("beta_proj", d_model, heads, "mixer"),
                *linear("decay_proj", d_model, heads, "mixer"),
                Weight("dt_bias", (heads,), "mixer", "tp"),
                Weight("A_log", (heads,), "mixer", "tp"), norm("norm", self.v_dim))

    def _kda(self, d_model: int) -> tuple[Weight, ...]:
        """Kimi delta attention: a decay for each key channel through a rank-k_dim bottleneck."""
        k, v = self.key_width, self.value_width
        gate = (linear("g_proj", d_model, v, "mixer") if self.full_rank_gate
                else (*linear("g_a_proj", d_model, self.v_dim, "mixer", shard="replicated"),
                      *linear("g_b_proj", self.v_dim, v, "mixer")))
        return (*linear("f_a_proj", d_model, self.k_dim, "mixer", shard="replicated"),
                *linear("f_b_proj", self.k_dim, k, "mixer"), *gate,
                *linear("b_proj", d_model, self.n_v_heads, "mixer"),
                Weight("A_log", (self.decay_width or self.n_k_heads,), "mixer", "tp"),
                Weight("dt_bias", (k,), "mixer", "tp"), norm("o_norm", self.v_dim))

    def cache(self) -> Cache:
        """A k_dim x v_dim matrix for each value head, and the last tokens of the convolution."""
        conv = (2 * self.key_width + self.value_width) * max(0, self.conv_kernel - 1)
        matrices = self.n_v_heads * self.k_dim * self.v_dim
        return Cache(elements_per_sequence=matrices + self.vector_state,
                     conv_elements_per_sequence=conv + self.shifted, n_kv_heads=self.n_v_heads)


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
    gated_norm: bool = True        # version 2 normalises before the output projection

    @property
    def conv_width(self) -> int:
        """Channels of the short convolution: x, and in version 2 also B and C."""
        return self.d_inner + (2 * self.n_groups * self.d_state if self.version == 2 else 0)

    pair_width: ClassVar[float] = 0.0

    def describe(self) -> str:
        """The mixer in the field's words."""
        return f"Mamba-{self.version}, width {self.d_inner:,}, state {self.d_state}"

    def weights(self, d_model: int) -> tuple[Weight, ...]:
        """Input, convolution, state and output tensors."""
        di, n = self.d_inner, self.d_state
        wide = 2 * di if self.version == 1 else 2 * di + 2 * self.n_groups * n + self.n_heads
        out = [*linear("in_proj", d_model, wide, "mixer", bias=self.proj_bias),
               Weight("conv1d", (self.conv_width, self.conv_kernel), "mixer", "tp"),
               *linear("out_proj", di, d_model, "mixer", bias=self.proj_bias)]
        if self.conv_bias:
            out.append(Weight("conv1d.bias", (self.conv_width,), "mixer", "tp"))
        if self.version == 2:
            out.append(Weight("A_log, D, dt_bias", (3, self.n_heads), "mixer", "tp"))
            return (*out, norm("norm", di)) if self.gated_norm else tuple(out)
        out += [*linear("x_proj", di, self.dt_rank + 2 * n, "mixer"),
                *linear("dt_proj", self.dt_rank, di, "mixer", bias=True),
                Weight("A_log", (di, n), "mixer", "tp"), Weight("D", (di,), "mixer", "tp")]
        if self.inner_norms:
            out += [norm("dt_norm", self.dt_rank), norm("B_norm", n), norm("C_norm", n)]
        return tuple(out)

    def cache(self) -> Cache:
        """d_inner * d_state of state and (kernel - 1) inputs of the convolution."""
        return Cache(elements_per_sequence=self.d_inner * self.d_state,
                     conv_elements_per_sequence=self.conv_width * (self.conv_kernel - 1),
                     n_kv_heads=self.n_heads or self.d_inner)


@dataclass(frozen=True)
class Rwkv:
    """RWKV-4 time mixing: three vectors of state a layer, plus the previous token."""

    d_attn: int

    pair_width: ClassVar[float] = 0.0

    def describe(self) -> str:
        """The mixer in the field's words."""
        return f"RWKV-4 time mixing, width {self.d_attn:,}"

    def weights(self, d_model: int) -> tuple[Weight, ...]:
        """Key, value, receptance and output matrices; decay, bonus and three mixing vectors."""
        return (*(w for name in ("key", "value", "receptance")
                  for w in linear(name, d_model, self.d_attn, "mixer")),
                *linear("output", self.d_attn, d_model, "mixer"),
                Weight("time_decay, time_first", (2, self.d_attn), "mixer", "tp"),
                Weight("time_mix", (3, d_model), "mixer"))

    def cache(self) -> Cache:
        """Numerator, denominator and running maximum; the token before for both mixings."""
        return Cache(elements_per_sequence=3 * self.d_attn,
                     conv_elements_per_sequence=2 * self.d_attn, n_kv_heads=self.d_attn)


@dataclass(frozen=True)
class ShortConv:
    """Gated short convolution (LFM2): three projections in, a depthwise convolution, one out."""

    width: int
    kernel: int
    bias: bool = False

    pair_width: ClassVar[float] = 0.0

    def describe(self) -> str:
        """The mixer in the field's words."""
        return f"gated short convolution over {self.kernel} tokens, width {self.width:,}"

    def weights(self, d_model: int) -> tuple[Weight, ...]:
        """Input (three parts), convolution and output tensors."""
        out = [*linear("in_proj", d_model, 3 * self.width, "mixer", bias=self.bias),
               Weight("conv", (self.width, self.kernel), "mixer", "tp"),
               *linear("out_proj", self.width, d_model, "mixer", bias=self.bias)]
        if self.bias:
            out.append(Weight("conv.bias", (self.width,), "mixer", "tp"))
        return tuple(out)

    def cache(self) -> Cache:
        """The last (kernel - 1) inputs of the convolution."""
        return Cache(conv_elements_per_sequence=self.width * (self.kernel - 1),
                     n_kv_heads=self.width)


@dataclass(frozen=True)
class GatedRecurrence:
    """Real-gated linear recurrent unit (RecurrentGemma) with its convolution and gate branch."""

    width: int
    n_heads: int
    conv_kernel: int

    pair_width: ClassVar[float] = 0.0

    def describe(self) -> str:
        """The mixer in the field's words."""
        return f"gated linear recurrence, width {self.width:,}"

    def weights(self, d_model: int) -> tuple[Weight, ...]:
        """Two input branches, convolution, block-diagonal gates, recurrence and output."""
        block = self.width // self.n_heads
        return (*linear("linear_x", d_model, self.width, "mixer", bias=True),
                *linear("linear_y", d_model, self.width, "mixer", bias=True),
                *linear("linear_out", self.width, d_model, "mixer", bias=True),
                Weight("conv1d", (self.width, self.conv_kernel), "mixer", "tp"),
                Weight("conv1d.bias", (self.width,), "mixer", "tp"),
                Weight("gates", (block, block), "mixer", "tp", 2 * self.n_heads),
                Weight("gates.bias", (self.width,), "mixer", "tp", 2),
                Weight("recurrent_param", (self.width,), "mixer", "tp"))

    def cache(self) -> Cache:
        """One state value a channel and (kernel - 1) inputs of the convolution."""
        return Cache(elements_per_sequence=self.width,
                     conv_elements_per_sequence=self.width * (self.conv_kernel - 1),
                     n_kv_heads=self.width)
