"""How many chips do my users need, what do they cost, and what when they are too few?"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from ridgeline.economics import demand as formulas
from ridgeline.economics.dated import ChipRent, chip_rent
from ridgeline.economics.token_cost import token_cost
from ridgeline.errors import BadInput, Infeasible
from ridgeline.explain.derivation import Derivation, Given, derive
from ridgeline.quantity import Basis, Quantity, check_positive, format_si
from ridgeline.questions.answer import Answer, Value
from ridgeline.questions.fit import shortfall
from ridgeline.questions.performance import Spread, calibrated_performance, decode_context
from ridgeline.questions.price import bounded
from ridgeline.questions.resolve import Resolved, resolve
from ridgeline.questions.token_speeds import replica_speeds
from ridgeline.report.figure import Axis, Figure, Line, Scatter
from ridgeline.scenario import Scenario
from ridgeline.timing.textbook import decode_throughput

__all__ = ["DemandAsk", "Rate", "demand", "demand_figure", "needed", "rate_of", "served"]

MONTH_HOURS = 730.5
# A hundred times the people there are.
MOST_USERS = 1e12


@dataclass(frozen=True)
class DemandAsk:
    """Users and the machine that serves them.

    Attributes:
        scenario: model, machine and workload of a request.
        users: who subscribe; None: as many as the machine serves.
        token_rate: tokens per second a user is promised while answered.
        active_share: share of the time in which a user is being answered.
        usd_per_hour: rent of one chip; None: the catalog's.
        peak: load of the busiest hour over the mean; the machine is built for it.
        batch: sequences of a replica; None: the largest that keeps the promised rate.
        decode_only: count decoding alone, prompts being served elsewhere.
        compare: other chips to set beside this one.
        purchase_usd: price of a chip with its share of server and network; None: the catalog's.
        yearly_share: interest, space and repairs of owning, of the price a year.
        usd_per_kwh: price of electricity.
        pue: power of the building over power of the chips.
        watts: of a chip with its share of the server; None: its board power.
        ideal: the textbook instead of calibrated times.
        today: to tell stale prices; None: the day it is.
    """

    scenario: Scenario
    users: float | None = None
    token_rate: float = 30.0
    active_share: float = 0.1
    usd_per_hour: float | None = None
    peak: float = 1.0
    batch: float | None = None
    decode_only: bool = False
    compare: tuple[str, ...] = ()
    purchase_usd: float | None = None
    yearly_share: float = 0.1
    usd_per_kwh: float = 0.08
    pue: float = 1.2
    watts: float | None = None
    ideal: bool = False
    today: date | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Shares and rates that mean something."""
        check_positive(token_rate=self.token_rate)
        for name in ("users", "batch", "purchase_usd", "watts"):
            if getattr(self, name) is not None:
                check_positive(**{name: getattr(self, name)})
        if self.users is not None and self.users > MOST_USERS:
            raise BadInput(f"users must be at most {MOST_USERS:.0e}, not {self.users:g}")
        if not 0 < self.active_share <= 1:
            raise BadInput("active share must be above 0 and at most 1 (0.1 for a tenth of the "
                           f"time), not {self.active_share:g}")
        if not 1 <= self.peak < math.inf:
            raise BadInput(f"peak is the busiest load over the mean, at least 1, not {self.peak:g}")
        if not (0 <= self.yearly_share < 10 and 0 <= self.usd_per_kwh < 1000 and self.pue >= 1):
            raise BadInput("yearly share and price of electricity must be 0 or more, PUE at "
                           "least 1")


@dataclass(frozen=True)
class Rate:
    """What a whole machine makes: output tokens per second, at a batch, with a step and prompts."""

    resolved: Resolved
    tokens: float
    batch: float
    step: float
    requests: float

    @property
    def chips(self) -> int:
        """Of the machine."""
        return self.resolved.deployment.chips


def demand(ask: DemandAsk) -> Answer:
    """Users to chips to dollars, and every way out when there are too few chips.

    Returns:
        an Answer with `users_served`, `chips_needed`, `usd_per_month`, `usd_per_user_month`,
        `load`, `batch`, `tokens_per_s_per_user`, `buying_months`; tables "options", "schedule",
        "compare" and "buy_or_rent".

    Raises:
        BadInput: an unknown name, a broken rule or values out of range.
        Infeasible: the model does not fit, or no batch keeps the promised rate.
    """
    from ridgeline.questions.demand_tables import tables

    rent = chip_rent(resolve(ask.scenario).cluster.chip.name, ask.usd_per_hour, today=ask.today)
    found = rate_of(ask, ask.scenario)
    return Answer("demand", _asked(ask, found, rent), _quantities(ask, found, rent),
                  tables(ask, found, rent), _notes(ask, found, rent), _derivation(ask, found))


