"""The busiest device's share of a step, and how it builds ops."""

from __future__ import annotations

from dataclasses import dataclass

from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import Format, Formats
from ridgeline.numeric import Numeric, where
from ridgeline.work.op import Follows, Op


@dataclass(frozen=True)
class Rank:
    """What one device works on in a step.

    Attributes:
        prompts, prompt_tokens, prompt_past: prompts on this device, new tokens of each, tokens of
            each already cached.
        decoding, context: sequences making one token, and their mean length.
        tokens: rows that this device's linear layers see.
        all_tokens: tokens of the whole expert group, not only of this device.
        logits: rows that need logits.
    """

    deployment: Deployment
    formats: Formats
    prompts: Numeric
    prompt_tokens: Numeric
    prompt_past: Numeric
    decoding: Numeric
    context: Numeric
    tokens: Numeric
    all_tokens: Numeric
    logits: Numeric

    @property
    def activation(self) -> float:
        """Bytes of one activation value."""
        return self.formats.activation_bytes

    def matmul(self, name: str, part: str, m: Numeric, k: Numeric, n: Numeric, repeats: Numeric,
               weight: Format, follows: Follows = "tokens") -> Op:
        """A dense linear layer: [m, k] activations times a [k, n] weight, read once if at all."""
        return Op(name, "matmul", part, repeats=repeats, flop=2 * m * k * n,
                  weight_bytes=where(m > 0, k * n * weight.bytes, 0.0),
                  activation_bytes=m * (k + n) * self.activation, compute=weight.compute,
                  follows=follows, shape={"m": m, "k": k, "n": n}, labels={"format": weight.name})

    def batched_matmul(self, name: str, part: str, heads: Numeric, m: Numeric, k: Numeric,
                       n: Numeric, repeats: Numeric, weight: Format,
                       follows: Follows = "tokens") -> Op:
        """`heads` products of [m, k] with a [k, n] weight of their own."""
        return Op(name, "matmul", part, repeats=repeats, flop=2 * heads * m * k * n,
                  weight_bytes=where(m > 0, heads * k * n * weight.bytes, 0.0),
                  activation_bytes=heads * m * (k + n) * self.activation, compute=weight.compute,
                  follows=follows, shape={"m": m, "k": k, "n": n, "heads": heads},
                  labels={"format": weight.name})

    def collective(self, name: str, op: str, group: int, message_bytes: Numeric, repeats: Numeric,
                   spans: int | None = None, follows: Follows = "tokens") -> Op:
        """A collective among `group` devices that lie within `spans` neighbouring ones."""
        return Op(name, "collective", "network", repeats=repeats, message_bytes=message_bytes,
                  follows=follows,
                  shape={"group": float(group), "spans": float(spans or group)},
                  labels={"collective": op})
