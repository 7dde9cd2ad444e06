"""Prices: what they add up to, their inverse, their dates, and what is refused."""

import itertools
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.catalog.api_prices import priced_model
from ridgeline.errors import BadInput, Infeasible
from ridgeline.questions.answer import Answer
from ridgeline.questions.price import ListPrice, PriceAsk, batch_for_speed, price, priced
from ridgeline.questions.price_infer import InferAsk, given_row, infer_price
from ridgeline.questions.price_tables import price_csv, price_figure
from ridgeline.scenario import Scenario

TODAY = date(2026, 11, 21)


def ask(**fields: Any) -> PriceAsk:
    own = {k: fields.pop(k) for k in list(fields) if k in PriceAsk.__dataclass_fields__}
    base = {"model": "Llama-3.1-8B", "machine": "H100-SXM", "prompt": 2000, "output": 300,
            "concurrency": 32, **fields}
    return PriceAsk(Scenario.from_fields(base), **{"usd_per_hour": 2.0, "today": TODAY, **own})


def table(answer: Answer, name: str) -> list[tuple[Any, ...]]:
    return list(next(t for t in answer.tables if t.name == name).rows)


def test_costs_add_up_to_the_request() -> None:
    answer = price(ask(prefix_hit=0.5))
    parts = (1000 * answer.value("usd_per_mtok_input")
             + 1000 * answer.value("usd_per_mtok_cached")
             + 300 * answer.value("usd_per_mtok_output")) / 1e6
    assert answer.value("usd_per_request") == pytest.approx(parts)
    rate = answer.value("tokens_per_s_per_user") * answer.value("batch")
    assert answer.value("usd_per_mtok_output") == pytest.approx(2.0 / 3600 / rate * 1e6)
    assert answer.value("usd_per_mtok_cached") < answer.value("usd_per_mtok_input")


def test_the_shared_loop_agrees_with_the_sum_of_the_phases() -> None:
    answer = price(ask())
    whole, summed = (answer.value(n) for n in ("usd_per_request_shared_loop", "usd_per_request"))
    assert 0.7 < whole / summed < 1.6


def test_requests_that_only_wait_change_nothing() -> None:
    many, full = (price(ask(concurrency=n)) for n in (100_000_000, 4096))
    for name in ("usd_per_mtok_output", "usd_per_request", "usd_per_request_shared_loop", "batch"):
        assert many.value(name) == pytest.approx(full.value(name)), name


def test_idle_hours_cost() -> None:
    full, idle = price(ask()), price(ask(utilisation=0.25))
    for name in ("usd_per_mtok_input", "usd_per_mtok_output", "usd_per_request"):
        assert idle.value(name) == pytest.approx(4 * full.value(name))


def test_a_list_price_at_the_break_even_utilisation_leaves_nothing() -> None:
    sold = ListPrice(1.0, 2.0, 0.1)
    share = price(ask(list_price=sold)).value("break_even_utilization")
    assert 0 < share < 1
    answer = price(ask(list_price=sold, utilisation=share))
    assert answer.value("margin_request") == pytest.approx(0.0, abs=1e-9)


def test_smaller_batches_are_faster_and_dearer() -> None:
    rows = [r for r in table(price(ask()), "fast_mode") if r[5]]
    assert all(a[1] >= b[1] and a[3] >= b[3]
               for a, b in itertools.pairwise(rows))
    here = next(r for r in rows if r[0] == 32)
    assert (here[2], here[4]) == (pytest.approx(1.0), pytest.approx(1.0))


@settings(max_examples=5, deadline=None)
@given(st.floats(1.05, 1.6))
def test_the_batch_of_a_fast_mode_is_that_much_faster(speed: float) -> None:
    found = FOUND
    batch, cost = batch_for_speed(found, speed)
    column = int(np.argmin(np.abs(found.speeds.contexts - found.context)))
    step = np.interp(batch, found.speeds.batches, found.speeds.decode[:, column])
    assert found.decode_s / step == pytest.approx(speed)
    assert cost > found.output


FOUND = priced(ask(concurrency=128, usd_per_hour=None))


def test_a_fast_mode_beyond_batch_one_is_out_of_reach() -> None:
    with pytest.raises(Infeasible, match="out of reach"):
        price(ask(speed=50.0))


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 8), st.floats(0.5, 20.0), st.floats(0.1, 1.0))
def test_reading_back_a_price_gives_the_speed_that_made_it(power: int, rent: float,
                                                           sold: float) -> None:
    answer = price(ask(concurrency=2**power, usd_per_hour=rent, utilisation=sold, ideal=True))
    row = given_row(answer.value("usd_per_mtok_input"), answer.value("usd_per_mtok_output"))
    active = 8030261248.0
    back = infer_price(InferAsk(row, "H100-SXM", active, rent, utilisation=sold))
    assert back.value("tokens_per_s_per_chip") == pytest.approx(
        answer.value("output_tokens_per_s_per_chip"))
    assert back.value("mfu_decode") == pytest.approx(
        answer.value("output_tokens_per_s_per_chip") * 2 * active / 989.4e12)
    assert back.value("output_input_ratio") == pytest.approx(answer.value("output_input_ratio"))


