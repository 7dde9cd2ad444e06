"""What a simulation is asked beyond the scenario: load, fleet, rules and targets."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ridgeline.errors import BadInput

__all__ = ["Asked"]

_MOST_SEEDS = 1000


@dataclass(frozen=True)
class Asked:
    """What to simulate beyond the scenario.

    Attributes:
        trace: bundled excerpt or file; None: made-up load.
        rate: mean arrivals per second of made-up load; None: a closed loop at the scenario's
            concurrency.
        requests: how many; None: 1,000 made up (at least 10 waves of a closed loop), or the whole
            trace.
        cv, length_cv: spread of the gaps and of the lengths made up (see serving.load).
        seed, seeds: first seed and how many replications.
        replicas: copies of the replica; None: as the machine holds.
        router: how requests are spread over replicas (see serving.replicas).
        scheduler: "vllm", "sglang", "static", "reserve"; None: the engine's own.
        order: "fcfs" or "shortest".
        interval: steps depart at multiples of this [s]; 0: at once.
        ttft, tpot: targets of goodput [s].
        speed: replay a trace faster by this factor.
        skip_bad, sort: leave malformed rows of a trace out; sort unordered ones.
    """

    trace: str | None = None
    rate: float | None = None
    requests: int | None = None
    cv: float = 1.0
    length_cv: float = 0.1
    seed: int = 0
    seeds: int = 1
    replicas: int | None = None
    router: str = "round-robin"
    scheduler: str | None = None
    order: str = "fcfs"
    interval: float = 0.0
    ttft: float | None = None
    tpot: float | None = None
    speed: float = 1.0
    skip_bad: bool = False
    sort: bool = False

    def __post_init__(self) -> None:
        if self.trace is not None and self.rate is not None:
            raise BadInput("give a trace or a rate, not both; a trace is replayed faster with "
                           "--speed")
        if not 1 <= self.seeds <= _MOST_SEEDS:
            raise BadInput(f"seeds must be from 1 to {_MOST_SEEDS}, not {self.seeds}")
        if self.requests is not None and self.requests < 1:
            raise BadInput(f"requests must be at least 1, not {self.requests}")
        for name in ("ttft", "tpot"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise BadInput(f"the target of {name} must be positive seconds, not {value:g}")
        if self.trace is not None and self.seeds > 1 and self.router != "random":
            raise BadInput("a trace is the same for every seed; leave --seeds out")
