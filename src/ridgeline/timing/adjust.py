"""A bounded, learned correction of whole-deployment latency, by kind of deployment.

    log t = log t_model + bound * tanh(sum_levels w_level[key] . x / bound),
    x = (1, log2(concurrency / 8) / 3, log2(prompt / 1024) / 3, log2(output / 1024) / 3,
         log2(chips / 4))

A level names what kind a deployment is (its engine, its engine and version, its engine and class
of model, ...). Weights are shrunk towards 0, the more the narrower the level, so a deployment
whose kind was never measured gets what its wider kinds say.

Sources: own derivation; ridge regression as the Bayes estimate of nested random effects (Gelman
and Hill, Data Analysis Using Regression and Multilevel Models, 2007, ch. 12).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ridgeline.model.architecture import Architecture
from ridgeline.model.parts import LatentAttention, LinearAttention, Mamba, Rwkv

__all__ = ["BOUND", "COARSE", "LEVELS", "ServingCase", "architecture_class", "correction"]

# Largest correction to log time either way.
BOUND = 1.0
# Level -> (attributes of the case that make its key, penalty of its weights).
LEVELS: dict[str, tuple[tuple[str, ...], float]] = {
    "all": ((), 0.25),
    "mode": (("engine", "mode"), 1.0),
    "speculation": (("engine", "speculation"), 0.3),
    "protocol": (("protocol",), 1.0),
    "version": (("engine", "version", "model_class"), 1.0),
    "engine_class_format": (("engine", "model_class", "weights"), 1.5),
    "deployment": (("engine", "model_class", "chip", "weights"), 1.5),
    "model": (("engine", "model", "chip", "weights"), 3.0),
    "version_model": (("engine", "version", "model", "weights"), 1.5),
}
# What carries over to a model on a chip that were never measured together: wide kinds only, whose
# narrower offsets would be of the models that happened to be measured. Level -> penalty.
COARSE = {"speculation": 0.3, "protocol": 0.5}

# Sizes that measured deployments had; beyond, the correction stays at its value on the edge.
MEASURED = {"concurrency": (1.0, 8192.0), "prompt": (512.0, 16384.0), "output": (128.0, 8192.0),
            "chips": (1.0, 64.0)}


def architecture_class(architecture: Architecture) -> str:
    """"mla", "hybrid", "moe" or "dense": what decides which kernels dominate."""
    mixers = [block.mixer for block, _ in architecture.blocks]
    if any(isinstance(m, (LinearAttention, Mamba, Rwkv)) for m in mixers):
        return "hybrid"
    if any(isinstance(m, LatentAttention) for m in mixers):
        return "mla"
    return "moe" if architecture.mixtures else "dense"


@dataclass(frozen=True)
class ServingCase:
    """What kind of deployment is asked about, and how large.

    Attributes:
        engine, version: of the engine; version "" when unknown.
        model, model_class: name and class of the architecture.
        chip: catalog name.
        weights: dense weight format.
        mode: "agg" or "disagg".
        layout: "tp", "ep", "dp" or "dp+ep": how attention and experts are spread.
        protocol: of the measurement, "" for a plain question.
        speculation: "mtp" where a model's own heads draft tokens, "" where none are drafted.
        concurrency: requests in flight on a replica.
        prompt, output: tokens of a request.
        chips: of a replica.
    """

    engine: str
    version: str
    model: str
    model_class: str
    chip: str
    weights: str
    mode: str
    layout: str
    protocol: str
    concurrency: float
    prompt: float
    output: float
    chips: float
    speculation: str = ""

    @property
    def pair(self) -> str:
        """Model and chip, as one key."""
        return f"{self.model}|{self.chip}"

    def key(self, level: str) -> str:
        """The case's key at a level."""
        return "|".join(str(getattr(self, name)) for name in LEVELS[level][0])

    def numbers(self) -> tuple[float, ...]:
        """The x of the formula, each size held inside the range that was measured."""

        def size(name: str) -> float:
            low, high = MEASURED[name]
            return math.log2(min(max(getattr(self, name), low), high))

        return (1.0, (size("concurrency") - 3) / 3, (size("prompt") - 10) / 3,
                (size("output") - 10) / 3, size("chips") - 2)


def correction(weights: Mapping[str, Mapping[str, Any]], case: ServingCase) -> float:
    """Log correction of a case, between -BOUND and BOUND.

    Args:
        weights: level -> key -> weights of the numbers.
        case: what is asked about; keys never fitted count as 0.
    """
    x, total = case.numbers(), 0.0
    for level, table in weights.items():
        found = table.get(case.key(level))
        if found:
            total += sum(w * v for w, v in zip(found, x, strict=True))
    return BOUND * math.tanh(total / BOUND)
