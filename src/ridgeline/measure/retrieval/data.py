"""Vectors that look like embeddings: clusters with a low-rank spread, neither uniform nor tied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["vectors"]

# Directions in which members of a cluster spread, and the isotropic rest. Text embeddings have
# an intrinsic dimension of a few tens whatever their nominal one.
_RANK = 24
_REST = 0.05
_CHUNK = 50_000


def vectors(n: int, dim: int, *, seed: int = 0, kind: str = "clustered",
            sample: int = 0) -> Array:
    """Draw `n` unit vectors of `dim` numbers.

    Args:
        n: how many.
        dim: numbers of a vector.
        seed: of the clusters, or of the Gaussian.
        kind: "clustered", or "gaussian" for vectors without structure.
        sample: 0 for the stored set, another number for queries from the same clusters.

    Returns:
        float32 array of shape (n, dim).
    """
    import numpy as np

    out = np.empty((n, dim), np.float32)
    draws = np.random.default_rng([seed, sample, 1])
    place = _clusters(dim, seed) if kind == "clustered" else None
    for start, stop in _chunks(n):
        out[start:stop] = _chunk(stop - start, dim, draws, place)
    return out


def _chunks(n: int) -> Iterator[tuple[int, int]]:
    yield from ((start, min(n, start + _CHUNK)) for start in range(0, n, _CHUNK))


def _clusters(dim: int, seed: int) -> tuple[Array, Array]:
    """Centres and the shared directions of spread."""
    import numpy as np

    draws = np.random.default_rng([seed, 0, 0])
    centres = draws.standard_normal((512, dim), dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    spread = draws.standard_normal((min(_RANK, dim), dim), dtype=np.float32)
    return centres, spread / np.linalg.norm(spread, axis=1, keepdims=True)


def _chunk(n: int, dim: int, draws: Any, place: tuple[Array, Array] | None) -> Array:
    import numpy as np

    noise: Array = draws.standard_normal((n, dim), dtype=np.float32)
    if place is not None:
        centres, spread = place
        # Cluster sizes fall off as in real collections: squaring a uniform draw favours the first.
        which = (len(centres) * draws.random(n) ** 2).astype(int)
        along = draws.standard_normal((n, len(spread)), dtype=np.float32) / len(spread) ** 0.5
        noise = centres[which] + along @ spread + _REST * noise
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    return noise
