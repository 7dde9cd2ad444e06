"""Machines written as text: "8xH100-SXM", "16xH200", "2x8xH100", "H100"."""

from __future__ import annotations

import re
from typing import Protocol

from ridgeline.errors import BadInput
from ridgeline.machine.chip import Chip, Cluster

__all__ = ["parse_machine"]

LARGEST = 10_000_000
_COUNTED = re.compile(r"^\s*(?:(\d[\d_,]*|-\d+|\d*\.\d+)\s*[x×*]\s*)(?=\S)", re.IGNORECASE)


class ChipSource(Protocol):
    """Anything that knows chips by name: a catalog."""

    def chip(self, name: str) -> Chip:
        """The chip of a name."""
        ...


def parse_machine(text: str, catalog: ChipSource | None = None) -> Cluster:
    """Read a machine: a chip, so many chips, or so many nodes of so many chips.

    "8xH100" is 8 chips in domains as large as the chip's own (8 for HGX, 72 for NVL72, a pod for a
    TPU); "2x8xH100" is 2 nodes of 8, whatever the chip's own domain, a node never being more than
    one domain.

    Args:
        text: as above; "x", "×" or "*" between the parts, any spelling of the chip.
        catalog: where chips are looked up; the default catalog when None.

    Raises:
        BadInput: a count that is not a whole number from 1 to 10,000,000, or an ambiguous chip.
        UnknownName: no such chip.

    >>> parse_machine("2x8xH100").n_chips, parse_machine("16xH200").domain_size
    (16, 8)
    """
    counts: list[int] = []
    rest = text
    while match := _COUNTED.match(rest):
        counts.append(_count(match[1], text))
        rest = rest[match.end():]
    if len(counts) > 2:
        raise BadInput(f"cannot read machine {text!r}; write for instance H100, 8xH100 or "
                       "2x8xH100 (nodes x chips x name)")
    if not rest.strip() or re.fullmatch(r"\s*\d*\s*[x×*]?\s*", rest):
        raise BadInput(f"machine {text!r} names no chip; write for instance 8xH100-SXM")
    if catalog is None:
        from ridgeline.catalog.loader import default_catalog

        catalog = default_catalog()
    chip = catalog.chip(rest.strip())
    if len(counts) < 2:
        return Cluster.of(chip, counts[0] if counts else 1)
    nodes, per_node = counts
    if nodes * per_node > LARGEST:
        raise BadInput(f"machine {text!r} has more than {LARGEST:,} chips")
    return Cluster.of(chip, nodes * per_node, domain_size=min(per_node, chip.domain_size))


def _count(written: str, text: str) -> int:
    """A number of nodes or chips."""
    digits = re.sub("[_,]", "", written)
    if not digits.isdigit() or not 1 <= int(digits[:12]) <= LARGEST or len(digits) > 12:
        raise BadInput(f"machine {text!r}: {written} is not a number of chips; give a whole "
                       f"number from 1 to {LARGEST:,}")
    return int(digits)
