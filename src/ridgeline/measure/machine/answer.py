"""A measured machine as an Answer, and its pictures."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from ridgeline.formats import get_format
from ridgeline.measure.machine.chip_file import bandwidth_of, peaks_of
from ridgeline.measure.machine.kernel_times import kernels_of
from ridgeline.measure.machine.points import Machine, Point
from ridgeline.quantity import Quantity
from ridgeline.questions.answer import Answer, Table
from ridgeline.report.figure import Axis, Figure, Line, Scatter

if TYPE_CHECKING:
    from ridgeline.machine.chip import Chip

__all__ = ["machine_answer", "roofline_figure"]

_NOISY = 0.1
_BUSY = 0.5


def machine_answer(machine: Machine, beside: Chip | None = None) -> Answer:
    """The ceilings, by cache level, size, format and thread count.

    Args:
        machine: what was measured.
        beside: a chip of the catalog to compare with.

    Raises:
        BadInput: neither bandwidth nor matmul rate was measured.
    """
    far, peaks = bandwidth_of(machine), peaks_of(machine)
    noise = statistics.median(p.noise for p in machine.points)
    values: dict[str, Quantity | str | int | bool | None] = {
        "bound": f"{machine.host.name}, {machine.host.device}",
        "memory_bandwidth_bytes_per_s": _around(far, "B/s")}
    for format, rate in peaks.items():
        best = max(machine.of("matmul", format=format), key=lambda p: p.rate)
        values[f"peak_{format}_flop_per_s"] = _around(best, "FLOP/s")
        values[f"ridge_{format}_flop_per_byte"] = Quantity.exact(rate / far.rate, "FLOP/B",
                                                                 "measured")
    for point in machine.of("launch"):
        values["launch_s"] = Quantity(point.rate, point.rate, point.median_rate, "s", "measured")
    values |= {"noise": Quantity.exact(noise, "1", "measured"),
               "load": Quantity.exact(machine.host.load, "1", "measured"),
               "complete": machine.complete}
    tables = [_levels(machine), _rates(machine), _threads(machine), _kernels(machine)]
    if beside:
        tables.insert(0, _compared(machine, beside))
    scenario = {"device": machine.host.device, "began": machine.began,
                "software": machine.host.software}
    return Answer("measure machine", scenario, values, tables=tuple(t for t in tables if t.rows),
                  notes=tuple(_notes(machine, noise)))


def _around(point: Point, unit: str) -> Quantity:
    """Best rate, with the middle sample as the low end."""
    return Quantity(point.rate, min(point.rate, point.median_rate), point.rate, unit, "measured")


def _notes(machine: Machine, noise: float) -> list[str]:
    notes = ["Values are the best of several samples; the low end is the middle one."]
    if noise > _NOISY:
        notes.append(f"Noisy: the middle sample is {100 * noise:.0f} % slower than the best.")
    if machine.host.load > _BUSY:
        notes.append(f"Other processes were running (load {machine.host.load:.2f}): rates may be "
                     "too low.")
    if not machine.complete:
        notes.append("Interrupted: what was measured until then is kept, the rest is missing.")
    return notes


def _levels(machine: Machine) -> Table:
    """Read bandwidth by working set, with the level that holds it."""
    rows = [(Quantity.exact(point.size, "B", "measured"), _level(machine, point.size),
             _around(point, "B/s"), point.noise) for point in machine.of("read", threads=1)]
    return Table.of("bandwidth", {"working_set": "B", "held_by": "1", "read": "B/s", "noise": "1"},
                    rows, title="Read bandwidth of one thread")


def _level(machine: Machine, size: float) -> str:
    """The smallest cache that holds a working set, else memory."""
    fitting = [(bytes_, level) for level, bytes_ in machine.host.caches.items() if size <= bytes_]
    return min(fitting)[1] if fitting else "memory"


def _rates(machine: Machine) -> Table:
    rows = [(p.format, int(p.size), p.threads, _around(p, "FLOP/s"), p.noise)
            for p in machine.of("matmul")]
    return Table.of("matmul", {"format": "1", "edge": "1", "threads": "1", "rate": "FLOP/s",
                               "noise": "1"}, rows, title="Matmul rate of square matrices")


def _threads(machine: Machine) -> Table:
    """Bandwidth and fp32 rate by thread count."""
    counts = sorted({p.threads for p in machine.points})
    rows = []
    for count in counts if len(counts) > 1 else ():
        reads = machine.of("read", threads=count)
        rates = [p.rate for p in machine.of("matmul", format="fp32", threads=count)]
        if reads and rates:
            rows.append((count, Quantity.exact(reads[-1].rate, "B/s", "measured"),
                         Quantity.exact(max(rates), "FLOP/s", "measured")))
    return Table.of("threads", {"threads": "1", "read": "B/s", "fp32": "FLOP/s"}, rows,
                    title="Ceilings by threads")


def _kernels(machine: Machine) -> Table:
    """What the engines' own products reach: one row from memory, many rows from a cache."""
    rows = []
    for engine, times in kernels_of(machine).items():
        far = times.holding(math.inf)
        for format in times.formats:
            one = min(c.seconds[0] for c in far.matmul if c.format == format)
            many = max(2.0 * n / s for c in times.matmul if c.format == format
                       for n, s in zip(c.rows, c.seconds, strict=True))
            rows.append((engine, format, Quantity.exact(get_format(format).bits / 8 / one, "B/s",
                                                        "measured"),
                         Quantity.exact(many, "FLOP/s", "measured")))
    return Table.of("kernels", {"engine": "1", "weights": "1", "one_token": "B/s",
                                "prompt": "FLOP/s"}, rows,
                    title="Matrix products of the engines installed here")


