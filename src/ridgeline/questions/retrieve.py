"""What does retrieval cost? Index, search, encoders and the whole request around the model."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput, Infeasible
from ridgeline.quantity import Quantity, format_si
from ridgeline.questions.answer import Answer
from ridgeline.questions.retrieve_stages import (
    MEASURED_CPU,
    Stage,
    encoder_flop_of,
    encoder_model,
    encoder_stage,
    llm_stages,
    memory_bound_rate,
    search_stage,
)
from ridgeline.retrieval.cpu_time import CpuConstants, shipped_constants, visited
from ridgeline.retrieval.index_plan import IndexPlan
from ridgeline.retrieval.recall import expected_recall

if TYPE_CHECKING:
    from ridgeline.questions.performance import Performance
from ridgeline.questions.retrieve_ask import RetrieveAsk, _check, plan_of

__all__ = ["RetrieveAsk", "plan_of", "retrieve"]

_MOST_IN_FLIGHT = 4096
# Doubling the requests in flight must serve this much more, or the users only wait longer.
_KNEE = 1.25


def retrieve(ask: RetrieveAsk) -> Answer:
    """Index memory, search, encoders and the budget of a whole request.

    Args:
        ask: sizes, index, encoders, model and load.

    Returns:
        an Answer with `index_bytes`, `search_s`, `searches_per_s`, `recall_at_10`, and with
        encoders and a model `embed_docs_s`, `total_s`, `usd_per_1000_requests`, ...; tables
        "stages", "compression", "indexes", "build" and "long_context".

    Raises:
        BadInput: impossible sizes, settings, rates or names.
        Infeasible: an index or a model that does not fit where it should run.
    """
    from ridgeline.questions import retrieve_tables as tables

    # Surfaces that build the ask themselves are held to the same numbers.
    ask = RetrieveAsk.from_fields(dataclasses.asdict(ask))
    constants = shipped_constants()
    plan = plan_of(ask)
    _check(ask, plan)
    stages, performance, in_flight = _stages(ask, plan, constants)
    out = _search_quantities(ask, plan, constants, stages)
    notes = list(_notes(ask, plan, constants))
    if len(stages) > 1:
        out |= _request_quantities(ask, stages)
    if performance is not None:
        out |= _served(ask, performance, in_flight, notes)
    built = tables.build_table(ask, plan, constants)
    out |= built.quantities
    found = [tables.stage_table(stages), built.table, tables.compression_table(plan, constants),
             tables.index_table(ask, plan, constants)]
    if performance is not None:
        found.append(tables.long_context_table(ask))
    return Answer("retrieve", _asked(ask, plan), out, tuple(found), tuple(notes),
                  tables.derivations(ask, plan, constants))


def _stages(ask: RetrieveAsk, plan: IndexPlan, constants: CpuConstants
            ) -> tuple[list[Stage], Performance | None, int]:
    """Stages in order, the model's performance, and requests in flight on it."""
    where = ask.encoder_on or ask.machine or MEASURED_CPU
    shared: dict[str, Any] = {"mfu": ask.encoder_mfu, "constants": constants}
    stages: list[Stage] = []
    if ask.embedder:
        stages.append(encoder_stage("embed", ask.embedder, where, texts=1,
                                    tokens=ask.query_tokens, **shared))
    stages.append(search_stage(plan, ask.search_on, constants))
    if ask.reranker:
        stages.append(encoder_stage("rerank", ask.reranker, where, texts=ask.rerank or plan.top_k,
                                    tokens=ask.doc_tokens, **shared))
    if ask.model is None:
        return stages, None, 0
    found, in_flight = _performance(ask)
    prompt = ask.query_tokens + ask.passages * ask.doc_tokens
    return [*stages, *llm_stages(found, str(ask.machine), prompt, ask.output)], found, in_flight


