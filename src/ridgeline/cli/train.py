"""`ridgeline train`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.options import show
from ridgeline.errors import BadInput

_DEGREES = ("tp", "pp", "dp", "cp", "ep", "vp")


def _degrees(command: Any) -> Any:
    for name in reversed(_DEGREES):
        command = click.option(f"--{name}", name, type=click.IntRange(1), metavar="N")(command)
    return command


@click.command(no_args_is_help=True)
@click.argument("model")
@click.option("--on", "machine", required=True, metavar="MACHINE", help="Such as 1024xH100.")
@click.option("--tokens", required=True, metavar="D", help="Tokens of the run, such as 2T.")
@click.option("--seq", default=4096, show_default=True, type=click.IntRange(1))
@click.option("--batch", default="4M", show_default=True, metavar="TOKENS", help="Of a step.")
@_degrees
@click.option("--micro-batch", default=1, show_default=True, type=click.IntRange(1))
@click.option("--zero", default=1, show_default=True, type=click.IntRange(0, 3))
@click.option("--recompute", default="selective", show_default=True,
              type=click.Choice(["none", "selective", "full"]))
@click.option("--schedule", default="1f1b", show_default=True,
              type=click.Choice(["1f1b", "interleaved", "zero-bubble"]))
@click.option("--precision", default="bf16", show_default=True, metavar="NAME",
              help="bf16, fp16, fp8, mxfp8 or nvfp4.")
@click.option("--optimizer", default="adamw", show_default=True, metavar="NAME")
@click.option("--price", metavar="USD", help="Of a chip-hour. [default: mean of the market]")
@click.option("--search", is_flag=True, help="Use the fastest valid layout that fits; ignores "
              "the degrees given.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def train(**options: Any) -> None:
    """How long, how much? A training run of MODEL: step, utilisation, memory, days, dollars.

    \b
    Examples:
      ridgeline train Llama-3.1-70B --on 1024xH100 --tokens 2T --seq 8192 --batch 16M --tp 8 --pp 4
      ridgeline train Llama-3.1-8B --on 8xB200 --tokens 100B --precision fp8 --json
    """
    from ridgeline.quantity import parse_number
    from ridgeline.questions.train import TrainAsk, best_layout
    from ridgeline.questions.train import train as ask
    from ridgeline.training.layout import Layout

    degrees = {name: options[name] or (0 if name == "dp" else 1) for name in _DEGREES}
    if options["schedule"] == "interleaved" and degrees["vp"] == 1:
        raise BadInput("the interleaved schedule needs --vp of 2 or more model chunks")
    layout = Layout(**degrees, micro_batch=options["micro_batch"], zero=options["zero"],
                    recompute=options["recompute"], schedule=options["schedule"])
    price = None if options["price"] is None else parse_number(options["price"])
    asked = TrainAsk(
        options["model"], options["machine"], parse_number(options["tokens"]), options["seq"],
        parse_number(options["batch"]), layout, options["precision"], options["optimizer"],
        usd_per_chip_hour=price)
    answer = ask(best_layout(asked) if options["search"] else asked)
    show(answer, options)
    if not answer["fits"]:
        raise SystemExit(3)
