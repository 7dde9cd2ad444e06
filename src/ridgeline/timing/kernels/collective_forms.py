"""Closed forms for the time of a collective: protocols, rings, switches, one and two shots.

Every collective is an alpha-beta sum, t = launch + steps * hop + volume / bandwidth, and a library
picks among a few of them. What differs is the number of steps and the bytes that cross the link of
one device; both follow from the operation and the size of the group:

    operation        ring steps      bytes over one device's link, one way
    all_reduce       2 (n - 1)       2 (n - 1)/n * S
    all_gather       n - 1           (n - 1)/n * S
    reduce_scatter   n - 1           (n - 1)/n * S
    all_to_all       log2 n          (n - 1)/n * S        (peers are served at the same time)
    send_recv        1               S

S is the message size in the nccl-tests convention: the larger of the send and receive buffers of
one rank. Sources: NCCL's documentation of its performance tests (bus bandwidth factors);
R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of Collective Communication Operations in
MPICH", IJHPCA 19 (2005), for the alpha-beta costs.
"""

from __future__ import annotations

from ridgeline.errors import UnknownName
from ridgeline.numeric import Numeric, log2, maximum, minimum, where

OPS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send_recv")


def check_op(op: str) -> str:
    """The operation's name, or an error with the nearest one.

    Raises:
        UnknownName: not one of `OPS`.
    """
    if op not in OPS:
        raise UnknownName.among("collective", op, OPS)
    return op


def ring_steps(*, op: str, group: Numeric) -> Numeric:
    """Messages that follow each other on the critical path [1] (table above).

    >>> ring_steps(op="all_reduce", group=8), ring_steps(op="all_gather", group=8)
    (14, 7)
    """
    if op == "all_reduce":
        return 2 * (group - 1)
    if op == "all_to_all":
        return log2(group)
    return where(group > 1, 1, 0) if op == "send_recv" else group - 1


def link_bytes(*, op: str, bytes: Numeric, group: Numeric) -> Numeric:
    """Bytes one device sends over its link, without help from a switch [bytes].

    >>> link_bytes(op="all_reduce", bytes=8e6, group=4)
    12000000.0
    """
    if op == "send_recv":
        return where(group > 1, 1, 0) * bytes
    return (2 if op == "all_reduce" else 1) * (group - 1) / group * bytes


def least_link_bytes(*, op: str, bytes: Numeric, group: Numeric, in_switch: bool) -> Numeric:
    """Bytes one device must send whatever the algorithm [bytes].

    A switch that adds on the way halves an all-reduce: each device sends its share of the buffer
    once, (n - 1)/n * S, instead of twice.
    """
    whole = link_bytes(op=op, bytes=bytes, group=group)
    return whole / 2 if in_switch and op == "all_reduce" else whole


def alpha_beta(*, launch: Numeric, hop: Numeric, steps: Numeric, volume: Numeric,
               bandwidth: Numeric) -> Numeric:
    """One protocol: t = launch + steps * hop + volume / bandwidth [s]."""
    return launch + steps * hop + volume / bandwidth


def ring_time(*, op: str, bytes: Numeric, group: Numeric, bandwidth: Numeric,
              p: dict[str, float]) -> Numeric:
    """Fastest of the low-latency, the middle and the bulk protocol on a ring [s].

        t = min over protocols of launch + steps * hop + (V + own_copy * S / n) / (f * B * w)

    V and the steps are of `link_bytes` and `ring_steps`. The own-copy term is the chunk that a
    rank moves within its own memory before the ring is full; it explains with one constant why
    bus bandwidth grows with the group. w is `wide` for groups beyond two (cards that share a
    host bridge) and 1 for a pair, times `gather` when nothing is summed.

    Args:
        op: all_reduce, all_gather or reduce_scatter.
        bytes: message size S [bytes].
        group: ranks n [1].
        bandwidth: one way, of one device B [bytes/s].
        p: constants: `<protocol>_launch`, `<protocol>_hop` [s], `<protocol>_fraction` [1] for
            the protocols ll, mid, bulk; `own_copy`, `wide`, `gather` [1].

    Source: the three protocols are NCCL's LL, LL128 and Simple; constants are fitted.
    """
    steps = ring_steps(op=op, group=group)
    volume = link_bytes(op=op, bytes=bytes, group=group) + p["own_copy"] * bytes / group
    speed = bandwidth * where(group > 2, p["wide"], 1.0)
    if op != "all_reduce":
        speed = speed * p["gather"]
    times = [alpha_beta(launch=p[f"{q}_launch"], hop=p[f"{q}_hop"], steps=steps, volume=volume,
                        bandwidth=p[f"{q}_fraction"] * speed) for q in ("ll", "mid", "bulk")]
    return minimum(*times)


