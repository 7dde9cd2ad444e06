"""Predicted against measured, as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ridgeline.measure.validate.run import FileReport
from ridgeline.report.figure import Axis, Figure, Line, Scatter

MOST_POINTS = 3000
# Of each metric on a page of many figures, so that it stays light.
PAGE_POINTS = 200


def figures_of(reports: Sequence[FileReport]) -> dict[str, Figure]:
    """The figures of a page by short name: one of all kernels, one of each other table."""
    kernels = [r for r in reports if "time" in r.points]
    # By file: two tables of one schema (a scored one, a partial one) have a figure each.
    others = {Path(r.file).name.split(".")[0]: [r] for r in reports
              if r.points and "time" not in r.points}
    groups = {"kernels": kernels, **others} if kernels else others
    return {name: accuracy_figure(group, PAGE_POINTS) for name, group in groups.items()}


def accuracy_figure(reports: Sequence[FileReport], most: int = MOST_POINTS) -> Figure:
    """Log-log scatter of every scored metric with the line of equality.

    Metrics of different units share one figure, each divided by its own unit; a metric with more
    than `most` rows is thinned evenly, and the subtitle says so.
    """
    series: list[Scatter | Line] = []
    units, thinned, ends = set(), False, []
    for report in reports:
        for metric, (real, value, row) in report.points.items():
            step = -(-len(real) // most)
            thinned |= step > 1
            real, value, row = real[::step], value[::step], row[::step]
            units.add(report.units[metric])
            ends += [float(real.min()), float(real.max())]
            hover = [f"{report.schema} row {r}: measured {m:.4g}, predicted {p:.4g}"
                     for r, m, p in zip(row.tolist(), real.tolist(), value.tolist(), strict=True)]
            series.append(Scatter(real.tolist(), value.tolist(), f"{report.schema} {metric}",
                                  size=3.0, hover=hover, opacity=0.45))
    if ends:
        line = [min(ends), max(ends)]
        series.append(Line(line, line, "equal", dash=True, color="#000000", width=1.2))
    unit = units.pop() if len(units) == 1 else "1"
    scored = sum(len(real) for report in reports for real, _, _ in report.points.values())
    note = f"{scored:,} values in {len(reports)} file{'s' if len(reports) != 1 else ''}"
    if units:
        note += ", SI units"
    return Figure("Predicted against measured", x=Axis("measured", unit, log=True),
                  y=Axis("predicted", unit, log=True), series=tuple(series),
                  subtitle=note + (f"; at most {most:,} drawn of each" if thinned else ""))
