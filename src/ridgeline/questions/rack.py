"""How large can a scale-up domain be? Every physical limit, and which one binds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ridgeline.catalog import load_chip
from ridgeline.catalog.racks import RackEntry, load_rack
from ridgeline.economics import domain_limits
from ridgeline.errors import BadInput, UnknownName
from ridgeline.explain.derivation import Derivation, Given, derive
from ridgeline.machine import Chip
from ridgeline.quantity import Quantity, check_positive
from ridgeline.questions.answer import Answer, Cell, Table, Value
from ridgeline.report.figure import Axis, Bar, Figure
from ridgeline.work.communication_volume import domain_memory_bytes

__all__ = ["Limit", "RackAsk", "limits_of", "rack", "rack_figure"]


@dataclass(frozen=True)
class RackAsk:
    """A rack and what is to run in it.

    Attributes:
        rack: name in the catalog.
        model: a bundled name or sizes ("1T", "671B/37B"); None: limits alone.
        changed: fields of the rack to change (`power_limit`, `reach`, ...).
        chips: how many chips it is to hold; None: as it is built.
        weights: number format of a model known by size.
        batch: sequences decoding in the domain.
        context: their length [tokens].
        cable_length: of optics [m].
        optical_bandwidth: of one chip over optics, one way [bytes/s]; None: as copper.
        pool_share: share of a step's bytes in a memory pool.
        pool_bandwidth: of one chip to it [bytes/s].
        racks: how many share an all-to-all.
        ideal: the textbook instead of calibrated times.
    """

    rack: str = "NVL72"
    model: str | None = None
    changed: Mapping[str, float] = field(default_factory=dict)
    chips: int | None = None
    weights: str | None = None
    batch: float = 256.0
    context: float = 4096.0
    cable_length: float = 20.0
    optical_bandwidth: float | None = None
    pool_share: float = 0.2
    pool_bandwidth: float = 100e9
    racks: int = 8
    ideal: bool = False

    def __post_init__(self) -> None:
        """Sizes that mean something."""
        check_positive(batch=self.batch, context=self.context, cable_length=self.cable_length,
                       pool_bandwidth=self.pool_bandwidth)
        if self.optical_bandwidth is not None:
            check_positive(optical_bandwidth=self.optical_bandwidth)
        if not 0 < self.pool_share < 1:
            raise BadInput(f"pool share must be above 0 and below 1, not {self.pool_share:g}")
        if self.chips is not None and not 1 <= self.chips <= 1_000_000:
            raise BadInput(f"a domain has 1 to 1,000,000 chips, not {self.chips}")
        if not 2 <= self.racks <= 100_000:
            raise BadInput(f"an all-to-all across racks needs 2 to 100,000 of them, "
                           f"not {self.racks}")


@dataclass(frozen=True)
class Limit:
    """One limit: what there is, what each chip takes, and how many chips that allows."""

    name: str
    unit: str
    limit: float
    per_chip: float
    fixed: float
    chips: float
    source: str

    def need(self, chips: float) -> float:
        """What so many chips take of it: the inverse."""
        return self.fixed + chips * self.per_chip


def rack(ask: RackAsk) -> Answer:
    """Chips that each limit allows, the binding one, and what the domain does with a model.

    Returns:
        an Answer with `max_chips`, `binding_limit`, `cables`, `power_w`, `memory_bytes`; table
        "limits"; with a model the largest that fits, step times over copper and optics
        ("fabrics"), from a memory pool ("pool") and of all-to-alls in and across racks
        ("all_to_all").

    Raises:
        BadInput: an unknown name or field, or values out of range.
        Infeasible: the model does not fit in the rack (not with `ideal`).
    """
    entry = _entry(ask)
    chip, chips = load_chip(entry.chip), ask.chips or entry.n_chips
    found = limits_of(entry)
    binding = min(found, key=lambda limit: limit.chips)
    tables = [_limit_table(found, chips)]
    out, notes = _quantities(entry, chip, chips, binding), _notes(entry)
    if ask.model is not None:
        from ridgeline.questions.rack_network import network

        more, drawn, said = network(ask, entry, chip, chips)
        out |= more
        tables += drawn
        notes += said
    return Answer("rack", _asked(ask, entry, chips), out, tuple(t for t in tables if t.rows),
                  tuple(notes), _derivation(entry, chips))


def _entry(ask: RackAsk) -> RackEntry:
    """The rack with the user's changes."""
    entry = load_rack(ask.rack)
    numeric = {n for n in entry.__struct_fields__ if isinstance(getattr(entry, n), (int, float))}
    for name, value in ask.changed.items():
        if name not in numeric:
            raise UnknownName.among("field of a rack", name, numeric,
                                    "Fields: " + ", ".join(sorted(numeric)))
        check_positive(**{name: value})
    changed: dict[str, Any] = dict(ask.changed)
    if "n_chips" in changed:
        changed["n_chips"] = int(changed["n_chips"])
    return msgspec.structs.replace(entry, **changed)


