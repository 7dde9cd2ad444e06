"""`ridgeline calibrate`: rebuild the fitted constants."""

from __future__ import annotations

import importlib.resources
import json
import os
from pathlib import Path

import click


@click.command(short_help="Rebuild every fitted constant from measurements.")
@click.option("--with", "extra", metavar="FILE", multiple=True,
              help="Your own measured table, of a kind `ridgeline validate` reads. Repeatable.")
@click.option("--out", metavar="FOLDER", help="Where the constants go. [default: the package's "
              "own, or with --with a folder of yours]")
@click.option("--family", "families", metavar="NAME", multiple=True,
              help="Fit only this family of constants. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print the fingerprint as JSON.")
def calibrate_command(extra: tuple[str, ...], out: str | None, families: tuple[str, ...],
                      as_json: bool) -> None:
    """Fit every constant again from the shipped measurements, and from yours.

    The same measurements give the same constants. A calibration in a folder of yours is used when
    RIDGELINE_CALIBRATION names the folder.

    \b
    Examples:
      ridgeline calibrate
      ridgeline calibrate --with my_gemm.csv --out my-calibration
    """
    from ridgeline.measure.calibrate import calibrate

    folder = Path(out) if out else _default_folder(bool(extra))
    mark = calibrate(folder, extra, families, lambda text: click.echo(text, err=True))
    if as_json:
        click.echo(json.dumps(mark, indent=2))
        return
    click.echo(f"wrote {len(mark['outputs'])} families of constants to {folder}")
    click.echo(f"fingerprint of the measurements: {mark['all_inputs'][:16]}")
    if out or extra:
        click.echo(f"use them with: export RIDGELINE_CALIBRATION={folder.resolve()}")


def _default_folder(own: bool) -> Path:
    """The package's data folder, or the user's when rows of theirs are in it."""
    if not own:
        return Path(str(importlib.resources.files("ridgeline.timing") / "data"))
    named = os.environ.get("RIDGELINE_CALIBRATION")
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(named) if named else Path(base) / "ridgeline" / "calibration"
