"""What is to be started: replicas, limits, model and load, as every engine needs to know them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ridgeline.deployment import Deployment
    from ridgeline.deployment.operands import Formats
    from ridgeline.machine import Cluster
    from ridgeline.model.architecture import Architecture
    from ridgeline.search.row import Pool, Row

__all__ = ["PORT", "LaunchSpec", "Service", "launch_spec"]

PORT = 8000
# Room above the mean request: lengths of a benchmark vary by a tenth, and a few tokens are the
# tokenizer's own.
_LONGER, _OWN_TOKENS = 1.1, 64


@dataclass(frozen=True)
class Service:
    """Equal servers of one kind.

    Attributes:
        role: "serve", or "prefill" and "decode" of two pools.
        deployment: degrees (dp: servers side by side), formats, engine, token budget.
        formats: what the formats came to.
        cluster: chips of one server.
        workers: servers.
        sequences: in flight on a server at most; None: the engine's own limit.
        max_len: tokens of a sequence at most.
        drafted: tokens drafted for each verification; 0: no speculation.
    """

    role: str
    deployment: Deployment
    formats: Formats
    cluster: Cluster
    workers: int
    sequences: int | None
    max_len: int
    drafted: int = 0

    @property
    def chips(self) -> int:
        """Chips of one server."""
        return self.deployment.chips_per_replica

    @property
    def nodes(self) -> int:
        """Machines that one server spans, if a scale-up domain is a machine."""
        return max(1, math.ceil(self.chips / max(1, self.cluster.domain_size)))


@dataclass(frozen=True)
class LaunchSpec:
    """A plan's best row, ready to be started.

    Attributes:
        model: repository name on the Hugging Face hub, or a path.
        architecture: its sizes.
        services: one kind of server, or prefill and decode.
        prompt, output: tokens of a mean request.
        prefix: tokens of the prompt that requests share.
        varied: whether lengths follow a law that the benchmark's spread does not show.
        concurrency: requests in flight in all.
        rate: requests a second; None: the concurrency is kept full.
        predicted: what a benchmark should find, in SI units.
    """

    model: str
    architecture: Architecture
    services: tuple[Service, ...]
    prompt: int
    output: int
    prefix: int
    varied: bool
    concurrency: int
    rate: float | None
    predicted: dict[str, float | None]

    @property
    def engine(self) -> str:
        """The engine the prediction is for."""
        return self.services[-1].deployment.engine

    @property
    def pooled(self) -> bool:
        """Whether prompts and decoding have servers of their own."""
        return len(self.services) > 1


def launch_spec(row: Row, architecture: Architecture, *, model: str, prompt: int, output: int,
                longest: int, prefix_hit: float = 0.0, rate: float | None = None,
                varied: bool = False, predicted: dict[str, float | None] | None = None,
                drafted: int = 0) -> LaunchSpec:
    """What starts a row of a plan.

    Args:
        row: the deployment.
        architecture: of its model.
        model: as the user named it.
        prompt, output: tokens of a mean request.
        longest: tokens of the longest request.
        prefix_hit: share of the prompt found in the prefix cache.
        rate: requests a second, when the plan was made for a rate.
        varied: whether lengths follow a law.
        predicted: what a benchmark should find.
        drafted: tokens drafted for each verification where decoding speculates.
    """
    wanted = max(longest, math.ceil((prompt + output) * _LONGER) + _OWN_TOKENS)
    most = architecture.max_context or wanted
    # A request longer than the model's context is the user's own choice (the plan says so).
    max_len = max(min(wanted, most), prompt + output)
    pools = [("serve", row.main, row.batch)] if row.prefill is None else [
        ("prefill", row.prefill, None), ("decode", row.main, row.batch)]
    return LaunchSpec(
        repository(model), architecture,
        tuple(_service(role, pool, batch, max_len, drafted if role != "prefill" else 0)
              for role, pool, batch in pools),
        prompt, output, round(prompt * prefix_hit), varied, row.batch * row.main.workers, rate,
        predicted or {})


def _service(role: str, pool: Pool, batch: int | None, max_len: int, drafted: int) -> Service:
    shape = pool.shape
    return Service(role, pool.deployment, shape.formats,
                   shape.offer.part(pool.deployment.chips_per_replica), pool.workers, batch,
                   max_len, drafted)


def repository(model: str) -> str:
    """The hub's name of a bundled model; a path or a name of the user's own as it is.

    >>> repository("Llama-3.1-8B")
    'meta-llama/Llama-3.1-8B'
    """
    from ridgeline.model.load import find_bundled

    file = Path(model)
    if file.exists():
        return str((file.parent if file.name == "config.json" else file).resolve())
    found = find_bundled(model)
    return found.stem.replace("__", "/", 1) if found is not None else model
