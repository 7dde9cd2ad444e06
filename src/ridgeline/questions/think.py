"""Is it worth thinking longer? Samples, votes, chains, search: work, time, money, coverage."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ridgeline.errors import BadInput, UnknownName
from ridgeline.quantity import Quantity, format_si, parse_number
from ridgeline.questions.answer import Answer, Cell, Table
from ridgeline.questions.think_runs import Run, run_of
from ridgeline.reasoning.compute import equal_flop_inference_multiplier, routed_cost
from ridgeline.reasoning.coverage import (
    coverage,
    coverage_law,
    fit_coverage_law,
    majority_share,
)
from ridgeline.reasoning.results import Problem, mean_pass_at_k, read_results, usual_ks

__all__ = ["STRATEGIES", "ThinkAsk", "think"]

STRATEGIES = ("best-of-n", "majority", "chain", "tree")


@dataclass(frozen=True)
class ThinkAsk:
    """Test-time compute to plan.

    Attributes:
        model, machine: what thinks, and on what; None with `results` alone.
        strategy: one of STRATEGIES.
        samples: answers drawn side by side; of a tree, nodes expanded.
        tokens: of one answer, chain or node.
        prompt: tokens of the question.
        width: of a tree: nodes expanded side by side.
        users: questions answered at once.
        success_rate: chance that one sample is right; None: unknown.
        coverage_law: "a,b" of coverage = exp(-a k^-b), instead of one success rate.
        wrong_answers: different wrong answers that compete in a vote.
        verifier: model that scores every answer; None: a free check, such as unit tests.
        against, against_on, against_tokens, against_success: a large model answering once.
        inference_share: tokens generated over tokens trained on, to count training too.
        routes: "share:samples[:success],...", requests sent to different efforts.
        results: file of a user's own samples.
        ks: values of k for pass@k, with commas.
        usd_per_chip_hour: rent; None: the chip's mean.
    """

    model: str | None = None
    machine: str | None = None
    strategy: str = "best-of-n"
    samples: int = 16
    tokens: int = 2000
    prompt: int = 512
    width: int = 8
    users: int = 1
    success_rate: float | None = None
    coverage_law: str | None = None
    wrong_answers: int = 1
    verifier: str | None = None
    against: str | None = None
    against_on: str | None = None
    against_tokens: int | None = None
    against_success: float | None = None
    inference_share: float | None = None
    routes: str | None = None
    results: str | None = None
    ks: str | None = None
    usd_per_chip_hour: float | None = None

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> ThinkAsk:
        """Read flat names and texts with every number checked.

        Raises:
            BadInput: an unknown name, a number that is none or out of range, or a contradiction.
        """
        known = {f.name: f for f in dataclasses.fields(cls)}
        given: dict[str, Any] = {}
        for name, value in fields.items():
            if name not in known:
                raise UnknownName.among("think option", name, known)
            if value is not None:
                given[name] = _field(name, str(known[name].type), value)
        ask = cls(**given)
        _check(ask, given)
        return ask


def _field(name: str, kind: str, value: Any) -> Any:
    shown = name.replace("_", "-")
    if kind.startswith("str"):
        if not isinstance(value, str) or not value.strip():
            raise BadInput(f"{shown} must be text, not {value!r}")
        return value
    if isinstance(value, bool):
        raise BadInput(f"{shown} must be a number, not {value!r}")
    number = parse_number(value)
    if name in ("success_rate", "against_success"):
        if not 0 <= number <= 1:
            raise BadInput(f"{shown} must be between 0 and 1, not {value}")
        return number
    if not math.isfinite(number) or number <= 0:
        raise BadInput(f"{shown} must be a positive, finite number, not {value}")
    if not kind.startswith("int"):
        return number
    if number != int(number) or number > 1e7:
        raise BadInput(f"{shown} must be a whole number from 1 to 10,000,000, not {value}")
    return int(number)


def _check_numbers(ask: ThinkAsk) -> None:
    """Hold surfaces that build the ask themselves to the same numbers."""
    plain = {f.name: f.default for f in dataclasses.fields(ThinkAsk)}
    told = dataclasses.asdict(ask)
    ThinkAsk.from_fields({k: v for k, v in told.items() if v != plain[k]})


def _check(ask: ThinkAsk, given: Mapping[str, Any]) -> None:
    if ask.strategy not in STRATEGIES:
        raise UnknownName.among("strategy", ask.strategy, STRATEGIES,
                                "There are: " + ", ".join(STRATEGIES))
    if ask.model is None and ask.results is None and ask.routes is None:
        raise BadInput("think needs a model and a machine (think MODEL --on 8xH100), a file of "
                       "--results, or --routes")
    if (ask.model is None) != (ask.machine is None):
        raise BadInput("a model needs a machine and the other way round: think MODEL --on H100")
    if ask.strategy == "chain" and given.get("samples", 1) != 1:
        raise BadInput("a chain is one long answer: leave samples out, or choose best-of-n")
    if ask.strategy != "tree" and "width" in given:
        raise BadInput(f"width is of a tree search, not of {ask.strategy}")
    if ask.success_rate is not None and ask.coverage_law is not None:
        raise BadInput("give a success rate or a coverage law, not both")
    if ask.ks is not None and ask.results is None:
        raise BadInput("ks are of pass@k from your own samples: give --results FILE")
    if ask.against is None and any(n in given for n in (
            "against_on", "against_tokens", "against_success", "inference_share")):
        raise BadInput("name the large model to compare with: --against MODEL")
    if ask.against is not None and ask.model is None:
        raise BadInput("a comparison needs the small model too: think MODEL --on MACHINE")


def think(ask: ThinkAsk) -> Answer:
    """FLOP, latency, memory, dollars and coverage of thinking longer.

    Args:
        ask: model, strategy, effort, and what to compare with.

    Returns:
        an Answer with `flop`, `latency_s`, `kv_bytes`, `usd`, `coverage`, ...; tables "efforts",
        "equal", "routes" and "pass_at_k" as asked.

    Raises:
        BadInput: impossible numbers, names, files or combinations.
        Infeasible: a model or its chains do not fit.
    """
    _check_numbers(ask)
    problems = read_results(ask.results) if ask.results else ()
    law = _law(ask, problems)
    out: dict[str, Any] = {}
    found: list[Table] = []
    notes: list[str] = []
    derivation: tuple[Any, ...] = ()
    if ask.model is not None:
        from ridgeline.questions import think_tables as tables

        run = run_of(ask, str(ask.model), str(ask.machine), ask.tokens)
        out |= _quantities(ask, run, law)
        found.append(tables.efforts(ask, law))
        notes += _notes(ask, run)
        derivation = tables.derivations(ask, run)
        if ask.against is not None:
            large = tables.against_run(ask)
            out |= _against(ask, run, large)
            found.append(tables.equal_table(ask, run, large, law))
    if ask.routes:
        routed = _routes(ask)
        out |= routed[0]
        found.append(routed[1])
    if problems:
        out |= _measured(ask, problems)
        found.append(_pass_table(ask, problems, law))
        notes.append("pass@k is the unbiased estimate from the file; values beyond its samples "
                     "follow the fitted law.")
    out = {"bound": _headline(ask, out), **out}
    return Answer("think", {k: v for k, v in dataclasses.asdict(ask).items() if v is not None},
                  out, tuple(found), tuple(notes), derivation)


Law = tuple[float, float] | float | None


def _law(ask: ThinkAsk, problems: tuple[Problem, ...]) -> Law:
    """(a, b) of a benchmark, one success rate, or nothing known."""
    if ask.coverage_law is not None:
        parts = ask.coverage_law.split(",")
        try:
            a, b = (float(p) for p in parts)
        except ValueError:
            raise BadInput(f"cannot read coverage law {ask.coverage_law!r}; write a,b of "
                           "coverage = exp(-a k^-b), such as 1.84,0.209") from None
        if not (0 < a < math.inf and 0 < b < math.inf):
            raise BadInput(f"both numbers of a coverage law must be above 0, not {a:g} and {b:g}")
        return a, b
    if ask.success_rate is not None or not problems:
        return ask.success_rate
    points = [(k, mean_pass_at_k(problems, k).value) for k in usual_ks(problems)]
    usable = [(k, c) for k, c in points if 0 < c < 1]
    if len(usable) < 2:
        return points[0][1]
    return fit_coverage_law([k for k, _ in usable], [c for _, c in usable])


def covered(law: Law, samples: float) -> float | None:
    """Coverage of so many samples."""
    if law is None:
        return None
    if isinstance(law, tuple):
        return float(coverage_law(samples=samples, coverage_scale=law[0],
                                  coverage_exponent=law[1]))
    return float(coverage(success_rate=law, samples=samples))


def _quantities(ask: ThinkAsk, run: Run, law: Law) -> dict[str, Any]:
    out: dict[str, Any] = {
        "flop": Quantity.exact(run.flop, "FLOP"), "latency_s": run.latency,
        "sequential_s": run.sequential, "kv_bytes": Quantity.exact(run.kv_bytes, "B"),
        "chains_that_fit": Quantity.exact(run.room, "1"),
        "tokens": Quantity.exact(run.total_tokens, "token")}
    if run.verifier_flop:
        out["verifier_flop"] = Quantity.exact(run.verifier_flop, "FLOP")
        out["verifier_s"] = Quantity.exact(run.verifier_s, "s", "calibrated")
    if run.usd is not None:
        out["usd"] = Quantity.exact(run.usd, "USD", "calibrated")
    if run.joules is not None:
        out["joules"] = Quantity.exact(run.joules, "J", "calibrated")
    chance = covered(law, run.independent)
    if chance is not None:
        out["coverage"] = Quantity.exact(chance, "1", "derived")
        if ask.strategy == "majority" and isinstance(law, float):
            out["majority"] = Quantity.exact(
                majority_share(law, run.independent, ask.wrong_answers), "1", "derived")
        if run.usd and chance > 0:
            out["usd_per_solved"] = Quantity.exact(run.usd / chance, "USD", "calibrated")
    return out


def _against(ask: ThinkAsk, run: Run, large: Run) -> dict[str, Any]:
    out: dict[str, Any] = {
        "large_flop": Quantity.exact(large.flop, "FLOP"),
        "large_latency_s": large.latency,
        "flop_ratio": Quantity.exact(run.flop / large.flop, "x"),
        "latency_ratio": Quantity.exact(run.latency.value / large.latency.value, "x",
                                        "calibrated")}
    if run.usd and large.usd:
        out["usd_ratio"] = Quantity.exact(run.usd / large.usd, "x", "calibrated")
    if ask.inference_share is not None:
        ratio = large.active_params / run.active_params
        out["generation_multiplier"] = Quantity.exact(float(equal_flop_inference_multiplier(
            size_ratio=ratio, inference_share=ask.inference_share)), "x")
    return out


def _routes(ask: ThinkAsk) -> tuple[dict[str, Any], Table]:
    """Mean effort and success over routes."""
    shares, efforts, chances = [], [], []
    for part in str(ask.routes).split(","):
        pieces = part.split(":")
        try:
            numbers = [float(p) for p in pieces]
        except ValueError:
            numbers = []
        if len(numbers) not in (2, 3) or not all(0 <= v < math.inf for v in numbers):
            raise BadInput(f"cannot read route {part!r}; write share:samples or "
                           "share:samples:success, such as 0.8:1,0.2:16")
        shares.append(numbers[0])
        efforts.append(numbers[1])
        chances.append(numbers[2] if len(numbers) == 3 else ask.success_rate)
    if abs(sum(shares) - 1) > 1e-6:
        raise BadInput(f"the shares of the routes add up to {sum(shares):g}, not to 1")
    if any(c is not None and c > 1 for c in chances):
        raise BadInput("the success of a route must be between 0 and 1")
    mean = float(routed_cost(route_shares=shares, route_costs=efforts))
    rows: list[list[Cell]] = []
    solved = 0.0
    for share, effort, chance in zip(shares, efforts, chances, strict=True):
        right = None if chance is None else float(coverage(success_rate=chance, samples=effort))
        solved += share * (right or 0.0)
        rows.append([share, effort, share * effort / mean if mean else 0.0, right])
    out: dict[str, Any] = {"mean_cost": Quantity.exact(mean, "x")}
    if all(c is not None for c in chances):
        out["routed_coverage"] = Quantity.exact(solved, "1")
    columns = {"share": "1", "samples": "1", "share_of_cost": "1", "coverage": "1"}
    return out, Table.of("routes", columns, rows, title="Effort by route, in single answers")


def _ks(ask: ThinkAsk, problems: tuple[Problem, ...]) -> list[int]:
    if ask.ks is None:
        return usual_ks(problems)
    words = [w.strip() for w in ask.ks.split(",")]
    if not all(w.isdigit() and 0 < int(w) <= 10**9 for w in words):
        raise BadInput(f"cannot read ks {ask.ks!r}; write whole numbers from 1, such as 1,10,100")
    return [int(w) for w in words]


def _measured(ask: ThinkAsk, problems: tuple[Problem, ...]) -> dict[str, Any]:
    ks = [k for k in _ks(ask, problems) if k <= min(p.n for p in problems)]
    out: dict[str, Any] = {"problems": len(problems)}
    return out | {f"pass_at_{k}": mean_pass_at_k(problems, k) for k in ks}


def _pass_table(ask: ThinkAsk, problems: tuple[Problem, ...], law: Law) -> Table:
    most = min(p.n for p in problems)
    rows: list[list[Cell]] = []
    ks = _ks(ask, problems)
    for k in ks if ask.ks else [*ks, 10 * most, 100 * most]:
        known = k <= most
        fitted = covered(law, k) if isinstance(law, tuple) else None
        rows.append([k, mean_pass_at_k(problems, k) if known else None, fitted,
                     "measured" if known else "law"])
    return Table.of("pass_at_k", {"k": "1", "pass_at_k": "1", "law": "1", "from": "1"}, rows,
                    title=f"pass@k of {len(problems)} problems, {most} samples or more of each")


def _notes(ask: ThinkAsk, run: Run) -> list[str]:
    notes = [f"Latency and cost: the calibrated engine model, {ask.users} "
             f"question{'s' if ask.users > 1 else ''} at a time; samples share the prompt's cache."]
    if run.waves > 1:
        notes.append(f"The KV cache holds {int(run.room)} chains; the samples run in about "
                     f"{run.waves} waves.")
    if ask.strategy == "tree":
        notes.append("Coverage of a tree counts one independent answer for each path as deep as "
                     "the search; its depth is nodes / width.")
    if ask.verifier is None and ask.strategy == "best-of-n":
        notes.append("Coverage needs a check that finds the right answer; without --verifier it "
                     "is taken as free and perfect, such as unit tests.")
    return notes


def _headline(ask: ThinkAsk, out: Mapping[str, Any]) -> str:
    if "flop_ratio" in out:
        factor = out["flop_ratio"].value
        return (f"{format_si(out['flop'].value, 'FLOP')}: {factor:.3g} times one answer of "
                f"{ask.against}")
    if "flop" in out:
        return (f"{format_si(out['flop'].value, 'FLOP')} and "
                f"{format_si(out['latency_s'].value, 's')} for an answer")
    if "mean_cost" in out:
        return f"{out['mean_cost'].value:.3g} times a single answer on average"
    first = next(name for name in out if name.startswith("pass_at_"))
    return f"{first.replace('pass_at_', 'pass@')} is {out[first].value:.1%}"
