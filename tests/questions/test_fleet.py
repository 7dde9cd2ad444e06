"""Fleets: bounds around estimates, projections, and what is refused."""

from typing import Any

import pytest

from ridgeline.errors import BadInput, Infeasible
from ridgeline.questions.answer import Answer
from ridgeline.questions.fleet import FleetAsk, fleet, fleet_figure
from ridgeline.questions.fleet_forecast import bands
from ridgeline.questions.fleet_pools import Load, model_sizes


def rows(answer: Answer, name: str) -> list[tuple[Any, ...]]:
    return list(next(t for t in answer.tables if t.name == name).rows)


def test_calibrated_passes_lie_below_the_ceiling_and_add_up() -> None:
    both = fleet(FleetAsk("1000xH100-SXM,500xB200-SXM", "Llama-3.1-8B"))
    parts = [fleet(FleetAsk(text, "Llama-3.1-8B")) for text in ("1000xH100-SXM", "500xB200-SXM")]
    for name in ("passes_per_s", "decode_passes_per_s", "requests_per_s", "power_w",
                 "ceiling_passes_per_s", "floor_passes_per_s", "users"):
        assert both.value(name) == pytest.approx(sum(p.value(name) for p in parts)), name
    assert both.value("floor_passes_per_s") < both.value("decode_passes_per_s")
    assert both.value("decode_passes_per_s") < both.value("ceiling_passes_per_s")
    assert both.value("prefill_passes_per_s") < both.value("ceiling_passes_per_s")
    for name in ("passes_per_s", "decode_passes_per_s", "prefill_passes_per_s"):
        rate: Any = both[name]
        assert rate.low < rate.value < rate.high <= both.value("ceiling_passes_per_s")
    hourly, rate = both.value("usd_per_hour"), both.value("passes_per_s")
    assert both.value("usd_per_mtok") == pytest.approx(hourly / 3600 / rate * 1e6)


def test_a_latency_target_costs_throughput() -> None:
    fast, slow = (fleet(FleetAsk("800xH100-SXM", "Llama-3.1-8B", Load(tpot=t)))
                  for t in (0.012, None))
    assert fast.value("decode_passes_per_s") < slow.value("decode_passes_per_s")
    assert rows(fast, "pools")[0][3] < rows(slow, "pools")[0][3]


def test_given_utilisations_are_used_and_read_back() -> None:
    answer = fleet(FleetAsk("3000xA100-SXM-80GB", "1831B/277B", Load(decode_mfu=0.1,
                                                                    prefill_mfu=0.4)))
    ceiling = answer.value("ceiling_passes_per_s")
    assert answer.value("decode_passes_per_s") / ceiling == pytest.approx(0.1)
    assert answer.value("prefill_passes_per_s") / ceiling == pytest.approx(0.4)
    what = {row[0]: row[2] for row in rows(answer, "what_if")}
    assert what["10x the active parameters"] == pytest.approx(0.1)


@pytest.mark.parametrize("mfu", [0.01, 0.15, 0.9])
def test_a_measured_rate_is_read_back_as_its_utilisation(mfu: float) -> None:
    forward = fleet(FleetAsk("100xH100-SXM,50xB200-SXM", "280B", Load(decode_mfu=mfu)))
    back = fleet(FleetAsk("100xH100-SXM,50xB200-SXM", "280B",
                          measured=forward.value("decode_passes_per_s")))
    assert back.value("measured_mfu") == pytest.approx(mfu)
    assert back["measured_is_possible"] is True


def test_a_rate_above_the_ceiling_is_impossible() -> None:
    # 56.7 passes a second on an A100 are a tenth of its ceiling; 600 are beyond it.
    seen, claimed = (fleet(FleetAsk("128xA100-SXM-80GB", "280B", measured=128 * rate))
                     for rate in (56.7, 600.0))
    assert seen.value("measured_mfu") == pytest.approx(0.102, rel=0.005)
    assert claimed["measured_is_possible"] is False


def test_fp8_doubles_where_the_chip_has_it() -> None:
    answer = fleet(FleetAsk("10xH100-SXM", "280B", Load(decode_mfu=0.15)))
    what = {row[0]: row[2] for row in rows(answer, "what_if")}
    assert what["fp8 weights and compute"] == pytest.approx(2.0, rel=0.01)


def test_projections_widen_and_repeat() -> None:
    ask = FleetAsk("10xH100-SXM", "280B", since=2026, until=2030)
    first, again = (rows(fleet(ask), "forecast") for _ in range(2))
    assert first == again
    assert [row[0] for row in first] == ["2026", "2027", "2028", "2029", "2030"]
    widths = [row[3] / row[2] for row in first]
    assert widths[0] == pytest.approx(1.0) and widths == sorted(widths)
    prices = [row[7] for row in first]
    assert prices == sorted(prices, reverse=True)
    assert first[-1][7] == pytest.approx(first[0][7] / 10**0.8, rel=0.05)
    assert fleet_figure(ask).series


def test_a_given_budget_has_no_band_of_its_own() -> None:
    _, found = bands(2030, 2026, 1.0, 0)
    # Tokens at a fixed budget grow as tokens for a dollar do.
    assert found["tokens"].median == pytest.approx(found["per_usd"].median, rel=0.02)


@pytest.mark.parametrize(("name", "total", "active"), [
    ("280B", 280e9, 280e9), ("1831B/277B", 1831e9, 277e9), ("1T", 1e12, 1e12)])
def test_sizes_are_read(name: str, total: float, active: float) -> None:
    found = model_sizes(name)
    assert (found.total, found.active, found.known) == (total, active, False)
    assert model_sizes("Llama-3.1-8B").known


@pytest.mark.parametrize("name", ["280B/300B", "0B", "-3B", "1/2/3", "nan"])
def test_impossible_sizes(name: str) -> None:
    with pytest.raises(BadInput):
        model_sizes(name)


@pytest.mark.parametrize(("load", "fields", "says"), [
    (Load(decode_mfu=1.2), {}, "decode MFU"), (Load(prompt=0), {}, "prompt"),
    (Load(batch=0.5), {}, "batch"), (Load(tpot=-1.0), {}, "tpot"),
    (Load(), {"active_share": 0.0}, "active share"), (Load(), {"until": 1999}, "projection"),
    (Load(), {"spending_growth": -1.0}, "growth"), (Load(weights="q9"), {}, "weights")])
def test_impossible_questions(load: Load, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        fleet(FleetAsk("10xH100-SXM", "280B", load, **fields))


def test_what_does_not_fit_and_what_is_too_slow_are_told_apart() -> None:
    with pytest.raises(Infeasible, match="does not fit"):
        fleet(FleetAsk("4xH100-SXM", "Llama-3.1-405B"))
    with pytest.raises(Infeasible, match="fits, but"):
        fleet(FleetAsk("8xH100-SXM", "Llama-3.1-8B", Load(tpot=1e-4)))
