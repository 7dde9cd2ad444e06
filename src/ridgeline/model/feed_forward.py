"""Feed-forwards: dense and mixture of experts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ridgeline.model.tensors import Role, Shard, Weight, linear, norm


def _mlp(d_model: int, d_ff: int, gated: bool, role: Role, *, bias: bool = False,
         shard: Shard = "tp", count: int = 1) -> tuple[Weight, ...]:
    """Up, down and, where gated, gate matrices."""
    names = ("gate_proj", "up_proj") if gated else ("up_proj",)
    ins = [w for name in names
           for w in linear(name, d_model, d_ff, role, bias=bias, shard=shard, count=count)]
    return (*ins, *linear("down_proj", d_ff, d_model, role, bias=bias, shard=shard, count=count))


@dataclass(frozen=True)
class DenseFfn:
    """Dense feed-forward: gated (three matrices) or not (two)."""

    d_ff: int
    gated: bool = True
    bias: bool = False
    receptance: bool = False       # RWKV channel mixing has one more d_model x d_model matrix
    inner_norm: bool = False       # BitNet normalises before the down projection

    def describe(self) -> str:
        """The feed-forward in the field's words."""
        return f"{'gated' if self.gated else 'plain'} feed-forward of {self.d_ff:,}"

    def weights(self, d_model: int) -> tuple[Weight, ...]:
        """Matrices, biases, and what RWKV or BitNet add."""
        out = list(_mlp(d_model, self.d_ff, self.gated, "ffn", bias=self.bias))
        if self.receptance:
            out += linear("receptance", d_model, d_model, "ffn", shard="replicated")
            out.append(Weight("time_mix", (2, d_model), "ffn"))
        if self.inner_norm:
            out.append(norm("inner_norm", self.d_ff))
        return tuple(out)


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
    latent_norm: bool = False      # normalises the experts' sum before leaving the latent width
    router_outputs: int = 0        # router logits when not one for each expert (zero experts)
    hash_routed: bool = False      # experts come from a table by token id (first layers of V4)

    def describe(self) -> str:
        """The feed-forward in the field's words."""
        shared = f", shared ones of {self.shared_d_ff:,} in all" if self.shared_d_ff else ""
        dense = f", a dense branch of {self.dense_d_ff:,}" if self.dense_d_ff else ""
        return f"top {self.top_k} of {self.n_experts} experts of {self.d_expert:,}{shared}{dense}"

    def weights(self, d_model: int) -> tuple[Weight, ...]:
        """Router, experts, shared experts, dense branch and latent projections."""
        logits = self.router_outputs or self.n_experts
        out = [Weight("router", (d_model, logits), "router")]
        if self.router_bias:
            out.append(Weight("router.bias", (logits,), "router"))
        width = self.latent or d_model
        out += _mlp(width, self.d_expert, self.gated, "expert", bias=self.bias, shard="expert",
                    count=self.n_experts)
        if self.latent:
            out += linear("latent_down", d_model, self.latent, "shared_expert",
                          shard="replicated")
            out += linear("latent_up", self.latent, d_model, "shared_expert", shard="replicated")
        if self.latent and self.latent_norm:
            out.append(norm("latent_norm", self.latent))
        if self.shared_d_ff:
            out += (replace(w, name=f"shared.{w.name}") for w in
                    _mlp(d_model, self.shared_d_ff, self.gated, "shared_expert", bias=self.bias))
        if self.shared_gate:
            out.append(Weight("shared_gate", (d_model, 1), "router"))
        if self.dense_d_ff:
            out += (replace(w, name=f"dense.{w.name}")
                    for w in _mlp(d_model, self.dense_d_ff, self.gated, "ffn"))
        return tuple(out)
