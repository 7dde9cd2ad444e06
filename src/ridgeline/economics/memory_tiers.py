"""Memory and storage by what a gigabyte costs an hour, how fast it drains and how far it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

from ridgeline.economics.cache_cost import capital_gb_hour, device_gb_hour, drain_time
from ridgeline.economics.dated import ChipRent, Dated
from ridgeline.machine import Chip

__all__ = ["LIFETIME", "TierCost", "nearest_by_drain", "nearest_by_price", "tier_costs"]

# Servers are written off over about four years; clouds have said four to six.
LIFETIME = 4 * 365.25 * 86400.0
_MONTH_HOURS = 730.5
# The tiers a cache may go to, fastest first: catalog name -> what people call it.
_TIERS = {"DDR5-6400": "host DRAM", "CXL 2.0 memory expander": "CXL memory",
          "NVMe SSD PCIe5": "NVMe flash", "HDD 24-32 TB": "hard disk",
          "Object storage (S3 Standard class)": "object storage"}


@dataclass(frozen=True)
class TierCost:
    """One place a cache can be kept.

    Attributes:
        name: as people say it.
        low, high: a gigabyte for an hour [USD]; `mid` is the geometric mean.
        drain: time to read one unit of it once [s]; None where capacity has no bound.
        bandwidth: one way, from there to one chip [bytes/s].
        dated: of the price.
    """

    name: str
    low: float
    high: float
    drain: float | None
    bandwidth: float
    dated: Dated | None

    @property
    def mid(self) -> float:
        """Geometric mean of the range: prices of memory vary by factors."""
        return math.sqrt(self.low * self.high)


def tier_costs(chip: Chip, rent: ChipRent, *, today: date | None = None) -> tuple[TierCost, ...]:
    """Device memory of a chip and the tiers behind it, the fastest first.

    Device memory costs the chip's rent; bought memory its price over LIFETIME, without the power
    and the slot it takes; object storage its monthly fee.
    """
    from ridgeline.catalog import load_tiers

    def gb_hour(usd: float) -> float:
        return float(device_gb_hour(usd_per_chip_hour=usd, memory_bytes=chip.memory_bytes))

    day = today or date.today()
    found = [TierCost("device memory", gb_hour(rent.low), gb_hour(rent.high),
                      float(drain_time(memory_bytes=chip.memory_bytes,
                                       memory_bandwidth=chip.memory_bandwidth)),
                      chip.memory_bandwidth, rent.dated)]
    host = chip.host.bandwidth if chip.host else math.inf
    entries = {e.name: e for e in load_tiers()}
    for name, title in _TIERS.items():
        entry = entries[name]
        if entry.usd_per_gb_low is None or entry.usd_per_gb_high is None:
            continue
        prices = [_hourly(usd, monthly=entry.kind == "object")
                  for usd in (entry.usd_per_gb_low, entry.usd_per_gb_high)]
        own = entry.bandwidth if entry.kind != "object" else entry.device_bandwidth
        drain = entry.bytes / entry.bandwidth if entry.bytes and entry.bandwidth else None
        found.append(TierCost(title, prices[0], prices[1], drain, min(host, own or host),
                              Dated(entry.usd_date, entry.source, day)))
    return tuple(found)


def _hourly(usd: float, *, monthly: bool) -> float:
    if monthly:
        return usd / _MONTH_HOURS
    return float(capital_gb_hour(usd_per_gb=usd, lifetime=LIFETIME))


def nearest_by_drain(tiers: tuple[TierCost, ...], hold_time: float) -> TierCost:
    """The tier whose drain time is the nearest factor from a hold time.

    A memory that is filled and drained once in the time a cache is kept is used fully; a faster
    one would sit idle, a slower one could not give everything back.
    """
    known = [t for t in tiers if t.drain]
    return min(known, key=lambda t: abs(math.log((t.drain or 1.0) / hold_time)))


def nearest_by_price(tiers: tuple[TierCost, ...], usd_per_gb_hour: float) -> TierCost:
    """The tier whose price is the nearest factor from the one implied."""
    return min(tiers, key=lambda t: abs(math.log(t.mid / usd_per_gb_hour)))
