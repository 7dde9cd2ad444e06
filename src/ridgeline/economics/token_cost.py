"""From chips, rent and speed to dollars per million tokens, and back from a price."""

from __future__ import annotations

from ridgeline.numeric import Numeric

__all__ = [
    "break_even_utilisation", "chip_value_ratio", "decode_mfu_from_ratio", "gross_margin",
    "mfu_from_price", "mfu_token_cost", "price_for_margin", "price_ratio", "request_price",
    "throughput_from_price", "token_cost",
]


def token_cost(*, n_chips: Numeric, usd_per_chip_hour: Numeric, throughput: Numeric,
               utilisation: Numeric = 1.0) -> Numeric:
    """Cost of a million tokens on rented chips.

        usd_per_mtok = n * usd_h / 3600 / (rate * u_sold) * 1e6

    Args:
        n_chips: chips that are paid for n [1].
        usd_per_chip_hour: rent of one chip for an hour [USD].
        throughput: tokens per second of all chips while they serve [token/s].
        utilisation: share of that rate that is sold, averaged over the time paid for [1].
    Returns:
        price at which nothing is earned [USD/Mtok].
    Raises:
        ZeroDivisionError: no tokens, for plain floats.
    Valid for: one kind of token at a time; prompt and output tokens have their own rates.
    Sources: own derivation; jax scaling-book, chapter on inference.

    >>> round(token_cost(n_chips=8, usd_per_chip_hour=2.0, throughput=5481.5), 2)
    0.81
    """
    return n_chips * usd_per_chip_hour / 3600.0 / (throughput * utilisation) * 1e6


def throughput_from_price(*, n_chips: Numeric, usd_per_chip_hour: Numeric, usd_per_mtok: Numeric,
                          utilisation: Numeric = 1.0) -> Numeric:
    """Tokens per second that chips must serve for a price to pay for them.

        rate = n * usd_h / 3600 / (usd_per_mtok * u_sold) * 1e6

    Args:
        n_chips: chips that are paid for n [1].
        usd_per_chip_hour: rent of one chip for an hour [USD].
        usd_per_mtok: price of a million tokens [USD/Mtok].
        utilisation: share of the rate that is sold [1].
    Returns:
        rate while serving, of all chips [token/s].
    Raises:
        ZeroDivisionError: a price of zero, for plain floats.
    Valid for: a seller who earns nothing; a margin makes the rate behind the price higher.
    Sources: own derivation (token_cost solved for the rate).

    >>> round(throughput_from_price(n_chips=128, usd_per_chip_hour=1.0, usd_per_mtok=4.9) / 128, 1)
    56.7
    """
    return n_chips * usd_per_chip_hour / 3600.0 / (usd_per_mtok * utilisation) * 1e6


def mfu_token_cost(*, flop_per_token: Numeric, usd_per_chip_hour: Numeric,
                   peak_flops_per_s: Numeric, mfu: Numeric = 1.0) -> Numeric:
    """Cost of a million tokens from the share of the peak that computes them.

        usd_per_mtok = flop_tok / (C * mfu) * usd_h / 3600 * 1e6

    Args:
        flop_per_token: 2 * P_active, and attention where it matters [FLOP/token].
        usd_per_chip_hour: rent of one chip for an hour [USD].
        peak_flops_per_s: dense peak of one chip C [FLOP/s].
        mfu: share of the peak reached [1].
    Returns:
        cost [USD/Mtok].
    Raises:
        ZeroDivisionError: a rate or utilisation of zero, for plain floats.
    Valid for: any number of chips, as long as the utilisation is of all of them.
    Sources: own derivation.

    >>> round(mfu_token_cost(flop_per_token=2 * 70553706496, usd_per_chip_hour=2.0,
    ...                      peak_flops_per_s=989.4e12, mfu=0.6), 3)
    0.132
    """
    return flop_per_token / (peak_flops_per_s * mfu) * usd_per_chip_hour / 3600.0 * 1e6


def mfu_from_price(*, flop_per_token: Numeric, usd_per_mtok: Numeric, usd_per_chip_hour: Numeric,
                   peak_flops_per_s: Numeric) -> Numeric:
    """Share of the peak that a seller must reach for a price to cover the chips.

        mfu = flop_tok / C * usd_h / 3600 * 1e6 / usd_per_mtok

    Args:
        flop_per_token: 2 * P_active, and attention where it matters [FLOP/token].
        usd_per_mtok: price of a million tokens [USD/Mtok].
        usd_per_chip_hour: rent of one chip for an hour [USD].
        peak_flops_per_s: dense peak of one chip C [FLOP/s].
    Returns:
        least utilisation [1]; above 1 the tokens are sold below what this chip can make them for.
    Raises:
        ZeroDivisionError: a price of zero, for plain floats.
    Valid for: chips busy all the time that is paid for.
    Sources: own derivation (mfu_token_cost solved for the utilisation).

    >>> round(mfu_from_price(flop_per_token=2 * 70553706496, usd_per_mtok=0.528,
    ...                      usd_per_chip_hour=2.0, peak_flops_per_s=989.4e12), 3)
    0.15
    """
    return flop_per_token / peak_flops_per_s * usd_per_chip_hour / 3600.0 * 1e6 / usd_per_mtok


