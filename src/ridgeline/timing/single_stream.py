"""One user's prompt and generation rates on any device, from a datacentre chip to a small board.

Two physical forms on the counted work of the model, with constants shared by engine, backend, chip
architecture, format and device, fitted to published runs (`measure.fit.single_stream`):

    generation: t = step + launches * launch + weight bytes / bandwidth * read
                    + weight bytes / (cores * clock) / issue + cache bytes / bandwidth * cache
                    + parameters * unpack / fp32 rate + (devices - 1) * hop
    prompt:     t = passes * (step + launches * launch + calls * call
                    + weight bytes / bandwidth * read + FLOP / peak * multiply + attention
                    + activation bytes / bandwidth * move)

Every factor on a roofline term is at least 1: never faster than the bytes or the FLOP allow.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ridgeline.errors import BadInput
from ridgeline.formats import get_format
from ridgeline.machine import Chip
from ridgeline.model.architecture import Architecture
from ridgeline.numeric import maximum
from ridgeline.quantity import Quantity
from ridgeline.timing.constants import constants_text
from ridgeline.timing.levels import Constant, Levelled, Spreads
from ridgeline.timing.stream_work import (
    StreamCase,
    generation_columns,
    prompt_columns,
    stream_keys,
)

__all__ = ["GENERATION", "PROMPT", "StreamRates", "Timed", "default_backend", "distance_of",
           "generation_seconds", "prompt_seconds", "single_stream_rates", "timed"]

Columns = Mapping[str, Any]

GENERATION = (
    Constant("step", 1e-4, 1e-6, 5e-2, {"engine": 1.0}),
    Constant("launch", 2e-6, 2e-7, 2e-4,
             {"engine": 1.0, "arch": 0.4, "variant": 0.3, "host": 0.5}),
    Constant("read", 1.15, 1.0, 30.0,
             {"engine": 0.2, "arch": 0.15, "quant": 0.15, "format": 0.1, "device": 0.1,
              "variant": 0.1, "model": 0.1, "host": 0.2}),
    Constant("experts", 1.3, 1.0, 4.0, {"engine": 0.2, "model": 0.15, "kind": 0.2}),
    Constant("issue", 15.0, 2.0, 200.0, {"engine": 0.3, "quant": 0.2}),
    Constant("cache", 1.5, 1.0, 30.0,
             {"engine": 0.4, "variant": 0.4, "arch": 0.3, "model": 0.2, "head": 0.3}),
    Constant("hop", 2e-4, 1e-6, 1e-2, {"engine": 1.0}),
    Constant("unpack", 1.0, 0.01, 100.0, {"engine": 0.5, "quant": 0.5, "format": 0.5}),
)
PROMPT = (
    Constant("step", 1e-4, 1e-6, 5e-2, {"engine": 1.0}),
    Constant("launch", 4e-6, 2e-7, 2e-4, {"engine": 1.0, "arch": 0.4}),
    Constant("multiply", 2.0, 1.0, 60.0,
             {"engine": 0.5, "arch": 0.3, "quant": 0.3, "format": 0.2, "device": 0.15,
              "variant": 0.8, "blas": 0.5, "model": 0.1, "host": 0.2}),
    Constant("half", 30.0, 1.0, 500.0, {"engine": 0.5}),
    Constant("read", 1.3, 1.0, 30.0, {"engine": 0.5, "quant": 0.5}),
    Constant("experts", 1.5, 0.1, 20.0,
             {"engine": 0.5, "variant": 0.8, "blas": 0.3, "kind": 0.3, "format": 0.2,
              "model": 0.2}),
    Constant("ramp", 500.0, 1.0, 5000.0, {"engine": 0.5}),
    Constant("tile", 20.0, 1.0, 100.0, {"engine": 0.5}),
    Constant("call", 5e-5, 5e-6, 5e-4, {"engine": 0.4}),
    Constant("read_experts", 1.2, 1.0, 4.0, {"engine": 0.3}),
    Constant("attention", 4.0, 1.0, 60.0,
             {"engine": 0.5, "arch": 0.4, "variant": 0.5, "model": 0.2, "head": 0.3}),
    Constant("reread", 0.3, 0.01, 1.0, {"engine": 0.5}),
    Constant("scores", 3.0, 0.3, 30.0, {"engine": 0.5, "arch": 0.3}),
    Constant("scan", 8.0, 1.0, 60.0, {"engine": 0.5}),
    Constant("move", 1.5, 1.0, 10.0, {"engine": 0.3}),
    Constant("overlap", 0.7, 0.05, 1.0, {"size": 0.5}),
)


def generation_seconds(columns: Columns, constants: Mapping[str, Any]) -> Any:
    """Seconds of one decode step of all requests, by the form at the top.

    Args:
        columns: as `stream_work.generation_columns` gives them, floats or arrays.
        constants: every constant of `GENERATION`.

    Sources: own derivation (bytes over bandwidth, launches one after another).
    """
    c, k = columns, constants
    moved = c["dense_bytes"] + c["expert_bytes"] * k["experts"]
    # Devices that share every matrix exchange activations in every layer, others once each.
    hops = (c["devices"] - 1) * (1 + (c["split"] > 1) * c["layers"])
    return (k["step"] + c["launches"] * k["launch"] + hops * k["hop"]
            + (moved / c["bandwidth"] * k["read"] + moved / c["issue_rate"] / k["issue"]
               + c["state_bytes"] / c["bandwidth"] * k["cache"]
               + c["params"] * c["batch"] * k["unpack"] / c["fp32"]) / c["split"])


def prompt_seconds(columns: Columns, constants: Mapping[str, Any]) -> Any:
    """Seconds of a whole prompt, by the form at the top.

    Without flash attention the scores go through memory; with it, keys are read again for heads
    that a kernel cannot pack. Experts see few rows each, and a tile of rows costs as much as a full
    one; every tile starts up, which narrow experts feel, and 16-bit experts may each be a call of a
    library. Devices one behind the other work on different passes.

    Args:
        columns: as `stream_work.prompt_columns` gives them, floats or arrays.
        constants: every constant of `PROMPT`.

    Sources: own derivation.
    """
    c, k = columns, constants
    read = (c["dense_bytes"] + c["expert_bytes"] * k["read_experts"]) * k["read"]
    experts = c["expert_flop"] + c["expert_ramp"] * k["ramp"]
    multiply = (
        c["dense_flop"] * k["multiply"] * (1 + k["half"] / c["pass_tokens"])
        + experts * maximum(1.0, k["multiply"] * k["experts"])
        * (1 + k["tile"] / c["expert_rows"])) / c["peak"]
    attention = (c["attention_flop"] * k["attention"] * (1 + c["reread"] * k["reread"])
                 + c["scan_flop"] * k["scan"]) / c["peak"]
    scores = c["plain"] * c["attention_flop"] / 128 * k["scores"]   # 4 bytes for 512 FLOP a score
    memory = (read + scores + c["state_bytes"] + c["activation_bytes"] * k["move"]) / c["bandwidth"]
    one = c["passes"] * (k["step"] + c["launches"] * k["launch"] + c["expert_calls"] * k["call"]
                         + memory + multiply + attention)
    full = (c["passes"] + c["devices"] - 1) / (c["passes"] * c["devices"])
    return one * (1 - k["overlap"] * (1 - full))


@dataclass(frozen=True)
class Timed:
    """A predicted time with the factors on it at 2.5, 10, 90 and 97.5 %.

    Attributes:
        seconds: of the test.
        floor: least time by bytes over bandwidth [s].
        ends: factors.
        distance: "machine" when the engine's kernels were measured on this one, "device" when the
            device was measured with the engine, "architecture" when only the engine was, else
            "pooled".
    """

    seconds: float
    floor: float
    ends: tuple[float, float, float, float]
    distance: str

    def rate(self, tokens: float) -> Quantity:
        """Tokens a second with the 80 % interval; no rate is above the floor's."""
        _, fast, slow, _ = self.ends
        top = tokens / self.floor
        return Quantity(min(tokens / self.seconds, top), tokens / (self.seconds * slow),
                        min(tokens / (self.seconds * fast), top), "token/s", "calibrated")


