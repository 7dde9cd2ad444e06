"""Racks: every limit and its inverse, optics fed back, exchange across racks."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.catalog.racks import load_fabrics, load_rack, rack_names
from ridgeline.errors import BadInput, Infeasible, UnknownName
from ridgeline.questions.answer import Answer
from ridgeline.questions.rack import RackAsk, limits_of, rack, rack_figure


def rows(answer: Answer, name: str) -> list[tuple[Any, ...]]:
    return list(next(t for t in answer.tables if t.name == name).rows)


@pytest.mark.parametrize("name", rack_names())
def test_what_a_limit_allows_stays_within_it(name: str) -> None:
    for limit in limits_of(load_rack(name)):
        if limit.unit == "m":       # a cable's length grows by trays, not by chips
            continue
        assert limit.need(limit.chips) <= limit.limit * (1 + 1e-9)
        assert limit.need(limit.chips + 1) > limit.limit * (1 - 1e-9)
        assert limit.source


def test_a_rack_as_built_is_within_its_limits() -> None:
    answer = rack(RackAsk())
    assert answer["within_limits"] is True
    assert answer.value("max_chips") == min(row[1] for row in rows(answer, "limits")) == 72


@given(st.floats(50e3, 500e3))
def test_more_cooling_never_allows_fewer_chips(watts: float) -> None:
    from ridgeline.economics.domain_limits import chips_within

    cooled = chips_within(limit=watts, per_chip=load_rack("NVL72").watts_per_chip)
    more = chips_within(limit=watts * 1.1, per_chip=load_rack("NVL72").watts_per_chip)
    assert more >= cooled


def test_changes_move_the_binding_limit() -> None:
    answer = rack(RackAsk(changed={"cooling_limit": 60e3}))
    assert (answer["binding_limit"], answer.value("max_chips")) == ("cooling", 41)
    assert answer["within_limits"] is False


def test_optics_cost_power_and_latency_and_pay_in_bandwidth() -> None:
    same = {row[0]: row for row in rows(rack(RackAsk(model="DeepSeek-V3", batch=4096.0)),
                                        "fabrics")}
    wide = {row[0]: row for row in rows(rack(RackAsk(
        model="DeepSeek-V3", batch=4096.0, optical_bandwidth=3.6e12)), "fabrics")}
    copper, pluggable = same["passive copper"], same["pluggable optics"]
    assert pluggable[3] > copper[3] and pluggable[6] > copper[6]
    assert wide["pluggable optics"][6] < copper[6]
    assert wide["pluggable optics"][3] == pytest.approx(4 * pluggable[3])
    assert wide["passive copper"][6] == pytest.approx(copper[6])


def test_longer_fibres_take_longer() -> None:
    steps = [{row[0]: row[6] for row in rows(rack(RackAsk(
        model="Llama-3.1-70B", cable_length=length)), "fabrics")}["co-packaged optics"]
        for length in (2.0, 400.0)]
    # 160 all-reduces, each there and back over 398 m more.
    assert steps[1] - steps[0] == pytest.approx(2 * 160 * 398 * 4.9e-9, rel=0.05)


def test_exchange_slows_by_the_ratio_of_the_links() -> None:
    found = {row[0]: row for row in rows(rack(RackAsk(model="DeepSeek-V3", batch=8192.0)),
                                         "all_to_all")}
    assert found[1][2] == pytest.approx(1.42e-3, rel=0.005)
    assert found[2][5] == pytest.approx(0.5 * 900 / 50)
    assert found[8][4] > found[4][4] > found[2][4] > found[1][4]
    assert all(row[6] == pytest.approx(found[1][2]) for row in found.values())


def test_pools_are_free_below_their_break_even() -> None:
    answer = rack(RackAsk(model="1T", weights="fp8", pool_share=0.2, pool_bandwidth=2e12))
    found = {row[0]: row for row in rows(answer, "pool")}
    assert found[0.2][2] == pytest.approx(0.8)      # local memory is spared a fifth
    assert found[0.4][2] > 1


def test_what_does_not_fit_says_by_how_much() -> None:
    with pytest.raises(Infeasible, match=r"13\.4 TB"):
        rack(RackAsk(model="100T"))
    assert rack(RackAsk(model="10T")).value("largest_model_params") == pytest.approx(13.4e12,
                                                                                   rel=0.01)


def test_figure_and_fabrics() -> None:
    assert rack_figure(RackAsk()).series
    assert next(f.name for f in load_fabrics()) == "passive copper"
    assert all(f.source and f.date for f in load_fabrics())


@pytest.mark.parametrize(("fields", "says"), [
    ({"rack": "NVL1000"}, "unknown rack"), ({"changed": {"powr": 1.0}}, "field of a rack"),
    ({"changed": {"power_limit": -1.0}}, "positive"), ({"model": "1T", "weights": "q9"}, "weights"),
    ({"model": "nothing"}, "unknown model")])
def test_wrong_racks(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        rack(RackAsk(**fields))


@pytest.mark.parametrize("fields", [
    {"pool_share": 1.0}, {"batch": 0.0}, {"racks": 1}, {"chips": 0}, {"cable_length": -1.0},
    {"optical_bandwidth": 0.0}])
def test_impossible_sizes(fields: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        RackAsk(**fields)


def test_the_nearest_rack_is_named() -> None:
    with pytest.raises(UnknownName, match="NVL72"):
        load_rack("NVL-72x")
