"""Caches: hold or compute again, tier by tier."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.errors import BadInput
from ridgeline.questions.answer import Answer
from ridgeline.questions.cache import CacheAsk, cache, cache_figure
from ridgeline.scenario import Scenario


def ask(**fields: Any) -> CacheAsk:
    own = {k: fields.pop(k) for k in list(fields) if k in CacheAsk.__dataclass_fields__}
    base = {"model": "Llama-3.1-8B", "machine": "H100-SXM", "prompt": 4096, **fields}
    return CacheAsk(Scenario.from_fields(base), **{"usd_per_hour": 2.0, **own})


def rows(answer: Answer, name: str) -> dict[Any, tuple[Any, ...]]:
    return {row[0]: row for row in next(t for t in answer.tables if t.name == name).rows}


def test_holding_is_linear_in_time_and_break_even_is_where_it_meets() -> None:
    answer = cache(ask())
    for tier in rows(answer, "tiers").values():
        hold, again = tier[1], answer.value("recompute_usd_per_mtok")
        assert tier[2] == pytest.approx(12 * hold)
        # Holding until the break-even and fetching then costs what computing again does.
        assert hold * tier[5] / 300 + tier[4] == pytest.approx(max(again, tier[4]))


@settings(max_examples=6, deadline=None)
@given(st.floats(1.01, 5.0), st.floats(30.0, 1e5))
def test_a_write_price_is_read_back_as_the_memory_it_pays_for(write: float, hold: float) -> None:
    found = cache(ask(holds=(hold,), writes=(write,), ideal=True))
    (row,) = rows(found, "prices").values()
    kv = found.value("kv_bytes_per_token")
    assert row[3] * kv / 1e3 * hold / 3600 == pytest.approx(row[2])
    assert row[2] == pytest.approx((write - 1) * found.value("recompute_usd_per_mtok"))
    assert row[6] == pytest.approx((write - 1) / 0.9)


def test_longer_holds_never_move_to_dearer_memory() -> None:
    times = (10.0, 300.0, 3600.0, 86400.0, 30 * 86400.0)
    answer = cache(ask(holds=times, writes=(1.0,) * 5))
    prices = {name: row[1] for name, row in rows(answer, "memory_prices").items()}
    chosen = [prices[str(answer[f"cheapest_tier_{t:g}s"])] for t in times]
    assert chosen == sorted(chosen, reverse=True)


def test_prices_of_memory_carry_date_and_source() -> None:
    answer = cache(ask(usd_per_hour=None))
    assert all(row[2] and row[5] for row in rows(answer, "memory_prices").values())
    assert any("STALE" in note for note in answer.notes)


def test_a_calibrated_recompute_is_dearer_than_the_ideal_one() -> None:
    real, ideal = cache(ask()), cache(ask(ideal=True))
    name = "recompute_usd_per_mtok"
    assert real.value(name) > ideal.value(name)
    assert cache_figure(ask()).series


@pytest.mark.parametrize(("fields", "says"), [
    ({"holds": (300.0,)}, "one write multiple"), ({"holds": (-1.0,), "writes": (1.0,)}, "hold"),
    ({"read_multiple": 1.0}, "read multiple"), ({"prefill_mfu": 2.0}, "MFU"),
    ({"read_multiple": float("nan")}, "read multiple"), ({"holds": (), "writes": ()}, "one write")])
def test_impossible_prices_are_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        ask(**fields)


def test_a_model_without_a_cache_says_so() -> None:
    with pytest.raises(BadInput, match="no cache"):
        cache(ask(model="mamba-2.8b"))
