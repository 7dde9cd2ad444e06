"""Draws of a scaling law's constants from their published standard errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ridgeline.quantity import Quantity
from ridgeline.training.scaling import ParametricLaw, optimal_params, parametric_loss

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

__all__ = ["constants", "interval", "loss_interval", "params_interval"]

DRAWS = 4000


def constants(law: ParametricLaw, *, seed: int = 0, draws: int = DRAWS) -> dict[str, Array]:
    """Constants of a law as arrays of draws; every draw the same without published errors.

    The covariance is not published. A scale and its exponent move together in such fits (a larger
    A needs a larger alpha to meet the same losses), so ln A is taken as fully correlated with
    alpha and ln B with beta; drawn apart, the spread of the loss would be some three times wider
    than the scatter of the data allows.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    unit = random.standard_normal((3, draws))
    spread = {name: law.errors.get(name, 0.0) for name in (
        "loss_floor", "param_scale", "param_exponent", "token_scale", "token_exponent")}
    relative = {name: np.log1p(spread[name] / getattr(law, name))
                for name in ("param_scale", "token_scale")}
    return {
        "loss_floor": law.loss_floor + spread["loss_floor"] * unit[0],
        "param_scale": law.param_scale * np.exp(relative["param_scale"] * unit[1]),
        "param_exponent": law.param_exponent + spread["param_exponent"] * unit[1],
        "token_scale": law.token_scale * np.exp(relative["token_scale"] * unit[2]),
        "token_exponent": law.token_exponent + spread["token_exponent"] * unit[2],
    }


def interval(value: float, draws: Any, unit: str) -> Quantity:
    """A value with the central 80 % of its draws."""
    import numpy as np

    low, high = np.quantile(draws, [0.1, 0.9])
    return Quantity(value, min(value, float(low)), max(value, float(high)), unit, "derived")


def loss_interval(law: ParametricLaw, n_params: float, tokens: float, seed: int = 0) -> Quantity:
    """Loss of N parameters and D tokens with its 80 % interval."""
    value = float(law.loss(n_params, tokens))
    if not law.errors:
        return Quantity.exact(value, "1")
    return interval(value, parametric_loss(n_params=n_params, tokens=tokens,
                                           **constants(law, seed=seed)), "1")


def params_interval(law: ParametricLaw, flop: float, seed: int = 0) -> Quantity:
    """Parameters of least loss with their 80 % interval."""
    value = float(optimal_params(flop=flop, **law.allocation))
    if not law.errors:
        return Quantity.exact(value, "param")
    drawn = constants(law, seed=seed)
    drawn.pop("loss_floor")
    best: Callable[..., Any] = optimal_params
    return interval(value, best(flop=flop, **drawn), "param")