def rate_of(ask: DemandAsk, scenario: Scenario, *, keep: bool = True) -> Rate:
    """The machine at the batch asked for, or the largest that keeps the promised rate.

    Raises:
        BadInput: a model or an output that sends no tokens.
        Infeasible: a user alone gets less than was promised, or the batch does not fit.
    """
    resolved = resolve(scenario)
    if not resolved.architecture.causal or not resolved.scenario.workload.output:
        raise BadInput("users are counted by the tokens they are sent: give a model that "
                       "generates and an output of at least 1")
    short = shortfall(resolved)
    if short and not ask.ideal:
        raise Infeasible(short)
    context = np.array([decode_context(resolved)])
    probe = replica_speeds(resolved, np.ones(1), context, ideal=ask.ideal)
    most = max(1.0, math.floor(min(float(probe.room[0]), 1024.0)))
    batches = np.unique(np.floor(np.geomspace(1.0, most, 40))) if ask.batch is None \
        else np.array([float(ask.batch)])
    if ask.batch is not None and ask.batch > most and not ask.ideal:
        raise Infeasible(f"a batch of {ask.batch:g} does not fit: {most:,.0f} sequences of "
                         f"{context[0]:,.0f} tokens do")
    speeds = replica_speeds(resolved, batches, context, ideal=ask.ideal)
    prompt = float(resolved.scenario.workload.prompt)
    read = replica_speeds(resolved, np.ones(1), np.array([prompt]), ideal=ask.ideal)
    return _best(ask, resolved, batches, speeds.decode[:, 0], float(read.prefill_rate[0]), keep)


def _best(ask: DemandAsk, resolved: Resolved, batches: Any, steps: Any, prefill_rate: float,
          keep: bool) -> Rate:
    """The largest batch whose users get their rate, prompts taking their share of the time."""
    work = resolved.scenario.workload
    new = work.prompt * (1 - work.prefix_hit)
    decode = np.asarray(decode_throughput(batch_size=batches, step_time=steps), float)
    requests = decode / work.output if ask.decode_only else np.asarray(
        formulas.mixed_request_rate(prompt_tokens=new, output_tokens=float(work.output),
                                    prefill_rate=prefill_rate, decode_rate=decode), float)
    seen = requests * work.output / batches
    held = seen >= ask.token_rate
    if not held.any() and keep and ask.batch is None:
        raise Infeasible(f"a user gets {seen.max():.3g} tokens/s alone, below the "
                         f"{ask.token_rate:g} promised; fewer bytes a parameter, more chips a "
                         "replica or a lower promise")
    at = int(np.flatnonzero(held)[-1]) if held.any() and ask.batch is None else \
        (len(batches) - 1 if ask.batch is not None else 0)
    copies = resolved.deployment.dp
    return Rate(resolved, float(requests[at]) * work.output * copies, float(batches[at]),
                 float(steps[at]), float(requests[at]) * copies)


def served(ask: DemandAsk, found: Rate) -> float:
    """Users whose requests the machine answers.

    A user's requests stay as many when an option shortens answers, so they are counted by the
    request, each worth the output tokens of the scenario asked.
    """
    tokens = found.requests * ask.scenario.workload.output
    return float(formulas.users_served(throughput=tokens, token_rate=ask.token_rate * ask.peak,
                                       active_share=ask.active_share))


def needed(ask: DemandAsk, found: Rate, users: float) -> float:
    """Chips for so many users, in whole replicas."""
    exact = float(formulas.chips_for_users(
        users=users, token_rate=ask.token_rate * ask.peak, active_share=ask.active_share,
        throughput=found.tokens, n_chips=float(found.chips)))
    replica = found.resolved.deployment.chips_per_replica
    return math.ceil(exact / replica - 1e-9) * replica


def _quantities(ask: DemandAsk, found: Rate, rent: ChipRent) -> dict[str, Value]:
    most = served(ask, found)
    users = ask.users or most
    chips = needed(ask, found, users)
    monthly = chips * rent.mid * MONTH_HOURS
    basis: Basis = "derived" if ask.ideal else "calibrated"
    low, high = (0.0, 0.0) if ask.ideal else _spread(found.resolved)[1:3]

    def around(value: float, unit: str) -> Quantity:
        return Quantity(value, value * math.exp(-max(0.0, high)),
                        value * math.exp(-min(0.0, low)), unit, basis)

    load = users / most
    out: dict[str, Value] = {
        "bound": _verdict(ask, found, load),
        "users_served": around(most, "1"), "users": Quantity.exact(users, "1", "assumed"),
        "load": Quantity.exact(load, "1", basis), "chips": found.chips,
        "chips_needed": int(chips),
        "usd_per_month": Quantity(monthly, chips * rent.low * MONTH_HOURS,
                                  chips * rent.high * MONTH_HOURS, "USD", basis),
        "usd_per_user_month": Quantity.exact(monthly / users, "USD", basis),
        "output_tokens_per_s": around(found.tokens, "token/s"),
        "requests_per_s": around(found.requests, "req/s"),
        "batch": Quantity.exact(found.batch, "1", basis),
        "tokens_per_s_per_user": Quantity.exact(
            found.tokens / found.batch / found.resolved.deployment.dp, "token/s", basis),
        "usd_per_mtok": Quantity.exact(float(token_cost(
            n_chips=float(found.chips), usd_per_chip_hour=rent.mid,
            throughput=found.tokens)), "USD/Mtok", basis),
    }
    if load > 1:
        out["users_turned_away"] = Quantity.exact(users - most, "1", basis)
    return out


