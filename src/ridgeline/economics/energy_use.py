"""Joules: at the power meter, and bit by bit and operation by operation."""

from __future__ import annotations

from ridgeline.numeric import Numeric

__all__ = ["accuracy_per_joule", "accuracy_per_kilowatt", "bit_energy", "bottom_up_energy",
           "flop_joules", "token_energy", "token_rate_from_energy", "watt_hours"]


def token_energy(*, n_chips: Numeric, chip_watts: Numeric, throughput: Numeric,
                 pue: Numeric = 1.0) -> Numeric:
    """Energy of a token from the power meter: everything drawn over everything made.

        E = n * P_chip * pue / rate

    Args:
        n_chips: chips that draw power n [1].
        chip_watts: power of one chip [W].
        throughput: tokens per second of all chips [token/s].
        pue: power of the building over power of the chips [1].
    Returns:
        energy of one token [J].
    Raises:
        ZeroDivisionError: no tokens, for plain floats.
    Valid for: one kind of token at a time.
    Sources: own derivation.

    >>> round(token_energy(n_chips=8, chip_watts=700.0, throughput=5482.0), 2)
    1.02
    """
    return n_chips * chip_watts * pue / throughput


def token_rate_from_energy(*, n_chips: Numeric, chip_watts: Numeric, joules_per_token: Numeric,
                           pue: Numeric = 1.0) -> Numeric:
    """Tokens per second behind a claimed energy of a token.

        rate = n * P_chip * pue / E_tok

    Args:
        n_chips: chips that draw power n [1].
        chip_watts: power of one chip [W].
        joules_per_token: energy of one token [J].
        pue: power of the building over power of the chips [1].
    Returns:
        rate of all chips [token/s].
    Raises:
        ZeroDivisionError: no energy, for plain floats.
    Valid for: one kind of token at a time.
    Sources: own derivation (token_energy solved for the rate).

    >>> round(token_rate_from_energy(n_chips=8, chip_watts=700.0, joules_per_token=1.0216))
    5482
    """
    return n_chips * chip_watts * pue / joules_per_token


def watt_hours(*, energy: Numeric) -> Numeric:
    """Joules as watt-hours.

        Wh = E / 3600

    Args:
        energy: amount [J].
    Returns:
        the same amount [Wh].
    Raises:
        nothing.
    Valid for: always.
    Sources: definition.

    >>> round(watt_hours(energy=1000 * 1.0216 * 1.2), 2)
    0.34
    """
    return energy / 3600.0


def bit_energy(*, memory_bytes: Numeric, joules_per_bit: Numeric) -> Numeric:
    """Energy of moving bytes over an interface.

        E = 8 * m * e_bit

    Args:
        memory_bytes: bytes moved m [B].
        joules_per_bit: energy of one bit over that interface [J].
    Returns:
        energy [J].
    Raises:
        nothing.
    Valid for: the interface alone, whatever else burns beside it.
    Sources: own derivation.

    >>> round(bit_energy(memory_bytes=2 * 70553706496, joules_per_bit=4e-12), 2)
    4.52
    """
    return 8.0 * memory_bytes * joules_per_bit


def flop_joules(*, chip_watts: Numeric, idle_share: Numeric, memory_bandwidth: Numeric,
                joules_per_bit: Numeric, peak_flops_per_s: Numeric) -> Numeric:
    """Energy of an operation, from what a chip may draw when both its roofs are busy.

        e_flop = (P_chip * (1 - s_idle) - 8 * W * e_bit) / C

    Args:
        chip_watts: board power of one chip [W].
        idle_share: share of it drawn without any work [1].
        memory_bandwidth: device memory bandwidth of one chip W [B/s].
        joules_per_bit: energy of one bit from device memory [J].
        peak_flops_per_s: dense peak of one chip C [FLOP/s].
    Returns:
        energy of one operation with everything on the chip around it [J].
    Raises:
        ZeroDivisionError: no peak, for plain floats.
    Valid for: chips that hold their clock at full load; one that throttles spends more.
    Sources: own derivation (power at both roofs equals the board power).

    >>> round(flop_joules(chip_watts=700.0, idle_share=0.1, memory_bandwidth=3.35e12,
    ...                   joules_per_bit=4.5e-12, peak_flops_per_s=989.4e12) * 1e12, 2)
    0.51
    """
    return (chip_watts * (1.0 - idle_share) - 8.0 * memory_bandwidth * joules_per_bit
            ) / peak_flops_per_s


def bottom_up_energy(*, flop: Numeric, joules_per_flop: Numeric, memory_bytes: Numeric,
                     joules_per_bit: Numeric, message_bytes: Numeric, link_joules_per_bit: Numeric,
                     idle_watts: Numeric, step_time: Numeric) -> Numeric:
    """Energy of a step added up from its parts.

        E = flop * e_flop + 8 * m * e_bit + 8 * m_msg * e_link + P_idle * t

    Args:
        flop: operations of the step [FLOP].
        joules_per_flop: energy of one operation [J].
        memory_bytes: bytes moved between chips and their memory m [B].
        joules_per_bit: energy of one bit from device memory [J].
        message_bytes: bytes sent between chips [B].
        link_joules_per_bit: energy of one bit over the link [J].
        idle_watts: power of all chips without any work [W].
        step_time: time of the step t [s].
    Returns:
        energy at the chips [J].
    Raises:
        nothing.
    Valid for: chips alone; hosts, fans and the building come on top.
    Sources: own derivation; the accounting is Horowitz's (ISSCC 2014).

    >>> round(bottom_up_energy(flop=1e15, joules_per_flop=5e-13, memory_bytes=141e9,
    ...                        joules_per_bit=4.5e-12, message_bytes=0.0,
    ...                        link_joules_per_bit=1e-12, idle_watts=560.0, step_time=0.01), 1)
    510.7
    """
    return (flop * joules_per_flop
            + bit_energy(memory_bytes=memory_bytes, joules_per_bit=joules_per_bit)
            + bit_energy(memory_bytes=message_bytes, joules_per_bit=link_joules_per_bit)
            + idle_watts * step_time)


def accuracy_per_kilowatt(*, accuracy: Numeric, chip_watts: Numeric, n_chips: Numeric = 1.0
                          ) -> Numeric:
    """Exact-match accuracy for each kilowatt that produces it.

        EM_per_kW = EM / (n * P_chip / 1000)

    Args:
        accuracy: share of questions answered exactly, EM [1].
        chip_watts: power of one chip [W].
        n_chips: chips that draw it n [1].
    Returns:
        accuracy for a kilowatt [1].
    Raises:
        ZeroDivisionError: no power, for plain floats.
    Valid for: systems compared on the same questions.
    Sources: definition; a measure of "green" retrieval and reasoning.

    >>> round(accuracy_per_kilowatt(accuracy=0.42, chip_watts=700.0, n_chips=8), 3)
    0.075
    """
    return accuracy / (n_chips * chip_watts / 1000.0)


def accuracy_per_joule(*, accuracy: Numeric, energy: Numeric) -> Numeric:
    """Exact-match accuracy for each joule that a question takes.

        EM_per_J = EM / E

    Args:
        accuracy: share of questions answered exactly, EM [1].
        energy: of one question [J].
    Returns:
        accuracy for a joule [1].
    Raises:
        ZeroDivisionError: no energy, for plain floats.
    Valid for: systems compared on the same questions.
    Sources: definition.

    >>> round(accuracy_per_joule(accuracy=0.42, energy=4.2), 3)
    0.1
    """
    return accuracy / energy
