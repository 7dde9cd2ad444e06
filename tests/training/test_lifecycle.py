"""Sardana's worked example, the fact table's optima, and the balance of a model's life."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import BadInput
from ridgeline.training import lifecycle
from ridgeline.training.scaling import get_law

# (law, N of the Chinchilla optimum that sets the loss, D_inf) -> N*, D*, saving.
SERVED = {
    ("hoffmann", 7e9, 1e11): (6.05e9, 0.344e12, 0.007),
    ("hoffmann", 13e9, 2e12): (7.12e9, 1.295e12, 0.163),
    ("hoffmann", 30e9, 1e13): (13.93e9, 4.575e12, 0.266),
    ("hoffmann", 70e9, 5e12): (49.9e9, 6.685e12, 0.047),
    ("besiroglu", 7e9, 1e11): (5.60e9, 0.184e12, 0.022),
    ("besiroglu", 13e9, 2e12): (6.10e9, 0.737e12, 0.290),
    ("besiroglu", 30e9, 1e13): (11.62e9, 2.449e12, 0.427),
    ("besiroglu", 70e9, 5e12): (38.9e9, 2.720e12, 0.176),
}


@pytest.mark.parametrize("case", SERVED, ids=lambda c: f"{c[0]}-{c[1]:g}")
def test_serving_optimum(case: tuple[str, float, float]) -> None:
    law = get_law(case[0])
    start = lifecycle.compute_optimum(law, law.flop_of_params(case[1]), case[2])
    best = lifecycle.serving_optimum(law, start.loss, case[2])
    n_params, tokens, saving = SERVED[case]
    assert (best.n_params, best.tokens) == pytest.approx((n_params, tokens), rel=2e-3)
    assert (start.flop - best.flop) / start.flop == pytest.approx(saving, abs=6e-4)
    assert best.loss == pytest.approx(start.loss)


def test_sardana_headline() -> None:
    law = get_law("sardana")
    start = lifecycle.compute_optimum(law, law.flop_of_params(13e9), 2e12)
    best = lifecycle.serving_optimum(law, start.loss, 2e12)
    assert best.n_params == pytest.approx(7e9, rel=5e-3)
    assert start.flop - best.flop == pytest.approx(1.69e22, rel=5e-3)
    assert (start.flop - best.flop) / start.flop == pytest.approx(0.174, rel=5e-3)


def test_chinchilla_quality_served_long() -> None:
    law = get_law("besiroglu")
    loss = lifecycle.compute_optimum(law, 5.88e23).loss
    for served, n_params, tokens, ratio in ((1e13, 34.5e9, 3.75e12, 109),
                                            (1e14, 21.2e9, 13.1e12, 619)):
        best = lifecycle.serving_optimum(law, loss, served)
        assert (best.n_params, best.tokens) == pytest.approx((n_params, tokens), rel=5e-3)
        assert best.tokens / best.n_params == pytest.approx(ratio, rel=5e-3)


@given(st.floats(1e10, 1e15))
def test_serving_makes_models_smaller_and_never_costs_more(served: float) -> None:
    law = get_law("besiroglu")
    start = lifecycle.compute_optimum(law, 1e23, served)
    best = lifecycle.serving_optimum(law, start.loss, served)
    assert best.n_params <= start.n_params * 1.001
    assert best.flop <= start.flop * 1.0001


def test_cheap_training_makes_it_smaller_still() -> None:
    law = get_law("besiroglu")
    plain = lifecycle.serving_optimum(law, 2.0, 1e13)
    dear = lifecycle.serving_optimum(law, 2.0, 1e13, train_mfu=0.4, serve_mfu=0.1)
    assert dear.n_params < plain.n_params


def test_balance_of_a_life() -> None:
    tokens = lifecycle.balanced_serving_tokens(tokens=20e12)
    assert tokens == 60e12
    assert tokens / 365 == pytest.approx(164e9, rel=5e-3)
    pre = lifecycle.lifecycle_cost(n_params=100e9, tokens=20e12, inference_tokens=0.0)
    serve = lifecycle.lifecycle_cost(n_params=100e9, tokens=0.0, inference_tokens=tokens)
    rl = lifecycle.rl_flop(n_params=100e9, rollout_tokens=15e12)
    assert (pre, serve, rl) == pytest.approx((1.2e25, 1.2e25, 1.2e25))
    assert lifecycle.budget_share(elasticity=2.0, elasticity_sum=5.0) == 0.4


def test_rollouts_dominate_at_decode_speed() -> None:
    whole = lifecycle.rl_chip_seconds(n_params=1e9, rollout_tokens=1e9, peak_flops_per_s=1e15,
                                      train_mfu=0.4, serve_mfu=0.05)
    rollouts = lifecycle.rl_chip_seconds(n_params=1e9, rollout_tokens=1e9, peak_flops_per_s=1e15,
                                         trained_share=0.0, serve_mfu=0.05)
    assert rollouts / whole > 0.7


def test_scarce_data_wants_a_larger_model() -> None:
    law = get_law("besiroglu")
    free = lifecycle.data_limited_optimum(law, 8.4e23, 1e14)
    short = lifecycle.data_limited_optimum(law, 8.4e23, 1e11)
    assert (free.n_params, free.tokens) == pytest.approx(law.split(8.4e23), rel=1e-3)
    assert short.n_params > free.n_params and short.loss > free.loss


@pytest.mark.parametrize("call", [
    lambda law: lifecycle.compute_optimum(law, 0.0),
    lambda law: lifecycle.serving_optimum(law, 2.0, -1.0),
    lambda law: lifecycle.serving_optimum(law, 2.0, 1e12, serve_mfu=0.0),
    lambda law: lifecycle.data_limited_optimum(law, 1e20, 0.0),
])
def test_bad_input(call) -> None:
    with pytest.raises(BadInput):
        call(get_law("besiroglu"))
