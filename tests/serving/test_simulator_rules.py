"""Drafts, swapping, prefix caches, limits at the door: the fast simulator against the slow one."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_simulator import ROWS, RULES, STATIC, TABLE, check_equal, linear_table, requests_of

from ridgeline.errors import BadInput
from ridgeline.serving.load import Load, generate_requests
from ridgeline.serving.requests import Requests
from ridgeline.serving.rules import PrefixCache, Speculation, Swap
from ridgeline.serving.scheduler import Scheduler
from ridgeline.serving.simulator import simulate_replica
from ridgeline.serving.traces import read_trace

SPECULATION = st.builds(Speculation, st.lists(st.sampled_from([0.0, 0.3, 0.8, 1.0]), min_size=1,
                                              max_size=2).map(tuple),
                        st.sampled_from([0.0, 0.1]))
SWAP = st.builds(Swap, st.sampled_from([0, 40, 200, 100_000]), st.sampled_from([1e-5, 1e-4]))
CACHE = st.builds(PrefixCache, st.sampled_from([0, 64, 4000]), st.sampled_from([0, 128]),
                  st.just(2e-5), st.just(9e-5))


def with_rules(rules, **more):
    """The rules with more; None where they contradict."""
    try:
        return dataclasses.replace(rules, **more)
    except BadInput:
        return None


@settings(max_examples=400, deadline=None)
@given(ROWS, RULES, SPECULATION, st.integers(0, 5))
def test_drafts_equal_the_slow_simulator(rows, rules, speculation, seed):
    if rules := with_rules(rules, speculation=speculation, seed=seed):
        check_equal(requests_of(rows), rules)


@settings(max_examples=400, deadline=None)
@given(ROWS, RULES, SWAP, st.sampled_from([1.0, 1.7]))
def test_swapping_equals_the_slow_simulator(rows, rules, swap, factor):
    check_equal(requests_of(rows), dataclasses.replace(rules, swap=swap, prompt_factor=factor))


@settings(max_examples=300, deadline=None)
@given(ROWS, st.one_of(RULES, STATIC), st.integers(1, 5))
def test_turning_away_equals_the_slow_simulator(rows, rules, most):
    check_equal(requests_of(rows, gap=0.0009), dataclasses.replace(rules, most_waiting=most))


def hashed(rows, roots, size=16):
    """Requests whose prompts share prefixes: block k of root r is hashed as (r, k)."""
    requests = requests_of(rows)
    blocks = tuple(np.array([root * 100 + k for k in range(-(-int(p) // size))], np.int64)
                   for p, root in zip(requests.prompt, roots * len(rows), strict=False))
    return dataclasses.replace(requests, blocks=blocks, block_tokens=size)


@settings(max_examples=600, deadline=None)
@given(ROWS, st.lists(st.integers(0, 3), min_size=1, max_size=9), RULES, CACHE,
       st.one_of(st.none(), SPECULATION), st.one_of(st.none(), SWAP))
def test_prefix_caches_equal_the_slow_simulator(rows, roots, rules, cache, speculation, swap):
    rules = with_rules(rules, prefix_cache=cache, speculation=speculation, swap=swap)
    if rules:
        check_equal(hashed(rows, roots), rules)


@settings(max_examples=300, deadline=None)
@given(ROWS, RULES, st.floats(0.0, 0.01))
def test_requests_begun_elsewhere_equal_the_slow_simulator(rows, rules, ago):
    requests = requests_of([(gap, prompt, output + 1, 0, key) for gap, prompt, output, _, key
                            in rows])
    check_equal(dataclasses.replace(requests, first=np.maximum(requests.arrival - ago, 0.0)),
                rules)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.lists(st.integers(0, 3), min_size=1, max_size=9), RULES, CACHE, SPECULATION, SWAP)
def test_all_rules_run_uncompiled_with_the_same_result(rows, roots, rules, cache, speculation,
                                                       swap):
    requests = hashed(rows, roots)
    rules = with_rules(rules, prefix_cache=cache, speculation=speculation, swap=swap,
                       most_waiting=3)
    if not rules or not any(rules.holds(int(p), int(o)) for p, o in
                            zip(requests.prompt, requests.output, strict=True)):
        return
    fast, plain = (simulate_replica(TABLE, requests, rules, compiled=c) for c in (True, False))
    for name in ("start", "first", "end", "evictions", "gaps"):
        np.testing.assert_allclose(getattr(fast, name), getattr(plain, name), rtol=1e-12)


@pytest.mark.parametrize(("acceptance", "tokens"), [((0.8,) * 4, 3.3616), ((0.9, 0.5), 2.35),
                                                    ((0.0,), 1.0), ((1.0,) * 3, 4.0)])
def test_tokens_a_step_are_the_closed_form(acceptance, tokens):
    """(1 - a^(g+1)) / (1 - a): 3.36 at a = 0.8, g = 4."""
    speculation = Speculation(acceptance)
    assert speculation.tokens_per_step == pytest.approx(tokens)
    requests = generate_requests(Load(100, 2000, 200, rate=5.0, length_cv=0.0), seed=1)
    run = simulate_replica(linear_table(), requests, Scheduler(speculation=speculation))
    made = (run.output_tokens - len(requests)) / run.verified
    assert made == pytest.approx(tokens, rel=0.01)


def test_free_drafts_speed_decoding_by_their_tokens():
    requests = Requests(np.zeros(1), np.array([10]), np.array([5001]))
    plain = simulate_replica(linear_table(), requests, Scheduler())
    drafted = simulate_replica(linear_table(), requests,
                               Scheduler(speculation=Speculation((0.8,) * 4)))
    # Four more tokens a step cost 44 us more here, beside 1 ms and 0.1 us a token of context.
    assert plain.tpot[0] / drafted.tpot[0] == pytest.approx(3.3616, rel=0.05)


def test_an_unlimited_cache_finds_what_the_trace_repeats():
    """Blocks after a request's first unseen one are misses, whatever comes later."""
    trace = read_trace("mooncake").requests
    seen, hits, blocks = set(), 0, 0
    for chain, prompt in zip(trace.blocks, trace.prompt, strict=True):
        full = chain[: int(prompt) // 512].tolist()
        new = next((i for i, b in enumerate(full) if b not in seen), len(full))
        hits += min(new, (int(prompt) - 1) // 512)
        blocks += len(full)
        seen.update(full)
    # So slow an arrival that every request finds the one before it done.
    requests = dataclasses.replace(trace, arrival=trace.arrival * 1e4)
    run = simulate_replica(TABLE, requests, Scheduler(prefix_cache=PrefixCache()))
    assert run.found_tokens == hits * 512 and run.loaded_tokens == 0
    assert run.prompt_tokens == int(trace.prompt.sum()) - hits * 512


def test_lower_tiers_find_what_the_device_dropped_and_take_their_time():
    trace = read_trace("mooncake").requests
    small = Scheduler(kv_blocks=9000, reserve=0.0)

    def run(**tiers):
        return simulate_replica(TABLE, trace, dataclasses.replace(
            small, prefix_cache=PrefixCache(**tiers)))

    device, host, deep = run(), run(host_tokens=10**6), run(host_tokens=10**5, disk_tokens=10**8)
    assert device.found_tokens < host.found_tokens and device.loaded_tokens == 0
    assert host.loaded_tokens > 0 and deep.loaded_tokens > 0
    slow = run(host_tokens=10**6, host_seconds=1e-2)
    assert slow.makespan > host.makespan
    for one in (device, host, deep, slow):
        assert one.leaked_blocks == 0 and one.output_tokens == trace.output[one.served].sum()


@pytest.mark.parametrize("wrong", [
    lambda: Speculation(()), lambda: Speculation((1.2,)), lambda: Speculation((float("nan"),)),
    lambda: Speculation((0.5,), -1.0), lambda: Swap(-1, 1e-6), lambda: Swap(10, float("inf")),
    lambda: PrefixCache(-5), lambda: Scheduler(most_waiting=0),
    lambda: Scheduler(token_budget=3, speculation=Speculation((0.5,) * 3)),
    lambda: Scheduler(prompts="first", reserve=1.0, static=True, prefix_cache=PrefixCache()),
    lambda: simulate_replica(TABLE, requests_of([(0, 5, 5, 0, 0)]),
                             Scheduler(prefix_cache=PrefixCache())),
    lambda: simulate_replica(TABLE, hashed([(0, 40, 5, 0, 0)], [1], size=24),
                             Scheduler(prefix_cache=PrefixCache())),
    lambda: simulate_replica(TABLE, requests_of([(0, 5, 5, 0, 0)]), Scheduler(most_waiting=1),
                             concurrency=1)])
def test_impossible_rules_are_refused_in_one_line(wrong):
    with pytest.raises(BadInput) as refused:
        wrong()
    assert "\n" not in str(refused.value)
