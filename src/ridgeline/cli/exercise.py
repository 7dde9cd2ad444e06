"""`ridgeline exercise`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.options import answer_options, show
from ridgeline.errors import BadInput


@click.command()
@click.argument("name", required=False)
@click.option("--set", "given", multiple=True, metavar="LETTER=NUMBER",
              help="A number of your own, such as D=8192 or C=4.5e15; may be repeated.")
@click.option("--on", "chip", metavar="CHIP", help="Take peak and bandwidth from this chip.")
@click.option("--answer", metavar="NUMBER", help="Grade this answer (with a unit where it has "
              "one: 1.1ms).")
@click.option("--part", metavar="PART", help="Which part the answer is to. [default: the batch]")
@answer_options(plot="Draw attainable rate against the batch.")
def exercise(**options: Any) -> None:
    """Roofline questions: list them, work one with your own numbers, grade an answer.

    \b
    Examples:
      ridgeline exercise
      ridgeline exercise 3 --explain --plot roofline.svg
      ridgeline exercise 2 --set D=8192 --set F=28672 --on H100
      ridgeline exercise 3 --answer 241.4
      ridgeline exercise 3 --part batch_small --answer 483
      ridgeline exercise units --part t_math --answer 1.1ms
    """
    from ridgeline.questions.exercise import exercise as ask
    from ridgeline.questions.exercise import exercise_figure, list_exercises

    if options["name"] is None:
        extra = [f"--{k.replace('given', 'set').replace('chip', 'on')}"
                 for k in ("given", "chip", "answer", "part", "plot") if options[k]]
        if extra:
            raise BadInput(f"{extra[0]} needs the exercise it is for, such as `ridgeline "
                           "exercise 3`")
        show(list_exercises(), options)
        return
    given = dict(_letter(text) for text in options["given"])
    answer = _number("--answer", options["answer"]) if options["answer"] is not None else None
    if options["part"] and answer is None:
        raise BadInput("--part says which part --answer is to; give both")
    figure = None
    if options["plot"]:
        figure = exercise_figure(options["name"], given=given, chip=options["chip"])
    show(ask(options["name"], given=given, chip=options["chip"], answer=answer,
             part=options["part"]), options, (lambda: figure) if figure else None)


def _letter(text: str) -> tuple[str, float]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise BadInput(f"--set takes LETTER=NUMBER, such as D=8192, not {text!r}")
    return name.strip(), _number("--set", value.strip())


def _number(flag: str, text: str) -> float:
    """A plain number, or one with a unit of time, bytes, FLOP, or per cent."""
    from ridgeline.quantity import parse_number, parse_quantity

    if text.endswith("%"):
        return _number(flag, text[:-1]) / 100
    for unit in ("s", "B/s", "FLOP/s", "B", "FLOP"):
        try:
            return parse_quantity(text, unit)
        except BadInput:
            continue
    try:
        return parse_number(text)
    except BadInput as error:
        raise BadInput(f"{flag}: {error}") from error