@dataclass(frozen=True)
class StreamRates:
    """Rates of one user [token/s], and how far the constants came from."""

    prompt: Quantity
    generation: Quantity
    distance: str


@functools.cache
def _store(text: str) -> dict[str, tuple[Levelled, Spreads]]:
    content = json.loads(text)
    return {name: (Levelled.from_json(constants, content[name]),
                   Spreads.from_json(content[name]["spreads"]))
            for name, constants in (("generation", GENERATION), ("prompt", PROMPT))}


def distance_of(fitted: Levelled, keys: Mapping[str, str]) -> str:
    """How far the nearest measurements are: "device", "architecture" or "pooled"."""
    if not fitted.knows("engine", keys["engine"]):
        return "pooled"
    return "device" if fitted.knows("device", keys["device"]) else "architecture"


def timed(case: StreamCase, what: str) -> Timed:
    """Time of a case.

    Args:
        case: the test.
        what: "generation" (one step) or "prompt" (all of it).

    Raises:
        BadInput: this installation has no constants.
    """
    text = constants_text("single_stream.json")
    if text is None:
        raise BadInput("no single-stream constants in this installation")
    fitted, spreads = _store(text)[what]
    keys = stream_keys(case)
    make, form = ((generation_columns, generation_seconds) if what == "generation"
                  else (prompt_columns, prompt_seconds))
    columns = make(case)
    seconds = float(form(columns, fitted.values(keys)))
    distance = distance_of(fitted, keys)
    return Timed(seconds, _floor(columns, what), spreads.ends(distance, keys["engine"]), distance)


