"""`ridgeline check`: a claim, a table of claims, a measurement, or a running server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from ridgeline.cli.options import output_options, read_options, scenario_options, show
from ridgeline.errors import BadInput

if TYPE_CHECKING:
    from ridgeline.questions.answer import Answer

# Measured values: (flag, field, SI unit, help).
_MEASURED = [
    ("--ttft", "ttft", "s", "Measured mean time to first token, such as 300ms."),
    ("--tpot", "tpot", "s", "Measured mean time per output token, such as 25ms."),
    ("--output-rate", "output_rate", "token/s", "Measured output tokens a second, all users."),
    ("--prompt-rate", "prompt_rate", "token/s", "Measured prompt tokens a second."),
]
_SCENARIO = ("tp", "pp", "ep", "dp", "cp", "attention_dp", "weights", "experts", "kv", "engine",
             "engine_version", "memory_fraction", "max_num_seqs", "max_num_batched_tokens",
             "prompt", "output", "concurrency", "context", "prefix_hit")


def _named(command: Any) -> Any:
    """Show what the first argument may be."""
    for parameter in command.params:
        if parameter.name == "model":
            parameter.metavar = "[CLAIM | FILE.csv | MODEL]"
    return command


def _measured(command: Any) -> Any:
    for flag, field, unit, text in reversed(_MEASURED):
        command = click.option(flag, field, metavar="TIME" if unit == "s" else "RATE",
                               help=text)(command)
    return command


@_named
@click.command(no_args_is_help=True)
@scenario_options("machine", "serving")
@click.option("--model", "model_name", metavar="MODEL", help="Model of a claim that names none.")
@_measured
@click.option("--metrics", metavar="URL|FILE", help="Prometheus metrics of a running vLLM.")
@click.option("--interval", metavar="TIME", help="Read --metrics twice, so far apart, for the "
              "rates of the moment.")
@click.option("--audited", is_flag=True, help="Grade the 190 claims that come with the package.")
@click.option("--markdown", metavar="FILE", help="Write the graded table as a page.")
@click.option("--out", metavar="FILE", help="Write the graded table as CSV.")
@output_options(ideal=False)
def check(**options: Any) -> None:
    """Is this number possible? What does this measurement say? What binds this server?

    The first argument is a claim in quotes, a CSV file of claims, or with --ttft, --tpot,
    --output-rate or --prompt-rate the model that was measured.

    \b
    Examples:
      ridgeline check "100k tok/s prefill of Llama-3-70B on 8xH100 in bf16"
      ridgeline check "3200 tok/s" --model Llama-3-70B --on 8xH100 --concurrency 64 --context 8k
      ridgeline check "Llama-3-70B weights in Q4_K_M take 38 GB"
      ridgeline check "training a 70B model on 15T tokens took 24 days on 1024xH100"
      ridgeline check claims.csv --out graded.csv
      ridgeline check Llama-3.1-8B --on H100 --prompt 2000 --output 500 --concurrency 32 --tpot 40ms
      ridgeline check --metrics http://localhost:8000 --on H100 --interval 10s
    """
    what, measured = options["model"], _read_measured(options)
    chosen = [name for name, given in (
        ("--metrics", options["metrics"]), ("--audited", options["audited"]),
        ("a measurement", measured), ("a claim", what and not measured and not options["metrics"]))
        if given]
    if len(chosen) != 1:
        raise BadInput(f"check takes one thing at a time, not {' and '.join(chosen)}" if chosen
                       else "nothing to check; give a claim, a file of claims, --metrics or "
                       "--audited")
    table = options["audited"] or (chosen == ["a claim"] and _is_table(what))
    for flag, fits, of in (("markdown", table, "a table of claims"), ("out", table,
                           "a table of claims"), ("interval", options["metrics"], "--metrics")):
        if options[flag] and not fits:
            raise BadInput(f"--{flag} goes with {of} only")
    if options["metrics"]:
        answer = _server(options)
    elif measured:
        answer = _measurement(options, measured)
    elif table:
        answer = _table(options)
    else:
        answer = _claim(options)
    show(answer, options)


def _read_measured(options: dict[str, Any]) -> dict[str, float]:
    from ridgeline.quantity import parse_number, parse_quantity

    found = {}
    for flag, field, unit, _ in _MEASURED:
        text = options.pop(field)
        if text is None:
            continue
        plain = text.removesuffix("tok/s").removesuffix("token/s").strip()
        try:
            found[field] = parse_quantity(text, "s") if unit == "s" else parse_number(plain)
        except BadInput as error:
            raise BadInput(f"{flag}: {error}") from error
    return found


def _is_table(what: str) -> bool:
    from pathlib import Path

    return what.lower().endswith(".csv") or ("\n" not in what and len(what) < 250
                                             and Path(what).is_file())


def _claim(options: dict[str, Any]) -> Answer:
    from ridgeline.quantity import parse_number
    from ridgeline.questions.check import check as ask

    _only(options, "a claim", {"machine", "weights", "prompt", "context", "concurrency"})
    numbers = {kind: parse_number(options[name]) if options[name] is not None else None
               for kind, name in (("prompt", "prompt"), ("context", "context"),
                                  ("batch", "concurrency"))}
    try:
        return ask(options["model"], model=options["model_name"], machine=options["machine"],
                   weights=options["weights"], **numbers)
    except BadInput as error:
        if _is_model(options["model"]):
            raise BadInput(f"nothing was measured of {options['model']}; give --ttft, --tpot, "
                           "--output-rate or --prompt-rate") from error
        raise


def _is_model(text: str) -> bool:
    """Whether a text that is no claim is the name of a model."""
    from ridgeline.model.load import load_architecture

    try:
        load_architecture(text)
    except BadInput:
        return False
    return True


def _measurement(options: dict[str, Any], measured: dict[str, float]) -> Answer:
    from ridgeline.questions.diagnose import Measured, diagnose

    options["model"] = options["model"] or options["model_name"]
    scenario = read_options(options)
    return diagnose(scenario, Measured(**measured), progress=_bar("hypotheses"))


def _table(options: dict[str, Any]) -> Answer:
    from ridgeline.explain.claims import audited, read_claims
    from ridgeline.questions.check_table import check_table, csv_text, markdown

    _only(options, "a table of claims", set())
    rows = tuple(audited().values()) if options["audited"] else read_claims(options["model"])
    name = "the audited claims" if options["audited"] else str(options["model"])
    answer = check_table(rows, name=name, progress=_bar("claims"))
    from ridgeline.files import write_atomically

    for option, text in (("markdown", markdown), ("out", csv_text)):
        if options[option]:
            write_atomically(options[option], text(answer))
    return answer


def _server(options: dict[str, Any]) -> Answer:
    import time

    from ridgeline.quantity import parse_quantity
    from ridgeline.questions.prometheus import fetch, snapshot
    from ridgeline.questions.server import check_server

    seconds = parse_quantity(options["interval"], "s") if options["interval"] else None
    if seconds is not None and not 0 < seconds <= 3600:
        raise BadInput(f"--interval must be above 0 and at most one hour, not {seconds:g} s")
    if seconds and not str(options["metrics"]).startswith("http"):
        raise BadInput("--interval reads the metrics twice; a file does not change, give an "
                       "address")
    fields = {name: options[name] for name in ("machine", *_SCENARIO) if options[name] is not None}
    if options["model"] or options["model_name"]:
        fields["model"] = options["model"] or options["model_name"]
    first = snapshot(fetch(options["metrics"]))
    if seconds is None:
        return check_server(first, fields=fields)
    start = time.monotonic()
    for _ in _bar("waiting")(range(20)):
        time.sleep(seconds / 20)
    second = snapshot(fetch(options["metrics"]))
    return check_server(second, earlier=first, seconds=time.monotonic() - start, fields=fields)


def _only(options: dict[str, Any], what: str, used: set[str]) -> None:
    """Refuse flags that would change nothing."""
    for name in ("machine", *_SCENARIO):
        if options[name] is not None and name not in used:
            flag = "--on" if name == "machine" else "--" + name.replace("_", "-")
            raise BadInput(f"{flag} says nothing about {what}")


def _bar(label: str) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """A progress bar on standard error, where that is a terminal."""
    def wrap(items: Iterable[Any]) -> Iterable[Any]:
        import sys

        if not sys.stderr.isatty():
            return items
        from rich.console import Console
        from rich.progress import track

        return track(items, description=label, console=Console(stderr=True), transient=True)
    return wrap
