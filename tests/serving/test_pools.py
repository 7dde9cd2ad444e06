"""Pools apart: conservation, the link, and what two simple cases must give."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_simulator import TABLE, linear_table

from ridgeline.errors import BadInput
from ridgeline.serving.load import Load, generate_requests
from ridgeline.serving.pools import PoolFleet, Transfer, simulate_pools
from ridgeline.serving.requests import Requests
from ridgeline.serving.rules import Swap
from ridgeline.serving.scheduler import Scheduler
from ridgeline.serving.simulator import simulate_replica

RULES = Scheduler(512, 32, kv_blocks=400, reserve=0.0)


def made(count=500, rate=60.0):
    return generate_requests(Load(200, 60, count, rate, length_cv=0.7), 3)


@pytest.mark.parametrize("router", ["round-robin", "least-loaded", "random"])
@pytest.mark.parametrize("rules", [RULES, dataclasses.replace(RULES, kv_blocks=60),
                                   dataclasses.replace(RULES, kv_blocks=60, swap=Swap(9000, 1e-6)),
                                   dataclasses.replace(RULES, prompts="first")])
def test_every_token_is_made_once_and_every_block_given_back(router, rules):
    requests = made()
    run = simulate_pools(TABLE, requests, rules, PoolFleet(2, 3, router, Transfer(1e-4, 1e-6)))
    served = run.served
    assert run.leaked_blocks == 0 and served.sum() > 400
    assert run.output_tokens == requests.output[served].sum()
    assert run.gaps.sum() == (requests.output[served] - 1).sum()
    assert np.all(run.first[served] > run.start[served])
    assert np.all(run.end[served] >= run.first[served])


def test_one_request_takes_its_prompt_its_transfer_and_its_steps():
    requests = Requests(np.array([0.5]), np.array([100]), np.array([11]))
    table, transfer = linear_table(), Transfer(0.003, 1e-5)
    run = simulate_pools(table, requests, Scheduler(), PoolFleet(1, 1, transfer=transfer))
    alone = simulate_replica(table, dataclasses.replace(requests, output=np.array([1])),
                             Scheduler())
    assert run.first[0] == alone.first[0]
    # The first step on the other side reads the one token made here, the others decode.
    step = table.seconds(prefill_tokens=1, past=100, finished=1)
    later = table.seconds(sequences=1, context=np.arange(102, 111)).sum()
    assert run.end[0] == pytest.approx(run.first[0] + 0.003 + 100e-5 + step + later)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 500)), min_size=1, max_size=20))
def test_a_link_sends_one_cache_at_a_time(rows):
    ready = np.cumsum([row[0] for row in rows])
    tokens = [row[1] for row in rows]
    free, expected = 0.0, []
    for at, count in zip(ready, tokens, strict=True):
        free = max(at, free) + 2e-3 * count
        expected.append(free + 0.1)
    np.testing.assert_allclose(Transfer(0.1, 2e-3).arrivals(ready, tokens), expected)


def test_a_slow_link_delays_tokens_but_not_the_first():
    requests = made()
    fast, slow = (simulate_pools(TABLE, requests, RULES, PoolFleet(2, 2, transfer=t))
                  for t in (Transfer(), Transfer(0.0, 1e-4)))
    np.testing.assert_array_equal(fast.first, slow.first)
    assert slow.latency.mean() > fast.latency.mean() + 0.01


def test_decoding_apart_is_not_held_up_by_prompts():
    """The reason for pools: gaps between tokens lose their long tail."""
    requests = generate_requests(Load(2000, 50, 400, 12.0), 1)
    rules = Scheduler(2048, 64)
    apart = simulate_pools(TABLE, requests, rules, PoolFleet(1, 1))
    mixed = simulate_replica(TABLE, requests, rules)
    assert np.percentile(apart.tpot, 95) < np.percentile(mixed.tpot, 95)


@pytest.mark.parametrize(("concurrency", "count"), [(1, 12), (4, 60), (30, 90)])
def test_a_closed_loop_keeps_its_number_in_flight(concurrency, count):
    requests = made(count)
    run = simulate_pools(TABLE, requests, RULES, PoolFleet(1, 2, transfer=Transfer(0.0, 1e-6)),
                         concurrency=concurrency)
    assert (run.arrival == 0).sum() == concurrency
    # Each later request arrives as one is done.
    np.testing.assert_allclose(np.sort(run.arrival)[concurrency:],
                               np.sort(run.end)[: count - concurrency], rtol=1e-7)
    assert run.output_tokens == requests.output.sum()


def test_single_tokens_never_leave_the_first_pool():
    requests = dataclasses.replace(made(50), output=np.ones(50, np.int64))
    run = simulate_pools(TABLE, requests, RULES, PoolFleet(1, 1, transfer=Transfer(5.0, 1.0)))
    np.testing.assert_array_equal(run.end, run.first)


@pytest.mark.parametrize("wrong", [
    lambda: PoolFleet(0, 1), lambda: PoolFleet(1, 0), lambda: PoolFleet(1, 1, "nearest"),
    lambda: simulate_pools(TABLE, made(), RULES, PoolFleet(1, 1), concurrency=0),
    lambda: simulate_pools(TABLE, made(), dataclasses.replace(RULES, kv_blocks=1),
                           PoolFleet(1, 1)),
    lambda: simulate_pools(TABLE, made(), dataclasses.replace(RULES, most_waiting=2),
                           PoolFleet(1, 1), concurrency=3),
    lambda: simulate_pools(TABLE, made(), dataclasses.replace(RULES, kv_blocks=20),
                           PoolFleet(1, 1), concurrency=2)])
def test_impossible_pools_are_refused(wrong):
    with pytest.raises(BadInput) as refused:
        wrong()
    assert "\n" not in str(refused.value)
