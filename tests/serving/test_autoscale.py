"""Replicas that follow the load: the rule, cold starts, conservation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_simulator import TABLE

from ridgeline.errors import BadInput
from ridgeline.serving.autoscale import Autoscale, simulate_scaled
from ridgeline.serving.load import Load, generate_requests
from ridgeline.serving.replicas import Fleet, simulate_replicas
from ridgeline.serving.requests import Requests
from ridgeline.serving.scheduler import Scheduler

RULES = Scheduler(512, 32, kv_blocks=400)


def made(count=600, rate=60.0):
    return generate_requests(Load(200, 60, count, rate, length_cv=0.7), 0)


def burst(gap=300.0):
    """Two busy spells with a long pause between."""
    one = made(400, 80.0)
    return Requests(np.concatenate([one.arrival, one.arrival + gap]),
                    np.tile(one.prompt, 2), np.tile(one.output, 2))


@pytest.mark.parametrize("rule", [
    Autoscale(1, 4, 8.0, 1.0, 0.5, 1.0), Autoscale(0, 3, 4.0, 2.0, 1.0, 0.0),
    Autoscale(2, 2, 1.0, 0.0, 1.0, 5.0), Autoscale(0, 6, 1.0, 0.1, 0.1, 0.1)])
def test_every_token_is_made_once_while_replicas_come_and_go(rule):
    requests = burst(60.0)
    run = simulate_scaled(TABLE, requests, RULES, rule)
    plain = simulate_scaled(TABLE, requests, RULES, rule, compiled=False)
    assert run.served.all() and run.leaked_blocks == 0
    assert run.output_tokens == requests.output.sum()
    assert np.all(run.start >= run.arrival) and np.all(run.end >= run.first)
    np.testing.assert_allclose(run.end, plain.end, rtol=1e-12)
    assert run.replica_seconds == pytest.approx(plain.replica_seconds)
    assert run.busy <= run.replica_seconds * (1 + 1e-9)
    assert run.replica_seconds <= rule.most * run.makespan * (1 + 1e-9)
    assert max(rule.least, 1) <= run.peak_replicas <= rule.most


def test_a_fleet_that_never_changes_is_the_least_loaded_router():
    requests = made()
    scaled = simulate_scaled(TABLE, requests, RULES, Autoscale(3, 3, 1.0, 5.0))
    fixed = simulate_replicas(TABLE, requests, RULES, Fleet(3, "least-loaded"))
    np.testing.assert_array_equal(scaled.end, fixed.end)
    assert scaled.replica_seconds == pytest.approx(3 * scaled.makespan)
    assert scaled.starts == 0


def test_the_first_request_of_an_idle_fleet_waits_for_a_cold_start():
    requests = Requests(np.array([7.0]), np.array([10]), np.array([5]))
    run = simulate_scaled(TABLE, requests, RULES, Autoscale(0, 2, 4.0, 30.0))
    assert run.start[0] == 37.0 and run.starts == 1
    assert run.replica_seconds == pytest.approx(run.end[0] - 7.0)


def test_more_replicas_come_at_the_first_decision_and_serve_when_warm():
    """40 at once on one replica: at 10 s the rule wants 4; they are warm at 25 s."""
    requests = Requests(np.sort(np.concatenate([np.zeros(40), np.linspace(24.0, 26.0, 21)])),
                        np.full(61, 50), np.full(61, 20_000))
    run = simulate_scaled(TABLE, requests, Scheduler(512, 64), Autoscale(1, 8, 10.0, 15.0, 10.0))
    assert run.starts >= 3
    assert set(run.owner[run.arrival < 25.0]) == {0}
    assert len(set(run.owner[run.arrival >= 25.0])) > 1


def test_a_pause_longer_than_patience_saves_replicas_and_costs_waits():
    requests = burst()
    quick = simulate_scaled(TABLE, requests, RULES, Autoscale(1, 6, 8.0, 2.0, 1.0, 5.0))
    slow = simulate_scaled(TABLE, requests, RULES, Autoscale(1, 6, 8.0, 2.0, 1.0, 1e4))
    fixed = simulate_replicas(TABLE, requests, RULES, Fleet(6, "least-loaded"))
    assert quick.replica_seconds < 0.5 * slow.replica_seconds < 6 * fixed.makespan
    assert quick.ttft.mean() > fixed.ttft.mean()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.0, 4.0), min_size=1, max_size=30), st.integers(0, 2),
       st.floats(0.5, 20.0), st.floats(0.0, 6.0))
def test_any_rule_serves_everybody(gaps, least, target, cold):
    requests = Requests(np.cumsum(gaps), np.full(len(gaps), 40), np.full(len(gaps), 30))
    run = simulate_scaled(TABLE, requests, RULES, Autoscale(least, 3, target, cold, 1.0, 2.0))
    assert run.served.all() and run.leaked_blocks == 0
    assert run.busy <= run.replica_seconds * (1 + 1e-9)


@pytest.mark.parametrize("wrong", [
    (-1, 2), (3, 2), (0, 0), (1, 2, 0.0), (1, 2, float("nan")), (1, 2, 1.0, -1.0),
    (1, 2, 1.0, 0.0, 0.0), (1, 2, 1.0, 0.0, 1e-9), (1, 2, 1.0, 0.0, 1.0, float("inf")), (1, 10**6)])
def test_impossible_rules_are_refused(wrong):
    with pytest.raises(BadInput, match="autoscaling"):
        Autoscale(*wrong)
