"""The few functions formulas need that differ between float, NumPy array and SymPy symbol.

Formulas elsewhere use only these and `+ - * / **`, so one function body gives the number, the
million-row sweep and the printed derivation. SymPy and NumPy are never imported here: a symbol
or an array can only arrive if its owner imported them already.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Numeric = float | np.ndarray[Any, Any] | Any
else:
    Numeric = Any

__all__ = ["Numeric", "ceil", "ceil_div", "exp", "log2", "maximum", "minimum", "sqrt", "where"]

_PLAIN = frozenset((int, float, bool))


def _library(*values: Any) -> Any:
    """What owns the least plain of the values: their own, sympy, numpy, or None for floats."""
    arrays = False
    for value in values:
        kind = type(value)
        if kind not in _PLAIN:
            if kind.__module__ != "numpy":
                break
            arrays = True
    else:
        return sys.modules["numpy"] if arrays else None
    for value in values:
        # Expressions that print themselves bring their own functions (ridgeline.explain.trace).
        if (own := getattr(value, "numeric_library", None)) is not None:
            return own
    sympy = sys.modules.get("sympy")
    if sympy is not None and any(isinstance(v, sympy.Basic) for v in values):
        return sympy
    return sys.modules.get("numpy")


def maximum(first: Numeric, *rest: Numeric) -> Numeric:
    """Elementwise largest of the values, broadcast together."""
    lib = _library(first, *rest)
    if lib is None:
        return max(first, *rest) if rest else first
    if lib.__name__ == "sympy":
        return lib.Max(first, *rest)
    for value in rest:
        first = lib.maximum(first, value)
    return first


def minimum(first: Numeric, *rest: Numeric) -> Numeric:
    """Elementwise smallest of the values, broadcast together."""
    lib = _library(first, *rest)
    if lib is None:
        return min(first, *rest) if rest else first
    if lib.__name__ == "sympy":
        return lib.Min(first, *rest)
    for value in rest:
        first = lib.minimum(first, value)
    return first


def where(condition: Any, yes: Numeric, no: Numeric) -> Numeric:
    """`yes` where the condition holds, else `no`; both sides are evaluated."""
    lib = _library(condition, yes, no)
    if lib is None:
        return yes if condition else no
    if lib.__name__ == "sympy":
        return lib.Piecewise((yes, condition), (no, True))
    return lib.where(condition, yes, no)


def ceil(value: Numeric) -> Numeric:
    """Smallest whole number not below the value."""
    lib = _library(value)
    if lib is None:
        return float(math.ceil(value))
    return lib.ceiling(value) if lib.__name__ == "sympy" else lib.ceil(value)


def ceil_div(numerator: Numeric, denominator: Numeric) -> Numeric:
    """Number of pieces of size `denominator` that cover `numerator`."""
    return ceil(numerator / denominator)


def log2(value: Numeric) -> Numeric:
    """Base-2 logarithm."""
    lib = _library(value)
    if lib is None:
        return math.log2(value)
    return lib.log(value, 2) if lib.__name__ == "sympy" else lib.log2(value)


def exp(value: Numeric) -> Numeric:
    """Natural exponential."""
    lib = _library(value)
    return math.exp(value) if lib is None else lib.exp(value)


def sqrt(value: Numeric) -> Numeric:
    """Square root."""
    lib = _library(value)
    return math.sqrt(value) if lib is None else lib.sqrt(value)
