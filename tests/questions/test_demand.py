"""Users, chips and dollars: the way there and back, overload, buying."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.errors import BadInput, Infeasible
from ridgeline.questions.answer import Answer
from ridgeline.questions.demand import DemandAsk, demand, demand_figure
from ridgeline.scenario import Scenario


def ask(**fields: Any) -> DemandAsk:
    own = {k: fields.pop(k) for k in list(fields) if k in DemandAsk.__dataclass_fields__}
    base = {"model": "Llama-3.1-8B", "machine": "H100-SXM", "prompt": 1000, "output": 300, **fields}
    return DemandAsk(Scenario.from_fields(base), **{
        "usd_per_hour": 2.0, "today": date(2026, 11, 21), **own})


def rows(answer: Answer, name: str) -> dict[Any, tuple[Any, ...]]:
    return {row[0]: row for row in next(t for t in answer.tables if t.name == name).rows}


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 200_000))
def test_the_chips_for_users_serve_them_and_one_fewer_would_not(users: int) -> None:
    answer = demand(ask(users=float(users), ideal=True))
    served, chips = answer.value("users_served"), answer.value("chips_needed")
    assert (chips - 1) * served < users * (1 + 1e-6) and chips * served >= users * (1 - 1e-6)
    assert answer.value("load") == pytest.approx(users / served)
    assert answer.value("usd_per_user_month") == pytest.approx(chips * 2.0 * 730.5 / users)


def test_the_promise_is_kept_and_a_faster_one_serves_fewer() -> None:
    slow, fast = demand(ask(token_rate=20.0)), demand(ask(token_rate=80.0))
    assert slow.value("tokens_per_s_per_user") >= 20.0
    assert fast.value("tokens_per_s_per_user") >= 80.0
    assert fast.value("batch") < slow.value("batch")
    assert fast.value("output_tokens_per_s") < slow.value("output_tokens_per_s")


def test_peaks_need_room() -> None:
    flat, peaked = demand(ask()), demand(ask(peak=2.0))
    assert flat.value("users_served") == pytest.approx(2 * peaked.value("users_served"))


def test_every_way_out_of_an_overload() -> None:
    answer = demand(ask(users=5000.0))
    assert answer.value("load") > 1 and "queues grow" in str(answer["bound"])
    assert answer.value("users_turned_away") > 0
    found = rows(answer, "options")
    before = found["as it is"][2]
    grown = next(row for name, row in found.items() if str(name).startswith("add chips"))
    assert grown[2] >= 5000.0
    assert found["quantise weights to fp8"][2] > before
    assert found["halve the answers"][2] > before
    assert found["halve the prompts"][2] > before
    assert found["half the batch"][2] < before
    assert found["half the batch"][4] > found["as it is"][4]
    assert found["slower promise: half the rate"][2] > before


def test_trains_that_are_overbooked_never_come() -> None:
    answer = demand(ask(users=5000.0))
    found = list(rows(answer, "schedule").values())
    assert found[0][4] >= found[0][3] * (1 - 1e-9) > 0
    assert found[-1][0] > 1 and found[-1][4] == float("inf")


def test_chips_are_compared_by_tokens_for_a_dollar() -> None:
    answer = demand(ask(compare=("B200-SXM", "L4"), usd_per_hour=None))
    found = rows(answer, "compare")
    assert found["H100-SXM"][5] == 1.0
    b200 = found["B200-SXM"]
    assert b200[4] == pytest.approx(b200[2] * 3600 / b200[1])
    assert b200[5] == pytest.approx(b200[4] / found["H100-SXM"][4])
    assert "STALE" in b200[6]


def test_buying_pays_sooner_the_more_it_is_used() -> None:
    found = list(rows(demand(ask(purchase_usd=30000.0, watts=1300.0)), "buy_or_rent").values())
    months = [row[3] for row in found]
    assert months == sorted(months, reverse=True)
    assert found[-1][3] < 48 and found[-1][4] == "buy"
    assert found[0][4] == "rent"


def test_the_figure_falls() -> None:
    figure = demand_figure(ask(ideal=True))
    users: Any = figure.series[0].y      # type: ignore[union-attr]
    assert list(users) == sorted(users, reverse=True)


@pytest.mark.parametrize("fields", [
    {"token_rate": 0.0}, {"active_share": 1.5}, {"peak": 0.5}, {"users": -1.0}, {"batch": 0.0},
    {"pue": 0.5}, {"usd_per_kwh": -1.0}, {"token_rate": float("nan")}])
def test_impossible_demand(fields: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        ask(**fields)


def test_what_cannot_be_served() -> None:
    with pytest.raises(Infeasible, match="promised"):
        demand(ask(token_rate=5000.0))
    with pytest.raises(Infeasible, match="does not fit"):
        demand(ask(model="Llama-3.1-70B"))
    with pytest.raises(Infeasible, match="batch of"):
        demand(ask(batch=1e6))
    with pytest.raises(BadInput, match="generates"):
        demand(ask(model="bge-m3"))
