"""Exercises: list them, work them with your own numbers, grade an answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ridgeline.errors import BadInput
from ridgeline.explain.exercises import Solution, Solved, grade, question, questions, solve
from ridgeline.explain.expressions import evaluate
from ridgeline.quantity import Quantity, format_si
from ridgeline.questions.answer import Answer, Table, Value

if TYPE_CHECKING:
    from ridgeline.report.figure import Figure, Line

__all__ = ["exercise", "exercise_figure", "list_exercises"]

# Batch up to which is drawn what is never compute-bound.
_WIDEST = 4096.0


def list_exercises() -> Answer:
    """Every exercise: id, title, what is asked and the numbers it gives."""
    rows = [(q.id, q.title, ", ".join(p.name for p in q.parts),
             ", ".join(f"{k}={v:g}" for k, v in q.given.items()))
            for q in questions().values()]
    return Answer("exercise", {}, {"bound": f"{len(rows)} exercises", "exercises": len(rows)},
                  (Table.of("exercises", {"id": "1", "title": "1", "parts": "1", "given": "1"},
                            rows, title="Exercises"),),
                  notes=("Show one with `ridgeline exercise 3`, with your numbers by "
                         "`--set D=8192`, and grade an answer with `--answer 136`.",))


def exercise(name: str, *, given: Mapping[str, float] | None = None, chip: str | None = None,
             answer: float | None = None, part: str | None = None) -> Answer:
    """Work an exercise, or grade an answer to it.

    Args:
        name: its id ("1", "3a", "dot").
        given: numbers of your own by letter, in SI.
        chip: take peak and bandwidth from this chip instead.
        answer: a value to grade, in SI.
        part: which part it answers; the main one when left out.

    Returns:
        an Answer with every part's exact value, `NAME_asymptotic` and `NAME_whole` where they
        exist; with an answer also `accepted`, `verdict`, `right`, and table "slips". The
        derivation holds every step.

    Raises:
        BadInput: an unknown exercise, part, letter or chip, or a number that is not positive.

    >>> round(exercise("3").value("batch"), 2)
    136.09
    >>> exercise("3a", answer=131)["verdict"]
    'wrong'
    """
    asked = question(name)
    numbers = {**_of_chip(name, chip), **(given or {})}
    solution = solve(asked, numbers, algebra=True)
    quantities: dict[str, Value] = {}
    tables = [_steps(solution)]
    if answer is not None:
        graded = grade(solution, answer, part)
        right = solution.part(part or asked.main.name)
        quantities = {"bound": graded.sentence, "accepted": graded.accepted,
                      "verdict": graded.verdict, "right": Quantity.exact(right.value, right.unit)}
        if graded.slips:
            tables.insert(0, Table.of("slips", {"likely slip": "1"},
                                      [(s,) for s in graded.slips], title="Likely slips"))
    else:
        if part is not None:
            asked.part(part)
        quantities = {"bound": asked.title}
    quantities["question"] = asked.text
    for solved in solution.parts:
        quantities |= _values(solved)
    derivation = tuple(d for s in solution.parts for d in s.steps)
    return Answer("exercise", {"exercise": asked.id, "given": dict(solution.given),
                               "answer": answer, "part": part},
                  quantities, tuple(tables), (), derivation)


def exercise_figure(name: str, *, given: Mapping[str, float] | None = None,
                    chip: str | None = None) -> Figure:
    """Attainable rate against the batch for every layer an exercise asks the batch of.

    Args:
        name, given, chip: as for `exercise`.

    Raises:
        BadInput: the exercise asks no batch; or as `exercise`.

    >>> figure = exercise_figure("3")
    >>> [next(round(b, 1) for b, rate in zip(line.x, line.y) if rate > 196.99e12)
    ...  for line in figure.series[1:]]
    [136.1, 226.3]
    """
    from ridgeline.report.figure import Axis, Figure, Line

    asked = question(name)
    solution = solve(asked, {**_of_chip(name, chip), **(given or {})})
    parts = [s for s in solution.parts if s.part.formula == "critical_batch_exact"]
    if not parts:
        raise BadInput(f"exercise {asked.id} asks no batch; there is nothing to draw")
    numbers = solution.given
    ends = [s.value for s in parts if math.isfinite(s.value)]
    widest = 4 * max(ends, default=_WIDEST)
    curves = [_curve(solved, numbers, widest) for solved in parts]
    peak = numbers["C"]
    roof = Line([1.0, widest], [peak, peak], name=f"peak {format_si(peak, 'FLOP/s')}", dash=True,
                color="#333333")
    return Figure(f"Exercise {asked.id}: {asked.title}", Axis("Batch", "1", log=True),
                  Axis("Attainable rate", "FLOP/s", log=True), (roof, *curves))


def _curve(solved: Solved, numbers: Mapping[str, float], widest: float) -> Line:
    """Rate of one layer from batch 1 on, its turning point among the points."""
    from ridgeline.report.figure import Line
    from ridgeline.timing.bounds import attainable_flops_per_s
    from ridgeline.work.matmul_roofline import matmul_intensity

    layer = {k: float(evaluate(v, numbers)) for k, v in solved.part.args.items() if k != "ridge"}
    points = [2.0 ** (i / 8) for i in range(int(8 * math.log2(widest)) + 1)]
    batches = sorted({*points, *([solved.value] if math.isfinite(solved.value) else [])})
    rates = [float(attainable_flops_per_s(
        intensity=matmul_intensity(batch_size=b, **layer), peak_flops_per_s=numbers["C"],
        memory_bandwidth=numbers["W"])) for b in batches]
    turns = f"B*={solved.value:,.1f}" if math.isfinite(solved.value) else "never"
    return Line(batches, rates, name=f"{layer['d_in']:g}x{layer['d_out']:g}: {turns}")


def _of_chip(name: str, chip: str | None) -> dict[str, float]:
    """Peak and bandwidth of a chip in the exercise's format."""
    if chip is None:
        return {}
    from ridgeline.machine.parse import parse_machine

    asked = question(name)
    if not {"C", "W"} <= set(asked.given):
        raise BadInput(f"exercise {asked.id} has no peak C and bandwidth W; leave --on out")
    found = parse_machine(chip).chip
    return {"C": found.peak(asked.chip[1]), "W": found.memory_bandwidth}


def _values(solved: Solved) -> dict[str, Value]:
    name = solved.part.name
    if math.isnan(solved.value):
        return {name: "undefined"}
    out: dict[str, Value] = {name: Quantity.exact(solved.value, solved.unit)}
    if solved.asymptotic is not None:
        out[f"{name}_asymptotic"] = Quantity.exact(solved.asymptotic, solved.unit)
    if solved.whole is not None:
        out[f"{name}_whole"] = Quantity.exact(solved.whole, "1")
    return out


def _steps(solution: Solution) -> Table:
    """Every part in symbols, one line a step."""
    rows = []
    for solved in solution.parts:
        lines = solved.algebra or tuple(d.formula for d in solved.steps)
        for number, line in enumerate(lines):
            rows.append((solved.part.ask if number == 0 else "", line))
    return Table.of("steps", {"asked": "1", "in symbols": "1"}, rows, title="Step by step")
