"""A formula as an equation: the same function called with symbols.

Text needs nothing; LaTeX and algebra need SymPy, an optional package imported when asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ridgeline.errors import MissingExtra
from ridgeline.explain import trace
from ridgeline.explain.glossary import glossary
from ridgeline.explain.listing import Formula

__all__ = ["equation_latex", "equation_text", "expression", "symbol_name"]

# Whole floats above this stay floats: 1e15 reads better than its digits.
_LARGEST_WHOLE = 1e6


def symbol_name(argument: str) -> str:
    """How an argument is written in equations; its own name when the glossary lacks it."""
    found = glossary().get(argument)
    return found.symbol if found else argument


def expression(function: Formula, arguments: Mapping[str, int]) -> tuple[Any, dict[str, Any]]:
    """The SymPy expression of a formula and the symbol(s) standing for each argument.

    Args:
        function: a pure formula.
        arguments: names to leave symbolic, each with its length when it is a sequence, else 0;
            arguments not named keep their default.
    Returns:
        the expression, and {argument: symbol or tuple of symbols}.
    Raises:
        MissingExtra: SymPy is not installed.
    """
    try:
        import sympy
    except ImportError:
        raise MissingExtra.needed("the symbolic equation", "symbolic") from None
    names = _distinct(arguments)
    symbols: dict[str, Any] = {}
    for argument, length in arguments.items():
        name = names[argument]
        symbols[argument] = (
            tuple(sympy.Symbol(n, positive=True) for n in _numbered(name, length))
            if length else sympy.Symbol(name, positive=True))
    return sympy.sympify(function(**symbols)), symbols


def equation_text(function: Formula, arguments: Mapping[str, int]) -> str:
    """The equation of a formula as its author wrote it, in the glossary's symbols.

    Args:
        function, arguments: as for `expression`.
    """
    names = _distinct(arguments)
    traced = {argument: tuple(trace.symbol(n) for n in _numbered(names[argument], length))
              if length else trace.symbol(names[argument])
              for argument, length in arguments.items()}
    return f"{function.__name__} = {function(**traced)}"


def equation_latex(function: Formula, arguments: Mapping[str, int]) -> str | None:
    """The equation of a formula as LaTeX, or None when SymPy is not installed.

    Args:
        function, arguments: as for `expression`.
    """
    try:
        found, _ = expression(function, arguments)
    except MissingExtra:
        return None
    import sympy

    whole = {f: sympy.Integer(int(f)) for f in found.atoms(sympy.Float)
             if float(f).is_integer() and abs(f) <= _LARGEST_WHOLE}
    tidy = sympy.piecewise_fold(found.xreplace(whole))
    escaped = function.__name__.replace("_", r"\_")
    return rf"\mathrm{{{escaped}}} = {sympy.latex(tidy)}"


def _numbered(name: str, length: int) -> list[str]:
    """Names of the elements of a sequence: a_i becomes a_1, a_2, ..."""
    return [f"{name.removesuffix('_i')}_{i + 1}" for i in range(length)]


def _distinct(arguments: Iterable[str]) -> dict[str, str]:
    """Symbol of each argument; two arguments that share one fall back to their names."""
    chosen = {argument: symbol_name(argument) for argument in arguments}
    taken = list(chosen.values())
    return {a: a if taken.count(s) > 1 else s for a, s in chosen.items()}
