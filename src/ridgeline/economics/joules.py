"""Energy of a bit by kind of memory and link, read from the catalog's words."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ridgeline.machine import Chip

__all__ = ["BitEnergy", "link_bit_energy", "memory_bit_energy", "picojoules"]

_RANGE = re.compile(r"(\d+(?:\.\d+)?)(?:\s*-\s*(\d+(?:\.\d+)?))?")
# What a memory is called on a chip -> the tier that stands for it.
_TIERS = {"HBM4": "HBM4 stack", "HBM3e": "HBM3e stack", "HBM3": "HBM3 stack",
          "HBM2e": "HBM2e stack", "HBM": "HBM2e stack", "GDDR7": "GDDR7", "GDDR6X": "GDDR6X",
          "GDDR": "GDDR6", "LPDDR": "LPDDR5X", "DDR5": "DDR5-4800", "DDR": "DDR4-3200"}
# A short electrical link of 2022-24 between packages, SerDes of both ends together.
_USUAL_LINK = (4.0, 6.0)


@dataclass(frozen=True)
class BitEnergy:
    """Joules of a bit with its range and where it is from."""

    low: float
    high: float
    source: str

    @property
    def mid(self) -> float:
        """Geometric mean."""
        return math.sqrt(self.low * self.high)


def picojoules(text: str) -> tuple[float, float] | None:
    """The first number or range of a text in pJ/bit; None without one.

    >>> picojoules("3.9-5 (device); others 7-9 pJ/bit"), picojoules("unknown")
    ((3.9, 5.0), None)
    """
    found = _RANGE.search(text)
    if found is None or "pJ/bit" not in text:
        return None
    low = float(found[1])
    return low, float(found[2] or low)


def memory_bit_energy(chip: Chip) -> BitEnergy:
    """Energy of a bit from a chip's device memory, by the memory's kind."""
    from ridgeline.catalog import load_chip_file, load_tiers

    kind = load_chip_file(chip.name).memory.type
    tier = next((t for prefix, t in _TIERS.items() if kind.upper().startswith(prefix.upper())),
                _TIERS["DDR5"])
    entry = next(t for t in load_tiers() if t.name == tier)
    low, high = picojoules(entry.energy) or (5.0, 5.0)
    return BitEnergy(low * 1e-12, high * 1e-12, f"{entry.name}, {entry.date}: {entry.energy}")


def link_bit_energy(chip: Chip) -> BitEnergy:
    """Energy of a bit over a chip's scale-up link; a usual electrical link where none is known."""
    from ridgeline.catalog import default_catalog

    if chip.scale_up is not None:
        entries = {e.name: e for e in default_catalog().links()}
        entry = entries.get(chip.scale_up.name)
        found = picojoules(entry.energy) if entry and entry.energy else None
        if entry and found:
            return BitEnergy(found[0] * 1e-12, found[1] * 1e-12,
                             f"{entry.name}, {entry.date}: {entry.energy}")
    low, high = _USUAL_LINK
    return BitEnergy(low * 1e-12, high * 1e-12, "usual electrical link, assumed")
