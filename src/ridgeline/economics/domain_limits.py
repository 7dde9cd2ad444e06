"""How many chips one scale-up domain can hold: cables, bends, power, cooling, weight, reach."""

from __future__ import annotations

from ridgeline.numeric import Numeric, ceil, maximum

__all__ = [
    "break_even_pool_bandwidth", "cable_count", "chips_within", "chips_within_reach",
    "domain_power", "fibre_latency", "link_power", "pool_step_time", "wires_through_bend",
]


def cable_count(*, n_chips: Numeric, links_per_chip: Numeric, wires_per_link: Numeric) -> Numeric:
    """Wires between the chips of a domain and its switches.

        wires = n * links * wires_link

    Args:
        n_chips: chips in the domain n [1].
        links_per_chip: links of one chip [1].
        wires_per_link: cables (pairs) of one link, both ways [1].
    Returns:
        cables [1].
    Raises:
        nothing.
    Valid for: every link of a chip goes to a switch over a cable of its own.
    Sources: own derivation.

    >>> cable_count(n_chips=72, links_per_chip=18, wires_per_link=4)
    5184
    """
    return n_chips * links_per_chip * wires_per_link


def domain_power(*, n_chips: Numeric, chip_watts: Numeric, n_hosts: Numeric,
                 host_watts: Numeric) -> Numeric:
    """Power of the chips and hosts of a domain.

        P = n * P_chip + n_host * P_host

    Args:
        n_chips: chips in the domain n [1].
        chip_watts: power of one chip [W].
        n_hosts: processors beside them [1].
        host_watts: power of one host with its memory [W].
    Returns:
        power [W]; switches, fans and conversion come on top.
    Raises:
        nothing.
    Valid for: all at full load.
    Sources: own derivation.

    >>> domain_power(n_chips=72, chip_watts=1200.0, n_hosts=36, host_watts=500.0) / 1e3
    104.4
    """
    return n_chips * chip_watts + n_hosts * host_watts


def chips_within(*, limit: Numeric, per_chip: Numeric, fixed_use: Numeric = 0.0) -> Numeric:
    """Whole chips that a limit allows.

        n = floor((limit - fixed) / per_chip)

    Args:
        limit: what there is, in any unit [1].
        per_chip: what each chip takes of it, in the same unit [1].
        fixed_use: what is taken whatever the number of chips [1].
    Returns:
        chips [1].
    Raises:
        ZeroDivisionError: a chip that takes nothing, for plain floats.
    Valid for: limits that chips share evenly.
    Sources: own derivation.

    >>> chips_within(limit=120e3, per_chip=1450.0)
    82.0
    """
    return -ceil(-(limit - fixed_use) / per_chip)


def chips_within_reach(*, reach: Numeric, spare_length: Numeric, tray_pitch: Numeric,
                       chips_per_tray: Numeric) -> Numeric:
    """Chips in one stack of trays whose longest cable stays within its reach.

        n = floor((reach - spare) / pitch) * chips_tray

    Args:
        reach: longest cable that still works [m].
        spare_length: of it for bends and connectors [m].
        tray_pitch: height of one tray with its share of the switches [m].
        chips_per_tray: chips of one tray [1].
    Returns:
        chips [1].
    Raises:
        ZeroDivisionError: trays of no height, for plain floats.
    Valid for: one rack, cables running along it between the farthest tray and a switch at one end;
        switches in the middle reach twice as far.
    Sources: own derivation.

    >>> chips_within_reach(reach=1.5, spare_length=0.3, tray_pitch=0.0667, chips_per_tray=4)
    68.0
    """
    return -ceil(-(reach - spare_length) / tray_pitch) * chips_per_tray


