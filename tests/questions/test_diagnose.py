import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import BadInput, UnknownName
from ridgeline.questions.diagnose import Measured, diagnose, percentile
from ridgeline.questions.performance import calibrated_performance
from ridgeline.questions.resolve import resolve
from ridgeline.scenario import Scenario

SCENARIO = Scenario.from_fields({"model": "Llama-3.1-8B", "machine": "H100-SXM", "prompt": 2000,
                                 "output": 500, "concurrency": 32})


@pytest.fixture(scope="module")
def expected():
    return calibrated_performance(resolve(SCENARIO))


def test_what_is_expected_is_as_expected(expected):
    answer = diagnose(SCENARIO, Measured(ttft=expected.ttft, tpot=expected.tpot))
    assert answer["verdict"] == "as expected"
    assert answer.value("tpot_ratio_to_expected") == pytest.approx(1)
    assert not any(t.name == "causes" for t in answer.tables)
    assert 0 < answer.value("mbu_decode") < 1 and 0 < answer.value("mfu_decode") < 1


def test_a_cause_that_is_put_in_comes_out(expected):
    """The machine runs four times the requests stated: that explanation is among the best."""
    real = calibrated_performance(resolve(SCENARIO.replace(concurrency=128)))
    answer = diagnose(SCENARIO, Measured(ttft=real.ttft, tpot=real.tpot))
    assert answer["verdict"] == "slower than expected"
    causes = next(t for t in answer.tables if t.name == "causes").rows
    assert causes[0][0] == "4 times as many requests in flight"
    assert causes[0][2] == pytest.approx(100, abs=1)


def test_a_fast_run_is_explained_too():
    real = calibrated_performance(resolve(SCENARIO.replace(prefix_hit=0.9)))
    answer = diagnose(SCENARIO, Measured(ttft=real.ttft))
    causes = next(t for t in answer.tables if t.name == "causes").rows
    assert "prefix cache" in causes[0][0] and causes[0][2] > 90


def test_faster_than_the_floor_is_impossible(expected):
    answer = diagnose(SCENARIO, Measured(tpot=expected.tpot_floor / 2))
    assert answer["verdict"] == "impossible" and answer.value("mbu_decode") > 1
    assert "200 %" in str(answer["bound"])


def test_rates_are_measures_too(expected):
    answer = diagnose(SCENARIO, Measured(output_rate=expected.output_tokens_per_s / 3))
    assert answer.value("output_rate_ratio_to_expected") == pytest.approx(3)
    assert answer["verdict"] == "slower than expected"
    assert diagnose(SCENARIO, Measured(prompt_rate=1e3))["verdict"] == "slower than expected"


@given(st.floats(-2, 2), st.floats(-2, 2))
def test_percentiles_rise(first, second):
    spread = (-0.5, -0.2, 0.3, 0.6)
    low, high = sorted((first, second))
    assert 0 <= percentile(low, spread) <= percentile(high, spread) <= 100
    assert percentile(0.3, spread) == 90 and percentile(-0.2, spread) == 10


def test_nonsense_is_refused():
    with pytest.raises(BadInput, match="nothing was measured"):
        Measured()
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(BadInput, match="positive and finite"):
            Measured(tpot=bad)
    with pytest.raises(UnknownName, match="unknown measure 'tpott'"):
        Measured.of({"tpott": 1.0})
