"""Keep a prompt's cache, or compute it again? Cost and time by kind of memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from ridgeline.economics import cache_cost
from ridgeline.economics.dated import ChipRent, chip_rent
from ridgeline.economics.memory_tiers import (
    TierCost,
    nearest_by_drain,
    nearest_by_price,
    tier_costs,
)
from ridgeline.economics.token_cost import mfu_token_cost, token_cost
from ridgeline.errors import BadInput
from ridgeline.explain.derivation import Derivation, Given, derive
from ridgeline.quantity import Basis, Quantity, check_positive, format_si
from ridgeline.questions.answer import Answer, Cell, Table, Value
from ridgeline.questions.performance import Spread, calibrated_performance, compute_peak
from ridgeline.questions.price import bounded
from ridgeline.questions.resolve import Resolved, resolve
from ridgeline.questions.token_speeds import above_floor, replica_speeds
from ridgeline.report.figure import Axis, Figure, Line
from ridgeline.scenario import Scenario

__all__ = ["CacheAsk", "cache", "cache_figure"]


@dataclass(frozen=True)
class CacheAsk:
    """A cache to keep or not.

    Attributes:
        scenario: model, machine and prompt.
        usd_per_hour: rent of one chip; None: the catalog's.
        holds: times to keep it [s].
        writes: price of a write over the input price, for each time.
        read_multiple: price of a cached read over the input price.
        prefill_mfu: share of the peak at which prompts are computed again; None: calibrated (the
            textbook's 1 with `ideal`).
        ideal: the textbook instead of calibrated times.
        today: to tell stale prices; None: the day it is.
    """

    scenario: Scenario
    usd_per_hour: float | None = None
    holds: tuple[float, ...] = (300.0, 3600.0)
    writes: tuple[float, ...] = (1.25, 2.0)
    read_multiple: float = 0.1
    prefill_mfu: float | None = None
    ideal: bool = False
    today: date | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Times and multiples that mean something."""
        if not self.holds or len(self.holds) != len(self.writes):
            raise BadInput(f"give one write multiple for each hold time: {len(self.holds)} times, "
                           f"{len(self.writes)} multiples")
        for hold, write in zip(self.holds, self.writes, strict=True):
            check_positive(hold_time=hold, write_multiple=write)
        if not 0 <= self.read_multiple < 1:
            raise BadInput("read multiple must be at least 0 and below 1 (0.1 for a tenth of the "
                           f"input price), not {self.read_multiple:g}")
        if self.prefill_mfu is not None and not 0 < self.prefill_mfu <= 1:
            raise BadInput(f"prefill MFU must be above 0 and at most 1, not {self.prefill_mfu:g}")


@dataclass(frozen=True)
class _Found:
    """What tables and figure share: names looked up, cache bytes, recompute cost, tiers."""

    ask: CacheAsk
    resolved: Resolved
    rent: ChipRent
    kv: float
    recompute: float
    rate: float
    spread: Spread
    tiers: tuple[TierCost, ...]

    @property
    def prompt(self) -> float:
        """Tokens that are kept."""
        return float(self.resolved.scenario.workload.prompt)

    def break_even(self, tier: TierCost) -> float:
        """Time for which keeping and fetching cost as much as computing again [s]."""
        spared = max(0.0, self.recompute - self.fetch_cost(tier))
        return float(cache_cost.break_even_hold(
            cost_per_mtok=spared, kv_bytes_per_token=self.kv, usd_per_gb_hour=tier.mid))

    def hold(self, tier: TierCost, seconds: Any) -> Any:
        """Cost of keeping a million tokens that long [USD/Mtok]."""
        return cache_cost.hold_cost(kv_bytes_per_token=self.kv, usd_per_gb_hour=tier.mid,
                                    hold_time=seconds)

    def fetch(self, tier: TierCost) -> float:
        """Time to bring the prompt's cache back to its chips [s]."""
        chips = self.resolved.deployment.chips_per_replica
        return self.kv * self.prompt / (tier.bandwidth * chips)

    def fetch_cost(self, tier: TierCost) -> float:
        """The same as the rent of chips that wait [USD/Mtok]."""
        if tier is self.tiers[0]:
            return 0.0
        return float(cache_cost.transfer_cost(
            kv_bytes_per_token=self.kv, link_bandwidth=tier.bandwidth,
            usd_per_chip_hour=self.rent.mid))


def cache(ask: CacheAsk) -> Answer:
    """Hold, recompute and transfer cost of a prompt's cache in every tier.

    Returns:
        an Answer with `kv_bytes_per_token`, `prompt_cache_bytes`, `recompute_usd_per_mtok`,
        `recompute_s`, `break_even_device_s`, the cheapest tier for each hold time and when caching
        pays a user; tables "tiers", "memory_prices" and "prices".

    Raises:
        BadInput: an unknown name, a model without a cache, or a value out of range.
    """
    found = _look(ask)
    return Answer("cache", _asked(found), _quantities(found),
                  (_tier_table(found), _memory_table(found), _price_table(found)),
                  _notes(found), _derivation(found))


def _look(ask: CacheAsk) -> _Found:
    resolved = resolve(ask.scenario)
    rent = chip_rent(resolved.cluster.chip.name, ask.usd_per_hour, today=ask.today)
    prompt = float(resolved.scenario.workload.prompt)
    bits = resolved.formats.kv.bytes * 8
    kv = float(resolved.architecture.cache_bytes(prompt, kv_bits=bits)) / prompt
    if kv <= 0:
        raise BadInput(f"{resolved.architecture.name} keeps no cache that grows with the prompt")
    speeds = replica_speeds(resolved, np.ones(1), np.array([prompt]), ideal=ask.ideal)
    rate = float(speeds.prefill_rate[0])
    spread: Spread = (0.0, 0.0, 0.0, 0.0)
    if not ask.ideal and ask.prefill_mfu is None:
        done = 2.0 * float(resolved.architecture.active_params) * rate
        busy = done / (compute_peak(resolved) * speeds.chips)
        spread = above_floor(calibrated_performance(bounded(resolved)).ttft_spread, busy, 1.0)
    if ask.prefill_mfu is None:
        again = token_cost(n_chips=float(speeds.chips), usd_per_chip_hour=rent.mid,
                           throughput=rate)
    else:
        per_token = 2.0 * float(resolved.architecture.active_params)
        rate = ask.prefill_mfu * compute_peak(resolved) * speeds.chips / per_token
        again = mfu_token_cost(flop_per_token=per_token, usd_per_chip_hour=rent.mid,
                               peak_flops_per_s=compute_peak(resolved), mfu=ask.prefill_mfu)
    return _Found(ask, resolved, rent, kv, float(again), rate, spread,
                  tier_costs(resolved.cluster.chip, rent, today=ask.today))


def _cheapest(found: _Found, hold: float) -> TierCost:
    """The tier with the least holding and fetching."""
    return min(found.tiers, key=lambda t: float(found.hold(t, hold)) + found.fetch_cost(t))


def _quantities(found: _Found) -> dict[str, Value]:
    ask, device = found.ask, found.tiers[0]
    exact = Quantity.exact
    basis: Basis = "derived" if ask.ideal or ask.prefill_mfu else "calibrated"
    first = found.break_even(device)

    def around(value: float, unit: str) -> Quantity:
        return Quantity(value, value * math.exp(min(0.0, found.spread[1])),
                        value * math.exp(max(0.0, found.spread[2])), unit, basis)

    out: dict[str, Value] = {
        "bound": f"in device memory a cache pays if it is used again within "
                 f"{format_si(first, 's')}; after that, keep it further away or compute it again",
        "kv_bytes_per_token": exact(found.kv, "B"),
        "prompt_cache_bytes": exact(found.kv * found.prompt, "B"),
        "recompute_usd_per_mtok": around(found.recompute, "USD/Mtok"),
        "recompute_s": around(found.prompt / found.rate, "s"),
        "break_even_device_s": exact(first, "s", basis),
    }
    for hold, write in zip(ask.holds, ask.writes, strict=True):
        key = f"{hold:g}s"
        out[f"cheapest_tier_{key}"] = _cheapest(found, hold).name
        out[f"tier_by_drain_{key}"] = nearest_by_drain(found.tiers, hold).name
        out[f"break_even_reuses_{key}"] = exact(float(cache_cost.break_even_reuses(
            write_multiple=write, read_multiple=ask.read_multiple)), "1")
    return out


def _tier_table(found: _Found) -> Table:
    holds = found.ask.holds
    names = {"tier": "1", **{f"hold {format_si(h, 's')}": "USD" for h in holds},
             "fetch": "s", "fetch cost": "USD", "break-even": "s"}
    rows: list[list[Cell]] = [[
        tier.name, *(float(found.hold(tier, h)) for h in holds), found.fetch(tier),
        found.fetch_cost(tier), found.break_even(tier)] for tier in found.tiers]
    return Table.of("tiers", names, rows,
                    title=f"Cost of keeping 1M cached tokens [USD], and of fetching "
                          f"{found.prompt:,.0f}")


def _memory_table(found: _Found) -> Table:
    """What each tier costs, with date and source, and how fast it drains."""
    rows: list[list[Cell]] = [[
        t.name, t.mid, t.dated.label if t.dated else "given", t.drain,
        t.bandwidth, t.dated.source.partition(";")[0] if t.dated else "given"]
        for t in found.tiers]
    return Table.of("memory_prices", {"tier": "1", "USD/GB-h": "USD", "date": "1", "drain": "s",
                                      "to a chip": "B/s", "source": "1"}, rows,
                    title="Memory: price, time to read all of it, bandwidth to one chip")


def _price_table(found: _Found) -> Table:
    """What a price list's cache charges would pay for with this model."""
    rows: list[list[Cell]] = []
    for hold, write in zip(found.ask.holds, found.ask.writes, strict=True):
        premium = (write - 1.0) * found.recompute
        hourly = cache_cost.gb_hour_from_premium(
            usd_per_mtok=premium, kv_bytes_per_token=found.kv, hold_time=hold)
        rows.append([format_si(hold, "s"), write, premium, float(hourly),
                     nearest_by_price(found.tiers, float(hourly)).name if premium > 0 else None,
                     nearest_by_drain(found.tiers, hold).name,
                     float(cache_cost.break_even_reuses(
                         write_multiple=write, read_multiple=found.ask.read_multiple)),
                     float(cache_cost.hold_premium_rate(write_multiple=write, hold_time=hold))])
    return Table.of("prices", {"kept for": "1", "write": "x", "premium": "USD", "USD/GB-h": "USD",
                               "tier it pays for": "1", "tier by drain": "1", "reuses": "1",
                               "premium/min": "1"}, rows,
                    title="What a write price buys, when input is sold at its cost")


def _notes(found: _Found) -> tuple[str, ...]:
    stale = [t.name for t in found.tiers if t.dated and t.dated.stale]
    out = [found.rent.note] if found.rent.note else []
    if stale:
        out.append(f"Memory prices of {', '.join(stale)} are STALE or undated; memory rose "
                   "several-fold in 2026: see `ridgeline catalog tiers` for each source.")
    out.append("Device memory costs the chip's rent by the byte; bought tiers their price over "
               "four years, always full, without power; fetching costs the rent of chips that "
               "wait for it.")
    return tuple(out)


def _derivation(found: _Found) -> tuple[Derivation, ...]:
    device = found.tiers[0]
    kv = Given(found.kv, "derived", f"{found.resolved.architecture.name} config")
    price = Given(device.mid, "derived", "rent over device memory")
    hold = derive(cache_cost.hold_cost, {
        "kv_bytes_per_token": kv, "usd_per_gb_hour": price,
        "hold_time": Given(found.ask.holds[0], "assumed", "asked")},
        title="Cost of holding in device memory")
    even = derive(cache_cost.break_even_hold, {
        "cost_per_mtok": Given(found.recompute, "calibrated", "computing the prompt again"),
        "kv_bytes_per_token": kv, "usd_per_gb_hour": price},
        title="Break-even time in device memory")
    return hold, even


def _asked(found: _Found) -> dict[str, Any]:
    ask = found.ask
    return {**found.resolved.scenario.to_dict(), "usd_per_hour": found.rent.mid,
            "holds_s": list(ask.holds), "write_multiples": list(ask.writes),
            "read_multiple": ask.read_multiple, "prefill_mfu": ask.prefill_mfu,
            "ideal": ask.ideal}


def cache_figure(ask: CacheAsk) -> Figure:
    """Cost of holding against time, one line a tier, with the cost of computing again."""
    found = _look(ask)
    seconds = np.geomspace(1.0, 30 * 86400.0, 120)
    lines = [Line(seconds.tolist(), np.asarray(found.hold(t, seconds)
                                               + found.fetch_cost(t)).tolist(), t.name)
             for t in found.tiers]
    again = Line([float(seconds[0]), float(seconds[-1])], [found.recompute] * 2, "compute again",
                 dash=True, color="#333333")
    low = min(found.recompute, min(min(line.y) for line in lines))
    return Figure("Keep or compute again", Axis("kept for", "s", log=True),
                  Axis("cost of 1M tokens", "USD", log=True,
                       low=max(low, found.recompute * 1e-5) if math.isfinite(low) else None,
                       high=found.recompute * 1e4), (*lines, again),
                  subtitle=f"{found.resolved.architecture.name} on "
                           f"{found.resolved.scenario.machine}")