def switch_time(*, bytes: Numeric, group: Numeric, bandwidth: Numeric,
                p: dict[str, float]) -> Numeric:
    """All-reduce added up inside the switch (NVLS) [s].

        t = switch_launch + S / (switch_fraction * B)

    The latency does not grow with the group; each device sends and receives the buffer once.
    """
    return p["switch_launch"] + bytes / (p["switch_fraction"] * bandwidth)


def exchange_time(*, bytes: Numeric, group: Numeric, bandwidth: Numeric,
                  p: dict[str, float]) -> Numeric:
    """All-to-all: the faster of two protocols, every peer served at once [s].

        t = min_q launch_q + log2(n) * hop + (n - 1)/n * S / (f_q * B * g),  g = (n/2)^scale

    The exponent `scale` is how the usable bandwidth changes as more peers share the link.
    """
    speed = bandwidth * (group / 2) ** p["x_scale"]
    volume = link_bytes(op="all_to_all", bytes=bytes, group=group)
    times = [alpha_beta(launch=p[f"x_{q}_launch"], hop=p["x_hop"], steps=log2(group),
                        volume=volume, bandwidth=p[f"x_{q}_fraction"] * speed)
             for q in ("ll", "bulk")]
    return minimum(*times)


def one_shot_time(*, bytes: Numeric, group: Numeric, bandwidth: Numeric,
                  p: dict[str, float]) -> Numeric:
    """Engine's own all-reduce for tiny messages: every rank reads all peers [s].

        t = launch + hop * log2 n + (n - 1) S / (fraction * B)
    """
    return alpha_beta(launch=p["launch"], hop=p["hop"], steps=log2(group),
                      volume=(group - 1) * bytes, bandwidth=p["fraction"] * bandwidth)


def two_shot_time(*, bytes: Numeric, group: Numeric, bandwidth: Numeric,
                  p: dict[str, float]) -> Numeric:
    """Engine's own all-reduce: reduce a share each, then gather the shares [s].

        t = launch + extra + hop * log2 n + 2 (n - 1)/n * S / (fraction * B)
    """
    return alpha_beta(launch=p["launch"] + p["extra"], hop=p["hop"], steps=log2(group),
                      volume=link_bytes(op="all_reduce", bytes=bytes, group=group),
                      bandwidth=p["fraction"] * bandwidth)


def eager_time(*, graph: Numeric, bytes: Numeric, memory_bandwidth: Numeric,
               host_floor: Numeric, copy_fraction: Numeric) -> Numeric:
    """The same kernel launched from Python instead of replayed from a graph [s].

        t = max(host_floor, graph + 2 S / (copy_fraction * memory_bandwidth))

    Outside a graph the input is first copied into a registered buffer (read and write S).
    """
    return maximum(host_floor, graph + 2 * bytes / (copy_fraction * memory_bandwidth))


def network_time(*, op: str, bytes: Numeric, group: Numeric, nodes: Numeric, bandwidth: Numeric,
                 p: dict[str, float]) -> Numeric:
    """The part of a collective that crosses domains, added to the part inside them [s].

        t = m (hop * log2 d) + link_bytes(op, S, d) / (g * fraction * B),   g = n / d

    d domains of g ranks each; the network is reached through g ports of bandwidth B. An
    all-to-all instead sends (d - 1)/d of each rank's own buffer through the rank's own port.
    m is 2 for an all-reduce, which goes out and back.

    Source: the hierarchical all-reduce of NCCL's tuning model as written out by E. Erdil,
    "Inference economics of language models" (2025), section on communication.
    """
    per_port = where(nodes > 1, group / nodes, 1)
    volume = link_bytes(op=op, bytes=bytes, group=nodes)
    share = volume if op in ("all_to_all", "send_recv") else volume / per_port
    times = 2 if op == "all_reduce" else 1
    return times * p["net_hop"] * log2(nodes) + share / (p["net_fraction"] * bandwidth)
