"""What does a million tokens cost? Input, output, cached; over batch, context and speed."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from ridgeline.economics import cache_cost, token_cost
from ridgeline.economics.dated import ChipRent, chip_rent
from ridgeline.economics.surface import Array, Speeds
from ridgeline.errors import BadInput, Infeasible
from ridgeline.quantity import check_positive
from ridgeline.questions.answer import Answer
from ridgeline.questions.fit import shortfall
from ridgeline.questions.performance import (
    Performance,
    Spread,
    calibrated_performance,
    compute_peak,
    decode_context,
    ideal_performance,
    per_replica,
)
from ridgeline.questions.resolve import Resolved, resolve
from ridgeline.questions.token_speeds import above_floor, replica_speeds
from ridgeline.scenario import Scenario

__all__ = ["ListPrice", "PriceAsk", "Priced", "batch_for_speed", "bounded", "priced",
           "step_of"]

LONGEST = 2**20


@dataclass(frozen=True)
class ListPrice:
    """A price list as a seller prints it [USD/Mtok]; None where it has no such price."""

    input: float
    output: float
    cached: float | None = None

    def __post_init__(self) -> None:
        """Prices are positive."""
        check_positive(input_usd_per_mtok=self.input, output_usd_per_mtok=self.output)
        if self.cached is not None:
            check_positive(cached_usd_per_mtok=self.cached)


@dataclass(frozen=True)
class PriceAsk:
    """What to price.

    Attributes:
        scenario: model, machine and workload; its concurrency is the batch that is priced.
        usd_per_hour: rent of one chip; None: the catalog's, with its date.
        utilisation: share of the capacity that is sold, averaged over the time paid for.
        list_price: what the tokens are sold for, to know the margin.
        ideal: the textbook roofline instead of calibrated times.
        speed: how many times faster a user is to be served than at the batch priced.
        today: to tell stale prices; None: the day it is.
    """

    scenario: Scenario
    usd_per_hour: float | None = None
    utilisation: float = 1.0
    list_price: ListPrice | None = None
    ideal: bool = False
    speed: float | None = None
    today: date | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """A share that is sold lies between nothing and everything."""
        if self.speed is not None:
            check_positive(speed=self.speed)
        if not 0 < self.utilisation <= 1:
            raise BadInput("utilization must be above 0 and at most 1 (0.4 for 40 %), "
                           f"not {self.utilisation:g}")


@dataclass(frozen=True)
class Priced:
    """Everything the answer, its tables and its figures are made of.

    Attributes:
        ask, resolved, rent: the question with its names looked up.
        speeds: of a replica over batches and contexts.
        widest: the same with the largest batch that fits each context, on the diagonal.
        batch, context: of the point that is priced.
        decode_s: a decode step there [s].
        prefill_rate: prompt tokens per second of a replica at the workload's prompt.
        input, output, cached, request: cost [USD/Mtok] and [USD]; NaN where there is none.
        mfu_prefill, mfu_decode: shares of the peak behind them.
        flop: of a prompt token and of an output token.
        spreads: of prefill and decode times, quantiles of log(real / predicted).
        whole_loop: cost of a request when prompts and decoding share the chips [USD].
    """

    ask: PriceAsk
    resolved: Resolved
    rent: ChipRent
    speeds: Speeds
    widest: Speeds
    batch: float
    context: float
    decode_s: float
    prefill_rate: float
    input: float
    output: float
    cached: float
    request: float
    mfu_prefill: float
    mfu_decode: float
    flop: tuple[float, float]
    spreads: tuple[Spread, Spread]
    bounds: tuple[str, str]
    whole_loop: float

    @property
    def kv_bytes(self) -> float:
        """Cache of a token at the context priced [bytes]."""
        bits = self.resolved.formats.kv.bytes * 8
        return float(self.resolved.architecture.cache_bytes(
            self.context, kv_bits=bits)) / self.context

    @property
    def ridge(self) -> float:
        """Ridge of the chip in the format that computes [FLOP/B]."""
        return compute_peak(self.resolved) / self.resolved.cluster.chip.memory_bandwidth

    def cost(self, rate: Any) -> Any:
        """Cost of a million tokens at a rate of one replica [USD/Mtok]."""
        return token_cost.token_cost(
            n_chips=float(self.speeds.chips), usd_per_chip_hour=self.rent.mid, throughput=rate,
            utilisation=self.ask.utilisation)


def price(ask: PriceAsk) -> Answer:
    """Cost of a million input, output and cached tokens, and what moves it.

    Returns:
        an Answer with `usd_per_mtok_input`, `usd_per_mtok_output`, `usd_per_mtok_cached`,
        `usd_per_request`, `output_input_ratio`, `tokens_per_s_per_user`, `mfu_prefill`,
        `mfu_decode`, `kv_knee_tokens`, a suggested context tier, and the margin where a list
        price is given; tables "fast_mode", "context", "utilisation", "market", "rents".

    Raises:
        BadInput: an unknown name, a broken rule, or a chip without a known rent.
        Infeasible: the model does not fit (not with `ideal`).
    """
    from ridgeline.questions.price_quantities import quantities
    from ridgeline.questions.price_tables import derivation, notes, tables

    found = priced(ask)
    return Answer("price", _asked(ask, found), quantities(found), tables(found), notes(found),
                  derivation(found))


def priced(ask: PriceAsk) -> Priced:
    """The numbers behind `price`. Raises as it does."""
    resolved = resolve(ask.scenario)
    short = shortfall(resolved)
    if short and not ask.ideal:
        raise Infeasible(short)
    rent = chip_rent(resolved.cluster.chip.name, ask.usd_per_hour, today=ask.today)
    perform = (ideal_performance if ask.ideal else calibrated_performance)(
        resolved if ask.ideal else bounded(resolved))
    batch, context = float(per_replica(resolved)), decode_context(resolved)
    if not ask.ideal and perform.batch:
        batch = min(batch, perform.batch)
    speeds = replica_speeds(resolved, _batches(batch), _contexts(resolved, context),
                            ideal=ask.ideal)
    work = resolved.scenario.workload
    prompt = replica_speeds(resolved, np.array([1.0]), np.array([float(work.prompt)]),
                            ideal=ask.ideal)
    here = speeds.decode[speeds.batches == batch][:, speeds.contexts == context]
    decode_s = float(here[0, 0]) if resolved.architecture.causal else math.nan
    rate = float(prompt.prefill_rate[0])
    loop = 0.0 if ask.ideal else (
        perform.output_tokens_per_s / max(work.output, 1) / resolved.deployment.dp)
    return _costed(ask, resolved, rent, (speeds, _widest(resolved, speeds, ask.ideal)),
                   (batch, context, decode_s, rate),
                   (perform.ttft_spread, above_floor(perform.tpot_spread, perform.tpot_floor,
                                                     decode_s)),
                   (perform.bound_prefill, perform.bound_decode), loop,
                   _flop(resolved, perform))


def _widest(resolved: Resolved, speeds: Speeds, ideal: bool) -> Speeds:
    """The largest batch that fits each context; what fits none is left out."""
    from ridgeline.questions.performance import deployed_of

    most = np.floor(np.minimum(speeds.room, float(deployed_of(resolved).policy.max_num_seqs)))
    held = most >= 1
    return replica_speeds(resolved, most[held] if held.any() else np.ones(1),
                          speeds.contexts[held] if held.any() else speeds.contexts[:1],
                          ideal=ideal)


def _costed(ask: PriceAsk, resolved: Resolved, rent: ChipRent, sweeps: tuple[Speeds, Speeds],
            point: tuple[float, float, float, float], spreads: tuple[Spread, Spread],
            bounds: tuple[str, str], loop: float, flop: tuple[float, float]) -> Priced:
    """Speeds turned into costs."""
    batch, context, decode_s, rate = point
    work, chip = resolved.scenario.workload, resolved.cluster.chip
    chips = float(sweeps[0].chips)

    def cost(per_second: float) -> float:
        return float(token_cost.token_cost(
            n_chips=chips, usd_per_chip_hour=rent.mid, throughput=per_second,
            utilisation=ask.utilisation)) if per_second > 0 else math.nan

    fresh, made = cost(rate), cost(batch / decode_s)
    link = chip.host
    cached = float(cache_cost.transfer_cost(
        kv_bytes_per_token=_cache(resolved, context), link_bandwidth=link.bandwidth,
        usd_per_chip_hour=rent.mid)) / ask.utilisation if link else math.nan
    cached = cached or math.nan
    stored = cached if math.isfinite(cached) or work.prefix_hit else 0.0
    request = float(token_cost.request_price(
        prompt_tokens=float(work.prompt), output_tokens=float(work.output),
        cached_share=work.prefix_hit, input_usd_per_mtok=fresh, cached_usd_per_mtok=stored,
        output_usd_per_mtok=made if work.output and math.isfinite(made) else 0.0))
    whole = chips * rent.mid / 3600.0 / loop / ask.utilisation if loop > 0 else math.nan
    peak = compute_peak(resolved) * chips
    mfu = rate * flop[0] / peak, batch / decode_s * flop[1] / peak
    spreads = above_floor(spreads[0], mfu[0], 1.0), spreads[1]
    return Priced(ask, resolved, rent, *sweeps, batch, context, decode_s, rate, fresh, made, cached,
                  request, *mfu, flop, spreads, bounds, whole)


def bounded(resolved: Resolved) -> Resolved:
    """The scenario with no more requests in flight than its replicas run at once.

    Those beyond wait and change no step, but a replay would go through each of them.
    """
    from ridgeline.questions.performance import deployed_of

    most = deployed_of(resolved).policy.max_num_seqs * resolved.deployment.dp
    work = resolved.scenario.workload
    if work.concurrency <= most:
        return resolved
    fewer = dataclasses.replace(resolved.scenario,
                                workload=dataclasses.replace(work, concurrency=most))
    return dataclasses.replace(resolved, scenario=fewer)


def _flop(resolved: Resolved, perform: Performance) -> tuple[float, float]:
    """FLOP of a prompt token and of an output token, attention included."""
    work = resolved.scenario.workload
    new = max(1.0, work.prompt * (1 - work.prefix_hit))
    texts = 1.0 if resolved.architecture.causal else float(per_replica(resolved))
    return (perform.prefill_flop / (new * texts),
            perform.decode_flop / perform.batch if perform.batch else math.nan)


def _cache(resolved: Resolved, context: float) -> float:
    return float(resolved.architecture.cache_bytes(
        context, kv_bits=resolved.formats.kv.bytes * 8)) / context


def _batches(batch: float) -> Array:
    """Powers of two around the batch priced."""
    top = 2.0 ** math.ceil(math.log2(max(batch, 256.0)))
    return np.unique(np.append(2.0 ** np.arange(0, math.log2(top) + 1), batch))


def _contexts(resolved: Resolved, context: float) -> Array:
    """Lengths up to what the model takes, most of them above a thousand tokens."""
    top = max(min(LONGEST, resolved.architecture.max_context or LONGEST), context)
    return np.unique(np.append(np.geomspace(min(1024.0, top / 8), top, 25), context))


def step_of(found: Priced) -> tuple[Array, Array, Array]:
    """(contexts, batch, USD/Mtok): output at the largest batch that fits each context."""
    widest = found.widest
    rate = np.diagonal(widest.output_rate)
    return widest.contexts, widest.batches, np.asarray(found.cost(rate), float)


def batch_for_speed(found: Priced, speed: float) -> tuple[float, float]:
    """(batch, USD/Mtok) at which a user is served so many times faster.

    Raises:
        Infeasible: not even a batch of one is that fast.
    """
    column = int(np.argmin(np.abs(found.speeds.contexts - found.context)))
    times, batches = found.speeds.decode[:, column], found.speeds.batches
    wanted = found.decode_s / speed
    if wanted < times[0]:
        raise Infeasible(f"{speed:g}x is out of reach by a smaller batch: batch 1 is "
                         f"{found.decode_s / times[0]:.2f}x faster; more chips, fewer bytes a "
                         "parameter or speculation go beyond")
    if wanted > times[-1]:
        raise BadInput(f"speed {speed:g}x is slower than the largest batch of the sweep, "
                       f"{found.decode_s / times[-1]:.2f}x")
    batch = float(np.interp(wanted, np.maximum.accumulate(times), batches))
    return batch, float(found.cost(batch / wanted))


def _asked(ask: PriceAsk, found: Priced) -> dict[str, Any]:
    told: dict[str, Any] = {**found.resolved.scenario.to_dict(), "utilization": ask.utilisation,
                            "usd_per_hour": found.rent.mid, "ideal": ask.ideal}
    if ask.list_price is not None:
        told["list_price"] = [ask.list_price.input, ask.list_price.output, ask.list_price.cached]
    return told
