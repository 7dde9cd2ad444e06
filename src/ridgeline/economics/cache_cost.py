"""What keeping a prompt's cache costs, against computing it again, by kind of memory."""

from __future__ import annotations

from ridgeline.numeric import Numeric

__all__ = [
    "break_even_hold", "break_even_reuses", "capital_gb_hour", "device_gb_hour", "drain_time",
    "gb_hour_from_premium", "hold_cost", "hold_premium_rate", "implied_kv_bytes",
    "transfer_cost", "write_multiple_for_reuses",
]


def hold_cost(*, kv_bytes_per_token: Numeric, usd_per_gb_hour: Numeric,
              hold_time: Numeric) -> Numeric:
    """Cost of keeping the cache of a million tokens.

        usd_per_mtok = k * 1e6 / 1e9 * usd_gb_h * t_hold / 3600

    Args:
        kv_bytes_per_token: cache of one token k [B/token].
        usd_per_gb_hour: a gigabyte (1e9 bytes) of that memory for an hour [USD].
        hold_time: how long it is kept [s].
    Returns:
        cost [USD/Mtok].
    Raises:
        nothing.
    Valid for: memory that something else would pay for.
    Sources: own derivation.

    >>> round(hold_cost(kv_bytes_per_token=327680, usd_per_gb_hour=2 / 80, hold_time=300.0), 3)
    0.683
    """
    return kv_bytes_per_token * 1e6 / 1e9 * usd_per_gb_hour * hold_time / 3600.0


def break_even_hold(*, cost_per_mtok: Numeric, kv_bytes_per_token: Numeric,
                    usd_per_gb_hour: Numeric) -> Numeric:
    """Time for which keeping a cache costs as much as making it again.

        t_hold = cost * 3600 / (k * 1e6 / 1e9 * usd_gb_h)

    Args:
        cost_per_mtok: cost of computing a million prompt tokens again [USD/Mtok].
        kv_bytes_per_token: cache of one token k [B/token].
        usd_per_gb_hour: a gigabyte of that memory for an hour [USD].
    Returns:
        time [s]; a cache reused later than that is cheaper computed again.
    Raises:
        ZeroDivisionError: no cache or free memory, for plain floats.
    Valid for: one reuse.
    Sources: own derivation (hold_cost solved for the time).

    >>> round(break_even_hold(cost_per_mtok=0.1321, kv_bytes_per_token=327680,
    ...                       usd_per_gb_hour=2 / 80) / 60, 2)
    0.97
    """
    return cost_per_mtok * 3600.0 / (kv_bytes_per_token * 1e6 / 1e9 * usd_per_gb_hour)


def gb_hour_from_premium(*, usd_per_mtok: Numeric, kv_bytes_per_token: Numeric,
                         hold_time: Numeric) -> Numeric:
    """Price of memory that a charge for keeping a cache gives away.

        usd_gb_h = premium * 3600 / (k * 1e6 / 1e9 * t_hold)

    Args:
        usd_per_mtok: charge for keeping a million tokens that long [USD/Mtok].
        kv_bytes_per_token: cache of one token k [B/token].
        hold_time: how long it is kept [s].
    Returns:
        a gigabyte for an hour [USD].
    Raises:
        ZeroDivisionError: no cache or no time, for plain floats.
    Valid for: a seller who earns nothing on it.
    Sources: own derivation (hold_cost solved for the price of memory).

    >>> round(gb_hour_from_premium(usd_per_mtok=0.6826667, kv_bytes_per_token=327680,
    ...                            hold_time=300.0), 4)
    0.025
    """
    return usd_per_mtok * 3600.0 / (kv_bytes_per_token * 1e6 / 1e9 * hold_time)


def device_gb_hour(*, usd_per_chip_hour: Numeric, memory_bytes: Numeric) -> Numeric:
    """Price of device memory when the whole chip's rent is laid on it.

        usd_gb_h = usd_h / (m / 1e9)

    Args:
        usd_per_chip_hour: rent of one chip for an hour [USD].
        memory_bytes: device memory of one chip m [B].
    Returns:
        a gigabyte for an hour [USD].
    Raises:
        ZeroDivisionError: no memory, for plain floats.
    Valid for: chips whose batch is limited by memory, so that cached bytes displace sequences.
    Sources: own derivation.

    >>> device_gb_hour(usd_per_chip_hour=2.0, memory_bytes=80e9)
    0.025
    """
    return usd_per_chip_hour / (memory_bytes / 1e9)


def capital_gb_hour(*, usd_per_gb: Numeric, lifetime: Numeric) -> Numeric:
    """Price of bought memory spread over its life.

        usd_gb_h = usd_gb / (t_life / 3600)

    Args:
        usd_per_gb: purchase price of a gigabyte (1e9 bytes) [USD].
        lifetime: how long it is used [s].
    Returns:
        a gigabyte for an hour [USD].
    Raises:
        ZeroDivisionError: no life, for plain floats.
    Valid for: memory that is always full; capital, power and slots come on top.
    Sources: own derivation.

    >>> round(capital_gb_hour(usd_per_gb=4.0, lifetime=4 * 365.25 * 86400) * 1e4, 2)
    1.14
    """
    return usd_per_gb / (lifetime / 3600.0)


