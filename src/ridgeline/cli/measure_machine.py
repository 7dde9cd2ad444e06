"""`ridgeline measure machine`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ridgeline.cli.options import show
from ridgeline.errors import BadInput

if TYPE_CHECKING:
    from ridgeline.measure.machine.points import Machine, Point


@click.command(short_help="What this machine really does.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True,
              help="cuda needs PyTorch.")
@click.option("--threads", metavar="N", type=int, help="Threads at most. [default: every core]")
@click.option("--quick", is_flag=True, help="Fewer sizes and less time: seconds, not a minute.")
@click.option("--budget", metavar="TIME", default="150ms", show_default=True,
              help="Time for each probe.")
@click.option("--kernels/--no-kernels", default=True, show_default=True,
              help="Measure those of llama.cpp and PyTorch, where installed.")
@click.option("--beside", metavar="CHIP", help="Compare with this chip of the catalog.")
@click.option("--out", metavar="FILE.toml", help="Write a chip file; give it as --on FILE.")
@click.option("--points", metavar="FILE.json", help="Write every point measured.")
@click.option("--read", "again", metavar="FILE.json", help="Show points measured earlier.")
@click.option("--plot", metavar="FILE", help="Draw the roofline, measured beside the catalog's. "
              "Ending: .svg, .png or .html.")
@click.option("--catalog", metavar="PATH", help="File or folder of your own chips for --beside.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def machine(**options: Any) -> None:
    """Measure memory bandwidth, matmul rates and launch cost where this runs.

    Where the packages xllamacpp (with gguf) or PyTorch are installed, llama.cpp's and PyTorch's
    own kernels are measured too: products by format, rows and size, attention, and what the engine
    adds to a step. With them in the chip file, every command predicts those engines here from
    measurements of this machine alone. One thread is timed by processor time.

    Close other programs first: the best of several samples counts, and the noise is reported.
    Interrupting it (Ctrl-C) keeps what was measured until then.

    \b
    Examples:
      ridgeline measure machine
      ridgeline measure machine --threads 1 --out my-machine.toml --plot roofline.svg
      ridgeline measure machine --device cuda --beside H100-SXM --out my-gpu.toml
      ridgeline estimate Llama-3.2-1B --on ./my-machine.toml --engine llamacpp --weights q8_0
    """
    from ridgeline.measure.machine.answer import machine_answer, roofline_figure
    from ridgeline.measure.machine.points import read_machine

    _check(options)
    beside = _beside(options)
    found = read_machine(options["again"]) if options["again"] else _measured(options)
    written = [p for p in (options["out"], options["points"]) if p]
    _write(found, options)
    show(machine_answer(found, beside), options, lambda: roofline_figure(found, beside))
    if not options["as_json"]:
        for path in written:
            click.echo(f"wrote {path}")
    if not found.complete:
        raise SystemExit(130)


def _check(options: dict[str, Any]) -> None:
    """Refuse what cannot be written before the measurement, not after it."""
    from ridgeline.measure.machine.chip_file import chip_name
    from ridgeline.report.plot import check_ending

    if options["plot"]:
        check_ending(options["plot"])
    out = Path(options["out"]) if options["out"] else None
    if out and (out.suffix != ".toml" or chip_name(out.stem) != out.stem):
        raise BadInput(f"cannot write a chip to {str(out)!r}; name it like my-machine.toml, with "
                       "letters, digits, dots and dashes")
    for path in filter(None, (options["out"], options["points"], options["plot"])):
        if not Path(path).parent.is_dir():
            raise BadInput(f"cannot write {path}: there is no folder {Path(path).parent}")
    if options["again"] and (options["threads"] or options["quick"]):
        raise BadInput("--read shows points measured earlier; leave --threads and --quick out")


def _beside(options: dict[str, Any]) -> Any:
    import os

    if options["catalog"]:
        os.environ["RIDGELINE_CATALOG"] = options["catalog"]
    if not options["beside"]:
        return None
    from ridgeline.catalog import load_chip

    return load_chip(options["beside"])


def _measured(options: dict[str, Any]) -> Machine:
    from ridgeline.measure.machine.here import plan_here
    from ridgeline.measure.machine.sweep import measure_machine
    from ridgeline.quantity import parse_quantity

    budget = parse_quantity(options["budget"], "s")
    if options["quick"]:
        budget = min(budget, 0.05)
    host, batches = plan_here(options["device"], options["threads"], quick=options["quick"],
                              kernels=options["kernels"])
    with _progress(sum(len(b.jobs) for b in batches), options["as_json"]) as say:
        return measure_machine(host, batches, budget=budget, say=say)


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[Point], None]]:
    """A progress bar on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                  console=console, transient=True,
                  disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("measuring", total=total)

        def say(point: Point) -> None:
            threads = f", {point.threads} threads" if point.threads > 1 else ""
            bar.update(task, advance=1, description=f"{point.kind} {point.format}{threads}")

        yield say


def _write(found: Machine, options: dict[str, Any]) -> None:
    from ridgeline.files import write_atomically
    from ridgeline.measure.machine.chip_file import write_chip

    if options["points"]:
        write_atomically(options["points"], json.dumps(found.to_dict(), indent=1) + "\n")
    if options["out"]:
        write_chip(found, options["out"])
