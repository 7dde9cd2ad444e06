"""Why it does not fit, what would, and the smallest machine that does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ridgeline.deployment import Deployment
from ridgeline.deployment.rules import broken_rules
from ridgeline.errors import BadInput, Infeasible
from ridgeline.machine import Chip, Cluster
from ridgeline.memory.inference import Footprint, footprint
from ridgeline.model.architecture import Architecture
from ridgeline.quantity import format_si

MAX_DEVICES = 1024
TIGHT_FRACTION = 0.95        # the most that engines' own advice gives them
SMALL_STEP_TOKENS = 2048


@dataclass(frozen=True)
class Fix:
    """A change, what it costs and what it gives.

    Attributes:
        what: the change in words.
        deployment: the deployment with it.
        extra_chips: chips beyond those there were.
        accuracy_risk: whether the model's numbers change.
        concurrency: sequences of the wanted length a replica then holds.
        enough: whether that is as many as wanted.
        max_context: longest sequence it then holds [tokens].
    """

    what: str
    deployment: Deployment
    extra_chips: int
    accuracy_risk: bool
    concurrency: float
    enough: bool
    max_context: float


def holds(found: Footprint, context_length: int, batch_size: int) -> bool:
    """Whether a replica holds that many sequences of that length."""
    return found.fits and found.max_concurrency(context_length) >= batch_size


def shortfall(found: Footprint, context_length: int, batch_size: int) -> float:
    """Bytes missing on each device for that many sequences; 0 when they fit [bytes]."""
    wanted = found.sequence_bytes(context_length) * batch_size / found.replicas
    return max(0.0, wanted - found.kv_pool, found.missing)


def explain(found: Footprint, context_length: int, batch_size: int) -> str:
    """One line: it fits, or by how much it does not and what takes the room."""
    short = shortfall(found, context_length, batch_size)
    if not short:
        return (f"fits: {found.max_concurrency(context_length):.1f} sequences of "
                f"{context_length} tokens")
    largest = found.binding(context_length)
    if largest == "kv_cache":
        return (f"does not fit: the cache of {batch_size} x {context_length} tokens is short of "
                f"{format_si(short, 'B')} on each device")
    return (f"does not fit: short of {format_si(short, 'B')} on each device; {largest} take "
            f"{format_si(found.items.get(largest, 0.0), 'B')} of "
            f"{format_si(found.usable, 'B')}")


def fixes(architecture: Architecture, deployment: Deployment, chip: Chip, *,
          context_length: int, batch_size: int = 1) -> tuple[Fix, ...]:
    """Changes that help, best first: enough before not enough, free before chips or accuracy.

    Args:
        architecture: the model.
        deployment: what does not fit, or fits too few.
        chip: the device.
        context_length: tokens of a sequence.
        batch_size: sequences wanted at once.

    Raises:
        BadInput: a context or batch of less than one.
        UnknownName: an engine or format that is not known.
    """
    if context_length < 1 or batch_size < 1:
        raise BadInput(f"context {context_length} and batch {batch_size} must be at least 1")
    before = footprint(architecture, deployment, chip).max_concurrency(context_length)
    found = []
    for what, changed, risk in _changes(deployment, batch_size):
        cluster = Cluster.of(chip, changed.chips)
        if broken_rules(architecture, changed, cluster):
            continue
        after = footprint(architecture, changed, chip)
        concurrency = after.max_concurrency(context_length)
        if concurrency > before or (after.fits and not before):
            found.append(Fix(what, changed, changed.chips - deployment.chips, risk, concurrency,
                             holds(after, context_length, batch_size), after.max_context))
    return tuple(sorted(found, key=lambda fix: (not fix.enough, fix.extra_chips,
                                                fix.accuracy_risk, -fix.concurrency)))


def smallest_tp(architecture: Architecture, deployment: Deployment, chip: Chip, *,
                context_length: int, batch_size: int = 1) -> Deployment:
    """The deployment with the least tensor parallelism that holds the batch and breaks no rule.

    Raises:
        Infeasible: not on any number of devices up to 1,024.
    """
    for tp in range(1, MAX_DEVICES + 1):
        trial = replace(deployment, tp=tp)
        if broken_rules(architecture, trial, Cluster.of(chip, trial.chips)):
            continue
        if holds(footprint(architecture, trial, chip), context_length, batch_size):
            return trial
        if tp > _most_useful_tp(architecture):
            break
    raise Infeasible(f"{architecture.name} with {batch_size} x {context_length} tokens fits no "
                     f"tensor-parallel group of {chip.name}; try pipeline stages or a narrower "
                     "format")


def _most_useful_tp(architecture: Architecture) -> int:
    heads = [getattr(block.mixer, "n_heads", 1) for block, _ in architecture.blocks]
    return max(heads, default=1)


def _changes(deployment: Deployment, batch_size: int) -> Iterator[tuple[str, Deployment, bool]]:
    """Candidate changes: what, the deployment, whether accuracy may change."""
    gguf = deployment.engine == "llamacpp"
    if (deployment.memory_fraction or 0.9) < TIGHT_FRACTION and not gguf:
        yield (f"raise the memory fraction to {TIGHT_FRACTION:g}",
               replace(deployment, memory_fraction=TIGHT_FRACTION), False)
    sequences = "sequence" if batch_size == 1 else "sequences"
    yield (f"limit a step to {batch_size} {sequences} and {SMALL_STEP_TOKENS} tokens",
           replace(deployment, max_num_seqs=batch_size,
                   max_num_batched_tokens=max(SMALL_STEP_TOKENS, batch_size)), False)
    kv = "q8_0" if gguf else "fp8"
    yield f"keep the cache in {kv}", replace(deployment, kv=kv), True
    for name in ("q8_0", "q4_k_m") if gguf else ("fp8", "awq"):
        yield f"store the weights in {name}", replace(deployment, weights=name), True
    for factor in (2, 4, 8):
        if not gguf:
            yield (f"use tp {deployment.tp * factor}",
                   replace(deployment, tp=deployment.tp * factor), False)
        yield (f"use pp {deployment.pp * factor}",
               replace(deployment, pp=deployment.pp * factor), False)


def ideal_devices_for(architecture: Architecture, chip: Chip, *, context_length: int,
                      batch_size: int = 1, bytes_per_weight: float = 2.0) -> int:
    """Devices whose nominal memory together holds weights and cache, nothing else counted.

    Raises:
        BadInput: a device without memory.
    """
    from ridgeline.deployment.sharding import WeightFormats, fullest_weights
    from ridgeline.memory.layout import cache_layout

    if chip.memory_bytes <= 0:
        raise BadInput(f"{chip.name} has no device memory in the catalog")
    one = Deployment()
    bits = 8 * bytes_per_weight
    size = fullest_weights(architecture, one, WeightFormats(bits, bits, bits, bits)).total
    cache = cache_layout(architecture, one, kv_bytes=2.0).sequence_bytes(context_length)
    return math.ceil((size + batch_size * cache) / chip.memory_bytes)
