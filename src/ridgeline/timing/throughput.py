"""Throughput of a loaded server on any device, with constants shared by engine, device and format.

A wave of C requests is prefilled and decoded together:

    t = load * (passes * step_p + prefill work + output tokens * (step + decode work))
    work = launches * launch + together(weight bytes / W * read, FLOP / peak * multiply)
           + cache bytes / W * cache + sequences * sequence + wire bytes / link * wire
           + collectives * hop

    together(a, b) = (a^knee + b^knee)^(1/knee)

and makes C * output tokens. C is the batch of a static run, or what the KV cache holds under full
load; in-flight batching mixes the phases of different requests, but their sum of work is the same.
Where calibrated kernels exist `serving.deployed` is finer; this covers every other device.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import settle_formats
from ridgeline.errors import BadInput
from ridgeline.machine import Chip
from ridgeline.model.architecture import Architecture
from ridgeline.numeric import maximum, minimum
from ridgeline.quantity import Quantity
from ridgeline.timing.constants import constants_text
from ridgeline.timing.levels import Constant, Levelled, Spreads
from ridgeline.timing.roofline import wire_bytes
from ridgeline.work.op import Op
from ridgeline.work.step import Step, decode_step, prefill_step, step_ops

__all__ = ["LOADED", "LoadCase", "WaveTime", "load_columns", "load_keys", "loaded_throughput",
           "wave_floor", "wave_seconds", "wave_time"]

Columns = Mapping[str, Any]

LOADED = (
    Constant("step", 1e-3, 1e-5, 0.2,
             {"software": 0.4, "engine": 1.0, "maker": 0.4, "device": 0.4}),
    Constant("launch", 4e-6, 2e-7, 5e-4,
             {"software": 0.4, "engine": 0.7, "maker": 0.4, "arch": 0.4, "place": 0.3,
              "device": 0.3}),
    Constant("read", 1.3, 1.0, 30.0,
             {"software": 0.4, "engine": 0.3, "maker": 0.4, "arch": 0.2, "place": 0.3,
              "device": 0.2, "format": 0.2}),
    Constant("cache", 1.6, 1.0, 40.0,
             {"software": 0.4, "engine": 0.4, "maker": 0.4, "arch": 0.3, "place": 0.3,
              "device": 0.3, "model": 0.3, "heads": 0.3}),
    Constant("multiply", 1.8, 1.0, 40.0,
             {"software": 0.4, "engine": 0.3, "maker": 0.4, "arch": 0.3, "place": 0.3,
              "device": 0.2, "format": 0.2}),
    Constant("knee", 4.0, 1.0, 8.0, {}),
    Constant("sequence", 1e-5, 1e-8, 5e-3,
             {"software": 0.4, "engine": 1.0, "place": 0.3, "device": 0.5}),
    Constant("wire", 1.5, 1.0, 30.0, {"arch": 0.4, "device": 0.3}),
    Constant("hop", 1e-5, 1e-6, 1e-3,
             {"software": 0.4, "engine": 0.6, "arch": 0.4, "place": 0.3, "device": 0.4}),
    Constant("experts", 1.3, 1.0, 20.0,
             {"software": 0.4, "engine": 0.4, "arch": 0.3, "device": 0.2, "version": 0.3}),
    Constant("load", 1.15, 1.0, 6.0,
             {"mode": 0.3, "engine": 0.2, "maker": 0.4, "device": 0.15, "version": 0.15,
              "model": 0.15}),
)
_SOFTWARE = ("trtllm", "vllm")   # engines measured in several kinds of run, each a family
_PASS_TOKENS = 8192.0      # prompt tokens of one prefill pass
_SLOW_LINK = 25e9          # between devices without a link in the catalog: PCIe 4 [bytes/s]
# Matrix over FP32 peak: 4 and less on chips made for graphics, whose cores differ from those of
# the datacentre chips that share their architecture's name; 8 and more on these.
_MATRIX = 6.0


@dataclass(frozen=True)
class LoadCase:
    """A loaded server.

    Attributes:
        architecture, chip, deployment: what runs where, and how.
        engine: engine family with its kind of run ("vllm", "trtllm-static", "mlperf-trt", ...).
        prompt, output: mean tokens of a request.
        batch: requests in flight on one replica.
        replicas: copies of it.
        mode: "static", "max", "offline", "server", "interactive".
        version: band of engine versions or years.
    """

    architecture: Architecture
    chip: Chip
    deployment: Deployment
    engine: str
    prompt: float
    output: float
    batch: float
    replicas: float = 1.0
    mode: str = "static"
    version: str = ""


def load_keys(case: LoadCase) -> dict[str, str]:
    """Level -> value of a case, for the fitted constants."""
    chip, arch, family = case.chip, case.architecture, _family(case.chip)
    heads = "shared" if _kv_shared(arch) else "full"
    software = next((name for name in _SOFTWARE if name in case.engine), case.engine.split("-")[0])
    return {"software": software, "engine": case.engine,
            "maker": f"{case.engine}/{chip.vendor}", "arch": family,
            "place": f"{case.engine}/{family}", "device": f"{case.engine}/{chip.name}",
            "format": f"{family}/{case.deployment.weights or arch.weight_format}",
            "model": arch.model_type, "heads": f"{case.engine}/{heads}",
            "mode": f"{case.engine}/{case.mode}", "version": f"{case.engine}/{case.version}"}


def _family(chip: Chip) -> str:
    """Maker and architecture, chips for graphics apart."""
    matrix = max(chip.peaks.get("fp16", 0.0), chip.peaks.get("bf16", 0.0))
    drawn = chip.kind == "gpu" and 0 < matrix < _MATRIX * chip.peaks.get("fp32", 0.0)
    name = (chip.architecture.split() or [""])[0]
    return f"{chip.vendor}/{name}" + ("/graphics" if drawn else "")


def _kv_shared(architecture: Architecture) -> bool:
    """Whether query heads share keys and values."""
    mixer = architecture.blocks[-1][0].mixer
    heads = getattr(mixer, "n_heads", 0)
    return bool(heads) and getattr(mixer, "n_kv_heads", heads) < heads


def load_columns(case: LoadCase) -> dict[str, float]:
    """Work of one wave on the busiest device: columns of `wave_seconds`.

    The stages of a pipeline work on parts of the batch at once, so a step of all requests takes
    as long as one part needs for all layers.
    """
    batch = case.batch / max(1.0, min(float(case.deployment.pp), case.batch))
    # Whole prompts in a pass, since ops round sequences up.
    share = max(1.0, min(_PASS_TOKENS // max(case.prompt, 1.0), float(math.ceil(batch))))
    passes = max(1.0, batch / share)
    args = (case.architecture, case.deployment, case.chip)
    prefill = _work(*args, prefill_step(tokens=case.prompt, sequences=share))
    context = case.prompt + max(case.output, 1.0) / 2
    decode = _work(*args, decode_step(sequences=batch, context=context))
    return {**{f"p_{k}": v for k, v in prefill.items()},
            **{f"d_{k}": v for k, v in decode.items()},
            "passes": passes, "steps": max(case.output - 1.0, 0.0), "sequences": batch,
            "share": share, "bandwidth": case.chip.memory_bandwidth}


_WORK = ("compute", "expert_compute", "read", "expert_read", "cache", "move", "launches", "wire",
         "hops")


def _work(architecture: Architecture, deployment: Deployment, chip: Chip, step: Step
          ) -> dict[str, float]:
    """Roofline times and counts of a step, summed over its ops."""
    total = dict.fromkeys(_WORK, 0.0)
    formats = settle_formats(architecture, deployment, chip)
    for op in step_ops(architecture, deployment, formats, step):
        _add(total, op, chip)
    return total


def _add(total: dict[str, float], op: Op, chip: Chip) -> None:
    repeats = float(op.repeats)
    if op.kind == "collective":
        link = _link(chip, op.shape["group"])
        sent = float(wire_bytes(collective=op.labels["collective"], group=op.shape["group"],
                                message_bytes=op.message_bytes))
        if sent > 0:
            total["wire"] += repeats * sent / link
            total["hops"] += repeats
        return
    if float(op.flop + op.memory_bytes) <= 0:
        return
    expert = "expert_" if op.kind == "grouped_matmul" else ""
    total[f"{expert}compute"] += repeats * float(op.flop) / chip.peak(op.compute)
    total[f"{expert}read"] += repeats * float(op.weight_bytes) / chip.memory_bandwidth
    total["cache"] += repeats * float(op.state_bytes) / chip.memory_bandwidth
    total["move"] += repeats * float(op.activation_bytes) / chip.memory_bandwidth
    total["launches"] += repeats


def _link(chip: Chip, group: Any) -> float:
    """Bandwidth of a group's slowest link: bridges join few cards, the rest goes by PCIe."""
    if chip.scale_up is None:
        return _SLOW_LINK
    if group > chip.domain_size and chip.host is not None:
        return min(chip.scale_up.bandwidth, chip.host.bandwidth)
    return chip.scale_up.bandwidth


