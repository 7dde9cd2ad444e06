"""What a simulation's numbers are made of: parts add up, simple formulas stand beside."""

import pytest

from ridgeline.questions.capacity import capacity
from ridgeline.questions.simulate import Asked, simulate
from ridgeline.scenario import Scenario

SCENARIO = Scenario.from_fields({"model": "Llama-3.1-8B", "machine": "H100-SXM", "prompt": 1000,
                                 "output": 200})


def rows_of(answer, name):
    table = next(t for t in answer.tables if t.name == name)
    return {row[0]: row[1:] for row in table.rows}


def test_the_parts_of_a_step_add_up_and_formulas_agree_where_they_should():
    answer = simulate(SCENARIO, Asked(rate=8.0, requests=1500), explain=True)
    step = rows_of(answer, "step")
    whole = step.pop("mean step")
    assert sum(seconds for seconds, _ in step.values()) == pytest.approx(whole[0])
    assert sum(share for _, share in step.values()) == pytest.approx(100.0)
    beside = rows_of(answer, "beside")
    for name, within in (("output tokens a second", 0.1), ("requests in flight", 1e-6),
                         ("KV blocks of a replica", 0.1)):
        simulated, formula, _ = beside[name]
        assert simulated == pytest.approx(formula, rel=within), name
    wait, formula, by = beside["queue wait [s]"]
    assert "M/M/c" in by and 0.3 < formula / wait < 3.0
    (derived,) = answer.derivation
    assert derived.to_dict()["formula"].endswith("mg1_wait") or "mg1" in str(derived.to_dict())


def test_overload_has_no_steady_state():
    answer = simulate(SCENARIO.replace(max_num_seqs=4), Asked(rate=400.0, requests=400),
                      explain=True)
    assert "overloaded" in rows_of(answer, "beside")["queue wait [s]"][-1]
    assert answer.derivation == ()


def test_closed_loops_and_capacity_explain_themselves():
    closed = simulate(SCENARIO.replace(concurrency=16), Asked(requests=200), explain=True)
    assert "queue wait [s]" not in rows_of(closed, "beside") and closed.derivation == ()
    found = capacity(SCENARIO, Asked(ttft=1.0, tpot=0.05, requests=300), precision=0.2,
                     explain=True)
    assert rows_of(found, "step")["mean step"][0] > 0
    plain = simulate(SCENARIO, Asked(rate=2.0, requests=50))
    assert plain.tables == () and plain.derivation == ()
