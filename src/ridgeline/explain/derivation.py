"""Derivations: a formula, the values put in with where each came from, and the result."""

from __future__ import annotations

import inspect
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ridgeline.errors import BadInput, nearest
from ridgeline.explain.docstring import FormulaText, read_docstring
from ridgeline.explain.glossary import glossary
from ridgeline.explain.listing import Formula
from ridgeline.explain.symbolic import equation_latex, equation_text, symbol_name
from ridgeline.quantity import Basis, Quantity, format_si

__all__ = ["Derivation", "Given", "Input", "derive"]

_WIDTH = 100
_DIGITS = 4
_COUNTS = ("1", "param", "token", "bit", "B/param")


@dataclass(frozen=True, slots=True)
class Given:
    """A value handed to a derivation with where it stands.

    Attributes:
        value: a number, or several for an argument that is a sequence.
        basis: how it was obtained.
        source: datasheet, file, paper or formula it came from.
    """

    value: float | Sequence[float]
    basis: Basis = "assumed"
    source: str = ""


@dataclass(frozen=True, slots=True)
class Input:
    """One substituted value.

    Attributes:
        name, symbol: the argument and how the equation writes it.
        value: the number, or a tuple of them.
        unit, meaning: from the formula's docstring and the glossary.
        basis, source: where the value stands.
    """

    name: str
    symbol: str
    value: float | tuple[float, ...]
    unit: str
    meaning: str
    basis: Basis
    source: str

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        value = list(self.value) if isinstance(self.value, tuple) else _json(self.value)
        return {"name": self.name, "symbol": self.symbol, "value": value, "unit": self.unit,
                "meaning": self.meaning, "basis": self.basis, "source": self.source}

    def text(self) -> str:
        """The value as a person reads it."""
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        return ", ".join(_number(v, self.unit) for v in values)


@dataclass(frozen=True)
class Derivation:
    """How a number came about.

    Attributes:
        name: the formula's function name.
        title: what it computes.
        formula: the equation as text, from the function itself.
        function: the formula, for LaTeX.
        inputs: the values substituted.
        result: what came out.
        valid_for: where the formula holds.
        sources: papers, datasheets or own derivation behind the formula.
    """

    name: str
    title: str
    formula: str
    inputs: tuple[Input, ...]
    result: Quantity
    valid_for: str
    sources: tuple[str, ...]
    function: Formula = field(repr=False, compare=False)

    @cached_property
    def latex(self) -> str | None:
        """The equation as LaTeX; None without SymPy, which is imported here."""
        return equation_latex(self.function, _lengths({i.name: i.value for i in self.inputs}))

    def to_dict(self, *, latex: bool = False) -> dict[str, Any]:
        """JSON form; numbers that are not finite become null.

        Args:
            latex: fill the "latex" key, which costs importing SymPy; null otherwise.
        """
        result = {"value": _json(self.result.value), "low": _json(self.result.low),
                  "high": _json(self.result.high), "unit": self.result.unit,
                  "basis": self.result.basis}
        return {"name": self.name, "title": self.title, "formula": self.formula,
                "latex": self.latex if latex else None,
                "inputs": [i.to_dict() for i in self.inputs],
                "result": result, "valid_for": self.valid_for, "sources": list(self.sources)}

    def _spread(self) -> str:
        """The result's interval in brackets, when it has one."""
        low, high = (_number(v, self.result.unit) for v in (self.result.low, self.result.high))
        return f" ({low} - {high})" if self.result.low != self.result.high else ""

    def render(self) -> str:
        """Plain text, no line wider than 100 columns."""
        lines = [*_wrap(self.title, ""), *_wrap(self.formula, "    ")]
        symbol_width = max((len(i.symbol) for i in self.inputs), default=0)
        value_width = min(max((len(i.text()) for i in self.inputs), default=0), 32)
        for item in self.inputs:
            where = f" ({item.basis}{': ' + item.source if item.source else ''})"
            head = f"  {item.symbol:<{symbol_width}} = {item.text():<{value_width}}  "
            lines += _wrap(head + item.meaning + where, "", " " * (symbol_width + 7))
        lines.append(f"  result: {_number(self.result.value, self.result.unit)}" + self._spread())
        if self.valid_for:
            lines += _wrap(f"valid for: {self.valid_for}", "  ", " " * 4)
        for source in self.sources:
            lines += _wrap(f"source: {source}", "  ", " " * 4)
        return "\n".join(lines)