def wires_through_bend(*, channel_depth: Numeric, channel_width: Numeric, bend_radius: Numeric,
                       wire_diameter: Numeric) -> Numeric:
    """Wires that can turn a corner side by side and on top of each other.

        wires = (depth - radius) / d * width / d

    Args:
        channel_depth: from the backplane to the wall behind it [m].
        channel_width: along the backplane [m].
        bend_radius: least radius of the innermost wire [m].
        wire_diameter: outer diameter of one wire [m].
    Returns:
        wires [1], not rounded.
    Raises:
        ZeroDivisionError: wires of no thickness, for plain floats.
    Valid for: wires packed in a square grid that all turn at one height.
    Sources: own derivation (the innermost layer bends at the radius, each further layer one
        diameter outside).

    >>> round(wires_through_bend(channel_depth=0.1, channel_width=0.4, bend_radius=0.01,
    ...                          wire_diameter=0.002))
    9000
    """
    return (channel_depth - bend_radius) / wire_diameter * channel_width / wire_diameter


def link_power(*, network_bandwidth: Numeric, joules_per_bit: Numeric) -> Numeric:
    """Power of a chip's links at full rate.

        P = 8 * W_net * e_bit

    Args:
        network_bandwidth: bytes per second of one chip, all its links [B/s].
        joules_per_bit: energy of one bit over the link [J].
    Returns:
        power [W].
    Raises:
        nothing.
    Valid for: the direction that the bandwidth counts; double it for both.
    Sources: own derivation.

    >>> round(link_power(network_bandwidth=900e9, joules_per_bit=25e-12))
    180
    """
    return 8.0 * network_bandwidth * joules_per_bit


def fibre_latency(*, cable_length: Numeric, seconds_per_metre: Numeric = 4.9e-9,
                  port_latency: Numeric = 0.0) -> Numeric:
    """Time of flight through a fibre, and the ports at its ends.

        t = length * 4.9e-9 + t_port

    Args:
        cable_length: of the fibre [m].
        seconds_per_metre: group index 1.47 over the speed of light [s].
        port_latency: serialisation and error correction of both ends [s].
    Returns:
        time [s].
    Raises:
        nothing.
    Valid for: silica fibre; hollow-core fibre takes a third less.
    Sources: speed of light in silica.

    >>> round(fibre_latency(cable_length=100.0) * 1e6, 2)
    0.49
    """
    return cable_length * seconds_per_metre + port_latency


def pool_step_time(*, step_bytes: Numeric, pool_share: Numeric, memory_bandwidth: Numeric,
                   pool_bandwidth: Numeric, n_chips: Numeric = 1.0) -> Numeric:
    """Time of a memory-bound step that reads a share of its bytes from a shared pool.

        t = max(m_step * (1 - s_pool) / (n * W), m_step * s_pool / (n * W_pool))

    Args:
        step_bytes: bytes read in one step, all chips [B].
        pool_share: share of them that lies in the pool [1].
        memory_bandwidth: device memory bandwidth of one chip W [B/s].
        pool_bandwidth: what one chip reads from the pool [B/s].
        n_chips: chips n [1].
    Returns:
        time [s].
    Raises:
        ZeroDivisionError: no bandwidth, for plain floats.
    Valid for: prefetched early enough to hide the pool's latency.
    Sources: own derivation.

    >>> round(pool_step_time(step_bytes=1e12, pool_share=0.2, memory_bandwidth=8e12,
    ...                      pool_bandwidth=100e9, n_chips=72) * 1e3, 1)
    27.8
    """
    return maximum(step_bytes * (1.0 - pool_share) / (n_chips * memory_bandwidth),
                   step_bytes * pool_share / (n_chips * pool_bandwidth))


def break_even_pool_bandwidth(*, pool_share: Numeric, memory_bandwidth: Numeric) -> Numeric:
    """Bandwidth at which a memory pool slows nothing down.

        W_pool = W * s_pool / (1 - s_pool)

    Args:
        pool_share: share of a step's bytes that lies in the pool, below 1 [1].
        memory_bandwidth: device memory bandwidth of one chip W [B/s].
    Returns:
        bandwidth of one chip to the pool [B/s].
    Raises:
        ZeroDivisionError: everything in the pool, for plain floats.
    Valid for: prefetched early enough to hide the pool's latency.
    Sources: own derivation (both sides of pool_step_time equal).

    >>> break_even_pool_bandwidth(pool_share=0.2, memory_bandwidth=8e12) / 1e12
    2.0
    """
    return memory_bandwidth * pool_share / (1.0 - pool_share)
