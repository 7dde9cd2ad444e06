"""The steady form against the replay that it stands for, within the margins of the search."""

import dataclasses

import numpy as np
import pytest

from ridgeline.questions.plan_ask import PlanAsk, planned
from ridgeline.questions.plan_finalists import _exact
from ridgeline.search.evaluate import Aggregated, row_of
from ridgeline.search.findings import Key
from ridgeline.search.rated import Rated, corrected_log, correction_lines, rated
from ridgeline.search.space import Shape, shapes
from ridgeline.serving.latency import corrected
from ridgeline.serving.measured_run import STEADY
from ridgeline.timing.engine import BEHIND

CASES = [("Llama-3.1-8B", "1xH100-SXM"), ("Llama-3.1-70B", "8xH100-SXM"),
         ("gpt-oss-120b", "4xB200-SXM"), ("DeepSeek-V3", "8xB200-SXM")]
WORK = [(4000, 1000), (500, 200), (8000, 200), (200, 2000), (20000, 500)]


def widest(model, on, copies=1, **fields):
    """The replica over all chips with no pipeline, or with attention copies the last of them."""
    asked = planned(PlanAsk(model, (on,), **fields))
    found = [s for s in shapes(asked.space.architecture, asked.space.offers[0],
                               asked.space.choices)
             if isinstance(s, Shape) and s.deployment.pp == 1
             and (s.deployment.ep == 1 or copies > 1)
             and s.chips == asked.space.offers[0].cluster.n_chips
             and s.deployment.attention_dp == copies]
    one = rated(asked.space.architecture, found[-1], asked.requests, (None,), 1024)
    assert isinstance(one, Rated)
    return asked, Aggregated(one)


def that_fit(made, *batches):
    """The batches that the memory of the replica holds."""
    return [b for b in batches if b <= made.rated.rooms[0]]


def hold_margins(asked, made, batch, off, tokens=True):
    """The closed form against the replay, within margins; time per token where there is one."""
    steady, _ = row_of(made, asked.goal, 0, batch)
    exact = _exact(asked, made, Key(0, 0, batch))
    assert off.fast_wait < exact.ttft / steady.ttft[0] < off.slow_wait, (asked.requests, batch)
    if tokens:
        assert off.fast < exact.tpot / steady.tpot[0] < off.slow, (asked.requests, batch)


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("load", [{}, {"rate": 1.0}], ids=["closed", "open"])
@pytest.mark.parametrize(("model", "on"), CASES)
def test_within_the_margins_of_the_replay(model, on, engine, load):
    for prompt, output in WORK:
        asked, made = widest(model, on, prompt=prompt, output=output, engines=(engine,), **load)
        for batch in that_fit(made, 1, 16, 128):
            hold_margins(asked, made, batch, asked.requests.margins)


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("load", [{}, {"rate": 1.0}], ids=["closed", "open"])
@pytest.mark.parametrize(("model", "on", "copies"), [("DeepSeek-V3", "8xB200-SXM", 8),
                                                     ("Qwen3-30B-A3B", "4xH100-SXM", 4)])
def test_attention_copies_too(model, on, copies, engine, load):
    for prompt, output in WORK:
        asked, made = widest(model, on, copies, prompt=prompt, output=output, engines=(engine,),
                             **load)
        for batch in that_fit(made, 1, 16, 128):
            hold_margins(asked, made, batch, made.rated.margins(np.array([float(batch)])))


@pytest.mark.parametrize("output", [1, 2, 6, 20])
@pytest.mark.parametrize(("model", "on"), [("Llama-3.1-8B", "1xH100-SXM"),
                                           ("Qwen3-30B-A3B", "4xA100-SXM-80GB")])
def test_short_outputs_and_crowded_batches_too(model, on, output):
    for prompt in (200, 3000):
        asked, made = widest(model, on, prompt=prompt, output=output)
        for batch in that_fit(made, 1, 32, 768):
            hold_margins(asked, made, batch, made.rated.margins(np.array([float(batch)])),
                         tokens=output > 1)


def test_margins_widen_beyond_what_an_engine_runs_at_once():
    _, made = widest("Llama-3.1-8B", "1xA100-SXM-80GB", prompt=100, output=300)
    most = made.rated.replica.policy.max_num_seqs
    off = made.rated.margins(np.array([float(most), most + 1.0]))
    assert off.fast[1] < off.fast[0]
    assert off.slow[1] > off.slow[0]
    assert isinstance(made.rated.margins(np.array([1.0])).fast, float)


@pytest.mark.parametrize("law", ["lognormal:2000,0.8", "exponential:1500", "uniform:100,6000"])
def test_spread_lengths_too(law):
    asked, made = widest("Llama-3.1-8B", "1xH100-SXM", prompt=law, output="lognormal:300,0.7")
    for batch in (8, 64):
        hold_margins(asked, made, batch, asked.requests.margins)


def test_more_in_flight_is_slower_for_each_and_more_in_all():
    _, made = widest("Llama-3.1-8B", "1xH100-SXM", prompt=1000, output=300)
    batch = np.arange(1.0, 257.0)
    times = made.rated.times(batch, np.full(256, 8192.0))
    assert (np.diff(times.tpot) > -1e-6).all()
    assert (np.diff(batch / times.e2e) > -1e-3).all()
    assert (times.tpot >= made.rated.floors(batch)).all()


def test_a_correction_by_batch_is_the_engine_layers_own():
    asked, made = widest("Llama-3.1-70B", "8xH100-SXM", prompt=3000, output=500)
    case, outside = made.rated.case, made.rated.outside
    tpot_line, ttft_line = correction_lines(case)
    for batch in (1.0, 3.0, 100.0, 9000.0):
        found = corrected(dataclasses.replace(case, concurrency=batch), outside, STEADY, 0.02, 0.7)
        at = np.array([batch])
        assert np.exp(corrected_log(tpot_line, at))[0] * 0.02 == pytest.approx(found.tpot)
        assert np.exp(corrected_log(ttft_line, at))[0] * (
            outside + 0.7 + BEHIND * found.tpot) == pytest.approx(found.ttft)
    assert asked.requests.new == 3000
