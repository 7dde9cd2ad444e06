"""A formula as text: the function called with expressions that remember how they were made.

Needs no symbolic library and keeps the shape the author gave the formula, so that printing a
derivation costs microseconds. LaTeX and algebra are `ridgeline.explain.symbolic`'s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

__all__ = ["Traced", "symbol"]

# Binding strength by operator; a weaker one inside a stronger one needs brackets.
_STRENGTH = {"if": 0, ">": 1, "<": 1, ">=": 1, "<=": 1, "+": 2, "-": 2, "*": 3, "/": 3, "neg": 4,
             "**": 5}
_ATOM = 9


class _Library:
    """The functions of `ridgeline.numeric`, building expressions."""

    __name__ = "trace"

    @staticmethod
    def maximum(first: Any, second: Any) -> Traced:
        return _call("max", first, second)

    @staticmethod
    def minimum(first: Any, second: Any) -> Traced:
        return _call("min", first, second)

    @staticmethod
    def where(condition: Any, yes: Any, no: Any) -> Traced:
        # Inside a branch its own condition is settled, which removes guards against 1/0.
        return Traced("if", (condition, _assume(yes, condition, 1), _assume(no, condition, 2)))

    @staticmethod
    def ceil(value: Any) -> Traced:
        return Traced("ceil", (value,))

    @staticmethod
    def log2(value: Any) -> Traced:
        return Traced("log2", (value,))

    @staticmethod
    def exp(value: Any) -> Traced:
        return Traced("exp", (value,))

    @staticmethod
    def sqrt(value: Any) -> Traced:
        return Traced("sqrt", (value,))


@dataclass(frozen=True, slots=True)
class Traced:
    """An expression: an operator or function and its operands.

    Attributes:
        op: "+", "max", ...; for a symbol, its name.
        args: operands, expressions or plain numbers; none for a symbol.
    """

    op: str
    args: tuple[Any, ...] = ()
    numeric_library: ClassVar[Any] = _Library

    def __add__(self, other: Any) -> Any:
        return self if _is(other, 0) else Traced("+", (self, other))

    def __radd__(self, other: Any) -> Any:
        return self if _is(other, 0) else Traced("+", (other, self))

    def __sub__(self, other: Any) -> Any:
        return self if _is(other, 0) else Traced("-", (self, other))

    def __rsub__(self, other: Any) -> Any:
        return -self if _is(other, 0) else Traced("-", (other, self))

    def __mul__(self, other: Any) -> Any:
        return _product(self, other)

    def __rmul__(self, other: Any) -> Any:
        return _product(other, self)

    def __truediv__(self, other: Any) -> Any:
        return self if _is(other, 1) else Traced("/", (self, other))

    def __rtruediv__(self, other: Any) -> Any:
        return Traced("/", (other, self))

    def __pow__(self, other: Any) -> Any:
        return self if _is(other, 1) else Traced("**", (self, other))

    def __rpow__(self, other: Any) -> Any:
        return Traced("**", (other, self))

    def __neg__(self) -> Traced:
        return Traced("neg", (self,))

    def __gt__(self, other: Any) -> Traced:
        return Traced(">", (self, other))

    def __lt__(self, other: Any) -> Traced:
        return Traced("<", (self, other))

    def __ge__(self, other: Any) -> Traced:
        return Traced(">=", (self, other))

    def __le__(self, other: Any) -> Traced:
        return Traced("<=", (self, other))

    def __str__(self) -> str:
        return _text(self)


def symbol(name: str) -> Traced:
    """An expression that is just a name.

    >>> n, b = symbol("n"), symbol("b")
    >>> str(2.0 * (n - 1.0) / n * b + 0.0)
    '2 * (n - 1) / n * b'
    """
    return Traced(name)


def _is(value: Any, number: float) -> bool:
    return not isinstance(value, Traced) and value == number


def _product(first: Any, second: Any) -> Any:
    if _is(first, 1):
        return second
    if _is(second, 1):
        return first
    return 0.0 if _is(first, 0) or _is(second, 0) else Traced("*", (first, second))


def _call(name: str, *values: Any) -> Traced:
    """max(max(a, b), c) as max(a, b, c)."""
    flat: list[Any] = []
    for value in values:
        flat += value.args if isinstance(value, Traced) and value.op == name else [value]
    return Traced(name, tuple(flat))


def _assume(value: Any, condition: Any, branch: int) -> Any:
    """The expression where a condition is known: 1 takes its yes branches, 2 its no branches."""
    if not isinstance(value, Traced) or not value.args:
        return value
    if value.op == "if" and value.args[0] == condition:
        return _assume(value.args[branch], condition, branch)
    return Traced(value.op, tuple(_assume(a, condition, branch) for a in value.args))


def _text(value: Any) -> str:
    if not isinstance(value, Traced):
        return _number(float(value))
    args = value.args
    if not args:
        return value.op
    if value.op == "if":
        condition, yes, no = map(_text, args)
        return f"({yes} if {condition} else {no})"
    if value.op == "neg":
        return f"-{_inside(args[0], 4)}"
    if value.op in _STRENGTH:
        own = _STRENGTH[value.op]
        # The right side of - and / needs brackets at equal strength, the left side of ** too.
        right = own + (value.op in "-/")
        left = own + (value.op == "**")
        return f"{_inside(args[0], left)} {value.op} {_inside(args[1], right)}"
    return f"{value.op}({', '.join(map(_text, args))})"


def _inside(value: Any, strength: int) -> str:
    """Operand text, in brackets when it binds less than its surroundings."""
    text = _text(value)
    if isinstance(value, Traced) and value.args:
        own = _ATOM if value.op == "if" else _STRENGTH.get(value.op, _ATOM)
        return f"({text})" if own < strength else text
    return f"({text})" if text.startswith("-") else text


def _number(value: float) -> str:
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return str(int(value)) if value.is_integer() and abs(value) < 1e7 else f"{value:g}"