def _floor(c: Columns, what: str) -> float:
    """Least time: bytes over the bandwidth and FLOP over the peak of all devices at work."""
    memory = (c["dense_bytes"] + c["expert_bytes"] + c["state_bytes"]) / c["bandwidth"]
    if what == "generation":
        return float(memory / c["split"])
    flop = c["dense_flop"] + c["expert_flop"] + c["attention_flop"]
    return float(c["passes"] * max(memory, flop / c["peak"]) / c["devices"])


def default_backend(chip: Chip) -> str:
    """The backend people run on a chip: CUDA, Metal, ROCm, Vulkan or the processor itself."""
    if chip.kind == "cpu":
        return "cpu"
    if chip.architecture.startswith("CDNA"):
        return "rocm"
    return {"NVIDIA": "cuda", "Apple": "metal"}.get(chip.vendor, "vulkan")


# What ran on a backend whose row or scenario names no driver or kernels.
_USUAL = {"vulkan": "vulkan/radv", "rocm": "rocm/plain"}


def single_stream_rates(architecture: Architecture, chip: Chip, *, quant: str = "q4_k_m",
                        engine: str = "llamacpp", backend: str = "", prompt_tokens: float = 512.0,
                        gen_tokens: float = 128.0, context_depth: float = 0.0, batch: float = 1.0,
                        n_devices: int = 1, file_bytes: float | None = None,
                        flash_attention: bool = True, variant: str = "") -> StreamRates:
    """Prompt and generation rates of one user.

    On a chip whose file holds measured kernels of the engine, those and the model's ops give the
    rates; elsewhere the constants fitted to published runs do.

    Args:
        architecture, chip: what runs where.
        quant: number format of the weights.
        engine, backend, variant: see `StreamCase`; "" is the usual one of the chip.
        prompt_tokens: of the prompt [token].
        gen_tokens: generated after it [token].
        context_depth: tokens in the cache before the prompt [token].
        batch: requests side by side; rates are of all together.
        n_devices: equal devices, one after the other in llama.cpp.
        file_bytes: size of the weight file; None: from the format [bytes].
        flash_attention: whether it is on.

    Raises:
        UnknownName: no such number format.
        BadInput: a size that is not positive.
    """
    from ridgeline.quantity import check_positive

    check_positive(prompt_tokens=prompt_tokens, gen_tokens=gen_tokens, batch=batch,
                   n_devices=n_devices, context_depth=context_depth + 1)
    if n_devices == 1 and engine in chip.kernels:
        from ridgeline.timing.measured_stream import measured_rates

        rates = measured_rates(architecture, chip, quant=quant, engine=engine, batch=batch,
                               prompt_tokens=prompt_tokens, gen_tokens=gen_tokens,
                               context_depth=context_depth)
        if rates:
            return rates
    at = backend or default_backend(chip)
    case = StreamCase(architecture, chip, engine, at, get_format(quant), file_bytes, prompt_tokens,
                      gen_tokens, context_depth, batch, n_devices, flash_attention,
                      variant=variant or _USUAL.get(at, ""))
    prompt, token = timed(case, "prompt"), timed(case, "generation")
    return StreamRates(prompt.rate(prompt_tokens * batch), token.rate(batch), token.distance)
