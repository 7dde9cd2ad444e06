"""PyTorch on this machine: steps of models predicted from two others measured here.

A record holds prompts, decode steps and training steps of several Llama-shaped models, single
matrix products and causal attention, as `python -m benchmarks._torch_engine` measures them. The
first models (and products, and attentions) of a record are the references.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ridgeline.deployment.operands import Format
from ridgeline.measure.engine.local_steps import Sample, fit_steps
from ridgeline.work.step import prefill_step

if TYPE_CHECKING:
    from ridgeline.model.architecture import Architecture

__all__ = ["TorchRow", "torch_rows"]

_FP32 = Format("fp32", 4.0, "fp32")
_REFERENCE_PRODUCTS = 3       # one matrix at three numbers of rows
_REFERENCE_ATTENTIONS = 2


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
    """Everything of a record that is no reference, predicted from the references."""
    references = int(record["references"])
    rows = [*_products(record["matmuls"]), *_attentions(record["attentions"])]
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


def _products(rows: list[list[float]]) -> list[TorchRow]:
    """Time of one parameter at so many rows, from one matrix, for all others."""
    known = {m: s / (k * n) for m, k, n, s in rows[:_REFERENCE_PRODUCTS]}
    return [TorchRow("matmul", f"{m:.0f} x {k:.0f} x {n:.0f}", s, known[m] * k * n)
            for m, k, n, s in rows[_REFERENCE_PRODUCTS:] if m in known]


def _attentions(rows: list[list[float]]) -> list[TorchRow]:
    """A fixed time and one a FLOP, from two shapes."""
    def work(batch: float, heads: float, tokens: float, width: float) -> float:
        return batch * heads * 2 * width * tokens * (tokens + 1)

    known = rows[:_REFERENCE_ATTENTIONS]
    flop = np.array([work(*r[:4]) for r in known])
    slope, fixed = np.polyfit(flop, np.array([r[4] for r in known]), 1)
    return [TorchRow("attention", " x ".join(f"{v:.0f}" for v in r[:4]), r[4],
                     float(max(fixed, 0.0) + slope * work(*r[:4])))
            for r in rows[_REFERENCE_ATTENTIONS:]]
