"""Attention copies that schedule for themselves and step together, against the slow simulator."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_simulator import ROWS, RULES, TABLE, check_equal, requests_of
from test_simulator_rules import CACHE, SPECULATION, SWAP, hashed, with_rules

from ridgeline.errors import BadInput, UnknownName
from ridgeline.serving.autoscale import Autoscale, simulate_scaled
from ridgeline.serving.compiled import plain
from ridgeline.serving.load import Load, generate_requests
from ridgeline.serving.loop_ranks import captured
from ridgeline.serving.pools import PoolFleet, simulate_pools
from ridgeline.serving.ranks import simulate_ranks
from ridgeline.serving.replicas import Fleet, simulate_replicas
from ridgeline.serving.requests import closed_loop_requests
from ridgeline.serving.rules import Ranks
from ridgeline.serving.scheduler import Scheduler
from ridgeline.serving.simulator import simulate_replica

RANKS = st.builds(Ranks, st.integers(2, 4), st.sampled_from(["fewest", "turns"]),
                  st.sampled_from([(), ((1.0, 0.2), (40.0, 0.9)), ((1.0, 1.0),)]),
                  st.sampled_from([0, 3, 20]))
TIGHT = Scheduler(128, 8, kv_blocks=90, overlap=True,
                  ranks=Ranks(3, shared=((1.0, 0.3), (400.0, 0.8)), pad_to=8))


@settings(max_examples=500, deadline=None)
@given(ROWS, RULES, RANKS, st.sampled_from([1.0, 1.7]))
def test_ranks_equal_the_slow_simulator(rows, rules, ranks, factor):
    check_equal(requests_of(rows), dataclasses.replace(rules, ranks=ranks, prompt_factor=factor))


@settings(max_examples=200, deadline=None)
@given(ROWS, RULES, RANKS, st.integers(1, 12))
def test_closed_loops_of_ranks_equal_the_slow_simulator(rows, rules, ranks, concurrency):
    requests = requests_of([(0, *row[1:]) for row in rows])
    fitting = [rules.holds(int(p), int(o)) for p, o in
               zip(requests.prompt, requests.output, strict=True)]
    if any(fitting):
        check_equal(requests.take(np.array(fitting)), dataclasses.replace(rules, ranks=ranks),
                    concurrency)


@settings(max_examples=200, deadline=None)
@given(ROWS, st.lists(st.integers(0, 3), min_size=1, max_size=9), RULES, RANKS,
       st.one_of(st.none(), CACHE), st.one_of(st.none(), SPECULATION), st.one_of(st.none(), SWAP),
       st.sampled_from([None, 2]))
def test_ranks_with_other_rules_equal_the_slow_simulator(rows, roots, rules, ranks, cache,
                                                         speculation, swap, most):
    rules = with_rules(rules, ranks=ranks, prefix_cache=cache, speculation=speculation, swap=swap,
                       most_waiting=most)
    if rules:
        check_equal(hashed(rows, roots), rules)


def made(count=400, rate=200.0):
    return generate_requests(Load(200, 60, count, rate, length_cv=0.7), 0)


@settings(max_examples=30, deadline=None)
@given(ROWS, RULES, RANKS)
def test_runs_uncompiled_with_the_same_result(rows, rules, ranks):
    requests, rules = requests_of(rows), dataclasses.replace(rules, ranks=ranks)
    if not any(rules.holds(int(p), int(o)) for p, o in
               zip(requests.prompt, requests.output, strict=True)):
        return
    fast = simulate_ranks(TABLE, requests, rules)
    plain = simulate_ranks(TABLE, requests, rules, compiled=False)
    for name in ("start", "first", "end", "evictions", "gaps", "timeline"):
        np.testing.assert_allclose(getattr(fast, name), getattr(plain, name), rtol=1e-12)


@pytest.mark.parametrize("serve", [
    lambda r: simulate_replicas(TABLE, r, TIGHT, Fleet(2, "least-loaded")),
    lambda r: simulate_replicas(TABLE, r, TIGHT, Fleet(2)),
    lambda r: simulate_scaled(TABLE, r, TIGHT, Autoscale(1, 3, 8.0, 0.2, 0.1, 0.1)),
    lambda r: simulate_pools(TABLE, r, TIGHT, PoolFleet(1, 2, "least-loaded")),
    lambda r: simulate_replica(TABLE, r, TIGHT, concurrency=30)])
def test_every_token_is_made_once_in_every_fleet_of_ranks(serve):
    requests = made()
    run = serve(requests)
    assert run.served.all() and run.leaked_blocks == 0
    assert run.output_tokens == requests.output.sum()
    assert np.all(run.first >= run.start) and np.all(run.start >= run.arrival)
    if run.owner is not None:
        assert set(run.owner) <= {0, 1, 2}
    assert run.busy <= 3 * run.makespan
    assert run.timeline[:, 1].max() <= 3 * 8 * 3


def test_even_loads_take_as_long_as_the_table_says():
    """Two ranks with half the requests each are a scheduler with twice the tokens."""
    requests = closed_loop_requests(np.full(40, 30), np.full(40, 25))
    one = simulate_replica(TABLE, requests, Scheduler(1200, 40), concurrency=40)
    two = simulate_replica(TABLE, requests, Scheduler(600, 20, ranks=Ranks(
        2, "turns", ((1.0, 0.4),))), concurrency=40)
    np.testing.assert_allclose(two.tpot, one.tpot, rtol=1e-9)
    assert two.steps == one.steps
    assert two.ttft.mean() < one.ttft.mean()    # a rank attends over half the prompts


def test_a_full_rank_makes_its_requests_wait_though_another_has_room():
    """In turns, every long request falls to the first of two ranks."""
    output = np.where(np.arange(60) % 2 == 0, 400, 2)
    requests = made(60)
    requests = dataclasses.replace(requests, output=output)
    turns, fewest = (simulate_replica(TABLE, requests, Scheduler(512, 8, ranks=Ranks(2, name)))
                     for name in ("turns", "fewest"))
    assert turns.queue_wait.mean() > 1.2 * fewest.queue_wait.mean()
    assert np.percentile(turns.queue_wait, 90) > 1.3 * np.percentile(fewest.queue_wait, 90)


@pytest.mark.parametrize(("tokens", "size"), [
    (1, 1), (2, 2), (3, 4), (5, 8), (8, 8), (9, 16), (250, 256), (257, 272), (512, 512)])
def test_graphs_are_captured_at_fixed_sizes(tokens, size):
    assert plain(captured)(tokens) == size


def test_padding_never_makes_a_step_shorter():
    requests = made()
    ends = [simulate_replica(TABLE, requests, dataclasses.replace(
        TIGHT, ranks=dataclasses.replace(TIGHT.ranks, pad_to=most))).makespan
        for most in (0, 8, 200)]
    assert ends[0] < ends[1] <= ends[2]


@pytest.mark.parametrize(("given_", "kind", "said"), [
    ({"count": 0}, BadInput, "copies"), ({"balance": "fewst"}, UnknownName, "fewest"),
    ({"pad_to": -1}, BadInput, "pad_to")])
def test_ranks_that_cannot_be_are_refused(given_, kind, said):
    with pytest.raises(kind, match=said):
        Ranks(**given_)


def test_a_joint_state_beyond_memory_is_refused():
    rules = Scheduler(512, 1024, ranks=Ranks(4096))
    with pytest.raises(BadInput, match="too many"):
        simulate_replicas(TABLE, made(5000), rules, Fleet(8, "least-loaded"))
