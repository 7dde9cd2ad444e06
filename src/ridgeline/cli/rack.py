"""`ridgeline rack`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.options import show


@click.command(no_args_is_help=False)
@click.argument("model", required=False)
@click.option("--rack", "rack_name", default="NVL72", show_default=True, metavar="NAME")
@click.option("--chips", type=click.IntRange(1), metavar="N", help="Hold so many. [default: as "
              "built]")
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE",
              help="Change a field of the rack: power_limit=150kW, reach=2m, mass_per_chip=15.")
@click.option("--weights", metavar="FORMAT", help="bf16, fp8, fp4, ... of MODEL.")
@click.option("--batch", default="256", show_default=True, metavar="N",
              help="Sequences decoding in the domain.")
@click.option("--context", default="4096", show_default=True, metavar="TOKENS")
@click.option("--length", default="20m", show_default=True, help="Of optical cables.")
@click.option("--optical-bandwidth", metavar="B/S", help="Of a chip over optics, one way. "
              "[default: as copper]")
@click.option("--pool-share", default="0.2", show_default=True, metavar="SHARE",
              help="Of a step's bytes in a memory pool.")
@click.option("--pool-bandwidth", default="100GB/s", show_default=True, help="A chip's to it.")
@click.option("--racks", default=8, show_default=True, metavar="N",
              help="Racks of an all-to-all.")
@click.option("--ideal", is_flag=True, help="Roofline times.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.option("--explain", is_flag=True, help="Print how each number came about.")
@click.option("--plot", metavar="FILE", help="Draw the limits. Ending: .svg, .png or .html.")
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

    if options["plot"]:
        from ridgeline.report.plot import check_ending

        check_ending(options["plot"])
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
        name, _, value = text.partition("=")
        for unit in ("", "W", "m"):
            try:
                out[name.strip()] = parse_quantity(value, unit) if unit else parse_number(value)
                break
            except BadInput:
                continue
        else:
            raise BadInput(f"--set {text!r}: write FIELD=VALUE, such as power_limit=150kW")
    return out
