import pytest

from ridgeline.explain.symbolic import equation_latex, equation_text, expression
from ridgeline.numeric import Numeric, where
from ridgeline.timing.speedups import speculative_tokens_by_position, speculative_tokens_per_step

pytest.importorskip("sympy")


def clash(*, bytes_in: Numeric, b_x: Numeric) -> Numeric:
    return bytes_in * 2.0 + b_x


def piecewise(*, flop: Numeric) -> Numeric:
    return where(flop > 2, 1.5 * flop, 0.0)


def test_arguments_that_would_share_a_symbol_keep_their_names() -> None:
    assert equation_text(clash, {"bytes_in": 0, "b_x": 0}) == "clash = bytes_in * 2 + b_x"


def test_latex_has_cases_and_whole_numbers() -> None:
    found = equation_latex(piecewise, {"flop": 0})
    assert found is not None
    assert r"\begin{cases} 1.5 flop & \text{for}\: flop > 2 \\0" in found


def test_sequences_become_numbered_symbols() -> None:
    expr, symbols = expression(speculative_tokens_by_position, {"acceptance_by_position": 3})
    assert [str(s) for s in symbols["acceptance_by_position"]] == ["a_1", "a_2", "a_3"]
    assert float(expr.subs(dict.fromkeys(symbols["acceptance_by_position"], 0.5))) == 1.875


def test_nested_cases_are_folded_into_one() -> None:
    found = equation_latex(speculative_tokens_per_step, {"acceptance": 0, "draft_tokens": 0})
    assert found is not None and found.count(r"\begin{cases}") == 1
