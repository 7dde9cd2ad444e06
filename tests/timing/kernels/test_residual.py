"""The learned correction: bounded, constant outside its box, the same after a round trip, fast."""

import json
import time

import numpy as np

from ridgeline.measure.fit.fitting import Training, conformal, train_residual
from ridgeline.timing.kernels.residual import Residual, Spread, asked_apart


def _net(bound: float = 0.5) -> Residual:
    rng = np.random.default_rng(1)
    x = rng.uniform(-2, 2, (4000, 3))
    return train_residual(x, 0.4 * np.sin(x[:, 0]) * x[:, 1], Training(steps=800, bound=bound))


def test_it_learns_a_smooth_correction():
    x = np.random.default_rng(2).uniform(-2, 2, (2000, 3))
    y = np.clip(0.4 * np.sin(x[:, 0]) * x[:, 1], -0.5, 0.5)
    assert np.median(np.abs(_net()(x) - y)) < 0.02


def test_it_never_leaves_its_bound_and_is_constant_outside_the_box():
    net, far = _net(0.2), np.array([[50.0, 50, 50], [1e6, 1e6, 1e6], [2, 2, 2]])
    out = net(far)
    assert np.all(np.abs(net(far * np.array([1, -1, 1]))) <= 0.2)
    # The box ends at the largest sample, just under 2.
    np.testing.assert_allclose(out, out[0], atol=1e-3)


def test_round_trip_through_json_moves_log_time_by_less_than_half_a_percent():
    net = _net()
    back = Residual.from_json(json.loads(json.dumps(net.to_json())))
    x = np.random.default_rng(3).uniform(-2, 2, (500, 3))
    np.testing.assert_allclose(back(x), net(x), atol=5e-3)


def test_a_million_rows_take_less_than_a_second():
    net, x = _net(), np.random.default_rng(4).standard_normal((1_000_000, 3))
    start = time.process_time()
    net(x)
    assert time.process_time() - start < 1.0


def test_pieces_asked_together_are_what_they_are_alone_to_the_bit():
    net, rng = _net(), np.random.default_rng(6)
    lengths = [1, 7, 0, 300, 2, 1023, 65, 5000]
    x = rng.standard_normal((sum(lengths), 3))
    starts = np.cumsum([0, *lengths[:-1]])
    alone = [net(x[a:a + n]) for a, n in zip(starts, lengths, strict=True)]
    with asked_apart(lengths):
        np.testing.assert_array_equal(net(x), np.concatenate(alone))
    np.testing.assert_allclose(net(x), np.concatenate(alone), rtol=0, atol=1e-6)


def test_training_is_deterministic():
    np.testing.assert_array_equal(_net().layers[0][0], _net().layers[0][0])


def test_conformal_widths_cover_fresh_draws():
    rng = np.random.default_rng(5)
    t = 10 ** rng.uniform(-6, -2, 8000)
    spread = conformal(rng.standard_normal(8000) * np.where(t < 1e-4, 0.02, 0.2), t)
    spread = Spread.from_json(json.loads(json.dumps(spread.to_json())))
    t = 10 ** rng.uniform(-6, -2, 8000)
    q = spread(t)
    error = rng.standard_normal(8000) * np.where(t < 1e-4, 0.02, 0.2)
    assert 0.77 < np.mean((error >= q[:, 1]) & (error <= q[:, 2])) < 0.83
    assert q[t < 1e-5][:, 2].mean() < 0.05 < q[t > 1e-3][:, 2].mean()
