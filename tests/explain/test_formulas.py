"""Every public formula: documented, in the glossary, and the same on floats, arrays and symbols."""

import inspect
import math
from typing import Any

import numpy as np
import pytest

from ridgeline.explain.derivation import derive
from ridgeline.explain.docstring import read_docstring
from ridgeline.explain.glossary import glossary
from ridgeline.explain.listing import Formula, formulas
from ridgeline.explain.symbolic import expression

FORMULAS = formulas()
CASES = pytest.mark.parametrize("function", FORMULAS.values(), ids=FORMULAS.keys())

COUNTS = ("token", "param", "bit")


def scaled(value: float | tuple[float, ...], factor: float) -> Any:
    return tuple(v * factor for v in value) if isinstance(value, tuple) else value * factor


def examples(function: Formula, factor: float) -> dict[str, Any]:
    """The glossary's example of every argument, times a factor that keeps shares below 1."""
    return {name: scaled(glossary()[name].example, factor)
            for name in inspect.signature(function).parameters}


def stacked(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Several points as one point of arrays."""
    return {name: tuple(np.array(v) for v in zip(*(p[name] for p in points), strict=True))
            if isinstance(points[0][name], tuple) else np.array([p[name] for p in points])
            for name in points[0]}


def test_the_listing_finds_the_formulas_of_all_kinds() -> None:
    names = {f.__name__ for f in FORMULAS.values()}
    assert {"decode_step", "prefill", "critical_batch_exact", "distinct_experts_skewed",
            "flash_attention_bytes", "pipeline_bubble", "two_tier_time"} <= names
    assert len(names) == len(FORMULAS), "two formulas share a name"


@CASES
def test_every_argument_is_in_the_glossary_with_the_unit_of_the_docstring(
        function: Formula) -> None:
    stated = read_docstring(function).units
    for name in inspect.signature(function).parameters:
        assert name in glossary(), f"{name} needs a line in glossary.toml"
        unit = glossary()[name].unit
        # A docstring may be less specific: counts as [1], "bytes of one token" as [bytes].
        allowed = {unit, unit.partition("/")[0], *(("1",) if unit in COUNTS else ())}
        assert stated.get(name) in allowed, name


@CASES
def test_every_docstring_follows_the_template(function: Formula) -> None:
    text = read_docstring(function)
    assert text.title and text.formula and text.sources
    assert ">>>" in (function.__doc__ or ""), "needs an example that runs"


@CASES
def test_scalar_array_and_symbol_agree(function: Formula) -> None:
    points = [examples(function, factor) for factor in (1.0, 0.75, 0.5)]
    scalars = [function(**p) for p in points]
    assert all(math.isfinite(s) for s in scalars)
    array = np.broadcast_to(function(**stacked(points)), (3,))
    np.testing.assert_allclose(array, scalars, rtol=1e-12)
    lengths = {n: len(v) if isinstance(v, tuple) else 0 for n, v in points[0].items()}
    expr, symbols = expression(function, lengths)
    for point, scalar in zip(points, scalars, strict=True):
        known: dict[Any, float] = {}
        for name, symbol in symbols.items():
            pairs = zip(symbol, point[name], strict=True) if isinstance(symbol, tuple) \
                else [(symbol, point[name])]
            known.update(pairs)
        assert float(expr.subs(known)) == pytest.approx(scalar, rel=1e-9)


@CASES
def test_printed_equation_computes_the_same(function: Formula) -> None:
    point = examples(function, 0.75)
    found = derive(function, point)
    known: dict[str, Any] = {"inf": math.inf, "ceil": math.ceil, "log2": math.log2,
                             "exp": math.exp, "sqrt": math.sqrt}
    for item in found.inputs:
        if isinstance(item.value, tuple):
            stem = item.symbol.removesuffix("_i")
            known |= {f"{stem}_{i + 1}": v for i, v in enumerate(item.value)}
        else:
            known[item.symbol] = item.value
    left, _, right = found.formula.partition(" = ")
    assert left == function.__name__
    assert eval(right, known) == pytest.approx(found.result.value, rel=1e-5)


@CASES
def test_results_move_with_the_arguments(function: Formula) -> None:
    """No argument is ignored: some change of it, around some point, changes the result."""
    for name in inspect.signature(function).parameters:
        seen = set()
        for factor in (1.0, 0.3, 1e-3):
            for change in (1.0, 0.5, 1e-4, 1e4):
                point = examples(function, factor)
                point[name] = scaled(point[name], change)
                try:
                    value = function(**point)
                except (ZeroDivisionError, OverflowError, ValueError):
                    continue
                base = examples(function, factor)
                seen.add(bool(value != function(**base)))
        assert True in seen, f"{name} never changes the result"
