"""How much load, or how few machines? The limit that keeps targets, by simulation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ridgeline.errors import BadInput, Infeasible, UnknownName
from ridgeline.quantity import Quantity, format_si
from ridgeline.questions.answer import Answer, Table
from ridgeline.questions.capacity_search import (
    Goal,
    Load,
    Search,
    fewest_replicas,
    highest_rate,
)
from ridgeline.questions.simulate_explain import explained
from ridgeline.questions.simulation import Asked, Progress, prepare, run_requests
from ridgeline.report.figure import Axis, Figure, Line
from ridgeline.scenario import Scenario

__all__ = ["capacity", "load_figure"]

FINDS = ("rate", "replicas")
# Loads of the curve, as shares of the limit.
_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25)
# Width of the brackets at the ends of the interval, where the second digit is enough.
_COARSE = 0.03


def capacity(scenario: Scenario, asked: Asked | None = None, *, find: str | None = None,
             percentile: float = 95.0, precision: float = 0.01,
             progress: Progress | None = None, explain: bool = False) -> Answer:
    """The highest rate, or the fewest replicas, at which a percentile keeps its targets.

    Each trial is a whole simulation of the same seed: `kept` when the percentile of TTFT and of
    TPOT over requests is within target, nobody is refused and the queue does not grow.

    Args:
        scenario: model, machine, deployment; its workload gives mean lengths.
        asked: targets, load (a trace is replayed faster or slower), fleet, rules.
        find: "rate" with the fleet given, or "replicas" with the rate or trace given; None:
            replicas where a rate is given, else the rate.
        percentile: of requests' TTFT and TPOT that has to keep its target, 0 to 100.
        precision: relative precision of a rate.
        progress: told before each simulation.
        explain: say what the numbers at the limit are made of, as `simulate` does.

    Returns:
        an Answer with `rate_per_s` or `replicas`, what binds there, and table "load_curve".

    Raises:
        BadInput: no target, an unknown name, a load that cannot be.
        Infeasible: the model does not fit, or no load keeps the targets.
    """
    asked = asked or Asked()
    goal = Goal(asked.ttft, asked.tpot, percentile, precision)
    find = find or ("rate" if asked.rate is None else "replicas")
    _check(asked, find)
    search = Search(scenario, asked, goal, progress=progress)
    found = _found(search, find)
    curve = _curve(search, found[0], find)
    tables, derivation = _explained(search, found[0]) if explain else ((), ())
    return Answer("capacity", _asked_again(search, asked, goal, find),
                  _quantities(search, found, find, _ends(scenario, asked, goal, find, progress)),
                  tables=(_table(curve, goal), *tables), notes=_notes(goal, found[0]),
                  derivation=derivation)


def _explained(search: Search, at: Load) -> tuple[tuple[Table, ...], tuple[Any, ...]]:
    """What the numbers at the limit are made of."""
    asked = search.asked_at(at.rate, at.replicas)
    setup = prepare(search.scenario, asked)
    return explained(setup, run_requests(setup, asked, asked.seed, search.end))


def _check(asked: Asked, find: str) -> None:
    """Refuse what cannot be searched for."""
    if find not in FINDS:
        raise UnknownName.among("find", find, FINDS, "Accepted: " + ", ".join(FINDS))
    if find == "rate" and asked.rate is not None:
        raise BadInput("the rate is what is looked for; leave --rate out, or look for replicas "
                       "with --find replicas")
    if find == "replicas" and asked.replicas is not None:
        raise BadInput("the number of replicas is what is looked for; leave --replicas out")
    if find == "replicas" and asked.rate is None and asked.trace is None:
        raise BadInput("looking for replicas needs a load: --rate or --trace")
    if asked.plan:
        raise BadInput("capacity asks about one deployment; leave --plan out")
    if asked.autoscale is not None:
        raise BadInput("capacity looks for a fixed fleet; leave --autoscale out")
    if find == "replicas" and asked.pools is not None:
        raise BadInput("with --pools, capacity looks for the rate; leave --rate and --find out")
    if asked.seeds != 1:
        raise BadInput("capacity compares loads under one seed; leave --seeds out")


def _found(search: Search, find: str) -> tuple[Load, Load | None]:
    if find == "rate":
        return highest_rate(search, search.setup.replicas)
    asked = search.asked
    return fewest_replicas(search, asked.rate or search.unit_rate * asked.speed)


def _ends(scenario: Scenario, asked: Asked, goal: Goal, find: str, progress: Progress | None
          ) -> list[float]:
    """The answer with step times at the ends of their interval; 0 or infinite where none is."""
    ends = []
    for end in (0, 1):
        search = Search(scenario, asked, dataclasses.replace(goal, precision=_COARSE), end,
                        progress)
        try:
            load = _found(search, find)[0]
        except Infeasible:
            ends.append(0.0 if find == "rate" else float("inf"))
        else:
            ends.append(load.rate if find == "rate" else float(load.replicas))
    return ends


def _curve(search: Search, at: Load, find: str) -> list[Load]:
    """Loads around the limit, in order."""
    if find == "rate":
        return [search.at(at.rate * share, at.replicas) for share in _SHARES]
    counts = sorted({max(1, at.replicas + step) for step in (-3, -2, -1, 0, 1, 2, 4)})
    return [search.at(at.rate, count) for count in counts]


def _asked_again(search: Search, asked: Asked, goal: Goal, find: str) -> dict[str, Any]:
    def changed(values: Any) -> dict[str, Any]:
        return {f.name: getattr(values, f.name) for f in dataclasses.fields(values)
                if getattr(values, f.name) != f.default}

    return {**search.setup.resolved.scenario.to_dict(),
            "capacity": {"find": find, **changed(asked), **changed(goal)}}


def _quantities(search: Search, found: tuple[Load, Load | None], find: str,
                ends: Sequence[float]) -> dict[str, Any]:
    at, beyond = found
    value = at.rate if find == "rate" else float(at.replicas)
    low, high = min(*ends, value), max(*ends, value)
    chips = search.setup.resolved.deployment.chips_per_replica * at.replicas
    limit = {"rate_per_s": Quantity(value, low, high, "1/s", "calibrated"),
             "replicas": at.replicas} if find == "rate" else {
        "replicas": Quantity(value, low, high, "1", "calibrated"),
        "rate_per_s": Quantity.exact(at.rate, "1/s", "assumed")}
    return {"bound": _bound(at, beyond, find), **limit, "chips": chips,
            **{f"{name}_s": Quantity.exact(getattr(at, name), "s", "calibrated")
               for name in ("ttft", "tpot")},
            "latency_mean_s": Quantity.exact(at.latency, "s", "calibrated"),
            "output_tokens_per_s": Quantity.exact(at.output_tokens_per_s, "token/s",
                                                  "calibrated"),
            "utilisation": Quantity.exact(at.utilisation, "1", "calibrated"),
            "mean_batch": Quantity.exact(at.mean_batch, "1", "calibrated"),
            "attainment": Quantity.exact(at.attainment, "1", "calibrated"),
            **_money(search, at, chips), "simulations": len(search.tried)}


def _money(search: Search, at: Load, chips: int) -> dict[str, Quantity]:
    rent = search.setup.resolved.cluster.chip.usd_per_hour
    if rent is None or not at.output_tokens_per_s:
        return {}
    low, high = (usd * chips / 3600 / at.output_tokens_per_s * 1e6 for usd in rent)
    return {"usd_per_mtok_output": Quantity((low + high) / 2, low, high, "USD/Mtok", "assumed")}


def _bound(at: Load, beyond: Load | None, find: str) -> str:
    """One sentence: the limit, and what breaks beyond it."""
    rate = format_si(at.rate, "1/s")
    if find == "rate":
        many = "replicas keep" if at.replicas > 1 else "replica keeps"
        head = f"{at.replicas:,} {many} the targets up to {rate}"
    else:
        head = f"{rate} need {at.replicas:,} replica{'s' * (at.replicas > 1)}"
    if beyond is None and find == "rate":
        return f"{head} and at least as far as was tried; simulate more requests"
    return f"{head}; beyond, {beyond.broken}" if beyond is not None and beyond.broken else head


def _table(curve: Sequence[Load], goal: Goal) -> Table:
    p = f"p{goal.percentile:g}"
    return Table.of(
        "load_curve",
        {"rate": "1/s", "replicas": "1", f"ttft_{p}": "s", f"tpot_{p}": "s",
         "output": "token/s", "batch": "1", "busy": "1",
         "within_targets": "1", "kept": "1"},
        [(load.rate, load.replicas, load.ttft, load.tpot,
          load.output_tokens_per_s, load.mean_batch, load.utilisation, load.attainment,
          not load.broken) for load in curve], title="Load curve")


def _notes(goal: Goal, at: Load) -> tuple[str, ...]:
    return (f"Each load is a simulation of {at.requests:,} requests from the same seed; kept means "
            f"p{goal.percentile:g} within target, nobody refused, no growing queue.",
            "The interval repeats the search with step times at the ends of their 80 % interval.")


def load_figure(answer: Answer) -> Figure:
    """TTFT and TPOT at the percentile against the load, with the targets dashed."""
    table = next(t for t in answer.tables if t.name == "load_curve")
    names = [column.name for column in table.columns]
    asked = dict(answer.scenario)["capacity"]
    of_rate = asked["find"] == "rate"
    along: list[Any] = [row[names.index("rate" if of_rate else "replicas")] for row in table.rows]
    series = []
    for name, label, color in (("ttft", "TTFT", "#0072b2"), ("tpot", "TPOT", "#d55e00")):
        place = next(i for i, n in enumerate(names) if n.startswith(name))
        values: list[Any] = [row[place] for row in table.rows]
        series.append(Line(along, values, f"{label} {names[place].split('_')[1]}", color=color))
        if asked.get(name):
            series.append(Line([along[0], along[-1]], [asked[name]] * 2, f"{label} target",
                               dash=True, color=color))
    return Figure(f"{answer.scenario['model']} on {answer.scenario['machine']}: load curve",
                  x=Axis("arrivals", "1/s") if of_rate else Axis("replicas"),
                  y=Axis("time", "s", log=True), series=tuple(series))
