"""Growth rates with their intervals, and forecasts drawn from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ridgeline.errors import BadInput, UnknownName
from ridgeline.numeric import Numeric, log2

__all__ = ["TRENDS", "Band", "Trend", "doubling_time", "forecast", "fraction_of_peak",
           "get_trend", "growth", "scaled_cost", "yearly_rate"]


def growth(*, yearly_factor: Numeric, years: Numeric) -> Numeric:
    """What a yearly factor makes over several years.

        factor = g^t

    Args:
        yearly_factor: g [1].
        years: t [1].

    Returns:
        factor [1].

    Sources: compound growth.
    >>> round(growth(yearly_factor=3.9, years=5.0))
    902
    """
    return yearly_factor ** years


def doubling_time(*, yearly_factor: Numeric) -> Numeric:
    """Years in which a growing quantity doubles.

        t = 1 / log2(g)

    Args:
        yearly_factor: g, above 1 [1].

    Returns:
        years [1].

    Sources: compound growth.
    >>> round(12 * doubling_time(yearly_factor=3.9), 2)
    6.11
    """
    return 1.0 / log2(yearly_factor)


def yearly_rate(*, total_factor: Numeric, years: Numeric) -> Numeric:
    """The yearly factor behind a factor over several years.

        g = F^(1 / t)

    Args:
        total_factor: F [1].
        years: t [1].

    Returns:
        yearly factor [1].

    Sources: compound growth.
    >>> round(yearly_rate(total_factor=10.0, years=5.0), 3)
    1.585
    """
    return total_factor ** (1.0 / years)


def fraction_of_peak(*, throughput_factor: Numeric, peak_factor: Numeric,
                     mfu: Numeric) -> Numeric:
    """Utilisation after throughput grew faster than the peak.

        mfu' = mfu * throughput' / throughput / (peak' / peak)

    Args:
        throughput_factor: growth of throughput [1].
        peak_factor: growth of FLOP/s, all precisions together [1].
        mfu: before [1].

    Returns:
        utilisation [1].

    Sources: throughput = peak x utilisation / FLOP a token.
    >>> round(fraction_of_peak(throughput_factor=20.0, peak_factor=8.0, mfu=0.102), 3)
    0.255
    """
    return mfu * throughput_factor / peak_factor


def scaled_cost(*, size_factor: Numeric, cost_exponent: Numeric) -> Numeric:
    """Cost of a model so many times larger when cost grows as a power of size.

        cost = F^e

    Args:
        size_factor: F [1].
        cost_exponent: e, below 1 for a sub-linear cost [1].

    Returns:
        factor [1].

    Sources: a claim often made for inference cost; the exponent is an input.
    >>> round(scaled_cost(size_factor=10.0, cost_exponent=0.8), 1)
    6.3
    """
    return size_factor ** cost_exponent


@dataclass(frozen=True)
class Trend:
    """A yearly factor with its interval.

    Attributes:
        name: key in `TRENDS`.
        meaning: what grows.
        rate: yearly factor; below 1 shrinks.
        low, high: ends of the interval of `level` (central share).
        level: central share that the interval covers.
        source: who measured it.
    """

    name: str
    meaning: str
    rate: float
    low: float
    high: float
    level: float
    source: str

    @property
    def spread(self) -> float:
        """Standard deviation of the logarithm of the yearly factor."""
        return math.log(self.high / self.low) / (2.0 * _normal_quantile((1.0 + self.level) / 2.0))


def _doubling(years: float) -> float:
    return float(2.0 ** (1.0 / years))


TRENDS = {t.name: t for t in (
    Trend("training_compute", "training compute of notable models", 4.7, 4.3, 5.2, 0.9,
          "Epoch AI, notable models since 2010"),
    Trend("frontier_compute", "training compute of frontier language models", 4.5, 4.0, 5.0, 0.8,
          "Epoch AI, 4 to 5 times a year"),
    Trend("training_cost", "money spent on frontier training", 3.5, 2.4, 4.2, 0.8,
          "Epoch AI since 2020; lower end the figure before"),
    Trend("algorithms", "compute for a fixed loss, inverted", 2.0 ** (12 / 8), 2.0 ** (12 / 14),
          2.0 ** (12 / 5), 0.95, "Ho et al. 2024, arXiv 2403.05812: halves every 8 (5-14) months"),
    Trend("price_performance", "FLOP/s for a dollar, machine-learning GPUs", _doubling(2.07),
          _doubling(3.13), _doubling(1.54), 0.95, "Hobbhahn et al. 2023, Epoch AI"),
    Trend("energy_efficiency", "FLOP for a joule", _doubling(3.0), _doubling(3.5), _doubling(2.6),
          0.8, "Hobbhahn et al. 2023, Epoch AI; interval ours"),
    Trend("chip_flops", "FLOP/s of a chip, fp32", _doubling(2.3), _doubling(2.6), _doubling(2.0),
          0.8, "Hobbhahn et al. 2023, Epoch AI; interval ours"),
    Trend("memory_bandwidth", "memory bandwidth of a chip", _doubling(4.1), _doubling(4.8),
          _doubling(3.5), 0.8, "Hobbhahn et al. 2023, Epoch AI; interval ours"),
    Trend("memory_capacity", "memory of a chip", _doubling(4.0), _doubling(4.7), _doubling(3.4),
          0.8, "Hobbhahn et al. 2023, Epoch AI; interval ours"),
    Trend("peak_flops_20y", "peak FLOP/s of servers over 20 years", math.sqrt(3.0), math.sqrt(2.7),
          math.sqrt(3.3), 0.8, "Gholami et al. 2024, arXiv 2403.14123: 3.0 in 2 years"),
    Trend("dram_bandwidth_20y", "DRAM bandwidth over 20 years", math.sqrt(1.6), math.sqrt(1.45),
          math.sqrt(1.75), 0.8, "Gholami et al. 2024, arXiv 2403.14123: 1.6 in 2 years"),
    Trend("interconnect_20y", "interconnect bandwidth over 20 years", math.sqrt(1.4),
          math.sqrt(1.3), math.sqrt(1.5), 0.8,
          "Gholami et al. 2024, arXiv 2403.14123: 1.4 in 2 years"),
    Trend("inference_efficiency", "tokens of a fixed capability for a dollar",
          10.0 ** (1 / 5), 10.0 ** (1 / 7), 10.0 ** (1 / 3), 0.8,
          "10 times by 2030 from 2025; the interval is 7 to 3 years for the same factor"),
    Trend("training_power", "power of the largest runs", 2.1, 1.9, 2.4, 0.8,
          "Epoch AI: above 2 times a year; interval ours"),
)}


def get_trend(name: str) -> Trend:
    """The trend of that name.

    Raises:
        UnknownName: not in `TRENDS`.
    """
    try:
        return TRENDS[name]
    except KeyError:
        raise UnknownName.among("trend", name, TRENDS,
                                "There are: " + ", ".join(TRENDS)) from None


@dataclass(frozen=True)
class Band:
    """A forecast factor at each year: median, 80 % and 95 % intervals."""

    years: tuple[float, ...]
    median: tuple[float, ...]
    low80: tuple[float, ...]
    high80: tuple[float, ...]
    low95: tuple[float, ...]
    high95: tuple[float, ...]


def forecast(trends: Sequence[Trend], years: Sequence[float], *, seed: int = 0,
             draws: int = 20_000) -> Band:
    """Product of several trends over the years to come, each rate drawn once a future.

    A rate is log-normal with the published interval, trends are independent: compute supply is
    training cost times price-performance, effective compute that times algorithms.

    Args:
        trends: multiplied together.
        years: from now.
        seed: of the draws; the same seed gives the same bytes.
        draws: futures.

    Raises:
        BadInput: no trend, or fewer than 100 draws.
    """
    import numpy as np

    if not trends or draws < 100:
        raise BadInput(f"a forecast needs a trend and at least 100 draws, not {len(trends)} "
                       f"and {draws}")
    random = np.random.default_rng(seed)
    log_rate = np.zeros(draws)
    for trend in trends:
        log_rate += random.normal(math.log(trend.rate), trend.spread, draws)
    factors = np.exp(np.outer(np.asarray(years, float), log_rate))
    rows = np.quantile(factors, [0.5, 0.1, 0.9, 0.025, 0.975], axis=1)
    median, low80, high80, low95, high95 = (tuple(map(float, row)) for row in rows)
    return Band(tuple(map(float, years)), median, low80, high80, low95, high95)


def _normal_quantile(share: float) -> float:
    """Quantile of the normal distribution."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(share)
