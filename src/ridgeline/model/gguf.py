"""GGUF files: the header's metadata and tensor list -> Architecture and exact bytes.

Layout facts from the GGUF specification (ggml-org/ggml docs/gguf.md, MIT) and the block sizes of
its tensor types; only the header is read, never the weights.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from ridgeline.errors import BadInput
from ridgeline.model.architecture import Architecture
from ridgeline.model.gguf_config import config_of

__all__ = ["GgufFile", "GgufTensor", "architecture_from_gguf", "read_gguf"]

# Scalar value types by number: struct code.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
            12: "d"}
_STRING, _ARRAY = 8, 9
_MAX_TEXT, _KEPT_ARRAY = 1 << 26, 4096
# Tensor types by number: name, elements in a block, bytes of a block.
TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("fp32", 1, 4), 1: ("fp16", 1, 2), 2: ("q4_0", 32, 18), 3: ("q4_1", 32, 20),
    6: ("q5_0", 32, 22), 7: ("q5_1", 32, 24), 8: ("q8_0", 32, 34), 9: ("q8_1", 32, 36),
    10: ("q2_k", 256, 84), 11: ("q3_k", 256, 110), 12: ("q4_k", 256, 144),
    13: ("q5_k", 256, 176), 14: ("q6_k", 256, 210), 15: ("q8_k", 256, 292),
    16: ("iq2_xxs", 256, 66), 17: ("iq2_xs", 256, 74), 18: ("iq3_xxs", 256, 98),
    19: ("iq1_s", 256, 50), 20: ("iq4_nl", 32, 18), 21: ("iq3_s", 256, 110),
    22: ("iq2_s", 256, 82), 23: ("iq4_xs", 256, 136), 24: ("int8", 1, 1), 25: ("int16", 1, 2),
    26: ("int32", 1, 4), 27: ("int64", 1, 8), 28: ("fp64", 1, 8), 29: ("iq1_m", 256, 56),
    30: ("bf16", 1, 2), 34: ("tq1_0", 256, 54), 35: ("tq2_0", 256, 66), 39: ("mxfp4", 32, 17),
}
_FILE_TYPES = {0: "fp32", 1: "fp16", 2: "q4_0", 3: "q4_1", 7: "q8_0", 8: "q5_0", 9: "q5_1",
               10: "q2_k", 11: "q3_k_s", 12: "q3_k_m", 13: "q3_k_l", 14: "q4_k_s", 15: "q4_k_m",
               16: "q5_k_s", 17: "q5_k_m", 18: "q6_k", 19: "iq2_xxs", 20: "iq2_xs",
               23: "iq3_xxs", 24: "iq1_s", 25: "iq4_nl", 26: "iq3_s", 28: "iq2_s",
               30: "iq4_xs", 31: "iq1_m", 32: "bf16", 36: "tq1_0", 37: "tq2_0", 38: "mxfp4"}


@dataclass(frozen=True)
class GgufTensor:
    """One tensor of the list: name, sizes (fastest axis first) and type name."""

    name: str
    shape: tuple[int, ...]
    format: str
    bytes: int

    @property
    def elements(self) -> int:
        """Number of parameters."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class GgufFile:
    """What a GGUF header says: metadata (long arrays as their length) and tensors."""

    metadata: Mapping[str, Any]
    tensors: tuple[GgufTensor, ...]

    @property
    def params(self) -> int:
        """Elements of all tensors."""
        return sum(t.elements for t in self.tensors)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all tensors in their own formats, without alignment [bytes]."""
        return sum(t.bytes for t in self.tensors)


class _Reader:
    """Checked reading of a header: a length that the file cannot hold is an error at once."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self.file, self.size, self.name, self.wide = file, size, name, "Q"

    def fail(self, reason: str) -> BadInput:
        return BadInput(f"{self.name}: not a readable GGUF file: {reason}")

    def take(self, count: int) -> bytes:
        data = self.file.read(count) if 0 <= count <= self.size else b""
        if len(data) != count:
            raise self.fail("it ends before its header does")
        return data

    def number(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize(code)))[0]

    def count(self, least: int = 1) -> int:
        """A count of things of at least `least` bytes each that must fit in the file."""
        value = int(self.number("Q"))
        if value * least > self.size:
            raise self.fail(f"it claims {value} entries in {self.size} bytes")
        return value

    def text(self) -> str:
        length = self.count()
        if length > _MAX_TEXT:
            raise self.fail(f"it claims a text of {length} bytes")
        return self.take(length).decode("utf-8", errors="replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY or depth > 4:
            raise self.fail(f"value type {kind} is not known")
        inner, length = int(self.number("I")), self.count()
        if inner in _SCALARS:
            width = struct.calcsize(_SCALARS[inner])
            raw = self.take(length * width)
            if length > _KEPT_ARRAY:
                return length
            return list(struct.unpack(f"<{length}{_SCALARS[inner]}", raw))
        kept = [self.value(inner, depth + 1) for _ in range(length)]
        return kept if length <= _KEPT_ARRAY else length

    def tensor(self) -> GgufTensor:
        name, axes = self.text(), int(self.number("I"))
        if not 0 <= axes <= 8:
            raise self.fail(f"tensor {name[:40]!r} has {axes} axes")
        shape = tuple(int(self.number("Q")) for _ in range(axes))
        kind, _ = int(self.number("I")), self.number("Q")
        if kind not in TENSOR_TYPES:
            raise self.fail(f"tensor {name[:40]!r} has type {kind}, which is not known")
        label, block, width = TENSOR_TYPES[kind]
        elements = math.prod(shape)
        if elements % block or elements > 1 << 50:
            raise self.fail(f"tensor {name[:40]!r} has {elements} elements in blocks of {block}")
        return GgufTensor(name, shape, label, elements // block * width)


def read_gguf(path: str | Path) -> GgufFile:
    """Read the header of a GGUF file of version 2 or 3.

    Returns:
        metadata and tensors; `params` and `weight_bytes` are exact.

    Raises:
        BadInput: unreadable, truncated, or not GGUF.
    """
    place = Path(path)
    try:
        with place.open("rb") as file:
            return _header(_Reader(file, place.stat().st_size, place.name))
    except (OSError, OverflowError, MemoryError, struct.error) as error:
        raise BadInput(f"cannot read {place.name} as GGUF: {error}") from None


def _header(r: _Reader) -> GgufFile:
    if r.take(4) != b"GGUF":
        raise r.fail("it does not start with GGUF")
    version = r.number("I")
    if version not in (2, 3):
        raise r.fail(f"version {version}; versions 2 and 3 are read")
    tensors, pairs = r.count(24), r.count(12)
    metadata: dict[str, Any] = {}
    for _ in range(pairs):
        key = r.text()
        metadata[key] = r.value(int(r.number("I")))
    return GgufFile(metadata, tuple(r.tensor() for _ in range(tensors)))


def architecture_from_gguf(path: str | Path) -> Architecture:
    """The architecture that a GGUF file describes, with the format of its file type.

    The metadata is put in the words of a config.json and read as one.

    Raises:
        BadInput: not a GGUF file, or an architecture that cannot be built from its metadata.
    """
    from ridgeline.model.huggingface import architecture_from_config

    place = Path(path)
    file = read_gguf(place)
    arch = architecture_from_config(gguf_config(file, place.name), place.stem)
    return replace(arch, weight_format=_file_format(file))


def gguf_config(file: GgufFile, name: str) -> dict[str, Any]:
    """The metadata of a GGUF file in the words of a config.json.

    Raises:
        BadInput: no architecture, or no embedding to take the vocabulary from.
    """
    kind = file.metadata.get("general.architecture")
    shapes = {t.name: t.shape for t in file.tensors}
    table = shapes.get("token_embd.weight", ())
    if not isinstance(kind, str) or len(table) != 2:
        raise BadInput(f"{name}: no model in it (needs general.architecture and token_embd)")
    return config_of(kind, file.metadata, shapes)


def _file_format(file: GgufFile) -> str:
    """Name of the file type, else the format that holds most bytes."""
    from ridgeline.formats import get_format

    named = _FILE_TYPES.get(file.metadata.get("general.file_type", -1)
                            if isinstance(file.metadata.get("general.file_type"), int) else -1)
    sizes: dict[str, int] = {}
    for tensor in file.tensors:
        sizes[tensor.format] = sizes.get(tensor.format, 0) + tensor.bytes
    for label in (named, *sorted(sizes, key=lambda k: -sizes[k])):
        try:
            return get_format(label).name if label else "fp16"
        except BadInput:
            continue
    return "fp16"