def limits_of(entry: RackEntry) -> tuple[Limit, ...]:
    """Every limit of a rack with the chips it allows."""
    wires = entry.links_per_chip * entry.wires_per_link
    room = float(domain_limits.wires_through_bend(
        channel_depth=entry.channel_depth, channel_width=entry.channel_width,
        bend_radius=entry.bend_radius, wire_diameter=entry.wire_diameter))
    # Switches in the middle: a stack of trays above them and one below, each within reach.
    near = 2 * float(domain_limits.chips_within_reach(
        reach=entry.reach, spare_length=entry.spare_length, tray_pitch=entry.tray_pitch,
        chips_per_tray=entry.chips_per_tray))
    per_metre = entry.tray_pitch / entry.chips_per_tray / 2
    plain = [
        ("power", "W", entry.power_limit, entry.watts_per_chip, 0.0, entry.power_source),
        ("cooling", "W", entry.cooling_limit, entry.watts_per_chip, 0.0, entry.cooling_source),
        ("floor weight", "kg", entry.floor_limit, entry.mass_per_chip, entry.mass_fixed,
         entry.mass_source),
        ("switch ports", "ports", entry.switch_ports, entry.links_per_chip, 0.0,
         entry.switch_source),
        ("backplane slots", "slots", entry.slots, 1 / entry.chips_per_tray, 0.0, entry.source),
        ("cable bends", "wires", max(0.0, room), wires, 0.0, entry.wire_source),
    ]
    found = [Limit(name, unit, limit, per, fixed, max(0.0, float(domain_limits.chips_within(
        limit=limit, per_chip=per, fixed_use=fixed))), source)
        for name, unit, limit, per, fixed, source in plain]
    return (*found, Limit("copper reach", "m", entry.reach, per_metre, entry.spare_length,
                          max(0.0, near), entry.reach_source))


def _quantities(entry: RackEntry, chip: Chip, chips: int, binding: Limit) -> dict[str, Value]:
    exact = Quantity.exact
    power = domain_limits.domain_power(
        n_chips=float(chips), chip_watts=entry.chip_watts,
        n_hosts=chips * entry.hosts_per_chip, host_watts=entry.host_watts)
    cables = domain_limits.cable_count(n_chips=float(chips), links_per_chip=entry.links_per_chip,
                                       wires_per_link=entry.wires_per_link)
    return {
        "bound": f"{binding.name} allows {binding.chips:,.0f} chips, the fewest of all limits",
        "max_chips": int(binding.chips), "binding_limit": binding.name,
        "chips": chips, "within_limits": chips <= binding.chips,
        "cables": exact(float(cables), "1"),
        "power_w": exact(float(power), "W", "datasheet"),
        "mass_kg": exact(entry.mass_fixed + chips * entry.mass_per_chip, "kg", "assumed"),
        "memory_bytes": exact(float(domain_memory_bytes(
            n_chips=float(chips), memory_bytes=chip.memory_bytes)), "B", "datasheet"),
        "memory_bandwidth_bytes_per_s": exact(chips * chip.memory_bandwidth, "B/s", "datasheet"),
    }


def _limit_table(found: tuple[Limit, ...], chips: int) -> Table:
    rows: list[list[Cell]] = [
        [f.name, f.chips, f.limit, f.per_chip, f.fixed or None, f.unit, f.need(chips),
         chips <= f.chips] for f in sorted(found, key=lambda f: f.chips)]
    return Table.of("limits", {"limit": "1", "chips": "1", "there is": "1", "a chip takes": "1",
                               "fixed": "1", "unit": "1", f"{chips:,} need": "1", "ok": "1"}, rows,
                    title="Physical limits, the tightest first")


def _notes(entry: RackEntry) -> list[str]:
    sources = {"power": entry.power_source, "cooling": entry.cooling_source,
               "weight": entry.mass_source, "ports": entry.switch_source,
               "wires": entry.wire_source, "reach": entry.reach_source}
    told = "; ".join(f"{name}: {text}" for name, text in sources.items() if text)
    return [f"{entry.name} ({entry.date}, {entry.confidence} confidence): {entry.source}.",
            f"{told}.", *(f"{note}." for note in entry.notes)]


def _derivation(entry: RackEntry, chips: int) -> tuple[Derivation, ...]:
    def given(value: float) -> Given:
        return Given(value, "datasheet", entry.name)

    power = derive(domain_limits.domain_power, {
        "n_chips": given(float(chips)), "chip_watts": given(entry.chip_watts),
        "n_hosts": given(chips * entry.hosts_per_chip), "host_watts": given(entry.host_watts)})
    cooled = derive(domain_limits.chips_within, {
        "limit": given(entry.cooling_limit), "per_chip": given(entry.watts_per_chip)},
        title="Chips that the cooling allows")
    wires = derive(domain_limits.cable_count, {
        "n_chips": given(float(chips)), "links_per_chip": given(float(entry.links_per_chip)),
        "wires_per_link": given(float(entry.wires_per_link))})
    return power, cooled, wires


def _asked(ask: RackAsk, entry: RackEntry, chips: int) -> dict[str, Any]:
    return {"rack": entry.name, "model": ask.model, "changed": dict(ask.changed), "chips": chips,
            "batch": ask.batch, "context": ask.context, "cable_length_m": ask.cable_length,
            "optical_bandwidth_bytes_per_s": ask.optical_bandwidth, "pool_share": ask.pool_share,
            "pool_bandwidth_bytes_per_s": ask.pool_bandwidth,
            "racks": ask.racks, "ideal": ask.ideal}


def rack_figure(ask: RackAsk) -> Figure:
    """Chips that each limit allows, as bars."""
    entry = _entry(ask)
    found = sorted(limits_of(entry), key=lambda f: f.chips)
    names = tuple(f.name for f in found)
    places = [float(i) for i in range(len(found))]
    high = max(f.chips for f in found if math.isfinite(f.chips))
    return Figure(f"Chips that each limit of {entry.name} allows",
                  Axis("limit", categories=names), Axis("chips", low=0.0, high=high * 1.1),
                  (Bar(places, [f.chips for f in found], hover=[f.source for f in found]),))
