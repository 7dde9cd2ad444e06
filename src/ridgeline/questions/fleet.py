"""What can a fleet do? Forward passes, tokens, users and dollars, now and in the years to come."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from ridgeline.economics import demand
from ridgeline.economics.dated import ChipRent, chip_rent
from ridgeline.economics.fleets import Pool, parse_fleet
from ridgeline.economics.token_cost import token_cost
from ridgeline.errors import BadInput, RidgelineError
from ridgeline.explain.derivation import Derivation, Given, derive
from ridgeline.quantity import Basis, Quantity, check_positive
from ridgeline.questions.answer import Answer, Cell, Table, Value
from ridgeline.questions.fleet_forecast import forecast_figure, forecast_table
from ridgeline.questions.fleet_pools import Load, Sizes, Yield, model_sizes, pool_yield
from ridgeline.report.figure import Figure
from ridgeline.timing.textbook import forward_pass_ceiling, model_flops_utilisation
from ridgeline.training.trends import yearly_rate

Progress = Callable[[int, int, str], None]

__all__ = ["FleetAsk", "fleet", "fleet_figure"]


@dataclass(frozen=True)
class FleetAsk:
    """A fleet and what it is asked to do.

    Attributes:
        fleet: "100000xH100,20000xB200" or a .toml file.
        model: a bundled name, a path, or sizes ("280B", "1831B/280B").
        load: prompts, outputs, format, batch or speed.
        token_rate: tokens per second of a user while answered.
        active_share: share of the time in which a user is being answered.
        train_mfu: share of the peak the fleet reached in training.
        usd_per_hour: rent of every chip; None: the pool's own, else the catalog's.
        measured: forward passes per second that were seen, to be read back.
        until, since: years of the projection.
        spending_growth: yearly factor of the fleet's budget; None: the trend of training spend.
        seed: of the projection's draws.
        today: to tell stale prices; None: the day it is.
    """

    fleet: str
    model: str
    load: Load = field(default_factory=Load)
    token_rate: float = 30.0
    active_share: float = 0.1
    train_mfu: float = 0.33
    usd_per_hour: float | None = None
    measured: float | None = None
    until: int = 2030
    since: int | None = None
    spending_growth: float | None = None
    seed: int = 0
    today: date | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Shares, years and lengths that mean something."""
        check_positive(token_rate=self.token_rate, prompt=float(self.load.prompt),
                       output=float(self.load.output))
        shares = {"active share": self.active_share, "train MFU": self.train_mfu,
                  "prefill MFU": self.load.prefill_mfu, "decode MFU": self.load.decode_mfu}
        for name, value in shares.items():
            if value is not None and not 0 < value <= 1:
                raise BadInput(f"{name} must be above 0 and at most 1, not {value:g}")
        for name, value in (("batch", self.load.batch), ("tpot", self.load.tpot),
                            ("spending growth", self.spending_growth), ("measured", self.measured)):
            if value is not None:
                check_positive(**{name.replace(" ", "_"): value})
        if self.load.batch is not None and self.load.batch < 1:
            raise BadInput(f"batch must be at least 1, not {self.load.batch:g}")


@dataclass(frozen=True)
class _Found:
    ask: FleetAsk
    sizes: Sizes
    yields: tuple[Yield, ...]
    rents: tuple[ChipRent | None, ...]

    def total(self, name: str) -> float:
        """A number of every pool together."""
        return sum(float(getattr(y, name)) for y in self.yields)

    @property
    def mixed(self) -> float:
        """Forward passes per second in the load's mix."""
        return sum(y.tokens(self.ask.load) for y in self.yields)

    @property
    def usd_per_hour(self) -> float:
        """Rent of the fleet; NaN where a chip's is unknown."""
        return sum(rent.mid * y.pool.count if rent else math.nan
                   for y, rent in zip(self.yields, self.rents, strict=True))


