import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import BadInput, UnknownName
from ridgeline.explain.expressions import evaluate, formulas_used, spelled_out


@pytest.mark.parametrize(("text", "value"), [
    ("16*111+55", 1831.0), ("128/(4.9/1e6)", 26122448.979591835), ("2^3", 8.0), ("-(3 - 5)", 2.0),
    ("989.4 / 3.35", 295.34328358208955), ("1,000 x 2", 2000.0), ("max(1, 2, 3) × 2", 6.0),
    ("log2(3)", math.log2(3)), ("1 < 2 <= 2", True), ("not 1 > 2 and 3 == 3", True),
    ("unit('TFLOPS')", "FLOP/s"), ("si('400 Gbit/s', 'B/s')", 50e9)])
def test_arithmetic(text, value):
    assert evaluate(text) == value


@given(st.floats(1, 1e9), st.floats(1, 1e9))
def test_names_are_what_the_caller_says(first, second):
    names = {"P": first, "D": second}
    assert evaluate("6 * P * D", names) == pytest.approx(6 * first * second)
    assert evaluate("P / D < 1", names) is (first / second < 1)


def test_formulas_and_the_catalog_are_at_hand():
    text = ("forward_pass_ceiling(active_params=model('Llama-3-70B').active, n_chips=8,"
            " peak_flops_per_s=chip('H100').bf16)")
    assert evaluate(text) == pytest.approx(56093, rel=1e-4)
    assert formulas_used(text) == ["forward_pass_ceiling"]
    assert evaluate("link('NVLink 4').bandwidth") == 450e9
    assert evaluate("format('nvfp4').bytes") == 0.5625


@pytest.mark.parametrize("text", [
    "", "2 +", "__import__('os')", "open('x')", "(1).__class__", "[1, 2]", "lambda: 1", "2 ** 1e9",
    "1 / 0", "chip('H100').__class__", "chip(H100).bf16", "x := 3", "'a' * 3 + 1", "f'{1}'",
    "ridge_point(1, 2)", "ridge_point(peak_flops_per_s=1)", "9" * 3000, "((" * 500, "min()"])
def test_what_is_not_arithmetic_is_refused_in_one_line(text):
    with pytest.raises(BadInput) as error:
        evaluate(text)
    assert "\n" not in str(error.value)


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(UnknownName, match="unknown name 'Q'"):
        evaluate("2 * Q", {"P": 1.0})
    with pytest.raises(UnknownName, match="did you mean 'bandwidth'"):
        evaluate("chip('H100').bandwith")
    with pytest.raises(UnknownName, match="ridge_point"):
        evaluate("ridge_pont(peak_flops_per_s=1, memory_bandwidth=1)")


def test_values_stand_in_for_names():
    assert spelled_out("decode_flop(batch_size=B) + 2*P", {"B": 64.0, "P": 7e10}) == (
        "decode_flop(batch_size=64) + 2*7e+10")
