"""Several replicas: conservation, the router's choices, compiled and not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_simulator import TABLE

from ridgeline.errors import BadInput, UnknownName
from ridgeline.serving.load import Load, generate_requests
from ridgeline.serving.replicas import ROUTERS, Fleet, simulate_replicas
from ridgeline.serving.requests import Requests
from ridgeline.serving.scheduler import Scheduler
from ridgeline.serving.simulator import simulate_replica

RULES = Scheduler(512, 32, kv_blocks=400)


def made(count=600, rate=60.0, seed=0):
    return generate_requests(Load(200, 60, count, rate, length_cv=0.7), seed)


@pytest.mark.parametrize("router", ["round-robin", "least-loaded", "random"])
@pytest.mark.parametrize("replicas", [1, 2, 5])
def test_every_token_is_made_once_whatever_the_router(router, replicas):
    requests = made()
    run = simulate_replicas(TABLE, requests, RULES, Fleet(replicas, router))
    assert run.served.all() and run.leaked_blocks == 0
    assert run.output_tokens == requests.output.sum()
    assert np.all(run.first > run.arrival) and np.all(run.end >= run.first)


def test_round_robin_is_each_replica_alone():
    requests = made()
    both = simulate_replicas(TABLE, requests, RULES, Fleet(2))
    for r in range(2):
        alone = simulate_replica(TABLE, requests.take(slice(r, None, 2)), RULES)
        np.testing.assert_array_equal(both.end[r::2], alone.end)


def test_least_loaded_beats_random_in_the_tail():
    requests = made(4000, 110.0)
    p95 = {router: np.percentile(simulate_replicas(TABLE, requests, RULES,
                                                   Fleet(4, router)).ttft, 95)
           for router in ("random", "least-loaded")}
    assert p95["least-loaded"] < p95["random"]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 4), st.lists(st.tuples(st.integers(0, 9), st.integers(1, 60),
                                             st.integers(1, 30)), min_size=2, max_size=20))
def test_least_loaded_sends_to_the_least_loaded(replicas, rows):
    """Replayed on the outcome: at each arrival, the chosen replica had the fewest in flight."""
    gaps, prompt, output = (np.array(c) for c in zip(*rows, strict=True))
    requests = Requests(np.cumsum(gaps * 0.00371), prompt, output)
    fast = simulate_replicas(TABLE, requests, RULES, Fleet(replicas, "least-loaded"))
    plain = simulate_replicas(TABLE, requests, RULES, Fleet(replicas, "least-loaded"),
                              compiled=False)
    np.testing.assert_allclose(fast.end, plain.end, rtol=1e-12)
    expected = least_loaded_by_hand(requests, replicas)
    np.testing.assert_allclose(fast.end, expected, rtol=1e-9)


def least_loaded_by_hand(requests, replicas):
    """Assign one request at a time, simulating every replica anew after each."""
    count = len(requests)
    owner, end = np.full(count, -1), np.zeros(count)
    for k in range(count):
        loads = []
        for r in range(replicas):
            mine = np.flatnonzero(owner[:k] == r)
            done = 0
            if len(mine):
                run = simulate_replica(TABLE, requests.take(mine), RULES)
                done = int(np.sum(run.end <= requests.arrival[k]))
            loads.append(len(mine) - done)
        turn = [(k + step) % replicas for step in range(replicas)]
        owner[k] = min(turn, key=lambda r: loads[r])
    for r in range(replicas):
        mine = np.flatnonzero(owner == r)
        if len(mine):
            end[mine] = simulate_replica(TABLE, requests.take(mine), RULES).end
    return end


def test_closed_loops_share_their_concurrency():
    requests = made(200)
    run = simulate_replicas(TABLE, requests, RULES, Fleet(3), concurrency=10)
    at_start = int(np.sum(run.arrival == 0))
    assert at_start == 10 and run.served.all()
    with pytest.raises(BadInput, match="cannot be shared"):
        simulate_replicas(TABLE, requests, RULES, Fleet(3), concurrency=2)


def test_prefix_routing_keeps_families_together():
    blocks = tuple(np.array([0, 1 + i % 7, 100 + i]) for i in range(70))
    one = np.ones(70, np.int64)
    requests = Requests(np.arange(70.0), one, one, blocks=blocks, block_tokens=16)
    run = simulate_replicas(TABLE, requests, RULES, Fleet(3, "prefix"))
    assert run.served.all()
    with pytest.raises(BadInput, match="block hashes"):
        simulate_replicas(TABLE, made(10), RULES, Fleet(3, "prefix"))


def test_unknown_routers_are_refused():
    assert "least-loaded" in ROUTERS
    with pytest.raises(UnknownName, match="least-loaded"):
        Fleet(2, "least-loadd")
    with pytest.raises(BadInput, match="replicas"):
        Fleet(0)
