"""`ridgeline measure retrieval`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from ridgeline.cli.options import show
from ridgeline.errors import BadInput


@click.command(short_help="What searches and an encoder really take on one thread.")
@click.option("--quick", is_flag=True, help="A handful of points: a minute or two.")
@click.option("--encoder", "encoder", metavar="FOLDER", help="Encoder to run: a folder with "
              "config.json and model.safetensors, or an installed package that holds them. "
              "[default: random weights of a MiniLM]")
@click.option("--no-encoder", is_flag=True, help="Measure indexes only.")
@click.option("--most", metavar="N", help="Vectors of the largest index. [default: 1M]")
@click.option("--out", metavar="FILE.json", help="Write constants; use them with "
              "RIDGELINE_RETRIEVAL=FILE.json.")
@click.option("--rows", metavar="FILE.csv", help="Write every row; `ridgeline validate` reads it.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def retrieval(**options: Any) -> None:
    """Build real faiss indexes and run a real encoder here, on one thread, and compare.

    Close other programs first. Without --quick it takes tens of minutes. Interrupting it (Ctrl-C)
    keeps what was measured until then.

    \b
    Examples:
      ridgeline measure retrieval --quick --out my-cpu.json
      RIDGELINE_RETRIEVAL=my-cpu.json ridgeline retrieve --docs 10M --dim 768 --index hnsw
      ridgeline measure retrieval --encoder ./all-MiniLM-L6-v2 --rows rows.csv
      ridgeline validate rows.csv
    """
    # The libraries read these once, when they are loaded.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    _check(options)
    from ridgeline.cli.progress import shown
    from ridgeline.measure.retrieval.constants import write_constants
    from ridgeline.measure.retrieval.run import find_encoder, measure, measured_answer, to_csv
    from ridgeline.retrieval.cpu_time import shipped_constants

    encoder = None if options["no_encoder"] else find_encoder(options["encoder"])
    before = shipped_constants()
    with shown("measuring", quiet=options["as_json"]) as say:
        found = measure(_design(options), encoder, say)
    after = found.constants(before)
    show(measured_answer(found, before, after), options)
    written = []
    if options["out"]:
        write_constants(after, options["out"])
        written.append(options["out"])
    if options["rows"]:
        written += [str(p) for p in to_csv(found, options["rows"])]
    if not options["as_json"]:
        for path in written:
            click.echo(f"wrote {path}")
    if not found.complete:
        raise SystemExit(130)


def _check(options: dict[str, Any]) -> None:
    if options["no_encoder"] and options["encoder"]:
        raise BadInput("give --encoder or --no-encoder, not both")
    for name, ending in (("out", ".json"), ("rows", ".csv")):
        path = options[name]
        if path and not path.endswith(ending):
            raise BadInput(f"--{name} {path!r} must end in {ending}")
        if path and not Path(path).parent.is_dir():
            raise BadInput(f"cannot write {path}: there is no folder {Path(path).parent}")


def _design(options: dict[str, Any]) -> list[Any]:
    from ridgeline.measure.retrieval.design import full_design, quick_design
    from ridgeline.quantity import parse_number

    builds = quick_design() if options["quick"] else full_design()
    if options["most"] is None:
        return builds
    most = parse_number(options["most"])
    kept = [b for b in builds if b.n <= most]
    if not kept:
        raise BadInput(f"--most {options['most']} is below the smallest index measured, "
                       f"{min(b.n for b in builds):,} vectors")
    return kept
