"""Does it fit? Memory per device, item by item, and what would make it fit."""

from __future__ import annotations

import dataclasses
import math

from ridgeline.errors import RidgelineError
from ridgeline.machine import Cluster
from ridgeline.memory.advice import Fix, fixes
from ridgeline.memory.inference import Footprint
from ridgeline.quantity import Quantity, format_si
from ridgeline.questions.answer import Answer, Cell, Table, Value, levers_table
from ridgeline.questions.performance import deployed_of
from ridgeline.questions.resolve import Resolved, resolve
from ridgeline.report.figure import Axis, Bar, Figure
from ridgeline.report.words import counted
from ridgeline.scenario import AUTO, Scenario
from ridgeline.serving.deployed import Deployed

__all__ = ["fit", "shortfall"]


def fit(scenario: Scenario) -> Answer:
    """Memory of a serving scenario on the device that binds.

    Returns:
        an Answer with `fits`, bytes per device by item, KV capacity and concurrency of the whole
        machine, the least chips of this kind, parameters; tables "memory" and "levers".

    Raises:
        BadInput: an unknown name or a broken rule.
    """
    resolved = resolve(scenario)
    replica = deployed_of(resolved)
    context = _context(resolved)
    foot = replica.footprint
    fits = not shortfall(resolved)
    room = _room(resolved, foot, context)
    return Answer(
        "fit", resolved.scenario.to_dict(),
        {"bound": _verdict(resolved, foot, context), "fits": fits,
         **_quantities(resolved, foot, context), "max_concurrency": int(room)},
        tables=(_memory_table(foot), _levers(resolved, foot)),
        notes=("Bytes are of the fullest device; KV capacity and concurrency are of "
               + counted(resolved.deployment.dp * foot.replicas, "copy", "copies")
               + f" of the cache, for sequences of {context:,} tokens.",
               f"{foot.engine} takes {format_si(foot.usable, 'B')} of the "
               f"{format_si(foot.device_memory, 'B')} that the driver reports."))


def shortfall(resolved: Resolved) -> str:
    """One line saying by how much the workload's sequences do not fit; empty when one fits."""
    replica = deployed_of(resolved)
    foot, context = replica.footprint, _context(resolved)
    if foot.fits and foot.sequence_bytes(context) <= foot.kv_pool:
        return ""
    if not foot.fits:
        lack, what = max(foot.missing, foot.sequence_bytes(1) - foot.kv_pool), "the model"
    else:
        lack, what = foot.sequence_bytes(context) - foot.kv_pool, f"a context of {context:,}"
    fix = _cheapest_fix(resolved)
    return (f"does not fit: {what} is {format_si(lack, 'B')} short on each "
            f"{resolved.cluster.chip.name}" + (f"; {fix}" if fix else ""))


def _context(resolved: Resolved) -> int:
    work = resolved.scenario.workload
    return work.context or work.prompt + work.output


def _room(resolved: Resolved, foot: Footprint, context: int) -> float:
    """Sequences of that length on the whole machine, at most what the engine runs at once."""
    most = float(foot.limits.max_num_seqs * foot.replicas)
    held = min(foot.max_concurrency(context), most) if foot.fits else 0.0
    return math.floor(held) * resolved.deployment.dp


def _quantities(resolved: Resolved, foot: Footprint, context: int) -> dict[str, Value]:
    copies = resolved.deployment.dp
    exact = Quantity.exact

    def size(value: float) -> Quantity:
        return exact(value, "B")

    return {
        "weights_bytes": size(foot.weights),
        "kv_bytes_per_token": size(foot.kv_bytes_per_token),
        "state_bytes_per_sequence": size(foot.state_bytes_per_sequence),
        "activation_bytes": exact(foot.activation, "B", "calibrated"),
        "overhead_bytes": exact(foot.non_torch + foot.graphs + foot.outside, "B", "calibrated"),
        "kv_pool_bytes": exact(max(0.0, foot.kv_pool), "B", "calibrated"),
        "kv_capacity_tokens": exact(
            foot.kv_capacity_tokens(context) * copies if foot.fits else 0.0, "token",
            "calibrated"),
        "max_context_tokens": exact(foot.max_context if foot.fits else 0.0, "token", "calibrated"),
        "min_chips": exact(float(_min_chips(resolved) or math.inf), "1"),
        "weights_total_bytes": size(_whole_weights(resolved)),
        "total_params": exact(float(resolved.architecture.total_params), "param"),
        "active_params": exact(float(resolved.architecture.active_params), "param"),
        "missing_bytes": size(foot.missing),
    }


def _whole_weights(resolved: Resolved) -> float:
    """Bytes of one copy of the whole model."""
    from ridgeline.deployment.sharding import weight_formats

    formats = weight_formats(resolved.architecture, resolved.deployment)
    return sum(weight.elements * repeats * formats.bits(weight) / 8
               for weight, repeats in resolved.architecture.weights())


