"""Chips, links, memory tiers, prices and engines, as data files with source and date.

Each function takes an optional `catalog`, the default being the bundled data with the files that
RIDGELINE_CATALOG names in front.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ridgeline.catalog.loader import Catalog, default_catalog

if TYPE_CHECKING:
    from ridgeline.catalog.loader import Kind
    from ridgeline.catalog.schema import (
        ApiPrice,
        ChipFile,
        EngineFile,
        RentPrice,
        RuleEntry,
        TierEntry,
    )
    from ridgeline.machine.chip import Chip, Link

__all__ = ["Catalog", "default_catalog", "list_names", "load_api_prices", "load_chip",
           "load_chip_file", "load_engine", "load_link", "load_rent_prices", "load_rules",
           "load_tiers"]


def load_chip(name: str, catalog: Catalog | None = None) -> Chip:
    """The chip of a name, however it is spelled.

    Raises:
        UnknownName: no such chip, with the nearest names.
        BadInput: several chips it may be, or a malformed file.

    >>> load_chip("NVIDIA H100 80GB HBM3").name, load_chip("rtx4090").name
    ('H100-SXM', 'RTX-4090')
    """
    return (catalog or default_catalog()).chip(name)


def load_chip_file(name: str, catalog: Catalog | None = None) -> ChipFile:
    """The chip's file with sources, dates and notes. Raises as `load_chip`."""
    return (catalog or default_catalog()).chip_file(name)


def load_link(name: str, catalog: Catalog | None = None) -> Link:
    """An interconnect by name. Raises as `load_chip`, or BadInput where a number is missing.

    >>> load_link("NVLink 4").bandwidth
    450000000000.0
    """
    return (catalog or default_catalog()).link(name)


def load_engine(name: str, catalog: Catalog | None = None) -> EngineFile:
    """An engine's defaults, limits and launch flags. Raises as `load_chip`.

    >>> load_engine("vLLM").block_size
    16
    """
    return (catalog or default_catalog()).engine(name)


def load_tiers(catalog: Catalog | None = None) -> tuple[TierEntry, ...]:
    """Memory and storage tiers from SRAM to tape."""
    return (catalog or default_catalog()).tiers()


def load_api_prices() -> tuple[ApiPrice, ...]:
    """List prices of models behind an API, US dollars per million tokens."""
    from ridgeline.catalog.loader import read_api_prices

    return read_api_prices()


def load_rent_prices() -> tuple[RentPrice, ...]:
    """What an hour of an accelerator costs, by provider and date."""
    from ridgeline.catalog.loader import read_rent_prices

    return read_rent_prices()


def load_rules() -> tuple[RuleEntry, ...]:
    """Pricing rules (caches, batches, long contexts), in words."""
    from ridgeline.catalog.loader import read_rules

    return read_rules()


def list_names(kind: Kind, catalog: Catalog | None = None) -> list[str]:
    """Names of a kind: "chips", "engines", "links", "tiers", "formats" or "models".

    Raises:
        BadInput: not a kind.
    """
    return (catalog or default_catalog()).names(kind)
