"""Tables of `demand`: ways out of overload, trains, chip against chip, buy or rent."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from datetime import date
from typing import Any

from ridgeline.economics import demand as formulas
from ridgeline.economics.dated import ChipRent, Dated, chip_rent
from ridgeline.economics.memory_tiers import LIFETIME
from ridgeline.economics.token_cost import chip_value_ratio, token_cost
from ridgeline.errors import BadInput, Infeasible, RidgelineError
from ridgeline.questions.answer import Cell, Table
from ridgeline.questions.demand import MONTH_HOURS, DemandAsk, Rate, needed, rate_of, served
from ridgeline.questions.resolve import Resolved
from ridgeline.serving.queueing import train_schedule

__all__ = ["purchase", "tables"]


def tables(ask: DemandAsk, found: Rate, rent: ChipRent) -> tuple[Table, ...]:
    """Every table that has rows."""
    made = (_options(ask, found, rent), _schedule(ask, found), _compare(ask, found, rent),
            _buy_or_rent(ask, found, rent))
    return tuple(t for t in made if t.rows)


def _options(ask: DemandAsk, found: Rate, rent: ChipRent) -> Table:
    """What to do when there are too few chips, each option with users, speed and price."""
    users = ask.users or served(ask, found)
    rows: list[list[Cell]] = []
    for name, then, price in (("as it is", found, "-"), *_changes(ask, found, users)):
        if then is None:
            rows.append([name, None, None, None, None, None, price])
            continue
        reached = served(ask, then)
        cost = then.chips * rent.mid * MONTH_HOURS
        rows.append([name, then.chips, reached, users / reached,
                     then.tokens / then.batch / then.resolved.deployment.dp,
                     cost / min(users, reached), price])
    return Table.of("options", {"option": "1", "chips": "1", "users": "1", "load": "1",
                                "tokens/s/user": "1", "USD/user-month": "1", "price": "1"}, rows,
                    title="Overload: what each way out does (a dash: not possible)")


def _changes(ask: DemandAsk, found: Rate, users: float
             ) -> Iterator[tuple[str, Rate | None, str]]:
    work = found.resolved.scenario.workload
    tried: list[tuple[str, dict[str, Any], str]] = [
        ("quantise weights to fp8", {"weights": "fp8"}, "check quality"),
        ("fp8 KV cache", {"kv": "fp8"}, "check quality at long context"),
        ("halve the answers", {"output": max(1, work.output // 2)}, "users get less"),
        ("halve the prompts", {"prompt": max(1, work.prompt // 2)}, "users see less"),
    ]
    for name, fields, price in tried:
        yield name, _maybe(ask, fields), price
    chips = needed(ask, found, users)
    if chips > found.chips:
        more = chips / found.chips
        grown = dataclasses.replace(found, tokens=found.tokens * more,
                                    requests=found.requests * more,
                                    resolved=_copies(found.resolved, int(chips)))
        yield f"add chips ({found.chips} to {chips:,.0f})", grown, "money, and finding them"
    if found.batch >= 2:
        yield ("half the batch", _maybe(dataclasses.replace(ask, batch=math.floor(
            found.batch / 2)), {}), "faster for each, fewer served")
    yield ("slower promise: half the rate", _maybe(dataclasses.replace(
        ask, token_rate=ask.token_rate / 2, batch=None), {}), "users wait twice as long")


def _copies(resolved: Resolved, chips: int) -> Resolved:
    plan = dataclasses.replace(resolved.deployment,
                               dp=chips // resolved.deployment.chips_per_replica)
    return dataclasses.replace(resolved, deployment=plan)


def _maybe(ask: DemandAsk, fields: dict[str, Any]) -> Rate | None:
    try:
        return rate_of(ask, ask.scenario.replace(**fields))
    except RidgelineError:
        return None


def _schedule(ask: DemandAsk, found: Rate) -> Table:
    """Decode steps as trains that leave full or not: how long a token waits for its step."""
    most = served(ask, found)
    seats, interval = max(1, round(found.batch)), found.step
    rows: list[list[Cell]] = []
    now = max(1e-3, float(f"{min((ask.users or most) / most, 1e6):.3g}"))
    for share in sorted({0.5, 0.8, 0.95, now}):
        try:
            queue = train_schedule(share * seats / interval, interval, seats)
            rows.append([share, share * seats / interval, interval, queue["light_wait"],
                         queue["wait"], queue["light_worst"], queue["done"]])
        except BadInput:
            rows.append([share, share * seats / interval, interval, None, math.inf, None, math.inf])
    return Table.of("schedule", {"load": "1", "tokens": "token/s", "leaves every": "s",
                                 "light wait": "s", "mean wait": "s", "light worst": "s",
                                 "with passage": "s"}, rows,
                    title=f"Decode steps as trains of {seats} seats, Poisson arrivals")


def _compare(ask: DemandAsk, found: Rate, rent: ChipRent) -> Table:
    """Chip against chip: tokens for a dollar, decode and prefill, at as many chips."""
    rows = [_against(ask, found.resolved.cluster.chip.name, found, rent, None)]
    first = found.tokens / found.chips, rent.mid
    for name in ask.compare:
        machine = f"{found.chips}x{name}"
        try:
            other = dataclasses.replace(ask, usd_per_hour=None)
            then = rate_of(other, ask.scenario.replace(machine=machine), keep=False)
            paid = chip_rent(then.resolved.cluster.chip.name, today=ask.today)
        except Infeasible:
            rows.append([name, None, None, None, None, None, "does not fit"])
            continue
        rows.append(_against(ask, then.resolved.cluster.chip.name, then, paid, first))
    return Table.of("compare", {"chip": "1", "USD/h": "1", "tokens/s/chip": "1",
                                "USD/Mtok": "1", "tokens/USD": "1", "value": "x", "rent": "1"},
                    rows if ask.compare else (),
                    title=f"Chip against chip: {found.chips} of each")


def _against(ask: DemandAsk, name: str, found: Rate, rent: ChipRent,
             first: tuple[float, float] | None) -> list[Cell]:
    each = found.tokens / found.chips
    value = 1.0
    if first is not None:
        value = float(chip_value_ratio(rate_factor=each / first[0],
                                       price_factor=rent.mid / first[1]))
    dated = "given" if rent.dated is None else rent.dated.label
    return [name, rent.mid, each, float(token_cost(
        n_chips=1.0, usd_per_chip_hour=rent.mid, throughput=each)), each * 3600 / rent.mid,
        value, dated]


def _buy_or_rent(ask: DemandAsk, found: Rate, rent: ChipRent) -> Table:
    """Owning a chip against renting it, by how much of the time it works."""
    owned = purchase(ask, found)
    if owned is None:
        return Table.of("buy_or_rent", {"used": "1"}, ())
    price, _, watts = owned
    running: dict[str, Any] = {"purchase_usd": price, "yearly_share": ask.yearly_share,
                               "chip_watts": watts, "pue": ask.pue,
                               "usd_per_kwh": ask.usd_per_kwh}
    own = float(formulas.owning_cost_hour(lifetime=LIFETIME, **running))
    rows: list[list[Cell]] = []
    for used in (0.25, 0.5, 0.75, 1.0):
        months = float(formulas.buying_months(usd_per_chip_hour=rent.mid, utilisation=used,
                                              **running))
        rows.append([used, rent.mid * used, own, months if months > 0 else math.inf,
                     "buy" if own < rent.mid * used else "rent"])
    return Table.of("buy_or_rent", {"hours used": "1", "renting, a clock hour": "USD",
                                    "owning": "USD", "pays after months": "1", "better": "1"},
                    rows, title=f"Buy at {price:,.0f} USD a chip, written off over four years, or "
                                "rent")


def purchase(ask: DemandAsk, found: Rate) -> tuple[float, Dated | None, float] | None:
    """Price of a chip, its date, and its power with its share of the server."""
    from ridgeline.catalog import load_chip_file

    chip = found.resolved.cluster.chip
    watts = ask.watts or chip.tdp
    if ask.purchase_usd is not None and watts:
        return ask.purchase_usd, None, watts
    entry = load_chip_file(chip.name)
    if entry.price is None or not watts:
        return None
    return entry.price.usd, Dated(entry.price.date or entry.date,
                                  entry.price.source or entry.source,
                                  ask.today or date.today()), watts
