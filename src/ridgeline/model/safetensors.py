"""Safetensors headers: exact elements and bytes of a checkpoint without reading its weights.

A file starts with the length of its header (8 bytes, little endian) and the header, JSON:
name -> {dtype, shape, data_offsets} (huggingface/safetensors README, Apache-2.0).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ridgeline.errors import BadInput

__all__ = ["TensorInfo", "checkpoint_bytes", "checkpoint_count", "read_safetensors"]

_MAX_HEADER = 100_000_000  # the format's own limit
_BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
         "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "I64": 64, "I32": 32, "I16": 16, "I8": 8,
         "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8, "C64": 64}


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a header: name, dtype as written, shape, bytes in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int

    @property
    def elements(self) -> int:
        """Number of stored values."""
        return math.prod(self.shape)


def read_safetensors(path: str | Path) -> tuple[TensorInfo, ...]:
    """Tensors of a .safetensors file, of all files of an index.json, or of a folder.

    Raises:
        BadInput: unreadable, truncated or inconsistent.
    """
    return tuple(tensor for file in _files(Path(path)) for tensor in _header(file))


def checkpoint_count(path: str | Path) -> int:
    """Stored elements of a checkpoint; compare with `Architecture.explain_count`."""
    return sum(t.elements for t in read_safetensors(path))


def checkpoint_bytes(path: str | Path) -> dict[str, int]:
    """Bytes of a checkpoint by dtype [bytes]."""
    out: dict[str, int] = {}
    for tensor in read_safetensors(path):
        out[tensor.dtype] = out.get(tensor.dtype, 0) + tensor.bytes
    return out


def _files(place: Path) -> list[Path]:
    if place.is_dir():
        index = place / "model.safetensors.index.json"
        if index.is_file():
            return _files(index)
        found = sorted(place.glob("*.safetensors"))
        if not found:
            raise BadInput(f"{place.name} holds no .safetensors file")
        return found
    if place.name.endswith(".json"):
        try:
            table = json.loads(place.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise BadInput(f"cannot read {place.name}: {error}") from None
        files = table.get("weight_map") if isinstance(table, dict) else None
        if not isinstance(files, dict) or not all(
                isinstance(v, str) and Path(v).name == v for v in files.values()):
            raise BadInput(f"{place.name}: needs weight_map, a file name for each tensor")
        return [place.parent / name for name in sorted(set(files.values()))]
    return [place]


def _header(path: Path) -> list[TensorInfo]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(_MAX_HEADER, size - 8):
                raise BadInput(f"{path.name}: not a safetensors file: a header of {length} bytes "
                               f"in {size}")
            table = json.loads(file.read(length))
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"cannot read {path.name} as safetensors: {error}") from None
    if not isinstance(table, dict):
        raise BadInput(f"{path.name}: its header is not a group of tensors")
    return [_tensor(path.name, name, entry, size - 8 - length)
            for name, entry in table.items() if name != "__metadata__"]


def _tensor(file: str, name: str, entry: Any, room: int) -> TensorInfo:
    """One entry, its offsets checked against dtype, shape and file size."""
    def whole(values: Any) -> bool:
        return isinstance(values, list) and all(
            isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 1 << 60 for v in values)

    shown = name[:60]
    group = entry if isinstance(entry, dict) else {}
    dtype, shape, span = (group.get(k) for k in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or not whole(shape) or not whole(span) or len(span or ()) != 2:
        raise BadInput(f"{file}: tensor {shown!r} lacks dtype, shape or data_offsets")
    assert shape is not None and span is not None
    info = TensorInfo(name, dtype, tuple(shape), span[1] - span[0])
    bits = _BITS.get(dtype)
    if bits is not None and -(-info.elements * bits // 8) != info.bytes:
        raise BadInput(f"{file}: tensor {shown!r} of {info.elements} {dtype} has "
                       f"{info.bytes} bytes")
    if info.bytes < 0 or span[1] > room:
        raise BadInput(f"{file}: tensor {shown!r} ends beyond the file; is it truncated?")
    return info
