"""Closed-form queues: instant answers beside the simulator, and its referee.

Waits are means over customers, from arrival to the start of service, first come first served,
arrivals Poisson.
"""

from __future__ import annotations

import cmath
import math

from ridgeline.errors import BadInput
from ridgeline.numeric import Numeric

__all__ = ["BulkQueue", "erlang_c", "md1_wait", "mg1_wait", "mm1_wait", "mmc_wait",
           "train_schedule", "vehicle_queue"]


def mg1_wait(*, arrival_rate: Numeric, service_time: Numeric, service_cv: Numeric) -> Numeric:
    """Mean wait before one server with any law of service.

        W = rho S (1 + cv^2) / (2 (1 - rho)),   rho = lambda S

    Args:
        arrival_rate: lambda, below 1 / service_time [1/s].
        service_time: S, mean service [s].
        service_cv: standard deviation of service over its mean [1].

    Returns:
        seconds.

    Sources: Pollaczek 1930 and Khinchine 1932.
    >>> round(mg1_wait(arrival_rate=0.5, service_time=1.0, service_cv=1.0), 3)
    1.0
    """
    load = arrival_rate * service_time
    return load * service_time * (1.0 + service_cv**2) / (2.0 * (1.0 - load))


def mm1_wait(*, arrival_rate: Numeric, service_time: Numeric) -> Numeric:
    """Mean wait before one server with exponential service.

        W = rho S / (1 - rho)

    Args:
        arrival_rate: lambda, below 1 / service_time [1/s].
        service_time: S, mean service [s].

    Returns:
        seconds.

    Sources: Erlang 1917; mg1_wait with cv = 1.
    >>> round(mm1_wait(arrival_rate=0.9, service_time=1.0), 3)
    9.0
    """
    return mg1_wait(arrival_rate=arrival_rate, service_time=service_time, service_cv=1.0)


def md1_wait(*, arrival_rate: Numeric, service_time: Numeric) -> Numeric:
    """Mean wait before one server with equal services.

        W = rho S / (2 (1 - rho))

    Args:
        arrival_rate: lambda, below 1 / service_time [1/s].
        service_time: S [s].

    Returns:
        seconds.

    Sources: Erlang 1909; mg1_wait with cv = 0.
    >>> round(md1_wait(arrival_rate=0.9, service_time=1.0), 3)
    4.5
    """
    return mg1_wait(arrival_rate=arrival_rate, service_time=service_time, service_cv=0.0)


def erlang_c(servers: int, offered: float) -> float:
    """Probability that a customer waits before `servers` exponential servers.

        C = B / (1 - rho (1 - B)),   B the Erlang loss by its recursion, rho = offered / servers

    Args:
        servers: how many.
        offered: arrival rate times mean service, below `servers`.

    Raises:
        BadInput: no server, or a load of 1 or more.

    Source: Erlang 1917.
    >>> round(erlang_c(2, 1.0), 4)
    0.3333
    """
    if servers < 1:
        raise BadInput(f"servers must be at least 1, not {servers}")
    load = _load(offered / servers)
    loss = 1.0
    for k in range(1, servers + 1):
        loss = offered * loss / (k + offered * loss)
    return loss / (1 - load * (1 - loss))


def mmc_wait(arrival_rate: float, service_time: float, servers: int) -> float:
    """Mean wait before several exponential servers [s].

        W = C(servers, lambda S) S / (servers - lambda S)

    Raises:
        BadInput: no server, or a load of 1 or more.

    >>> round(mmc_wait(0.9, 1.0, 1), 3)
    9.0
    """
    offered = arrival_rate * service_time
    return erlang_c(servers, offered) * service_time / (servers - offered)


