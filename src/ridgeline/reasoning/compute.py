"""FLOP, memory and mean cost of thinking longer."""

from __future__ import annotations

from collections.abc import Sequence

from ridgeline.numeric import Numeric

__all__ = ["chains_kv_bytes", "equal_flop_inference_multiplier", "equal_flop_samples",
           "flop_ratio", "routed_cost", "thinking_flop"]


def thinking_flop(*, samples: Numeric, output_tokens: Numeric, active_params: Numeric) -> Numeric:
    """FLOP of generating several answers, or of expanding the nodes of a search.

        flop = k * s_out * 2 * P_active

    Args:
        samples: answers, or nodes expanded k [1], any shape.
        output_tokens: of each s_out [token].
        active_params: parameters a token uses [param].
    Returns:
        FLOP, broadcast shape of the inputs.
    Valid for: contexts short enough that attention scores are minor; the prompt left out.
    Sources: Snell et al., arXiv 2408.03314; 2 FLOP for each parameter and token.

    >>> f"{thinking_flop(samples=16, output_tokens=2000, active_params=8.03e9):.2e}"
    '5.14e+14'
    """
    return samples * output_tokens * 2.0 * active_params


def flop_ratio(*, samples: Numeric, output_tokens: Numeric, active_params: Numeric,
               large_tokens: Numeric, large_params: Numeric) -> Numeric:
    """How many times the FLOP of one answer of a large model a small one's thinking takes.

        r = k * s_out * P_active / (s_large * P_large)

    Args:
        samples: answers of the small model k [1].
        output_tokens: of each s_out [token].
        active_params: of the small model [param].
        large_tokens: of the large model's one answer s_large [token].
        large_params: active parameters of the large model P_large [param].
    Returns:
        a factor [1].
    Raises:
        ZeroDivisionError: no tokens of the large model, for plain floats.
    Sources: arXiv 2408.03314.

    >>> round(flop_ratio(samples=16, output_tokens=2000, active_params=8.03e9,
    ...                  large_tokens=500, large_params=70.55e9), 2)
    7.28
    """
    return samples * output_tokens * active_params / (large_tokens * large_params)


def equal_flop_samples(*, active_params: Numeric, large_params: Numeric, output_tokens: Numeric,
                       large_tokens: Numeric) -> Numeric:
    """Answers of a small model for the FLOP of one answer of a large one.

        k = (P_large * s_large) / (P_active * s_out)

    Args:
        active_params: of the small model [param].
        large_params: active parameters of the large model [param].
        output_tokens: of one answer of the small model s_out [token].
        large_tokens: of the large model's answer s_large [token].
    Returns:
        answers, not rounded [1].
    Raises:
        ZeroDivisionError: no parameters or tokens, for plain floats.
    Sources: arXiv 2408.03314.

    >>> round(equal_flop_samples(active_params=8.03e9, large_params=70.55e9, output_tokens=500,
    ...                          large_tokens=500), 2)
    8.79
    """
    return large_params * large_tokens / (active_params * output_tokens)


def equal_flop_inference_multiplier(*, size_ratio: Numeric, inference_share: Numeric) -> Numeric:
    """How much more a small model may generate when the FLOP of training are counted too.

        m = M_size + 3 / R_inf * (M_size - 1)

    Args:
        size_ratio: parameters of the large over the small model M_size [1].
        inference_share: tokens generated over tokens trained on R_inf [1].
    Returns:
        a factor on the tokens generated [1].
    Raises:
        ZeroDivisionError: nothing generated, for plain floats.
    Valid for: both models trained on the same tokens, 6 FLOP a parameter and token.
    Sources: Snell et al., arXiv 2408.03314, section 7.

    >>> round(equal_flop_inference_multiplier(size_ratio=14, inference_share=0.79), 1)
    63.4
    """
    return size_ratio + 3.0 / inference_share * (size_ratio - 1.0)


def chains_kv_bytes(*, kv_bytes_per_token: Numeric, context_length: Numeric,
                    samples: Numeric) -> Numeric:
    """KV cache of chains that are held at once.

        m = k * kv * L

    Args:
        kv_bytes_per_token: cache of one token kv [B/token].
        context_length: tokens of a whole chain, prompt included L [token].
        samples: chains side by side k [1].
    Returns:
        bytes.
    Valid for: full attention, prompts not shared.
    Sources: Pope et al., arXiv 2211.05102.

    >>> chains_kv_bytes(kv_bytes_per_token=327680, context_length=32768, samples=1) / 1e9
    10.73741824
    """
    return samples * kv_bytes_per_token * context_length


def routed_cost(*, route_shares: Sequence[Numeric], route_costs: Sequence[Numeric]) -> Numeric:
    """Mean cost when requests are sent to routes of different cost.

        mean = sum_i q_i * c_i

    Args:
        route_shares: share of the requests on each route q_i [1].
        route_costs: cost of a request on it c_i [1].
    Returns:
        mean cost, in the unit of the costs [1].
    Valid for: a router that costs nothing; add it as part of each route's cost.
    Sources: own derivation.

    >>> routed_cost(route_shares=(0.8, 0.2), route_costs=(1.0, 16.0))
    4.0
    """
    return sum(share * cost for share, cost in zip(route_shares, route_costs, strict=True))
