"""Which chips, how many, split how? The best deployment of all valid ones, and why it is."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ridgeline.errors import Infeasible
from ridgeline.quantity import Quantity, format_si
from ridgeline.questions.answer import Answer, Value
from ridgeline.questions.plan_ask import PlanAsk, Planned, planned

if TYPE_CHECKING:
    from ridgeline.questions.plan_finalists import Settled
    from ridgeline.report.figure import Figure
    from ridgeline.search.findings import Findings, PairSearch
    from ridgeline.search.row import Row

__all__ = ["PlanAnswer", "PlanAsk", "plan", "plan_figure"]

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PlanAnswer(Answer):
    """An answer whose best row, frontier and reasons are also there as data.

    Attributes:
        rows: "best", "runner_ups", "frontier" and "rejected" as JSON-safe values.
        best: the best row, for what starts it.
    """

    rows: dict[str, Any] = field(default_factory=dict)
    best: Row | None = None
    frontier: tuple[Row, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: that of every answer, with the rows in `answer`."""
        out = super().to_dict()
        out["answer"].update(self.rows)
        return out


def plan(ask: PlanAsk, progress: Progress | None = None) -> PlanAnswer:
    """The best deployment under the targets, out of every valid one.

    All rows are evaluated in the steady-state form; those that could be the best, and the
    frontier, are asked again through the replay behind `estimate`.

    Args:
        ask: model, offers, workload, targets, limits.
        progress: called with what is being done, how much of it, out of how much.

    Returns:
        an Answer with `evaluated`, `feasible`, the best row's numbers; in JSON also `best`,
        `frontier`, `runner_ups`, `rejected`.

    Raises:
        BadInput: names or numbers that make no sense, or contradict each other.
        Infeasible: nothing fits, or nothing meets the targets: how near anything came.
    """
    from ridgeline.questions.plan_finalists import settle
    from ridgeline.search.explore import explore

    asked = planned(ask)
    with contextlib.ExitStack() as stack:
        watch = None
        if ask.save:
            from ridgeline.search.saved import RowWriter

            watch = stack.enter_context(RowWriter(ask.save)).write
        found = explore(asked.space, asked.requests, asked.goal, watch=watch,
                        advance=_telling(progress, "evaluating deployments"))
    settled = settle(asked, found)
    if settled.best is None:
        from ridgeline.questions.plan_refusal import refusal

        raise Infeasible(refusal(asked, found, settled))
    return _answer(asked, found, settled, settled.best)


