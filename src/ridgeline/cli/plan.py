"""`ridgeline plan`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ridgeline.cli.options import answer_options, show
from ridgeline.errors import BadInput

if TYPE_CHECKING:
    from ridgeline.questions.plan_ask import PlanAsk

Command = Callable[..., Any]

# (flag, field, metavar, kind, help): kind is what the text is read as.
_OPTIONS = [
    ("--prompt", "prompt", "TOKENS", "text", "Tokens in: 4000, or a law: lognormal:2000,0.8 (mean, "
     "sigma), uniform:500,1500, exponential:800. [default: 1024]"),
    ("--output", "output", "TOKENS", "text", "Tokens out, likewise. [default: 256]"),
    ("--trace", "trace", "FILE", "text", "Take both lengths from a trace: azure-conv, or a .csv "
     "or .jsonl file."),
    ("--prefix-hit", "prefix_hit", "SHARE", "number", "Share of the prompt found in the prefix "
     "cache. [default: 0]"),
    ("--ttft", "ttft", "TIME", "s", "Target for the mean time to first token, such as 1s."),
    ("--tpot", "tpot", "TIME", "s", "Target for the mean time per output token, such as 30ms."),
    ("--rate", "rate", "RATE", "1/s", "Requests to carry, such as 50/s. [default: fill the chips]"),
    ("--users", "users", "N", "count", "Requests always in flight, instead of a rate."),
    ("--budget", "budget", "USD/h", "rent", "Rent at most, such as '$40/h'."),
    ("--minimize", "minimize", "WHAT", "text", "cost, latency, energy or chips. [default: cost]"),
    ("--formats", "formats", "LIST", "texts", "Weight formats to choose from, such as "
     "bf16,fp8,nvfp4. [default: the model's own]"),
    ("--kv", "kv", "LIST", "texts", "KV-cache formats to choose from, such as bf16,fp8."),
    ("--engine", "engines", "LIST", "texts", "Engines to choose from: vllm, sglang, trtllm. "
     "[default: vllm]"),
    ("--mode", "mode", "NAME", "text", "aggregated, disaggregated (prompts and decoding in pools "
     "apart) or both. [default: both]"),
    ("--batches", "batches", "LIST", "counts", "Requests in flight on a replica to try. [default: "
     "four an octave up to 1024]"),
    ("--chunks", "chunks", "LIST", "counts", "Token budgets of a step to try beside the engine's "
     "own. [default: 2048]"),
    ("--draft-length", "draft_length", "N", "count", "Speculative decoding: tokens drafted for a "
     "verification."),
    ("--acceptance", "acceptance", "A", "text", "Share of drafts accepted: 0.8, by position "
     "0.8,0.7,0.6, or a measured table such as kimi-k2.5-eagle3."),
    ("--draft-cost", "draft_cost", "SHARE", "number", "Time of a draft over that of a plain step. "
     "[default: one layer's share]"),
    ("--finalists", "finalists", "N", "count", "Rows asked again as `estimate` answers, at most. "
     "[default: 64]"),
    ("--save", "save", "FILE", "text", "Write every evaluated row to a .parquet file."),
]


def _options(command: Command) -> Command:
    for flag, field, metavar, _, text in reversed(_OPTIONS):
        command = click.option(flag, field, metavar=metavar, help=text)(command)
    return command


@click.command(no_args_is_help=True)
@click.argument("model")
@click.option("--on", "on", multiple=True, metavar="MACHINE", help="Chips on offer, such as "
              "16xH200; give it again for more. [default: the whole catalog]")
@_options
@click.option("--usd-per-hour", "prices", multiple=True, metavar="USD", help="Rent of one chip: "
              "2.5, or H100-SXM=2.5; may be repeated. [default: middle of the market]")
@answer_options(plot="Draw the frontier.")
@click.option("--launch", metavar="DIR", help="Write what starts the best deployment (scripts, "
              "configuration, Kubernetes manifest) and the benchmark that would check it.")
@click.option("--force", is_flag=True, help="Let --launch write over files in DIR.")
def plan(**options: Any) -> None:
    """Which chips, how many, split how? The best deployment of MODEL under targets and budget.

    Looks at every valid split over the chips on offer, in every format and at every batch, and
    says why the best is best and why the others are not.

    \b
    Examples:
      ridgeline plan Llama-3.1-70B --on 16xH200 --prompt 4000 --output 1000 --ttft 1s --tpot 30ms
      ridgeline plan Llama-3.1-70B --prompt 4000 --output 500 --rate 20/s --tpot 50ms
      ridgeline plan DeepSeek-V3 --on 16xH200 --on 16xB200 --minimize latency --json
      ridgeline plan Llama-3.1-8B --on 8xH100 --prompt lognormal:2000,0.8 --formats bf16,fp8
      ridgeline plan Llama-3.1-70B --on 16xH200 --tpot 30ms --launch start
    """
    from ridgeline.questions.plan import plan as ask
    from ridgeline.questions.plan import plan_figure

    asked, launch = _read(options), options["launch"]
    if launch is not None:
        from ridgeline.search.launch import check_folder

        check_folder(launch, force=options["force"])
    elif options["force"]:
        raise BadInput("--force is for the files of --launch DIR")
    with _progress() as tell:
        answer = ask(asked, tell)
    if launch is not None:
        from ridgeline.questions.plan_launch import write_launch

        answer = write_launch(asked, answer, launch, force=options["force"])
    show(answer, options, lambda: plan_figure(answer))


def _read(options: dict[str, Any]) -> PlanAsk:
    """The ask behind the flags."""
    from ridgeline.questions.plan_ask import PlanAsk

    given: dict[str, Any] = {"model": options["model"], "on": tuple(options["on"]),
                             "prices": tuple(options["prices"]), "explain": options["explain"]}
    for flag, field, _, kind, _ in _OPTIONS:
        if (text := options.pop(field)) is not None:
            given[field] = _value(flag, kind, text)
    return PlanAsk(**given)


def _value(flag: str, kind: str, text: str) -> Any:
    """One flag's text as what it stands for.

    Raises:
        BadInput: unreadable, naming the flag.
    """
    from ridgeline.quantity import parse_number, parse_quantity
    from ridgeline.search.offers import read_rent

    parts = [part.strip() for part in text.split(",") if part.strip()]
    if kind == "texts":
        if not parts:
            raise BadInput(f"{flag} needs at least one name")
        return tuple(parts)
    if kind == "rent":
        return read_rent(text, flag)
    try:
        if kind in ("s", "1/s"):
            return parse_quantity(text, kind)
        if kind == "number":
            return parse_number(text)
        if kind == "count":
            return _count(text)
        if kind == "counts":
            return tuple(_count(part) for part in parts)
    except BadInput as error:
        raise BadInput(f"{flag}: {error}") from None
    return text


def _count(text: str) -> int:
    from ridgeline.quantity import parse_number

    number = parse_number(text)
    if number != number or number != number // 1 or not 1 <= number <= 1e12:
        raise BadInput(f"{text!r} is not a whole number from 1 on")
    return int(number)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar on standard error where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                  console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")

        def tell(what: str, done: int, whole: int) -> None:
            bar.update(task, description=what, completed=done, total=whole)

        yield tell
