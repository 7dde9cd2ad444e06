import pytest

from ridgeline.errors import UnknownName
from ridgeline.explain.listing import formula_named, is_formula
from ridgeline.numeric import Numeric
from ridgeline.timing.bounds import ridge_point


def positional(a: Numeric) -> Numeric:
    return a


def test_only_keyword_only_numeric_functions_count() -> None:
    assert is_formula(ridge_point)
    assert not is_formula(positional)
    assert not is_formula(formula_named)
    assert not is_formula(3.0)


def test_lookup_by_short_and_full_name() -> None:
    assert formula_named("ridge_point") is ridge_point
    assert formula_named("ridgeline.timing.bounds.ridge_point") is ridge_point
    with pytest.raises(UnknownName, match="did you mean 'ridge_point'"):
        formula_named("ridge_pont")
