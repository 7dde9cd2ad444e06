"""How long does training take? Step time, utilisation, memory, days, dollars, energy, carbon."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput, Infeasible
from ridgeline.quantity import Quantity, format_si
from ridgeline.questions.answer import Answer, Cell, Table
from ridgeline.questions.train_ask import TrainAsk, checked, frozen_bits, tuning_of
from ridgeline.training import run_plan
from ridgeline.training.layout import Batch, Layout, check_layout
from ridgeline.training.step_time import StepTime, TrainingCase, step_time

if TYPE_CHECKING:
    from ridgeline.model.architecture import Architecture

__all__ = ["TrainAsk", "best_layout", "case_of", "memory_items", "train"]

def train(ask: TrainAsk) -> Answer:
    """Step time, utilisation, memory and the cost of a whole training run.

    Args:
        ask: model, machine, layout, batch and prices.

    Returns:
        an Answer with `step_s`, `tokens_per_s_per_chip`, `mfu`, `hfu`, `bubble_share`,
        `memory_bytes`, `fits`, `days`, `usd`, `mwh`, `flop`; tables "step", "memory", "groups".

    Raises:
        BadInput: an unknown name, or an impossible layout with the nearest valid one.
    """
    from ridgeline.questions.train_parts import derivations, groups_table, levers
    from ridgeline.training.constants import shipped

    case = case_of(ask)
    found = step_time(case, shipped())
    items = memory_items(ask, case.architecture, case.layout, case.batch)
    out = _quantities(ask, case, found, sum(items.values()))
    tables = (_step_table(found), _memory_table(items), groups_table(case),
              levers(ask, case, found))
    return Answer("train", _asked(ask, case), out, tables, _notes(ask, case),
                  derivations(ask, case, out))


def best_layout(ask: TrainAsk) -> TrainAsk:
    """The same run in the valid layout with the shortest step that fits in memory.

    Raises:
        Infeasible: no layout is valid, or none fits.
    """
    from ridgeline.memory.engines import device_memory
    from ridgeline.training.constants import shipped
    from ridgeline.training.search import ranked

    architecture, cluster = checked(ask)
    batch = Batch(_even(ask.batch_tokens / ask.seq), ask.seq)
    found = ranked(architecture, batch, cluster, ask.precision, shipped(), tuning_of(ask))
    room = device_memory(cluster.chip)
    if best := found.fastest(room):
        return dataclasses.replace(ask, layout=best[1], batch_tokens=float(batch.tokens))
    if not len(found):
        raise Infeasible(f"no layout of {ask.model} on {ask.machine} is valid with "
                         f"{batch.sequences} sequences a step: use another number of chips or a "
                         "larger batch")
    least = float(found.memory.min())
    raise Infeasible(f"no layout of {ask.model} on {ask.machine} fits in memory with "
                     f"{batch.sequences} sequences of {ask.seq} tokens a step: the smallest takes "
                     f"{format_si(least, 'B')}, a device has {format_si(room, 'B')}")


def _even(sequences: float) -> int:
    """Sequences of a step, rounded by at most 3 % to a number that powers of two divide."""
    step = 2 ** max(0, int(math.log2(max(sequences, 1.0) / 16.0))) if sequences >= 16 else 1
    return max(1, round(sequences / step)) * step


def case_of(ask: TrainAsk) -> TrainingCase:
    """The run as the step model takes it.

    Raises:
        BadInput: an unknown name, a value out of range, an impossible layout.
    """
    from ridgeline.memory.training import adapter_params

    architecture, cluster = checked(ask)
    layout = ask.layout
    for name in ("tp", "pp", "cp", "ep", "vp", "micro_batch"):
        if getattr(layout, name) < 1:
            raise BadInput(f"{name} must be at least 1, not {getattr(layout, name)}")
    if layout.dp <= 0:
        layout = dataclasses.replace(
            layout, dp=max(1, cluster.n_chips // (layout.tp * layout.pp * layout.cp)))
    group = layout.dp * layout.micro_batch
    # A batch in tokens is rounded to whole micro-batches of every replica.
    sequences = max(1, round(ask.batch_tokens / ask.seq / group)) * group
    if ask.batch_tokens / ask.seq < group / 2:
        sequences = int(ask.batch_tokens / ask.seq)
    batch = Batch(sequences, ask.seq)
    # Any layout offered gets its batch rounded too, so whole rounds of the chips stand for it.
    n, wanted = cluster.n_chips, ask.batch_tokens / ask.seq
    rounds = round(wanted / n) * n or _even(wanted)
    check_layout(architecture, layout, batch, n, Batch(rounds, ask.seq))
    adapters = ask.adapter_rank is not None
    return TrainingCase(
        architecture, cluster, layout, batch, ask.precision, backward=1.0 if adapters else 2.0,
        trained=adapter_params(architecture, ask.adapter_rank or 0) if adapters else None,
        packed_bytes=frozen_bits(ask) / 8.0 if frozen_bits(ask) < 16 else 0.0)


def memory_items(ask: TrainAsk, architecture: Architecture, layout: Layout, batch: Batch
                 ) -> dict[str, float]:
    """Bytes on the fullest device by item, those that are not zero."""
    from ridgeline.training.memory import device_items

    items = device_items(architecture, layout, batch, tuning_of(ask))
    return {name: float(size) for name, size in items.items() if size}


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
    per_token = flop_per_token(case.architecture, case.batch.seq) * (1.0 + case.backward) / 3.0
    peak = chip.peaks.get("bf16") or chip.peaks["fp16"]
    step = float(found.step)
    rate = case.batch.tokens / step / n
    mfu = rate * per_token / peak
    goodput = _goodput(ask, case)
    seconds = ask.tokens / (rate * n) / goodput["goodput"]

    def time(value: float, unit: str) -> Quantity:
        return Quantity(value, value * low, value * high, unit, "calibrated")

    def inverse(value: float, unit: str) -> Quantity:
        return Quantity(value, value / high, value / low, unit, "calibrated")

    spare = device_memory(chip) - memory
    out: dict[str, Any] = {
        "bound": f"{format_si(abs(spare), 'B')} " + ("to spare" if spare >= 0 else "short")
        + f" on each {chip.name}",
        "fits": spare >= 0,
        "step_s": time(step, "s"), "tokens_per_s_per_chip": inverse(rate, "token/s"),
        "mfu": inverse(mfu, "1"),
        "hfu": inverse(mfu * (1 + float(found.recomputed) / (1.0 + case.backward)), "1"),
        "bubble_share": Quantity.exact(float(found.bubble_share), "1", "calibrated"),
        "memory_bytes": Quantity.exact(memory, "B"),
        "flop": Quantity.exact(ask.tokens * per_token, "FLOP"),
        **{name: Quantity.exact(value, "s" if name.endswith("_s") else "1", "derived")
           for name, value in goodput.items()},
        "failures": time(seconds * n / ask.chip_mtbf, "1"),
        "days": time(seconds / 86400.0, "days"), **_costs(ask, case, seconds, time)}
    if case.layout.recompute == "reversible":
        out["round_trip_error"] = Quantity.exact(_round_trip(case), "1", "measured")
    if case.trained is not None:
        out["trained_params"] = Quantity.exact(case.trained, "param")
    return out


def _round_trip(case: TrainingCase) -> float:
    """Error of inputs recovered from outputs, run here on a narrow net of the same depth."""
    from ridgeline.memory.reversible import round_trip_error

    return round_trip_error(n_layers=case.architecture.n_layers, d_model=64, seq_len=64)


def _costs(ask: TrainAsk, case: TrainingCase, seconds: float, time: Any) -> dict[str, Quantity]:
    """Energy, carbon and, where the chip has a price, dollars."""
    n, chip = case.cluster.n_chips, case.cluster.chip
    price = ask.usd_per_chip_hour
    if price is None and chip.usd_per_hour:
        price = sum(chip.usd_per_hour) / 2
    energy = float(run_plan.run_energy(run_time=seconds, n_chips=n, chip_watts=chip.tdp,
                                       pue=ask.pue))
    out = {"mwh": time(energy / 3.6e9, "MWh"),
           "co2_tonnes": time(float(run_plan.run_emissions(
               energy=energy, grams_per_kwh=ask.grams_per_kwh)) / 1e3, "t")}
    if price is not None:
        out["usd"] = time(float(run_plan.run_cost(run_time=seconds, n_chips=n,
                                                  usd_per_chip_hour=price)), "USD")
    return out


def _goodput(ask: TrainAsk, case: TrainingCase) -> dict[str, float]:
    """Share of the time that makes progress, checkpoints as often as loses least."""
    n, trained = float(case.cluster.n_chips), case.trained or case.architecture.total_params
    write = float(run_plan.checkpoint_seconds(state_bytes=14.0 * trained,
                                              storage_bandwidth=ask.storage_bandwidth))
    interval = float(run_plan.best_checkpoint_interval(checkpoint_time=write,
                                                       mtbf=ask.chip_mtbf / n))
    share = float(run_plan.goodput(checkpoint_time=write, checkpoint_interval=interval,
                                   restart_time=ask.restart, chip_mtbf=ask.chip_mtbf, n_chips=n))
    if share <= 0:
        raise BadInput("checkpoints and restarts take all the time: raise storage_bandwidth or "
                       "chip_mtbf, or lower restart")
    return {"goodput": share, "checkpoint_s": write, "checkpoint_interval_s": interval}


def _step_table(found: StepTime) -> Table:
    total = float(sum(found.parts.values()))
    rows: list[list[Cell]] = [[name.replace("_", " "), float(seconds), float(seconds) / total]
                              for name, seconds in found.parts.items() if seconds]
    return Table.of("step", {"part": "1", "time": "s", "share": "1"}, rows,
                    title="Where a step goes (time not hidden behind other work)")


def _memory_table(items: dict[str, float]) -> Table:
    rows: list[list[Cell]] = [[name, size] for name, size in items.items()]
    return Table.of("memory", {"part": "1", "bytes": "B"}, rows,
                    title="Memory of the fullest device, counts alone")


def _notes(ask: TrainAsk, case: TrainingCase) -> tuple[str, ...]:
    notes = [f"A step is {case.batch.sequences} sequences of {case.batch.seq} tokens. MFU and HFU "
             "are over the 16-bit dense peak, attention counted causally.",
             "Intervals: measured runs of models held out of the fit; overlap and kernels of "
             "Megatron-Bridge.",
             f"Failures: one in {ask.chip_mtbf / 3600:,.0f} chip-hours (Llama 3's machine: 50,700)"
             "."]
    if case.layout.recompute == "reversible":
        notes.append("Reversible: for networks whose layers give their inputs back from their "
                     "outputs (RevNet). round_trip_error: run here in fp32, as deep and 64 wide.")
    if ask.adapter_rank is not None:
        notes.append("Adapters: gradients pass through frozen weights, none are made for them: "
                     "4 FLOP a parameter and token instead of 6.")
    return tuple(notes)
