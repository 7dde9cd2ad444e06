"""llama.cpp on a measured machine: runs of random models beside what its chip entry predicts.

A record holds the points of `ridgeline measure machine` and what llama.cpp then did, as
`python -m benchmarks._llamacpp_engine` measured both. No constant comes from a model's run: the
predictions take the road of `ridgeline estimate --engine llamacpp` and `ridgeline simulate`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import Formats, settle_formats
from ridgeline.machine import Cluster
from ridgeline.measure.machine.chip_file import measured_chip
from ridgeline.measure.machine.points import Machine

if TYPE_CHECKING:
    from ridgeline.machine.chip import Chip
    from ridgeline.model.architecture import Architecture

__all__ = ["LlamaRow", "architecture_of", "server_rows", "stream_rows"]

_ENGINE = "llamacpp"
_LEAST = 512        # tokens of a slot and of a pass


@dataclass(frozen=True)
class LlamaRow:
    """One run, measured and predicted, in its own unit: seconds, or tokens a second.

    Attributes:
        kind: "prompt", "decode" or "server".
        model, format: what ran.
        size: tokens of the prompt or context, requests in flight at the server.
        measured, predicted: of the run.
    """

    kind: str
    model: str
    format: str
    size: float
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """Predicted over measured, less one."""
        return self.predicted / self.measured - 1.0


def architecture_of(shape: list[int]) -> Architecture:
    """A Llama-shaped model: width, layers, feed-forward, heads, KV heads, vocabulary."""
    from ridgeline.model.huggingface import architecture_from_config

    names = ("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads",
             "num_key_value_heads", "vocab_size")
    return architecture_from_config({"model_type": "llama", "rms_norm_eps": 1e-5,
                                     "tie_word_embeddings": False,
                                     **dict(zip(names, shape, strict=True))}, name="random")


def stream_rows(record: Mapping[str, Any]) -> list[LlamaRow]:
    """Prompts and decode steps of one user."""
    from ridgeline.timing.single_stream import single_stream_rates

    chip = measured_chip(Machine.from_dict(record["machine"]))
    found = []
    for row in record["streams"]:
        case = _Case(row, chip)
        prompt, tokens = row["phase"] == "prompt", float(row["tokens"])
        rates = single_stream_rates(
            case.architecture, case.chip, quant=row["format"], engine=_ENGINE,
            prompt_tokens=tokens if prompt else tokens - 0.5, gen_tokens=1.0)
        seconds = tokens / rates.prompt.value if prompt else 1 / rates.generation.value
        found.append(LlamaRow(row["phase"], case.name, row["format"], tokens, row["seconds"],
                              seconds))
    return found


def server_rows(record: Mapping[str, Any]) -> list[LlamaRow]:
    """Closed loops at the server: output tokens a second, measured beside the simulator's."""
    chip = measured_chip(Machine.from_dict(record["machine"]))
    found = []
    for row in record["server"]:
        case, tokens = _Case(row, chip), row["requests"] * row["output"]
        busy = case.busy(row["in_flight"], row["requests"], row["prompt"], row["output"])
        found.append(LlamaRow("server", case.name, row["format"], row["in_flight"],
                              tokens / row["seconds"], tokens / busy))
    return found


class _Case:
    """A model of a record on the chip as it meets that."""

    def __init__(self, row: Mapping[str, Any], chip: Chip) -> None:
        from ridgeline.questions.resolve import weights_read

        self.architecture = architecture_of(row["shape"])
        self.name = f"{row['shape'][1]} x {row['shape'][0]}"
        self.deployment = Deployment(engine=_ENGINE, weights=row["format"])
        self.formats: Formats = settle_formats(self.architecture, self.deployment, chip)
        self.chip = chip.holding(weights_read(self.architecture, self.deployment, self.formats))

    def busy(self, flight: int, requests: int, prompt: int, output: int) -> float:
        """Seconds that the simulated server computes."""
        from ridgeline.serving.deployed import Deployed
        from ridgeline.serving.requests import closed_loop_requests
        from ridgeline.serving.scheduler import Scheduler, named_scheduler
        from ridgeline.serving.simulator import simulate_replica
        from ridgeline.serving.step_factors import step_factors

        replica = Deployed(self.architecture, self.deployment, Cluster.of(self.chip), self.formats,
                           _LEAST)
        factors = step_factors(replica, flight, prompt, output)
        rules = dataclasses.replace(named_scheduler("reserve", Scheduler(_LEAST, flight)),
                                    prompt_factor=factors.prompts)
        asked = closed_loop_requests(np.full(requests, prompt), np.full(requests, output))
        run = simulate_replica(replica.table, asked, rules, concurrency=flight)
        return float(run.busy) + requests * replica.outside(prompt)
