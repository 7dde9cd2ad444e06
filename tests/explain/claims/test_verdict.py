import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.explain.claims import VERDICTS, Case, Claimed, judge


def one(value, claimed, **options):
    return judge((Case("", value),), claimed, **options).name


@pytest.mark.parametrize(("value", "claimed", "name"), [
    (140e9, Claimed(140e9, 140e9, "", 2), "correct"), (557.1, Claimed(560, 560, "", 2), "correct"),
    (3.57, Claimed(4, 4, "", 1), "approximately"),
    (9.18, Claimed(9.1, 9.1, "", 2), "approximately"),
    (6.61, Claimed(8, 8, "", 1), "wrong"), (70, Claimed(140, 140, "", 2), "wrong"),
    (3.99, Claimed(2, 4), "correct"), (4.2, Claimed(2, 4), "approximately"),
    (1.75, Claimed(1, 1, ">"), "correct"), (0.5, Claimed(1, 1, ">"), "wrong")])
def test_one_value(value, claimed, name):
    assert one(value, claimed) == name


def test_stored_bytes_are_known_better_and_counts_exactly():
    claimed = Claimed(38, 38, "", 2)
    assert one(42.5, claimed) == "approximately"
    assert one(42.5, claimed, stored=True) == "wrong"
    assert one(1049, Claimed(1050, 1050, "", 3)) == "correct"
    assert one(1049, Claimed(1050, 1050, "", 3), exact=True) == "approximately"


def test_several_readings():
    claimed = Claimed(2, 2, "", 1)
    both = (Case("a", 2.0), Case("b", 4.0))
    assert judge(both, claimed).name == "depends"
    assert judge(both, claimed, mode="about").name == "approximately"
    assert judge((Case("a", 1.0), Case("b", 40.0)), claimed, mode="about").name == "depends"
    assert judge((Case("a", 30.0), Case("b", 40.0)), claimed, mode="about").name == "wrong"


def test_statements_and_directions():
    true, false = Case("t", True), Case("f", False)
    assert judge((true,), None, mode="holds").name == "correct"
    assert judge((false,), None, mode="holds").name == "wrong"
    assert judge((true, false), None, mode="holds").name == "depends"
    assert judge((Case("", 1.9),), None, mode="direction").name == "correct"
    assert judge((Case("", 1.02),), None, mode="direction").name == "approximately"
    assert judge((Case("", 0.9),), None, mode="direction").name == "wrong"


def test_a_conclusion_that_fails_is_wrong_and_one_that_holds_saves_half():
    off = (Case("", 480.5),)
    assert judge(off, Claimed(240, 240), conclusion=False).name == "wrong"
    assert judge(off, Claimed(240, 240), conclusion=True).name == "approximately"


@given(st.floats(1e-9, 1e15), st.floats(0.05, 20))
def test_further_off_is_never_better(value, ratio):
    order = VERDICTS.index(one(value, Claimed(value * ratio, value * ratio)))
    further = ratio * 1.5 if ratio > 1 else ratio / 1.5
    assert VERDICTS.index(one(value, Claimed(value * further, value * further))) >= order


def test_without_a_number_there_is_nothing_to_check():
    assert judge((Case("", 1.0),), None).name == "not checkable"
