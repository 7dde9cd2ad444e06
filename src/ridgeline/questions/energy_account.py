"""Joules of a request, phase by phase and part by part."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ridgeline.economics import energy_use
from ridgeline.economics.joules import BitEnergy, link_bit_energy, memory_bit_energy
from ridgeline.errors import BadInput, Infeasible
from ridgeline.quantity import check_positive
from ridgeline.questions.fit import shortfall
from ridgeline.questions.performance import (
    Performance,
    Spread,
    calibrated_performance,
    compute_peak,
    decode_context,
    deployed_of,
    ideal_performance,
    per_replica,
)
from ridgeline.questions.price import bounded
from ridgeline.questions.resolve import Resolved, resolve
from ridgeline.questions.token_speeds import above_floor, replica_speeds
from ridgeline.scenario import Scenario
from ridgeline.timing.roofline import wire_bytes
from ridgeline.work.step import Step, decode_step, prefill_step

__all__ = ["EnergyAsk", "Joules", "Phase", "joules"]

# Power without work over board power: about 70 of 700 W on an idle H100.
IDLE_SHARE = 0.1


@dataclass(frozen=True)
class EnergyAsk:
    """What to measure in joules.

    Attributes:
        scenario: model, machine and workload.
        watts: of one chip at the meter, with its share of the server if you like; None: the
            board power of the datasheet.
        pue: power of the building over power of the chips.
        grams_per_kwh: carbon of electricity.
        usd_per_kwh: its price.
        idle_share: share of the board power drawn without work.
        memory_pj_per_bit, link_pj_per_bit, pj_per_flop: instead of the catalog's and the chip's.
        run_tokens: output tokens of a run to be added up.
        claimed_joules: of an output token, to be read back as a rate.
        ideal: the textbook instead of calibrated times.
    """

    scenario: Scenario
    watts: float | None = None
    pue: float = 1.2
    grams_per_kwh: float = 400.0
    usd_per_kwh: float = 0.08
    idle_share: float = IDLE_SHARE
    memory_pj_per_bit: float | None = None
    link_pj_per_bit: float | None = None
    pj_per_flop: float | None = None
    run_tokens: float = 1e9
    claimed_joules: float | None = None
    ideal: bool = False

    def __post_init__(self) -> None:
        """Powers, shares and prices that mean something."""
        for name in ("watts", "memory_pj_per_bit", "link_pj_per_bit", "pj_per_flop", "run_tokens",
                     "claimed_joules"):
            if getattr(self, name) is not None:
                check_positive(**{name: getattr(self, name)})
        if not (math.isfinite(self.pue) and self.pue >= 1):
            raise BadInput(f"PUE is the building's power over the chips', at least 1, "
                           f"not {self.pue:g}")
        for name in ("grams_per_kwh", "usd_per_kwh"):
            if not 0 <= getattr(self, name) < math.inf:
                raise BadInput(f"{name} must be 0 or more, not {getattr(self, name):g}")
        if not 0 <= self.idle_share < 1:
            raise BadInput(f"idle share must be at least 0 and below 1, not {self.idle_share:g}")


@dataclass(frozen=True)
class Phase:
    """The work of one step, all chips of a replica together.

    Attributes:
        name: "prefill" or "decode".
        tokens: that the step makes.
        seconds: it takes.
        flop, memory_bytes, message_bytes: it does, moves and sends.
    """

    name: str
    tokens: float
    seconds: float
    flop: float
    memory_bytes: float
    message_bytes: float


@dataclass(frozen=True)
class Joules:
    """What the answer and its tables are made of.

    Attributes:
        resolved: the scenario looked up.
        prefill, decode: work of a step of each; decode None for an encoder.
        memory, link: energy of a bit.
        per_flop: energy of an operation [J].
        chips: of a replica; `watts` of one at the meter, `idle_watts` without work.
        spreads: of prefill and decode times, quantiles of log(real / predicted).
    """

    ask: EnergyAsk
    resolved: Resolved
    prefill: Phase
    decode: Phase | None
    memory: BitEnergy
    link: BitEnergy
    per_flop: float
    chips: int
    watts: float
    idle_watts: float
    spreads: tuple[Spread, Spread]

    def bottom_up(self, phase: Phase) -> float:
        """Energy of a token of a phase, added up from its parts [J]."""
        return float(energy_use.bottom_up_energy(
            flop=phase.flop, joules_per_flop=self.per_flop, memory_bytes=phase.memory_bytes,
            joules_per_bit=self.memory.mid, message_bytes=phase.message_bytes,
            link_joules_per_bit=self.link.mid, idle_watts=self.idle_watts * self.chips,
            step_time=phase.seconds)) / phase.tokens

    def meter(self, phase: Phase) -> float:
        """Energy of a token of a phase with the chips at their power all the time [J]."""
        return float(energy_use.token_energy(
            n_chips=float(self.chips), chip_watts=self.watts,
            throughput=phase.tokens / phase.seconds))


def joules(ask: EnergyAsk) -> Joules:
    """The numbers behind `energy`. Raises as it does."""
    resolved = resolve(ask.scenario)
    short = shortfall(resolved)
    if short and not ask.ideal:
        raise Infeasible(short)
    chip = resolved.cluster.chip
    watts = ask.watts or chip.tdp
    if not watts:
        raise BadInput(f"the power of {chip.name} is not in the catalog; give it with --watts")
    memory = _given(ask.memory_pj_per_bit) or memory_bit_energy(chip)
    link = _given(ask.link_pj_per_bit) or link_bit_energy(chip)
    board = chip.tdp or watts
    per_flop = float(energy_use.flop_joules(
        chip_watts=board, idle_share=ask.idle_share, memory_bandwidth=chip.memory_bandwidth,
        joules_per_bit=memory.mid, peak_flops_per_s=compute_peak(resolved)))
    if ask.pj_per_flop is not None:
        per_flop = ask.pj_per_flop * 1e-12
    elif per_flop <= 0:
        raise BadInput(f"at {memory.mid * 1e12:.3g} pJ/bit the memory of {chip.name} alone would "
                       "draw its board power; give --pj-per-flop or a smaller --memory-pj")
    perform = (ideal_performance if ask.ideal else calibrated_performance)(
        resolved if ask.ideal else bounded(resolved))
    prefill, decode = _phases(ask, resolved, perform)
    chips = resolved.deployment.chips_per_replica
    busy = prefill.flop / (compute_peak(resolved) * chips)
    spreads = (above_floor(perform.ttft_spread, busy, prefill.seconds),
               above_floor(perform.tpot_spread, perform.tpot_floor, decode.seconds)
               if decode else perform.tpot_spread)
    return Joules(ask, resolved, prefill, decode, memory, link, per_flop, chips, watts,
                  board * ask.idle_share, spreads)


def _given(picojoules: float | None) -> BitEnergy | None:
    return None if picojoules is None else BitEnergy(picojoules * 1e-12, picojoules * 1e-12,
                                                     "given")


def _phases(ask: EnergyAsk, resolved: Resolved, perform: Performance
            ) -> tuple[Phase, Phase | None]:
    """Work and time of a step of reading and of a step of decoding."""
    work, context = resolved.scenario.workload, decode_context(resolved)
    prompt = float(work.prompt)
    read = replica_speeds(resolved, np.ones(1), np.array([prompt]), ideal=ask.ideal)
    seconds = prompt / float(read.prefill_rate[0])
    step = prefill_step(tokens=prompt)
    moved, sent = _traffic(resolved, step, ideal=ask.ideal)
    if ask.ideal:
        moved = _weights(resolved)
    prefill = Phase("prefill", prompt, seconds, perform.prefill_flop, moved, sent)
    if not resolved.architecture.causal or not perform.tpot:
        return prefill, None
    batch = min(float(per_replica(resolved)), perform.batch)
    made = replica_speeds(resolved, np.array([batch]), np.array([context]), ideal=ask.ideal)
    _, sent = _traffic(resolved, decode_step(sequences=batch, context=context), ideal=ask.ideal)
    return prefill, Phase("decode", batch, float(made.decode[0, 0]), perform.decode_flop,
                          perform.decode_bytes, sent)


def _traffic(resolved: Resolved, step: Step, *, ideal: bool) -> tuple[float, float]:
    """Bytes of a step from memory and over links, all chips of a replica."""
    replica = deployed_of(resolved)
    share = resolved.deployment.chips_per_replica / resolved.deployment.pp
    ops = replica.ops(step)
    sent = sum(float(op.repeats * wire_bytes(
        collective=op.labels["collective"], message_bytes=op.message_bytes,
        group=op.shape["group"])) for op in ops if op.kind == "collective")
    moved = sum(float(op.repeats * op.memory_bytes) for op in ops if op.kind != "collective")
    return share * moved, 0.0 if ideal else share * sent


def _weights(resolved: Resolved) -> float:
    """Bytes of one copy of the weights, read once by the textbook's prompt."""
    from ridgeline.questions.textbook import whole_model

    model = whole_model(resolved)
    tokens = float(resolved.scenario.workload.prompt)
    return float(model.params_read(tokens) * model.read_bytes_per_param(tokens))
