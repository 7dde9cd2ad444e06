"""Time of an encoder's pass on one CPU thread, from the same ops as on any machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ridgeline.deployment import Deployment
from ridgeline.model.architecture import Architecture
from ridgeline.work.op import Op
from ridgeline.work.step import prefill_step, step_ops

__all__ = ["encoder_counts", "encoder_pass", "encoder_seconds"]


def encoder_counts(architecture: Architecture, texts: float, tokens: float,
                   l3_bytes: float) -> dict[str, float]:
    """How often each term of a pass happens: FLOP, elements by kind, layers.

    Args:
        architecture: the encoder.
        texts: texts in the pass.
        tokens: tokens of each.
        l3_bytes: last-level cache; larger intermediates go through memory.
    """
    out: dict[str, float] = {"layers": 0.0}
    for op in encoder_pass(architecture, texts, tokens):
        for name, count in _op_counts(op, l3_bytes).items():
            out[name] = out.get(name, 0.0) + float(op.repeats) * count
    return {name: count for name, count in out.items() if count}


def encoder_pass(architecture: Architecture, texts: float, tokens: float) -> tuple[Op, ...]:
    """Ops of one pass over a batch of texts, in fp32 on one device."""
    from ridgeline.deployment.operands import settle_formats
    from ridgeline.machine import Chip

    plain = Chip("CPU", "", "", {"fp32": 1e12}, 1e12, 1e11, kind="cpu")
    deployment = Deployment(weights="fp32")
    formats = settle_formats(architecture, deployment, plain)
    return step_ops(architecture, deployment, formats,
                    prefill_step(tokens=float(tokens), sequences=float(texts)))


def _op_counts(op: Op, l3_bytes: float) -> dict[str, float]:
    shape: dict[str, Any] = dict(op.shape)
    if op.kind == "matmul":
        # Weights are packed for every product, whatever the rows.
        return {"flop": float(op.flop), "weights": shape["n"] * shape["k"],
                "linear": shape["m"] * shape["n"], "products": 1.0}
    if op.name == "prefill_attention":
        scores = shape["batch"] * shape["q_heads"] * shape["new_tokens"] ** 2
        spilled = max(0.0, 1 - l3_bytes / max(1.0, 4 * scores))
        return {"attention_flop": float(op.flop), "scores": scores,
                "spilled_scores": scores * spilled, "layers": 1.0,
                "heads": shape["batch"] * shape["q_heads"]}
    if op.kind == "elementwise" and op.name in ("norm", "activation"):
        elements = shape["rows"] * shape["width"]
        spilled = max(0.0, 1 - l3_bytes / max(1.0, 4 * elements))
        return {op.name: elements * (2.0 if op.name == "norm" else 1.0),
                "spilled": elements * spilled}
    return {}


def encoder_seconds(counts: Mapping[str, float], seconds: Mapping[str, float]) -> float:
    """Seconds of a pass: each term's count times what it takes."""
    return sum(count * seconds.get(name, 0.0) for name, count in counts.items())
