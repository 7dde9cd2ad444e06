"""Each broken rule says what, the value seen and the nearest valid value; valid ones are silent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ridgeline.deployment import Deployment
from ridgeline.deployment.rules import broken_rules
from ridgeline.machine import Chip, Cluster
from ridgeline.model.architecture import Architecture
from ridgeline.model.parts import Attention, Block, DenseFfn, ExpertFfn, Mamba

H100 = Chip("H100-SXM", "NVIDIA", "Hopper", {"bf16": 989e12, "fp16": 989e12, "fp8": 1979e12},
            80 * 2**30, 3.35e12)


def model(heads: int = 64, kv: int = 8, ff: int = 28672, layers: int = 80,
          experts: ExpertFfn | None = None, weight_format: str = "bf16") -> Architecture:
    block = Block(Attention(heads, kv, 128), experts or DenseFfn(ff))
    return Architecture("Llama-3-70B", "llama", 8192, 128256, 8192, ((block, layers),), (), (),
                        True, (), weight_format=weight_format)


def rules(architecture: Architecture, chips: int = 8, **settings: object) -> tuple[str, ...]:
    return broken_rules(architecture, Deployment(**settings),  # type: ignore[arg-type]
                        Cluster(H100, chips, 8, None, None))


@pytest.mark.parametrize("settings", [
    {"tp": 8}, {"tp": 4, "pp": 2}, {"tp": 2, "dp": 4}, {"tp": 1, "pp": 8},
    {"tp": 8, "kv": "fp8", "weights": "fp8"}, {"tp": 8, "engine": "llamacpp", "kv": "q8_0"},
    {"tp": 8, "max_num_seqs": 256, "max_num_batched_tokens": 256, "memory_fraction": 1.0}])
def test_valid_deployments_break_nothing(settings: dict[str, object]) -> None:
    assert rules(model(), **settings) == ()


@pytest.mark.parametrize(("settings", "text"), [
    ({"tp": 0}, "tp is 0; it must be at least 1"),
    ({"tp": 4}, "tp 4 needs 4 chips and the machine has 8; set dp to 2 or take 4 chips"),
    ({"tp": 8, "dp": 2}, "needs 16 chips and the machine has 8"),
    ({"tp": 8, "ep": 8}, "ep 8 splits experts and Llama-3-70B has none; use 1"),
    ({"tp": 8, "kv": "int3"}, "vLLM has no KV cache in int3"),
    ({"tp": 8, "kv": "q8_0"}, "vLLM has no KV cache in q8_0"),
    ({"tp": 8, "engine": "vlm"}, "unknown engine 'vlm'; did you mean 'vLLM'"),
    ({"tp": 8, "weights": "fp9"}, "unknown number format 'fp9'"),
    ({"tp": 8, "memory_fraction": 1.2}, "memory_fraction is 1.2; it must be above 0"),
    ({"tp": 8, "block_size": 0}, "block_size is 0; it must be at least 1"),
    ({"tp": 8, "max_num_seqs": 512, "max_num_batched_tokens": 256},
     "max_num_batched_tokens 256 is below max_num_seqs 512"),
    ({"attention_dp": 8, "engine": "llamacpp"},
     "llama.cpp has no attention_dp; use attention_dp 1"),
    ({"tp": 8, "engine": "trtllm", "weights": "q4_k_m"}, "TensorRT-LLM has no weights in q4_k_m"),
])
def test_one_line_for_each_broken_rule(settings: dict[str, object], text: str) -> None:
    found = rules(model(), **settings)
    assert len(found) == 1, found
    assert text.lower() in found[0].lower()


def test_heads_and_widths() -> None:
    found = rules(model(heads=28, kv=4, ff=18944), tp=8)
    assert any("tp 8 does not divide the 28 heads; use 7" in line for line in found)
    found = rules(model(heads=24, kv=8, ff=24000), chips=12, tp=12)
    assert found == ("tp 12 neither divides nor is a multiple of the 8 KV heads; use 8",)
    found = rules(model(heads=72, kv=8, ff=28672), chips=6, tp=6)
    assert any("tp 6 does not divide the feed-forward width 28672; use 7" in line
               for line in found)


def test_layers_and_stages() -> None:
    assert any("pp 8 is more stages than the 4 layers; use at most 4" in line
               for line in rules(model(layers=4), pp=8))


def test_heads_of_a_state_space_layer_count() -> None:
    block = Block(Mamba(2, 8192, 128, 4, n_groups=8, n_heads=100), None)
    mixed = replace(model(), blocks=((block, 1),))
    assert any("does not divide the 100 heads; use 10" in line for line in rules(mixed, tp=8))


def test_experts() -> None:
    moe = model(experts=ExpertFfn(128, 8, 1536))
    assert rules(moe, tp=8) == ()
    assert rules(moe, tp=8, ep=8) == ()
    assert any("ep 3 does not divide the group of 8" in line and "use 4" in line
               for line in rules(moe, tp=8, ep=3))
    odd = model(experts=ExpertFfn(60, 4, 1408))
    assert any("ep 8 does not divide 60 experts; use 4" in line
               for line in rules(odd, tp=8, ep=8))


def test_blocks_of_fp8_must_stay_whole() -> None:
    """Qwen3-235B-A22B-FP8 cannot split its experts of 1,536 eight ways: 192 is not 128 x n."""
    moe = model(experts=ExpertFfn(128, 8, 1536), weight_format="fp8_block")
    assert rules(moe, tp=4, dp=2) == ()
    (line,) = rules(moe, tp=8)
    assert line == ("experts split 8 ways do not divide blocks of 128 in the expert width 1536; "
                    "use ep 2")
    assert rules(moe, tp=8, ep=2) == ()


def test_an_engine_that_does_not_run_on_the_chip() -> None:
    cluster = Cluster(replace(H100, name="MI300X", vendor="AMD"), 8, 8, None, None)
    (line,) = broken_rules(model(), Deployment(tp=8, engine="trtllm"), cluster)
    assert line == "TensorRT-LLM does not run on AMD; it runs on NVIDIA"
