import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.measure.validate.prediction import Prediction
from ridgeline.measure.validate.score import score


def prediction(value, factor80=1.2, factor95=1.5):
    value = np.asarray(value, float)
    out = Prediction.unanswered(len(value), "none")
    out.put(np.arange(len(value)), value, value / factor80, value * factor80,
            value / factor95, value * factor95)
    return out


def test_errors_by_hand():
    truth = np.array([1.0, 1.0, 1.0, 1.0, np.nan])
    found = score("all", "time", truth, prediction([1.0, 1.1, 0.5, 2.0, 9.0]), np.ones(5, bool))
    # absolute errors 0, 10, 50, 100 per cent
    assert found.n == 4
    assert found.median_ape_pct == pytest.approx(30.0)
    assert found.p90_ape_pct == pytest.approx(85.0)
    assert found.bias_pct == pytest.approx((1.1**0.5 - 1) * 100)
    assert found.coverage80_pct == 50.0
    assert found.coverage95_pct == 50.0


def test_a_group_without_answers_has_no_errors():
    none = Prediction.unanswered(2, "no")
    found = score("all", "time", np.array([1.0, 2.0]), none, np.ones(2, bool))
    assert found.n == 0 and found.median_ape_pct is None and found.coverage80_pct is None


def test_missing_intervals_are_not_counted_as_misses():
    out = Prediction.unanswered(2, "no")
    out.put(np.array([0]), np.array([1.0]), np.array([0.9]), np.array([1.1]))
    out.put(np.array([1]), np.array([1.0]))
    found = score("all", "time", np.array([1.0, 1.0]), out, np.ones(2, bool))
    assert found.coverage80_pct == 100.0 and found.coverage95_pct is None


def test_an_exact_count_covers_itself():
    out = Prediction.unanswered(1, "no")
    big = np.array([671026419200.0])
    out.put(np.array([0]), big, big, big, big, big)
    found = score("all", "params", big, out, np.ones(1, bool))
    assert found.median_ape_pct == 0.0 and found.coverage80_pct == 100.0


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=40), st.floats(0.1, 10))
def test_bias_of_a_constant_factor_is_that_factor(values, factor):
    truth = np.array(values)
    found = score("all", "time", truth, prediction(truth * factor), np.ones(len(truth), bool))
    assert found.bias_pct == pytest.approx((factor - 1) * 100, rel=1e-9, abs=1e-9)
    assert found.median_ape_pct == pytest.approx(abs(factor - 1) * 100, rel=1e-9, abs=1e-9)


def test_values_that_are_not_finite_stay_unanswered():
    out = Prediction.unanswered(2, "no")
    out.put(np.array([0, 1]), np.array([np.inf, 1.0]))
    assert out.reason.tolist() == ["the prediction is not a finite number", ""]
    assert np.isnan(out.value[0])
