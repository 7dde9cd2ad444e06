"""How many experts a step reads: distinct experts hit by a batch, evenly or unevenly routed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ridgeline.errors import BadInput
from ridgeline.numeric import Numeric

__all__ = ["distinct_experts", "distinct_experts_skewed", "expert_bytes_read",
           "mixture_params_read", "zipf_inclusion"]

# Newton steps on a concave, increasing function converge well before this many.
_MAX_STEPS = 100


def distinct_experts(*, n_experts: Numeric, top_k: Numeric, batch_size: Numeric) -> Numeric:
    """Expected number of different experts that a batch of tokens reads, routed evenly.

        E_read = E * (1 - (1 - k / E)**B)

    Args:
        n_experts: routed experts of the layer E [1].
        top_k: experts each token uses k [1].
        batch_size: tokens in the step B [1].
    Returns:
        experts read, between k and E [1].
    Raises:
        ZeroDivisionError: no experts, for plain floats.
    Valid for: independent tokens, all experts equally likely.
    Sources: own derivation (each token misses a given expert with probability 1 - k / E).

    >>> round(distinct_experts(n_experts=256, top_k=8, batch_size=64), 1)
    222.4
    """
    return n_experts * (1.0 - (1.0 - top_k / n_experts)**batch_size)


def distinct_experts_skewed(*, inclusion: Sequence[Numeric], batch_size: Numeric) -> Numeric:
    """Expected number of different experts that a batch reads, given each one's popularity.

        E_read = sum(1 - (1 - p_i)**B for every expert i)

    Args:
        inclusion: probability p_i that a token uses expert i, one for each expert [1].
        batch_size: tokens in the step B [1].
    Returns:
        experts read [1]; never more than with even routing.
    Raises:
        nothing.
    Valid for: independent tokens; the p_i add up to top_k.
    Sources: own derivation (linearity of expectation).

    >>> distinct_experts_skewed(inclusion=[1.0, 0.5, 0.5], batch_size=2)
    2.5
    """
    total: Numeric = 0.0
    for probability in inclusion:
        total = total + 1.0 - (1.0 - probability)**batch_size
    return total


def expert_bytes_read(*, experts_read: Numeric, expert_bytes: Numeric,
                      shared_bytes: Numeric = 0.0) -> Numeric:
    """Expert weights one layer reads in a step.

        bytes = shared_bytes + experts_read * expert_bytes

    Args:
        experts_read: different routed experts hit [1].
        expert_bytes: weights of one routed expert [B].
        shared_bytes: weights of the shared experts [B].
    Returns:
        bytes of the layer [B].
    Raises:
        nothing.
    Valid for: each expert read once however many tokens use it.
    Sources: own derivation.

    >>> expert_bytes_read(experts_read=7.2, expert_bytes=10.0, shared_bytes=5.0)
    77.0
    """
    return shared_bytes + experts_read * expert_bytes


def mixture_params_read(*, total_params: Numeric, active_params: Numeric, n_experts: Numeric,
                        top_k: Numeric, experts_read: Numeric) -> Numeric:
    """Parameters a mixture-of-experts step reads, from its total and active counts alone.

        routed = (P_total - P_active) / (E - k);  P_read = P_active + (E_read - k) * routed

    Args:
        total_params: parameters in all [param].
        active_params: parameters one token uses [param].
        n_experts: routed experts of a layer E [1].
        top_k: experts each token uses k [1].
        experts_read: different experts a layer reads E_read [1].
    Returns:
        parameters read [param], P_active at one token and P_total when all experts are hit.
    Raises:
        ZeroDivisionError: top_k equal to n_experts, for plain floats.
    Valid for: all expert layers alike.
    Sources: own derivation (total minus active is E - k experts of every layer).

    >>> mixture_params_read(total_params=671e9, active_params=37e9, n_experts=256, top_k=8,
    ...                     experts_read=256) / 1e9
    671.0
    """
    routed = (total_params - active_params) / (n_experts - top_k)
    return active_params + (experts_read - top_k) * routed


def zipf_inclusion(n_experts: int, top_k: int, exponent: float) -> list[float]:
    """Probability that a token uses each expert when popularity falls as rank**-exponent.

        p_i = 1 - exp(-t * i**-exponent), with t such that the p_i add up to top_k

    The top-k draw is without replacement: expert i is in it when an exponential clock of rate
    w_i = i**-exponent has rung by the time k clocks have; t replaces that random time by the
    constant with the right mean count. Not a formula but a solver: plain numbers only.

    Args:
        n_experts: routed experts [1].
        top_k: experts each token uses [1].
        exponent: 0 for even routing; 0.3 to 1 are plausible skews [1].
    Returns:
        one probability for each expert, the most popular first.
    Raises:
        BadInput: top_k is not between 1 and n_experts, or the exponent is negative.

    >>> [round(p, 3) for p in zipf_inclusion(4, 2, 0.0)]
    [0.5, 0.5, 0.5, 0.5]
    """
    if not 1 <= top_k <= n_experts:
        raise BadInput(f"top_k is {top_k}; it must be between 1 and the {n_experts} experts")
    if not (math.isfinite(exponent) and exponent >= 0):
        raise BadInput(f"the routing skew is {exponent}; it must be a number of at least 0")
    if top_k == n_experts:
        return [1.0] * n_experts
    weights = [rank**-exponent for rank in range(1, n_experts + 1)]
    t = _clock_time(weights, top_k)
    return [-math.expm1(-t * w) for w in weights]


def _clock_time(weights: Sequence[float], count: float) -> float:
    """Solve sum(1 - exp(-t * w)) = count for t; Newton from the left never overshoots."""
    t = 0.0
    for _ in range(_MAX_STEPS):
        missing = count + sum(math.expm1(-t * w) for w in weights)
        step = missing / sum(w * math.exp(-t * w) for w in weights)
        t += step
        if step <= 1e-13 * t:
            break
    return t