def _spread(resolved: Resolved) -> Spread:
    return calibrated_performance(bounded(resolved)).tpot_spread


def _verdict(ask: DemandAsk, found: Rate, load: float) -> str:
    machine = found.resolved.scenario.machine
    if ask.users is None:
        return f"{machine} serves {served(ask, found):,.0f} such users"
    if load <= 1:
        return f"{machine} runs at {load:.0%} of what it can serve"
    return (f"{machine} is asked for {load:.2f} times what it can serve: queues grow by "
            f"{(load - 1) * found.requests:.3g} requests a second until somebody leaves")


def _notes(ask: DemandAsk, found: Rate, rent: ChipRent) -> tuple[str, ...]:
    out = [rent.note] if rent.note else []
    from ridgeline.questions.demand_tables import purchase

    owned = purchase(ask, found)
    if owned and owned[1] is not None:
        out.append(owned[1].note(f"Purchase price of {owned[0]:,.0f} USD a chip alone"))
    work = found.resolved.scenario.workload
    out.append(f"A user takes {ask.token_rate:g} tokens/s for {ask.active_share:.0%} of the time"
               + (f", {ask.peak:g} times that at the peak" if ask.peak > 1 else "")
               + f"; requests of {work.prompt:,} in and {work.output:,} out"
               + (", decoding alone." if ask.decode_only else ", prompts on the same chips."))
    out.append(f"Batch {found.batch:g} a replica, a step of {format_si(found.step, 's')}: the "
               "largest that fits and keeps the promised rate." if ask.batch is None else
               f"Batch {found.batch:g} a replica as asked.")
    return tuple(out)


def _derivation(ask: DemandAsk, found: Rate) -> tuple[Derivation, ...]:
    users = derive(formulas.users_served, {
        "throughput": Given(found.tokens, "calibrated", "all replicas"),
        "token_rate": Given(ask.token_rate * ask.peak, "assumed", "promised, at the peak"),
        "active_share": Given(ask.active_share, "assumed", "asked")})
    chips = derive(formulas.chips_for_users, {
        "users": Given(ask.users or served(ask, found), "assumed", "asked"),
        "token_rate": Given(ask.token_rate * ask.peak, "assumed", "promised, at the peak"),
        "active_share": Given(ask.active_share, "assumed", "asked"),
        "throughput": Given(found.tokens, "calibrated", "all replicas"),
        "n_chips": Given(float(found.chips), "assumed", "machine")})
    return users, chips


def _asked(ask: DemandAsk, found: Rate, rent: ChipRent) -> dict[str, Any]:
    return {**found.resolved.scenario.to_dict(), "users": ask.users, "token_rate": ask.token_rate,
            "active_share": ask.active_share, "peak": ask.peak, "batch": ask.batch,
            "usd_per_hour": rent.mid, "decode_only": ask.decode_only,
            "compare": list(ask.compare), "ideal": ask.ideal}


def demand_figure(ask: DemandAsk) -> Figure:
    """Users that the machine serves against the speed they are promised.

    Raises:
        Infeasible: no promised rate near the one asked can be kept.
    """
    rates, users = [], []
    for factor in np.geomspace(0.25, 4.0, 13):
        try:
            asked = dataclasses.replace(ask, token_rate=ask.token_rate * float(factor))
            found = rate_of(asked, ask.scenario)
        except Infeasible:
            continue
        rates.append(asked.token_rate)
        users.append(served(asked, found))
    if not rates:
        raise Infeasible("no promised rate near this one can be kept")
    now = min(range(len(rates)), key=lambda i: abs(rates[i] - ask.token_rate))
    return Figure("Users against speed", Axis("speed of a user", "token/s", log=True),
                  Axis("users served", log=True),
                  (Line(rates, users), Scatter([rates[now]], [users[now]], "asked", size=9)),
                  subtitle=f"{ask.scenario.model} on {ask.scenario.machine}")
