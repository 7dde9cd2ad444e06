"""The two estimators of the engine layer: costs by least squares, corrections by ridge."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.serving.latency import KINDS
from ridgeline.timing.engine import FIXED

__all__ = ["Costs", "Ridge", "fit_costs", "fit_first_token"]

Array = np.ndarray[Any, np.dtype[np.float64]]

# Allowed log factors on kernel times, and how strongly they are held at 1.
_FACTOR = (-0.8, 1.2)
_HOLD = 12.0
# How strongly an engine's costs are held, in log, at those of all engines together: each was
# measured on a handful of models, which cannot tell a cost a layer from one a step.
_TOGETHER = 1.0
# Allowed range of each fixed cost [s], in the order of FIXED.
_FIXED_LOW = (1e-6, 1e-8, 1e-8, 1e-8, 1e-10)
_FIXED_HIGH = (1.5e-2, 2e-4, 2e-4, 5e-5, 5e-6)
_FIXED_START = (5e-4, 1e-5, 1e-5, 3e-6, 1e-7)
# Time before a first token beside the kernels of steps: a request, a layer, a mixture [s].
FIRST = ("request", "prompt_layer", "prompt_mixture")
_FIRST_LOW, _FIRST_HIGH = (1e-3, 1e-6, 1e-6), (0.3, 5e-3, 5e-3)
_FIRST_START = (5e-3, 2e-4, 4e-4)
# How strongly an engine's are held near those of all engines, as _TOGETHER.
_FIRST_TOGETHER = 6.0
# Weights of sizes are held at 0 more strongly than those of the level itself.
_SIZES = (1.0, 3.0, 3.0, 3.0, 3.0)
_ROUNDS, _OUTLIER = 6, 0.08


@dataclass(frozen=True)
class Costs:
    """Costs of one engine.

    Attributes:
        factors: on kernel times, in the order of KINDS.
        fixed: seconds a step, layer, mixture, sequence and prompt token, in the order of FIXED.
        first: seconds before a first token, beside the kernels of steps, in the order of FIRST.
    """

    factors: Array
    fixed: Array
    first: tuple[float, ...] = (0.0, 0.0, 0.0)

    def seconds(self, components: Array) -> Any:
        """Time of a component vector, or of rows of them [s]."""
        return components @ np.concatenate([self.factors, self.fixed])

    def first_token(self, wait: Any, decode: Any, steps: Any, layers: Any) -> Any:
        """Time to first token from the replayed wait and the decode step [s].

        Args:
            wait, decode: seconds.
            steps: decode steps that clients wait for besides.
            layers: layers, and those with routed experts, in the last axis; less where their
                prompts run in captured graphs.
        """
        request, layer, mixture = self.first
        return (request + layer * layers[..., 0] + mixture * layers[..., 1] + wait
                + steps * decode)

    def to_json(self) -> dict[str, Any]:
        """The form of engines.json."""
        return {**{name: float(f"{v:.4g}") for name, v in zip(FIXED, self.fixed, strict=True)},
                **{name: float(f"{v:.4g}") for name, v in zip(FIRST, self.first, strict=True)},
                "kernels": {k: round(float(v), 3) for k, v in zip(KINDS, self.factors,
                                                                  strict=True)}}


def fit_costs(components: Array, real: Array, weights: Array, usual: Costs | None = None
              ) -> Costs:
    """Costs that explain measured times per output token.

    Args:
        components: replayed times, shape (n, kinds + fixed).
        real: measured [s].
        weights: of each row.
        usual: costs of all engines together, near which those of one are looked for.
    """
    from scipy.optimize import least_squares

    kinds, root = len(KINDS), np.sqrt(weights)
    known = None if usual is None else np.log(usual.fixed)

    def residuals(theta: Array) -> Array:
        predicted = components @ np.exp(theta)
        apart = theta[kinds:] - known if known is not None else np.zeros(0)
        return np.concatenate([root * np.log(predicted / real), _HOLD * theta[:kinds],
                               _TOGETHER * apart])

    low = np.concatenate([np.full(kinds, _FACTOR[0]), np.log(_FIXED_LOW)])
    high = np.concatenate([np.full(kinds, _FACTOR[1]), np.log(_FIXED_HIGH)])
    start = np.concatenate([np.zeros(kinds), np.log(_FIXED_START) if known is None else known])
    start = np.clip(start, low + 1e-6, high - 1e-6)
    found = least_squares(residuals, start, loss="soft_l1", f_scale=0.1, bounds=(low, high))
    values = np.exp(found.x)
    return Costs(values[:kinds], values[kinds:])


def fit_first_token(costs: Costs, wait: Array, decode: Array, steps: Array, layers: Array,
                    real: Array, weights: Array, usual: Costs | None = None) -> Costs:
    """The costs with the time outside the steps that explains measured first tokens."""
    from scipy.optimize import least_squares

    root = np.sqrt(weights)
    centre = np.log(_FIRST_START if usual is None else usual.first)

    def residuals(theta: Array) -> Array:
        trial = dataclasses.replace(costs, first=tuple(np.exp(theta)))
        apart = theta - centre if usual is not None else np.zeros(0)
        return np.concatenate([root * np.log(trial.first_token(wait, decode, steps, layers) / real),
                               _FIRST_TOGETHER * apart])

    low, high = np.log(_FIRST_LOW), np.log(_FIRST_HIGH)
    found = least_squares(residuals, np.clip(centre, low + 1e-6, high - 1e-6), loss="soft_l1",
                          f_scale=0.2, bounds=(low, high))
    return dataclasses.replace(costs, first=tuple(float(v) for v in np.exp(found.x)))


@dataclass(frozen=True)
class Ridge:
    """Weights of the sizes for every key of every level."""

    weights: Mapping[str, Mapping[str, Array]]

    @classmethod
    def fit(cls, keys: Mapping[str, Array], numbers: Array, target: Array, weights: Array,
            use: Array, hold: Mapping[str, float], flat: bool = False) -> Ridge:
        """Robust ridge regression (Huber weights) on the rows in use.

        Args:
            keys: level -> key of each row.
            numbers: sizes of each row, a 1 first.
            target: log shift to learn.
            weights: of each row.
            use: rows to learn from.
            hold: level -> how strongly its weights are held at 0.
            flat: whether the sizes are held ten times as strongly.
        """
        names = [(level, key) for level in hold for key in np.unique(keys[level][use])]
        design = np.concatenate([(keys[level][use] == key)[:, None] * numbers[use]
                                 for level, key in names], axis=1)
        sizes = np.array(_SIZES) * np.where(np.arange(len(_SIZES)) > 0, 10.0 if flat else 1.0, 1.0)
        pull = np.concatenate([hold[level] * sizes for level, _ in names])
        base, real = weights[use], target[use]
        row_weights, solution = base, np.zeros(design.shape[1])
        for _ in range(_ROUNDS):
            weighted = design * row_weights[:, None]
            solution = np.linalg.solve(weighted.T @ design + np.diag(pull**2), weighted.T @ real)
            left = np.abs(real - design @ solution)
            row_weights = base * np.minimum(1.0, _OUTLIER / np.maximum(left, 1e-9))
        size = numbers.shape[1]
        out: dict[str, dict[str, Array]] = {}
        for i, (level, key) in enumerate(names):
            out.setdefault(level, {})[str(key)] = solution[i * size:(i + 1) * size]
        return cls(out)

    def predict(self, keys: Mapping[str, Array], numbers: Array) -> Array:
        """Log shift of each row before the bound; unknown keys count as 0."""
        total = np.zeros(len(numbers))
        none = np.zeros(numbers.shape[1])
        for level, table in self.weights.items():
            total += np.array([table.get(str(k), none) @ x
                               for k, x in zip(keys[level], numbers, strict=True)])
        return total

    def to_json(self) -> dict[str, dict[str, list[float]]]:
        """Plain lists, rounded."""
        return {level: {key: [round(float(w), 4) for w in weights]
                        for key, weights in table.items()}
                for level, table in self.weights.items()}
