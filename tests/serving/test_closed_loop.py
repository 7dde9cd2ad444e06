"""The event-jumping replay against a slow loop that takes every step, and against hand counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.serving.closed_loop import (
    LoopResult,
    Policy,
    protocol_lengths,
    replay_closed_loop,
)
from ridgeline.timing.step_table import Grid, StepTable

FLAT = np.zeros(1)


def linear_table(fixed=1e-3, token=1e-5, context=1e-7, chunk=2e-6, row=1e-6, beside=1.0):
    """A step time that is linear in everything, so that interpolation is exact."""
    ends, far = np.array([1.0, 1e5]), np.array([0.0, 1e6])
    decode = context * ends[:, None] * far[None, :]
    return StepTable(
        tokens=Grid(ends, FLAT, token * ends[:, None]),
        prefill=Grid(ends, far, chunk * ends[:, None] + 0 * far[None, :]),
        decode=Grid(ends, far, decode), logits=Grid(ends, FLAT, row * ends[:, None]), fixed=fixed,
        mixed=None if beside == 1 else Grid(ends, far, beside * decode))


def step_by_step(table, concurrency, prompts, outputs, policy):
    """One step at a time, one request at a time: the obvious simulator."""
    n = len(prompts)
    arrival, first, last = [0.0] * n, [0.0] * n, [0.0] * n
    waiting, running, made, computed = list(range(min(concurrency, n))), [], {}, {}
    upcoming, now, waited = list(range(len(waiting), n)), 0.0, 0
    while waiting or running:
        mixed = policy.prompts == "mixed"

        def admissible(request, joining=()):
            if computed.get(request):
                return True
            if len(running) + len(joining) >= policy.max_num_seqs:
                return False
            if policy.kv_capacity is None or not running:
                return True
            inside = [*running, *joining, *(r for r in waiting if computed.get(r)), request]
            held = sum(prompts[r] + policy.reserve * outputs[r] for r in inside)
            return held <= policy.kv_capacity

        def filled():
            if not policy.fill:
                return len(waiting) >= policy.copies
            left = sum(prompts[r] - computed.get(r, 0) for r in waiting)
            return len(running) + left >= policy.fill * policy.token_budget

        pieces, joining = [], []
        decoding = list(running)
        able = bool(waiting) and admissible(waiting[0])
        if able and running and waited < policy.wait and not filled():
            waited, able = waited + 1, False
        elif able:
            waited = 0
        if able:
            budget = max(1, policy.token_budget - (len(running) if mixed else 0))
            decoding = list(running) if mixed else []
            while waiting and budget > 0 and admissible(waiting[0], joining):
                head = waiting[0]
                past = computed.get(head, 0)
                new = min(budget, prompts[head] - past)
                pieces.append((new, past))
                computed[head] = past + new
                budget -= new
                if computed[head] < prompts[head]:
                    break
                joining.append(waiting.pop(0))
        total = sum(p[0] for p in pieces) + len(decoding)
        copies = [[] for _ in range(policy.copies)]
        for piece in pieces:
            min(copies, key=lambda held: sum(p[0] for p in held)).append(piece)
        held = max(copies, key=lambda held: sum(p[0] for p in held))
        most = -(-len(decoding) // policy.copies) * policy.copies
        # Long prompts are read a copy's part of the budget at a time, on as many copies as can be.
        mine, new = sum(p[0] for p in held), sum(p[0] for p in pieces)
        busy = min(len(waiting) + len(joining), policy.copies)
        share = 1.0 if policy.copies == 1 or not pieces else min(
            1.0, max(policy.token_budget / policy.copies, new / busy) / mine)
        full = most + policy.copies * mine * share
        seconds = table.fixed + table.tokens(total)
        if policy.copies > 1:
            seconds += 0.7 * (table.tokens(full) - table.tokens(total))
        seconds += share * sum(table.prefill(new, past) for new, past in held)
        if decoding:
            context = sum(prompts[r] + made[r] for r in decoding) / len(decoding)
            grid = table.beside_prompts if pieces else table.decode
            seconds += grid(most, context)
        if decoding or joining:
            rows = -(-(len(decoding) + len(joining)) // policy.copies) * policy.copies
            seconds += table.logits(rows)
        now += seconds
        finished = []
        for request in decoding:
            made[request] += 1
            if made[request] == outputs[request]:
                running.remove(request)
                finished.append(request)
        for request in joining:
            first[request], made[request] = now, 1
            if outputs[request] <= 1:
                finished.append(request)
            else:
                running.append(request)
        for request in finished:
            last[request] = now
            if upcoming:
                arriving = upcoming.pop(0)
                arrival[arriving] = now
                waiting.append(arriving)
    ttft = np.array(first) - np.array(arrival)
    tpot = (np.array(last) - np.array(first)) / np.maximum(np.array(outputs) - 1, 1)
    return ttft, tpot, now


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 40)), min_size=1, max_size=25),
       st.integers(1, 8), st.sampled_from(["mixed", "first"]), st.integers(4, 64),
       st.integers(1, 6), st.one_of(st.none(), st.integers(100, 400)),
       st.sampled_from([0.5, 1.0]), st.sampled_from([1.0, 3.0]), st.sampled_from([0, 0, 3]),
       st.sampled_from([0.0, 0.8]), st.sampled_from([1, 1, 2, 5]))
def test_jumping_equals_stepping(requests, concurrency, prompts_mode, budget, most, capacity,
                                 reserve, beside, wait, fill, copies):
    prompts, outputs = [r[0] for r in requests], [r[1] for r in requests]
    policy = Policy(budget, most, capacity, prompts_mode, reserve, wait, fill, copies)
    table = linear_table(beside=beside)
    got = replay_closed_loop(table, concurrency=concurrency, prompts=prompts, outputs=outputs,
                             policy=policy, together=lambda n: 0.3 * table.tokens(n))
    ttft, tpot, end = step_by_step(table, concurrency, prompts, outputs, policy)
    # Requests that end in the same step may hand their places on in another order.
    assert np.sort(got.ttft) == pytest.approx(np.sort(ttft), rel=1e-9, abs=1e-12)
    assert got.duration == pytest.approx(end, rel=1e-9)
    assert got.tpot.mean() == pytest.approx(tpot.mean(), rel=0.02, abs=1e-9)
    assert got.output_tokens == sum(outputs)


def test_one_request_alone_by_hand():
    """Prompt 100, output 3: one prompt step, then two steps of 101 and 102 tokens of context."""
    table = linear_table()
    got = replay_closed_loop(table, concurrency=1, prompts=[100], outputs=[3], policy=Policy())
    prompt = 1e-3 + 100e-5 + 100 * 2e-6 + 1e-6
    decode = [1e-3 + 1e-5 + 1e-7 * length + 1e-6 for length in (101, 102)]
    assert got.ttft[0] == pytest.approx(prompt)
    assert got.tpot[0] == pytest.approx(sum(decode) / 2)


def test_a_run_cut_short_counts_its_first_wave_for_what_it_is():
    """Two of four requests arrived at once; in the whole run it would be two of twenty."""
    times = np.array([4.0, 4.0, 1.0, 1.0])
    cut = LoopResult(times, times, 9.0, 4, first_wave=2, later=18)
    assert cut.mean_ttft == pytest.approx(0.1 * 4 + 0.9 * 1) == cut.mean_tpot
    assert LoopResult(times, times, 9.0, 4).mean_ttft == 2.5


def test_lengths_fill_the_protocol_range_evenly():
    lengths = protocol_lengths(1000, 200)
    assert 800 <= min(lengths) < 810 and 990 < max(lengths) <= 1000
    assert np.mean(lengths) == pytest.approx(900, rel=0.005)
