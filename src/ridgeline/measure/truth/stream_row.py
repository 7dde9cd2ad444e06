"""From a row of a single-stream table to the case that was measured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ridgeline.errors import BadInput
from ridgeline.formats import NumberFormat, get_format
from ridgeline.machine import Chip
from ridgeline.measure.truth.names import architecture_named, look_up
from ridgeline.timing.single_stream import default_backend
from ridgeline.timing.stream_work import StreamCase

__all__ = ["read_stream_row"]

Row = Mapping[str, Any]
GIB = 2.0**30

# Part of the engine column -> engine; more special ones first.
_ENGINES = {"ik_llama": "ik", "ollama": "ollama", "exllamav2": "exllamav2",
            "exllama v2": "exllamav2", "exllama": "exllama", "llama": "llamacpp",
            "autoawq": "autoawq", "tinychat": "tinychat", "transformers": "transformers",
            "vllm": "vllm", "mlc": "mlc", "gpt-fast": "gptfast", "litgpt": "litgpt"}
_BACKENDS = {"rocm": "rocm", "hip": "rocm", "rocwmma": "rocm", "vulkan": "vulkan",
             "metal": "metal", "cuda": "cuda", "cpu": "cpu"}
# From late 2025 llama.cpp multiplies quantised prompts on ROCm itself: its library matters no more.
_OWN_KERNELS = "2025-09"
_LONG_UBATCH = 2048    # the long-context tests of that harness use it on ROCm


def read_stream_row(row: Row) -> StreamCase:
    """Read one row.

    Raises:
        BadInput: work shared by a processor and a GPU, or a device, model or format not known.
    """
    from ridgeline.catalog import load_chip

    if "+CPU" in row["backend"] or " + RTX" in row["device"]:
        raise BadInput("experts on the processor and the rest on a GPU: no model of that split")
    chip = load_chip(row["device"])
    engine, backend = _engine(row), _backend(row, chip)
    architecture, format = architecture_named(row["model"]), _format(row, _engine(row))
    notes = row["notes"] or ""
    size, batch = row["model_size_gib"], re.search(r"batch (\d+)", notes)
    # A prompt and an output together are one request; a row of one test has only one of them.
    both = bool(row["prompt_tokens"] and row["gen_tokens"])
    return StreamCase(
        architecture, chip, engine, backend, format,
        file_bytes=size * GIB if size else None,
        prompt_tokens=row["prompt_tokens"] or (512.0 if row["prompt_tokens_per_s"] else 0.0),
        gen_tokens=row["gen_tokens"] or (128.0 if not both else 0.0),
        depth=row["context_depth_tokens"] or 0.0, batch=float(batch[1]) if batch else 1.0,
        n_devices=int(row["n_devices"] or 1), flash_attention=_flash(notes),
        ubatch=_ubatch(row, backend), variant=_variant(row, backend),
        host="pi" if re.match(r"Pi |HiFive", row["device"]) else "")


def _engine(row: Row) -> str:
    text = row["engine"].lower()
    found = next((name for part, name in _ENGINES.items() if part in text), text)
    # Before its CUDA graphs and row split changed, late in 2023, it was another engine.
    return "llamacpp-2023" if found == "llamacpp" and "2023" in (row["date"] or "") else found


def _backend(row: Row, chip: Chip) -> str:
    text = row["backend"].lower()
    found = next((name for part, name in _BACKENDS.items() if part in text), "")
    return found or default_backend(chip)


def _format(row: Row, engine: str) -> NumberFormat:
    if "gpt-oss" in row["model"].lower():
        return get_format("gguf_mxfp4")    # released in it; tables repeat the runner's default
    text = row["quant"] or look_up(row["model"]).weights
    format = get_format(text)
    return get_format("q4_k_m") if engine.startswith("llama") and format.name == "int4" else format


def _flash(notes: str) -> bool:
    return "fa1" in notes or "-fa 1" in notes or "rpc" in notes


def _ubatch(row: Row, backend: str) -> int:
    notes = row["notes"] or ""
    if "-b 256" in notes:
        return 256
    stated = re.search(r"-ub (\d+)", f"{row['engine']} {notes}")
    if stated:
        return int(stated[1])
    return _LONG_UBATCH if backend == "rocm" and "longctx" in notes else 0


def _variant(row: Row, backend: str) -> str:
    """Driver or kernels, then settings that change them."""
    text, notes = row["backend"].lower(), row["notes"] or ""
    threads = re.search(r"(\d+) threads", text)
    if threads:
        return f"t{threads[1]}"
    if backend == "vulkan":
        return "vulkan/" + ("amdvlk" if "amdvlk" in text else "radv")
    if backend == "rocm":
        without = "hblt0" in notes or re.search(r"hipblaslt=(\s|$)", notes)
        early = (row["date"] or "") < _OWN_KERNELS
        return ("rocm/" + ("rocwmma" if "wmma" in text else "plain")
                + ("+hblt0" if without and early else ""))
    return "gemv" if "GEMV" in (row["quant"] or "") else ""
