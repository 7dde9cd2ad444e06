"""A measured machine as a chip of the catalog, for every command to use at once."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput
from ridgeline.files import write_atomically
from ridgeline.machine.kernels import KernelTimes
from ridgeline.measure.machine.kernel_times import kernels_of, levels_of
from ridgeline.measure.machine.points import Machine, Point, peak_rate

if TYPE_CHECKING:
    from ridgeline.machine.chip import Chip

__all__ = ["bandwidth_of", "chip_name", "chip_toml", "measured_chip", "peaks_of", "write_chip"]

_WIDEST = ("fp64", "fp32", "tf32", "fp16", "bf16", "fp8", "int8")


def bandwidth_of(machine: Machine) -> Point:
    """The memory bandwidth: best read, else copy, of the largest working set.

    Raises:
        BadInput: neither was measured.
    """
    for kind in ("read", "copy"):
        found = machine.of(kind)
        if found:
            far = max(p.size for p in found)
            return max((p for p in found if p.size == far), key=lambda p: p.rate)
    raise BadInput("no memory bandwidth was measured; let the measurement run longer")


def peaks_of(machine: Machine) -> dict[str, float]:
    """Best matmul rate by format [FLOP/s].

    Raises:
        BadInput: none was measured.
    """
    found = {f: rate for f in _WIDEST if (rate := peak_rate(machine.of("matmul", format=f)))}
    if not found:
        raise BadInput("no matmul rate was measured; let the measurement run longer")
    return found


def chip_name(text: str) -> str:
    """A name that is also a file name: letters, digits, dots and dashes.

    Raises:
        BadInput: nothing is left.

    >>> chip_name("AMD EPYC 9374F 32-Core Processor")
    'AMD-EPYC-9374F-32-Core-Processor'
    """
    name = re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:80]
    if not name:
        raise BadInput(f"{text!r} gives no name for a chip; use letters, digits and dashes")
    return name


def chip_toml(machine: Machine, name: str) -> str:
    """The chip file of a measured machine.

    Raises:
        BadInput: a bandwidth or every matmul rate is missing.
    """
    host, far = machine.host, bandwidth_of(machine)
    threads = max(p.threads for p in machine.points)
    top: dict[str, Any] = {
        "name": name, "vendor": host.vendor, "architecture": _architecture(machine),
        "kind": "gpu" if host.device == "cuda" else "cpu",
        "source": f"measured by `ridgeline measure machine` with {host.software or 'NumPy'}, "
                  f"{threads} thread{'s' if threads > 1 else ''}, load {host.load:.2f}",
        "date": machine.began[:10], "confidence": "medium", "basis": "measured",
        "notes": [f"measured on {host.name}",
                  f"middle of the samples {100 * _noise(machine):.1f} % slower than the best, "
                  "which is what stands here"]}
    parts: dict[str, dict[str, Any]] = {
        "peaks": {f: _rounded(v) for f, v in peaks_of(machine).items()},
        "memory": {"bytes": _rounded(host.memory_bytes), "bandwidth": _rounded(far.rate)},
        "on_chip": {"n_cores": max(1, threads if host.device == "cpu" else host.n_cores)}}
    if host.caches:
        parts["on_chip"]["l2_bytes"] = max(host.caches.values())
    if host.clock:
        parts["on_chip"]["clock"] = host.clock
    levels = levels_of(machine)
    if len(levels) > 1:
        parts["memory"]["levels"] = [[_rounded(v) for v in level] for level in levels]
    lines = [f"{k} = {_toml(v)}" for k, v in top.items()]
    for title, values in parts.items():
        lines += ["", f"[{title}]", *(f"{k} = {_toml(v)}" for k, v in values.items())]
    for engine, times in kernels_of(machine).items():
        lines += _kernel_lines(engine, times)
    return "\n".join(lines) + "\n"


def _kernel_lines(engine: str, times: KernelTimes) -> list[str]:
    """The tables of an engine's kernels."""
    def fields(record: Any, skip: tuple[str, ...] = ()) -> list[str]:
        return [f"{f.name} = {_toml(_plain(getattr(record, f.name)))}"
                for f in dataclasses.fields(record) if f.name not in skip]

    lines = ["", f"[kernels.{engine}]", *fields(times, ("matmul", "attention"))]
    for title in ("matmul", "attention"):
        for curve in getattr(times, title):
            lines += ["", f"[[kernels.{engine}.{title}]]", *fields(curve)]
    return lines


def _plain(value: Any) -> Any:
    """Numbers with four digits, tuples as lists."""
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return _rounded(value) if isinstance(value, float) else value


def write_chip(machine: Machine, path: str | Path) -> Path:
    """Write the chip file; its name is the file's, checked by the catalog's own rules.

    Raises:
        BadInput: a file name that is no chip name or not .toml, or nothing to write.
    """
    from ridgeline.catalog.schema import ChipFile, convert

    target = Path(path)
    if target.suffix != ".toml" or chip_name(target.stem) != target.stem:
        raise BadInput(f"cannot write a chip to {str(path)!r}; name it like my-machine.toml, with "
                       "letters, digits, dots and dashes")
    text = chip_toml(machine, target.stem)
    convert(tomllib.loads(text), ChipFile, str(path))
    return write_atomically(target, text)


def measured_chip(machine: Machine, name: str = "measured") -> Chip:
    """The chip that the file of a measured machine would give.

    Raises:
        BadInput: a bandwidth or every matmul rate is missing.
    """
    from ridgeline.catalog.loader import chip_of
    from ridgeline.catalog.schema import ChipFile, convert

    entry = convert(tomllib.loads(chip_toml(machine, name)), ChipFile, name)
    assert isinstance(entry, ChipFile)
    return chip_of(entry)


def _architecture(machine: Machine) -> str:
    return "measured processor" if machine.host.device == "cpu" else "measured accelerator"


def _noise(machine: Machine) -> float:
    """Middle noise of all points."""
    values = sorted(p.noise for p in machine.points)
    return values[len(values) // 2] if values else 0.0


def _rounded(value: float) -> float:
    """Four digits: more would claim more than a measurement knows."""
    return float(f"{value:.4g}")


def _toml(value: Any) -> str:
    import json

    if isinstance(value, list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if value == 0 and isinstance(value, float):
        return "0.0"
    if isinstance(value, float):
        return f"{value:.1f}" if 1 <= abs(value) < 1e5 else f"{value:.4g}".replace("e+", "e")
    return json.dumps(value)