def _performance(ask: RetrieveAsk) -> tuple[Performance, int]:
    """The model at the least concurrency that serves the rate, or at the knee before it does."""
    best, at = model_performance(ask, 1), 1
    while ask.queries is not None and at / best.e2e < ask.queries and at < _MOST_IN_FLIGHT:
        after = model_performance(ask, at * 2)
        if at * 2 / after.e2e < _KNEE * at / best.e2e:
            break
        best, at = after, at * 2
    return best, at


def model_performance(ask: RetrieveAsk, concurrency: int, passages: int | None = None
                      ) -> Performance:
    """Speed of the model on prompts with so many passages.

    Raises:
        BadInput: an encoder.
        Infeasible: it does not fit.
    """
    from ridgeline.questions.fit import shortfall
    from ridgeline.questions.performance import calibrated_performance
    from ridgeline.questions.resolve import resolve
    from ridgeline.scenario import Scenario

    n = ask.passages if passages is None else passages
    resolved = resolve(Scenario.from_fields({
        "model": ask.model, "machine": ask.machine, "output": ask.output,
        "prompt": ask.query_tokens + n * ask.doc_tokens, "concurrency": concurrency}))
    if not resolved.architecture.causal:
        raise BadInput(f"{ask.model} is an encoder and writes no answer; give it as --embedder or "
                       "--reranker")
    if short := shortfall(resolved):
        raise Infeasible(short)
    return calibrated_performance(resolved)


def _search_quantities(ask: RetrieveAsk, plan: IndexPlan, c: CpuConstants, stages: list[Stage]
                       ) -> dict[str, Any]:
    search = next(s for s in stages if s.name == "search")
    one = search.seconds
    lanes = ask.threads if search.where == "1 CPU thread" else 1
    most = memory_bound_rate(ask.search_on, plan, c, search)
    rate, slow, fast = (min(most, lanes * plan.batch / t) for t in (one.value, one.high, one.low))
    top = max(stages, key=lambda s: s.seconds.value)
    total = sum(s.seconds.value for s in stages)
    recall = expected_recall(plan, c)
    if ask.recall is not None:
        recall = Quantity.exact(ask.recall, "1", "assumed")
    compared = visited(plan, c)
    out: dict[str, Any] = {
        "bound": (f"{top.name} dominates: {top.seconds.value / total:.0%} of "
                  f"{format_si(total, 's')}" if len(stages) > 1
                  else f"the search is bound by {search.bound}"),
        "index_bytes": Quantity.exact(plan.memory, "B"),
        "vector_bytes": Quantity.exact(plan.vector_bytes, "B"),
        "search_s": one,
        "searches_per_s": Quantity(rate, slow, fast, "1/s", one.basis),
        "vectors_compared": Quantity.exact(compared, "1", "calibrated" if plan.hnsw_m else
                                           "derived"),
        "share_compared": Quantity.exact(compared / plan.n, "1"),
        "search_flop": Quantity.exact(search.flop, "FLOP"),
        "search_read_bytes": Quantity.exact(search.read, "B"),
        "recall_at_10": recall if recall is not None else "not measured for these settings",
    }
    if ask.queries is not None:
        unit = "search_threads_needed" if search.where == "1 CPU thread" else "searchers_needed"
        need = ask.queries * one.value / plan.batch
        out[unit] = Quantity(math.ceil(need), math.ceil(ask.queries * one.low / plan.batch),
                             math.ceil(ask.queries * one.high / plan.batch), "1", one.basis)
    return out


def _request_quantities(ask: RetrieveAsk, stages: list[Stage]) -> dict[str, Any]:
    total = sum(s.seconds.value for s in stages)
    # Stages err on their own: their shifts add in quadrature.
    below = math.sqrt(sum((s.seconds.value - s.seconds.low) ** 2 for s in stages))
    above = math.sqrt(sum((s.seconds.high - s.seconds.value) ** 2 for s in stages))
    out: dict[str, Any] = {
        "total_s": Quantity(total, total - below, total + above, "s", "calibrated"),
        "retrieval_s": Quantity.exact(sum(s.seconds.value for s in stages
                                          if s.name in ("embed", "search", "rerank")), "s",
                                      "calibrated"),
        "request_flop": Quantity.exact(sum(s.flop for s in stages), "FLOP"),
    }
    names = {s.name: s for s in stages}
    for name in ("embed", "rerank"):
        if name in names:
            out[f"{name}_s"] = names[name].seconds
            out[f"{name}_flop"] = Quantity.exact(names[name].flop, "FLOP")
    if "prefill" in names:
        first = sum(s.seconds.value for s in stages if s.name != "decode")
        out["ttft_s"] = Quantity.exact(first, "s", "calibrated")
    return out


