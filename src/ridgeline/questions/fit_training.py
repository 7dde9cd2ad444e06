"""Does training fit? Weights, gradients, optimizer and activations on the fullest device."""

from __future__ import annotations

import dataclasses
from typing import Any

from ridgeline.errors import BadInput, RidgelineError
from ridgeline.memory import engines
from ridgeline.memory.peak import (
    TrainingRun,
    activation_items,
    get_framework,
    layer_activation,
    state_items,
)
from ridgeline.memory.training import adapter_params
from ridgeline.quantity import Quantity, format_si
from ridgeline.questions.answer import Answer, Cell, Table, levers_table
from ridgeline.questions.resolve import Resolved, resolve
from ridgeline.scenario import Scenario

__all__ = ["fit_training"]

_SHOWN = {"frozen_weights": "frozen weights", "weights": "weights", "gradients": "gradients",
          "optimizer": "optimizer state", "activations": "activations", "logits": "logits",
          "libraries": "context and libraries"}


def fit_training(scenario: Scenario) -> Answer:
    """Memory of a training step.

    Args:
        scenario: model, machine, degrees and the training fields (seq, micro_batch, zero,
            recompute, optimizer, adapter_rank).

    Returns:
        an Answer with `fits`, bytes per device by item, and levers; counts alone, without an
        engine's own copies.

    Raises:
        BadInput: an unknown name, a broken rule, an optimizer that does not exist.
    """
    resolved = resolve(scenario)
    items = training_items(resolved)
    total, memory = sum(items.values()), engines.device_memory(resolved.cluster.chip)
    fits = total <= memory
    spare = memory - total
    bound = (f"fits: {format_si(spare, 'B')} to spare on each {resolved.cluster.chip.name}" if fits
             else f"does not fit: {format_si(-spare, 'B')} short on each "
                  f"{resolved.cluster.chip.name}; {_largest(items)} take most")
    architecture = resolved.architecture
    quantities: dict[str, Any] = {
        "bound": bound, "fits": fits,
        "memory_bytes": Quantity.exact(total, "B"),
        **{f"{name}_bytes": Quantity.exact(size, "B") for name, size in items.items()},
        "missing_bytes": Quantity.exact(max(0.0, -spare), "B"),
        "total_params": Quantity.exact(float(architecture.total_params), "param"),
        "trained_params": Quantity.exact(_trained(resolved), "param"),
    }
    rows: list[list[Cell]] = [[_SHOWN[name], size, size / memory]
                              for name, size in items.items() if size]
    rows.append(["left", spare, spare / memory])
    table = Table.of("memory", {"part": "1", "bytes": "B", "share of the device": "1"}, rows,
                     title="Memory of the fullest device")
    return Answer("fit_training", resolved.scenario.to_dict(), quantities,
                  tables=(table, _levers(resolved, total)),
                  notes=("Mixed precision: 2-byte weights and gradients, optimizer state as "
                         "named; sequence parallelism; counts alone, frameworks add copies.",))


def _largest(items: dict[str, float]) -> str:
    return _SHOWN[max(items, key=lambda name: items[name])]


def _trained(resolved: Resolved) -> float:
    """Parameters that are trained, all devices together."""
    rank = resolved.scenario.training.adapter_rank
    if rank is None:
        return float(resolved.architecture.total_params)
    return adapter_params(resolved.architecture, rank)


def training_items(resolved: Resolved) -> dict[str, float]:
    """Bytes on the fullest device by item.

    Raises:
        BadInput: a layout that is for serving.
    """
    plan, asked = resolved.deployment, resolved.scenario.training
    if plan.attention_dp > 1:
        raise BadInput("attention_dp is for serving; train with dp")
    split = plan.tp * plan.pp
    run = TrainingRun(
        micro_batch=asked.micro_batch, seq_len=-(-asked.seq // plan.cp),
        n_microbatches=asked.microbatches or plan.pp,
        recompute="none" if asked.recompute in ("none", "selective") else "full",
        optimizer=asked.optimizer, zero_stage=asked.zero, dp=plan.dp * plan.cp,
        trainable=None if asked.adapter_rank is None else _trained(resolved) / split,
        flash_attention=asked.recompute != "none")
    counts = get_framework("ideal")
    items = state_items(resolved.architecture, plan, run, counts, _frozen(resolved))
    items.pop("unsharded")
    items |= activation_items(resolved.architecture, plan, run, counts)
    if asked.recompute == "reversible":
        items["activations"] = _reversible(resolved, run)
    items["libraries"] = (engines.CONTEXT + engines.CONTEXT_PER_RANK * (plan.tp - 1))
    return items


def _frozen(resolved: Resolved) -> Any:
    """Bits of weights that are not trained: as the deployment says (QLoRA: --weights nf4)."""
    from ridgeline.deployment.sharding import weight_formats

    return weight_formats(resolved.architecture, resolved.deployment)


def _reversible(resolved: Resolved, run: TrainingRun) -> float:
    """Two streams and one layer, whatever the depth (no activations kept)."""
    from ridgeline.memory import activations

    architecture, tokens = resolved.architecture, run.micro_batch * run.seq_len
    layer = max(layer_activation(architecture, i, resolved.deployment.tp, run)
                for i in range(len(architecture.blocks))) * tokens
    entry = activations.layer_input(
        seq_len=float(run.seq_len), batch_size=float(run.micro_batch),
        d_model=float(architecture.d_model), shards=float(resolved.deployment.tp))
    return float(activations.reversible(layer_bytes=layer, input_bytes=entry))


def _levers(resolved: Resolved, total: float) -> Table:
    """Changes that shrink a device's memory, by how much."""
    rows = []
    for name, fields, price in _changes(resolved):
        try:
            then = resolve(resolved.scenario.replace(**fields))
            after = sum(training_items(then).values())
        except RidgelineError:
            continue
        if after <= total / 1.02:
            rows.append((f"{name}: {format_si(total - after, 'B')} less", total / after, price))
    return levers_table(rows)


def _changes(resolved: Resolved) -> list[tuple[str, dict[str, Any], str]]:
    asked, plan = resolved.scenario.training, resolved.deployment
    changes: list[tuple[str, dict[str, Any], str]] = []
    if asked.zero < 3 and plan.dp > 1:
        changes.append(("zero=3", {"zero": 3}, "gathers weights each step"))
    if asked.recompute in ("none", "selective"):
        changes.append(("full recompute", {"recompute": "full"}, "a third more FLOP"))
    if asked.optimizer == "adamw":
        changes.append(("8-bit Adam", {"optimizer": "adamw_8bit"}, "check convergence"))
    if asked.micro_batch > 1:
        changes.append(("micro_batch=1", {"micro_batch": 1}, "smaller matrices"))
    if asked.adapter_rank is None:
        changes.append(("LoRA of rank 16", {"adapter_rank": 16}, "trains adapters only"))
    if plan.dp % 2 == 0:
        wider = dataclasses.replace(plan, tp=plan.tp * 2, dp=plan.dp // 2)
        changes.append((f"tp={wider.tp}", {"tp": wider.tp, "dp": wider.dp}, "more network"))
    return changes
