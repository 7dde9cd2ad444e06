"""What can be rented: chips, how many, at what price."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ridgeline.errors import BadInput, Infeasible
from ridgeline.machine import Chip, Cluster
from ridgeline.machine.parse import parse_machine

__all__ = ["Offer", "catalog_offers", "read_offers", "read_prices"]

# Chips of one replica at most where the catalog is searched without a machine.
WIDEST = 16


@dataclass(frozen=True)
class Offer:
    """Equal chips on offer.

    Attributes:
        cluster: chips and links; its count is the most chips of a replica.
        limit: chips in all at most; infinite when the catalog is searched.
        usd_per_chip_hour: rent; NaN when unknown.
    """

    cluster: Cluster
    limit: float
    usd_per_chip_hour: float

    @property
    def chip(self) -> Chip:
        """The chip."""
        return self.cluster.chip

    def part(self, chips: int) -> Cluster:
        """So many chips of it, in its own domains."""
        return Cluster.of(self.chip, chips, self.cluster.domain_size)

    def machine(self, chips: int) -> str:
        """So many chips of it as `parse_machine` reads them."""
        size, own = self.cluster.domain_size, min(self.chip.domain_size, chips)
        if chips <= size or size == own or chips % size:
            return f"{chips}x{self.chip.name}"
        return f"{chips // size}x{size}x{self.chip.name}"


def read_offers(texts: Sequence[str], prices: Mapping[str, float] | None = None
                ) -> tuple[Offer, ...]:
    """Offers such as "16xH200".

    Args:
        texts: machines.
        prices: rent by chip name ("" for all others) [USD/h]; else the middle of the market.

    Raises:
        BadInput: unreadable, or one chip offered twice.
    """
    found = []
    for text in texts:
        cluster = parse_machine(text)
        found.append(Offer(cluster, float(cluster.n_chips), _price(cluster.chip, prices or {})))
    names = [offer.chip.name for offer in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(f"{twice[0]} is offered twice; give the sum in one --on")
    return tuple(found)


def catalog_offers(prices: Mapping[str, float] | None = None) -> tuple[Offer, ...]:
    """Every accelerator of the catalog with a rent, as many as needed.

    Raises:
        Infeasible: none has a price.
    """
    from ridgeline.catalog import list_names, load_chip

    found = []
    for name in list_names("chips"):
        chip = load_chip(name)
        price = _price(chip, prices or {})
        if chip.kind in ("gpu", "apu", "npu", "tpu") and price == price:
            widest = WIDEST if chip.scale_out or chip.domain_size >= WIDEST else chip.domain_size
            found.append(Offer(Cluster.of(chip, max(1, widest)), math.inf, price))
    if not found:
        raise Infeasible("no chip of the catalog has a rent; name machines with --on")
    return tuple(found)


def read_prices(texts: Sequence[str]) -> dict[str, float]:
    """Rents such as "2.5", "$2.5/h" (of every chip) or "H100-SXM=2.5" (of one) [USD/h].

    Raises:
        BadInput: unreadable, or not positive.
        UnknownName: no such chip.
    """
    from ridgeline.catalog import load_chip

    prices = {}
    for text in texts:
        chip, mark, amount = text.rpartition("=")
        prices[load_chip(chip).name if mark else ""] = read_rent(amount)
    return prices


def read_rent(text: str | float, what: str = "a price") -> float:
    """Dollars an hour of "2.5", "$2.5" or "$2.5/h" [USD/h].

    Raises:
        BadInput: unreadable or not positive.
    """
    from ridgeline.quantity import parse_quantity

    written = str(text).strip()
    try:
        value = (parse_quantity(written, "USD/s") * 3600 if "/" in written
                 else parse_quantity(written.lstrip("$"), "USD"))
    except BadInput:
        raise BadInput(f"{what} is written like $2.50/h or 2.5, not {text!r}") from None
    if not (math.isfinite(value) and value > 0):
        raise BadInput(f"{what} must be positive dollars an hour, not {text}")
    return value


def _price(chip: Chip, prices: Mapping[str, float]) -> float:
    if chip.name in prices:
        return prices[chip.name]
    if "" in prices:
        return prices[""]
    return sum(chip.usd_per_hour) / 2 if chip.usd_per_hour else math.nan
