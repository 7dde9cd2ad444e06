"""What a change of format or schedule buys: other roofline times, skipped layers, speculation."""

from __future__ import annotations

from collections.abc import Sequence

from ridgeline.numeric import Numeric, maximum, where

__all__ = [
    "early_exit_byte_speedup", "early_exit_flop_speedup", "layer_read_share", "roofline_speedup",
    "speculative_speedup", "speculative_tokens_by_position", "speculative_tokens_per_step",
]


def roofline_speedup(*, t_math_before: Numeric, t_memory_before: Numeric, t_math_after: Numeric,
                     t_memory_after: Numeric) -> Numeric:
    """Speed-up of a step when its compute and memory times change.

        S = max(t_math, t_memory) / max(t_math', t_memory')

    Args:
        t_math_before: time to compute, before [s].
        t_memory_before: time to move the bytes, before [s].
        t_math_after: time to compute, after [s].
        t_memory_after: time to move the bytes, after [s].
    Returns:
        speed-up [1].
    Raises:
        ZeroDivisionError: nothing left to do, for plain floats.
    Valid for: full overlap before and after.
    Sources: Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009.

    >>> roofline_speedup(t_math_before=1.0, t_memory_before=4.0, t_math_after=1.0,
    ...                  t_memory_after=2.0)
    2.0
    """
    return maximum(t_math_before, t_memory_before) / maximum(t_math_after, t_memory_after)


def early_exit_flop_speedup(*, skip_share: Numeric) -> Numeric:
    """Speed-up in operations when tokens skip a share of the layers.

        S = 1 / (1 - f)

    Args:
        skip_share: share of layers a token skips f, below 1 [1].
    Returns:
        speed-up [1].
    Raises:
        ZeroDivisionError: everything skipped, for plain floats.
    Valid for: equal layers; keys and values of skipped layers still have to be made or copied.
    Sources: Schuster et al., "Confident Adaptive Language Modeling", arXiv 2207.07061.

    >>> round(early_exit_flop_speedup(skip_share=0.25), 3)
    1.333
    """
    return 1.0 / (1.0 - skip_share)


def layer_read_share(*, skip_share: Numeric, batch_size: Numeric) -> Numeric:
    """Probability that a layer is read at all when each sequence may skip it.

        p = 1 - f**B

    Args:
        skip_share: probability that a sequence skips the layer f [1].
        batch_size: sequences in the step B [1].
    Returns:
        share of layers read [1].
    Raises:
        nothing.
    Valid for: independent sequences.
    Sources: own derivation.

    >>> layer_read_share(skip_share=0.25, batch_size=2)
    0.9375
    """
    return 1.0 - skip_share**batch_size


def early_exit_byte_speedup(*, skip_share: Numeric, batch_size: Numeric) -> Numeric:
    """Speed-up in weight bytes when tokens skip layers: vanishes as the batch grows.

        S = 1 / (1 - f**B)

    Args:
        skip_share: probability that a sequence skips a layer f, below 1 [1].
        batch_size: sequences in the step B [1].
    Returns:
        speed-up of a memory-bound step [1].
    Raises:
        ZeroDivisionError: everything skipped, for plain floats.
    Valid for: independent sequences, short context.
    Sources: own derivation (a layer is saved only if all sequences skip it).

    >>> round(early_exit_byte_speedup(skip_share=0.25, batch_size=8), 5)
    1.00002
    """
    return 1.0 / layer_read_share(skip_share=skip_share, batch_size=batch_size)


def speculative_tokens_per_step(*, acceptance: Numeric, draft_tokens: Numeric) -> Numeric:
    """Tokens one verification yields when each drafted token is accepted with one probability.

        E = (1 - a**(g + 1)) / (1 - a),  g + 1 when a = 1

    Args:
        acceptance: probability that a drafted token is accepted a, 0 to 1 [1].
        draft_tokens: tokens drafted for each verification g [token].
    Returns:
        expected tokens, between 1 and g + 1 [token].
    Raises:
        nothing.
    Valid for: independent acceptances; the verifier always adds one token of its own.
    Sources: Leviathan, Kalman, Matias, arXiv 2211.17192, equation 1.

    >>> round(speculative_tokens_per_step(acceptance=0.8, draft_tokens=4), 2)
    3.36
    """
    # The inner where keeps the unused branch from dividing by zero.
    rejection = where(acceptance < 1, 1.0 - acceptance, 1.0)
    return where(acceptance < 1, (1.0 - acceptance**(draft_tokens + 1.0)) / rejection,
                 draft_tokens + 1.0)


def speculative_tokens_by_position(*, acceptance_by_position: Sequence[Numeric]) -> Numeric:
    """Tokens one verification yields when later drafts are accepted less often.

        E = 1 + a_1 + a_1 * a_2 + ... + a_1 * ... * a_g

    Args:
        acceptance_by_position: probability that draft i is accepted given all before were [1].
    Returns:
        expected tokens, between 1 and g + 1 [token].
    Raises:
        nothing.
    Valid for: chains of drafts, not trees.
    Sources: own derivation (draft i counts if it and all before it are accepted).

    >>> round(speculative_tokens_by_position(acceptance_by_position=[0.8, 0.7, 0.6]), 3)
    2.696
    """
    total: Numeric = 1.0
    survive: Numeric = 1.0
    for acceptance in acceptance_by_position:
        survive = survive * acceptance
        total = total + survive
    return total


def speculative_speedup(*, tokens_per_step: Numeric, draft_tokens: Numeric, draft_cost: Numeric,
                        verify_cost: Numeric = 1.0) -> Numeric:
    """Net gain of speculative decoding.

        S = E / (verify_cost + g * c)

    Args:
        tokens_per_step: expected tokens of one verification E [token].
        draft_tokens: tokens drafted for each verification g [token].
        draft_cost: time of one draft over time of a plain step c [1].
        verify_cost: time of the verification over time of a plain step; 1 while the step is
            memory-bound, up to g + 1 when it is compute-bound [1].
    Returns:
        speed-up; below 1 speculation loses [1].
    Raises:
        ZeroDivisionError: no cost at all, for plain floats.
    Valid for: drafts made one after another.
    Sources: Leviathan, Kalman, Matias, arXiv 2211.17192, theorem 3.8.

    >>> round(speculative_speedup(tokens_per_step=3.3616, draft_tokens=4, draft_cost=0.05), 2)
    2.8
    """
    return tokens_per_step / (verify_cost + draft_tokens * draft_cost)