def derive(function: Formula,
           inputs: Mapping[str, float | Sequence[float] | Quantity | Given], *,
           title: str = "", basis: Basis = "derived") -> Derivation:
    """Evaluate a formula and keep everything that explains the number.

    Args:
        function: a pure formula (keyword-only arguments, template docstring).
        inputs: a value for each argument without a default; a Quantity or Given says where it
            stands, a plain number counts as assumed.
        title: replaces the docstring's first sentence.
        basis: where the result stands.
    Returns:
        the derivation; intervals of Quantity inputs give the result one, the inputs taken as
        independent: each is moved to its ends alone and the shifts add in quadrature.
    Raises:
        BadInput: an argument is missing or unknown, or its value is not a number.

    >>> from ridgeline.timing.bounds import ridge_point
    >>> found = derive(ridge_point, {"peak_flops_per_s": 312e12, "memory_bandwidth": 2.039e12})
    >>> round(found.result.value, 1), found.formula
    (153.0, 'ridge_point = C / W')
    """
    text = read_docstring(function)
    _check_names(function, inputs)
    given = {name: _given(name, value) for name, value in inputs.items()}
    values = {name: g.value for name, g in given.items()}
    try:
        result = float(function(**values))
        low, high = _interval(function, values, result, {
            n: v for n, v in inputs.items() if isinstance(v, Quantity) and v.low != v.high})
    except (ZeroDivisionError, OverflowError) as problem:
        raise BadInput(f"{function.__name__} has no value for these inputs: {problem}") from None
    return Derivation(
        name=function.__name__, title=title or text.title,
        formula=equation_text(function, _lengths(values)), function=function,
        inputs=tuple(_input(name, g, text) for name, g in given.items()),
        result=Quantity(result, low, high, text.result_unit, basis), valid_for=text.valid_for,
        sources=text.sources)


def _interval(function: Formula, values: Mapping[str, Any], result: float,
              uncertain: Mapping[str, Quantity]) -> tuple[float, float]:
    """Ends of the result's interval from those of its inputs."""
    below = above = 0.0
    for name, given in uncertain.items():
        ends = [float(function(**{**values, name: end})) - result
                for end in (given.low, given.high)]
        below += min(0.0, *ends) ** 2
        above += max(0.0, *ends) ** 2
    if not math.isfinite(result) or not math.isfinite(below + above):
        return result, result
    return result - math.sqrt(below), result + math.sqrt(above)


def _lengths(values: Mapping[str, Any]) -> dict[str, int]:
    """Length of each argument that is a sequence, 0 for the others."""
    return {name: len(v) if isinstance(v, Sequence) else 0 for name, v in values.items()}


def _check_names(function: Formula, inputs: Mapping[str, Any]) -> None:
    """Every required argument is there and none is unknown."""
    parameters = inspect.signature(function).parameters
    for name in inputs:
        if name not in parameters:
            close = nearest(name, parameters)
            raise BadInput(f"{function.__name__} has no argument {name!r}"
                           + (f"; did you mean {close[0]!r}?" if close else ""))
    missing = [n for n, p in parameters.items() if p.default is p.empty and n not in inputs]
    if missing:
        raise BadInput(f"{function.__name__} needs a value for: {', '.join(missing)}")


def _given(name: str, value: Any) -> Given:
    """Any accepted form of an input as a Given of plain floats."""
    if isinstance(value, Quantity):
        return Given(value.value, value.basis)
    found = value if isinstance(value, Given) else Given(value)
    try:
        plain = (tuple(float(v) for v in found.value) if isinstance(found.value, Sequence)
                 else float(found.value))
    except (TypeError, ValueError):
        raise BadInput(f"{name} is {found.value!r}; it must be a number") from None
    return Given(plain, found.basis, found.source)


def _input(name: str, given: Given, text: FormulaText) -> Input:
    term = glossary().get(name)
    unit = term.unit if term else text.units.get(name, "1")
    value = given.value if not isinstance(given.value, Sequence) else tuple(given.value)
    return Input(name=name, symbol=symbol_name(name), value=value, unit=unit,
                 meaning=term.meaning if term else name.replace("_", " "),
                 basis=given.basis, source=given.source)


def _number(value: float, unit: str) -> str:
    """A value with its unit; whole counts in full, as the formula sees them."""
    if unit in _COUNTS and value.is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}" + ("" if unit == "1" else f" {unit}")
    return format_si(value, unit, _DIGITS)


def _json(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _wrap(text: str, indent: str, hanging: str | None = None) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, drop_whitespace=True,
                         subsequent_indent=indent + "    " if hanging is None else hanging,
                         replace_whitespace=False)
