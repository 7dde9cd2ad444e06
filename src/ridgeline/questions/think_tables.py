"""Tables, derivations and the figure of a thinking answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ridgeline.errors import Infeasible, RidgelineError
from ridgeline.questions.answer import Answer, Cell, Table
from ridgeline.questions.think import Law, ThinkAsk, covered
from ridgeline.questions.think_runs import Run, run_of
from ridgeline.reasoning.compute import equal_flop_samples

if TYPE_CHECKING:
    from ridgeline.explain.derivation import Derivation
    from ridgeline.report.figure import Figure

__all__ = ["against_run", "derivations", "efforts", "equal_table", "think_figure"]

_MOST = 4096


def against_run(ask: ThinkAsk) -> Run:
    """The large model answering once.

    Raises:
        Infeasible: it does not fit.
    """
    return run_of(ask, str(ask.against), ask.against_on or str(ask.machine),
                  ask.against_tokens or ask.tokens, strategy="chain")


def efforts(ask: ThinkAsk, law: Law) -> Table:
    """The same question with more and fewer samples, or shorter and longer chains."""
    rows: list[list[Cell]] = []
    for factor in (0.25, 0.5, 1, 2, 4):
        chain = ask.strategy == "chain"
        n = 1 if chain else max(1, round(ask.samples * factor))
        tokens = max(1, round(ask.tokens * factor)) if chain else ask.tokens
        if rows and rows[-1][:2] == [n, tokens]:
            continue
        try:
            run = run_of(ask, str(ask.model), str(ask.machine), tokens, samples=n)
        except RidgelineError:
            continue
        rows.append([n, tokens, run.flop, run.latency, run.kv_bytes, run.usd,
                     covered(law, run.independent)])
    return Table.of("efforts", {"samples": "1", "tokens": "token", "flop": "FLOP", "latency": "s",
                                "kv": "B", "cost": "USD", "coverage": "1"}, rows,
                    title="More or less effort")


def equal_table(ask: ThinkAsk, run: Run, large: Run, law: Law) -> Table:
    """How many answers the small model has for the large one's FLOP, time and money."""
    def small(n: int) -> Run:
        return run_of(ask, str(ask.model), str(ask.machine), ask.tokens, samples=n,
                      strategy="best-of-n")

    flop = float(equal_flop_samples(
        active_params=run.active_params, large_params=large.active_params,
        output_tokens=float(ask.tokens),
        large_tokens=float(ask.against_tokens or ask.tokens)))
    rows = [_equal("FLOP", flop, law, ask),
            _equal("latency", _most(lambda n: small(n).latency.value, large.latency.value), law,
                   ask)]
    if large.usd is not None and run.usd is not None:
        rows.append(_equal("money", _most(lambda n: small(n).usd or 0.0, large.usd), law, ask))
    return Table.of("equal", {"equal": "1", "samples": "1", "coverage": "1", "large_once": "1",
                              "better": "1"}, rows,
                    title=f"{ask.model} thinking against {ask.against} answering once")


def _equal(name: str, samples: float, law: Law, ask: ThinkAsk) -> list[Cell]:
    whole = int(samples + 1e-9)
    chance = covered(law, whole) if whole else 0.0 if law is not None else None
    once = ask.against_success
    better = "" if chance is None or once is None else \
        str(ask.model if chance > once else ask.against)
    return [name, samples, chance, once, better]


def _most(cost: Callable[[int], float], budget: float) -> float:
    """Most samples whose cost stays within a budget, at most 4,096."""
    def within(n: int) -> bool:
        try:
            return cost(n) <= budget
        except Infeasible:
            return False

    if not within(1):
        return 0.0
    low, high = 1, 2
    while high <= _MOST and within(high):
        low, high = high, high * 2
    if high > _MOST:
        return float(_MOST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if within(middle) else (low, middle)
    return float(low)


def derivations(ask: ThinkAsk, run: Run) -> tuple[Derivation, ...]:
    """The formulas behind FLOP, cache and coverage."""
    from ridgeline.explain.derivation import Given, derive
    from ridgeline.reasoning import compute, coverage

    samples = run.total_tokens / ask.tokens
    params = Given(run.active_params, "derived", f"{ask.model} config")
    out = [derive(compute.thinking_flop, {"samples": samples, "output_tokens": float(ask.tokens),
                                          "active_params": params})]
    if ask.success_rate is not None:
        out.append(derive(coverage.coverage, {"success_rate": ask.success_rate,
                                              "samples": float(run.independent)}))
    if ask.against is not None:
        large = against_run(ask)
        out.append(derive(compute.flop_ratio, {
            "samples": samples, "output_tokens": float(ask.tokens), "active_params": params,
            "large_tokens": float(ask.against_tokens or ask.tokens),
            "large_params": Given(large.active_params, "derived", f"{ask.against} config")}))
    return tuple(out)


def think_figure(answer: Answer) -> Figure:
    """Coverage or FLOP over latency as the effort grows; of a results file, pass@k."""
    from ridgeline.quantity import Quantity
    from ridgeline.report.figure import Axis, Figure, Line, Scatter

    tables = {t.name: t for t in answer.tables}
    if "pass_at_k" in tables:
        rows = tables["pass_at_k"].rows
        points = [(row[0], row[1].value) for row in rows if isinstance(row[1], Quantity)]
        law = [(row[0], row[2]) for row in rows if row[2] is not None]
        return Figure("pass@k", Axis("samples k", log=True), Axis("pass@k"), (
            Scatter([_float(k) for k, _ in points], [v for _, v in points], "measured", size=8),
            Line([_float(k) for k, _ in law], [_float(c) for _, c in law], "law", dash=True)))
    if "efforts" not in tables:
        rows = tables["routes"].rows
        return Figure("Share of the cost by route", Axis("samples"), Axis("share of cost"),
                      (Scatter([_float(r[1]) for r in rows], [_float(r[2]) for r in rows],
                               size=9),))
    rows = tables["efforts"].rows
    seconds = [_float(row[3]) for row in rows]
    known = all(row[6] is not None for row in rows)
    y = [_float(row[6] if known else row[2]) for row in rows]
    axis = Axis("coverage") if known else Axis("work", "FLOP", log=True)
    return Figure("Thinking longer", Axis("latency", "s", log=True), axis,
                  (Line(seconds, y, str(answer.scenario.get("model", ""))),
                   Scatter(seconds, y, size=8, hover=[f"{row[0]} samples" for row in rows])),
                  subtitle=str(answer["bound"]))


def _float(cell: Cell) -> float:
    from ridgeline.quantity import Quantity

    return cell.value if isinstance(cell, Quantity) else float(cell or 0.0)
