import pytest

from ridgeline.errors import BadInput
from ridgeline.explain.claims.claimed import Claimed, read_claimed, rounds_to, unit_scale


@pytest.mark.parametrize(("text", "unit", "low", "high", "sign"), [
    ("140", "GB", 140e9, 140e9, ""), ("30-40", "%", 0.3, 0.4, ""),
    ("7-8e9", "params", 7e9, 8e9, ""), (">150", "tok/s", 150, 150, ">"),
    ("<4", "1/s", 4, 4, "<"), ("8.4e23", "FLOP", 8.4e23, 8.4e23, ""),
    ("~88 (implied)", "%", 0.88, 0.88, ""), ("114,286 (implied)", "tok/s", 114286, 114286, ""),
    ("1/10", "x", 0.1, 0.1, ""), ("few thousand", "logits", 1000, 10000, ""),
    ("1000s", "x", 1000, 10000, ""), ("10^12", "FLOP", 1e12, 1e12, ""),
    ("400", "Gbit/s", 50e9, 50e9, ""),
    ("80-120", "MB / 1K tokens", 80e3, 120e3, "")])
def test_claims_are_read_into_si(text, unit, low, high, sign):
    found = read_claimed(text, unit)
    assert (found.low, found.high, found.sign) == (pytest.approx(low), pytest.approx(high), sign)


def test_letters_side_by_side_are_a_product():
    names = {"B": 2.0, "D": 3.0, "F": 5.0, "P": 7.0}
    assert read_claimed("BD+DF+BF", names=names).value == 31
    assert read_claimed("2BDF", names=names).value == 60
    assert read_claimed("0.5P", names=names).value == 3.5
    assert read_claimed("16384B+16777216", names=names).value == 16384 * 2 + 16777216


@pytest.mark.parametrize("text", ["", "-", "qualitative", "uses", "9-3", "2Q"])
def test_what_states_no_number_is_refused(text):
    with pytest.raises(BadInput):
        read_claimed(text, names={"P": 1.0})


def test_rounding_follows_the_digits_stated():
    assert rounds_to(557.1, read_claimed("560")) and not rounds_to(554, read_claimed("560"))
    assert not rounds_to(9.18e14, read_claimed("9.1e14"))
    assert rounds_to(295.22, read_claimed("295.2"))
    assert not rounds_to(1.0, Claimed(1.0, 2.0))


def test_units_nobody_knows_are_counts():
    assert unit_scale("GPUs") == unit_scale("logits") == 1.0
    assert unit_scale("TFLOP/s") == 1e12
