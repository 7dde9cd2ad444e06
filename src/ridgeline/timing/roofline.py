"""Timing layer 1: bounds of every op and of a whole step, at datasheet peaks.

A step can be no faster than the longest of its compute, memory and network times (all perfectly
overlapped) and, at these peaks, need be no slower than their sum (nothing overlapped).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ridgeline.machine import Cluster
from ridgeline.numeric import Numeric, maximum
from ridgeline.work.op import Op

__all__ = ["OpBounds", "StepBounds", "bound_name", "op_bounds", "step_bounds", "wire_bytes"]


@dataclass(frozen=True)
class OpBounds:
    """Least times of one op, all repeats together [s].

    Attributes:
        compute, memory, network: FLOP over peak, bytes over bandwidth, bytes over link.
    """

    op: Op
    compute: Numeric
    memory: Numeric
    network: Numeric

    @property
    def lower(self) -> Numeric:
        """Everything overlaps."""
        return maximum(self.compute, self.memory, self.network)

    @property
    def upper(self) -> Numeric:
        """Nothing overlaps."""
        return self.compute + self.memory + self.network


@dataclass(frozen=True)
class StepBounds:
    """Least times of a whole step [s]: sums over its ops."""

    ops: tuple[OpBounds, ...]

    @property
    def compute(self) -> Numeric:
        """FLOP of all ops over their peaks."""
        return _total(o.compute for o in self.ops)

    @property
    def memory(self) -> Numeric:
        """Bytes of all ops over memory bandwidth."""
        return _total(o.memory for o in self.ops)

    @property
    def network(self) -> Numeric:
        """Messages of all collectives over their links."""
        return _total(o.network for o in self.ops)

    @property
    def lower(self) -> Numeric:
        """max(compute, memory, network): the floor that no schedule beats."""
        return maximum(self.compute, self.memory, self.network)

    @property
    def serial(self) -> Numeric:
        """Ops one after another, each perfectly overlapped inside."""
        return _total(o.lower for o in self.ops)

    @property
    def upper(self) -> Numeric:
        """compute + memory + network."""
        return self.compute + self.memory + self.network


def _total(values: Iterable[Numeric]) -> Numeric:
    total: Numeric = 0.0
    for value in values:
        total = total + value
    return total


def wire_bytes(*, collective: str, message_bytes: Numeric, group: Numeric) -> Numeric:
    """Bytes each device must send in a bandwidth-optimal collective.

        all_reduce 2 (n-1)/n S; all_gather, reduce_scatter, all_to_all (n-1)/n S; send_recv S

    Args:
        collective: which one.
        message_bytes: S, the larger of a device's send and receive buffer [bytes].
        group: devices n [1].

    Returns:
        bytes sent by one device, broadcast shape.

    Sources: Chan et al. 2007, Collective communication; nccl-tests PERFORMANCE notes.

    >>> wire_bytes(collective="all_reduce", message_bytes=8.0, group=4.0)
    12.0
    """
    if collective == "send_recv":
        return message_bytes
    share = (group - 1) / group
    return (2 if collective == "all_reduce" else 1) * share * message_bytes


def op_bounds(op: Op, cluster: Cluster) -> OpBounds:
    """Bounds of one op on one chip of a cluster."""
    chip = cluster.chip
    if op.kind == "collective":
        link = cluster.link(int(op.shape["spans"]))
        sent = wire_bytes(collective=op.labels["collective"], message_bytes=op.message_bytes,
                          group=op.shape["group"])
        return OpBounds(op, 0.0, 0.0, op.repeats * sent / link.bandwidth)
    return OpBounds(op, op.repeats * op.flop / chip.rate(op.compute),
                    op.repeats * op.memory_bytes / chip.memory_bandwidth, 0.0)


def step_bounds(ops: Sequence[Op], cluster: Cluster) -> StepBounds:
    """Bounds of every op of a step."""
    return StepBounds(tuple(op_bounds(op, cluster) for op in ops))


def bound_name(bounds: StepBounds) -> str:
    """Which of compute, memory and network binds (scalar steps)."""
    times = {"compute": bounds.compute, "memory": bounds.memory, "network": bounds.network}
    return max(times, key=lambda name: float(times[name]))
