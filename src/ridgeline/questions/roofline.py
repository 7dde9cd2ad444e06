"""Why? Every op of a step against the roofs of its machine."""

from __future__ import annotations

from typing import Any

from ridgeline.quantity import Quantity, format_si
from ridgeline.questions.answer import Answer, Table
from ridgeline.questions.performance import decode_context, deployed_of, per_replica
from ridgeline.questions.resolve import Resolved, resolve
from ridgeline.report.figure import Axis, Figure, Line, Scatter
from ridgeline.scenario import Scenario
from ridgeline.timing.roofline import OpBounds, StepBounds, bound_name, step_bounds
from ridgeline.work.op import Op
from ridgeline.work.step import Step, decode_step, prefill_step

__all__ = ["op_table", "roofline", "roofline_figure"]

_COLUMNS = {"op": "1", "layers": "1", "flop": "FLOP", "bytes": "B", "intensity": "FLOP/B",
            "lower": "s", "upper": "s", "bound": "1"}


def roofline(scenario: Scenario, *, ideal: bool = False) -> Answer:
    """Every op of one prompt and of one decode step: work, intensity, time bounds.

    Args:
        scenario: model, machine, deployment and workload.
        ideal: show least times only, without calibrated ones.

    Returns:
        an Answer with `ridge_flop_per_byte`, step bounds of both phases, tables "prefill" and
        "decode" of ops (numbers are of one device).
    """
    resolved = resolve(scenario)
    chip = resolved.cluster.chip
    compute = resolved.formats.dense.compute
    quantities: dict[str, Any] = {
        "ridge_flop_per_byte": Quantity.exact(chip.ridge(compute), "FLOP/B", "datasheet"),
        "peak_flop_per_s": Quantity.exact(chip.peak(compute), "FLOP/s", "datasheet"),
        "memory_bandwidth_bytes_per_s": Quantity.exact(chip.memory_bandwidth, "B/s", "datasheet"),
    }
    for phase in ("prefill", "decode"):
        bounds = phase_bounds(resolved, phase)
        quantities |= _phase_quantities(phase, bounds)
    quantities["bound"] = (f"decode is bound by {quantities['bound_decode']}, "
                           f"prefill by {quantities['bound_prefill']}")
    return Answer("roofline", resolved.scenario.to_dict(), quantities,
                  tables=tuple(op_table(resolved, p, ideal=ideal) for p in ("prefill", "decode")),
                  notes=("Lower: compute, memory and network overlap fully; upper: not at all. "
                         "Peaks are dense, numbers are of one device.",))


def _phase_quantities(phase: str, bounds: StepBounds) -> dict[str, Any]:
    return {
        f"{phase}_lower_s": Quantity.exact(float(bounds.lower), "s"),
        f"{phase}_upper_s": Quantity.exact(float(bounds.upper), "s"),
        f"{phase}_compute_s": Quantity.exact(float(bounds.compute), "s"),
        f"{phase}_memory_s": Quantity.exact(float(bounds.memory), "s"),
        f"{phase}_network_s": Quantity.exact(float(bounds.network), "s"),
        f"bound_{phase}": bound_name(bounds),
    }


def phase_step(resolved: Resolved, phase: str) -> Step:
    """One prompt alone, or one decode step at the scenario's concurrency."""
    work = resolved.scenario.workload
    if phase == "prefill":
        new = max(1.0, work.prompt * (1 - work.prefix_hit))
        return prefill_step(tokens=new, past=work.prompt - new)
    return decode_step(sequences=float(per_replica(resolved)), context=decode_context(resolved))


def phase_bounds(resolved: Resolved, phase: str) -> StepBounds:
    """Bounds of every op of a phase."""
    return step_bounds(deployed_of(resolved).ops(phase_step(resolved, phase)), resolved.cluster)