def fleet(ask: FleetAsk, *, progress: Progress | None = None) -> Answer:
    """Forward passes per second of a fleet with ceiling, floor and estimate, and what follows.

    Args:
        ask: the fleet, the model and the load.
        progress: told (done, of how many, what is next) as pools are worked out.

    Returns:
        an Answer with `passes_per_s` in the load's mix, `decode_passes_per_s`,
        `prefill_passes_per_s`, `ceiling_passes_per_s`, `floor_passes_per_s`, `tokens_per_day`,
        `users`, `usd_per_mtok`, `power_w`, `reused_compute_share`; tables "pools", "chips",
        "what_if", "forecast".

    Raises:
        BadInput: an unreadable fleet, an unknown name, or numbers out of range.
        Infeasible: the model fits on no replica of a pool's chips.
    """
    found = _look(ask, progress)
    return Answer("fleet", _asked(found), _quantities(found),
                  tuple(t for t in (_pool_table(found), chip_table(found),
                                    _what_if(found, progress),
                                    forecast_table(ask.until, ask.since or _year(ask), found.mixed,
                                                   _cost(found), ask.spending_growth, ask.seed))
                        if t.rows), _notes(found), _derivation(found))


def fleet_figure(ask: FleetAsk) -> Figure:
    """Forward passes of the fleet over the years, with bands."""
    return forecast_figure(ask.until, ask.since or _year(ask), _look(ask).mixed,
                           ask.spending_growth, ask.seed)


def _look(ask: FleetAsk, progress: Progress | None = None) -> _Found:
    sizes = model_sizes(ask.model)
    pools = parse_fleet(ask.fleet)
    yields = []
    for done, pool in enumerate(pools):
        if progress is not None:
            progress(done, len(pools), f"{pool.count:,} x {pool.chip.name}")
        yields.append(pool_yield(pool, sizes, ask.load))
    return _Found(ask, sizes, tuple(yields), tuple(_rent(ask, pool) for pool in pools))


def _year(ask: FleetAsk) -> int:
    return (ask.today or date.today()).year


def _rent(ask: FleetAsk, pool: Pool) -> ChipRent | None:
    try:
        return chip_rent(pool.chip.name, ask.usd_per_hour or pool.usd_per_hour, today=ask.today)
    except BadInput:
        if ask.usd_per_hour is not None or pool.usd_per_hour is not None:
            raise
        return None


def _cost(found: _Found) -> float:
    """Cost of a million tokens of the mix [USD/Mtok]."""
    return float(token_cost(n_chips=1.0, usd_per_chip_hour=found.usd_per_hour,
                            throughput=found.mixed))


def _basis(found: _Found) -> Basis:
    return "calibrated" if any(y.replica for y in found.yields) else "assumed"


def _around(found: _Found, value: float, unit: str, passes: float) -> Quantity:
    """A rate with its interval: errors of pools go together, no end above the compute ceiling."""
    low = min((y.spread[0] for y in found.yields), default=0.0)
    high = max((y.spread[1] for y in found.yields), default=0.0)
    most = min(math.exp(max(0.0, high)), max(1.0, found.total("ceiling") / passes))
    return Quantity(value, value * math.exp(min(0.0, low)), value * most, unit, _basis(found))


