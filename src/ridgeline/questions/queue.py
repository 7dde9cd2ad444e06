"""How long is the wait, by the textbook? Closed-form queues: an instant answer, no simulation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ridgeline.errors import BadInput, Infeasible
from ridgeline.quantity import Quantity, format_si
from ridgeline.questions.answer import Answer, Table
from ridgeline.report.figure import Axis, Figure, Line

__all__ = ["QueueAsk", "queue", "queue_figure"]

_MOST = 100_000
_LOADS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class QueueAsk:
    """A queue with Poisson arrivals.

    Attributes:
        rate: arrivals per second.
        service: mean time one request (or one batch) is served [s].
        servers: side by side, sharing one queue.
        service_cv: standard deviation of the service over its mean: 0 equal, 1 exponential.
        batch: requests a server takes at once; 1: one by one.
        train: batches leave every `service` seconds, full or empty, instead of when there is work.
    """

    rate: float
    service: float
    servers: int = 1
    service_cv: float = 1.0
    batch: int = 1
    train: bool = False

    def __post_init__(self) -> None:
        for name in ("rate", "service"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise BadInput(f"{name} must be positive and finite, not {value:g}")
        for name in ("servers", "batch"):
            if not 1 <= getattr(self, name) <= _MOST:
                raise BadInput(f"{name} must be from 1 to {_MOST:,}, not {getattr(self, name)}")
        if not 0 <= self.service_cv <= 100:
            raise BadInput(f"service_cv must be between 0 and 100, not {self.service_cv:g}")
        if self.bulk and self.servers > 1:
            raise BadInput("batches are known in closed form for one server; share the rate, or "
                           "use `ridgeline simulate`")

    @property
    def bulk(self) -> bool:
        """Whether requests are served in batches or by a timetable."""
        return self.batch > 1 or self.train

    @property
    def load(self) -> float:
        """Share of the servers' time that is asked for."""
        return self.rate * self.service / (self.servers * self.batch)

    @property
    def name(self) -> str:
        """In Kendall's notation."""
        if self.bulk:
            return f"M/D^{self.batch}/1" + (" by timetable" if self.train else "")
        law = {0.0: "D", 1.0: "M"}.get(self.service_cv, "G")
        return f"M/{law}/{self.servers}"


def queue(ask: QueueAsk) -> Answer:
    """Mean wait, time in the system and length of a queue, by closed forms.

    One server: Pollaczek and Khinchine, exact for any law of service. Several: Erlang C, exact for
    exponential service, times (1 + cv^2) / 2 otherwise (Lee and Longton's approximation). Batches:
    Bailey's bulk service with equal services.

    Args:
        ask: rate, service, servers, batches.

    Returns:
        an Answer with `load`, `wait_s`, `system_s`, `waiting`, and table "loads".

    Raises:
        BadInput: numbers that make no sense.
        Infeasible: the load is 1 or more: the queue grows for ever.

    >>> round(queue(QueueAsk(rate=0.9, service=1.0, service_cv=0.0)).value("wait_s"), 6)
    4.5
    """
    if ask.load >= 1:
        raise Infeasible(f"the queue grows for ever: a load of {ask.load:.3g}; it settles with "
                         f"{_enough(ask)}, or below {format_si(ask.rate / ask.load, '1/s')}")
    wait = _wait(ask)
    quantities: dict[str, Any] = {
        "bound": f"{ask.name} at a load of {ask.load:.3g}: the mean wait is "
                 f"{format_si(wait, 's')}, {wait / ask.service:.3g} times a service",
        "load": _derived(ask.load, "1"), "wait_s": _derived(wait, "s"),
        "system_s": _derived(wait + ask.service, "s"),
        "waiting": _derived(ask.rate * wait, "1")}
    if not ask.bulk:
        from ridgeline.serving.queueing import erlang_c

        # With one server this is the load, whatever the law of service.
        quantities["chance_of_wait"] = _derived(erlang_c(ask.servers, ask.rate * ask.service), "1")
    if ask.train:
        quantities |= {"light_wait_s": _derived(ask.service / 2, "s"),
                       "light_worst_s": _derived(ask.service, "s")}
    return Answer("queue", {"queue": dict(vars(ask))}, quantities,
                  tables=(_loads(ask),), notes=_notes(ask), derivation=_derivation(ask))


def _derived(value: float, unit: str) -> Quantity:
    return Quantity.exact(value, unit, "derived")


def _enough(ask: QueueAsk) -> str:
    need = math.floor(ask.load * ask.servers) + 1
    if ask.bulk:
        return f"batches of {math.floor(ask.rate * ask.service) + 1:,}"
    return f"{need:,} servers"


def _wait(ask: QueueAsk) -> float:
    from ridgeline.serving.queueing import BulkQueue, mg1_wait, mmc_wait

    if ask.bulk:
        bulk = BulkQueue(ask.rate, ask.service, ask.batch)
        return bulk.scheduled_wait if ask.train else bulk.prompt_wait
    if ask.servers == 1:
        return float(mg1_wait(arrival_rate=ask.rate, service_time=ask.service,
                              service_cv=ask.service_cv))
    return mmc_wait(ask.rate, ask.service, ask.servers) * (1 + ask.service_cv**2) / 2


def _at(ask: QueueAsk, load: float) -> QueueAsk:
    return QueueAsk(ask.rate * load / ask.load, ask.service, ask.servers, ask.service_cv,
                    ask.batch, ask.train)


def _loads(ask: QueueAsk) -> Table:
    """Waits at other loads of the same queue."""
    rows = [(load, at.rate, _wait(at)) for load in _LOADS for at in (_at(ask, load),)]
    return Table.of("loads", {"load": "1", "rate": "1/s", "wait": "s"}, rows,
                    title="The same queue at other loads")


def _notes(ask: QueueAsk) -> tuple[str, ...]:
    notes = ["Means in the long run, arrivals Poisson, first come first served."]
    if not ask.bulk and ask.servers > 1 and ask.service_cv != 1:
        notes.append("Several servers with services that are not exponential: an approximation, "
                     "within a few per cent at high load.")
    return tuple(notes)


def _derivation(ask: QueueAsk) -> tuple[Any, ...]:
    from ridgeline.explain.derivation import Given, derive
    from ridgeline.serving.queueing import mg1_wait

    if ask.bulk or ask.servers > 1:
        return ()
    return (derive(mg1_wait, {"arrival_rate": Given(ask.rate), "service_time": Given(ask.service),
                              "service_cv": Given(ask.service_cv)}, title="Mean wait"),)


def queue_figure(answer: Answer) -> Figure:
    """Mean wait against the load."""
    rows: list[Any] = list(answer.tables[0].rows)
    return Figure("Mean wait by load", x=Axis("load", "1", low=0, high=1),
                  y=Axis("wait", "s", log=True),
                  series=(Line([r[0] for r in rows], [r[2] for r in rows], "wait"),))
