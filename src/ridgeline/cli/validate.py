"""`ridgeline validate`: how right are the predictions?"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ridgeline.errors import BadInput

if TYPE_CHECKING:
    from ridgeline.measure.validate.run import FileReport

_WIDTH = 100


@click.command(short_help="How right? Predictions against measured files.")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--by", metavar="COLUMNS", default="",
              help="Also group by these columns, such as model,system,engine.")
@click.option("--plot", metavar="FILE", help="Predicted against measured. Ending: .svg, .png, "
              ".html or .json.")
@click.option("--unanswered", metavar="FILE", help="Write the rows without an answer, with the "
              "reason, as CSV.")
@click.option("--models", metavar="FILE", help="CSV of model names (name, config_file and, where "
              "known, weights) beyond the bundled ones.")
@click.option("--calibration", metavar="FOLDER", help="Use the constants of this folder, made by "
              "`ridgeline calibrate --out`.")
@click.option("--write", metavar="FILE", help="Write the report as a Markdown page, with the "
              "cross-validated errors of every fit; its pictures go into a folder of its name.")
@click.option("--held-out", is_flag=True, help="Only print the errors on what each fit did not "
              "see, as `ridgeline calibrate` found them.")
def validate_command(files: tuple[str, ...], as_json: bool, by: str, plot: str | None,
                     unanswered: str | None, models: str | None, calibration: str | None,
                     write: str | None, held_out: bool) -> None:
    """Compare predictions with measured tables; without FILE, with the shipped ones.

    A table's kind is told by its columns; plain, gzip and xz files are read. Every row gets a
    prediction or a reason.

    \b
    Examples:
      ridgeline validate
      ridgeline validate --held-out
      ridgeline validate my_gemm.csv.gz --by gpu,backend
      ridgeline validate serving_latency.csv --plot scatter.svg --unanswered missing.csv
    """
    from ridgeline.measure.validate.run import validate_files
    from ridgeline.report.plot import check_ending, write_figure

    if plot:
        check_ending(plot)
    _check_folders(plot, unanswered, write)
    _use(models, calibration)
    if held_out:
        _print_held_out(as_json)
        return
    asked = [c.strip() for c in by.split(",") if c.strip()]
    with _progress(as_json) as start:
        reports = validate_files(files or _shipped(), asked, start)
    if as_json:
        click.echo(json.dumps({"files": [r.to_dict() for r in reports]}, indent=2,
                              allow_nan=False))
    else:
        _print(reports)
    if unanswered:
        _write_unanswered(reports, unanswered)
    if plot:
        from ridgeline.measure.validate.figure import accuracy_figure

        write_figure(accuracy_figure(reports), plot)
    if write:
        _write_page(reports, Path(write))
    if not as_json:
        for path in filter(None, (unanswered, plot, write)):
            click.echo(f"wrote {path}")


def _write_page(reports: Sequence[FileReport], page: Path) -> None:
    """The page, and its pictures in a folder beside it."""
    from ridgeline.files import write_atomically
    from ridgeline.measure.validate.figure import figures_of
    from ridgeline.measure.validate.page import accuracy_page
    from ridgeline.report.plot import write_figure

    folder = page.with_suffix("")
    folder.mkdir(exist_ok=True)
    pictures = {}
    for name, figure in figures_of(reports).items():
        write_figure(figure, str(folder / f"{name}.svg"))
        pictures[name.replace("_", " ")] = f"{folder.name}/{name}.svg"
    write_atomically(page, accuracy_page(reports, pictures))


def _print_held_out(as_json: bool) -> None:
    """The cross-validated errors of every fit."""
    from ridgeline.measure.validate.page import held_out_errors

    found = list(held_out_errors())
    if as_json:
        click.echo(json.dumps([{"family": f, "left_out": n, **e} for f, n, e in found], indent=2))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("family", "left out"):
        table.add_column(name)
    for name in ("rows", "median APE", "p90 APE", "bias"):
        table.add_column(name, justify="right")
    for family, name, e in found:
        table.add_row(family, name, f"{e['n']:,}", f"{e['median_ape_pct']:.1f} %",
                      f"{e['p90_ape_pct']:.1f} %", f"{e['bias_pct']:+.1f} %")
    Console(width=_WIDTH, highlight=False).print(table)


def _check_folders(*paths: str | None) -> None:
    """Refuse a place that cannot be written to before the work, not after it."""
    for path in filter(None, paths):
        if not Path(path).parent.is_dir():
            raise BadInput(f"cannot write {path}: there is no folder {Path(path).parent}")


def _use(models: str | None, calibration: str | None) -> None:
    """Point the predictors at the user's own names and constants."""
    if models:
        from ridgeline.measure.truth.names import add_names

        add_names(models)
    if calibration:
        from ridgeline.measure.calibrate import use_calibration

        use_calibration(calibration)


def _shipped() -> list[Path]:
    from ridgeline.truth_data import shipped_tables

    return shipped_tables()


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """A progress bar on standard error; nothing of it reaches a pipe."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    show = console.is_terminal and not quiet
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                  console=console, transient=True, disable=not show) as bar:

        def start(name: str, rows: int) -> Callable[[int], None]:
            task = bar.add_task(Path(name).name, total=rows)
            return lambda done: bar.advance(task, done)

        yield start


def _print(reports: Sequence[FileReport]) -> None:
    """One table a file, then what has no answer and why."""
    from collections import Counter

    from rich.console import Console

    console = Console(width=_WIDTH, highlight=False)
    for report in reports:
        share = report.predicted / report.rows if report.rows else 0.0
        console.print(f"[bold]{Path(report.file).name}[/bold]: {report.schema}, {report.rows:,} "
                      f"rows, {share:.1%} predicted", soft_wrap=True)
        if any(group.n for group in report.groups):
            console.print(_table(report))
        _print_counts(console, Counter(report.notes), "rows:")
        _print_counts(console, Counter(u.reason for u in report.unanswered), "not answered:")
        console.print()


def _print_counts(console: Any, counts: Any, what: str, most: int = 5) -> None:
    """The commonest remarks with how many rows each is about, and how many more there are."""
    for text, count in counts.most_common(most):
        console.print(f"  {count:,} {what} {text}", markup=False)
    if len(counts) > most:
        console.print(f"  and {len(counts) - most} more remarks (see --json)", markup=False)


def _table(report: FileReport) -> Any:
    """The scores of one file."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("group", max_width=34, overflow="fold")
    table.add_column("metric")
    for name in ("n", "median APE", "p90 APE", "bias", "in 80 %", "in 95 %"):
        table.add_column(name, justify="right")
    for g in report.groups:
        if g.n:
            table.add_row(g.group, g.metric, f"{g.n:,}", *(_percent(v) for v in (
                g.median_ape_pct, g.p90_ape_pct)), _percent(g.bias_pct, sign=True),
                _percent(g.coverage80_pct), _percent(g.coverage95_pct))
    return table


def _percent(value: float | None, sign: bool = False) -> str:
    if value is None:
        return "-"
    return f"{value:{'+' if sign else ''}.1f} %"


def _write_unanswered(reports: Sequence[FileReport], path: str) -> None:
    """CSV of every row without an answer."""
    from ridgeline.files import write_atomically

    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(["file", "row", "id", "reason"])
    for report in reports:
        lines.writerows([report.file, u.row, u.id, u.reason] for u in report.unanswered)
    write_atomically(path, out.getvalue())
