"""PyTorch on this machine: products and attention by its measured kernels, whole steps of models by
those of two others.

A record holds the points of `ridgeline measure machine`, prompts, decode steps and training steps
of several Llama-shaped models, single matrix products and causal attention, as
`python -m benchmarks._torch_engine` measures them. The first models of a record are the references
for the others: what Python adds to a step depends on how the model is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ridgeline.deployment.operands import Format
from ridgeline.measure.engine.local_steps import Sample, fit_steps
from ridgeline.measure.machine.kernel_times import kernels_of
from ridgeline.measure.machine.points import Machine
from ridgeline.timing.measured import measured_seconds, weight_seconds
from ridgeline.work.op import Op
from ridgeline.work.step import prefill_step

if TYPE_CHECKING:
    from ridgeline.machine.kernels import KernelTimes
    from ridgeline.model.architecture import Architecture

__all__ = ["TorchRow", "torch_rows"]

_FP32 = Format("fp32", 4.0, "fp32")


@dataclass(frozen=True)
class TorchRow:
    """One step, measured and predicted [s]."""

    kind: str
    what: str
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """Predicted over measured, less one."""
        return self.predicted / self.measured - 1.0


def torch_rows(record: Mapping[str, Any]) -> list[TorchRow]:
    """Products, attention, and the steps of every model of a record that is no reference."""
    references = int(record["references"])
    kernels = kernels_of(Machine.from_dict(record["machine"]))["transformers"]
    rows = [*_products(record["matmuls"], kernels), *_attentions(record["attentions"], kernels)]
    seen = [_samples(model) for model in record["models"]]
    for kinds in (("prompt", "decode"), ("training",)):
        fit = fit_steps([s for model in seen[:references] for kind, s, _ in model
                         if kind in kinds], _FP32)
        rows += [TorchRow(kind, what, sample.seconds, fit.seconds(sample))
                 for model in seen[references:] for kind, sample, what in model if kind in kinds]
    return rows


def _samples(model: Mapping[str, Any]) -> list[tuple[str, Sample, str]]:
    """(kind, sample, words) of a model's steps; training takes whole sequences of a batch."""
    architecture = _architecture(model["shape"])
    name = f"{model['shape'][1]} x {model['shape'][0]}"
    found = [("prompt", Sample.of_prompt(architecture, n, s), f"{name}, {n} tokens")
             for n, s in model["prompts"]]
    found += [("decode", Sample.of_decode(architecture, b, c, s), f"{name}, batch {b} at {c}")
              for b, c, s in model["decodes"]]
    for batch, tokens, seconds in model["trains"]:
        step = prefill_step(tokens=float(tokens), sequences=float(batch))
        # The loss needs logits of every token, not of the last alone.
        step = type(step)(step.prefill_tokens, step.prefill_sequences, 0.0, 0.0, 1.0,
                          float(batch * tokens))
        found.append(("training", Sample(architecture, (step,), seconds),
                      f"{name}, {batch} x {tokens} tokens"))
    return found


def _architecture(shape: list[int]) -> Architecture:
    from ridgeline.model.huggingface import architecture_from_config

    names = ("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads",
             "num_key_value_heads", "vocab_size")
    return architecture_from_config({"model_type": "llama", "rms_norm_eps": 1e-5,
                                     "tie_word_embeddings": False,
                                     **dict(zip(names, shape, strict=True))}, name="random")


def _products(rows: list[list[float]], kernels: KernelTimes) -> list[TorchRow]:
    """Matrix products [m, k, n, seconds] by the machine's measured curves, one matrix again and
    again: it is its own working set.
    """
    def seconds(m: float, k: float, n: float) -> float:
        at = kernels.holding(_FP32.bytes * k * n)
        return k * n * float(weight_seconds(at, "fp32", m, k)) + kernels.launch

    return [TorchRow("matmul", f"{m:.0f} x {k:.0f} x {n:.0f}", s, seconds(m, k, n))
            for m, k, n, s in rows]


def _attentions(rows: list[list[float]], kernels: KernelTimes) -> list[TorchRow]:
    """Causal attention [batch, heads, tokens, width, seconds] by its measured curves."""
    def op(batch: float, heads: float, tokens: float, width: float) -> Op:
        return Op("prefill_attention", "attention", "attention",
                  flop=batch * heads * 2 * width * tokens * (tokens + 1),
                  shape={"new_tokens": tokens, "head_dim": width}, labels={"phase": "prefill"})

    return [TorchRow("attention", " x ".join(f"{v:.0f}" for v in r[:4]), r[4],
                     float(measured_seconds(kernels, op(*r[:4])))) for r in rows]
