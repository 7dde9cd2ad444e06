"""Whose kernels an engine's factors are for."""

import pytest

from ridgeline.catalog import load_chip
from ridgeline.errors import BadInput
from ridgeline.model.load import load_architecture
from ridgeline.timing.engine import CAPTURED, EngineCosts, engine_content, engine_costs


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
def test_factors_hold_where_servers_and_kernels_were_measured_side_by_side(engine):
    fitted = engine_costs(engine).kernels
    assert fitted
    for chip in {pair.split("|")[1] for pair in engine_content()["pairs"]}:
        assert engine_costs(engine, load_chip(chip)).kernels == fitted


def test_a_chip_of_another_family_keeps_its_measured_kernels():
    found = engine_costs("vllm", load_chip("RTX-PRO-6000"))
    assert found.kernels == () and found.factor("grouped_matmul") == 1.0
    assert found.layer == engine_costs("vllm").layer


def test_captured_prompts_spare_the_host_most_of_its_launches():
    dense, mixed = load_architecture("Llama-3.1-8B"), load_architecture("Qwen3-30B-A3B")
    costs = engine_costs("vllm")
    for model in (dense, mixed):
        launched = costs.outside(model) - costs.request
        assert costs.outside(model, captured=True) - costs.request == pytest.approx(
            CAPTURED * launched)
    a_layer = [costs.outside(m) / m.n_layers for m in (dense, mixed)]
    assert a_layer[0] < a_layer[1]


def test_pooled_kernels_need_the_factors():
    """No kernels of this card were measured: they come from others, as the factors do."""
    assert engine_costs("vllm", load_chip("RTX-4090")).kernels == engine_costs("vllm").kernels


def test_an_engine_never_measured_is_named():
    with pytest.raises(BadInput, match="nosuch"):
        engine_costs("nosuch")


def test_a_step_pays_for_its_layers_and_for_those_with_experts():
    costs = EngineCosts(step=1e-3, layer=1e-5, mixture=1e-6)
    dense, mixture = load_architecture("Llama-3.1-8B"), load_architecture("DeepSeek-V3")
    assert dense.mixtures == () and sum(count for _, count in mixture.mixtures) == 58
    assert costs.fixed(dense) == pytest.approx(1e-3 + 32e-5)
    assert costs.fixed(mixture) == pytest.approx(1e-3 + 61e-5 + 58e-6)
