"""Golden values: closed forms of the published constants, and Chinchilla itself."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import BadInput, UnknownName
from ridgeline.training import scaling
from ridgeline.training.kaplan import PF_DAY, kaplan_params, kaplan_tokens
from ridgeline.training.scaling import LAWS, get_law
from ridgeline.training.uncertainty import constants, loss_interval, params_interval

# Budget -> (N, D) by law, worked out apart from the package.
GOLDEN = {
    "hoffmann_rounded": {1e19: (2.280e8, 7.311e9), 1e21: (1.824e9, 9.136e10),
                         1e23: (1.460e10, 1.142e12), 5.76e23: (3.219e10, 2.982e12),
                         1e25: (1.168e11, 1.427e13), 3.8e25: (2.135e11, 2.967e13)},
    "hoffmann": {1e19: (2.709e8, 6.153e9), 1e21: (2.217e9, 7.517e10),
                 1e23: (1.815e10, 9.183e11), 5.76e23: (4.037e10, 2.378e12),
                 1e25: (1.486e11, 1.122e13), 3.8e25: (2.733e11, 2.317e13)},
    "besiroglu": {1e19: (2.622e8, 6.357e9), 1e21: (2.778e9, 5.999e10),
                  1e23: (2.945e10, 5.660e11), 5.76e23: (7.225e10, 1.329e12),
                  1e25: (3.121e11, 5.341e12), 3.8e25: (6.187e11, 1.024e13)},
}
LOSS_AT_1E23 = {"hoffmann_rounded": 2.0050, "hoffmann": 1.9885, "besiroglu": 2.0321}


@pytest.mark.parametrize("name", GOLDEN)
def test_allocation(name: str) -> None:
    for flop, (n_params, tokens) in GOLDEN[name].items():
        found = get_law(name).split(flop)
        assert found == pytest.approx((n_params, tokens), rel=1e-3)


@pytest.mark.parametrize("name", LOSS_AT_1E23)
def test_loss_at_the_optimum(name: str) -> None:
    law = get_law(name)
    assert float(law.loss(*law.split(1e23))) == pytest.approx(LOSS_AT_1E23[name], abs=6e-5)


def test_worked_values() -> None:
    law = get_law("besiroglu")
    assert law.split(5.88e23) == pytest.approx((73.0e9, 1.34e12), rel=5e-3)
    assert law.split(8.4e23) == pytest.approx((87.7e9, 1.60e12), rel=5e-3)
    assert float(law.loss(*law.split(8.4e23))) == pytest.approx(1.9642, rel=1e-4)
    rule = scaling.rule_of_thumb_params(flop=8.4e23)
    assert (rule, 20 * rule) == pytest.approx((83.7e9, 1.67e12), rel=5e-3)


def test_kaplan_grows_parameters_faster() -> None:
    assert kaplan_params(flop=PF_DAY) == pytest.approx(1.3e9)
    assert kaplan_params(flop=100 * PF_DAY) / kaplan_params(flop=PF_DAY) == pytest.approx(
        100 ** 0.73)
    assert kaplan_tokens(flop=1e4 * PF_DAY) == pytest.approx(2e10 * 1e4 ** 0.27)
    assert scaling.power_law_loss(amount=3.1e8, reference=3.1e8, exponent=0.05) == 1.0


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_the_optimum_beats_its_neighbours(law: scaling.ParametricLaw) -> None:
    for flop in (1e20, 1e24):
        best = float(law.split(flop)[0])
        at = [float(law.loss(n, flop / (6 * n))) for n in (0.9 * best, best, 1.1 * best)]
        assert at[1] < at[0] and at[1] < at[2]


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_inverses(law: scaling.ParametricLaw) -> None:
    n_params, tokens = (float(v) for v in law.split(3e23))
    loss = float(law.loss(n_params, tokens))
    assert law.flop_of_params(n_params) == pytest.approx(3e23)
    assert law.flop_of_tokens(tokens) == pytest.approx(3e23)
    assert law.flop_of_loss(loss) == pytest.approx(3e23)
    assert law.tokens_for_loss(n_params, loss) == pytest.approx(tokens)
    assert law.tokens_for_loss(1e3, loss) == math.inf


@given(st.floats(1e18, 1e27), st.floats(1.01, 100))
def test_more_compute_is_never_worse(flop: float, factor: float) -> None:
    law = get_law("besiroglu")
    assert law.loss(*law.split(flop * factor)) < law.loss(*law.split(flop))


def test_experts_help_at_equal_active_parameters() -> None:
    law = get_law("besiroglu")
    assert law.sparse(1.0).param_scale == law.param_scale
    sparse = law.sparse(0.1)
    assert sparse.loss(1e10, 1e12) == pytest.approx(
        law.loss(scaling.effective_params(active_params=1e10, total_params=1e11), 1e12))
    assert sparse.split(1e24)[0] < law.split(1e24)[0]
    with pytest.raises(BadInput, match="active_share"):
        law.sparse(0.0)


def test_repeats_are_worth_less_and_less() -> None:
    fresh = [scaling.repeated_tokens(tokens=d, unique_tokens=1e12)
             for d in (5e11, 1e12, 4e12, 4e13, 4e15)]
    assert fresh[0] == 5e11 and fresh[1] == 1e12
    assert 3.6e12 < fresh[2] < 4e12
    assert fresh[4] == pytest.approx(16.39e12)


def test_intervals_hold_the_value_and_repeat_with_the_seed() -> None:
    law = get_law("besiroglu")
    loss = loss_interval(law, 7e10, 1.4e12, seed=3)
    assert loss.low < loss.value < loss.high
    assert 0.01 < loss.high - loss.low < 0.2
    assert loss == loss_interval(law, 7e10, 1.4e12, seed=3)
    size = params_interval(law, 5.76e23)
    assert size.low < 70e9 < size.high
    drawn = constants(law, seed=1)
    assert np.std(drawn["loss_floor"]) == pytest.approx(0.02566, rel=0.05)
    assert np.std(drawn["param_exponent"]) == pytest.approx(0.0154, rel=0.05)
    assert loss_interval(get_law("hoffmann"), 1e9, 1e10).low == pytest.approx(
        get_law("hoffmann").loss(1e9, 1e10))


def test_bad_input() -> None:
    with pytest.raises(UnknownName, match="did you mean 'besiroglu'"):
        get_law("besirogl")
    with pytest.raises(BadInput, match="floor"):
        get_law("besiroglu").flop_of_loss(1.8)
