"""`ridgeline roofline`: every op of a model, or one matmul."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ridgeline.cli.options import (
    output_options,
    read_options,
    refuse_flags,
    scenario_options,
    show,
)
from ridgeline.errors import BadInput

if TYPE_CHECKING:
    from ridgeline.questions.answer import Answer


@click.command(no_args_is_help=True)
@scenario_options("machine", "serving")
@click.option("--matmul", metavar="SHAPE",
              help="One product X[B,D] Y[D,F], such as B=?,D=4096,F=4096 (B=? asks for the "
              "critical batch). Further keys: G=groups, n=chips that share it.")
@click.option("--formats", metavar="X,Y,Z", default="bf16,bf16,bf16", show_default=True,
              help="Formats of X, Y and the result of --matmul.")
@click.option("--compute", metavar="FORMAT", help="Peak that --matmul runs at. "
              "[default: of the wider operand]")
@click.option("--per-example", is_flag=True, help="--matmul with weights of its own an example.")
@output_options(plot="Draw the roofline.")
def roofline(**options: Any) -> None:
    """Why is it as fast as it is? Every op of MODEL against the roofs, or one matmul.

    \b
    Examples:
      ridgeline roofline Llama-3.1-70B --on 8xH100-SXM --concurrency 32 --plot roofline.svg
      ridgeline roofline --matmul B=?,D=4096,F=4096 --formats bf16,int8,bf16 --on TPU-v5e
      ridgeline roofline --matmul B=64,D=8192,F=28672 --on H100
    """
    if options["matmul"]:
        _matmul(options)
        return
    refuse_flags(("formats", "compute", "per_example"), "belongs to --matmul")
    for name in ("matmul", "formats", "compute", "per_example"):
        options.pop(name)
    from ridgeline.questions.roofline import roofline as ask
    from ridgeline.questions.roofline import roofline_figure

    scenario = read_options(options)
    show(ask(scenario, ideal=options["ideal"]), options,
         lambda: roofline_figure(scenario, ideal=options["ideal"]))


def _matmul(options: dict[str, Any]) -> None:
    from ridgeline.machine.parse import parse_machine

    if options["model"]:
        raise BadInput(f"give a model or --matmul, not both ({options['model']!r})")
    refuse_flags(("machine", "serving", "scenario_file", "save_scenario"),
                 "does not go with --matmul", but=("machine",))
    if not options["machine"]:
        raise BadInput("--matmul needs a chip: --on TPU-v5e")
    shape = _shape(options["matmul"])
    formats = tuple(part.strip() for part in options["formats"].split(","))
    if len(formats) != 3:
        raise BadInput(f"--formats needs three names, of X, Y and the result, "
                       f"not {options['formats']!r}")
    chip = parse_machine(options["machine"]).chip
    answer, figure = _ask(shape, formats, chip, options)
    show(answer, options, figure)


def _ask(shape: dict[str, int | None], formats: tuple[str, ...], chip: Any,
         options: dict[str, Any]) -> tuple[Answer, Any]:
    from ridgeline.questions.roofline_matmul import matmul_figure, roofline_matmul

    named: dict[str, Any] = {
        "batch_size": shape["B"], "d_in": shape["D"], "d_out": shape["F"], "formats": formats,
        "compute": options["compute"], "groups": shape.get("G") or 1,
        "per_example": options["per_example"], "sharded": shape.get("n")}
    return roofline_matmul(chip=chip, **named), lambda: matmul_figure(chip=chip, **named)


def _shape(text: str) -> dict[str, int | None]:
    """Read "B=?,D=4096,F=4096"."""
    found: dict[str, int | None] = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in ("B", "D", "F", "G", "n") or not value:
            raise BadInput(f"cannot read {part!r} in --matmul; write B=?,D=4096,F=4096 "
                           "(and G=8 groups, n=4 chips)")
        if value != "?" and (not value.isdigit() or not 0 < int(value) < 10**9):
            raise BadInput(f"{name} in --matmul must be a whole number from 1, not {value!r}")
        if value == "?" and name != "B":
            raise BadInput(f"only B can be asked for with '?', not {name}")
        found[name] = None if value == "?" else int(value)
    missing = [name for name in ("D", "F") if name not in found]
    if missing:
        raise BadInput(f"--matmul lacks {' and '.join(missing)}; write B=?,D=4096,F=4096")
    return {"B": None, **found}