def wave_seconds(columns: Columns, constants: Mapping[str, Any]) -> Any:
    """Seconds of one wave of requests, by the form at the top.

    Args:
        columns: as `load_columns` gives them, floats or arrays.
        constants: every constant of `LOADED`.

    Sources: own derivation (sum of roofline terms, each slowed by a factor of at least 1).
    """
    c, k = columns, constants
    prefill = c["passes"] * (_phase(c, k, "p_") + k["step"] + c["share"] * k["sequence"])
    decode = c["steps"] * (_phase(c, k, "d_") + k["step"] + c["sequences"] * k["sequence"])
    return k["load"] * (prefill + decode)


def _phase(c: Columns, k: Mapping[str, Any], phase: str) -> Any:
    def of(name: str) -> Any:
        return c[phase + name]

    read = (of("read") + of("expert_read") * k["experts"]) * k["read"]
    multiply = (of("compute") + of("expert_compute") * k["experts"]) * k["multiply"]
    return (of("launches") * k["launch"] + of("move") + of("cache") * k["cache"]
            + _together(read, multiply, k["knee"])
            + of("wire") * k["wire"] + of("hops") * k["hop"])


def _together(one: Any, other: Any, knee: Any) -> Any:
    """Time of two things at once: (a^n + b^n)^(1/n), the longer of them, more where they meet."""
    longer = maximum(maximum(one, other), 1e-30)
    return longer * (1.0 + (minimum(one, other) / longer) ** knee) ** (1.0 / knee)