def transfer_cost(*, kv_bytes_per_token: Numeric, link_bandwidth: Numeric,
                  usd_per_chip_hour: Numeric) -> Numeric:
    """Cost of bringing the cache of a million tokens back, when chips wait for it.

        usd_per_mtok = k * 1e6 / W_link * usd_h / 3600

    Args:
        kv_bytes_per_token: cache of one token k [B/token].
        link_bandwidth: one-way bandwidth of one chip to that memory [B/s].
        usd_per_chip_hour: rent of one chip for an hour [USD].
    Returns:
        cost [USD/Mtok]; an upper end, since a prefetched transfer waits for nobody.
    Raises:
        ZeroDivisionError: no bandwidth, for plain floats.
    Valid for: chips that each bring back their own share.
    Sources: own derivation.

    >>> round(transfer_cost(kv_bytes_per_token=327680, link_bandwidth=55e9,
    ...                     usd_per_chip_hour=2.0), 4)
    0.0033
    """
    return kv_bytes_per_token * 1e6 / link_bandwidth * usd_per_chip_hour / 3600.0


def drain_time(*, memory_bytes: Numeric, memory_bandwidth: Numeric) -> Numeric:
    """Time to read a whole memory once: the natural beat of that tier.

        t = m / W

    Args:
        memory_bytes: what it holds m [B].
        memory_bandwidth: how fast it is read W [B/s].
    Returns:
        time [s].
    Raises:
        ZeroDivisionError: no bandwidth, for plain floats.
    Valid for: sequential reads. For device memory it is the longest useful decode step.
    Sources: own derivation; the argument that a tier suits what is kept about so long is
        Reiner Pope's (2025).

    >>> round(drain_time(memory_bytes=80e9, memory_bandwidth=3.35e12) * 1e3, 1)
    23.9
    """
    return memory_bytes / memory_bandwidth


def break_even_reuses(*, write_multiple: Numeric, read_multiple: Numeric) -> Numeric:
    """Reuses after which writing a cache pays the user.

        reuses = (w - 1) / (1 - r)

    Args:
        write_multiple: price of writing over the plain input price w [1].
        read_multiple: price of reading over the plain input price r, below 1 [1].
    Returns:
        reuses after the first call [1].
    Raises:
        ZeroDivisionError: reads at full price, for plain floats.
    Valid for: the whole cached prefix reused while it is kept.
    Sources: own derivation (w + n r = 1 + n).

    >>> round(break_even_reuses(write_multiple=1.25, read_multiple=0.1), 2)
    0.28
    """
    return (write_multiple - 1.0) / (1.0 - read_multiple)


def write_multiple_for_reuses(*, reuses: Numeric, read_multiple: Numeric) -> Numeric:
    """Write price at which a cache starts to pay after so many reuses.

        w = 1 + reuses * (1 - r)

    Args:
        reuses: after the first call [1].
        read_multiple: price of reading over the plain input price r [1].
    Returns:
        price of writing over the plain input price [1].
    Raises:
        nothing.
    Valid for: as break_even_reuses.
    Sources: own derivation (break_even_reuses solved for the write price).

    >>> write_multiple_for_reuses(reuses=1.0, read_multiple=0.1)
    1.9
    """
    return 1.0 + reuses * (1.0 - read_multiple)


def hold_premium_rate(*, write_multiple: Numeric, hold_time: Numeric) -> Numeric:
    """What a write price charges for each minute of keeping, in input prices.

        rate = (w - 1) / (t_hold / 60)

    Args:
        write_multiple: price of writing over the plain input price w [1].
        hold_time: how long a write is kept [s].
    Returns:
        share of the input price for a minute [1].
    Raises:
        ZeroDivisionError: no time, for plain floats.
    Valid for: a cache not refreshed by use.
    Sources: own derivation.

    >>> hold_premium_rate(write_multiple=1.25, hold_time=300.0)
    0.05
    """
    return (write_multiple - 1.0) / (hold_time / 60.0)


def implied_kv_bytes(*, active_params: Numeric, ridge: Numeric, context_length: Numeric
                     ) -> Numeric:
    """Cache of a token that a price step at some context length gives away.

        k = 2 * P_active / (h * L)

    Args:
        active_params: parameters one token uses [param].
        ridge: ridge point of the chip h in the compute format [FLOP/B].
        context_length: where the higher price begins L [token].
    Returns:
        cache of one token [B/token].
    Raises:
        ZeroDivisionError: no context, for plain floats.
    Valid for: a step placed where reading the cache takes as long as computing (kv_knee).
    Sources: own derivation (kv_knee solved for the cache); the reading of price steps is
        Reiner Pope's (2025).

    >>> round(implied_kv_bytes(active_params=100e9, ridge=989.4 / 3.35, context_length=200e3))
    3386
    """
    return 2.0 * active_params / (ridge * context_length)
