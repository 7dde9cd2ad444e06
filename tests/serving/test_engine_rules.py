"""How engines schedule: ahead of the device from some version on, one scheduler a copy."""

import pytest

from ridgeline.questions.performance import deployed_of
from ridgeline.questions.resolve import resolve
from ridgeline.scenario import Scenario
from ridgeline.serving.engine_rules import engine_scheduler, overlaps, ranks_of
from ridgeline.serving.scheduler import Scheduler, named_scheduler


def replica_of(**fields):
    return deployed_of(resolve(Scenario.from_fields({
        "model": "Qwen3-30B-A3B", "machine": "2xH200", "attention_dp": 2, "ep": 2,
        "prompt": 1000, "output": 200, **fields})))


@pytest.mark.parametrize(("engine", "version", "ahead"), [
    ("vllm", "0.13.2", False), ("vllm", "0.14.0", True), ("vllm", "", True),
    ("sglang", "0.5.1", True), ("trtllm", "0.21.0", False), ("trtllm", "1.1.0rc2", True),
    ("llamacpp", "", False), ("transformers", "", False)])
def test_engines_decide_steps_ahead_from_a_version_on(engine, version, ahead):
    assert overlaps(engine, version) == ahead


def test_each_copy_has_its_share_and_experts_are_shared():
    replica = replica_of(engine_version="0.19.0")
    rules = engine_scheduler(replica, Scheduler(4096, 256, 1000))
    assert (rules.token_budget, rules.max_num_seqs, rules.kv_blocks) == (2048, 128, 500)
    assert rules.overlap and rules.all_blocks == 1000
    ranks = ranks_of(replica)
    assert (ranks.count, ranks.balance, ranks.pad_to) == (2, "fewest", 512)
    assert all(0.0 <= share <= 1.0 for _, share in ranks.shared)
    # Experts read most of the weights: most of a decode step's time by tokens.
    assert 0.4 < float(ranks.share(256.0)) < 1.0


def test_sglang_takes_copies_in_turn():
    assert ranks_of(replica_of(engine="sglang")).balance == "turns"


def test_without_graphs_nothing_is_padded():
    assert ranks_of(replica_of(cuda_graphs=False)).pad_to == 0


def test_vllm_captures_graphs_for_twice_the_sequences_a_copy_may_run():
    assert ranks_of(replica_of(max_num_seqs=100)).pad_to == 200
    assert ranks_of(replica_of(engine="sglang", max_num_seqs=100)).pad_to == 256


def test_static_batches_and_departures_are_not_decided_ahead():
    one = replica_of(machine="H200", attention_dp=1, ep=1)
    assert ranks_of(one).count == 1
    static = named_scheduler("static", Scheduler())
    assert engine_scheduler(one, static) == static
    assert not engine_scheduler(one, Scheduler(interval=0.02)).overlap
