"""What a step asks of one device, op by op."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ridgeline.numeric import Numeric

Kind = Literal["matmul", "grouped_matmul", "attention", "scan", "elementwise", "gather",
               "collective"]
# What the op's size follows: all tokens of the step, its prompts, its decoding sequences, or the
# rows that need logits. A step's time is the sum of these four, each tabulated on its own.
Follows = Literal["tokens", "prefill", "decode", "logits"]


@dataclass(frozen=True)
class Op:
    """One kernel's worth of work on one device, done `repeats` times in the step.

    Numeric fields may be floats, arrays or symbols that broadcast together: one Op can describe a
    million cases. FLOP and bytes are of ONE repeat.

    Attributes:
        name: "qkv_proj", "decode_attention", "experts", "all_reduce", ...
        kind: what kernel family times it.
        part: where it belongs in the model: attention, ffn, experts, mixer, head, embedding,
            network.
        repeats: how many layers do it.
        flop: floating-point operations.
        weight_bytes: parameters read.
        activation_bytes: activations read and written.
        state_bytes: KV cache and recurrent state read and written.
        message_bytes: size of the collective's buffer on each device (nccl-tests convention:
            the larger of send and receive buffer).
        follows: which tokens of the step set its size.
        compute: format whose peak rate applies ("bf16", "fp8", ...).
        shape: what the kernel models need (m, n, k; batch, q_len, kv_len, heads, ...).
        labels: textual keys for the kernel models (weight format, collective, backend hints).
    """

    name: str
    kind: Kind
    part: str
    repeats: Numeric = 1.0
    flop: Numeric = 0.0
    weight_bytes: Numeric = 0.0
    activation_bytes: Numeric = 0.0
    state_bytes: Numeric = 0.0
    message_bytes: Numeric = 0.0
    follows: Follows = "tokens"
    compute: str = "bf16"
    shape: Mapping[str, Numeric] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def memory_bytes(self) -> Numeric:
        """All bytes moved to or from device memory in one repeat."""
        return self.weight_bytes + self.activation_bytes + self.state_bytes