def _verdict(resolved: Resolved, foot: Footprint, context: int) -> str:
    short = shortfall(resolved)
    if short:
        return short
    share = foot.weights / foot.usable
    limit = {"kv_cache": "the KV cache", "max_num_seqs": "the engine's max_num_seqs"}.get(
        foot.binding(context), foot.binding(context))
    return f"fits: weights take {share:.0%} of the engine's share, {limit} limits concurrency"


def _memory_table(foot: Footprint) -> Table:
    shown = {"weights": "weights", "activation": "peak activation of a step", "graphs": "graphs",
             "non_torch": "communication and libraries", "kv_cache": "KV cache and state"}
    rows: list[list[Cell]] = [[shown[name], value, value / foot.device_memory]
                             for name, value in foot.items.items()]
    rows.append(["outside the engine's share", foot.outside, foot.outside / foot.device_memory])
    spare = foot.device_memory - foot.usable - foot.outside
    rows.append(["unused", spare, spare / foot.device_memory])
    return Table.of("memory", {"part": "1", "bytes": "B", "share of the device": "1"}, rows,
                    title="Memory of the fullest device")


def _at_chips(resolved: Resolved, chips: int) -> Resolved | None:
    """The same scenario on another number of chips with everything else left to us."""
    scenario = resolved.scenario
    blank = dataclasses.replace(scenario.deployment, tp=AUTO, pp=1, ep=1, dp=1, cp=1,
                                attention_dp=1)
    machine = f"{chips}x{resolved.cluster.chip.name}"
    try:
        return resolve(dataclasses.replace(scenario, machine=machine, deployment=blank))
    except RidgelineError:
        return None


def _min_chips(resolved: Resolved) -> int | None:
    """Fewest chips of this kind on which one sequence of the asked context fits.

    Counts that heads divide by, in one scale-up domain; larger machines are filled by pipeline
    stages of whole domains.
    """
    chip, domain = resolved.cluster.chip, max(1, resolved.cluster.chip.domain_size)
    layers = resolved.architecture.n_layers
    for chips in [1 << i for i in range(20) if 1 << i <= domain]:
        found = _at_chips(resolved, chips)
        if found is not None and found.deployment.dp == 1 and _holds(deployed_of(found), found):
            return chips
    widest = _at_chips(resolved, domain) if domain > 1 else _at_chips(resolved, 1)
    tp = widest.deployment.tp if widest is not None else 1
    for pp in range(2, layers + 1):
        plan = dataclasses.replace(resolved.deployment, tp=tp, pp=pp, dp=1, ep=1, attention_dp=1)
        cluster = Cluster.of(chip, tp * pp)
        trial = dataclasses.replace(resolved, deployment=plan, cluster=cluster)
        if _holds(deployed_of(trial), trial):
            return tp * pp
    return None


def _holds(replica: Deployed, resolved: Resolved) -> bool:
    foot = replica.footprint
    return foot.fits and foot.sequence_bytes(_context(resolved)) <= foot.kv_pool


def _fixes(resolved: Resolved) -> tuple[Fix, ...]:
    """Changes of the deployment that hold more sequences of the asked length, best first."""
    return fixes(resolved.architecture, resolved.deployment, resolved.cluster.chip,
                 context_length=_context(resolved))


def _levers(resolved: Resolved, foot: Footprint) -> Table:
    """What holds more sequences, by how many times as many in a replica."""
    rows = []
    context = _context(resolved)
    now = foot.max_concurrency(context) if foot.fits else 0.0
    for fix in _fixes(resolved):
        gain = fix.concurrency / now if now >= 1 else fix.concurrency
        if gain < 1.02:
            continue
        text = (f"{fix.what}: {gain:.2f}x sequences" if now >= 1
                else f"{fix.what}: holds {fix.concurrency:,.1f} sequences of {context:,}")
        costs = [counted(fix.extra_chips, "more chip")] if fix.extra_chips else []
        costs += ["check quality"] if fix.accuracy_risk else []
        rows.append((text, gain, ", ".join(costs) or "none"))
    return levers_table(rows)


def _cheapest_fix(resolved: Resolved) -> str:
    """The change that makes one sequence fit, free ones before chips or accuracy."""
    for fix in _fixes(resolved):
        if fix.enough:
            return f"it would fit with: {fix.what}"
    chips = _min_chips(resolved)
    return f"it needs {chips} of them" if chips else "no number of these chips holds it"


def fit_figure(answer: Answer) -> Figure:
    """Memory of the fullest device by part, as bars."""
    table = next(t for t in answer.tables if t.name == "memory")
    names = tuple(str(row[0]) for row in table.rows)
    sizes = [float(row[1]) for row in table.rows]  # type: ignore[arg-type]
    return Figure(f"Memory of {answer.scenario['model']} on {answer.scenario['machine']}",
                  Axis("", categories=names), Axis("Memory of one device", "B"),
                  (Bar(list(range(len(names))), sizes, hover=[format_si(s, "B") for s in sizes]),))
