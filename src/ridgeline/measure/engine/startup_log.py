"""Reads a vLLM start-up log: what its weights take and how much cache is left."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from ridgeline.errors import BadInput

__all__ = ["StartupLog", "read_startup_log"]

GIB = 2.0**30
# vLLM writes "GB" in older versions for the same 2^30 bytes.
_WEIGHTS = re.compile(r"(?:Model loading took|Loading model weights took|model weights take)\s+"
                      r"([\d.]+)\s*(?:GiB|GB)")
_POOL = re.compile(r"(?:Available KV cache memory:|reserved for KV Cache is)\s*([\d.]+)\s*GiB")
_TOKENS = re.compile(r"KV cache size:\s*([\d,]+)\s*tokens")
_BLOCKS = re.compile(r"#\s*(?:GPU|cuda|CPU|cpu) blocks:\s*([\d,]+)")
_VERSION = re.compile(r"LLM engine \(v([^)\s]+)\)|vLLM (?:API server )?version\s+v?([\d.]+\S*)")
_FIELDS = {"model": r"model='([^']+)'", "tp": r"tensor_parallel_size=(\d+)",
           "pp": r"pipeline_parallel_size=(\d+)", "dtype": r"dtype=(?:torch\.)?(\w+)",
           "context": r"max_seq_len=(\d+)", "kv": r"kv_cache_dtype='?(\w+)",
           "quantization": r"[^_]quantization='?(\w+)", "eager": r"enforce_eager=(\w+)"}
_ARGUMENTS = {"seqs": r"max_num_seqs'?[:=]\s*(\d+)",
              "budget": r"max_num_batched_tokens'?[:=]\s*(\d+)",
              "fraction": r"gpu_memory_utilization'?[:=]\s*([\d.]+)",
              "block": r"block_size'?[:=]\s*(\d+)"}


@dataclass(frozen=True)
class StartupLog:
    """What one engine said when it started; of several ranks the fullest one.

    Attributes:
        version, model, dtype, quantization, kv: as logged, "" when not.
        tp, pp: degrees.
        weights: of one device [bytes]; NaN when not logged.
        kv_pool: memory of the cache of one device [bytes]; NaN when not logged.
        kv_tokens: what the cache holds [tokens]; 0 when not logged.
        kv_blocks: blocks, 0 when not logged.
        context: longest sequence, 0 when not logged.
        max_num_seqs, max_num_batched_tokens: limits, 0 when not logged.
        memory_fraction: share of memory in use, NaN when not logged.
    """

    version: str
    model: str
    dtype: str
    quantization: str
    kv: str
    tp: int
    pp: int
    weights: float
    kv_pool: float
    kv_tokens: int
    kv_blocks: int
    context: int
    max_num_seqs: int
    max_num_batched_tokens: int
    memory_fraction: float


def read_startup_log(path: str | Path) -> StartupLog:
    """Read a log.

    Raises:
        BadInput: unreadable, or without the lines that tell of weights or cache.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from None
    return parse_startup_log(text, str(path))


def parse_startup_log(text: str, where: str = "log") -> StartupLog:
    """The same of a text. Raises as `read_startup_log`.

    >>> parse_startup_log("Model loading took 14.99 GiB\\nGPU KV cache size: 75,840 tokens"
    ...                   ).kv_tokens
    75840
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    weights = [float(v) * GIB for v in _WEIGHTS.findall(text)]
    pools = [float(v) * GIB for v in _POOL.findall(text)]
    tokens = [int(v.replace(",", "")) for v in _TOKENS.findall(text)]
    blocks = [int(v.replace(",", "")) for v in _BLOCKS.findall(text)]
    if not (weights or pools or tokens or blocks):
        raise BadInput(f"{where} is no vLLM start-up log: no line tells of weights or KV cache")
    seen = {name: _search(pattern, text) for name, pattern in (_FIELDS | _ARGUMENTS).items()}
    version = _VERSION.search(text)
    per_block = int(seen["block"] or 16)
    return StartupLog(
        version=(version[1] or version[2] or "") if version else "", model=seen["model"],
        dtype=seen["dtype"], quantization=_stated(seen["quantization"]), kv=_stated(seen["kv"]),
        tp=int(seen["tp"] or 1), pp=int(seen["pp"] or 1), weights=max(weights, default=math.nan),
        kv_pool=min(pools, default=math.nan),
        kv_tokens=min(tokens, default=min(blocks, default=0) * per_block),
        kv_blocks=min(blocks, default=min(tokens, default=0) // per_block),
        context=int(seen["context"] or 0), max_num_seqs=int(seen["seqs"] or 0),
        max_num_batched_tokens=int(seen["budget"] or 0),
        memory_fraction=float(seen["fraction"] or math.nan))


def _search(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""


def _stated(text: str) -> str:
    return "" if text in ("None", "auto") else text