def _quantities(found: _Found) -> dict[str, Value]:
    ask, load = found.ask, found.ask.load
    requests = found.total("requests")
    power = sum((y.pool.watts or y.pool.chip.tdp or math.nan) * y.pool.count
                for y in found.yields)
    decode, ceiling = found.total("decode"), found.total("ceiling")
    prefill, mixed = found.total("prefill"), found.mixed
    served = demand.users_served(throughput=requests * load.output, token_rate=ask.token_rate,
                                 active_share=ask.active_share)
    out: dict[str, Value] = {
        "bound": f"decoding reaches {decode / ceiling:.2%} of the compute ceiling and "
                 f"{decode / found.total('floor'):,.3g} times the floor of one sequence a chip",
        "passes_per_s": _around(found, mixed, "token/s", mixed),
        "decode_passes_per_s": _around(found, decode, "token/s", decode),
        "prefill_passes_per_s": _around(found, prefill, "token/s", prefill),
        "ceiling_passes_per_s": Quantity.exact(ceiling, "token/s"),
        "floor_passes_per_s": Quantity.exact(found.total("floor"), "token/s"),
        "requests_per_s": _around(found, requests, "req/s", mixed),
        "tokens_per_day": _around(found, mixed * 86400, "token/day", mixed),
        "decode_tokens_per_day": _around(found, decode * 86400, "token/day", decode),
        "users": _around(found, float(served), "1", mixed),
        "chips": sum(y.pool.count for y in found.yields),
        "power_w": Quantity.exact(power, "W"),
        "usd_per_hour": Quantity.exact(found.usd_per_hour, "USD", "assumed"),
        "usd_per_mtok": Quantity.exact(_cost(found), "USD/Mtok", _basis(found)),
        "reused_compute_share": Quantity.exact(_reused(found), "1", _basis(found)),
        "active_share_of_params": Quantity.exact(found.sizes.active / found.sizes.total, "1"),
        **_read_back(found),
    }
    return {k: v for k, v in out.items()
            if not (isinstance(v, Quantity) and math.isnan(v.value))}


def _read_back(found: _Found) -> dict[str, Value]:
    """What a measured rate says: its share of the ceiling (MFU), and times the floor."""
    seen = found.ask.measured
    if seen is None:
        return {}
    peak = sum(y.pool.count * y.peak for y in found.yields)
    mfu = float(model_flops_utilisation(throughput=seen, flop_per_token=2 * found.sizes.active,
                                        n_chips=1.0, peak_flops_per_s=peak))
    return {"measured_mfu": Quantity.exact(mfu, "1", "measured"),
            "measured_times_floor": Quantity.exact(seen / found.total("floor"), "x", "measured"),
            "measured_against_estimate": Quantity.exact(
                seen / found.total("decode"), "x", "measured"),
            "measured_is_possible": mfu <= 1.0}


def _reused(found: _Found) -> float:
    """FLOP that decoding delivers over those of training, pools weighted by their peak."""
    done = trained = 0.0
    for y in found.yields:
        weight = y.pool.count * y.peak
        share = demand.reused_compute_share(serve_mfu=y.mfu,
                                            train_mfu=y.pool.train_mfu or found.ask.train_mfu)
        done, trained = done + weight * float(share), trained + weight
    return done / trained


def _pool_table(found: _Found) -> Table:
    rows: list[list[Cell]] = []
    for y, rent in zip(found.yields, found.rents, strict=True):
        price = None if rent is None else float(token_cost(
            n_chips=float(y.pool.count), usd_per_chip_hour=rent.mid,
            throughput=y.tokens(found.ask.load)))
        rows.append([f"{y.pool.count:,} x {y.pool.chip.name}", y.format,
                     f"{y.replica}" if y.replica else "-", y.batch or None, y.prefill, y.decode,
                     y.mfu, y.tokens(found.ask.load), price])
    return Table.of("pools", {"pool": "1", "weights": "1", "replica": "1", "batch": "1",
                              "prefill/s": "tok", "decode/s": "tok", "MFU": "1",
                              "mix/s": "tok", "USD/Mtok": "1"}, rows,
                    title=f"Each pool, with {found.ask.load.prompt:,} tokens in and "
                          f"{found.ask.load.output:,} out")


def chip_table(found: _Found) -> Table:
    """Each kind of chip by itself, and how fast its kind grows."""
    seen = {y.pool.chip.name: (y, rent) for y, rent in zip(found.yields, found.rents, strict=True)}
    rows: list[list[Cell]] = []
    before: tuple[int, float] | None = None
    for y, rent in sorted(seen.values(), key=lambda pair: (pair[0].pool.chip.year,
                                                           pair[0].ceiling / pair[0].pool.count)):
        chip, count = y.pool.chip, y.pool.count
        ceiling, made = y.ceiling / count, y.decode / count
        grown = None
        if before and chip.year > before[0]:
            grown = float(yearly_rate(total_factor=ceiling / before[1],
                                      years=float(chip.year - before[0])))
        price = None if rent is None else float(token_cost(
            n_chips=1.0, usd_per_chip_hour=rent.mid, throughput=made))
        rows.append([chip.name, str(chip.year or "-"), y.peak, chip.memory_bandwidth,
                     chip.memory_bytes, y.peak / chip.memory_bandwidth, ceiling, y.floor / count,
                     made, price, grown])
        before = (chip.year, ceiling)
    return Table.of("chips", {"chip": "1", "year": "1", "peak/s": "FLOP", "memory/s": "B",
                              "size": "B", "ridge": "1", "ceiling/s": "tok", "floor/s": "tok",
                              "decode/s": "tok", "USD/Mtok": "1", "x/year": "1"}, rows,
                    title="Chips: forward passes a second of each, price of decoding, growth")


