"""`ridgeline fleet`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.options import answer_options, show
from ridgeline.cli.price_options import share, usd


@click.command(no_args_is_help=True)
@click.argument("fleet")
@click.argument("model")
@click.option("--prompt", default="1000", show_default=True, metavar="TOKENS",
              help="Tokens in of a request.")
@click.option("--output", default="300", show_default=True, metavar="TOKENS",
              help="Tokens out of a request.")
@click.option("--weights", metavar="FORMAT", help="Weight format, such as fp8, nvfp4. [default: "
              "the model's own]")
@click.option("--batch", metavar="N", help="Sequences of a replica. [default: all that fit]")
@click.option("--tpot", metavar="TIME", help="Longest time of an output token, such as 30ms.")
@click.option("--prefill-mfu", metavar="SHARE", help="Share of the peak that prompts reach. "
              "[default: predicted]")
@click.option("--decode-mfu", metavar="SHARE", help="Share of the peak that decoding reaches. "
              "[default: predicted]")
@click.option("--train-mfu", default="0.33", show_default=True, metavar="SHARE",
              help="Share of the peak that training reaches, for what the fleet could train.")
@click.option("--token-rate", default="30", show_default=True, metavar="N",
              help="Tokens per second that a user gets while answered.")
@click.option("--active-share", default="0.1", show_default=True, metavar="SHARE",
              help="Share of the time in which a user is answered.")
@click.option("--usd-per-hour", metavar="USD", help="Rent of one chip. [default: the catalog's]")
@click.option("--measured", metavar="N", help="Forward passes per second that were measured: read "
              "back as a utilisation.")
@click.option("--until", default=2030, show_default=True, type=int, metavar="YEAR",
              help="Last year of the projection.")
@click.option("--growth", metavar="X", help="Yearly growth of the budget. [default: training's]")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), metavar="N",
              help="Seed of the projection's draws.")
@answer_options(plot="Draw the projection.", ideal=True)
def fleet(**options: Any) -> None:
    """What can FLEET do with MODEL? Passes per second, tokens a day, users, dollars, to 2030.

    FLEET is COUNTxCHIP with commas between, or a .toml file of [[pool]] tables (chips =
    "100000xH100", usd_per_hour, prefill_mfu, decode_mfu, train_mfu, watts, utilization). MODEL is a
    bundled name, a path, or sizes: 280B or TOTAL/ACTIVE.

    \b
    Examples:
      ridgeline fleet 100000xH100,20000xB200 Llama-3.1-70B
      ridgeline fleet 100000xH100 1831B/280B --decode-mfu 0.15 --train-mfu 0.33
      ridgeline fleet 128xA100-SXM-80GB 280B --measured 7258
      ridgeline fleet 1xA100-SXM,1xH100,1xH200,1xB200 280B --ideal
      ridgeline fleet ours.toml DeepSeek-V3 --prompt 4000 --output 500 --tpot 30ms --plot to2030.svg
    """
    from ridgeline.cli.progress import shown
    from ridgeline.quantity import parse_number, parse_quantity
    from ridgeline.questions.fleet import FleetAsk, fleet_figure
    from ridgeline.questions.fleet import fleet as ask
    from ridgeline.questions.fleet_pools import Load

    def optional(name: str, read: Any) -> Any:
        return None if options[name] is None else read(options[name])

    def part(name: str) -> float | None:
        text = options[name]
        return None if text is None else share(text, name.replace("_", " "))

    load = Load(_whole(options["prompt"], "prompt"), _whole(options["output"], "output"),
                options["weights"], part("prefill_mfu"), part("decode_mfu"),
                optional("batch", parse_number),
                optional("tpot", lambda text: parse_quantity(text, "s")), options["ideal"])
    asked = FleetAsk(
        options["fleet"], options["model"], load, parse_number(options["token_rate"]),
        share(options["active_share"], "active share"), share(options["train_mfu"], "train MFU"),
        usd(options["usd_per_hour"], "usd per hour"), optional("measured", parse_number),
        options["until"], spending_growth=optional("growth", parse_number), seed=options["seed"])
    with shown("fleet", quiet=options["as_json"]) as progress:
        answer = ask(asked, progress=progress)
    show(answer, options, lambda: fleet_figure(asked))


def _whole(text: str, name: str) -> int:
    """A positive whole number of tokens."""
    from ridgeline.errors import BadInput
    from ridgeline.quantity import parse_number

    number = parse_number(text)
    if number != int(number) or not 1 <= number <= 1e9:
        raise BadInput(f"{name} must be a whole number of tokens from 1 to 1,000,000,000, "
                       f"not {text}")
    return int(number)
