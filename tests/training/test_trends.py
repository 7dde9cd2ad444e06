"""Compound growth, the memory wall, and forecasts whose bands are the published ones."""

import pytest

from ridgeline.errors import BadInput, UnknownName
from ridgeline.training import trends
from ridgeline.training.trends import TRENDS, forecast, get_trend


def test_worked_values() -> None:
    assert 12 * trends.doubling_time(yearly_factor=3.9) == pytest.approx(6.11, abs=5e-3)
    assert trends.growth(yearly_factor=3.9, years=5.0) == pytest.approx(902, rel=1e-3)
    assert trends.yearly_rate(total_factor=10.0, years=5.0) == pytest.approx(1.585, abs=5e-4)
    assert trends.yearly_rate(total_factor=10.0, years=6.0) == pytest.approx(1.468, abs=5e-4)
    assert trends.yearly_rate(total_factor=20.0, years=5.0) == pytest.approx(1.82, abs=5e-3)
    assert trends.yearly_rate(total_factor=8.0, years=5.0) == pytest.approx(1.52, abs=5e-3)
    assert trends.fraction_of_peak(throughput_factor=20.0, peak_factor=8.0, mfu=0.102
                                   ) == pytest.approx(0.255)
    assert trends.scaled_cost(size_factor=10.0, cost_exponent=0.8) == pytest.approx(6.31, abs=5e-3)


def test_published_doubling_times() -> None:
    months = {n: 12 * float(trends.doubling_time(yearly_factor=TRENDS[n].rate)) for n in TRENDS}
    assert months["algorithms"] == pytest.approx(8.0)
    assert months["price_performance"] == pytest.approx(12 * 2.07)
    assert 5 < months["training_compute"] < 6
    assert all(t.low < t.rate < t.high for t in TRENDS.values())


def test_a_band_reproduces_the_published_interval() -> None:
    trend = get_trend("algorithms")
    band = forecast([trend], [1.0], draws=100_000)
    centre = (trend.low * trend.high) ** 0.5
    assert band.high95[0] / band.low95[0] == pytest.approx(trend.high / trend.low, rel=0.02)
    assert band.median[0] == pytest.approx(trend.rate, rel=0.01)
    assert centre == pytest.approx(trend.rate, rel=0.15)


def test_forecasts_compose_repeat_and_widen() -> None:
    parts = [TRENDS["training_cost"], TRENDS["price_performance"]]
    band = forecast(parts, [1, 5], seed=7)
    assert band == forecast(parts, [1, 5], seed=7) != forecast(parts, [1, 5], seed=8)
    assert band.median[0] == pytest.approx(parts[0].rate * parts[1].rate, rel=0.02)
    assert band.high80[1] / band.low80[1] > band.high80[0] / band.low80[0]
    assert band.low95[0] < band.low80[0] < band.median[0] < band.high80[0] < band.high95[0]


def test_bad_input() -> None:
    with pytest.raises(UnknownName, match="price_performance"):
        get_trend("price_performence")
    with pytest.raises(BadInput):
        forecast([], [1.0])