def test_a_step_in_the_list_gives_away_the_cache_and_its_tier() -> None:
    row = given_row(3.0, 15.0, long_context_threshold=200e3, cached_read_usd_per_mtok=0.3,
                    cache_write_usd_per_mtok=3.75, cache_write_1h_usd_per_mtok=6.0)
    answer = infer_price(InferAsk(row, "H100-SXM", 100e9, 2.0))
    assert answer.value("kv_bytes_per_token") == pytest.approx(3386, rel=1e-3)
    assert answer.value("break_even_reuses_5_minutes") == pytest.approx(0.278, rel=0.005)
    five, hour = table(answer, "cache")
    assert five[2] == pytest.approx(0.75 / (3386e6 / 1e9) * 12, rel=1e-3)
    assert five[5] == "NVMe flash" and hour[0] == "1 hour"


def test_a_named_list_carries_its_date_and_a_stale_one_says_so() -> None:
    row = priced_model("claude-sonnet-4-5", today=TODAY)
    fresh = infer_price(InferAsk(row, "H100-SXM", 100e9, 2.0, today=TODAY))
    note = next(n for n in fresh.notes if n.startswith("List prices"))
    assert row.date in note and row.source in note and "STALE" not in note
    old = infer_price(InferAsk(row, "H100-SXM", 100e9, 2.0, today=date(2027, 11, 21)))
    assert any("List prices" in n and "STALE" in n for n in old.notes)


def test_a_rent_of_the_catalog_carries_its_date() -> None:
    answer = price(ask(usd_per_hour=None))
    assert any("Rent of" in n and "2026" in n and "STALE" in n for n in answer.notes)
    low, high = (getattr(answer["usd_per_mtok_output"], end) for end in ("low", "high"))
    assert low < answer.value("usd_per_mtok_output") < high
    rents = table(answer, "rents")
    assert rents and all(row[4] and row[5] for row in rents)
    assert all(row[-1] for row in table(answer, "market"))


@pytest.mark.parametrize("fields", [{}, {"concurrency": 1}, {"model": "DeepSeek-V3",
                                                            "machine": "8xB200-SXM"}])
def test_intervals_are_ordered_and_never_faster_than_physics(fields: dict[str, Any]) -> None:
    asked = ask(**fields)
    found, answer = priced(asked), price(asked)
    for name in ("usd_per_mtok_input", "usd_per_mtok_output", "usd_per_request",
                 "tokens_per_s_per_user"):
        q: Any = answer[name]
        assert q.low <= q.value <= q.high, name
    low: Any = answer["usd_per_mtok_input"]
    # The rent is given, so the low end is the cost at most at the peak.
    assert found.mfu_prefill * low.value / low.low <= 1 + 1e-9
    assert answer.value("mfu_prefill") < 1 and answer.value("mfu_decode") < 1


def test_encoders_are_priced_by_what_they_read() -> None:
    answer = price(ask(model="bge-m3", prompt=512, output=1))
    assert "usd_per_mtok_output" not in answer.quantities
    assert 0 < answer.value("mfu_prefill") < 1
    assert answer.value("usd_per_mtok_input") > 0


def test_the_csv_has_every_point_once() -> None:
    lines = price_csv(FOUND, rents=3).splitlines()
    sizes = len(FOUND.speeds.batches) * len(FOUND.speeds.contexts) * 3
    assert len(lines) == sizes + 1 == len(set(lines))
    filled = [line.split(",") for line in lines[1:] if line.endswith("true")]
    assert filled and all(float(cells[4]) > 0 for cells in filled)
    assert all(line.split(",")[4] == "" for line in lines[1:] if line.endswith("false"))


def test_the_figure_has_a_line_a_context_and_the_point_priced() -> None:
    figure = price_figure(FOUND)
    assert len(figure.series) >= 4
    assert "Price" in figure.title


def test_the_derivation_ends_in_the_answer() -> None:
    answer = price(ask())
    ends = [d.to_dict()["result"]["value"] for d in answer.derivation]
    assert ends[0] == pytest.approx(answer.value("usd_per_mtok_output"))
    assert ends[1] == pytest.approx(answer.value("usd_per_mtok_input"))
    assert ends[2] == pytest.approx(answer.value("kv_knee_tokens"))


@pytest.mark.parametrize("fields", [{"utilisation": 0.0}, {"utilisation": 1.5}, {"speed": -1.0},
                                    {"utilisation": float("nan")}])
def test_impossible_shares_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        ask(**fields)


@pytest.mark.parametrize("prices", [(0.0, 1.0), (1.0, -2.0), (float("nan"), 1.0)])
def test_impossible_lists_are_refused(prices: tuple[float, float]) -> None:
    with pytest.raises(BadInput):
        ListPrice(*prices)
    with pytest.raises(BadInput):
        given_row(*prices)
