"""What is searched is what the engine can be told to run."""

import itertools

import pytest

from ridgeline.deployment import Deployment
from ridgeline.model.load import load_architecture
from ridgeline.search.layouts import unrunnable
from ridgeline.search.offers import read_offers
from ridgeline.search.space import Choices, Shape, shapes


def valid(model, on, engine):
    (offer,) = read_offers((on,))
    found = shapes(load_architecture(model), offer, Choices(engines=(engine,), longest=2000))
    return [shape.deployment for shape in found if isinstance(shape, Shape)]


@pytest.mark.parametrize("model", ["DeepSeek-V3", "Qwen3-30B-A3B", "Mixtral-8x7B-v0.1",
                                   "Llama-3.1-8B"])
@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
def test_every_layout_of_the_space_can_be_started(model, engine):
    plans = valid(model, "16xH200", engine)
    assert plans
    assert not [plan for plan in plans if unrunnable(plan)]


def test_experts_are_split_spread_and_both_where_the_engine_can():
    ways = {engine: {plan.expert_tp for plan in valid("Qwen3-30B-A3B", "8xH200", engine)
                     if plan.expert_group == 8} for engine in ("vllm", "sglang")}
    assert ways["vllm"] == {1, 8}
    assert ways["sglang"] == {1, 2, 8}


def test_trtllm_copies_the_attention_onto_each_chip_or_none():
    plans = valid("DeepSeek-V3", "16xH200", "trtllm")
    assert {(plan.tp > 1, plan.attention_dp > 1) for plan in plans} >= {
        (True, False), (False, True)}
    assert not any(plan.tp > 1 and plan.attention_dp > 1 for plan in plans)
    assert any(1 < plan.ep < plan.expert_group for plan in plans)


@pytest.mark.parametrize(("tp", "copies"), list(itertools.product((1, 2, 4), (1, 2, 4))))
def test_the_reason_names_what_is_wrong(tp, copies):
    group = tp * copies
    said = unrunnable(Deployment(engine="vllm", tp=tp, attention_dp=copies, ep=2))
    assert (f"all {group} chips" in said) == (group > 2)
    said = unrunnable(Deployment(engine="trtllm", tp=tp, attention_dp=copies))
    assert (f"not {copies} of tp={tp}" in said) == (tp > 1 and copies > 1)
    assert unrunnable(Deployment(engine="sglang", tp=tp, attention_dp=copies, ep=2)) == ""