def op_table(resolved: Resolved, phase: str, *, ideal: bool = False, most: int = 60) -> Table:
    """Ops of a phase, the slowest first, with calibrated times unless `ideal`."""
    replica = deployed_of(resolved)
    bounds = phase_bounds(resolved, phase)
    columns = dict(_COLUMNS)
    rows: list[tuple[float, list[Any]]] = []
    shown = [item for item in bounds.ops if float(item.upper) != 0.0]
    times = [] if ideal else replica.timer.each([item.op for item in shown])
    for index, item in enumerate(shown):
        row = _row(item)
        rank = float(item.lower)
        if not ideal:
            rank = row[6] = times[index]
        rows.append((rank, row))
    if not ideal:
        columns = {("time" if name == "upper" else name): unit for name, unit in _COLUMNS.items()}
    rows.sort(key=lambda pair: -pair[0])
    return Table.of(phase, columns, [row for _, row in rows[:most]],
                    title=f"{phase.capitalize()}, ops of one device"
                    + (f" (the largest {most} of {len(rows)})" if len(rows) > most else ""))


def _row(item: OpBounds) -> list[Any]:
    op = item.op
    flop, moved = float(op.repeats * op.flop), float(op.repeats * _moved(op))
    times = {"compute": float(item.compute), "memory": float(item.memory),
             "network": float(item.network)}
    return [op.name, float(op.repeats), flop, moved, flop / moved if moved else 0.0,
            float(item.lower), float(item.upper), max(times, key=lambda k: times[k])]


def _moved(op: Op) -> float:
    return float(op.message_bytes if op.kind == "collective" else op.memory_bytes)


def roofline_figure(scenario: Scenario, *, ideal: bool = False) -> Figure:
    """Log-log roofline: the roofs of the chip's formats, every op a dot sized by its time.

    Dots lie at the calibrated rate, so their distance below the roof is what is lost; with
    `ideal`, on the roof.
    """
    resolved = resolve(scenario)
    chip, replica = resolved.cluster.chip, deployed_of(resolved)
    used: set[str] = set()
    dots: list[Scatter] = []
    low, high = 1.0, 1.0
    for phase, color in (("prefill", "#d55e00"), ("decode", "#0072b2")):
        bounds = phase_bounds(resolved, phase)
        times = ([float(b.lower) for b in bounds.ops] if ideal
                 else replica.timer.each([b.op for b in bounds.ops]))
        total = sum(times)
        for item, seconds in zip(bounds.ops, times, strict=True):
            intensity = _row(item)[4]
            if not intensity or item.op.kind == "collective":
                continue
            used.add(item.op.compute)
            low, high = min(low, intensity), max(high, intensity)
            share = seconds / total
            reached = float(item.op.repeats * item.op.flop) / seconds
            hover = (f"{phase} {item.op.name}: {format_si(intensity, 'FLOP/B')}, "
                     f"{format_si(seconds, 's')}, {100 * share:.1f} % of the step")
            first = not any(d.name == phase for d in dots)
            dots.append(Scatter([intensity], [reached], name=phase if first else "",
                                size=4 + 26 * share**0.5, hover=[hover], color=color))
    roofs: list[Line] = []
    for compute in sorted(used, key=chip.peak):
        peak, ridge = chip.peak(compute), chip.ridge(compute)
        ends = [low / 2, ridge, max(high, ridge) * 4]
        roofs.append(Line(ends, [min(peak, i * chip.memory_bandwidth) for i in ends],
                          name=f"{compute} roof",
                          color="#333333", dash=len(roofs) > 0))
    work = resolved.scenario.workload
    return Figure(f"Roofline of {resolved.architecture.name} on {scenario.machine}",
                  Axis("Arithmetic intensity", "FLOP/B", log=True),
                  Axis("Attainable rate of one chip", "FLOP/s", log=True), (*roofs, *dots),
                  subtitle=f"prompt {work.prompt}, {per_replica(resolved)} sequences decoding at "
                  f"{decode_context(resolved):.0f} tokens; dot size follows time")
