"""How long does training take? Step time, utilisation, memory, days, dollars, energy, carbon."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from ridgeline.errors import BadInput, Infeasible
from ridgeline.quantity import Quantity, format_si
from ridgeline.questions.answer import Answer, Cell, Table
from ridgeline.training import run_plan
from ridgeline.training.layout import SCHEDULES, Batch, Layout, check_layout
from ridgeline.training.step_time import StepTime, TrainingCase, step_time

__all__ = ["TrainAsk", "best_layout", "train"]

# Reference of the failure model: 419 unexpected interruptions in 54 days on 16,384 chips
# (Llama 3 report, arXiv 2407.21783).
_CHIP_MTBF = 54 * 86400.0 * 16384 / 419


@dataclass(frozen=True)
class TrainAsk:
    """A run to plan.

    Attributes:
        model, machine: as in every question.
        tokens: of the whole run.
        seq: tokens of a sequence.
        batch_tokens: tokens of a step.
        layout: degrees; dp 0 fills the machine.
        precision: bf16, fp16, fp8, mxfp8 or nvfp4.
        optimizer: as in `memory.training`.
        usd_per_chip_hour, pue, grams_per_kwh: prices and grid; None: the chip's mean rent.
        storage_bandwidth: writes checkpoints [B/s].
        restart: seconds to find a fault and start again [s].
    """

    model: str
    machine: str
    tokens: float
    seq: int = 4096
    batch_tokens: float = 4e6
    layout: Layout = field(default_factory=lambda: Layout(dp=0))
    precision: str = "bf16"
    optimizer: str = "adamw"
    usd_per_chip_hour: float | None = None
    pue: float = 1.2
    grams_per_kwh: float = 400.0
    storage_bandwidth: float = 1e11
    restart: float = 600.0


def train(ask: TrainAsk) -> Answer:
    """Step time, utilisation, memory and the cost of a whole training run.

    Args:
        ask: model, machine, layout, batch and prices.

    Returns:
        an Answer with `step_s`, `tokens_per_s_per_chip`, `mfu`, `hfu`, `bubble_share`,
        `memory_bytes`, `fits`, `days`, `usd`, `mwh`, `flop`; tables "step" and "memory".

    Raises:
        BadInput: an unknown name, or an impossible layout with the nearest valid one.
    """
    from ridgeline.training.constants import shipped

    case = _case(ask)
    found = step_time(case, shipped())
    items = _memory_items(ask, case)
    out = _quantities(ask, case, found, sum(items.values()))
    return Answer("train", _asked(ask, case), out,
                  (_step_table(found), _memory_table(items)), _notes(case))


def best_layout(ask: TrainAsk) -> TrainAsk:
    """The same run in the valid layout with the shortest step that fits in memory.

    Raises:
        Infeasible: no layout fits.
    """
    from ridgeline.machine.parse import parse_machine
    from ridgeline.memory.engines import device_memory
    from ridgeline.model.load import load_architecture
    from ridgeline.training.constants import shipped
    from ridgeline.training.search import ranked

    architecture, cluster = load_architecture(ask.model), parse_machine(ask.machine)
    batch = Batch(max(1, round(ask.batch_tokens / ask.seq)), ask.seq)
    room = device_memory(cluster.chip)
    # Fastest first, so the first that fits is the best that fits.
    for _, layout in ranked(architecture, batch, cluster, ask.precision, shipped()):
        case = TrainingCase(architecture, cluster, layout, batch, ask.precision)
        if sum(_memory_items(ask, case).values()) <= room:
            return dataclasses.replace(ask, layout=layout)
    raise Infeasible(f"no layout of {ask.model} on {ask.machine} fits in memory with "
                     f"{batch.sequences} sequences of {ask.seq} tokens a step")


def _case(ask: TrainAsk) -> TrainingCase:
    from ridgeline.machine.parse import parse_machine
    from ridgeline.model.load import load_architecture

    if not (ask.tokens > 0 and ask.seq >= 1 and ask.batch_tokens >= ask.seq):
        raise BadInput("tokens and seq must be positive and a batch at least one sequence of "
                       f"{ask.seq} tokens, not {ask.batch_tokens:g}")
    if ask.layout.schedule not in SCHEDULES:
        raise BadInput(f"schedule {ask.layout.schedule!r} is not one of: {', '.join(SCHEDULES)}")
    architecture, cluster = load_architecture(ask.model), parse_machine(ask.machine)
    layout = ask.layout
    if layout.dp == 0:
        layout = dataclasses.replace(
            layout, dp=max(1, cluster.n_chips // (layout.tp * layout.pp * layout.cp)))
    group = layout.dp * layout.micro_batch
    # A batch in tokens is rounded to whole micro-batches of every replica.
    sequences = max(1, round(ask.batch_tokens / ask.seq / group)) * group
    if ask.batch_tokens / ask.seq < group / 2:
        sequences = int(ask.batch_tokens / ask.seq)
    batch = Batch(sequences, ask.seq)
    check_layout(architecture, layout, batch, cluster.n_chips)
    return TrainingCase(architecture, cluster, layout, batch, ask.precision)


def _asked(ask: TrainAsk, case: TrainingCase) -> dict[str, Any]:
    told = dataclasses.asdict(ask)
    told["layout"] = dataclasses.asdict(case.layout)
    return told


def _quantities(ask: TrainAsk, case: TrainingCase, found: StepTime, memory: float
                ) -> dict[str, Any]:
    from ridgeline.memory.engines import device_memory
    from ridgeline.training.constants import spread
    from ridgeline.training.work import flop_per_token

    n, chip = case.cluster.n_chips, case.cluster.chip
    low, high, _, _ = spread(bool(case.architecture.params_by_role.get("expert")))
    per_token = flop_per_token(case.architecture, case.batch.seq)
    peak = chip.peaks.get("bf16") or chip.peaks["fp16"]
    rate = case.batch.tokens / found.step / n
    mfu = rate * per_token / peak
    share = _goodput(ask, case)
    seconds = ask.tokens / (rate * n) / share
    price = ask.usd_per_chip_hour
    if price is None and chip.usd_per_hour:
        price = sum(chip.usd_per_hour) / 2
    energy = float(run_plan.run_energy(run_time=seconds, n_chips=n, chip_watts=chip.tdp,
                                       pue=ask.pue))

    def time(value: float, unit: str) -> Quantity:
        return Quantity(value, value * low, value * high, unit, "calibrated")

    def inverse(value: float, unit: str) -> Quantity:
        return Quantity(value, value / high, value / low, unit, "calibrated")

    spare = device_memory(chip) - memory
    out: dict[str, Any] = {
        "bound": f"{format_si(abs(spare), 'B')} " + ("to spare" if spare >= 0 else "short")
        + f" on each {chip.name}",
        "fits": spare >= 0,
        "step_s": time(found.step, "s"), "tokens_per_s_per_chip": inverse(rate, "token/s"),
        "mfu": inverse(mfu, "1"), "hfu": inverse(mfu * (1 + found.recomputed / 3), "1"),
        "bubble_share": Quantity.exact(found.bubble_share, "1", "calibrated"),
        "memory_bytes": Quantity.exact(memory, "B"),
        "flop": Quantity.exact(ask.tokens * per_token, "FLOP"),
        "goodput": Quantity.exact(share, "1", "derived"),
        "days": time(seconds / 86400.0, "1"),
        "mwh": time(energy / 3.6e9, "1"),
        "co2_tonnes": time(float(run_plan.run_emissions(
            energy=energy, grams_per_kwh=ask.grams_per_kwh)) / 1e3, "1"),
    }
    if price is not None:
        out["usd"] = time(float(run_plan.run_cost(run_time=seconds, n_chips=n,
                                                  usd_per_chip_hour=price)), "USD")
    return out


def _goodput(ask: TrainAsk, case: TrainingCase) -> float:
    """Share of the time that makes progress: failures as on the Llama 3 machine."""
    n = float(case.cluster.n_chips)
    write = run_plan.checkpoint_seconds(state_bytes=14.0 * case.architecture.total_params,
                                        storage_bandwidth=ask.storage_bandwidth)
    interval = run_plan.best_checkpoint_interval(checkpoint_time=write, mtbf=_CHIP_MTBF / n)
    share = float(run_plan.goodput(checkpoint_time=write, checkpoint_interval=interval,
                                   restart_time=ask.restart, chip_mtbf=_CHIP_MTBF, n_chips=n))
    if share <= 0:
        raise BadInput("checkpoints and restarts take all the time: raise storage_bandwidth or "
                       "lower restart")
    return share


def _memory_items(ask: TrainAsk, case: TrainingCase) -> dict[str, float]:
    from ridgeline.deployment import Deployment
    from ridgeline.memory.peak import TrainingRun, activation_items, get_framework, state_items

    layout = case.layout
    plan = Deployment(tp=layout.tp, pp=layout.pp, attention_dp=max(1, layout.ep // layout.tp),
                      ep=layout.ep)
    run = TrainingRun(
        layout.micro_batch, -(-case.batch.seq // layout.cp),
        n_microbatches=case.batch.sequences // (layout.dp * layout.micro_batch),
        recompute="full" if layout.recompute == "full" else "none", optimizer=ask.optimizer,
        zero_stage=layout.zero, dp=layout.dp * layout.cp,
        flash_attention=layout.recompute != "none")
    counts = get_framework("ideal")
    items = state_items(case.architecture, plan, run, counts)
    items |= activation_items(case.architecture, plan, run, counts)
    return {name: size for name, size in items.items() if size}


def _step_table(found: StepTime) -> Table:
    total = sum(found.parts.values())
    rows: list[list[Cell]] = [[name.replace("_", " "), seconds, seconds / total]
                              for name, seconds in found.parts.items() if seconds]
    return Table.of("step", {"part": "1", "time": "s", "share": "1"}, rows,
                    title="Where a step goes")


def _memory_table(items: dict[str, float]) -> Table:
    rows: list[list[Cell]] = [[name, size] for name, size in items.items()]
    return Table.of("memory", {"part": "1", "bytes": "B"}, rows,
                    title="Memory of the fullest device, counts alone")


def _notes(case: TrainingCase) -> tuple[str, ...]:
    return (f"A step is {case.batch.sequences} sequences of {case.batch.seq} tokens. MFU and HFU "
            "are over the 16-bit dense peak, attention counted causally.",
            "Intervals: measured runs of models held out of the fit; overlap and kernels of "
            "Megatron-Bridge.",
            "Failures as on the Llama 3 machine: one in 50,700 chip-hours.")