def vehicle_queue(arrivals: float, capacity: int) -> tuple[float, float]:
    """Queue before a vehicle that takes at most `capacity` at each departure.

    With a arrivals (Poisson) between departures and q waiting at one, max(q - capacity, 0) stay.
    Let z_1 ... z_(c-1) be the roots of z^c = exp(a (z - 1)) inside the unit circle. Then

        E[q] = a + sum 1 / (1 - z_i) - (c (c - 1) - a^2) / (2 (c - a))
        P(q = 0) = (c - a) prod -z_i / (1 - z_i)

    Args:
        arrivals: a, mean between departures, below `capacity`.
        capacity: c.

    Returns:
        (mean waiting just before a departure, probability that nobody is).

    Raises:
        BadInput: the vehicles cannot keep up, or take nobody.

    Source: Bailey 1954; the mean by differentiating his generating function at 1.
    >>> queue, empty = vehicle_queue(0.5, 1)
    >>> round(queue - 0.5, 3), round(empty, 3)
    (0.25, 0.5)
    """
    if capacity < 1:
        raise BadInput(f"capacity must be at least 1, not {capacity}")
    _load(arrivals / capacity)
    queue = arrivals - (capacity * (capacity - 1) - arrivals**2) / (2 * (capacity - arrivals))
    empty: complex = capacity - arrivals
    for k in range(1, capacity):
        root = _root(arrivals, capacity, k)
        queue += (1 / (1 - root)).real
        empty *= -root / (1 - root)
    return queue, empty.real


def _root(arrivals: float, capacity: int, k: int) -> complex:
    """The k-th root of z^c = exp(a (z - 1)) inside the unit circle, by its contraction."""
    turn = cmath.exp(2j * math.pi * k / capacity)
    z: complex = 0j
    for _ in range(10_000):
        step = turn * cmath.exp(arrivals * (z - 1) / capacity)
        if abs(step - z) < 1e-14:
            break
        z = step
    return step


class BulkQueue:
    """Mean waits before a server that takes up to `capacity` customers at once.

    Args:
        arrival_rate: per second.
        service_time: of one batch, whatever its size [s].
        capacity: customers a batch can take.

    Raises:
        BadInput: the load is 1 or more.
    """

    def __init__(self, arrival_rate: float, service_time: float, capacity: int) -> None:
        self.rate, self.service = arrival_rate, service_time
        self.arrivals = arrival_rate * service_time
        self.queue, self.empty = vehicle_queue(self.arrivals, capacity)
        self.load = self.arrivals / capacity

    @property
    def scheduled_wait(self) -> float:
        """Batches depart every `service_time`, full or empty (M/D^B/1) [s].

        The queue grows linearly between departures, so its mean over time is E[q] - a / 2, and by
        Little's law W = (E[q] - a / 2) / lambda: half an interval when the load is light.
        """
        return (self.queue - self.arrivals / 2) / self.rate

    @property
    def prompt_wait(self) -> float:
        """A batch starts as soon as the server is free and somebody waits [s].

        Batches see the same queue; a cycle lasts the service, and the wait for a first customer
        when nobody is there: W = ((E[q] - a) S + lambda S^2 / 2) / (lambda S + P(q = 0)).
        """
        left = self.queue - self.arrivals
        area = left * self.service + self.rate * self.service**2 / 2
        return area / (self.rate * self.service + self.empty)


def train_schedule(arrival_rate: float, interval: float, capacity: int) -> dict[str, float]:
    """Batches that depart every `interval` and take as long: load, waits and the way to the end.

    Args:
        arrival_rate: requests per second.
        interval: between departures, and of one passage [s].
        capacity: requests a departure takes.

    Returns:
        `load`; `wait` mean [s]; `done` mean wait plus passage [s]; `light_wait` and `light_worst`:
        mean and longest wait when departures are never full.

    Raises:
        BadInput: the load is 1 or more: the queue grows for ever.

    >>> quick = train_schedule(2000, 0.020, 64)
    >>> quick["load"], quick["light_wait"], quick["light_worst"], round(quick["wait"], 5)
    (0.625, 0.01, 0.02, 0.01)
    """
    queue = BulkQueue(arrival_rate, interval, capacity)
    return {"load": queue.load, "wait": queue.scheduled_wait,
            "done": queue.scheduled_wait + interval, "light_wait": interval / 2,
            "light_worst": interval}


def _load(load: float) -> float:
    """The load, refused where no queue is in balance."""
    if not 0 <= load < 1:
        raise BadInput(f"the load is {load:.3g}; a queue settles only below 1")
    return load
