"""What a simulation is asked beyond the scenario: load, fleet, rules and targets."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ridgeline.errors import BadInput

__all__ = ["Asked"]

_MOST_SEEDS = 1000
_MOST_DRAFTS = 64


@dataclass(frozen=True)
class Asked:
    """What to simulate beyond the scenario.

    Attributes:
        trace: bundled excerpt, file, or prefix of a client mix's two files; None: made-up load.
        rate: mean arrivals per second of made-up load; None: a closed loop at the scenario's
            concurrency.
        requests: how many; None: 1,000 made up (at least 10 waves of a closed loop), or the whole
            trace.
        cv, length_cv: spread of the gaps and of the lengths made up (see serving.load).
        seed, seeds: first seed and how many replications.
        replicas: copies of the replica; None: as the machine holds.
        router: how requests are spread over replicas (see serving.replicas).
        scheduler: "vllm", "sglang", "static", "reserve"; None: the engine's own.
        order: "fcfs", "shortest" or "priority" (of a trace that carries one).
        interval: steps depart at multiples of this [s]; 0: at once.
        ttft, tpot: targets of goodput [s].
        speed: replay a trace faster by this factor.
        start, duration: stretch of a client mix's time [s].
        skip_bad, sort: leave malformed rows of a trace out; sort unordered ones.
        pools: replicas that read prompts and replicas that decode, such as "4+2"; None: each does
            both.
        max_waiting: requests that may wait on a replica before others are turned away; None: any.
        draft_tokens: tokens drafted a step for each sequence; 0: no speculative decoding.
        acceptance: probability that draft i is accepted when all before it were; the last one
            goes for the drafts beyond.
        draft_cost: time of one draft over that of a plain decode step.
        swap: memory of the host for preempted sequences of a replica [bytes]; 0: they start over.
        prefix_cache: find prefixes again by the block hashes of the trace.
        host_cache, disk_cache: memory for cached prefixes below the device's, a replica [bytes].
        disk_tier: memory tier of the catalog that disk_cache is on.
        autoscale: fewest and most replicas that follow the load, such as "1-8"; None: fixed.
        scale_target: requests in flight on a replica that autoscaling aims at.
        cold_start: time a replica takes from start to serving [s].
        scale_every: time between decisions to scale [s].
        scale_patience: for how long fewer replicas must be wanted before one is dropped [s].
        plan: use the cheapest deployment on the machine that `plan` finds for load and targets.
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
    start: float = 0.0
    duration: float = 3600.0
    skip_bad: bool = False
    sort: bool = False
    pools: str | None = None
    max_waiting: int | None = None
    draft_tokens: int = 0
    acceptance: tuple[float, ...] = ()
    draft_cost: float = 0.0
    swap: float = 0.0
    prefix_cache: bool = False
    host_cache: float = 0.0
    disk_cache: float = 0.0
    disk_tier: str = "NVMe SSD PCIe5"
    autoscale: str | None = None
    scale_target: float = 32.0
    cold_start: float = 60.0
    scale_every: float = 10.0
    scale_patience: float = 60.0
    plan: bool = False

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
        if (self.trace is not None and self.seeds > 1 and self.router != "random"
                and not self.draft_tokens and not self.mixed):
            raise BadInput("a trace is the same for every seed; leave --seeds out")
        object.__setattr__(self, "acceptance", tuple(self.acceptance))
        self._check_rules()

    def _check_rules(self) -> None:
        """Refuse rules that contradict each other."""
        if bool(self.draft_tokens) != bool(self.acceptance):
            raise BadInput("speculative decoding needs both --draft-tokens and --acceptance")
        if not 0 <= self.draft_tokens <= _MOST_DRAFTS:
            raise BadInput(f"draft_tokens must be from 0 to {_MOST_DRAFTS}, not "
                           f"{self.draft_tokens}")
        for name in ("swap", "host_cache", "disk_cache"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise BadInput(f"{name} must be zero or more bytes, not {value:g}")
        if (self.host_cache or self.disk_cache) and not self.prefix_cache:
            raise BadInput("--host-cache and --disk-cache are tiers of a --prefix-cache")
        if self.autoscale is not None and (self.pools or self.replicas):
            raise BadInput("autoscaling sets the number of replicas; leave --replicas and "
                           "--pools out")
        if self.autoscale is not None and self.router not in ("round-robin", "least-loaded"):
            raise BadInput("autoscaled replicas are routed to the least loaded; leave --router out")
        if self.pools is not None and self.replicas is not None:
            raise BadInput("--pools says how many replicas there are; leave --replicas out")

    @property
    def mixed(self) -> bool:
        """Whether the trace is a client mix, which is drawn anew for each seed."""
        from pathlib import Path

        return self.trace is not None and any(
            Path(f"{self.trace}_rates.csv{end}").is_file() for end in ("", ".gz"))

    @property
    def pool_sizes(self) -> tuple[int, int] | None:
        """Replicas that read prompts and that decode.

        Raises:
            BadInput: `pools` is not two whole numbers with a plus between.
        """
        return None if self.pools is None else _two(self.pools, "+", "pools", "4+2")

    @property
    def scale_range(self) -> tuple[int, int] | None:
        """Fewest and most replicas.

        Raises:
            BadInput: `autoscale` is not two whole numbers with a dash between.
        """
        return None if self.autoscale is None else _two(self.autoscale, "-", "autoscale", "1-8")


def _two(text: str, between: str, name: str, example: str) -> tuple[int, int]:
    first, found, second = text.partition(between)
    if not (found and first.strip().isdecimal() and second.strip().isdecimal()
            and len(text) < 20):
        raise BadInput(f"{name} must be like {example}, not {text!r}")
    return int(first), int(second)
