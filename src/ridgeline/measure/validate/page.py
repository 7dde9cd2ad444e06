"""The accuracy page: every error table, what it was measured on, and simpler models beside it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ridgeline.measure.truth.measured import measured
from ridgeline.measure.truth.reader import read_table
from ridgeline.measure.validate.baselines import one_efficiency, roofline
from ridgeline.measure.validate.prediction import Prediction
from ridgeline.measure.validate.run import FileReport
from ridgeline.measure.validate.score import GroupScore, score

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_INTRO = """# Accuracy

Written by `ridgeline validate --write FILE`; do not edit by hand. Every number below is an error
of a prediction against a published measurement. Sources and licences are in
`src/ridgeline/truth_data/SOURCES.md`.

- **median APE**, **p90 APE**: median and 90th percentile of |predicted - measured| / measured.
- **bias**: exp(median log(predicted / measured)) - 1; negative means predicted too small.
- **in 80 %**, **in 95 %**: share of measurements inside the interval given with the prediction.
"""
_HELD_OUT = """
## Kernels on what the fit did not see

Each row is predicted by constants fitted without it: `table` leaves out whole groups of shapes of
a chip and backend that are otherwise measured; `backend`, `architecture` and `pooled` leave out
everything measured on that backend, chip or architecture. These are the numbers to expect on
shapes and machines of your own.

| family | left out | rows | median APE | p90 APE | bias | in 80 % |
| --- | --- | --: | --: | --: | --: | --: |
"""
_ORDER = {"table": 0, "backend": 1, "architecture": 2, "pooled": 3}
_SIMPLER = """
## What calibration buys

The same rows by simpler models: the datasheet roofline, and the roofline over the best single
efficiency for each chip, backend and format (chosen on these very rows, so at its best). The
calibrated column is in sample: for unseen shapes see the table above.

| table | rows | roofline | one efficiency | calibrated |
| --- | --: | --: | --: | --: |
"""
_SEEN = """
## Predicted against measured

Every table that ships with the package, thinned evenly; the dashed line is equality.
"""
_SHIPPED = """
## Every table, every metric

Predictions against the tables that ship with the package. Kernel tables here are the very rows
that the constants were fitted to.
"""


def accuracy_page(reports: Sequence[FileReport], pictures: Mapping[str, str] | None = None) -> str:
    """The page as Markdown.

    Args:
        reports: of every table.
        pictures: what a picture shows -> its file, seen from the page.
    """
    parts = [_INTRO, *_held_out(), *_simpler(reports), *_pictures(pictures or {}), _SHIPPED]
    for report in reports:
        parts += _one(report)
    return "".join(parts)


def _pictures(pictures: Mapping[str, str]) -> Iterator[str]:
    if pictures:
        yield _SEEN
    for name, file in pictures.items():
        yield f"\n![Predicted against measured: {name}]({file})\n"


def held_out_errors() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(family, what was left out, errors) of every fit, as `ridgeline calibrate` found them."""
    from ridgeline.timing.constants import constants_text

    for family, splits in sorted(json.loads(constants_text("accuracy.json") or "{}").items()):
        for name, errors in sorted(splits.items(), key=lambda item: _ORDER.get(item[0], 9)):
            if isinstance(errors, dict) and "median_ape_pct" in errors:
                yield family, name, errors


def _held_out() -> Iterator[str]:
    lines = []
    for family, name, e in held_out_errors():
        inside = e.get("coverage80_pct")
        lines.append(f"| {family} | {name} | {e['n']:,} | {e['median_ape_pct']:.1f} % | "
                     f"{e['p90_ape_pct']:.1f} % | {e['bias_pct']:+.1f} % | "
                     + ("-" if inside is None else f"{inside:.1f} %") + " |\n")
    if lines:
        yield _HELD_OUT
        yield from lines


def _simpler(reports: Sequence[FileReport]) -> Iterator[str]:
    lines = [line for report in reports if (line := _simpler_line(report))]
    if lines:
        yield _SIMPLER
        yield from lines


def _simpler_line(report: FileReport) -> str:
    if "time" not in report.points:
        return ""
    table = read_table(report.file)
    floor = roofline(table)
    if floor is None:
        return ""
    truth = measured(table)["time"]
    single = one_efficiency(table, floor, truth)
    own = next(g for g in report.groups if g.group == "all" and g.metric == "time")
    return (f"| {report.schema} | {own.n:,} | {_ape(truth, floor)} | {_ape(truth, single)} | "
            f"{own.median_ape_pct:.1f} % |\n")


def _ape(truth: Array, value: Array) -> str:
    import numpy as np

    guess = Prediction.unanswered(len(truth), "")
    guess.put(np.arange(len(truth)), value)
    found = score("all", "time", truth, guess, np.ones(len(truth), bool))
    return "-" if found.median_ape_pct is None else f"{found.median_ape_pct:.1f} %"


def _one(report: FileReport) -> Iterator[str]:
    share = report.predicted / report.rows if report.rows else 0.0
    yield (f"\n### {Path(report.file).name}: {report.rows:,} rows, {share:.1%} predicted\n\n")
    scored = [g for g in report.groups if g.n]
    if scored:
        yield ("| group | metric | rows | median APE | p90 APE | bias | in 80 % | in 95 % |\n"
               "| --- | --- | --: | --: | --: | --: | --: | --: |\n")
        yield from (_line(g) for g in scored)
    for note, rows in Counter(report.notes).most_common(8):
        yield f"\n- {rows:,} rows: {note}"
    for reason, count in Counter(u.reason for u in report.unanswered).most_common(8):
        yield f"\n- {count:,} not answered: {reason}"
    if report.unanswered or report.notes:
        yield "\n"


def _line(g: GroupScore) -> str:
    def cell(value: float | None, sign: str = "") -> str:
        return "-" if value is None else f"{value:{sign}.1f} %"

    return (f"| {g.group} | {g.metric} | {g.n:,} | {cell(g.median_ape_pct)} | "
            f"{cell(g.p90_ape_pct)} | {cell(g.bias_pct, '+')} | {cell(g.coverage80_pct)} | "
            f"{cell(g.coverage95_pct)} |\n")
