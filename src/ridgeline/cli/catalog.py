"""`ridgeline catalog`: what is known of chips, models, links, tiers, prices, engines, formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click

from ridgeline.errors import BadInput, UnknownName

if TYPE_CHECKING:
    from ridgeline.catalog import Catalog

__all__ = ["catalog_command"]

_SOURCES = click.option("--catalog", "sources", multiple=True, metavar="PATH",
                        help="A TOML file or folder of your own entries; may be repeated.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, units in the keys.")


@click.group("catalog", invoke_without_command=True)
@click.pass_context
def catalog_command(context: click.Context) -> None:
    """Chips, models, links, memory tiers, prices, engines and formats, with their sources.

    \b
    Examples:
      ridgeline catalog chips --vendor AMD
      ridgeline catalog chips h100
      ridgeline catalog prices --provider anthropic
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@catalog_command.command()
@click.argument("name", required=False)
@click.option("--vendor", help="Only chips of this vendor.")
@click.option("--kind", type=click.Choice(["gpu", "tpu", "npu", "apu", "cpu"]),
              help="Only chips of this kind.")
@click.option("--architecture", help="Only chips of this architecture.")
@_SOURCES
@_JSON
def chips(name: str | None, vendor: str | None, kind: str | None, architecture: str | None,
          sources: Sequence[str], as_json: bool) -> None:
    """Accelerators and processors: dense peaks, memory, links, power, rent."""
    from ridgeline.cli import catalog_views as views

    catalog = _catalog(sources)
    if name:
        entry = catalog.chip_file(name)
        return views.show(views.chip_sections(entry), views.chip_json(entry), as_json)
    found = [catalog.chip_file(n) for n in catalog.names("chips")]
    found = _only(found, {"vendor": vendor, "kind": kind, "architecture": architecture})
    views.table(views.CHIP_COLUMNS, [views.chip_row(e) for e in found],
                [views.chip_json(e) for e in found], as_json)


@catalog_command.command()
@click.argument("name", required=False)
@click.option("--kind", help="Only links of this kind (scale-up, scale-out, host, ...).")
@_SOURCES
@_JSON
def links(name: str | None, kind: str | None, sources: Sequence[str], as_json: bool) -> None:
    """Interconnects: one direction, per device."""
    from ridgeline.cli import catalog_views as views

    catalog = _catalog(sources)
    if name:
        return views.record(catalog.link_entry(name), as_json)
    views.listing(views.LINK_COLUMNS, _only(catalog.links(), {"kind": kind}), as_json)


@catalog_command.command()
@click.argument("name", required=False)
@click.option("--kind", help="Only tiers of this kind (dram, flash, ...).")
@_SOURCES
@_JSON
def tiers(name: str | None, kind: str | None, sources: Sequence[str], as_json: bool) -> None:
    """Memory and storage tiers, from SRAM to tape."""
    from ridgeline.cli import catalog_views as views

    found = _only(_catalog(sources).tiers(), {"kind": kind})
    if name:
        return views.record(_named("tier", name, found, lambda e: e.name), as_json)
    views.listing(views.TIER_COLUMNS, found, as_json)


@catalog_command.command()
@click.argument("name", required=False)
@click.option("--provider", help="Only prices of this provider.")
@click.option("--rent", is_flag=True, help="Prices of an accelerator-hour, not of tokens.")
@click.option("--rules", is_flag=True, help="Pricing rules in words.")
@_JSON
def prices(name: str | None, provider: str | None, rent: bool, rules: bool,
           as_json: bool) -> None:
    """List prices: models behind an API (USD per million tokens), or hours of accelerators."""
    from ridgeline.catalog import load_api_prices, load_rent_prices, load_rules
    from ridgeline.cli import catalog_views as views

    if rules:
        return views.listing(views.RULE_COLUMNS, load_rules(), as_json)
    rows: Sequence[Any] = load_rent_prices() if rent else load_api_prices()
    columns = views.RENT_COLUMNS if rent else views.API_COLUMNS
    found = _only(rows, {"provider": provider})
    if name:
        label = attrgetter("item" if rent else "model")
        exact = [e for e in found if label(e) == name]
        found = exact or [e for e in found if name.lower() in label(e).lower()]
        if not found:
            _named("price", name, rows, label)
    if name and len(found) == 1:
        return views.record(found[0], as_json)
    views.listing(columns, found, as_json)