def price_ratio(*, prefill_mfu: Numeric, decode_mfu: Numeric) -> Numeric:
    """Fair price of an output token over that of a prompt token.

        ratio = mfu_prefill / mfu_decode

    Args:
        prefill_mfu: share of the peak that reading prompts reaches [1].
        decode_mfu: share of the peak that decoding reaches [1].
    Returns:
        ratio [1].
    Raises:
        ZeroDivisionError: no decode utilisation, for plain floats.
    Valid for: equal FLOP for both kinds of token (short contexts).
    Sources: own derivation (mfu_token_cost of both phases on the same chip).

    >>> price_ratio(prefill_mfu=0.6, decode_mfu=0.15)
    4.0
    """
    return prefill_mfu / decode_mfu


def decode_mfu_from_ratio(*, prefill_mfu: Numeric, price_gap: Numeric) -> Numeric:
    """Decode utilisation that a gap between output and input price gives away.

        mfu_decode = mfu_prefill / ratio

    Args:
        prefill_mfu: share of the peak that reading prompts reaches [1].
        price_gap: output price over input price [1].
    Returns:
        share of the peak in decoding [1].
    Raises:
        ZeroDivisionError: a free output, for plain floats.
    Valid for: both prices with the same margin.
    Sources: own derivation (price_ratio solved for decoding).

    >>> round(decode_mfu_from_ratio(prefill_mfu=0.75, price_gap=5.0), 2)
    0.15
    """
    return prefill_mfu / price_gap


def gross_margin(*, cost_per_mtok: Numeric, usd_per_mtok: Numeric) -> Numeric:
    """Share of a price that is left after the chips are paid.

        margin = 1 - cost / price

    Args:
        cost_per_mtok: what a million tokens cost to make [USD/Mtok].
        usd_per_mtok: what they are sold for [USD/Mtok].
    Returns:
        share, negative at a loss [1].
    Raises:
        ZeroDivisionError: a price of zero, for plain floats.
    Valid for: chips only; people, research and sales come out of the margin.
    Sources: definition of gross margin.

    >>> round(gross_margin(cost_per_mtok=2.03, usd_per_mtok=3.0), 2)
    0.32
    """
    return 1.0 - cost_per_mtok / usd_per_mtok


def price_for_margin(*, cost_per_mtok: Numeric, margin: Numeric) -> Numeric:
    """Price that leaves a margin.

        price = cost / (1 - margin)

    Args:
        cost_per_mtok: what a million tokens cost to make [USD/Mtok].
        margin: share of the price to be left, below 1 [1].
    Returns:
        price [USD/Mtok].
    Raises:
        ZeroDivisionError: a margin of 1, for plain floats.
    Valid for: as gross_margin.
    Sources: own derivation (gross_margin solved for the price).

    >>> round(price_for_margin(cost_per_mtok=2.0, margin=0.5), 2)
    4.0
    """
    return cost_per_mtok / (1.0 - margin)


def break_even_utilisation(*, cost_per_mtok: Numeric, usd_per_mtok: Numeric) -> Numeric:
    """Share of the capacity that must be sold for a price to pay for the chips.

        u_sold = cost / price

    Args:
        cost_per_mtok: cost of a million tokens on fully sold chips [USD/Mtok].
        usd_per_mtok: what they are sold for [USD/Mtok].
    Returns:
        utilisation [1]; above 1 no load is enough.
    Raises:
        ZeroDivisionError: a price of zero, for plain floats.
    Valid for: rent paid by the hour, whatever the load.
    Sources: own derivation (token_cost at that utilisation equals the price).

    >>> break_even_utilisation(cost_per_mtok=0.75, usd_per_mtok=3.0)
    0.25
    """
    return cost_per_mtok / usd_per_mtok


def chip_value_ratio(*, rate_factor: Numeric, price_factor: Numeric) -> Numeric:
    """Tokens for a dollar of one chip over another.

        value = F_rate / F_price

    Args:
        rate_factor: tokens per second of the one over the other [1].
        price_factor: rent of the one over the other [1].
    Returns:
        factor; above 1 the first is the better buy [1].
    Raises:
        ZeroDivisionError: a price factor of zero, for plain floats.
    Valid for: the same model, workload and utilisation on both.
    Sources: own derivation.

    >>> round(chip_value_ratio(rate_factor=8.0 / 3.35, price_factor=2.0), 2)
    1.19
    """
    return rate_factor / price_factor


def request_price(*, prompt_tokens: Numeric, output_tokens: Numeric, cached_share: Numeric,
                  input_usd_per_mtok: Numeric, cached_usd_per_mtok: Numeric,
                  output_usd_per_mtok: Numeric) -> Numeric:
    """Bill of one request under a price list.

        usd = (s * ((1 - f) * p_in + f * p_cached) + s_out * p_out) / 1e6

    Args:
        prompt_tokens: tokens of the prompt s [token].
        output_tokens: tokens produced s_out [token].
        cached_share: share of the prompt read from the prompt cache f [1].
        input_usd_per_mtok: price of fresh prompt tokens [USD/Mtok].
        cached_usd_per_mtok: price of cached prompt tokens [USD/Mtok].
        output_usd_per_mtok: price of output tokens [USD/Mtok].
    Returns:
        price of the request [USD].
    Raises:
        nothing.
    Valid for: one price tier; cache writes are billed apart.
    Sources: the providers' price lists.

    >>> round(request_price(prompt_tokens=10000, output_tokens=500, cached_share=0.8,
    ...                     input_usd_per_mtok=3.0, cached_usd_per_mtok=0.3,
    ...                     output_usd_per_mtok=15.0), 4)
    0.0159
    """
    fresh = (1.0 - cached_share) * input_usd_per_mtok
    prompt = prompt_tokens * (fresh + cached_share * cached_usd_per_mtok)
    return (prompt + output_tokens * output_usd_per_mtok) / 1e6
