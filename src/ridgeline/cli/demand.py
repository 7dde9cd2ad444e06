"""`ridgeline demand`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.options import output_options, read_options, scenario_options, show
from ridgeline.cli.price_options import share, usd


@click.command(no_args_is_help=True)
@scenario_options("machine", "serving")
@click.option("--users", metavar="N", help="Users who subscribe. [default: as many as it serves]")
@click.option("--token-rate", default="30", show_default=True, metavar="N",
              help="Tokens per second promised to a user while answered.")
@click.option("--active-share", default="0.1", show_default=True, metavar="SHARE",
              help="Share of the time in which a user is being answered.")
@click.option("--peak", default="1", show_default=True, metavar="X",
              help="Load of the busiest hour over the mean.")
@click.option("--batch", metavar="N", help="Sequences of a replica. [default: the largest that "
              "keeps the promise]")
@click.option("--decode-only", is_flag=True, help="Prompts are served elsewhere.")
@click.option("--usd-per-hour", metavar="USD", help="Rent of one chip. [default: the catalog's]")
@click.option("--compare", metavar="CHIP,...", help="Other chips to set beside, in tokens for a "
              "dollar.")
@click.option("--purchase-usd", metavar="USD", help="Price of a chip with its share of the "
              "server. [default: the catalog's, of the chip alone]")
@click.option("--yearly-share", default="0.1", show_default=True, metavar="SHARE",
              help="Interest, space and repairs of owning a year, as a share of the price.")
@click.option("--usd-per-kwh", default="0.08", show_default=True, metavar="USD",
              help="Price of electricity.")
@click.option("--pue", default="1.2", show_default=True, metavar="RATIO",
              help="Power of the building over that of the chips.")
@click.option("--watts", metavar="W", help="Power of a chip with its share of the server. "
              "[default: the board's]")
@output_options(plot="Draw users served against the speed promised.")
def demand(**options: Any) -> None:
    """How many chips do my users need, what do they cost, and what when they are too few?

    Users to chips to dollars; ways out of overload in one table; buy or rent; chip against chip.

    \b
    Examples:
      ridgeline demand Llama-3.1-70B --on 8xH100-SXM --users 10000 --prompt 2000 --output 300
      ridgeline demand Llama-3.1-70B --on 8xH100 --users 3000 --token-rate 50 --peak 2.5
      ridgeline demand Llama-3.1-8B --on H100 --compare B200-SXM,TPU-v5e,MI300X --usd-per-hour 2
      ridgeline demand Llama-3.1-70B --on 8xH100 --purchase-usd 35k --watts 1300 --plot users.svg
    """
    from ridgeline.quantity import parse_number
    from ridgeline.questions.demand import DemandAsk, demand_figure
    from ridgeline.questions.demand import demand as ask

    def number(name: str) -> float | None:
        text = options.pop(name)
        return None if text is None else parse_number(text)

    others = tuple(c.strip() for c in (options.pop("compare") or "").split(",") if c.strip())
    asked = DemandAsk(
        read_options(options), number("users"), parse_number(options.pop("token_rate")),
        share(options.pop("active_share"), "active share"),
        usd(options.pop("usd_per_hour"), "usd per hour"), parse_number(options.pop("peak")),
        number("batch"), options.pop("decode_only"), others,
        usd(options.pop("purchase_usd"), "purchase price"),
        share(options.pop("yearly_share"), "yearly share"), parse_number(
            options.pop("usd_per_kwh")), parse_number(options.pop("pue")), number("watts"),
        options["ideal"])
    show(ask(asked), options, lambda: demand_figure(asked))