def _telling(progress: Progress | None, what: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, whole: progress(what, done, whole)


def _answer(asked: Planned, found: Findings, settled: Settled, best: Row) -> PlanAnswer:
    from ridgeline.questions.plan_explain import derivation
    from ridgeline.questions.plan_words import (
        headline,
        rejected_rows,
        row_dict,
        tables,
        why,
    )

    rows = {"best": row_dict(best),
            "runner_ups": [row_dict(r) for r in settled.runner_ups],
            "frontier": [row_dict(r) for r in settled.frontier],
            "rejected": [{"family": r.family, "reason": r.reason, "count": r.count,
                          "example": r.example} for r in rejected_rows(found)]}
    notes = [*asked.notes, *why(settled, asked.goal.minimize, asked.goal),
             *_fine_print(asked, found, settled)]
    return PlanAnswer(
        "plan", _scenario(asked.ask),
        {"bound": headline(best, asked.goal.minimize), "evaluated": found.evaluated,
         "feasible": found.feasible, **_quantities(best, asked)},
        tables=tables(found, settled), notes=tuple(notes),
        derivation=derivation(asked, best) if asked.ask.explain else (), rows=rows, best=best,
        frontier=settled.frontier)


def _scenario(ask: PlanAsk) -> dict[str, Any]:
    """The ask with defaults left out."""
    plain = PlanAsk(ask.model)
    out = {}
    for one in dataclasses.fields(ask):
        value = getattr(ask, one.name)
        if one.name == "model" or value != getattr(plain, one.name):
            out[one.name] = list(value) if isinstance(value, tuple) else value
    return out


def _quantities(best: Row, asked: Planned) -> dict[str, Value]:
    from ridgeline.questions.plan_words import around

    exact = Quantity.exact
    out: dict[str, Value] = {
        "chip": best.main.shape.offer.chip.name, "chips": best.chips,
        "replicas": best.main.workers, "batch_per_replica": best.batch,
        "ttft_s": around(best.ttft, best.exact.ttft_spread, best.exact.ttft_floor),
        "tpot_s": around(best.tpot, best.exact.tpot_spread, best.exact.tpot_floor),
        "e2e_s": exact(best.e2e, "s", "calibrated"),
        "output_tokens_per_s": exact(best.tokens_per_s, "token/s", "calibrated"),
        "output_tokens_per_s_per_chip": exact(best.tokens_per_s_per_chip, "token/s", "calibrated"),
        "usd_per_hour": exact(best.usd_per_hour, "USD/h", "measured"),
        "usd_per_mtok_input": exact(best.usd_per_mtok_input, "USD/Mtok", "calibrated"),
        "usd_per_mtok_output": exact(best.usd_per_mtok_output, "USD/Mtok", "calibrated"),
        "joules_per_output_token": exact(best.joules_per_token, "J", "assumed"),
        "weights_bytes_per_chip": exact(best.memory_bytes, "B", "derived"),
        "kv_sequences_per_replica": int(best.kv_room),
    }
    if asked.requests.prefix_hit:
        out["usd_per_mtok_cached"] = exact(best.usd_per_mtok_cached, "USD/Mtok", "calibrated")
    if asked.goal.loaded:
        out["utilisation"] = exact(best.utilisation, "1", "calibrated")
    if math.isfinite(asked.goal.ttft) or math.isfinite(asked.goal.tpot):
        out["chance"] = exact(best.chance, "1", "calibrated")
    if best.transfer:
        out["kv_transfer_s"] = exact(best.transfer, "s", "derived")
    return {k: v for k, v in out.items()
            if not (isinstance(v, Quantity) and math.isnan(v.value))}


def _fine_print(asked: Planned, found: Findings, settled: Settled) -> list[str]:
    from ridgeline.search.space import LONG_CONTEXT

    replayed = (f"{found.evaluated:,} rows in the steady-state form, {settled.replayed} of them "
                "asked again as `estimate` answers")
    notes = [replayed + ("; none left out could be better within the form's error."
                         if settled.proven else "; rows beyond --finalists were not.")]
    if found.pairs is not None and found.pairs.evaluated and settled.best is not None:
        notes.append(_pairs_said(found.pairs, settled.best))
    if (longest := asked.requests.context) < LONG_CONTEXT:
        notes.append(f"No context parallelism: it is searched for requests of {LONG_CONTEXT:,} "
                     f"tokens and more, and the longest of these has {longest:,}.")
    notes.append("Targets are on means. Price a token: rent shared by the time that prompts and "
                 "decoding take, at full use of the batch; energy: board power at its limit.")
    if asked.goal.rate is not None:
        notes.append("TTFT is of random arrivals at this rate: a prompt alone among the sequences "
                     "decoding, and its waits for the step in progress, for prompts before it and "
                     "for a place in the KV cache. Ask `simulate` for percentiles.")
    if asked.requests.draft is not None:
        draft = asked.requests.draft
        notes.append(f"Speculation: {draft.length} drafted tokens yield "
                     f"{draft.tokens_per_step:.2f} a step (acceptance: {draft.source}); its "
                     "effect on errors was not measured.")
    return notes


def _pairs_said(pairs: PairSearch, best: Row) -> str:
    """How complete the search of pools is."""
    said = (f"Prefill and decode pools: {pairs.evaluated:,} of {pairs.possible:,} pairs of "
            "replicas evaluated; ")
    gain = 1 - pairs.left / best.objective
    return said + (f"the others could be at most {gain:.1%} better." if gain > 0 else
                   "bounds show that none of the others is better.")


def plan_figure(answer: PlanAnswer) -> Figure:
    """The frontier: speed for a user against tokens a chip."""
    from ridgeline.questions.plan_words import layout
    from ridgeline.report.figure import Axis, Figure, Line, Scatter

    rows = sorted(answer.frontier, key=lambda r: 1 / r.tpot)
    series: list[Any] = [Line([1 / r.tpot for r in rows],
                              [r.tokens_per_s_per_chip for r in rows], name="frontier",
                              hover=[_hover(r, layout(r)) for r in rows])]
    if answer.best is not None:
        best = answer.best
        series.append(Scatter([1 / best.tpot], [best.tokens_per_s_per_chip], name="best",
                              size=12.0, hover=[_hover(best, layout(best))], opacity=1.0))
    if tpot := answer.scenario.get("tpot"):
        top = max(r.tokens_per_s_per_chip for r in [*rows, *([answer.best] if answer.best else [])])
        series.append(Line([1 / tpot, 1 / tpot], [0.0, top], name="TPOT target", dash=True))
    return Figure(f"Deployments of {answer.scenario['model']}",
                  Axis("Speed for a user", "token/s"), Axis("Output of a chip", "token/s"),
                  tuple(series), subtitle=f"{answer.quantities['evaluated']:,} rows evaluated")


def _hover(row: Row, words: str) -> str:
    price = "" if math.isnan(row.usd_per_mtok) else f", ${row.usd_per_mtok:.3g}/Mtok"
    return f"{words}: TTFT {format_si(row.ttft, 's')}, TPOT {format_si(row.tpot, 's')}{price}"