@catalog_command.command()
@click.argument("name", required=False)
@_SOURCES
@_JSON
def engines(name: str | None, sources: Sequence[str], as_json: bool) -> None:
    """Inference engines: memory, blocks, scheduler limits, formats."""
    from ridgeline.cli import catalog_views as views

    catalog = _catalog(sources)
    if name:
        return views.record(catalog.engine(name), as_json)
    found = [catalog.engine(n) for n in catalog.names("engines")]
    views.listing(views.ENGINE_COLUMNS, found, as_json)


@catalog_command.command()
@click.argument("name", required=False)
@click.option("--family", help="Only formats of this family (float, integer, gguf, gguf_mix).")
@_JSON
def formats(name: str | None, family: str | None, as_json: bool) -> None:
    """Number formats: bits with scales, and the peak that runs them."""
    from ridgeline.cli import catalog_views as views
    from ridgeline.formats import get_format, list_formats

    if name:
        return views.record(get_format(name), as_json)
    views.listing(views.FORMAT_COLUMNS, _only(list_formats(), {"family": family}), as_json)


@catalog_command.command()
@click.argument("name", required=False)
@_JSON
def models(name: str | None, as_json: bool) -> None:
    """Models whose config.json is bundled; NAME, or a path, shows one in full.

    \b
    Examples:
      ridgeline catalog models DeepSeek-V3
      ridgeline catalog models "llama 3.1 70b" --json
    """
    from ridgeline.catalog import list_names
    from ridgeline.cli import catalog_views as views

    if name:
        data = views.model_json(name)
        return views.show([] if as_json else views.model_sections(name), data, as_json)
    known = list_names("models")
    views.table(views.MODEL_COLUMNS, [views.model_row(n) for n in known],
                [views.model_entry(n) for n in known] if as_json else (), as_json)


def _catalog(sources: Sequence[str]) -> Catalog:
    """The default catalog, with files given on the command line first."""
    from ridgeline.catalog import Catalog, default_catalog

    default = default_catalog()
    return Catalog((*Catalog.of(sources).sources, *default.sources)) if sources else default


def _only(entries: Iterable[Any], wanted: dict[str, str | None]) -> list[Any]:
    """Entries whose fields equal what was asked, whatever the case.

    Raises:
        BadInput: none is left, naming the values there are.
    """
    found = list(entries)
    for field, value in wanted.items():
        if value is None:
            continue
        there = sorted({str(getattr(e, field)) for e in found})
        found = [e for e in found if str(getattr(e, field)).lower() == value.lower()]
        if not found:
            raise UnknownName.among(field, value, there,
                                    f"There are: {', '.join(there)}" if len(there) <= 20 else "")
    return found


def _named(kind: str, name: str, entries: Iterable[Any], label: Callable[[Any], str]) -> Any:
    """The entry of a name: exact, else without case, else the only one that contains it.

    Raises:
        UnknownName: none, with the nearest.
        BadInput: several.
    """
    from ridgeline.errors import UnknownName

    by_name = {label(e): e for e in entries}
    if name in by_name:
        return by_name[name]
    lower = name.lower()
    for close in ([n for n in by_name if n.lower() in (lower, lower.replace(" ", "-"))],
                  [n for n in by_name if lower in n.lower()]):
        if len(close) == 1:
            return by_name[close[0]]
        if close:
            shown = ", ".join(close[:8]) + (", ..." if len(close) > 8 else "")
            raise BadInput(f"{kind} {name!r} may be one of {shown}; give one of them")
    raise UnknownName.among(kind, name, by_name, f"List them with `ridgeline catalog {kind}s`.")
