"""Every way to lay a model over some chips of an offer: parallel degrees, formats, engines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import Formats, settle_formats
from ridgeline.deployment.rules import broken_rules
from ridgeline.errors import BadInput, UnknownName
from ridgeline.machine import Cluster
from ridgeline.model.architecture import Architecture
from ridgeline.search.layouts import splits_experts_freely, unrunnable
from ridgeline.search.offers import Offer
from ridgeline.timing.adjust import architecture_class

__all__ = ["LONG_CONTEXT", "Choices", "Invalid", "Shape", "shapes"]

# Context parallelism is searched from this length on: below it a sequence is not worth splitting.
LONG_CONTEXT = 32_768
# Chips that share each expert where experts are neither split over the whole group nor kept whole.
_EXPERT_TP = (2,)


@dataclass(frozen=True)
class Choices:
    """What may vary besides the parallel degrees.

    Attributes:
        engines: names.
        weights: formats of weights; None: as the model declares.
        kv: formats of the cache; None: the engine's own.
        longest: tokens of the longest request.
    """

    engines: tuple[str, ...] = ("vllm",)
    weights: tuple[str | None, ...] = (None,)
    kv: tuple[str | None, ...] = (None,)
    longest: int = 0


@dataclass(frozen=True)
class Shape:
    """One replica: where and how, before batch and token budget are chosen."""

    offer: Offer
    deployment: Deployment
    cluster: Cluster
    formats: Formats

    @property
    def chips(self) -> int:
        """Chips of the replica."""
        return self.deployment.chips_per_replica

    @property
    def family(self) -> str:
        """Chip and width of attention: what shapes are grouped by when they are turned down."""
        copies = self.deployment.attention_dp
        return (f"{self.offer.chip.name} tp={self.deployment.tp}"
                + (f" attention_dp={copies}" if copies > 1 else ""))


@dataclass(frozen=True)
class Invalid:
    """Degrees that break a rule of the engine or the model."""

    family: str
    reason: str


def shapes(architecture: Architecture, offer: Offer, choices: Choices
           ) -> Iterator[Shape | Invalid]:
    """Every replica on at most the offer's chips, valid or with the rule that it breaks.

    Degrees are powers of two and divisors of the offer's chips. Tensor parallelism stays inside a
    scale-up domain. Experts are split over the whole group, or spread over all of it; engines that
    can also spread them so that 2 chips share each, or as many as leaves whole pieces.
    """
    for engine in choices.engines:
        for weights in choices.weights:
            for kv in choices.kv:
                base = Deployment(engine=engine, weights=weights, kv=kv)
                yield from _degrees(architecture, offer, base, choices)


def _degrees(architecture: Architecture, offer: Offer, base: Deployment, choices: Choices
             ) -> Iterator[Shape | Invalid]:
    most = offer.cluster.n_chips
    steps = _steps(most)
    for tp in (n for n in steps if n <= offer.cluster.domain_size):
        for copies in _copies(architecture, base.engine, steps):
            for cp in steps if choices.longest >= LONG_CONTEXT else (1,):
                for pp in steps:
                    if tp * copies * cp * pp <= most:
                        plan = dataclasses.replace(base, tp=tp, attention_dp=copies, cp=cp, pp=pp)
                        yield from _with_experts(architecture, offer, plan)


def _steps(most: int) -> tuple[int, ...]:
    """Powers of two up to a count and the count's divisors, the odd ones only where small."""
    powers = {1 << k for k in range(most.bit_length()) if 1 << k <= most}
    divisors = {d for d in range(1, min(most, 64) + 1) if most % d == 0}
    return tuple(sorted(powers | divisors))


def _copies(architecture: Architecture, engine: str, steps: Sequence[int]) -> tuple[int, ...]:
    """Attention copies worth trying: only beside shared experts or one latent cache for all."""
    from ridgeline.catalog import load_engine

    known = set(load_engine(engine).parallelism)
    able = "attention_dp" in known or {"dp", "ep"} <= known
    useful = architecture.mixtures or architecture_class(architecture) == "mla"
    return tuple(steps) if able and useful else (1,)


def _with_experts(architecture: Architecture, offer: Offer, plan: Deployment
                  ) -> Iterator[Shape | Invalid]:
    """The plan with every expert split worth trying."""
    group = plan.expert_group
    free = splits_experts_freely(plan.engine)
    splits = [1, group] if architecture.mixtures and group > 1 else [1]
    between = [group // ways for ways in _EXPERT_TP
               if free and len(splits) > 1 and group % ways == 0 and ways < group]
    found: list[Shape | Invalid] = [_checked(architecture, offer, dataclasses.replace(plan, ep=ep))
                                    for ep in (*splits, *between)]
    if free and len(splits) > 1 and all(isinstance(f, Invalid) for f in found):
        for ep in (d for d in range(2, group) if group % d == 0):
            middle = _checked(architecture, offer, dataclasses.replace(plan, ep=ep))
            if isinstance(middle, Shape):
                found.append(middle)
                break
    yield from found


def _checked(architecture: Architecture, offer: Offer, plan: Deployment) -> Shape | Invalid:
    cluster = offer.part(plan.chips_per_replica)
    try:
        formats = settle_formats(architecture, plan, cluster.chip)
        # An option that the engine lacks is named before a rule that could be kept.
        broken = tuple(filter(None, (unrunnable(plan),))) or broken_rules(architecture, plan,
                                                                          cluster)
    except UnknownName:
        raise
    except BadInput as error:
        formats, broken = None, (str(error),)
    if broken or formats is None:
        family = f"{offer.chip.name} tp={plan.tp}" + (
            f" attention_dp={plan.attention_dp}" if plan.attention_dp > 1 else "")
        return Invalid(family, "; ".join(broken))
    return Shape(offer, plan, cluster, formats)
