"""`ridgeline measure engine`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ridgeline.cli.options import deployment_options, read_options, show
from ridgeline.errors import BadInput

if TYPE_CHECKING:
    from ridgeline.measure.engine.client import Endpoint
    from ridgeline.measure.engine.record import Record
    from ridgeline.scenario import Scenario


@click.command(short_help="A server under load.", no_args_is_help=True)
@click.argument("url")
@click.option("--model", "served", metavar="NAME", default="", help="Name the server knows its "
              "model by.")
@click.option("--protocol", metavar="KIND", default="closed:1", show_default=True,
              help="closed:64 (in flight), rate:5 (a second) or trace:FILE.")
@click.option("--requests", metavar="N", type=int, help="How many. [default: 4 waves, half a "
              "minute, or the trace]")
@click.option("--prompt", metavar="TOKENS", default="512", show_default=True)
@click.option("--output", metavar="TOKENS", default="128", show_default=True)
@click.option("--length-cv", metavar="X", type=float, default=0.0, show_default=True,
              help="Spread of both lengths over their mean.")
@click.option("--cv", metavar="X", type=float, default=1.0, show_default=True,
              help="Burstiness of arrivals: 1 Poisson, 0 even.")
@click.option("--speed", metavar="X", type=float, default=1.0, help="Replay a trace faster.")
@click.option("--warmup", metavar="N", type=int, default=1, show_default=True,
              help="Requests sent before and not counted.")
@click.option("--retries", metavar="N", type=int, default=0, show_default=True,
              help="Send failed requests again; counted, and their waits kept.")
@click.option("--stall", metavar="TIME", default="60s", show_default=True,
              help="Give a request up when nothing arrives for so long.")
@click.option("--timeout", metavar="TIME", default="600s", show_default=True,
              help="Longest request.")
@click.option("--seed", metavar="N", type=int, default=0, help="Of lengths, arrivals and prompts.")
@click.option("--chat", is_flag=True, help="Ask /v1/chat/completions, in words.")
@click.option("--text", is_flag=True, help="Send words instead of token ids.")
@click.option("--vocabulary", metavar="N", type=int, default=1000, show_default=True,
              help="Draw token ids from 100 to N.")
@click.option("--plain", is_flag=True, help="Only OpenAI's own fields: answers may end early.")
@click.option("--body", metavar="JSON", help="Further fields of every request.")
@click.option("--key", metavar="KEY", help="API key. [default: the variable OPENAI_API_KEY]")
@click.option("--out", metavar="FILE.json", help="Write everything as JSON.")
@click.option("--parquet", metavar="FILE", help="Write a row a request as Parquet.")
@click.option("--rows", metavar="FILE.csv", help="With --on: write a row for `validate` and "
              "`calibrate --with`.")
@click.option("--architecture", metavar="MODEL", help="With --on: what the model is. "
              "[default: --model]")
@deployment_options
@click.option("--catalog", metavar="PATH", help="File or folder of your own chips, models.")
@click.option("--plot", metavar="FILE", help="Draw the percentiles. Ending: .svg, .png or .html.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def engine(**options: Any) -> None:
    """Put load on the OpenAI-compatible server at URL and measure what users get.

    Failed requests are counted by name and never hidden; token counts that cannot be are told.
    With --on (and --tp, --weights, ...) the prediction stands beside the measurement.

    \b
    Examples:
      ridgeline measure engine http://localhost:8000 --model m --protocol closed:64
      ridgeline measure engine http://localhost:8000 --model m --protocol rate:5 --requests 200
      ridgeline measure engine http://localhost:8080 --protocol closed:4 --out run.json \\
        --on 8xH100-SXM --architecture Llama-3.1-70B
    """
    from ridgeline.measure.engine.compare import predict_run, predicted_table
    from ridgeline.measure.engine.load import run_load
    from ridgeline.measure.engine.protocol import parse_protocol, planned_requests
    from ridgeline.measure.engine.result import engine_answer, summarise

    endpoint, protocol = _endpoint(options), parse_protocol(options["protocol"])
    requests = planned_requests(
        protocol, requests=_count("--requests", options["requests"]),
        prompt=_tokens("--prompt", options["prompt"]),
        output=_tokens("--output", options["output"]), length_cv=options["length_cv"],
        cv=options["cv"], speed=options["speed"], seed=options["seed"])
    _check_files(options)
    scenario = _scenario(options)
    predicted = predict_run(scenario, protocol, requests) if scenario else None
    with _progress(len(requests), options["as_json"]) as say:
        outcome = run_load(endpoint, protocol, requests, warmup=options["warmup"], say=say)
    settings = {"url": options["url"], "model": options["served"], "protocol": str(protocol),
                "prompt": int(requests.prompt.mean()), "output": int(requests.output.mean()),
                "requests": len(requests), "seed": options["seed"],
                **({"scenario": scenario.to_dict()} if scenario else {})}
    table = predicted_table(predicted, summarise(outcome)) if predicted else None
    written = _write(outcome, settings, scenario, options)
    show(engine_answer(outcome, settings, table), options, lambda: _figure(outcome, settings))
    if not options["as_json"]:
        for path in written:
            click.echo(f"wrote {path}")
    if not outcome.complete:
        raise SystemExit(130)
    if not any(r.served for r in outcome.records):
        raise SystemExit(1)


def _endpoint(options: dict[str, Any]) -> Endpoint:
    from ridgeline.measure.engine.client import Endpoint
    from ridgeline.measure.engine.load import check_url
    from ridgeline.quantity import parse_quantity

    check_url(options["url"])
    waits = {name: parse_quantity(options[name], "s") for name in ("stall", "timeout")}
    for name, value in waits.items():
        if not (math.isfinite(value) and value > 0):
            raise BadInput(f"--{name} must be a positive time, not {options[name]}")
    if not 0 <= options["retries"] <= 100:
        raise BadInput(f"--retries must be from 0 to 100, not {options['retries']}")
    if not 101 <= options["vocabulary"] <= 10**7:
        raise BadInput(f"--vocabulary must be from 101 on, not {options['vocabulary']}")
    return Endpoint(options["url"], options["served"], chat=options["chat"], text=options["text"],
                    vocabulary=options["vocabulary"], plain=options["plain"],
                    key=options["key"] or os.environ.get("OPENAI_API_KEY", ""),
                    extra=_extra(options["body"]), retries=options["retries"],
                    seed=options["seed"], **waits)


def _extra(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"--body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadInput("--body must be a JSON object, such as '{\"top_p\": 0.9}'")
    return found


def _count(flag: str, value: int | None) -> int | None:
    if value is not None and not 1 <= value <= 10**7:
        raise BadInput(f"{flag} must be a whole number from 1 to 10,000,000, not {value}")
    return value


def _tokens(flag: str, text: str) -> int:
    from ridgeline.quantity import parse_number

    number = parse_number(text)
    if number != int(number) or not 1 <= number <= 10**8:
        raise BadInput(f"{flag} must be a whole number of tokens from 1 on, not {text}")
    return int(number)


def _check_files(options: dict[str, Any]) -> None:
    """Refuse places that cannot be written to before the load, not after it."""
    from ridgeline.report.plot import check_ending

    if options["plot"]:
        check_ending(options["plot"])
    for path in filter(None, (options["out"], options["parquet"], options["rows"],
                              options["plot"])):
        if not Path(path).parent.is_dir():
            raise BadInput(f"cannot write {path}: there is no folder {Path(path).parent}")
    if options["rows"] and not options["machine"]:
        raise BadInput("--rows needs the deployment: give --on, and what differs from defaults")


def _scenario(options: dict[str, Any]) -> Scenario | None:
    """The deployment behind the server, where --on tells it."""
    if not options["machine"]:
        named = [o for o in ("tp", "pp", "weights", "engine", "architecture") if options.get(o)]
        if named:
            raise BadInput(f"--{named[0]} describes the deployment; give its machine with --on too")
        return None
    asked = {k: v for k, v in options.items() if k not in ("prompt", "output", "plot")}
    asked["model"] = options["architecture"] or options["served"]
    if not asked["model"]:
        raise BadInput("--on needs to know what the model is: give --architecture MODEL")
    return read_options(asked)


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[Record], None]]:
    """A progress bar on standard error, with what failed so far."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console, failed = Console(stderr=True), 0
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                  console=console, transient=True,
                  disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("requests", total=total)

        def say(record: Record) -> None:
            nonlocal failed
            failed += bool(record.failure)
            bar.update(task, advance=1,
                       description=f"requests, {failed} failed" if failed else "requests")

        yield say


def _write(outcome: Any, settings: dict[str, Any], scenario: Scenario | None,
           options: dict[str, Any]) -> list[str]:
    from ridgeline.measure.engine.result import write_json, write_parquet

    if options["out"]:
        write_json(outcome, settings, options["out"])
    if options["parquet"]:
        write_parquet(outcome, options["parquet"])
    if options["rows"] and scenario:
        from ridgeline.measure.engine.rows import own_run, write_rows

        write_rows([own_run(outcome, settings)], options["rows"], scenario)
    return [p for p in (options["out"], options["parquet"], options["rows"]) if p]


def _figure(outcome: Any, settings: dict[str, Any]) -> Any:
    from ridgeline.measure.engine.figure import percentiles_figure

    return percentiles_figure(outcome, f"{settings['model'] or settings['url']}, "
                                       f"{settings['protocol']}")