def _compared(machine: Machine, chip: Chip) -> Table:
    """Measured over datasheet."""
    found = {"memory bandwidth": (bandwidth_of(machine).rate, chip.memory_bandwidth, "B/s")}
    for format, rate in peaks_of(machine).items():
        if format in chip.peaks:
            found[f"{format} matmul"] = (rate, chip.peaks[format], "FLOP/s")
    rows = [(name, Quantity.exact(is_, unit, "measured"), Quantity.exact(says, unit, "datasheet"),
             is_ / says) for name, (is_, says, unit) in found.items()]
    return Table.of("datasheet", {"ceiling": "1", "measured": "1", "catalog": "1", "share": "x"},
                    rows, title=f"Measured beside the catalog's {chip.name}")


def roofline_figure(machine: Machine, beside: Chip | None = None) -> Figure:
    """Measured roofs and points, with the catalog's roofs dashed beside them."""
    far, peaks = bandwidth_of(machine).rate, peaks_of(machine)
    series: list[Line | Scatter] = []
    for format, peak in peaks.items():
        series.append(_roof(far, peak, f"{format}, measured"))
        if beside and format in beside.peaks:
            series.append(_roof(beside.memory_bandwidth, beside.peaks[format],
                                f"{format}, {beside.name}", dash=True))
        points = machine.of("matmul", format=format)
        series.append(Scatter([p.intensity for p in points], [p.rate for p in points],
                              f"{format} matmuls",
                              hover=[f"{p.size:.0f} x {p.size:.0f}, {p.threads} threads"
                                     for p in points]))
    return Figure(f"Roofline of {machine.host.name}",
                  x=Axis("arithmetic intensity", "FLOP/B", log=True),
                  y=Axis("rate", "FLOP/s", log=True), series=tuple(series),
                  subtitle=f"measured {machine.began[:10]}")


def _roof(bandwidth: float, peak: float, name: str, dash: bool = False) -> Line:
    ridge = peak / bandwidth
    x = [ridge / 256, ridge, max(ridge * 64, 1.0)]
    return Line(x, [bandwidth * x[0], peak, peak], name, dash=dash)
