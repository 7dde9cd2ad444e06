"""How many (query, key) pairs attention has to score."""

from __future__ import annotations

from ridgeline.numeric import Numeric, minimum


def pairs_from_start(*, tokens: Numeric, window: Numeric) -> Numeric:
    """Pairs scored when `tokens` tokens are computed from an empty cache.

        F(n) = sum_{i=1..n} min(i, w) = m (m + 1) / 2 + (n - m) w,  m = min(n, w)

    Args:
        tokens: sequence length [tokens].
        window: keys a query sees at most, itself included [tokens]; infinite windows: pass
            `tokens` or more.

    Returns:
        pairs [1], broadcast shape.

    Sources: counting; causal attention of Vaswani et al. 2017, window of Mistral 7B.

    >>> pairs_from_start(tokens=4, window=4), pairs_from_start(tokens=4, window=2)
    (10.0, 7.0)
    """
    inside = minimum(tokens, window)
    return inside * (inside + 1) / 2 + (tokens - inside) * window


def attended_pairs(*, new: Numeric, past: Numeric, window: Numeric) -> Numeric:
    """Causal pairs of a sequence with `past` cached and `new` fresh tokens.

        F(past + new) - F(past), F as in `pairs_from_start`

    Args:
        new, past: tokens [tokens].
        window: keys a query sees at most [tokens].

    Returns:
        pairs [1], broadcast shape.

    Sources: counting.

    >>> attended_pairs(new=2, past=3, window=100)
    9.0
    """
    return (pairs_from_start(tokens=past + new, window=window)
            - pairs_from_start(tokens=past, window=window))
