"""Replicas, money and verdicts of rows, by plain arithmetic."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import BadInput, UnknownName
from ridgeline.search.goal import VERDICTS, Goal, Replica, prompt_wait, queue_wait, score
from ridgeline.serving.queueing import mmc_wait

EIGHT = Replica(chips=8, limit=32, usd_per_hour=16.0, watts=5600.0, prompt=1000.0, output=101.0)


def one(goal, batch=10.0, room=40.0, ttft=0.5, tpot=0.02, replica=EIGHT):
    return score(goal, replica, batch=np.array([batch]), room=np.array([room]),
                 ttft=np.array([ttft]), tpot=np.array([tpot]))


def test_without_a_load_the_machine_is_filled():
    found = one(Goal())
    e2e = 0.5 + 100 * 0.02
    assert found.replicas[0] == 4
    assert found.tokens_per_s[0] == pytest.approx(4 * 10 / e2e * 101)
    assert found.usd_per_hour[0] == 64
    assert found.usd_per_mtok[0] == pytest.approx(64 / 3600 / (4 * 10 / e2e * 1101) * 1e6)
    assert found.joules_per_token[0] == pytest.approx(4 * 5600 / (4 * 10 / e2e * 101))
    assert found.verdict[0] == 0


def test_a_rate_takes_as_many_replicas_as_carry_it():
    e2e = 2.5
    for rate, replicas in ((3.9, 1), (4.0, 1), (4.1, 2), (16.0, 4)):
        found = one(Goal(rate=rate))
        assert found.replicas[0] == replicas, rate
        assert found.tokens_per_s[0] == pytest.approx(rate * 101)
        assert rate * e2e <= replicas * 10 + 1e-6
    assert VERDICTS[one(Goal(rate=16.1)).verdict[0]] == "chips"
    assert VERDICTS[one(Goal(rate=4.0), room=10.0).verdict[0]] == "load"


def test_users_and_budget():
    assert one(Goal(users=35)).replicas[0] == 4
    assert VERDICTS[one(Goal(users=45)).verdict[0]] == "chips"
    assert one(Goal(budget=50.0)).replicas[0] == 3
    assert VERDICTS[one(Goal(budget=15.0)).verdict[0]] == "budget"
    assert VERDICTS[one(Goal(users=35, budget=50.0)).verdict[0]] == "budget"


def test_targets_and_the_cache():
    assert VERDICTS[one(Goal(ttft=0.4)).verdict[0]] == "ttft"
    assert VERDICTS[one(Goal(tpot=0.01)).verdict[0]] == "tpot"
    assert VERDICTS[one(Goal(tpot=0.01), batch=41.0).verdict[0]] == "kv"
    assert one(Goal(ttft=0.5, tpot=0.02)).verdict[0] == 0


@given(st.sampled_from(["cost", "latency", "energy", "chips"]), st.floats(1.0001, 3.0))
def test_a_slower_row_is_never_better(minimize, slower):
    for goal in (Goal(minimize=minimize), Goal(minimize=minimize, rate=5.0),
                 Goal(minimize=minimize, users=20)):
        fast, slow = one(goal), one(goal, ttft=0.5 * slower, tpot=0.02 * slower)
        assert slow.objective[0] > fast.objective[0]


def test_the_wait_for_a_place_is_close_to_the_exact_queue():
    assert queue_wait(in_flight=0.5, places=1.0, seconds=2.0) == pytest.approx(
        mmc_wait(0.25, 2.0, 1))
    for places in (2, 10, 60):
        for load in (0.7, 0.9, 0.97):
            exact = mmc_wait(load * places / 3.0, 3.0, places)
            found = float(queue_wait(in_flight=load * places, places=float(places), seconds=3.0))
            # Within 2 % of the time that a place is taken.
            assert found == pytest.approx(exact, rel=0.15, abs=0.06)
    assert math.isinf(queue_wait(in_flight=5.0, places=5.0, seconds=1.0))


def test_prompts_wait_for_those_before_them():
    found = score(Goal(rate=4.0), EIGHT, batch=np.array([10.0]), room=np.array([40.0]),
                  ttft=np.array([0.5]), tpot=np.array([0.02]), service=np.array([0.2]))
    without = one(Goal(rate=4.0))
    assert found.ttft[0] - without.ttft[0] == pytest.approx(0.8 * 0.2 / (2 * 0.2))
    assert math.isinf(prompt_wait(rate=np.array(6.0), service=0.2))


def test_goals_that_make_no_sense():
    with pytest.raises(BadInput, match="not both"):
        Goal(rate=1.0, users=1)
    with pytest.raises(UnknownName, match="did you mean 'energy'"):
        Goal(minimize="energie")
    for name in ("ttft", "tpot", "rate", "budget"):
        for value in (0.0, -1.0, math.nan):
            with pytest.raises(BadInput, match=f"{name} must be a positive"):
                Goal(**{name: value})
