import pytest

from ridgeline.errors import BadInput, UnknownName
from ridgeline.questions.answer import Answer
from ridgeline.questions.scale import ScaleAsk, scale, scale_figure
from ridgeline.questions.trends import trends, trends_figure

KEYS = {"params", "tokens", "flop", "loss", "tokens_per_param", "saving_flop"}


def ask(**fields: object) -> Answer:
    return scale(ScaleAsk.from_fields(fields))


def test_a_budget() -> None:
    answer = ask(compute="8.4e23")
    assert set(answer.quantities) >= KEYS
    assert answer.value("params") == pytest.approx(87.7e9, rel=5e-3)
    assert answer.value("loss") == pytest.approx(1.9642, rel=1e-4)
    assert answer.value("flop_pf_days") == pytest.approx(9722, rel=1e-3)
    assert answer.value("saving_flop") == 0.0
    assert answer["loss"].low < answer["loss"].value < answer["loss"].high
    assert answer.derivation[0].result.value == pytest.approx(answer.value("params"))


def test_params_and_tokens_find_the_same_budget() -> None:
    budget = ask(compute="1e24")
    by_size = ask(params=budget.value("params"))
    by_data = ask(tokens=budget.value("tokens"))
    assert by_size.value("flop") == pytest.approx(1e24)
    assert by_data.value("flop") == pytest.approx(1e24)


def test_a_given_run_is_taken_as_it_is() -> None:
    llama = ask(params="8.03B", tokens="15T")
    assert llama.value("tokens_per_param") == pytest.approx(1868, rel=1e-3)
    assert llama.value("flop") == pytest.approx(7.2e23, rel=0.01)


def test_serving_saves_as_sardana_says() -> None:
    answer = ask(params="13B", law="sardana", inference_tokens="2T")
    assert answer.value("params") == pytest.approx(7e9, rel=5e-3)
    assert answer.value("saving_flop") == pytest.approx(1.69e22, rel=5e-3)
    assert answer.value("saving_share") == pytest.approx(0.174, rel=5e-3)


def test_life_with_rollouts() -> None:
    answer = ask(params="100B", tokens="20T", rl_tokens="15T")
    stages = {row[0]: row for row in answer.tables[1].rows}
    assert stages["reinforcement learning"][1] == pytest.approx(1.2e25)
    assert stages["pre-training"][1] == pytest.approx(1.2e25)
    assert answer.value("balanced_inference_tokens") == pytest.approx(60e12)
    assert answer.value("balanced_rl_tokens") == pytest.approx(15e12)


def test_elasticities_split_the_budget() -> None:
    answer = ask(params="100B", tokens="20T", rl_tokens="15T", elasticities="0.5,0.3,0.2")
    life = next(t for t in answer.tables if t.name == "lifecycle")
    assert [row[4] for row in life.rows] == pytest.approx([0.5, 0.3, 0.2])
    assert sum(float(row[5]) for row in life.rows) == pytest.approx(
        sum(float(row[1]) for row in life.rows))
    equal = ask(params="100B", tokens="20T", rl_tokens="15T", inference_tokens="1")
    assert [row[4] for row in equal.tables[1].rows] == pytest.approx([1 / 3] * 3)
    for wrong in ("0.5", "a,b,c", "1,2,-3", "0,1,1"):
        with pytest.raises(BadInput, match="elasticities"):
            ask(compute="1e24", elasticities=wrong)


def test_experts() -> None:
    answer = ask(compute="1e24", active_share="0.055")
    assert answer.value("total_params") == pytest.approx(answer.value("params") / 0.055)
    assert answer.value("loss") < ask(compute="1e24").value("loss")


def test_kaplan_and_the_table_of_laws() -> None:
    answer = ask(compute="8.64e19", law="kaplan")
    assert answer.value("params") == pytest.approx(1.3e9)
    assert [row[0] for row in answer.tables[0].rows][-2:] == ["kaplan", "20 tokens a parameter"]


@pytest.mark.parametrize("fields", [
    {}, {"compute": "1e23", "params": "7B"}, {"compute": "zero"}, {"compute": "0"},
    {"compute": "-1e20"}, {"params": "7B", "law": "kaplan"},
    {"compute": "1e23", "active_share": "1.5"}, {"compute": "inf"},
    {"compute": "1e23", "unique_tokens": "1e11", "inference_tokens": "1e12"},
])
def test_bad_input(fields: dict[str, str]) -> None:
    with pytest.raises(BadInput):
        ask(**fields)


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'hoffmann'"):
        ask(compute="1e23", law="hofmann")
    with pytest.raises(UnknownName, match="did you mean 'compute'"):
        ask(computes="1e23")
    with pytest.raises(UnknownName, match="algorithms"):
        trends(["algorithm"])


def test_figures_have_their_curves() -> None:
    iso = scale_figure(ScaleAsk(compute=1e23))
    assert len(iso.series) == 6
    over = scale_figure(ScaleAsk(params=13e9, inference_tokens=1e13))
    assert all(len(s.x) > 10 for s in over.series)
    assert len(trends_figure(years=3).series) == 6


def test_trends_and_the_memory_wall() -> None:
    answer = trends(["price_performance"], years=5, seed=1)
    assert answer.value("factor") == pytest.approx(2 ** (5 / 2.07), rel=0.03)
    wall = {row[0]: row for row in answer.tables[2].rows}
    assert wall["B200-SXM"][1] == pytest.approx(7.21, rel=5e-3)
    assert wall["B200-SXM"][2] == pytest.approx(3.92, rel=5e-3)
    ridges = [row[5] for row in answer.tables[2].rows]
    assert ridges == pytest.approx([153.0, 295.3, 206.1, 281.3], rel=5e-3)
    assert answer.to_dict() == trends(["price_performance"], years=5, seed=1).to_dict()
    with pytest.raises(BadInput):
        trends(years=0)
