"""Factors on steps: the closed loop has the engine layer's means, and physics is kept."""

import dataclasses

import pytest

from ridgeline.questions.performance import deployed_of
from ridgeline.questions.resolve import resolve
from ridgeline.scenario import Scenario
from ridgeline.serving.engine_rules import engine_scheduler
from ridgeline.serving.latency import Pools, latency
from ridgeline.serving.measured_run import STEADY
from ridgeline.serving.scheduler import Scheduler
from ridgeline.serving.simulator import simulate_replica
from ridgeline.serving.step_factors import _wave, scaled, step_factors
from ridgeline.timing.roofline import step_bounds
from ridgeline.work.step import prefill_step

STRETCH = 2 / (1 + STEADY.shortest)


def replica_of(**fields):
    return deployed_of(resolve(Scenario.from_fields({
        "model": "Llama-3.1-8B", "machine": "H100-SXM", "prompt": 1000, "output": 200, **fields})))


@pytest.mark.parametrize("concurrency", [1, 7, 48])
@pytest.mark.parametrize("fields", [{}, {"model": "Qwen3-30B-A3B", "machine": "H200"},
                                    {"model": "Qwen3-30B-A3B", "machine": "2xH200",
                                     "attention_dp": 2, "ep": 2},
                                    {"engine": "sglang", "machine": "A100-80GB-SXM"}])
def test_the_closed_loop_has_the_means_of_the_engine_layer(fields, concurrency):
    replica = replica_of(**fields)
    found = step_factors(replica, concurrency, 1000, 200)
    prompt, output = round(1000 * STRETCH), round(200 * STRETCH)
    goal = latency(Pools(replica), STEADY, concurrency=concurrency, prompt=prompt,
                   output=output)
    rules = dataclasses.replace(
        engine_scheduler(replica, Scheduler.of_policy(replica.policy)),
        prompt_factor=found.prompts / found.decode)
    run = simulate_replica(scaled(replica.table, found.decode), _wave(concurrency, prompt, output),
                           rules, concurrency=concurrency)
    assert run.ttft.mean() + found.outside == pytest.approx(goal.ttft, rel=0.01)
    assert run.tpot.mean() == pytest.approx(goal.tpot, rel=0.01)


def test_prompts_are_never_read_faster_than_physics_allows():
    """SGLang's fitted queue factor alone would go below the roofline here."""
    replica = replica_of(machine="A100-80GB-SXM", engine="sglang")
    found = step_factors(replica, 16, 1000, 200)
    floor = step_bounds(replica.ops(prefill_step(tokens=1000.0, past=0.0)), replica.cluster).lower
    took = found.prompts * float(replica.table.seconds(prefill_tokens=1000, finished=1.0))
    assert took >= 0.99 * float(floor)


def test_single_tokens_have_one_factor():
    found = step_factors(replica_of(output=1), 8, 1000, 1)
    assert found.prompts == found.decode > 0
    assert found.prompt_spread[0] < 1 < found.prompt_spread[1]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_engines_with_rates_of_their_own_keep_them(concurrency):
    from ridgeline.questions.estimate import estimate

    fields = {"machine": "RTX-4090", "engine": "llamacpp", "weights": "q4_k_m"}
    replica = replica_of(**fields)
    found = step_factors(replica, concurrency, 1000, 200)
    answer = estimate(Scenario.from_fields({
        "model": "Llama-3.1-8B", "prompt": 1000, "output": 200, "concurrency": concurrency,
        **fields}))
    step = replica.table.seconds(sequences=concurrency, context=1100)
    alone = replica.table.seconds(prefill_tokens=1000, finished=1.0)
    assert found.decode * float(step) == pytest.approx(answer.value("tpot_s"), rel=0.01)
    # `estimate` gives the time of all prompts together.
    assert found.prompts * float(alone) * concurrency == pytest.approx(
        answer.value("ttft_s"), rel=0.02)
