"""From a row of a serving-throughput table to the loaded server that was measured."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ridgeline.deployment import Deployment
from ridgeline.errors import BadInput, RidgelineError
from ridgeline.machine import Chip
from ridgeline.measure.truth.names import architecture_named, look_up
from ridgeline.model.architecture import Architecture
from ridgeline.timing.throughput import LoadCase

__all__ = ["read_throughput_row"]

Row = Mapping[str, Any]

# Mean prompt tokens of the data sets of MLPerf Inference, from its reference implementations'
# documents (summarisation, question answering, mixed, long documents).
_PROMPTS = {"llama2-70b": 294.0, "mixtral-8x7b": 264.0, "llama3.1-405b": 9428.0,
            "llama3.1-8b": 870.0, "gptj": 924.0}
_FORMATS = {"fp16": "bf16", "bf16": "bf16", "fp8": "fp8", "fp4": "nvfp4", "int8": "int8",
            "int4": "int4_g128", "uint4": "int4_g128", "fp32": "bf16", "unset": "fp8"}
_KV = {"fp8": "fp8", "fp16": "bf16", "int8": "int8"}
_FULL = 0.6            # of device memory that weights may take where the row gives no degree
_MOST = 2048.0         # requests in flight that one replica is given under full load
_CACHE = 0.92          # of the memory left by weights that engines give the cache
_CONTEXT = 2e9         # libraries and activations of one device [bytes]


def read_throughput_row(row: Row) -> LoadCase:
    """Read one row.

    Raises:
        BadInput: two kinds of device, a length or batch the row does not say, or a device, model
            or format not known.
    """
    from ridgeline.catalog import load_chip

    if "prefill only" in row["concurrency_or_mode"] or "decode only" in row["concurrency_or_mode"]:
        raise BadInput("one phase of a disaggregated system, its batch not stated")
    chip = load_chip(row["gpu"])
    architecture = architecture_named(row["model"])
    weights = _weights(row)
    devices = int(row["n_gpus"] or (2 if chip.kind == "cpu" else 1))
    tp = int(row["tp"] or 0) or _degree(architecture, weights, chip, devices, row)
    if "TensorCores" in (row["notes"] or ""):
        tp = max(1, tp // 2)   # counted in cores, two to a chip
    pp = int(row["pp"] or 1)
    deployment = Deployment(tp=tp, pp=pp, weights=weights,
                            kv=_KV.get((row["kv_dtype"] or "").lower()) or _default_kv(row))
    mode = _mode(row)
    prompt, output = _lengths(row)
    if row["engine"].startswith("Mango") or row["throughput_scope"] == "per GPU":
        devices = devices if row["throughput_scope"] != "per GPU" else tp
    replicas = max(1.0, devices / (tp * pp))
    batch = _batch(row, mode, architecture, deployment, chip, prompt + output)
    if row["concurrency_or_mode"].startswith("max concurrency"):
        batch = max(1.0, batch / replicas)
    if mode == "static":
        replicas = 1.0
    return LoadCase(architecture, chip, deployment, _engine(row, mode), prompt, output, batch,
                    replicas, mode, _version(row))


def _weights(row: Row) -> str:
    stated = _FORMATS.get((row["weight_dtype"] or "").lower())
    return look_up(row["model"]).weights or stated or "bf16"


def _default_kv(row: Row) -> str | None:
    """Submissions to MLPerf with 8-bit or 4-bit weights keep an 8-bit cache."""
    mlperf = "MLPerf" in row["source"]
    return "fp8" if mlperf and _weights(row) not in ("bf16", "int8") else None


def _mode(row: Row) -> str:
    text = row["concurrency_or_mode"].lower()
    for mode in ("offline", "server", "interactive", "singlestream"):
        if mode in text:
            return mode
    return "max" if text.startswith("max") else "static"


def _degree(architecture: Architecture, weights: str, chip: Chip, devices: int, row: Row) -> int:
    """Smallest power of two at which the weights leave room for a cache."""
    from ridgeline.formats import get_format

    if row["source"].startswith("argonne"):
        return devices
    size = architecture.total_params * get_format(weights).bits / 8
    tp = 1
    while tp * 2 <= devices and size > _FULL * tp * chip.memory_bytes:
        tp *= 2
    return tp


def _lengths(row: Row) -> tuple[float, float]:
    output = row["osl_tokens"]
    if row["isl_tokens"]:
        if not output:
            raise BadInput("the row does not say its output length")
        return row["isl_tokens"], output
    name = row["model"].lower()
    prompt = next((p for part, p in _PROMPTS.items() if name.startswith(part)), None)
    if prompt is None:
        raise BadInput("the row does not say its prompt length")
    return prompt, output or 128.0


def _batch(row: Row, mode: str, architecture: Architecture, deployment: Deployment, chip: Chip,
           context: float) -> float:
    """Requests in flight on a replica: as stated, else what the cache holds."""
    stated = re.search(r"(?:batch|concurrency) (\d+)", row["concurrency_or_mode"])
    if stated:
        return float(stated[1])
    if mode == "singlestream":
        return 1.0
    return cache_holds(architecture, deployment, chip, context)


def cache_holds(architecture: Architecture, deployment: Deployment, chip: Chip,
                context: float) -> float:
    """Requests of this length that fit beside the weights, at least one and at most 2,048.

    Raises:
        BadInput: a format that is not known.
    """
    from ridgeline.formats import get_format

    weights = architecture.total_params * get_format(deployment.weights or "bf16").bits / 8
    group = deployment.tp * deployment.pp
    memory = group * ((chip.usable_memory_bytes or chip.memory_bytes) - _CONTEXT)
    free = _CACHE * (memory - weights)
    bits = get_format(deployment.kv or "bf16").bits
    each = float(architecture.cache_bytes(context, kv_bits=bits)
                 + architecture.state_bytes(state_bits=32))
    if free <= 0 or each <= 0:
        return 1.0 if free <= 0 else _MOST
    return min(max(1.0, math.floor(free / each)), _MOST)


def _engine(row: Row, mode: str) -> str:
    """Family of engine and kind of run: what shares constants."""
    text, source = row["engine"].lower(), row["source"]
    if "MLPerf" in source:
        return "mlperf-trtllm" if "tensorrt" in text or text.startswith("cuda") else "mlperf-other"
    name = ("trtllm" if "tensorrt" in text else "vllm-tpu" if "tpu" in text
            else "mii" if "mii" in text else text.split()[0])
    if source.startswith("argonne"):
        return f"{name}-2024"
    return f"{name}-{mode}"


def _version(row: Row) -> str:
    """Versions in bands: the first two numbers of the engine's, else the year."""
    found = re.match(r"v?(\d+\.\d+)", row["engine_version"] or "")
    if found:
        return found[1]
    year = re.search(r"20\d\d", row["date"] or "")
    return year[0] if year else ""


def describes(row: Row) -> bool:
    """Whether a row can be read at all."""
    try:
        read_throughput_row(row)
    except RidgelineError:
        return False
    return True
