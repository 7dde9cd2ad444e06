"""Users, the chips they need, and whether to rent or to buy those."""

from __future__ import annotations

from ridgeline.numeric import Numeric

__all__ = ["buying_months", "chips_for_users", "mixed_request_rate", "owning_cost_hour",
           "reused_compute_share", "users_served"]


def users_served(*, throughput: Numeric, token_rate: Numeric, active_share: Numeric) -> Numeric:
    """Users whose tokens a fleet can make.

        users = rate / (rate_1 * s_act)

    Args:
        throughput: tokens per second of the fleet [token/s].
        token_rate: tokens per second of one user while answered [token/s].
        active_share: share of the time in which a user is being answered [1].
    Returns:
        users [1].
    Raises:
        ZeroDivisionError: users who take nothing, for plain floats.
    Valid for: many independent users, so that the mean is what matters.
    Sources: own derivation.

    >>> round(users_served(throughput=8283.0, token_rate=30.0, active_share=0.1))
    2761
    """
    return throughput / (token_rate * active_share)


def chips_for_users(*, users: Numeric, token_rate: Numeric, active_share: Numeric,
                    throughput: Numeric, n_chips: Numeric, utilisation: Numeric = 1.0) -> Numeric:
    """Chips that a number of users need, from what some chips can do.

        chips = users * rate_1 * s_act / (rate / n * u_sold)

    Args:
        users: who subscribe [1].
        token_rate: tokens per second of one user while answered [token/s].
        active_share: share of the time in which a user is being answered [1].
        throughput: tokens per second that n_chips make [token/s].
        n_chips: chips behind that throughput n [1].
        utilisation: load to plan for, below 1 to leave room for peaks [1].
    Returns:
        chips [1], not rounded to whole replicas.
    Raises:
        ZeroDivisionError: chips that make nothing, for plain floats.
    Valid for: many independent users.
    Sources: own derivation (users_served solved for the chips).

    >>> round(chips_for_users(users=2761, token_rate=30.0, active_share=0.1, throughput=8283.0,
    ...                       n_chips=8), 2)
    8.0
    """
    return users * token_rate * active_share / (throughput / n_chips * utilisation)


def mixed_request_rate(*, prompt_tokens: Numeric, output_tokens: Numeric, prefill_rate: Numeric,
                       decode_rate: Numeric) -> Numeric:
    """Requests per second of chips that both read prompts and decode.

        requests = 1 / (s / rate_pre + s_out / rate_dec)

    Args:
        prompt_tokens: tokens of a prompt s [token].
        output_tokens: tokens produced s_out [token].
        prefill_rate: prompt tokens per second when nothing else runs [token/s].
        decode_rate: output tokens per second when nothing else runs [token/s].
    Returns:
        requests per second [1/s].
    Raises:
        ZeroDivisionError: a rate of zero, for plain floats.
    Valid for: phases that take turns, or pools split in proportion.
    Sources: own derivation (times of the phases add up).

    >>> mixed_request_rate(prompt_tokens=1000, output_tokens=100, prefill_rate=10000.0,
    ...                    decode_rate=1000.0)
    5.0
    """
    return 1.0 / (prompt_tokens / prefill_rate + output_tokens / decode_rate)


def reused_compute_share(*, serve_mfu: Numeric, train_mfu: Numeric) -> Numeric:
    """FLOP a training fleet delivers when it serves, over what it delivered in training.

        share = mfu_serve / mfu_train

    Args:
        serve_mfu: share of the peak that serving reaches [1].
        train_mfu: share of the peak that training reached [1].
    Returns:
        share [1].
    Raises:
        ZeroDivisionError: no training utilisation, for plain floats.
    Valid for: the same chips and peak.
    Sources: own derivation.

    >>> round(reused_compute_share(serve_mfu=0.15, train_mfu=0.33), 2)
    0.45
    """
    return serve_mfu / train_mfu


def owning_cost_hour(*, purchase_usd: Numeric, lifetime: Numeric, yearly_share: Numeric,
                     chip_watts: Numeric, pue: Numeric, usd_per_kwh: Numeric) -> Numeric:
    """What an owned chip costs an hour: written off, maintained and powered.

        usd_h = usd_buy * (3600 / t_life + s_year / 8766) + P_chip / 1000 * pue * usd_kwh

    Args:
        purchase_usd: price of the chip with its share of server and network [USD].
        lifetime: over which it is written off [s].
        yearly_share: interest, space, people and repairs, as a share of the price a year [1].
        chip_watts: power of the chip with its share of the server [W].
        pue: power of the building over power of the chips [1].
        usd_per_kwh: price of electricity [USD].
    Returns:
        cost of an hour [USD].
    Raises:
        ZeroDivisionError: no life, for plain floats.
    Valid for: straight-line depreciation to nothing.
    Sources: own derivation.

    >>> round(owning_cost_hour(purchase_usd=30000.0, lifetime=4 * 8766 * 3600.0, yearly_share=0.1,
    ...                        chip_watts=1300.0, pue=1.2, usd_per_kwh=0.08), 2)
    1.32
    """
    return (purchase_usd * (3600.0 / lifetime + yearly_share / 8766.0)
            + chip_watts / 1000.0 * pue * usd_per_kwh)


def buying_months(*, purchase_usd: Numeric, usd_per_chip_hour: Numeric, yearly_share: Numeric,
                  chip_watts: Numeric, pue: Numeric, usd_per_kwh: Numeric,
                  utilisation: Numeric = 1.0) -> Numeric:
    """Months of use after which a bought chip has cost less than renting it.

        months = usd_buy / (usd_h * u_sold - usd_buy * s_year / 8766
                            - P_chip / 1000 * pue * usd_kwh) / 730.5

    Args:
        purchase_usd: price of the chip with its share of server and network [USD].
        usd_per_chip_hour: rent that is saved [USD].
        yearly_share: interest, space, people and repairs, as a share of the price a year [1].
        chip_watts: power of the chip with its share of the server [W].
        pue: power of the building over power of the chips [1].
        usd_per_kwh: price of electricity [USD].
        utilisation: share of the hours that would have been rented [1].
    Returns:
        months; negative when the rent is below what an owned chip costs to run [1].
    Raises:
        ZeroDivisionError: nothing saved, for plain floats.
    Valid for: a rent that stays as it is; falling rents make buying later or never.
    Sources: own derivation.

    >>> round(buying_months(purchase_usd=30000.0, usd_per_chip_hour=2.5, yearly_share=0.1,
    ...                     chip_watts=1300.0, pue=1.2, usd_per_kwh=0.08), 1)
    20.2
    """
    saved = (usd_per_chip_hour * utilisation - purchase_usd * yearly_share / 8766.0
             - chip_watts / 1000.0 * pue * usd_per_kwh)
    return purchase_usd / saved / 730.5
