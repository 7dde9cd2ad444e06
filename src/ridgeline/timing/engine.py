"""Timing layer 3: what an engine adds to the kernels, and how it fills a step.

Constants are fitted by `ridgeline calibrate` on measured deployments and kept in
data/engines.json. A prediction is the replayed scheduler with these costs, then a bounded
correction learned by kind of deployment (see `timing.adjust`).
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput
from ridgeline.model.architecture import Architecture

if TYPE_CHECKING:
    from ridgeline.machine import Chip

__all__ = [
    "BEHIND",
    "CAPTURED",
    "CAPTURES_PROMPTS",
    "FIXED",
    "PROMPTS_FIRST",
    "RESERVED",
    "EngineCosts",
    "engine_content",
    "engine_costs",
]

# Costs beside the kernels, in the order of the columns that the fit works on.
FIXED = ("step", "layer", "mixture", "sequence", "token")

# Engines whose scheduler runs prompts in steps of their own while decoding waits; the others mix
# prompt chunks and decoding in one step.
PROMPTS_FIRST = ("sglang",)
# What a prompt's launches take in captured graphs, of what they take without: a prompt of one token
# of DeepSeek-V3 in SGLang took 23.1 instead of 82.6 ms (sgl-project/sglang, pull request 12160).
CAPTURED = 0.28
# Engines that by default capture steps with prompts, layer by layer, up to their largest graph.
CAPTURES_PROMPTS = ("vllm",)
# Decode steps between a request's arrival and its first token beside those of its prompt: half of
# the one that runs when it comes, and one that was decided ahead.
BEHIND = 1.5
# Share of its output a request needs free before it is let in. vLLM and SGLang let requests in
# early and evict when the cache runs out; TensorRT-LLM's default never evicts.
RESERVED = {"vllm": 0.5, "sglang": 0.5, "trtllm": 1.0}


@dataclass(frozen=True)
class EngineCosts:
    """Time an engine spends beyond its kernels.

    Attributes:
        step: once a step: scheduler, sampling, launch of the graph [s].
        layer: once a layer and step: gaps between kernels [s].
        mixture: the same once a layer of routed experts: choosing them, sorting tokens [s].
        sequence: once a running sequence and step [s].
        token: once a prompt token [s].
        request: once a request before its first token: tokenisation, the way to the client [s].
        prompt_layer, prompt_mixture: the same once a layer, and a layer of routed experts more:
            prompts run outside captured graphs, kernel by kernel as the host launches them [s].
        kernels: factor on kernel times by kind of op ("matmul", "attention", ...), for what the
            kernel tables do not see (other kernels, cold caches).
    """

    step: float = 0.0
    layer: float = 0.0
    mixture: float = 0.0
    sequence: float = 0.0
    token: float = 0.0
    request: float = 0.0
    prompt_layer: float = 0.0
    prompt_mixture: float = 0.0
    kernels: tuple[tuple[str, float], ...] = ()

    def factor(self, kind: str) -> float:
        """Factor on the kernels of a kind; the roofline stays the floor whatever it is."""
        return dict(self.kernels).get(kind, 1.0)

    def fixed(self, architecture: Architecture) -> float:
        """What every step pays [s]."""
        return (self.step + self.layer * architecture.n_layers
                + self.mixture * sum(count for _, count in architecture.mixtures))

    def outside(self, architecture: Architecture, captured: bool = False) -> float:
        """What a request pays before its first token, beside the kernels of steps [s].

        Args:
            architecture: of the model.
            captured: whether its prompt runs in captured graphs.
        """
        launched = (self.prompt_layer * architecture.n_layers
                    + self.prompt_mixture * sum(count for _, count in architecture.mixtures))
        return self.request + launched * (CAPTURED if captured else 1.0)


@functools.cache
def engine_content() -> dict[str, Any]:
    """The fitted constants of engines: costs, corrections, interval widths.

    Raises:
        BadInput: no constants are there.
    """
    from ridgeline.timing.constants import constants_text

    text = constants_text("engines.json")
    if text is None:
        raise BadInput("the constants of engines are missing; `ridgeline calibrate` makes them")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def engine_costs(engine: str, chip: Chip | None = None) -> EngineCosts:
    """The costs of an engine.

    Its factors on kernels were found where kernel tables and whole servers of one family of chips
    stood side by side. A chip of another family that has kernel tables of its own keeps their
    times; without such tables, pooled kernels need the factors all the same.

    Args:
        engine: name of the engine.
        chip: what it runs on; None: one of those it was compared on.

    Raises:
        BadInput: the times of the engine were never measured.
    """
    engines = engine_content()["engines"]
    if engine not in engines:
        raise BadInput(f"the times of engine {engine!r} were never measured; ask for its nearest "
                       f"relative of {', '.join(engines)} with your settings (`fit` needs no "
                       "times), or calibrate with measurements of yours")
    known = {f.name for f in fields(EngineCosts)}
    chosen = {k: v for k, v in engines[engine].items() if k in known}
    chosen["kernels"] = tuple(sorted(chosen.get("kernels", {}).items()))
    if chip is not None and _keeps_its_kernels(engine, chip):
        chosen["kernels"] = ()
    return EngineCosts(**chosen)


def _keeps_its_kernels(engine: str, chip: Chip) -> bool:
    """Whether a chip has this engine's kernels measured, in a family no server was measured of."""
    from ridgeline.timing.kernels.store import calibration_name, kernel_family, load

    own = ("chip", calibration_name(chip.name), engine)
    measured = load("gemm").keys()
    if own not in {key[:3] for key in measured}:
        return False
    chips = tuple(sorted({pair.split("|")[1] for pair in engine_content()["pairs"]}))
    return kernel_family(chip) not in _families(chips)


@functools.lru_cache(maxsize=8)
def _families(chips: tuple[str, ...]) -> frozenset[str]:
    """The kernel families of chips of the catalog."""
    from ridgeline.catalog import load_chip
    from ridgeline.timing.kernels.store import kernel_family

    return frozenset(kernel_family(load_chip(name)) for name in chips)
