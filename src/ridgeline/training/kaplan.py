"""Kaplan's laws of 2020, in FLOP: kept to reproduce and to contrast with Chinchilla's.

Compute is in PF-days in the paper; parameters leave embeddings out.
"""

from __future__ import annotations

from ridgeline.numeric import Numeric

__all__ = ["PF_DAY", "kaplan_params", "kaplan_tokens"]

PF_DAY = 8.64e19     # 1e15 FLOP/s for a day [FLOP]


def kaplan_params(*, flop: Numeric, params_at_unit: Numeric = 1.3e9,
                  params_growth: Numeric = 0.73, unit_flop: Numeric = PF_DAY) -> Numeric:
    """Parameters that Kaplan's fit gives a budget.

        N = 1.3e9 * (C / 8.64e19)^0.73

    Args:
        flop: C [FLOP].
        params_at_unit: parameters at one unit of compute [1].
        params_growth: exponent [1].
        unit_flop: the unit, a PF-day [FLOP].

    Returns:
        parameters [1].

    Valid for: up to about 10 PF-days as fitted; overstates parameters beyond (Hoffmann et al.).
    Sources: Kaplan et al. 2020, arXiv 2001.08361, section 6.1.
    >>> round(kaplan_params(flop=8.64e19) / 1e9, 2)
    1.3
    """
    return params_at_unit * (flop / unit_flop) ** params_growth


def kaplan_tokens(*, flop: Numeric, tokens_at_unit: Numeric = 2e10,
                  tokens_growth: Numeric = 0.27, unit_flop: Numeric = PF_DAY) -> Numeric:
    """Tokens that Kaplan's fit gives a budget.

        D = 2e10 * (C / 8.64e19)^0.27

    Args:
        flop: C [FLOP].
        tokens_at_unit: tokens at one unit of compute [token].
        tokens_growth: exponent [1].
        unit_flop: the unit, a PF-day [FLOP].

    Returns:
        tokens.

    Valid for: as `kaplan_params`; 6 N D of the two fits is 1.8 C at one PF-day.
    Sources: Kaplan et al. 2020, arXiv 2001.08361, section 6.1.
    >>> round(kaplan_tokens(flop=8.64e21) / 1e10, 2)
    6.93
    """
    return tokens_at_unit * (flop / unit_flop) ** tokens_growth
