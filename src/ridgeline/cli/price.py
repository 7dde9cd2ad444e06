"""`ridgeline price`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.options import (
    output_options,
    read_options,
    refuse_flags,
    scenario_options,
    show,
)
from ridgeline.cli.price_options import price_list, rent_options, share, usd, write_csv
from ridgeline.errors import BadInput


@click.command(no_args_is_help=True)
@scenario_options("machine", "serving")
@rent_options
@click.option("--list-price", metavar="IN/OUT[/CACHED]",
              help="What you sell for [USD a million tokens]: adds the margin.")
@click.option("--speed", metavar="X", help="Price a fast mode, so many times faster.")
@click.option("--infer", metavar="NAME|IN/OUT",
              help="Read a price list backwards instead: a priced model, or prices.")
@click.option("--active", metavar="N", help="Active parameters for --infer, such as 100B.")
@click.option("--price-step", metavar="TOKENS", help="Context at which an --infer list doubles.")
@click.option("--cache-write", metavar="5MIN[/1H]", help="Cache write prices of an --infer list.")
@click.option("--kv-bytes", metavar="B", help="Cache bytes a token for --infer, where known.")
@click.option("--prefill-mfu", default="0.6", metavar="SHARE", show_default=True,
              help="Share of the peak that prompts reach, for --infer.")
@click.option("--margin", default="0", metavar="SHARE", help="Seller's margin, for --infer.")
@click.option("--csv", "csv_file", metavar="FILE",
              help="Write every point of the sweep (batch, context, rent) as CSV.")
@click.option("--rents", default=1, type=click.IntRange(1, 1000), metavar="N",
              help="Rents across the range in the CSV. [default: the mean]")
@output_options(plot="Draw price against speed, one line a context.")
def price(**options: Any) -> None:
    """What does a million tokens cost? Input, output, cached; fast mode, tiers, margin.

    With --infer the other way round: what speed, utilisation, cache size and cache tier a price
    list gives away.

    \b
    Examples:
      ridgeline price Llama-3.1-70B --on 8xH100-SXM --prompt 8000 --concurrency 64
      ridgeline price Llama-3.1-70B --on 8xH100-SXM --usd-per-hour 2 --utilization 0.4
      ridgeline price Llama-3.1-70B --on 8xH100 --concurrency 64 --list-price 0.9/0.9 --speed 1.2
      ridgeline price DeepSeek-V3 --on 16xH200 --tp 16 --ep 16 --plot fast.svg --csv sweep.csv
      ridgeline price --infer claude-sonnet-4-5 --on H100 --active 100B
      ridgeline price --infer 3/15 --price-step 200k --on H100 --active 100B --explain
    """
    named = {name: options.pop(name) for name in (
        "infer", "active", "price_step", "cache_write", "kv_bytes", "prefill_mfu", "margin")}
    if named["infer"]:
        _infer(named, options)
        return
    refuse_flags(named, "belongs to --infer")
    _price(options)


def _price(options: dict[str, Any]) -> None:
    from ridgeline.quantity import parse_number
    from ridgeline.questions.answer import Answer
    from ridgeline.questions.price import ListPrice, PriceAsk, priced
    from ridgeline.questions.price import price as ask
    from ridgeline.questions.price_tables import price_csv, price_figure

    sold, csv_file = options.pop("list_price"), options.pop("csv_file")
    asked = PriceAsk(
        read_options(options), usd(options.pop("usd_per_hour"), "usd per hour"),
        share(options.pop("utilisation"), "utilization"),
        ListPrice(*price_list(sold)) if sold else None, options["ideal"],
        parse_number(options["speed"]) if options["speed"] else None)
    answer: Answer = ask(asked)
    write_csv(csv_file, lambda: price_csv(priced(asked), options["rents"]))
    show(answer, options, lambda: price_figure(priced(asked)))


def _infer(named: dict[str, Any], options: dict[str, Any]) -> None:
    from ridgeline.quantity import parse_number
    from ridgeline.questions.price_infer import InferAsk, infer_price

    refuse_flags(("plot", "csv_file", "rents", "list_price", "speed", "machine", "serving",
                  "scenario_file", "save_scenario"), "does not go with --infer", but=("machine",))
    if not options["machine"]:
        raise BadInput("--infer needs the chip it is thought to run on, for instance --on H100-SXM")
    active, kv = _model(named, options)
    row = _row(named)
    answer = infer_price(InferAsk(
        row, options["machine"], active, usd(options["usd_per_hour"], "usd per hour"),
        utilisation=share(options["utilisation"], "utilization"),
        prefill_mfu=share(named["prefill_mfu"], "prefill MFU"),
        margin=share(named["margin"], "margin"),
        kv_bytes_per_token=parse_number(named["kv_bytes"]) if named["kv_bytes"] else kv))
    show(answer, options)


def _model(named: dict[str, Any], options: dict[str, Any]) -> tuple[float, float | None]:
    """Active parameters and, of a known model, cache bytes of a token."""
    from ridgeline.model.load import load_architecture
    from ridgeline.quantity import parse_number

    if named["active"]:
        return parse_number(named["active"]), None
    if not options["model"]:
        raise BadInput("--infer needs the size of the model: --active 100B, or a MODEL")
    architecture = load_architecture(options["model"])
    cache = float(architecture.cache_bytes(8192.0, kv_bits=16.0)) / 8192.0
    return float(architecture.active_params), cache or None


def _row(named: dict[str, Any]) -> Any:
    """The list: by name, or typed in."""
    from ridgeline.catalog.api_prices import priced_model
    from ridgeline.cli.price_options import numbers
    from ridgeline.quantity import parse_number
    from ridgeline.questions.price_infer import given_row

    text = named["infer"]
    if not text[0].isdigit() and not text.startswith(("$", ".")):
        if named["price_step"] or named["cache_write"]:
            raise BadInput("--price-step and --cache-write belong to prices typed in (--infer "
                           "3/15); a named list has its own")
        return priced_model(text)
    prices, more = price_list(text), {}
    if len(prices) == 3:
        more["cached_read_usd_per_mtok"] = prices[2]
    if named["price_step"]:
        more["long_context_threshold"] = parse_number(named["price_step"])
    if named["cache_write"]:
        writes = numbers(named["cache_write"], "cache write", "/")
        more |= dict(zip(("cache_write_usd_per_mtok", "cache_write_1h_usd_per_mtok"), writes,
                         strict=False))
    return given_row(prices[0], prices[1], **more)
