"""`ridgeline rack`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.options import answer_options, show

# Fields of a rack that have a unit; the others are counts and kilograms.
_WATTS = ("chip_watts", "host_watts", "power_limit", "cooling_limit")
_METRES = ("wire_diameter", "bend_radius", "channel_depth", "channel_width", "reach",
           "spare_length", "tray_pitch")


@click.command(no_args_is_help=False)
@click.argument("model", required=False)
@click.option("--rack", "rack_name", default="NVL72", show_default=True, metavar="NAME",
              help="Rack to start from: NVL72 or HGX-H100-x4.")
@click.option("--chips", type=click.IntRange(1), metavar="N", help="Hold the domain to so "
              "many chips. [default: as built]")
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE",
              help="Change a field of the rack: power_limit=150kW, reach=2m, mass_per_chip=15.")
@click.option("--weights", metavar="FORMAT", help="Weight format of MODEL, such as fp8, fp4.")
@click.option("--batch", default="256", show_default=True, metavar="N",
              help="Sequences decoding in the whole domain.")
@click.option("--context", default="4096", show_default=True, metavar="TOKENS",
              help="Tokens of each of those sequences.")
@click.option("--length", default="20m", show_default=True, metavar="LENGTH",
              help="Length of optical cables.")
@click.option("--optical-bandwidth", metavar="B/S", help="Bandwidth of a chip over optics, one "
              "way. [default: as copper]")
@click.option("--pool-share", default="0.2", show_default=True, metavar="SHARE",
              help="Share of a step's bytes that lie in a memory pool.")
@click.option("--pool-bandwidth", default="100GB/s", show_default=True, metavar="B/S",
              help="Bandwidth of a chip to that pool, one way.")
@click.option("--racks", default=8, show_default=True, metavar="N",
              help="Racks that an all-to-all spans.")
@answer_options(plot="Draw the limits.", ideal=True)
def rack(**options: Any) -> None:
    """How large can a scale-up domain be, and what does it do with MODEL?

    Power, cooling, weight, switch ports, slots, cables and their bends, reach; copper against
    optics; pooled memory; experts that fit; all-to-all in and across racks. MODEL is a bundled name
    or sizes: 1T or TOTAL/ACTIVE.

    \b
    Examples:
      ridgeline rack
      ridgeline rack --set power_limit=200kW --set cooling_limit=200kW --chips 144
      ridgeline rack DeepSeek-V3 --batch 4096 --racks 16 --optical-bandwidth 1.8TB/s
      ridgeline rack 1T --weights fp8 --pool-share 0.2 --pool-bandwidth 100GB/s
    """
    from ridgeline.cli.price_options import share
    from ridgeline.quantity import parse_number, parse_quantity
    from ridgeline.questions.rack import RackAsk, rack_figure
    from ridgeline.questions.rack import rack as ask

    asked = RackAsk(
        options["rack_name"], options["model"], _changes(options["changes"]), options["chips"],
        options["weights"], parse_number(options["batch"]), parse_number(options["context"]),
        parse_quantity(options["length"], "m"),
        None if options["optical_bandwidth"] is None
        else parse_quantity(options["optical_bandwidth"], "B/s"),
        share(options["pool_share"], "pool share"),
        parse_quantity(options["pool_bandwidth"], "B/s"), options["racks"], options["ideal"])
    show(ask(asked), options, lambda: rack_figure(asked))


def _changes(texts: tuple[str, ...]) -> dict[str, float]:
    """FIELD=VALUE pairs; a value may carry its unit."""
    from ridgeline.errors import BadInput
    from ridgeline.quantity import parse_number, parse_quantity

    out: dict[str, float] = {}
    for text in texts:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not sign or not name or not value:
            raise BadInput(f"--set {text!r}: write FIELD=VALUE, such as power_limit=150kW")
        unit = "W" if name in _WATTS else "m" if name in _METRES else ""
        try:
            out[name] = parse_quantity(value, unit) if unit else parse_number(value)
        except BadInput as error:
            raise BadInput(f"--set {name}: {error}") from None
    return out
