"""What `plan` is asked, and the space, requests and goal that it means."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput, UnknownName

if TYPE_CHECKING:
    from ridgeline.search.explore import Space
    from ridgeline.search.goal import Goal
    from ridgeline.search.rated import Requests

__all__ = ["ENGINES", "PlanAsk", "Planned", "plan_ask", "planned"]

# Engines whose scheduler the replay knows; single-stream ones are answered by `estimate`.
ENGINES = ("vllm", "sglang", "trtllm")
_MOST_BATCH = 65_536


@dataclass(frozen=True)
class PlanAsk:
    """What to plan.

    Attributes:
        model: bundled name or path.
        on: machines on offer, such as ("16xH200",); none: the whole catalog, as many as needed.
        prompt, output: tokens, or a law such as "lognormal:2000,0.8" (see search.lengths).
        trace: bundled trace or file whose lengths stand for both.
        prefix_hit: share of the prompt found in the prefix cache.
        ttft, tpot: targets on the means [s].
        rate: requests a second in all; users: requests in flight in all; neither: fill the chips.
        budget: rent at most [USD/h].
        minimize: cost, latency, energy or chips.
        engines, formats, kv: what may be chosen; no formats: the model's own.
        chunks: token budgets of a step beside the engine's own; None: one of 2,048.
        batches: requests in flight on a replica to try; None: four an octave up to 1,024.
        mode: aggregated, disaggregated or both.
        prices: rents such as "H100-SXM=2.5".
        draft_length, acceptance, draft_cost: speculative decoding (see search.speculation).
        finalists: rows replayed at most.
        save: Parquet file for every row.
        explain: derive the best row's floors and cost.
    """

    model: str
    on: tuple[str, ...] = ()
    prompt: str | float = 1024
    output: str | float = 256
    trace: str | None = None
    prefix_hit: float = 0.0
    ttft: float = math.inf
    tpot: float = math.inf
    rate: float | None = None
    users: int | None = None
    budget: float = math.inf
    minimize: str = "cost"
    engines: tuple[str, ...] = ("vllm",)
    formats: tuple[str, ...] = ()
    kv: tuple[str, ...] = ()
    chunks: tuple[int, ...] | None = None
    batches: tuple[int, ...] | None = None
    mode: str = "both"
    prices: tuple[str, ...] = ()
    draft_length: int | None = None
    acceptance: str | None = None
    draft_cost: float | None = None
    finalists: int = 64
    save: str | None = None
    explain: bool = False


@dataclass(frozen=True)
class Planned:
    """The ask, read and checked."""

    ask: PlanAsk
    space: Space
    requests: Requests
    goal: Goal
    notes: tuple[str, ...] = ()


def plan_ask(model: str, on: str | tuple[str, ...] = (), fields: Mapping[str, Any] | None = None
             ) -> PlanAsk:
    """The ask of plain fields, as a caller or a file would write them.

    Raises:
        UnknownName: a field that is not one of PlanAsk's.
    """
    known = {f.name for f in dataclasses.fields(PlanAsk)}
    given = dict(fields or {})
    for name in given:
        if name not in known:
            raise UnknownName.among("field of a plan", name, known)
    for name in ("engines", "formats", "kv", "prices", "chunks", "batches"):
        if isinstance(value := given.get(name), (str, int, float)):
            given[name] = (value,)
        elif value is not None:
            given[name] = tuple(value)
    return PlanAsk(model, (on,) if isinstance(on, str) else tuple(on), **given)


def planned(ask: PlanAsk) -> Planned:
    """Look up names and check numbers.

    Raises:
        BadInput: a number out of range, flags that contradict each other.
        UnknownName: no such model, chip, engine, format, ...
    """
    from ridgeline.model.load import load_architecture
    from ridgeline.search.explore import CHUNKS, Space
    from ridgeline.search.goal import Goal
    from ridgeline.search.offers import catalog_offers, read_offers, read_prices
    from ridgeline.search.space import Choices

    goal = Goal(ask.ttft, ask.tpot, ask.rate, ask.users, ask.budget, ask.minimize)
    _check(ask)
    requests, notes = _requests(ask)
    architecture = load_architecture(ask.model, fetch=bool(os.environ.get("RIDGELINE_FETCH")))
    if not architecture.causal:
        raise BadInput(f"{architecture.name} is an encoder and generates nothing; ask `fit` or "
                       "`estimate`")
    prices = read_prices(ask.prices)
    offers = read_offers(ask.on, prices) if ask.on else catalog_offers(prices)
    _check_prices(goal, offers)
    if ask.on:
        _check_priced(prices, [offer.chip.name for offer in offers])
    choices = Choices(engines=ask.engines, longest=requests.context,
                      weights=_formats("weights", ask.formats), kv=_formats("KV cache", ask.kv))
    chunks = CHUNKS if ask.chunks is None else (None, *ask.chunks)
    space = Space(architecture, offers, choices, chunks, ask.batches, ask.mode)
    if architecture.max_context and requests.context > architecture.max_context:
        notes.append(f"Requests of up to {requests.context:,} tokens are longer than the model's "
                     f"context of {architecture.max_context:,}.")
    return Planned(ask, space, requests, goal, tuple(notes))


def _check(ask: PlanAsk) -> None:
    """Numbers and choices that need no catalog."""
    from ridgeline.catalog import list_names, load_engine
    from ridgeline.search.explore import MODES

    for engine in ask.engines:
        name = load_engine(engine).name
        if name not in ENGINES:
            why = ("runs one stream or one static batch: ask `estimate` with it" if name in
                   ("llamacpp", "transformers") else "was never measured: plan for its nearest "
                   "relative of these")
            raise BadInput(f"plan searches {', '.join(ENGINES)}; {name} {why}")
    if not ask.engines:
        raise BadInput("no engine to search; known: " + ", ".join(list_names("engines")))
    if ask.mode not in MODES:
        raise UnknownName.among("mode", ask.mode, MODES, "Accepted: " + ", ".join(MODES))
    if not (math.isfinite(ask.prefix_hit) and 0 <= ask.prefix_hit < 1):
        raise BadInput(f"prefix_hit must be a share from 0 to below 1, not {ask.prefix_hit:g}")
    if not 1 <= ask.finalists <= 100_000:
        raise BadInput(f"finalists must be from 1 to 100,000, not {ask.finalists}")
    _whole("batches", ask.batches, _MOST_BATCH)
    _whole("chunks", ask.chunks, 1 << 20)
    if ask.save and not ask.save.endswith(".parquet"):
        raise BadInput(f"rows are saved as Parquet: give a name ending in .parquet, not {ask.save}")


def _whole(what: str, values: Sequence[int] | None, most: int) -> None:
    for value in values or ():
        if isinstance(value, bool) or value != int(value) or not 1 <= value <= most:
            raise BadInput(f"{what} must be whole numbers from 1 to {most:,}, not {value}")
    if values is not None and not len(values) and what == "batches":
        raise BadInput("no batch to try")


def _requests(ask: PlanAsk) -> tuple[Requests, list[str]]:
    from ridgeline.search.lengths import parse_lengths, sampled_lengths
    from ridgeline.search.rated import Requests
    from ridgeline.search.speculation import read_draft

    draft = read_draft(ask.draft_length, ask.acceptance, ask.draft_cost)
    if ask.trace is None:
        return Requests(parse_lengths(ask.prompt, "prompt"), parse_lengths(ask.output, "output"),
                        ask.prefix_hit, draft, ask.rate is not None), []
    from ridgeline.serving.traces import read_trace

    if (ask.prompt, ask.output) != (PlanAsk.prompt, PlanAsk.output):
        raise BadInput("a trace has the lengths of its requests: leave out --prompt and --output, "
                       "or --trace")
    trace = read_trace(ask.trace)
    found = trace.requests
    notes = [*trace.notes, f"Lengths follow the {len(found):,} requests of {ask.trace}, prompt and "
                           "output each by its own law."]
    return Requests(sampled_lengths(found.prompt), sampled_lengths(found.output), ask.prefix_hit,
                    draft, ask.rate is not None), notes


def _formats(what: str, names: tuple[str, ...]) -> tuple[str | None, ...]:
    """Formats by their catalog names; None alone when nothing was asked."""
    from ridgeline.formats import get_format

    try:
        return tuple(dict.fromkeys(get_format(name).name for name in names)) or (None,)
    except UnknownName as error:
        raise UnknownName(f"{what}: {error}") from None


def _check_priced(prices: Mapping[str, float], offered: Sequence[str]) -> None:
    """Rents were given for chips on offer only."""
    for name in prices:
        if name and name not in offered:
            raise BadInput(f"{name} has a rent and is not on offer; there are: "
                           + ", ".join(dict.fromkeys(offered)))


def _check_prices(goal: Goal, offers: Sequence[Any]) -> None:
    """Every offer has what the goal is counted in."""
    for offer in offers:
        name = offer.chip.name
        priced = offer.usd_per_chip_hour == offer.usd_per_chip_hour
        if not priced and (goal.minimize == "cost" or math.isfinite(goal.budget)):
            raise BadInput(f"{name} has no rent in the catalog; give --usd-per-hour {name}=USD, or "
                           "minimize latency or chips without a budget")
        if goal.minimize == "energy" and not offer.chip.tdp:
            raise BadInput(f"{name} has no power in the catalog; leave it out or minimize "
                           "something else")
