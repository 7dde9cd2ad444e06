"""Parts of the training answer: where collectives run, what would help, how numbers came about."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from ridgeline.errors import RidgelineError
from ridgeline.explain.derivation import Derivation, Given, derive
from ridgeline.questions.answer import Answer, Cell, Table, levers_table
from ridgeline.questions.train import TrainAsk, case_of, memory_items
from ridgeline.report.figure import Axis, Bar, Figure
from ridgeline.training import run_plan
from ridgeline.training.layout import Layout
from ridgeline.training.step_time import StepTime, TrainingCase, step_time

__all__ = ["derivations", "groups_table", "levers", "train_figure"]


# Shades of one hue, apart from the palette of the step's parts.
_MEMORY_COLORS = ("#0b3954", "#2c7da0", "#61a5c2", "#a9d6e5", "#cfe8ef", "#7f8c8d")


def groups_table(case: TrainingCase) -> Table:
    """Each parallel group: ranks, the chips among which they lie, and whether they leave a domain.

    Ranks count tensor parallelism fastest, then context, data and pipeline; experts are spread
    over the first three.
    """
    layout, domain = case.layout, case.cluster.domain_size
    spans = {"tensor": (layout.tp, layout.tp), "context": (layout.cp, layout.tp * layout.cp),
             "expert": (layout.ep, max(layout.ep, layout.tp) * layout.cp),
             "data": (layout.dp, layout.tp * layout.cp * layout.dp),
             "pipeline": (layout.pp, layout.chips)}
    # A pipeline's neighbours are whole stages apart.
    rows: list[list[Cell]] = [
        [name, ranks, span, "scale-up" if span <= domain else "scale-out",
         -(-span // domain)] for name, (ranks, span) in spans.items() if ranks > 1]
    return Table.of("groups", {"parallel": "1", "ranks": "1", "chips spanned": "1", "network": "1",
                               "domains": "1"}, rows,
                    title=f"Groups and the scale-up domain of {domain} chips")


def levers(ask: TrainAsk, case: TrainingCase, found: StepTime) -> Table:
    """Changes that shorten the step and still fit."""
    from ridgeline.memory.engines import device_memory
    from ridgeline.training.constants import shipped

    rows, room = [], device_memory(case.cluster.chip)
    for name, then, price in _changes(ask, case.layout):
        try:
            other = case_of(then)
            seconds = float(step_time(other, shipped()).step)
        except RidgelineError:
            continue
        gain = float(found.step) / seconds * other.batch.tokens / case.batch.tokens
        held = sum(memory_items(then, other.architecture, other.layout, other.batch).values())
        if gain > 1.01 and held <= room:
            rows.append((name, gain, price))
    return levers_table(rows)


def _changes(ask: TrainAsk, layout: Layout) -> Iterator[tuple[str, TrainAsk, str]]:
    def laid(**fields: Any) -> TrainAsk:
        return dataclasses.replace(ask, layout=dataclasses.replace(layout, **fields))

    if layout.recompute == "full":
        yield "selective recompute", laid(recompute="selective"), "more activation memory"
    if layout.zero == 3:
        yield "zero 1", laid(zero=1), "whole weights and gradients on each device"
    if layout.pp > 1:
        yield f"vp {layout.vp * 2}", laid(vp=layout.vp * 2), "more hops, more activations"
        if layout.schedule != "zero-bubble":
            yield "zero-bubble schedule", laid(schedule="zero-bubble"), "held gradients of weights"
    if layout.tp > 1:
        yield f"tp {layout.tp // 2}", laid(tp=layout.tp // 2, dp=0), "more memory on each device"
    yield (f"micro-batch {layout.micro_batch * 2}", laid(micro_batch=layout.micro_batch * 2),
           "more activation memory")
    for narrow in ("fp8", "nvfp4"):
        if ask.precision in ("bf16", "fp16"):
            yield f"{narrow} training", dataclasses.replace(ask, precision=narrow), "check the loss"
    yield ("a batch twice as large", dataclasses.replace(ask, batch_tokens=2 * ask.batch_tokens),
           "fewer, larger steps")


def derivations(ask: TrainAsk, case: TrainingCase, out: Mapping[str, Any]
                ) -> tuple[Derivation, ...]:
    """Bubble, utilisation, goodput, time, cost and energy of the run, as formulas."""
    chip, n = case.cluster.chip, float(case.cluster.n_chips)
    peak = Given(chip.peaks.get("bf16") or chip.peaks["fp16"], "datasheet", f"{chip.name}, dense")
    chips = Given(n, "assumed", ask.machine)
    rate = out["tokens_per_s_per_chip"].value * n
    seconds = out["days"].value * 86400.0
    found = [_bubble(case)] if case.layout.pp > 1 else []
    found += [
        derive(run_plan.model_flop_utilisation, {
            "token_rate": Given(rate, "calibrated", "batch tokens over the step time"),
            "flop_per_token": Given(out["flop"].value / ask.tokens, "derived",
                                    "work of the model's ops"),
            "n_chips": chips, "peak_flops_per_s": peak}),
        derive(run_plan.goodput, {
            "checkpoint_time": Given(out["checkpoint_s"].value, "derived",
                                     "14 bytes a trained parameter over the storage"),
            "checkpoint_interval": Given(out["checkpoint_interval_s"].value, "derived",
                                         "best interval, Young 1974"),
            "restart_time": Given(ask.restart, "assumed"),
            "chip_mtbf": Given(ask.chip_mtbf, "measured", "Llama 3 report unless given"),
            "n_chips": chips}),
        derive(run_plan.run_seconds, {
            "flop": Given(out["flop"].value, "derived", "FLOP a token times tokens"),
            "n_chips": chips, "peak_flops_per_s": peak,
            "mfu": Given(out["mfu"].value, "calibrated", "above"),
            "goodput_share": Given(out["goodput"].value, "derived", "above")}),
        derive(run_plan.run_energy, {
            "run_time": Given(seconds, "calibrated", "above"), "n_chips": chips,
            "chip_watts": Given(chip.tdp, "datasheet", chip.name),
            "pue": Given(ask.pue, "assumed")})]
    if "usd" in out:
        found.append(derive(run_plan.run_cost, {
            "run_time": Given(seconds, "calibrated", "above"), "n_chips": chips,
            "usd_per_chip_hour": Given(out["usd"].value / n / seconds * 3600.0, "assumed",
                                       "as given, or the market's mean")}))
    return tuple(found)


def _bubble(case: TrainingCase) -> Derivation:
    from ridgeline.work.pipeline_schedule import interleaved_pipeline_bubble

    layout = case.layout
    return derive(interleaved_pipeline_bubble, {
        "pp": Given(float(layout.pp)), "n_virtual": Given(float(layout.vp)),
        "n_microbatches": Given(float(
            case.batch.sequences // (layout.dp * layout.micro_batch)), "derived",
            "sequences over replicas and micro-batch")},
        title="Idle share of equal stages; the answer adds the wait for the fullest stage")


def train_figure(answer: Answer) -> Figure:
    """Two stacked bars: shares of the step by part, shares of the device's memory by item."""
    from ridgeline.machine.parse import parse_machine
    from ridgeline.memory.engines import device_memory

    chip = parse_machine(str(answer.scenario["machine"])).chip
    tables = {table.name: table for table in answer.tables}
    steps = [(str(row[0]), _plain(row[2])) for row in tables["step"].rows]
    memory = [(str(row[0]), _plain(row[1]) / device_memory(chip)) for row in tables["memory"].rows]
    series = [Bar([0.0, 1.0], [share, 0.0], name) for name, share in steps]
    series += [Bar([0.0, 1.0], [0.0, share], f"{name} (memory)",
                   color=_MEMORY_COLORS[i % len(_MEMORY_COLORS)])
               for i, (name, share) in enumerate(memory)]
    return Figure("A training step", Axis("", categories=("time of a step", "memory of a device")),
                  Axis("share"), tuple(series), stacked=True,
                  subtitle=f"step {answer.value('step_s'):.3g} s; "
                           f"{answer.value('memory_bytes') / 1e9:.3g} GB of "
                           f"{device_memory(chip) / 1e9:.3g} GB")


def _plain(cell: Cell) -> float:
    return float(cell) if isinstance(cell, (int, float)) else 0.0
