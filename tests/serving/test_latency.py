"""Latency of deployments: order, corrections within their bound, pools apart."""

import dataclasses
import math

import pytest

from ridgeline.catalog import load_chip
from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import settle_formats
from ridgeline.machine import Cluster
from ridgeline.model.load import load_architecture
from ridgeline.serving.deployed import Deployed
from ridgeline.serving.disaggregated import (
    closed_pools,
    prompt_times,
    queue_in_closed_loop,
)
from ridgeline.serving.latency import (
    COMPONENTS,
    KINDS,
    Pools,
    bundled,
    case_of,
    component_table,
    first_steps,
    latency,
    raw_latency,
)
from ridgeline.serving.measured_run import STEADY, Protocol, protocol_named
from ridgeline.timing.adjust import BOUND, LEVELS, architecture_class, correction


def replica(model="Llama-3.1-8B", chip="H100-SXM", longest=4096, **fields):
    architecture, plan, found = load_architecture(model), Deployment(**fields), load_chip(chip)
    return Deployed(architecture, plan, Cluster.of(found, plan.chips_per_replica),
                    settle_formats(architecture, plan, found), longest)


def ask(pools, concurrency, protocol="", **changes):
    load = {"prompt": 1000, "output": 100, **changes}
    return latency(pools, protocol_named(protocol) if protocol else STEADY,
                   concurrency=concurrency, protocol_name=protocol, **load)


def test_more_users_wait_longer():
    one = replica()
    found = [ask(Pools(one), c) for c in (1, 8, 64)]
    assert [f.ttft for f in found] == sorted(f.ttft for f in found)
    assert [f.tpot for f in found] == sorted(f.tpot for f in found)


def test_components_add_up_to_the_whole():
    """Kernels by kind plus the engine's costs are the step times of the deployment."""
    one = replica()
    parts = component_table(one)
    plain = one.tabulated(dataclasses.replace(one.timer, costs=type(one.costs)()))
    for tokens in (1.0, 37.0, 500.0):
        assert float(parts.tokens(tokens).sum()) == pytest.approx(plain.tokens(tokens))
        assert float(parts.decode(tokens, 900.0)[:-4].sum()) == pytest.approx(
            plain.decode(tokens, 900.0))


def test_a_component_replay_is_the_replay():
    one = replica()
    tables = component_table(one)
    load = {"concurrency": 8, "prompt": 500, "output": 50}
    tpot, wait, _, _ = raw_latency(Pools(one), (tables, tables), STEADY, **load)
    plain = one.tabulated(dataclasses.replace(one.timer, costs=type(one.costs)()))
    alone = raw_latency(Pools(one), (plain, plain), STEADY, **load)
    assert float(tpot[:len(KINDS)].sum()) == pytest.approx(float(alone[0]), rel=1e-6)
    assert float(wait[:len(KINDS)].sum()) == pytest.approx(float(alone[1]), rel=1e-6)


def test_pools_apart_do_not_make_decoding_wait_for_prompts():
    mixed, apart = replica(), Pools(replica(), replica(), 1, 2)
    together = ask(Pools(mixed), 32, prompt=4000)
    assert ask(apart, 32, prompt=4000).tpot < together.tpot


def test_corrections_stay_within_their_bound():
    one = replica()
    case = case_of(Pools(one), protocol="", concurrency=8, prompt=1000, output=100)
    huge = {"all": {"": [50.0] * 5}}
    assert abs(correction(huge, case)) <= BOUND
    assert correction({}, case) == 0.0
    assert correction({"mode": {"another|agg": [9.0] * 5}}, case) == 0.0
    assert all(isinstance(case.key(level), str) for level in LEVELS)


@pytest.mark.parametrize(("model", "kind"), [
    ("Llama-3.1-8B", "dense"), ("gpt-oss-20b", "moe"), ("DeepSeek-V3", "mla"),
    ("Qwen3-Next-80B-A3B-Instruct", "hybrid"), ("mamba-2.8b-hf", "hybrid")])
def test_classes(model, kind):
    assert architecture_class(load_architecture(model)) == kind


def test_intervals_widen_for_models_and_chips_never_measured():
    def width(model, chip, **fields):
        one = replica(model, chip, **fields)
        low, high = ask(Pools(one), 8).tpot_spread[1:3]
        return high - low

    known = width("gpt-oss-120b", "H200-SXM", tp=2)
    assert width("gpt-oss-120b", "L40S", tp=4) > known
    assert width("Qwen3-8B", "H200-SXM") > known


@pytest.mark.parametrize("customers", [1, 2, 5, 20])
def test_closed_queue_keeps_little_s_law(customers):
    """N = X (R + D), and the server is never more than fully busy."""
    visit = queue_in_closed_loop(customers=customers, service=0.5, each=0.5, away=2.0)
    rate = customers / (visit + 2.0)
    assert rate * 0.5 <= 1 + 1e-9 and visit >= 0.5
    assert math.isclose(customers, rate * (visit + 2.0))


def test_clients_that_get_tokens_in_bundles_see_shorter_gaps():
    """The first message of 900 tokens brings 30: 870 steps over 899 gaps."""
    assert bundled(Protocol(stream=30), 1000) == pytest.approx(870 / 899)
    assert bundled(Protocol(stream=0), 1000) == bundled(STEADY, 1000) == 1.0
    assert bundled(Protocol(stream=100), 8) > 0


def test_first_tokens_wait_for_their_message_and_the_next_poll():
    """The step that runs, the one decided ahead, 29 more tokens, half of ten steps."""
    assert first_steps(STEADY) == first_steps(Protocol()) == 1.5
    assert first_steps(Protocol(stream=30, poll=10)) == 1.5 + 29 + 5


def test_many_prompts_share_a_step_of_a_prefill_worker():
    one = replica()
    alone, each = prompt_times(one.table, prompt=500, budget=8192)
    assert each < alone
    assert prompt_times(one.table, prompt=500)[1] == pytest.approx(float(alone))
    small = closed_pools(one.table, one.table, concurrency=64, prompt=500, output=100,
                         prefill_workers=1, decode_workers=1)
    large = closed_pools(one.table, one.table, concurrency=64, prompt=500, output=100,
                         prefill_workers=1, decode_workers=1, budget=8192)
    assert large.ttft < small.ttft


def test_equal_replicas_are_still_two_pools():
    """Prefill and decode of one deployment share their object in a cache, and are apart."""
    one = replica()
    assert case_of(Pools(one, one), protocol="", concurrency=8, prompt=1000,
                   output=100).mode == "disagg"
    assert case_of(Pools(one), protocol="", concurrency=8, prompt=1000, output=100).mode == "agg"


def test_attention_copies_share_what_sequences_cost():
    """Each copy schedules its own sequences: the same load on more copies costs less a step."""
    parts = component_table(replica("Qwen3-30B-A3B", attention_dp=4, ep=4))
    assert float(parts.decode(64.0, 900.0)[COMPONENTS.index("sequence")]) == pytest.approx(64 / 4)


def test_prompts_up_to_the_largest_graph_are_captured():
    """vLLM captures steps with prompts too, up to 512 tokens by default; others do not."""
    one, other = replica(), replica(engine="sglang")
    assert one.captures(512) and not one.captures(513)
    assert one.captures(1024, graphs=2048) and not one.captures(100, graphs=0)
    assert not other.captures(16)
    assert one.outside(512) < one.outside(513)
