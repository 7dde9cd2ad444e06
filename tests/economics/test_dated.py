"""Dates of prices: how old, when stale, and what the screen says."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.economics.dated import STALE_DAYS, Dated, chip_rent, day_of
from ridgeline.errors import BadInput

TODAY = date(2026, 11, 21)


@pytest.mark.parametrize(("text", "day"), [
    ("2026-05-18", date(2026, 5, 18)), ("2026-05", date(2026, 5, 1)), ("2025", date(2025, 1, 1)),
    ("2025-10 to 2026-03", date(2026, 3, 1)), ("2024-2025", date(2025, 1, 1)),
    ("mid-2025 (from memory)", date(2025, 1, 1)), ("2026-02-31", date(2026, 2, 1)),
    ("commit 0082b04, undated", None), ("", None)])
def test_the_newest_day_a_text_may_mean(text: str, day: date | None) -> None:
    assert day_of(text) == day


@given(st.integers(0, 2000))
def test_prices_turn_stale_after_180_days(age: int) -> None:
    then = date.fromordinal(TODAY.toordinal() - age)
    dated = Dated(then.isoformat(), "somebody", TODAY)
    assert dated.age_days == age
    assert dated.stale == (age > STALE_DAYS == 180)
    assert ("STALE" in dated.label) == ("STALE" in dated.note("Price")) == dated.stale
    assert "somebody" in dated.note("Price") and then.isoformat() in dated.note("Price")


def test_a_price_without_a_date_is_stale() -> None:
    dated = Dated("", "a forum", TODAY)
    assert dated.stale and dated.age_days is None
    assert "unknown age" in dated.note("Rent")


def test_rents_carry_their_date_unless_given() -> None:
    listed = chip_rent("H100-SXM", today=TODAY)
    assert listed.low < listed.mid < listed.high
    assert listed.dated is not None and listed.dated.label in listed.note + listed.dated.label
    given_rent = chip_rent("H100-SXM", 2.0)
    assert (given_rent.mid, given_rent.note) == (2.0, "")


@pytest.mark.parametrize("rent", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_rents_are_refused(rent: float) -> None:
    with pytest.raises(BadInput, match="usd_per_hour"):
        chip_rent("H100-SXM", rent)


def test_an_unknown_rent_says_how_to_give_it() -> None:
    with pytest.raises(BadInput, match="--usd-per-hour"):
        chip_rent("GB300")
