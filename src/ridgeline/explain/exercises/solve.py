"""Work an exercise: each part through its formula, with symbols and with numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ridgeline.errors import BadInput, MissingExtra
from ridgeline.explain.derivation import Derivation, Given, derive
from ridgeline.explain.exercises.question import Part, Question
from ridgeline.explain.expressions import evaluate, find_formula

__all__ = ["Solution", "Solved", "solve", "symbolic_steps", "variants"]

# Numbers of an exercise: from the bytes of a fraction of a bit to the FLOP of every run together.
_LEAST, _MOST = 1e-6, 1e30


@dataclass(frozen=True)
class Solved:
    """One part worked out.

    Attributes:
        part: what was asked.
        value: exact result; infinite when no batch is ever compute-bound.
        unit: of the result.
        asymptotic: result for very wide layers, or None.
        whole: first whole number at or above the result, or None.
        steps: the formula with its inputs (absent for a mere ratio).
        algebra: lines of symbols: the equation, its solution, its limit.
    """

    part: Part
    value: float
    unit: str
    asymptotic: float | None
    whole: float | None
    steps: tuple[Derivation, ...]
    algebra: tuple[str, ...] = ()


@dataclass(frozen=True)
class Solution:
    """An exercise worked out with the numbers in `given`."""

    question: Question
    given: Mapping[str, float]
    parts: tuple[Solved, ...] = field(default=())

    def part(self, name: str) -> Solved:
        """A part by name."""
        wanted = self.question.part(name)
        return next(s for s in self.parts if s.part is wanted)


def solve(question: Question, given: Mapping[str, float] | None = None, *,
          algebra: bool = False) -> Solution:
    """Answer every part.

    Args:
        question: the exercise.
        given: numbers of your own by letter, in SI, instead of the exercise's.
        algebra: add the lines of symbols, where SymPy is installed.

    Raises:
        BadInput: a letter the exercise does not have, or a number that is not positive.
    """
    numbers = _numbers(question, given or {})
    known = dict(numbers)
    found = []
    for part in question.parts:
        solved = _solved(part, known, numbers, algebra)
        known[part.name] = solved.value
        found.append(solved)
    return Solution(question, numbers, tuple(found))


def _numbers(question: Question, given: Mapping[str, float]) -> dict[str, float]:
    for name, value in given.items():
        if name not in question.given:
            raise BadInput(f"exercise {question.id} has no number {name!r}; it has "
                           + ", ".join(f"{k}={v:g}" for k, v in question.given.items()))
        if isinstance(value, bool) or not (math.isfinite(value) and value > 0):
            raise BadInput(f"{name} is {value}; it must be a positive, finite number")
        if not _LEAST <= value <= _MOST:
            raise BadInput(f"{name} is {value:g}; it must be from {_LEAST:g} to {_MOST:g}")
    return {**question.given, **{k: float(v) for k, v in given.items()}}


def _solved(part: Part, known: Mapping[str, float], given: Mapping[str, float], algebra: bool
            ) -> Solved:
    if part.value:
        value = _of_results(part.value, known)
        return Solved(part, value, "1", None, None, (), (f"{part.name} = {part.value}",))
    exact = _derived(part.formula, part.args, known, given)
    steps, asymptotic = [exact], None
    if part.limit_formula:
        limit = _derived(part.limit_formula, part.limit_args, known, given)
        asymptotic = limit.result.value
        steps.append(limit)
    value = exact.result.value
    whole = float(math.ceil(value - 1e-9)) if part.whole and math.isfinite(value) else None
    return Solved(part, value, exact.result.unit, asymptotic, whole, tuple(steps),
                  symbolic_steps(part) if algebra else ())


def _of_results(text: str, known: Mapping[str, float]) -> float:
    """An expression of earlier results; undefined where two of them are infinite."""
    try:
        return float(evaluate(text, known))
    except BadInput:
        if any(math.isinf(v) or math.isnan(v) for v in known.values()):
            return math.nan
        raise


def _derived(formula: str, args: Mapping[str, str], known: Mapping[str, float],
             given: Mapping[str, float]) -> Derivation:
    """The formula with each argument worked out from the letters."""
    inputs = {}
    for name, text in args.items():
        value = float(evaluate(text, known))
        source = "given" if text in given else "for very wide layers" if text == "1e12" else text
        inputs[name] = Given(value, "assumed" if text in given else "derived", source)
    return derive(find_formula(formula), inputs)


def symbolic_steps(part: Part) -> tuple[str, ...]:
    """The algebra of a critical batch: intensity set equal to the ridge, solved, and its limit.

    Other formulas are shown as they are. Empty without SymPy.
    """
    from ridgeline.explain.symbolic import equation_text

    if part.formula != "critical_batch_exact":
        if not part.formula:
            return ()
        return (equation_text(find_formula(part.formula), dict.fromkeys(part.args, 0)),)
    try:
        return _critical(part)
    except MissingExtra:
        return ()


def _critical(part: Part) -> tuple[str, ...]:
    """Solve 2BDF / (bx B D + bw D F + bo B F) = h for B with SymPy."""
    try:
        import sympy
    except ImportError:
        raise MissingExtra.needed("the algebra", "symbolic") from None
    from ridgeline.work.matmul_roofline import matmul_intensity

    names = {key: sympy.Symbol(text, positive=True) for key, text in part.args.items()
             if key != "ridge"}
    batch, ridge = sympy.Symbol("B", positive=True), sympy.Symbol("h", positive=True)
    intensity = matmul_intensity(batch_size=batch, **names)
    equation = sympy.Eq(sympy.nsimplify(intensity), ridge)
    (root,) = sympy.solve(equation, batch)
    top, bottom = sympy.fraction(sympy.factor(root))
    if top.could_extract_minus_sign():
        top, bottom = -top, -bottom
    wide = sympy.Symbol("N", positive=True)
    scaled = root.subs({names["d_in"]: wide, names["d_out"]: wide})
    limit = sympy.limit(scaled, wide, sympy.oo)
    return (f"I(B) = {sympy.nsimplify(intensity)}", "h = C / W",
            f"I(B) = h  gives  B = {top}/({bottom})",
            f"D, F -> infinity:  B -> {limit}",
            "the denominator must be positive, else no batch is compute-bound")


def _value_of(question: Question, part: Part, given: Mapping[str, float]) -> float:
    """The exact result of one part, without its derivation."""
    known = dict(given)
    for step in question.parts:
        known[step.name] = _of_results(step.value, known) if step.value else float(
            find_formula(step.formula)(**{name: float(evaluate(text, known))
                                          for name, text in step.args.items()}))
        if step is part:
            break
    return known[part.name]


def variants(question: Question, part: Part, given: Mapping[str, float]) -> dict[str, float]:
    """What the part would be after common mistakes, by what the mistake was."""
    found: dict[str, float] = {}
    def add(label: str, **changed: float) -> None:
        numbers = {**given, **{k: v for k, v in changed.items() if k in given}}
        if numbers != dict(given):
            found[label] = _value_of(question, part, numbers)
    for size, words in ((0.5, "half a byte"), (1.0, "one byte"), (2.0, "two bytes")):
        if size != given.get("bw", size):
            add(f"weights counted at {words} instead of {given['bw']:g}", bw=size)
    if "bx" in given and "bo" in given:
        add("activations and outputs left out of the bytes", bx=1e-9, bo=1e-9)
        add("outputs left out of the bytes", bo=1e-9)
        for size in (1.0, 2.0):
            add(f"all operands counted at {size:g} bytes", bx=size, bw=size, bo=size)
    if "C" in given:
        add("the sparse or next narrower peak, twice the right one", C=2 * given["C"])
        add("half the right peak, that of the next wider format", C=given["C"] / 2)
    if "C" in given and "W" in given:
        found["the critical intensity itself, not the batch"] = given["C"] / given["W"]
    return found
