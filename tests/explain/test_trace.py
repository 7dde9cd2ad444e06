from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.explain.trace import Traced, symbol
from ridgeline.numeric import ceil, exp, log2, maximum, minimum, sqrt, where

A, B, C = (symbol(n) for n in "ABC")


@pytest.mark.parametrize(("made", "text"), [
    (A - (B - C), "A - (B - C)"), (A - B - C, "A - B - C"), (A / (B * C), "A / (B * C)"),
    (A / (B / C), "A / (B / C)"), ((A + B) * C, "(A + B) * C"), ((A * B) ** C, "(A * B) ** C"),
    (A ** (B ** C), "A ** B ** C"), ((A ** B) ** C, "(A ** B) ** C"), (-(A + B), "-(A + B)"),
    (A * -2.0, "A * (-2)"), (2.0**A, "2 ** A"), (1.0 / A, "1 / A"), (A * 1.0 + 0.0, "A"),
    (1 * A / 1 - 0, "A"), (0.0 - A, "-A"), (A**1, "A"), (A * 1.5e-9, "A * 1.5e-09"),
    (maximum(A, 1.0, B), "max(A, 1, B)"), (minimum(A, B), "min(A, B)"),
    (ceil(A / B), "ceil(A / B)"),
    (log2(A) + exp(B) - sqrt(C), "log2(A) + exp(B) - sqrt(C)"),
    (where(A >= B, A, B) * 2.0, "(A if A >= B else B) * 2"),
    (where(A <= 0, 1.0, 1.0 / where(A <= 0, 1.0, A)), "(1 if A <= 0 else 1 / A)")])
def test_text(made: Traced, text: str) -> None:
    assert str(made) == text


def test_multiplying_by_nothing_leaves_nothing() -> None:
    assert A * 0.0 + B == B


leaves = st.sampled_from([("A", 2.5), ("B", 0.75), ("C", 4.0)])


@st.composite
def expressions(draw: st.DrawFn, depth: int = 4) -> Any:
    if depth == 0 or draw(st.booleans()):
        return draw(leaves)[0]
    op = draw(st.sampled_from(["+", "-", "*", "/"]))
    return f"({draw(expressions(depth - 1))} {op} {draw(expressions(depth - 1))})"


@given(expressions())
def test_text_means_the_same_with_fewer_brackets(source: str) -> None:
    values = {"A": 2.5, "B": 0.75, "C": 4.0}
    traced = eval(source, {"A": A, "B": B, "C": C})
    try:
        expected = eval(source, dict(values))
    except ZeroDivisionError:
        return
    assert eval(str(traced), dict(values)) == pytest.approx(expected, rel=1e-9, abs=1e-9)
