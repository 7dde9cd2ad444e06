"""Worked values of test-time compute."""

import pytest

from ridgeline.errors import BadInput
from ridgeline.model.load import load_architecture
from ridgeline.reasoning.compute import (
    chains_kv_bytes,
    equal_flop_inference_multiplier,
    equal_flop_samples,
    flop_ratio,
    routed_cost,
    thinking_flop,
)

SMALL, LARGE = (float(load_architecture(m).active_params) for m in ("Llama-3.1-8B",
                                                                    "Llama-3.1-70B"))


def test_sixteen_answers_of_the_small_model():
    flop = thinking_flop(samples=16, output_tokens=2000, active_params=SMALL)
    assert flop == pytest.approx(5.14e14, rel=5e-3)
    assert flop_ratio(samples=16, output_tokens=2000, active_params=SMALL, large_tokens=500,
                      large_params=LARGE) == pytest.approx(7.28, rel=5e-3)


def test_equal_flop_samples():
    assert equal_flop_samples(active_params=SMALL, large_params=LARGE, output_tokens=500,
                              large_tokens=500) == pytest.approx(8.79, rel=5e-3)
    # Spending that many samples is the large model's FLOP again.
    n = equal_flop_samples(active_params=SMALL, large_params=LARGE, output_tokens=2000,
                           large_tokens=500)
    assert thinking_flop(samples=n, output_tokens=2000, active_params=SMALL) == pytest.approx(
        thinking_flop(samples=1, output_tokens=500, active_params=LARGE))


def test_tree_search():
    assert thinking_flop(samples=64, output_tokens=256, active_params=SMALL) == pytest.approx(
        2.63e14, rel=5e-3)


def test_cache_of_a_long_chain():
    model = load_architecture("Meta-Llama-3-70B")
    per_token = float(model.cache_bytes(1000.0)) / 1000
    assert chains_kv_bytes(kv_bytes_per_token=per_token, context_length=32768,
                           samples=1) == pytest.approx(10.74e9, rel=5e-3)


def test_routing():
    assert routed_cost(route_shares=(0.8, 0.2), route_costs=(1, 16)) == pytest.approx(4.0)


@pytest.mark.parametrize(("share", "expected"), [(0.16, 257.75), (0.79, 63.37), (22, 15.77)])
def test_training_counted_too(share, expected):
    found = equal_flop_inference_multiplier(size_ratio=14, inference_share=share)
    assert found == pytest.approx(expected, rel=5e-3)
    # The definition: M (6 N D + 2 N T) = 6 N D + 2 N m T, with R = T / D.
    n, d = 1e9, 1e12
    t = share * d
    assert 14 * (6 * n * d + 2 * n * t) == pytest.approx(6 * n * d + 2 * n * found * t)


def test_routes_must_match():
    with pytest.raises((ValueError, BadInput)):
        routed_cost(route_shares=(1.0,), route_costs=(1.0, 2.0))
