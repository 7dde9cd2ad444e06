"""The compiled, jumping simulator against the slow one, and what must hold of any run."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Job, RankedReference, Reference

from ridgeline.errors import BadInput
from ridgeline.serving import layout as at
from ridgeline.serving.closed_loop import Policy, replay_closed_loop
from ridgeline.serving.requests import Requests, closed_loop_requests
from ridgeline.serving.scheduler import Scheduler
from ridgeline.serving.simulator import simulate_replica
from ridgeline.timing.step_table import Grid, StepTable

FLAT = np.zeros(1)


def table_of(fixed=1e-3, token=1e-5, context=1e-7, chunk=2e-6, past=1e-9, row=1e-6):
    """Bent in tokens and context, so that jumps must mind the knots."""
    x, y = np.array([1.0, 20.0, 1e5]), np.array([0.0, 30.0, 55.0, 1e6])
    bent = np.array([0.0, 30.0, 130.0, 4e6])
    return StepTable(
        tokens=Grid(x, FLAT, (token * np.array([1.0, 5.0, 1e5]))[:, None]),
        prefill=Grid(x, y, chunk * x[:, None] + past * x[:, None] * y[None, :]),
        decode=Grid(x, y, context * x[:, None] * bent[None, :] + 1e-6 * x[:, None]),
        logits=Grid(x, FLAT, row * x[:, None]), fixed=fixed,
        mixed=Grid(x, y, 2.5 * context * x[:, None] * bent[None, :] + 3e-6 * x[:, None]))


TABLE = table_of()


def requests_of(rows, gap=0.00317):
    """Rows of (gaps since the last arrival, prompt, output, cached, priority)."""
    arrival = np.cumsum([row[0] * gap for row in rows])
    columns = [np.array([row[k] for row in rows], np.int64) for k in (1, 2, 3, 4)]
    return Requests(arrival, columns[0], columns[1], columns[2], columns[3].astype(float))


def reference_of(requests, rules, concurrency=None):
    """The slow run of the requests that fit."""
    keys = {"fcfs": np.zeros(len(requests)), "priority": requests.priority,
            "shortest": requests.prompt + requests.output}[rules.order]
    cached = requests.cached if requests.cached is not None else np.zeros(len(requests), int)
    cached = np.minimum(cached, requests.prompt - 1)    # the last token is always read
    jobs = [Job(i, float(requests.arrival[i]), int(requests.prompt[i]), int(requests.output[i]),
                int(cached[i]), float(keys[i])) for i in range(len(requests))
            if rules.holds(int(requests.prompt[i]), int(requests.output[i]))]
    for job in jobs:
        if requests.blocks is not None:
            full = job.prompt // requests.block_tokens
            job.chain = tuple(requests.blocks[job.number][:full].tolist())
        if requests.first is not None:
            job.first = job.end = float(requests.first[job.number])
            job.made, job.kept = 1, job.prompt
    kind = RankedReference if rules.ranks.count > 1 else Reference
    slow = kind(TABLE, jobs, rules, concurrency, requests.block_tokens)
    slow.run()
    return slow


ROWS = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 70), st.integers(1, 45),
                          st.sampled_from([0, 0, 0, 5, 90]), st.integers(0, 3)),
                min_size=1, max_size=24)
RULES = st.builds(
    Scheduler, token_budget=st.integers(3, 80), max_num_seqs=st.integers(1, 7),
    kv_blocks=st.one_of(st.none(), st.integers(12, 60)), block_size=st.sampled_from([1, 4, 16]),
    prompts=st.sampled_from(["mixed", "first"]),
    order=st.sampled_from(["fcfs", "fcfs", "shortest", "priority"]),
    reserve=st.sampled_from([None, 0.0, 0.3, 1.0]), overlap=st.booleans())
STATIC = st.builds(
    Scheduler, token_budget=st.integers(3, 80), max_num_seqs=st.integers(1, 7),
    kv_blocks=st.one_of(st.none(), st.integers(12, 60)), block_size=st.sampled_from([1, 4]),
    prompts=st.just("first"), static=st.just(True), reserve=st.just(1.0))
TRAIN = st.builds(Scheduler, token_budget=st.integers(3, 80), max_num_seqs=st.integers(1, 7),
                  interval=st.sampled_from([0.0023, 0.0107, 300.0]))


def check_equal(requests, rules, concurrency=None):
    if not any(rules.holds(int(p), int(o)) for p, o in
               zip(requests.prompt, requests.output, strict=True)):
        return
    fast = simulate_replica(TABLE, requests, rules, concurrency=concurrency)
    slow = reference_of(requests, rules, concurrency)
    served = np.array([job.number for job in slow.jobs if job.start >= 0])
    jobs = [job for job in slow.jobs if job.start >= 0]
    assert np.array_equal(np.flatnonzero(fast.served), served)
    for name in ("arrival", "start", "first", "end"):
        expected = [getattr(job, name) for job in jobs]
        np.testing.assert_allclose(getattr(fast, name)[served], expected, rtol=1e-9, err_msg=name)
    assert list(fast.evictions[served]) == [job.evictions for job in jobs]
    for name in ("steps", "preemptions", "prompt_tokens", "output_tokens", "rejected", "swapped"):
        assert getattr(fast, name) == getattr(slow, name), name
    assert (fast.found_tokens, fast.loaded_tokens) == (slow.found, slow.loaded)
    if len(served):
        assert fast.makespan == pytest.approx(slow.now)
    check_gaps(fast.gaps, [gap for job in slow.jobs for gap in job.gaps])
    # Conservation: every token once, every block given back.
    elsewhere = 0 if requests.first is None else len(served)
    assert fast.output_tokens == int(np.sum(requests.output[served])) - elsewhere
    assert fast.leaked_blocks == 0
    assert np.all(fast.end[served] >= fast.first[served])
    if requests.first is None:
        assert np.all(fast.first[served] > fast.start[served])
    assert np.all(fast.start[served] >= fast.arrival[served])


def check_gaps(bins, gaps):
    """As many gaps, and the same sum to the width of a bin (jumps count their middle)."""
    assert bins.sum() == len(gaps)
    if gaps:
        middles = at.SHORTEST_GAP * 2 ** ((np.arange(at.BINS) + 0.5) / at.BINS_PER_OCTAVE)
        assert np.sum(bins * middles) == pytest.approx(sum(gaps), rel=0.012)


@settings(max_examples=1200, deadline=None)
@given(ROWS, RULES)
def test_equals_the_slow_simulator(rows, rules):
    check_equal(requests_of(rows), rules)


@settings(max_examples=300, deadline=None)
@given(ROWS, st.one_of(STATIC, TRAIN))
def test_equals_the_slow_simulator_with_batches_and_departures(rows, rules):
    check_equal(requests_of(rows), rules)


@settings(max_examples=300, deadline=None)
@given(ROWS, RULES, st.integers(1, 6))
def test_closed_loops_equal_the_slow_simulator(rows, rules, concurrency):
    requests = requests_of([(0, *row[1:]) for row in rows])
    fitting = [rules.holds(int(p), int(o)) for p, o in
               zip(requests.prompt, requests.output, strict=True)]
    if any(fitting):
        check_equal(requests.take(np.array(fitting)), rules, concurrency)


@settings(max_examples=60, deadline=None)
@given(ROWS, RULES)
def test_runs_uncompiled_with_the_same_result(rows, rules):
    requests = requests_of(rows)
    if not any(rules.holds(int(p), int(o)) for p, o in
               zip(requests.prompt, requests.output, strict=True)):
        return
    fast = simulate_replica(TABLE, requests, rules)
    plain = simulate_replica(TABLE, requests, rules, compiled=False)
    for name in ("start", "first", "end", "evictions", "gaps", "timeline"):
        np.testing.assert_allclose(getattr(fast, name), getattr(plain, name), rtol=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 40)), min_size=1, max_size=25),
       st.integers(1, 8), st.sampled_from(["mixed", "first"]), st.integers(16, 64),
       st.integers(1, 6), st.sampled_from([None, 8 * 100]))
def test_agrees_with_the_closed_loop_replay(lengths, concurrency, prompts, budget, most, capacity):
    # The replay admits a first wave whatever the cache holds: compare where it holds them all.
    requests = closed_loop_requests(*zip(*lengths, strict=True))
    policy = Policy(budget, most, capacity, prompts=prompts)
    rules = Scheduler.of_policy(policy)
    got = simulate_replica(linear_table(), requests, rules, concurrency=concurrency)
    expected = replay_closed_loop(linear_table(), concurrency=concurrency,
                                  prompts=requests.prompt.tolist(),
                                  outputs=requests.output.tolist(), policy=policy)
    assert got.makespan == pytest.approx(expected.duration, rel=1e-9)
    # Requests that end in the same step may hand their places on in another order.
    np.testing.assert_allclose(np.sort(got.ttft), np.sort(expected.ttft), rtol=1e-9, atol=1e-12)


def linear_table():
    ends, far = np.array([1.0, 1e5]), np.array([0.0, 1e6])
    return StepTable(tokens=Grid(ends, FLAT, 1e-5 * ends[:, None]),
                     prefill=Grid(ends, far, 2e-6 * ends[:, None] + 0 * far[None, :]),
                     decode=Grid(ends, far, 1e-7 * ends[:, None] * far[None, :]),
                     logits=Grid(ends, FLAT, 1e-6 * ends[:, None]), fixed=1e-3)


def test_first_come_first_served_starves_nobody():
    """Under overload and a tight cache, requests still start in order of arrival."""
    random = np.random.default_rng(0)
    count = 3000
    requests = Requests(np.cumsum(random.exponential(0.002, count)),
                        random.integers(1, 300, count), random.integers(1, 200, count))
    run = simulate_replica(TABLE, requests, Scheduler(512, 64, kv_blocks=120))
    assert run.preemptions > 0 and run.served.all()
    assert np.all(np.diff(run.start) >= 0)
    assert run.leaked_blocks == 0 and run.output_tokens == requests.output.sum()


def test_requests_longer_than_the_cache_are_refused_and_named():
    requests = Requests(np.zeros(2), np.array([100, 10]), np.array([5, 5]))
    run = simulate_replica(TABLE, requests, Scheduler(kv_blocks=4))
    assert list(run.served) == [False, True]
    with pytest.raises(BadInput, match="no request fits"):
        simulate_replica(TABLE, requests, Scheduler(kv_blocks=1, block_size=4))
    with pytest.raises(BadInput, match="for ever"):
        simulate_replica(TABLE, requests, Scheduler(kv_blocks=4), concurrency=1)


@pytest.mark.parametrize(("arrival", "prompt", "output", "message"), [
    ([0.0, 1.0], [1, 0], [1, 1], "request 1 has prompt tokens 0"),
    ([0.0, 1.0], [1, 1], [1, -4], "request 1 has output tokens -4"),
    ([0.0, -1.0], [1, 1], [1, 1], "request 1 arrives at -1.0"),
    ([2.0, 1.0], [1, 1], [1, 1], "earlier than the request before"),
    ([0.0, math.nan], [1, 1], [1, 1], "request 1 arrives at nan"),
    ([0.0, 1.0], [1, 10**12], [1, 1], "from 1 to 2,147,483,647"),
    ([], [], [], "no requests"),
    ([0.0], [1, 2], [1], "2 values of prompt"),
])
def test_impossible_requests_get_one_clear_line(arrival, prompt, output, message):
    with pytest.raises(BadInput, match=message):
        Requests(np.array(arrival, float), np.array(prompt, np.int64), np.array(output, np.int64))


@pytest.mark.parametrize("wrong", [
    {"token_budget": 0}, {"max_num_seqs": 0}, {"kv_blocks": 0}, {"order": "longest"},
    {"prompts": "last"}, {"reserve": 1.5}, {"static": True}, {"interval": -1.0}])
def test_impossible_schedulers_are_refused(wrong):
    with pytest.raises(BadInput):
        Scheduler(**wrong)
