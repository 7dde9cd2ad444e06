"""The catalog as JSON: names for choosing, entries with their sources."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from ridgeline.errors import UnknownName

__all__ = ["KINDS", "entry", "listing"]


def _models() -> list[dict[str, Any]]:
    from ridgeline.model.load import bundled_models

    return [{"name": name.split("/", 1)[-1], "owner": name.rpartition("/")[0]}
            for name in sorted(bundled_models(), key=lambda n: n.split("/", 1)[-1].lower())]


def _chips() -> list[dict[str, Any]]:
    from ridgeline.catalog import default_catalog

    catalog = default_catalog()
    found = (catalog.chip_file(name) for name in catalog.names("chips"))
    return [{"name": e.name, "vendor": e.vendor, "kind": e.kind, "year": e.year,
             "memory_bytes": e.memory.bytes, "bandwidth_bytes_per_s": e.memory.bandwidth,
             "domain_size": e.scale_up.domain_size if e.scale_up else 1} for e in found]


def _engines() -> list[dict[str, Any]]:
    from ridgeline.catalog import default_catalog

    catalog = default_catalog()
    return [{"name": e.name, "title": e.title, "version": e.version}
            for e in (catalog.engine(name) for name in catalog.names("engines"))]


def _formats() -> list[dict[str, Any]]:
    from ridgeline.formats import list_formats

    return [{"name": f.name, "bits": f.bits, "family": f.family} for f in list_formats()]


def _plain(entries: Sequence[Any]) -> list[dict[str, Any]]:
    from ridgeline.cli.catalog_views import plain

    return [plain(e) for e in entries]


def _links() -> list[dict[str, Any]]:
    from ridgeline.catalog import default_catalog

    return _plain(default_catalog().links())


def _tiers() -> list[dict[str, Any]]:
    from ridgeline.catalog import default_catalog

    return _plain(default_catalog().tiers())


def _prices() -> list[dict[str, Any]]:
    from ridgeline.catalog import load_api_prices

    return _plain(load_api_prices())


def _rents() -> list[dict[str, Any]]:
    from ridgeline.catalog import load_rent_prices

    return _plain(load_rent_prices())


KINDS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "models": _models, "chips": _chips, "engines": _engines, "formats": _formats,
    "links": _links, "tiers": _tiers, "prices": _prices, "rents": _rents}


@functools.lru_cache(maxsize=len(KINDS))
def listing(kind: str) -> list[dict[str, Any]]:
    """Entries of a kind, short.

    Raises:
        UnknownName: no such kind.
    """
    if kind not in KINDS:
        raise UnknownName.among("catalog kind", kind[:80], KINDS,
                                "Kinds: " + ", ".join(KINDS))
    return KINDS[kind]()


def entry(kind: str, name: str) -> dict[str, Any]:
    """One entry in full, with its sources.

    Raises:
        UnknownName: no such kind or entry, with the nearest.
        BadInput: a name that may be several.
    """
    from ridgeline.catalog import default_catalog
    from ridgeline.cli import catalog_views as views

    if kind == "chips":
        return views.chip_json(default_catalog().chip_file(name))
    if kind == "engines":
        return views.plain(default_catalog().engine(name))
    if kind == "models":
        from ridgeline.model.load import bundled_models, find_bundled

        file = find_bundled(name)
        if file is None:
            raise UnknownName.among("model", name[:80],
                                    [n.split("/", 1)[-1] for n in bundled_models()])
        return views.model_json(file.stem.replace("__", "/"))
    by_name = {str(e.get("name", e.get("model", e.get("item", "")))): e for e in listing(kind)}
    if name not in by_name:
        raise UnknownName.among(kind.removesuffix("s"), name[:80], by_name)
    return by_name[name]