def _what_if(found: _Found, progress: Progress | None = None) -> Table:
    """The mix again with one thing changed."""
    ask = found.ask
    changes = tuple(_changes(ask.load, found.sizes))
    now = found.mixed
    rows: list[list[Cell]] = [["as asked", now, 1.0]]
    for done, (name, load, sizes) in enumerate(changes):
        if progress is not None:
            progress(done, len(changes), name)
        try:
            then = sum(pool_yield(y.pool, sizes, load).tokens(load) for y in found.yields)
        except RidgelineError:
            rows.append([name, None, None])
            continue
        rows.append([name, then, then / now])
    # Passes go as one over active parameters: a tenth, whatever the chips.
    rows.append(["10x the active parameters", now / 10, 0.1])
    return Table.of("what_if", {"change": "1", "passes/s": "tok", "factor": "x"}, rows,
                    title="What if (a dash: does not fit or cannot be)")


def _changes(load: Load, sizes: Sizes) -> Iterable[tuple[str, Load, Sizes]]:
    if load.weights != "fp8":
        yield "fp8 weights and compute", dataclasses.replace(load, weights="fp8"), sizes
    if sizes.known and not load.ideal and load.decode_mfu is None:
        yield "4x longer prompts", dataclasses.replace(load, prompt=load.prompt * 4), sizes
        yield "answers at 20 ms a token", dataclasses.replace(load, tpot=0.02), sizes
    yield ("only decoding", dataclasses.replace(load, prompt=1, output=10 * load.output), sizes)


def _notes(found: _Found) -> tuple[str, ...]:
    out = list(dict.fromkeys(rent.note for rent in found.rents if rent and rent.note))
    if any(rent is None for rent in found.rents):
        out.append("Some chip's rent is unknown: no price; give usd_per_hour.")
    if any(y.replica for y in found.yields):
        out.append("Rates: calibrated replicas at the largest batch that fits (or is fast enough), "
                   "prompts and decoding taking turns; queues and uneven load take more.")
    else:
        out.append("Rates: given or usual utilisations (prefill 50 %, decode 15 %) of the compute "
                   "ceiling; name a bundled model for predicted ones.")
    out.append(f"Reuse: decode FLOP over those of training at {found.ask.train_mfu:.0%} MFU.")
    return tuple(out)


def _derivation(found: _Found) -> tuple[Derivation, ...]:
    y = found.yields[0]
    chip = y.pool.chip
    top = derive(forward_pass_ceiling, {
        "active_params": Given(found.sizes.active, "derived", found.sizes.name),
        "n_chips": Given(float(y.pool.count), "assumed", "fleet"),
        "peak_flops_per_s": Given(y.peak, "datasheet", f"{chip.name} datasheet")},
        title=f"Compute ceiling of the {chip.name} pool")
    mix = derive(demand.mixed_request_rate, {
        "prompt_tokens": float(found.ask.load.prompt),
        "output_tokens": float(found.ask.load.output),
        "prefill_rate": Given(y.prefill, "calibrated", "this pool reading only"),
        "decode_rate": Given(y.decode, "calibrated", "this pool decoding only")},
        title=f"Requests per second of the {chip.name} pool")
    return top, mix


def _asked(found: _Found) -> dict[str, Any]:
    ask = found.ask
    told = dataclasses.asdict(ask)
    told.pop("today")
    return told
