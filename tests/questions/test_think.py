"""The thinking question: worked values, equal budgets, results files, refusals."""

import json

import pytest

from ridgeline import think as from_python
from ridgeline.errors import BadInput, Infeasible
from ridgeline.questions.think import ThinkAsk, think
from ridgeline.questions.think_tables import think_figure
from ridgeline.report.plot import render_svg

SMALL = {"model": "Llama-3.1-8B", "machine": "H100-SXM"}


def table(answer, name):
    return next(t for t in answer.tables if t.name == name)


@pytest.fixture(scope="module")
def compared():
    return think(ThinkAsk(**SMALL, samples=16, tokens=2000, success_rate=0.2,
                          against="Llama-3.1-70B", against_on="4xH100-SXM", against_tokens=500,
                          against_success=0.5, inference_share=0.79))


def test_worked_values(compared):
    assert compared.value("flop") == pytest.approx(5.14e14, rel=5e-3)
    assert compared.value("flop_ratio") == pytest.approx(7.28, rel=5e-3)
    assert compared.value("coverage") == pytest.approx(0.972, rel=5e-3)
    equal = think(ThinkAsk(**SMALL, tokens=500, against="Llama-3.1-70B",
                           against_on="4xH100-SXM"))
    assert table(equal, "equal").rows[0][1] == pytest.approx(8.79, rel=5e-3)
    tree = think(ThinkAsk(**SMALL, strategy="tree", samples=64, tokens=256))
    assert tree.value("flop") == pytest.approx(2.63e14, rel=5e-3)
    chain = think(ThinkAsk("Meta-Llama-3-70B", "8xH100-SXM", strategy="chain", tokens=8000,
                           prompt=192))
    assert chain.value("kv_bytes") * 4 == pytest.approx(10.74e9, rel=5e-3)
    assert think(ThinkAsk(routes="0.8:1,0.2:16")).value("mean_cost") == pytest.approx(4.0)


def test_equal_budgets_are_kept(compared):
    rows = {r[0]: r for r in table(compared, "equal").rows}
    assert rows["FLOP"][1] == pytest.approx(16 / compared.value("flop_ratio"))
    n = int(rows["money"][1])
    spent = think(ThinkAsk(**SMALL, samples=n, tokens=2000)).value("usd")
    large = compared.value("usd") / compared.value("usd_ratio")
    assert spent <= large
    assert think(ThinkAsk(**SMALL, samples=n + 1, tokens=2000)).value("usd") > large
    assert rows["money"][4] == "Llama-3.1-8B"
    assert rows["FLOP"][4] == "Llama-3.1-70B"    # two samples at 0.2 stay below one at 0.5
    assert compared.value("generation_multiplier") == pytest.approx(
        8.786 + 3 / 0.79 * 7.786, rel=5e-3)


def test_side_by_side_is_faster_than_in_turn(compared):
    assert compared.value("latency_s") < compared.value("sequential_s") / 4
    alone = think(ThinkAsk(**SMALL, samples=1, tokens=2000))
    assert alone.value("latency_s") == pytest.approx(alone.value("sequential_s"), rel=1e-6)


def test_memory_limits_chains_side_by_side():
    answer = think(ThinkAsk("Llama-3.1-8B", "RTX-4090", samples=64, tokens=8000))
    room = answer.value("chains_that_fit")
    assert 0 < room < 64 and any("waves" in note for note in answer.notes)
    few = think(ThinkAsk("Llama-3.1-8B", "RTX-4090", samples=int(room), tokens=8000))
    assert answer.value("latency_s") == pytest.approx(64 / room * few.value("latency_s"), rel=0.1)


def test_a_verifier_adds_work_and_time():
    free, paid = (think(ThinkAsk(**SMALL, samples=8, tokens=500, verifier=v))
                  for v in (None, "Llama-3.1-8B"))
    assert paid.value("verifier_flop") == pytest.approx(8 * 2 * 8.03e9 * 1012, rel=1e-3)
    assert paid.value("latency_s") == pytest.approx(
        free.value("latency_s") + paid.value("verifier_s"))


def test_a_deeper_tree_waits_longer():
    wide, deep = (think(ThinkAsk(**SMALL, strategy="tree", samples=32, tokens=128, width=w))
                  for w in (32, 4))
    assert deep.value("latency_s") > 3 * wide.value("latency_s")
    assert deep.value("flop") == wide.value("flop")


