"""`ridgeline report`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ridgeline.cli.options import catalog_options, read_options, scenario_options
from ridgeline.errors import BadInput, RidgelineError

if TYPE_CHECKING:
    from ridgeline.report.html import Part

# What a report asks of a scenario, in order.
QUESTIONS = ("fit", "estimate", "roofline", "simulate", "price", "energy")


@click.command(no_args_is_help=True)
@scenario_options("machine", "serving")
@click.option("-o", "--out", required=True, metavar="FILE", help="Page to write, ending in .html.")
@click.option("--ask", "asked", metavar="QUESTION,...", default=",".join(QUESTIONS),
              show_default=True, help="What the report answers, in order.")
@click.option("--title", metavar="TEXT", help="Heading. [default: model on machine]")
@catalog_options
def report(**options: Any) -> None:
    """Print it: one self-contained page about a SCENARIO with its numbers, pictures, derivations.

    SCENARIO is a .toml or .json file written by --save-scenario; or a model, with --on and flags.

    \b
    Examples:
      ridgeline report scenario.toml -o report.html
      ridgeline report Llama-3.1-70B --on 8xH100-SXM --prompt 4000 --output 1000 -o report.html
      ridgeline report Qwen3-30B-A3B --on H200 --ask fit,estimate,roofline -o short.html
    """
    from ridgeline.files import write_atomically
    from ridgeline.questions.definitions import definitions
    from ridgeline.report.html import render_report

    out, names = options.pop("out"), [n.strip() for n in options.pop("asked").split(",")]
    if not out.lower().endswith((".html", ".htm")):
        raise BadInput(f"cannot write a report to {out!r}; the name must end in .html")
    _known(names)
    title = options.pop("title")
    if (options["model"] or "").endswith((".toml", ".json")) and not options["machine"]:
        options["scenario_file"] = options.pop("model")
    fields = read_options(options).to_dict()
    meanings = {name: d.meaning for name, d in definitions().items()}
    page = render_report(title or f"{fields['model']} on {fields['machine']}", fields,
                         _parts(names, fields), meanings)
    click.echo(f"wrote {write_atomically(out, page)}")


def _known(names: list[str]) -> None:
    """Refuse names of questions that cannot be asked of a scenario."""
    from ridgeline.questions.registry import QUESTIONS as ALL
    from ridgeline.questions.registry import get_question

    for name in names:
        question = get_question(name)
        if not any(f.section == "workload" for f in question.fields):
            fitting = [n for n, q in ALL.items() if any(f.section for f in q.fields)]
            raise BadInput(f"a report cannot ask {name!r} of a scenario alone; it can ask "
                           + ", ".join(fitting))


def _parts(names: list[str], fields: dict[str, Any]) -> list[Part]:
    """Each question's answer, or why there is none, with a bar where it takes a while."""
    from rich.console import Console
    from rich.progress import track

    return [_part(name, fields) for name in track(
        names, description="asking", console=Console(stderr=True), transient=True)]


def _part(name: str, fields: dict[str, Any]) -> Part:
    from ridgeline.cli.spoken import command_line
    from ridgeline.questions.registry import get_question
    from ridgeline.report.html import Part

    question = get_question(name)
    try:
        given = question.arguments(fields)
        answer = question.answer(given)
    except RidgelineError as error:
        return Part(question.title, None, refusal=str(error))
    return Part(question.title, answer.to_dict(), question.drawn(answer, given),
                command=command_line(name, question, fields))
