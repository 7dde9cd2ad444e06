"""A fleet in the years to come: supply, tokens and price with bands."""

from __future__ import annotations

import math

from ridgeline.errors import BadInput
from ridgeline.questions.answer import Cell, Table
from ridgeline.report.figure import Axis, Figure, Line
from ridgeline.report.figure import Band as Area
from ridgeline.training.trends import Band, Trend, forecast, get_trend

__all__ = ["bands", "forecast_figure", "forecast_table"]

LAST = 2060


def bands(until: int, since: int, spending_growth: float | None, seed: int
          ) -> tuple[tuple[int, ...], dict[str, Band]]:
    """Years, and the factor of compute, of tokens at fixed capability and of their number a dollar.

    Budgets grow as training spend has (or as told), chips by the price of their FLOP/s, and a
    fixed capability gets cheaper by hardware and algorithms together.

    Raises:
        BadInput: years that are not to come.
    """
    if not since < until <= LAST:
        raise BadInput(f"the projection ends after {since} and by {LAST}, not in {until}")
    years = tuple(range(since, until + 1))
    spend = get_trend("training_cost") if spending_growth is None else Trend(
        "given", "budget of the fleet", spending_growth, spending_growth, spending_growth, 0.8,
        "given")
    ahead = [float(year - since) for year in years]
    parts = {"compute": (spend, get_trend("price_performance")),
             "tokens": (spend, get_trend("inference_efficiency")),
             "per_usd": (get_trend("inference_efficiency"),)}
    return years, {name: forecast(found, ahead, seed=seed) for name, found in parts.items()}


def forecast_table(until: int, since: int, passes: float, usd_per_mtok: float,
                   spending_growth: float | None, seed: int) -> Table:
    """Passes per second of this model, tokens a day of this capability, and its price, by year.

    Raises:
        BadInput: as `bands`.
    """
    years, found = bands(until, since, spending_growth, seed)
    rows: list[list[Cell]] = []
    for i, year in enumerate(years):
        price = [usd_per_mtok / getattr(found["per_usd"], name)[i]
                 for name in ("median", "high80", "low80")]
        rows.append([str(year), *_band(passes, found["compute"], i),
                     *_band(passes * 86400, found["tokens"], i),
                     *([None] * 3 if math.isnan(usd_per_mtok) else price)])
    return Table.of("forecast", {
        "year": "1", "passes/s": "tok", "from": "tok", "to": "tok", "tok/day": "tok",
        "from ": "tok", "to ": "tok", "USD/Mtok": "1", "from  ": "1", "to  ": "1"}, rows,
        title="Projection, 80 % bands: this model's passes, this capability's tokens and price")


def _band(value: float, band: Band, at: int) -> tuple[float, float, float]:
    return value * band.median[at], value * band.low80[at], value * band.high80[at]


def forecast_figure(until: int, since: int, passes: float, spending_growth: float | None,
                    seed: int) -> Figure:
    """The same as lines with bands."""
    years, found = bands(until, since, spending_growth, seed)
    series: list[Line | Area] = []
    for name, label in (("compute", "this model"), ("tokens", "this capability")):
        band = found[name]
        series += [Area(years, [passes * v for v in band.low80], [passes * v for v in band.high80]),
                   Line(years, [passes * v for v in band.median], label)]
    return Figure("Forward passes of the fleet", Axis("year"),
                  Axis("tokens/s", "token/s", log=True), tuple(series),
                  subtitle="median and 80 % band")