def _served(ask: RetrieveAsk, p: Performance, in_flight: int, notes: list[str]
            ) -> dict[str, Any]:
    """Requests a second, dollars and joules of the model's machine."""
    from ridgeline.machine.parse import parse_machine

    cluster = parse_machine(str(ask.machine))
    chip, best = cluster.chip, in_flight / p.e2e
    rate = min(best, ask.queries) if ask.queries is not None else best
    out: dict[str, Any] = {
        "requests_per_s": Quantity.exact(best, "1/s", "calibrated"),
        "requests_in_flight": Quantity.exact(float(in_flight), "1", "derived")}
    machines = 1
    if ask.queries is not None and best < ask.queries:
        machines = math.ceil(ask.queries / best)
        rate = ask.queries / machines
        notes.append(f"One {ask.machine} serves {best:.3g} requests/s before waits grow faster "
                     f"than throughput; {ask.queries:g}/s need {machines} of them.")
    out["machines_needed"] = Quantity.exact(float(machines), "1", "calibrated")
    price = ask.usd_per_chip_hour
    if price is None and chip.usd_per_hour:
        price = sum(chip.usd_per_hour) / 2
    threads = ask.usd_per_thread_hour or 0.0
    if price is not None:
        hourly = price * cluster.n_chips + threads * ask.threads
        out["usd_per_1000_requests"] = Quantity.exact(1000 * hourly / 3600 / rate, "USD",
                                                      "calibrated")
    if chip.tdp:
        watts = chip.tdp * cluster.n_chips + (ask.watts_per_thread or 0.0) * ask.threads
        out["joules_per_request"] = Quantity.exact(watts / rate, "J", "calibrated")
    return out


def _notes(ask: RetrieveAsk, plan: IndexPlan, c: CpuConstants) -> list[str]:
    notes = []
    if ask.search_on == MEASURED_CPU:
        notes.append(f"The search runs on threads of {c.cpu}, measured with faiss; for your own "
                     "machine: `ridgeline measure retrieval --quick --out FILE`, then "
                     "RIDGELINE_RETRIEVAL=FILE.")
    else:
        from ridgeline.machine.parse import parse_machine

        if parse_machine(ask.search_on).chip.kind == "cpu":
            notes.append(f"{ask.search_on} was not measured: one thread is taken as fast as one "
                         f"of {c.cpu}.")
        else:
            notes.append("A search on an accelerator is the roofline of its scan; no such search "
                         "was measured here.")
    if plan.batch > 1:
        notes.append(f"search is the time of a call with {plan.batch} queries; filling it is not "
                     "counted.")
    notes.append("Recall is measured on clustered vectors made by this project, not on your data; "
                 "state your own with --recall." if ask.recall is None else
                 "Recall as stated, not predicted.")
    if ask.model and ask.usd_per_thread_hour is None:
        notes.append("Dollars are of the model's machine (encoders share it); price the search "
                     "with --usd-per-thread-hour.")
    if ask.embedder and encoder_flop_of(encoder_model(ask.embedder), 1, 1) and ask.encoder_mfu:
        notes.append(f"Encoders at {ask.encoder_mfu:.0%} of the peak, as stated.")
    return notes


def _asked(ask: RetrieveAsk, plan: IndexPlan) -> dict[str, Any]:
    told = {k: v for k, v in dataclasses.asdict(ask).items() if v is not None}
    settings = {k: v for k, v in dataclasses.asdict(plan).items() if v and k not in ("kind", "n")}
    return {**told, **settings}