def test_votes():
    answer = think(ThinkAsk(**SMALL, strategy="majority", samples=5, tokens=100,
                            success_rate=0.6))
    p = 0.6
    assert answer.value("majority") == pytest.approx(
        p**5 + 5 * p**4 * 0.4 + 10 * p**3 * 0.16)
    assert answer.value("coverage") > answer.value("majority")


def test_a_coverage_law():
    answer = think(ThinkAsk(**SMALL, samples=250, tokens=100, coverage_law="1.8389,0.2090"))
    assert answer.value("coverage") == pytest.approx(0.56, rel=5e-3)


def test_routes_with_success():
    answer = think(ThinkAsk(routes="0.5:1:0.9,0.5:4:0.5"))
    assert answer.value("mean_cost") == 2.5
    assert answer.value("routed_coverage") == pytest.approx(0.5 * 0.9 + 0.5 * (1 - 0.5**4))


def test_results_file(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("problem,n,c\n" + "".join(f"p{i},100,{c}\n" for i, c in enumerate(
        (0, 1, 2, 5, 10, 40))))
    answer = think(ThinkAsk(results=str(path)))
    assert answer.value("pass_at_1") == pytest.approx(58 / 600)
    assert answer.value("problems") == 6
    rows = table(answer, "pass_at_k").rows
    values = [r[1].value for r in rows if r[1] is not None]
    assert values == sorted(values)
    assert rows[-1][0] == 10_000 and rows[-1][3] == "law" and 0 < rows[-1][2] <= 1
    assert "<svg" in render_svg(think_figure(answer))
    both = think(ThinkAsk(**SMALL, samples=100, tokens=100, results=str(path), ks="1,50"))
    assert {"pass_at_1", "pass_at_50"} <= set(both.quantities)
    assert both.value("coverage") == pytest.approx(values[-1], abs=0.1)


@pytest.mark.parametrize(("fields", "match"), [
    ({}, "needs a model"), ({"model": "Llama-3.1-8B"}, "the other way round"),
    ({**SMALL, "samples": 0}, "samples must be"), ({**SMALL, "samples": "x"}, "cannot read"),
    ({**SMALL, "tokens": 1.5}, "whole number"), ({**SMALL, "success_rate": -0.1}, "between 0"),
    ({**SMALL, "strategy": "mcts"}, "unknown strategy"), ({**SMALL, "foo": 1}, "unknown think"),
    ({**SMALL, "strategy": "chain", "samples": 3}, "one long answer"),
    ({**SMALL, "width": 3}, "tree search"), ({**SMALL, "coverage_law": "1"}, "a,b"),
    ({**SMALL, "coverage_law": "1,-2"}, "above 0"), ({**SMALL, "coverage_law": "nan,1"}, "above"),
    ({**SMALL, "coverage_law": "1,1", "success_rate": 0.1}, "not both"),
    ({**SMALL, "against_tokens": 5}, "name the large"),
    ({"against": "x", "routes": "1:1"}, "small"),
    ({"routes": "0.8:1,0.3:2"}, "add up to 1.1"), ({"routes": "a:b"}, "share:samples"),
    ({"routes": "1:1:3"}, "between 0 and 1"), ({"results": "/none.csv"}, "cannot read"),
    ({**SMALL, "tokens": 200_000}, "longer than the 131,072"),
    ({"model": "bge-large-en", "machine": "H100", "tokens": 10}, "is an encoder"),
    ({**SMALL, "verifier": "bge-large-en"}, "reads at most 512"),
    ({"model": "nope", "machine": "H100"}, "unknown model")])
def test_bad_input_is_one_line(fields, match):
    with pytest.raises(BadInput, match=match) as error:
        think(ThinkAsk.from_fields(fields))
    assert "\n" not in str(error.value)


def test_what_does_not_fit():
    with pytest.raises(Infeasible, match="does not fit"):
        think(ThinkAsk("Llama-3.1-405B", "H100-SXM"))


def test_surfaces(compared):
    assert json.dumps(compared.to_dict(), allow_nan=False)
    assert all(d.render() for d in compared.derivation)
    assert "<svg" in render_svg(think_figure(compared))
    routed = from_python(routes="1:4")
    assert routed.value("mean_cost") == 4 and "<svg" in render_svg(think_figure(routed))
