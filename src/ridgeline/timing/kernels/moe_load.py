"""How routing spreads tokens over experts: what the busiest expert-parallel rank has to do.

    rows    = sum of l_e over the rank's experts, l_e tokens sent to expert e
    active  = number of experts with l_e > 0
    tiles_b = sum of ceil(l_e / b)

Loads by routing, for T tokens choosing K of E experts:
    balanced       T K / E each, dealt one by one when there are fewer tokens than experts
    uniform        every token chooses at random: one fixed multinomial draw
    power_law_a    loads in proportion to samples of density x^-a on [1, 0.8 T], taken at evenly
                   spaced quantiles and dealt to ranks in a fixed random order

Sources: own derivation; the power law is the one public MoE benchmarks draw from.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import BadInput

Array = NDArray[np.floating[Any]]

BLOCKS = (16, 64, 128)
"""Row blocks whose tile counts are kept."""


def rank_loads(*, tokens: Any, top_k: Any, experts: Any, ep: Any, routing: str) -> Array:
    """(rows, active, tiles_16, tiles_64, tiles_128) of the busiest rank, shape (N, 5).

    Args:
        tokens: tokens routed by the whole expert-parallel group, shape (N,).
        top_k: experts a token chooses. experts: in all. ep: ranks they are spread over.
        routing: "balanced", "uniform" or "power_law_<exponent>".
    Raises:
        BadInput: an unknown routing, or more choices than experts.
    """
    columns = (np.atleast_1d(np.asarray(v, dtype=float)) for v in (tokens, top_k, experts, ep))
    cases = np.stack(np.broadcast_arrays(*columns), axis=1)
    unique, inverse = np.unique(cases, axis=0, return_inverse=True)
    table = np.array([_one(*map(float, case), routing) for case in unique])
    found: Array = table[inverse.ravel()]
    return found


@functools.lru_cache(maxsize=65536)
def _one(tokens: float, top_k: float, experts: float, ep: float, routing: str
         ) -> tuple[float, ...]:
    if top_k > experts:
        raise BadInput(f"top_k {top_k:g} is more than the {experts:g} experts there are")
    n_experts, n_ranks = int(experts), max(1, int(ep))
    loads = _loads(round(tokens * top_k), n_experts, tokens, routing)
    per_rank = -(-n_experts // n_ranks)
    if len(loads) % per_rank:
        loads = np.concatenate([loads, np.zeros(per_rank - len(loads) % per_rank)])
    ranks = loads.reshape(-1, per_rank)
    busiest = ranks[np.argmax(ranks.sum(axis=1))]
    return (float(busiest.sum()), float(np.count_nonzero(busiest)),
            *(float(np.ceil(busiest / b).sum()) for b in BLOCKS))


@functools.lru_cache(maxsize=4096)
def _loads(choices: int, n_experts: int, tokens: float, routing: str) -> Array:
    """Tokens of each expert; read only, as all ways to spread the experts share them."""
    loads = _drawn(choices, n_experts, tokens, routing)
    loads.setflags(write=False)
    return loads


def _drawn(choices: int, n_experts: int, tokens: float, routing: str) -> Array:
    if routing == "balanced":
        loads = np.full(n_experts, choices // n_experts, dtype=float)
        # Left-over choices go round the ranks, not all to the first one.
        spread = (np.arange(choices % n_experts) * n_experts) // max(1, choices % n_experts)
        loads[spread] += 1.0
        return loads
    rng = np.random.default_rng(n_experts)
    if routing == "uniform":
        drawn: Array = rng.multinomial(choices, np.full(n_experts, 1.0 / n_experts)).astype(float)
        return drawn
    if routing.startswith("power_law_"):
        weights = _power_law(float(routing.removeprefix("power_law_")), n_experts, tokens)
        return _apportion(weights[rng.permutation(n_experts)], choices, tokens)
    raise BadInput(f"unknown routing {routing!r}; accepted: balanced, uniform, power_law_1.01, "
                   "power_law_1.2 (any exponent)")


def _power_law(exponent: float, n: int, tokens: float) -> Array:
    low, high = 1.0, max(0.8 * tokens, 1.0 + 1e-9)
    u = (np.arange(n) + 0.5) / n
    p = 1.0 - exponent
    if abs(p) < 1e-9:
        flat: Array = low * (high / low) ** u
        return flat
    drawn: Array = (low**p + u * (high**p - low**p)) ** (1.0 / p)
    return drawn


def _apportion(weights: Array, choices: int, tokens: float) -> Array:
    """Whole numbers in proportion to the weights that add up to the choices, none above T."""
    share = np.minimum(weights / weights.sum() * choices, tokens)
    loads = np.floor(share)
    missing = int(choices - loads.sum())
    order = np.argsort(-(share - loads), kind="stable")
    for at in order[np.arange(max(missing, 0)) % len(order)]:
        loads[at] += 1.0
    capped: Array = np.minimum(loads, max(tokens, 1.0))
    return capped