@dataclass(frozen=True)
class WaveTime:
    """A predicted wave.

    Attributes:
        seconds: of the wave.
        floor: least time by bytes over bandwidth and FLOP over peak [s].
        ends: factors on it at 2.5, 10, 90 and 97.5 %.
        tokens: output tokens of the wave on all replicas.
        distance: "device", "architecture" or "pooled", as in `timing.single_stream`.
    """

    seconds: float
    floor: float
    ends: tuple[float, float, float, float]
    tokens: float
    distance: str

    @property
    def throughput(self) -> Quantity:
        """Output tokens a second of all replicas."""
        top = self.tokens / self.floor
        _, fast, slow, _ = self.ends
        return Quantity(min(self.tokens / self.seconds, top), self.tokens / (self.seconds * slow),
                        min(self.tokens / (self.seconds * fast), top), "token/s", "calibrated")


@functools.cache
def _store(text: str) -> tuple[Levelled, Spreads]:
    content = json.loads(text)
    return Levelled.from_json(LOADED, content), Spreads.from_json(content["spreads"])


def wave_time(case: LoadCase) -> WaveTime:
    """Time of one wave of a case.

    Raises:
        BadInput: this installation has no constants, or the chip cannot run the format.
    """
    text = constants_text("throughput.json")
    if text is None:
        raise BadInput("no throughput constants in this installation")
    fitted, spreads = _store(text)
    keys, columns = load_keys(case), load_columns(case)
    known = "pooled"
    if fitted.knows("engine", keys["engine"]):
        known = "device" if fitted.knows("device", keys["device"]) else "architecture"
    seconds = float(wave_seconds(columns, fitted.values(keys)))
    return WaveTime(seconds, wave_floor(columns), spreads.ends(known, keys["engine"]),
                    case.replicas * case.batch * max(case.output, 1.0), known)


def wave_floor(columns: Columns) -> float:
    """Least seconds of a wave: bytes over bandwidth and FLOP over peak, phase by phase."""
    c = columns

    def phase(p: str) -> float:
        memory = c[p + "read"] + c[p + "expert_read"] + c[p + "cache"]
        return float(max(memory, c[p + "compute"] + c[p + "expert_compute"]))

    return float(c["passes"] * phase("p_") + c["steps"] * phase("d_"))


def loaded_throughput(architecture: Architecture, chip: Chip, deployment: Deployment, *,
                      prompt_tokens: float, output_tokens: float, concurrency: float,
                      engine: str = "", mode: str = "static", version: str = "") -> Quantity:
    """Output tokens a second of a deployment with so many requests in flight on each replica.

    Args:
        architecture, chip, deployment: what runs where, and how; `dp` replicas side by side.
        prompt_tokens, output_tokens: of a request [token].
        concurrency: requests in flight on one replica.
        engine: family of constants; "": the deployment's engine.
        mode, version: see `LoadCase`.

    Raises:
        BadInput: a size that is not positive.
    """
    from ridgeline.quantity import check_positive

    check_positive(prompt_tokens=prompt_tokens, output_tokens=output_tokens,
                   concurrency=concurrency)
    case = LoadCase(architecture, chip, deployment, engine or deployment.engine, prompt_tokens,
                    output_tokens, concurrency, float(deployment.dp), mode, version)
    return wave_time(case).throughput
