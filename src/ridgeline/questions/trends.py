"""What is growing, how fast, and where it leads: trends with bands, and the memory wall."""

from __future__ import annotations

from collections.abc import Sequence

from ridgeline.errors import BadInput
from ridgeline.quantity import Quantity
from ridgeline.questions.answer import Answer, Cell, Table
from ridgeline.report.figure import Axis, Band, Figure, Line
from ridgeline.training.trends import TRENDS, Trend, doubling_time, forecast, get_trend

__all__ = ["trends", "trends_figure"]

# Composed forecasts: name -> trends multiplied.
COMPOSED = {
    "compute supply": ("training_cost", "price_performance"),
    "effective training compute": ("training_cost", "price_performance", "algorithms"),
    "price of a fixed capability, inverted": ("price_performance", "algorithms"),
}
CHIPS = ("A100-SXM-80GB", "H100-SXM", "H200-SXM", "B200-SXM")


def _factors(names: Sequence[str]) -> list[Trend]:
    return [get_trend(name) for name in names]


def trends(names: Sequence[str] = (), *, years: int = 5, seed: int = 0) -> Answer:
    """Growth factors over the years to come, with 80 % bands, and how chips' ridge moves.

    Args:
        names: trends to multiply; none: the composed forecasts.
        years: how far.
        seed: of the draws.

    Returns:
        an Answer with `factor` of the named product, tables "forecast", "rates", "memory_wall".

    Raises:
        UnknownName: no such trend.
        BadInput: a horizon outside 1 to 30 years.
    """
    if not 1 <= years <= 30:
        raise BadInput(f"a forecast runs 1 to 30 years, not {years}")
    wanted = {" x ".join(names): tuple(names)} if names else COMPOSED
    rows: list[list[Cell]] = []
    quantities = {}
    for label, parts in wanted.items():
        band = forecast(_factors(parts), range(1, years + 1), seed=seed)
        rows += [[label, int(year), Quantity(m, low, high, "x", "derived")]
                 for year, m, low, high in zip(band.years, band.median, band.low80, band.high80,
                                               strict=True)]
        key = "factor" if names else label.replace(",", "").replace(" ", "_")
        quantities[key] = Quantity(band.median[-1], band.low80[-1], band.high80[-1], "x",
                                   "derived")
    return Answer("trends", {"names": list(names), "years": years, "seed": seed}, quantities,
                  (Table.of("forecast", {"forecast": "1", "year": "1", "factor": "x"}, rows,
                            title="Factor from today, 80 % band"),
                   _rates(list(dict.fromkeys(n for parts in wanted.values() for n in parts))),
                   _memory_wall()),
                  ("Rates are drawn log-normal with their published intervals, independent of "
                   "each other and constant over the years.",))


def _rates(names: Sequence[str]) -> Table:
    rows: list[list[Cell]] = []
    for name in names:
        t = TRENDS[name]
        rows.append([name, t.rate, f"{t.low:.3g} - {t.high:.3g}",
                     12.0 * float(doubling_time(yearly_factor=t.rate)), t.source])
    return Table.of("rates", {"trend": "1", "yearly": "x", "range": "1", "months to double": "1",
                              "source": "1"}, rows, title="Yearly factors")


def _memory_wall() -> Table:
    """Compute, bandwidth, capacity and network of successive chips against the first."""
    from ridgeline.catalog.loader import default_catalog

    chips = [default_catalog().chip(name) for name in CHIPS]
    first = chips[0]
    rows: list[list[Cell]] = [[
        chip.name, chip.peak("bf16") / first.peak("bf16"),
        chip.memory_bandwidth / first.memory_bandwidth, chip.memory_bytes / first.memory_bytes,
        chip.scale_up.bandwidth / first.scale_up.bandwidth
        if chip.scale_up and first.scale_up else None,
        chip.ridge("bf16")] for chip in chips]
    return Table.of("memory_wall", {"chip": "1", "flops": "x", "bandwidth": "x", "capacity": "x",
                                    "link": "x", "ridge": "FLOP/B"}, rows,
                    title="Memory wall: each chip against the first, bf16 dense")


def trends_figure(names: Sequence[str] = (), *, years: int = 5, seed: int = 0) -> Figure:
    """Factor over the years with its 80 % band."""
    wanted = {" x ".join(names): tuple(names)} if names else COMPOSED
    series: list[Line | Band] = []
    for label, parts in wanted.items():
        band = forecast(_factors(parts), range(years + 1), seed=seed)
        series += [Band(band.years, band.low80, band.high80),
                   Line(band.years, band.median, label)]
    return Figure("Forecast", Axis("years from now"), Axis("factor", log=True), tuple(series),
                  subtitle="median and 80 % band")
