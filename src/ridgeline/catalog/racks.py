"""Racks as scale-up domains and the fabrics that carry their links: `data/racks.toml`."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from msgspec import Meta, Struct

from ridgeline.catalog.schema import Confidence, Count, Date, Name, Text
from ridgeline.errors import BadInput, UnknownName

__all__ = ["FabricEntry", "RackEntry", "load_fabrics", "load_rack", "rack_names"]

Positive = Annotated[float, Meta(gt=0, lt=1e9)]
Amount = Annotated[float, Meta(ge=0, lt=1e9)]


class RackEntry(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """One rack: limits, and what a chip takes of each (watts, metres, kilograms)."""

    name: Name
    chip: Name
    n_chips: Count
    source: Text
    date: Date
    confidence: Confidence
    chip_watts: Positive
    hosts_per_chip: Amount
    host_watts: Amount
    power_limit: Positive
    cooling_limit: Positive
    links_per_chip: Positive
    wires_per_link: Positive
    switch_ports: Positive
    slots: Positive
    chips_per_tray: Positive
    mass_fixed: Amount
    mass_per_chip: Positive
    floor_limit: Positive
    wire_diameter: Positive
    bend_radius: Amount
    channel_depth: Positive
    channel_width: Positive
    reach: Positive
    spare_length: Amount
    tray_pitch: Positive
    power_source: str = ""
    cooling_source: str = ""
    switch_source: str = ""
    mass_source: str = ""
    wire_source: str = ""
    reach_source: str = ""
    notes: tuple[str, ...] = ()

    @property
    def watts_per_chip(self) -> float:
        """A chip with its share of the hosts [W]."""
        return self.chip_watts + self.hosts_per_chip * self.host_watts


class FabricEntry(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A way to carry links: energy of a bit, latency of both ports [s], reach [m]."""

    name: Name
    link: Name
    pj_per_bit_low: Positive
    pj_per_bit_high: Positive
    latency: Amount
    reach: Positive
    source: Text
    date: Date


@lru_cache(maxsize=1)
def _tables() -> tuple[tuple[RackEntry, ...], tuple[FabricEntry, ...]]:
    from ridgeline.catalog.files import DATA, read_toml
    from ridgeline.catalog.schema import convert

    path = DATA / "racks.toml"
    data = read_toml(path)
    racks = [convert(row, RackEntry, f"{path}: rack {n}")
             for n, row in enumerate(data.pop("rack", []), 1)]
    fabrics = [convert(row, FabricEntry, f"{path}: fabric {n}")
               for n, row in enumerate(data.pop("fabric", []), 1)]
    if data:
        raise BadInput(f"{path}: expected [[rack]] and [[fabric]] tables, found "
                       + ", ".join(map(repr, data)))
    return (tuple(r for r in racks if isinstance(r, RackEntry)),
            tuple(f for f in fabrics if isinstance(f, FabricEntry)))


def rack_names() -> list[str]:
    """Names of the racks."""
    return [rack.name for rack in _tables()[0]]


def load_rack(name: str) -> RackEntry:
    """The rack of a name.

    Raises:
        UnknownName: no such rack.

    >>> load_rack("nvl72").watts_per_chip
    1450.0
    """
    for rack in _tables()[0]:
        if rack.name.lower() == name.strip().lower():
            return rack
    raise UnknownName.among("rack", name, rack_names(), "Racks: " + ", ".join(rack_names()))


def load_fabrics() -> tuple[FabricEntry, ...]:
    """Ways to carry the links of a domain, copper first."""
    return _tables()[1]
