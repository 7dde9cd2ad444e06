"""From a row of a serving-throughput table to the loaded server that was measured."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ridgeline.deployment import Deployment
from ridgeline.errors import BadInput
from ridgeline.machine import Chip
from ridgeline.measure.truth.names import architecture_named, look_up
from ridgeline.model.architecture import Architecture
from ridgeline.timing.throughput import LoadCase, load_columns, wave_floor

__all__ = ["read_throughput_row"]

Row = Mapping[str, Any]

# About the mean prompt of the data sets of MLPerf Inference, in tokens of each model: OpenOrca
# questions, their mix with GSM8K and MBXP, long documents, news articles to sum up. Assumed.
_PROMPTS = {"llama2-70b": 294.0, "mixtral-8x7b": 264.0, "llama3.1-405b": 9428.0,
            "llama3.1-8b": 870.0, "gptj": 924.0}
# MLPerf Inference rules: limits on the time of an output token, 99th percentile [s].
_TOKEN_LIMITS = {"server": {"llama2-70b": 0.2, "mixtral-8x7b": 0.2, "llama3.1-405b": 0.175,
                            "llama3.1-8b": 0.1},
                 "interactive": {"llama2-70b": 0.04, "llama3.1-405b": 0.08, "llama3.1-8b": 0.03}}
_LIKELY = 2.0          # a step's time over its roofline, to turn a limit on it into a batch
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
        BadInput: two kinds of device, a length or batch the row does not say, weights that do not
            fit, or a device, model or format not known.
    """
    from ridgeline.catalog import load_chip

    _check(row)
    chip = load_chip(row["gpu"])
    architecture = architecture_named(row["model"])
    deployment = _deployment(row, architecture, chip)
    _check_fits(architecture, deployment, chip)
    mode, (prompt, output) = _mode(row), _lengths(row)
    replicas = 1.0
    if mode != "static" and row["throughput_scope"] != "per GPU":
        replicas = max(1.0, _devices(row, chip) / deployment.chips_per_replica)
    batch = _batch(row, mode, architecture, deployment, chip, prompt + output)
    if row["concurrency_or_mode"].startswith("max concurrency"):
        batch = max(1.0, batch / replicas)
    case = LoadCase(architecture, chip, deployment, _engine(row, mode), prompt, output, batch,
                    replicas, mode, _version(row))
    limit = _starting(_TOKEN_LIMITS.get(mode, {}), row["model"])
    return case if limit is None else replace(case, batch=_within(case, limit))


def _devices(row: Row, chip: Chip) -> int:
    """Chips of the system: two on a dual card, two sockets where a processor row gives none."""
    stated = int(row["n_gpus"] or (2 if chip.kind == "cpu" else 1))
    return stated * 2 if "Dual" in row["gpu"] else stated


def _deployment(row: Row, architecture: Architecture, chip: Chip) -> Deployment:
    weights = _weights(row, chip)
    pp = int(row["pp"] or 0) or _stages(row)
    devices = max(1, _devices(row, chip) // pp)
    tp = int(row["tp"] or 0) or _degree(architecture, weights, chip, devices, row)
    if "TensorCores" in (row["notes"] or ""):
        tp = max(1, tp // 2)   # counted in cores, two to a chip
    kv = _KV.get((row["kv_dtype"] or "").lower()) or _default_kv(row, weights)
    return Deployment(tp=tp, pp=pp, weights=weights, kv=kv)


def _stages(row: Row) -> int:
    """Pipeline stages that only the notes tell; the rest of the devices share every matrix."""
    told = re.search(r"parallelism=(?:PP;|.*PP = (\d+))", row["notes"] or "")
    return int(told[1] or row["n_gpus"] or 1) if told else 1


def _check(row: Row) -> None:
    """Refuse what the row does not describe."""
    if re.match("(prefill|decode) only", row["concurrency_or_mode"]):
        raise BadInput("one phase of a disaggregated system, its batch not stated")
    if re.search("Pruned|_Sparse", row["notes"] or ""):
        raise BadInput("a pruned model, its shapes not stated")


def _check_fits(architecture: Architecture, deployment: Deployment, chip: Chip) -> None:
    from ridgeline.formats import get_format

    size = architecture.total_params * get_format(deployment.weights or "bf16").bits / 8
    memory = deployment.tp * deployment.pp * (chip.usable_memory_bytes or chip.memory_bytes)
    if size > memory:
        raise BadInput(f"weights of {size / 1e9:.0f} GB in {deployment.weights} do not fit in the "
                       f"{memory / 1e9:.0f} GB of the row's devices: another format ran")


def _weights(row: Row, chip: Chip) -> str:
    """Format of the weights.

    TensorRT submissions to MLPerf ran 8-bit floats where the chip multiplies them, though their
    description says fp16: the 70-billion models of those rows ran on single devices that 16 bits
    would fill.
    """
    stated = _FORMATS.get((row["weight_dtype"] or "").lower())
    if "MLPerf" in row["source"] and stated == "bf16" and "fp8" in chip.peaks and _tensorrt(row):
        return "fp8"
    return look_up(row["model"]).weights or stated or "bf16"


def _tensorrt(row: Row) -> bool:
    return str(row["engine"]).startswith(("TensorRT", "CUDA"))


def _default_kv(row: Row, weights: str) -> str | None:
    """Submissions to MLPerf with 8-bit or 4-bit weights keep an 8-bit cache."""
    return "fp8" if "MLPerf" in row["source"] and weights not in ("bf16", "int8") else None


def _starting(table: Mapping[str, float], model: str) -> float | None:
    return next((v for part, v in table.items() if model.lower().startswith(part)), None)


def _within(case: LoadCase, limit: float) -> float:
    """The largest batch whose wave takes no longer a token than the limit, likely."""
    low, high = 1.0, case.batch
    while high - low > 0.05 * low:
        middle = (low + high) / 2
        wave = wave_floor(load_columns(replace(case, batch=middle)))
        slow = _LIKELY * wave / case.output > limit
        low, high = (low, middle) if slow else (middle, high)
    return low


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
    prompt = _starting(_PROMPTS, row["model"])
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
        return "mlperf-trtllm" if _tensorrt(row) else "mlperf-other"
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
