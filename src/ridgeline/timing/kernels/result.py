"""What a kernel model answers: seconds, the interval around them and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

Distance = Literal["table", "backend", "architecture", "pooled", "physics"]
"""How far the constants are from the case, nearest first.

    table          measured on this chip, with this backend and format
    backend        measured on this chip and format with another backend
    architecture   pooled over other chips of the same architecture
    pooled         pooled over every chip measured
    physics        no measured kernel resembles it: bounds with assumed efficiencies
"""

DISTANCES: tuple[Distance, ...] = ("table", "backend", "architecture", "pooled", "physics")
LEVELS = (0.025, 0.1, 0.9, 0.975)
"""Quantiles of log(measured / predicted) kept with every calibration: ends of 95 and 80 %."""


@dataclass(frozen=True)
class KernelTime:
    """Predicted kernel times with calibrated intervals.

    Attributes:
        seconds: best estimate, one per case.
        log_quantiles: quantiles `LEVELS` of log(measured / predicted), shape (..., 4).
        distance: how far the constants come from.
        basis: "calibrated" where a measured table stands behind the number, else "assumed".
        note: a sentence for the user where the constants are not the obvious ones, else "".
    """

    seconds: Array
    log_quantiles: Array
    distance: Distance
    basis: Literal["calibrated", "assumed"] = "calibrated"
    note: str = ""

    def interval(self, level: float = 0.8) -> tuple[Array, Array]:
        """Ends of the 80 % (or 95 %) interval [s].

        Raises:
            ValueError: a level other than 0.8 or 0.95.
        """
        import numpy as np

        if level not in (0.8, 0.95):
            raise ValueError(f"intervals are kept at 0.8 and 0.95, not {level}")
        low, high = (1, 2) if level == 0.8 else (0, 3)
        width = np.exp(self.log_quantiles)
        return self.seconds * width[..., low], self.seconds * width[..., high]

    @property
    def log_sigma(self) -> Array:
        """Standard deviation of a normal law of log time with the same 80 % width."""
        sigma: Array = (self.log_quantiles[..., 2] - self.log_quantiles[..., 1]) / 2.5631
        return sigma
