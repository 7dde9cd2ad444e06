"""The estimators of the engine layer find what made-up data were made with."""

import numpy as np
import pytest

from ridgeline.measure.fit.engine_parts import Costs, Ridge, fit_costs, fit_first_token
from ridgeline.serving.latency import COMPONENTS, KINDS
from ridgeline.timing.adjust import LEVELS

RNG = np.random.default_rng(7)


def components(count=400):
    kernels = RNG.lognormal(-6.0, 1.0, (count, len(KINDS)))
    layers = RNG.integers(20, 90, count)
    counts = np.stack([np.ones(count), layers, layers * RNG.integers(0, 2, count),
                       RNG.integers(1, 256, count), RNG.integers(0, 4000, count)], axis=1)
    return np.concatenate([kernels, counts], axis=1)


def test_costs_come_back_from_clean_data():
    x = components()
    true = Costs(np.full(len(KINDS), 1.0), np.array([2e-3, 2e-5, 3e-5, 1e-5, 1e-7]))
    real = true.seconds(x)
    found = fit_costs(x, real, np.ones(len(x)))
    assert found.seconds(x) == pytest.approx(real, rel=0.02)
    assert len(found.to_json()["kernels"]) == len(KINDS) and len(COMPONENTS) == x.shape[1]


def test_few_rows_keep_near_the_costs_of_all_engines():
    """Rows of one model cannot tell a cost a step from one a layer; others can."""
    usual = Costs(np.ones(len(KINDS)), np.array([2e-3, 2e-5, 3e-5, 1e-5, 1e-7]))
    x = components(30)
    x[:, len(KINDS) + 1], x[:, len(KINDS) + 2] = 60, 0
    real = usual.seconds(x) * 1.1
    alone = fit_costs(x, real, np.ones(30)).fixed
    held = fit_costs(x, real, np.ones(30), usual).fixed
    away = [np.abs(np.log(found / usual.fixed))[:2].max() for found in (alone, held)]
    assert away[1] < 0.85 * away[0]


def test_outliers_do_not_rule():
    x = components()
    true = Costs(np.ones(len(KINDS)), np.array([2e-3, 2e-5, 3e-5, 1e-5, 1e-7]))
    real = true.seconds(x)
    real[::15] *= 8
    error = np.abs(fit_costs(x, real, np.ones(len(x))).seconds(x) / true.seconds(x) - 1)
    assert np.median(error) < 0.03


def test_time_outside_the_steps_comes_back():
    wait, decode = RNG.lognormal(-3, 1, 300), RNG.lognormal(-4.5, 0.7, 300)
    steps, layers = RNG.integers(2, 50, 300), RNG.integers(0, 90, (300, 2))
    real = 0.05 + 1e-3 * layers[:, 0] + 2e-3 * layers[:, 1] + wait + steps * decode
    found = fit_first_token(Costs(np.ones(len(KINDS)), np.ones(5)), wait, decode, steps, layers,
                            real, np.ones(300))
    assert found.first == pytest.approx((0.05, 1e-3, 2e-3), rel=0.02)
    assert found.first_token(wait, decode, steps, layers) == pytest.approx(real, rel=0.02)


HOLD = {level: hold for level, (_, hold) in LEVELS.items()}


def test_ridge_learns_a_kind_and_leaves_the_unknown_alone():
    kinds = np.array(["a", "b"] * 100)
    keys = {level: np.full(200, "same") for level in HOLD} | {"mode": kinds}
    numbers = np.concatenate([np.ones((200, 1)), np.zeros((200, 4))], axis=1)
    target = np.where(kinds == "a", 0.3, -0.2) + RNG.normal(0, 0.02, 200)
    ridge = Ridge.fit(keys, numbers, target, np.ones(200), np.ones(200, bool), HOLD)
    assert ridge.predict(keys, numbers) == pytest.approx(np.where(kinds == "a", 0.3, -0.2),
                                                         abs=0.05)
    unknown = {level: np.array(["never seen"]) for level in HOLD}
    assert ridge.predict(unknown, numbers[:1]) == pytest.approx([0.0])


def test_flat_weights_leave_sizes_almost_alone():
    """A slope in the data is learned by free weights and hardly by flat ones."""
    sizes = RNG.normal(0, 1, 200)
    numbers = np.stack([np.ones(200), sizes, *np.zeros((3, 200))], axis=1)
    keys = {"all": np.full(200, "")}
    free, flat = (Ridge.fit(keys, numbers, 0.05 * sizes, np.ones(200), np.ones(200, bool),
                            {"all": 1.0}, flat=flat) for flat in (False, True))
    assert free.weights["all"][""][1] == pytest.approx(0.05, rel=0.05)
    assert abs(flat.weights["all"][""][1]) < 0.03
