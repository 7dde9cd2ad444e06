"""The search: its answer keeps the targets, a little more load does not."""

import math

import pytest

from ridgeline.errors import BadInput, Infeasible
from ridgeline.questions.capacity import capacity, load_figure
from ridgeline.questions.capacity_search import Goal, Search, highest_rate
from ridgeline.questions.simulate import Asked, simulate
from ridgeline.scenario import Scenario

FIELDS = {"model": "Llama-3.1-8B", "machine": "H100-SXM", "prompt": 1000, "output": 100}
SCENARIO = Scenario.from_fields(FIELDS)


def ask(find=None, fields=None, **options):
    asked = {k: options.pop(k) for k in list(options) if k not in ("percentile", "precision")}
    scenario = Scenario.from_fields({**FIELDS, **(fields or {})})
    return capacity(scenario, Asked(**asked), find=find, **options)


def test_the_rate_found_keeps_the_targets_and_more_does_not():
    answer = ask(ttft=0.5, tpot=0.03)
    rate = answer.value("rate_per_s")
    count = int(answer.notes[0].split(" requests")[0].split()[-1].replace(",", ""))
    inside = simulate(SCENARIO, Asked(rate=rate, requests=count))
    beyond = simulate(SCENARIO, Asked(rate=rate * 1.05, requests=count))
    assert inside.value("tpot_p95_s") <= 0.03 and inside.value("ttft_p95_s") <= 0.5
    assert beyond.value("tpot_p95_s") > 0.03 or beyond.value("ttft_p95_s") > 0.5
    assert inside.value("tpot_p95_s") == pytest.approx(answer.value("tpot_s"))
    assert answer["rate_per_s"].low < rate < answer["rate_per_s"].high
    assert "beyond" in answer["bound"]


def test_the_curve_rises_and_tells_what_is_kept():
    answer = ask(tpot=0.03, precision=0.05)
    table = answer.tables[0]
    columns = [c.name for c in table.columns]
    rates = [row[columns.index("rate")] for row in table.rows]
    kept = [row[columns.index("kept")] for row in table.rows]
    tpot = [row[columns.index("tpot_p95")] for row in table.rows]
    assert rates == sorted(rates) and tpot[0] < tpot[-1]
    assert kept[0] and not kept[-1]
    figure = load_figure(answer)
    assert {"TTFT p95", "TPOT p95", "TPOT target"} == {line.name for line in figure.series}


def test_fewest_replicas_keep_a_rate_and_one_fewer_does_not():
    answer = ask(rate=120.0, ttft=1.0, tpot=0.03, requests=4000)
    count = int(answer.value("replicas"))
    assert count > 1 and answer.value("rate_per_s") == 120.0
    for replicas, good in ((count, True), (count - 1, False)):
        run = simulate(SCENARIO, Asked(rate=120.0, replicas=replicas, requests=4000))
        assert (run.value("ttft_p95_s") <= 1.0 and run.value("tpot_p95_s") <= 0.03) == good


def test_looser_targets_and_more_replicas_carry_more():
    def rate(**options):
        return ask(requests=1500, precision=0.05, **options).value("rate_per_s")

    assert rate(tpot=0.02) < rate(tpot=0.04)
    assert rate(tpot=0.03, replicas=2) > 1.7 * rate(tpot=0.03)
    assert rate(tpot=0.03, percentile=99.0) <= 1.01 * rate(tpot=0.03, percentile=50.0)


def test_a_trace_is_replayed_at_the_rate_found():
    answer = ask(trace="azure-conv", tpot=0.03, precision=0.05)
    assert answer.value("rate_per_s") > 1.0


def test_overload_alone_ends_the_search():
    """A target that no TPOT can miss leaves the queue's growth as the limit."""
    search = Search(SCENARIO, Asked(tpot=100.0), Goal(tpot=100.0, precision=0.05))
    kept, missed = highest_rate(search, 1)
    assert missed is not None and "grows" in missed.broken
    assert 0.7 * search.flood_rate < kept.rate < 1.3 * search.flood_rate
    assert math.isfinite(kept.ttft)


@pytest.mark.parametrize(("options", "message"), [
    ({}, "needs a target"), ({"ttft": 1.0, "percentile": 0.0}, "percentile"),
    ({"ttft": 1.0, "percentile": math.nan}, "percentile"),
    ({"ttft": 1.0, "precision": 0.0}, "precision"), ({"ttft": 1.0, "seeds": 3}, "one seed"),
    ({"ttft": 1.0, "find": "speed"}, "rate, replicas"),
    ({"ttft": 1.0, "find": "rate", "rate": 3.0}, "leave --rate out"),
    ({"ttft": 1.0, "find": "replicas"}, "needs a load"),
    ({"ttft": 1.0, "autoscale": "1-2"}, "leave --autoscale out"),
    ({"ttft": 1.0, "plan": True}, "leave --plan out"),
    ({"ttft": 1.0, "rate": 5.0, "pools": "1+1"}, "looks for the rate"),
    ({"ttft": 1.0, "find": "replicas", "rate": 3.0, "replicas": 2}, "leave --replicas out")])
def test_impossible_questions_get_one_line(options, message):
    with pytest.raises(BadInput, match=message):
        ask(**options)


def test_too_few_requests_to_find_a_limit_say_so():
    assert "simulate more" in ask(ttft=1e6, requests=3)["bound"]


def test_pools_are_searched_as_they_are():
    answer = ask(tpot=0.02, pools="2+1", requests=800, precision=0.1)
    assert answer.value("replicas") == 3 and answer.value("tpot_s") <= 0.02


def test_targets_nobody_can_keep_are_infeasible():
    with pytest.raises(Infeasible, match="at any rate: TPOT"):
        ask(tpot=1e-5, requests=100)
    with pytest.raises(Infeasible, match="however many"):
        ask(tpot=1e-5, rate=5.0, requests=100)
    with pytest.raises(Infeasible, match="does not fit"):
        ask(fields={"model": "Llama-3.1-70B"}, tpot=0.03)
