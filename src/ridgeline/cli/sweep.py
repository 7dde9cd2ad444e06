"""`ridgeline sweep`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ridgeline.cli.options import answer_options, show
from ridgeline.errors import BadInput

if TYPE_CHECKING:
    from ridgeline.questions.answer import Answer
    from ridgeline.report.figure import Figure


@click.command(no_args_is_help=True)
@click.argument("scenario")
@click.option("--question", metavar="NAME", help="estimate, fit or train. [default: the file's "
              "`question`, else estimate]")
@click.option("--out", metavar="DIR", help="Folder of the rows. [default: SCENARIO without its "
              "ending, and -sweep]")
@click.option("--jobs", metavar="N", help="Processes side by side. [default: the processors]")
@click.option("--on-ray", metavar="ADDRESS", help="Run on a Ray cluster: auto, host:6379, "
              "ray://host:10001, or local. Ridgeline must be installed on its nodes.")
@click.option("--limit", metavar="N", help="Combinations at most. [default: 100,000]")
@click.option("--force", is_flag=True, help="Forget the rows of another sweep in DIR.")
@answer_options(plot="Draw --y by --x.", explained=False)
@click.option("--x", metavar="FIELD", help="Field along the picture. [default: the first swept]")
@click.option("--y", metavar="COLUMN", help="Number up the picture, such as tpot_s.")
def sweep(**options: Any) -> None:
    """Every combination of lists and ranges in SCENARIO (.toml or .json), kept as Parquet.

    Any field may be a value, a list, or a range. Rows are kept in DIR as they are done: after a
    kill, the same command goes on where it was. All rows end in DIR/rows.parquet.

    \b
    A scenario:
      model = "Llama-3.1-70B"
      machine = ["8xH100-SXM", "8xB200"]
      tp = [4, 8]
      concurrency = [1, 8, 64]
      prompt = {from = 100, to = 10000, steps = 5, scale = "log"}

    \b
    Examples:
      ridgeline sweep scenario.toml
      ridgeline sweep scenario.toml --jobs 4 --out rows --plot rate.svg --x concurrency
      ridgeline sweep runs.toml --question train --json
      ridgeline sweep large.toml --limit 1000000 --on-ray auto
    """
    from ridgeline.cli.progress import shown
    from ridgeline.questions.sweep import SweepAsk
    from ridgeline.questions.sweep import sweep as ask

    for name in ("out", "plot", "question"):
        if options[name] is not None and not options[name].strip():
            raise BadInput(f"--{name} needs a name; it is empty")
    for name in ("x", "y"):
        if options[name] and not options["plot"]:
            raise BadInput(f"--{name} chooses what --plot draws; give --plot FILE")
    asked = SweepAsk(**_given(options))
    with shown("sweeping") as tell:
        answer = ask(asked, tell)
    show(answer, options, lambda: _figure(answer, options))


def _figure(answer: Answer, options: dict[str, Any]) -> Figure:
    from ridgeline.questions.sweep_plot import sweep_figure

    return sweep_figure(answer, options["x"], options["y"])


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Fields of the ask behind the flags and the file."""
    from ridgeline.scenario import read_scenario

    fields = dict(read_scenario(options["scenario"]))
    question = fields.pop("question", "estimate")
    given: dict[str, Any] = {
        "fields": fields, "question": options["question"] or question,
        "out": options["out"] or str(Path(options["scenario"]).with_suffix("")) + "-sweep",
        "on_ray": options["on_ray"], "force": options["force"],
        "jobs": _count("--jobs", options["jobs"]) or os.cpu_count() or 1}
    if (limit := _count("--limit", options["limit"])) is not None:
        given["limit"] = limit
    return given


def _count(flag: str, text: str | None) -> int | None:
    from ridgeline.quantity import parse_number

    if text is None:
        return None
    try:
        number = parse_number(text)
    except BadInput:
        number = float("nan")
    if not (number == number and 1 <= number <= 1e9 and number == int(number)):
        raise BadInput(f"{flag} must be a whole number from 1 on, not {text}")
    return int(number)
