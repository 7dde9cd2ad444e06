"""A reversible network that runs: activations are recovered from the output, not stored.

    y1 = x1 + F(x2);  y2 = x2 + G(y1)        forward
    x2 = y2 - G(y1);  x1 = y1 - F(x2)        inverse

Sources: Gomez et al. 2017 (arXiv 1707.04585), equations 6 and 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class ReversibleNet:
    """A stack of reversible blocks; F and G are one-hidden-layer networks.

    Attributes:
        weights: for each block, the matrices (w_in, w_out) of F and of G.
    """

    weights: tuple[tuple[Array, Array, Array, Array], ...]

    @classmethod
    def random(cls, *, n_layers: int, d_model: int, seed: int = 0) -> ReversibleNet:
        """A net with seeded normal weights scaled to keep activations near one, in fp32.

        Raises:
            BadInput: no layer or no width.
        """
        if n_layers < 1 or d_model < 1:
            raise BadInput(f"a reversible net needs layers and width of at least 1, not "
                           f"{n_layers} and {d_model}")
        import numpy as np

        rng = np.random.default_rng(seed)
        scale = (d_model * n_layers) ** -0.5

        def matrix() -> Array:
            values: Array = rng.standard_normal((d_model, d_model)) * scale
            return values.astype(np.float32)

        return cls(tuple((matrix(), matrix(), matrix(), matrix()) for _ in range(n_layers)))

    def forward(self, x1: Array, x2: Array) -> tuple[Array, Array]:
        """Both output streams; nothing else is kept."""
        for f_in, f_out, g_in, g_out in self.weights:
            x1 = x1 + _branch(x2, f_in, f_out)
            x2 = x2 + _branch(x1, g_in, g_out)
        return x1, x2

    def inverse(self, y1: Array, y2: Array) -> tuple[Array, Array]:
        """Both input streams, from the output streams alone."""
        for f_in, f_out, g_in, g_out in reversed(self.weights):
            y2 = y2 - _branch(y1, g_in, g_out)
            y1 = y1 - _branch(y2, f_in, f_out)
        return y1, y2


def _branch(x: Array, w_in: Array, w_out: Array) -> Array:
    import numpy as np

    out: Array = np.tanh(x @ w_in) @ w_out
    return out


def round_trip_error(*, n_layers: int, d_model: int, seq_len: int, seed: int = 0) -> float:
    """Largest absolute error of inputs recovered from outputs, in fp32.

    Args:
        n_layers: reversible blocks [1].
        d_model: width of each stream [1].
        seq_len: rows [tokens].
        seed: of weights and inputs.

    Returns:
        largest |x - inverse(forward(x))| over both streams [1]; inputs are standard normal.

    Raises:
        BadInput: no layer or no width.
    >>> round_trip_error(n_layers=8, d_model=64, seq_len=32) < 1e-5
    True
    """
    import numpy as np

    net = ReversibleNet.random(n_layers=n_layers, d_model=d_model, seed=seed)
    rng = np.random.default_rng(seed + 1)
    x1, x2 = rng.standard_normal((2, seq_len, d_model)).astype(np.float32)
    back1, back2 = net.inverse(*net.forward(x1, x2))
    return float(max(np.abs(back1 - x1).max(), np.abs(back2 - x2).max()))
