"""How a training step is laid over chips, and which layouts are impossible."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ridgeline.deployment.rules import divisors
from ridgeline.errors import BadInput
from ridgeline.model.architecture import Architecture
from ridgeline.model.parts import Attention

__all__ = ["SCHEDULES", "Batch", "Layout", "broken_rules", "check_layout", "nearest_valid"]

SCHEDULES = ("1f1b", "interleaved", "zero-bubble")


@dataclass(frozen=True)
class Layout:
    """Parallel degrees and choices of a training step.

    Ranks count tensor parallelism fastest, then context, data and pipeline. Experts are spread
    over the tensor, context and data ranks of a stage.

    Attributes:
        tp, pp, dp, cp, ep: tensor, pipeline, data, context and expert degrees.
        vp: model chunks of each pipeline stage (interleaved when above 1).
        micro_batch: sequences that a replica computes at a time.
        zero: sharding stage 0 to 3; 3 is FSDP.
        recompute: none, selective (attention only, as flash attention always does), full, or
            reversible (outputs give the inputs back; for networks built so).
        schedule: 1f1b, interleaved or zero-bubble.
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    cp: int = 1
    ep: int = 1
    vp: int = 1
    micro_batch: int = 1
    zero: int = 1
    recompute: str = "selective"
    schedule: str = "1f1b"

    @property
    def again(self) -> float:
        """Forward passes done a second time in the backward pass."""
        return 1.0 if self.recompute in ("full", "reversible") else 0.0

    @property
    def chips(self) -> int:
        """Chips in all."""
        return self.tp * self.pp * self.dp * self.cp


@dataclass(frozen=True)
class Batch:
    """Sequences of a step in all, and their length in tokens."""

    sequences: int
    seq: int

    @property
    def tokens(self) -> int:
        """Tokens of a step."""
        return self.sequences * self.seq


def broken_rules(architecture: Architecture, layout: Layout, batch: Batch, n_chips: int
                 ) -> list[str]:
    """What makes a layout impossible, one sentence each; empty when it is valid."""
    out = []
    if layout.chips != n_chips:
        out.append(f"tp {layout.tp} x pp {layout.pp} x dp {layout.dp} x cp {layout.cp} is "
                   f"{layout.chips} chips; the machine has {n_chips}")
    heads = _heads(architecture)
    if any(h % layout.tp for h in heads):
        out.append(f"{min(h for h in heads if h % layout.tp)} attention heads do not divide by "
                   f"tp {layout.tp}")
    if layout.pp * layout.vp > architecture.n_layers:
        out.append(f"pp {layout.pp} x vp {layout.vp} is more stages than the model's "
                   f"{architecture.n_layers} layers")
    if batch.sequences % (layout.dp * layout.micro_batch):
        out.append(f"a batch of {batch.sequences} sequences is no multiple of dp {layout.dp} x "
                   f"micro-batch {layout.micro_batch}")
    if layout.vp > 1 and layout.pp == 1:
        out.append("vp interleaves pipeline stages; with pp 1 there are none")
    if batch.seq % (2 * layout.cp if layout.cp > 1 else 1):
        out.append(f"a sequence of {batch.seq} tokens does not divide into 2 x cp {layout.cp} "
                   "equal parts")
    out += _expert_rules(architecture, layout)
    if layout.zero >= 2 and layout.pp > 1:
        out.append(f"zero {layout.zero} moves gradients or weights for every micro-batch of a "
                   f"pipeline; use zero 1 with pp {layout.pp}")
    return out


def _heads(architecture: Architecture) -> set[int]:
    return {int(getattr(block.mixer, "n_heads", 0)) for block, _ in architecture.blocks
            if isinstance(block.mixer, Attention) or hasattr(block.mixer, "n_heads")} - {0}


def _expert_rules(architecture: Architecture, layout: Layout) -> list[str]:
    if layout.ep == 1:
        return []
    counts = {ffn.n_experts for ffn, _ in architecture.mixtures}
    if not counts:
        return [f"ep {layout.ep} needs experts; {architecture.name} is dense"]
    out = [f"{n} experts do not divide by ep {layout.ep}" for n in counts if n % layout.ep]
    ranks = layout.tp * layout.cp * layout.dp
    if ranks % layout.ep:
        out.append(f"ep {layout.ep} does not divide the {ranks} ranks of a stage "
                   "(tp x cp x dp)")
    return out


_WEIGHTS = {"tp": 1.0, "pp": 1.0, "dp": 0.5, "cp": 1.0, "ep": 1.0, "vp": 1.0, "micro_batch": 1.0}


def nearest_valid(architecture: Architecture, layout: Layout, batch: Batch, n_chips: int
                  ) -> Layout | None:
    """The valid layout that differs least: fewest factors of two away, smaller model first."""
    best, least = None, float("inf")
    for candidate in _around(architecture, layout, n_chips):
        if broken_rules(architecture, candidate, batch, n_chips):
            continue
        # Replicas fill what the other degrees leave, so they weigh less.
        away = sum(weight * abs(_log2(getattr(candidate, n)) - _log2(getattr(layout, n)))
                   for n, weight in _WEIGHTS.items())
        if away < least:
            best, least = candidate, away
    return best


def _around(architecture: Architecture, layout: Layout, n_chips: int) -> Iterable[Layout]:
    for tp in divisors(n_chips, 64):
        for pp in divisors(n_chips // tp, architecture.n_layers):
            for cp in {1, layout.cp}:
                if n_chips % (tp * pp * cp):
                    continue
                for micro in {1, layout.micro_batch}:
                    for ep in {1, layout.ep, max(1, layout.ep // 2)}:
                        yield replace(
                            layout, tp=tp, pp=pp, cp=cp, dp=n_chips // (tp * pp * cp), ep=ep,
                            micro_batch=micro, vp=layout.vp if pp > 1 else 1,
                            zero=1 if layout.zero >= 2 and pp > 1 else layout.zero)


def _log2(value: int) -> float:
    from math import log2

    return log2(value)


def check_layout(architecture: Architecture, layout: Layout, batch: Batch, n_chips: int,
                 nearby: Batch | None = None) -> None:
    """Refuse an impossible layout with the nearest valid one.

    Args:
        architecture, layout, batch, n_chips: what is asked.
        nearby: batch of the layout offered, where it may be rounded.

    Raises:
        BadInput: which rules it breaks, and what to ask for instead.
    """
    broken = broken_rules(architecture, layout, batch, n_chips)
    if not broken:
        return
    close = nearest_valid(architecture, layout, nearby or batch, n_chips)
    hint = "" if close is None else (
        f". Nearest valid: tp {close.tp}, pp {close.pp}, dp {close.dp}, cp {close.cp}, "
        f"ep {close.ep}, vp {close.vp}, micro-batch {close.micro_batch}")
    raise BadInput("; ".join(broken) + hint)
