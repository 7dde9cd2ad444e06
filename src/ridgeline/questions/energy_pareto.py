"""Which systems are worth their watts? Accuracy against power and energy, from a user's CSV."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from ridgeline.economics.energy_use import accuracy_per_joule, accuracy_per_kilowatt
from ridgeline.errors import BadInput, nearest
from ridgeline.files import read_text
from ridgeline.quantity import Quantity
from ridgeline.questions.answer import Answer, Cell, Table
from ridgeline.report.figure import Axis, Figure, Line, Scatter, Text

__all__ = ["System", "energy_pareto", "frontier", "pareto_figure", "read_systems"]

_COLUMNS = ("name", "accuracy", "watts", "joules")


@dataclass(frozen=True)
class System:
    """One system: its accuracy (exact match), its power [W] and the energy of a question [J]."""

    name: str
    accuracy: float
    watts: float
    joules: float | None = None


def read_systems(path: str | Path) -> tuple[System, ...]:
    """Systems of a CSV file with columns name, accuracy, watts and, if known, joules.

    Raises:
        BadInput: unreadable, a missing or unknown column, or a number out of range, with the line.
    """
    rows = csv.DictReader(read_text(path).splitlines())
    header = tuple(rows.fieldnames or ())
    for column in header:
        if column not in _COLUMNS:
            close = nearest(column, _COLUMNS)
            raise BadInput(f"{path}: unknown column {column!r}"
                           + (f"; did you mean {close[0]!r}?" if close else "")
                           + f" It may have: {', '.join(_COLUMNS)}")
    missing = [c for c in _COLUMNS[:3] if c not in header]
    if missing:
        raise BadInput(f"{path}: no column {', '.join(missing)}; it needs name, accuracy (0 to 1) "
                       "and watts")
    found = tuple(_system(row, f"{path}: line {number}") for number, row in enumerate(rows, 2))
    if not found:
        raise BadInput(f"{path}: no systems below the header")
    return found


def _system(row: dict[str, str], where: str) -> System:
    def number(name: str, most: float = math.inf) -> float:
        try:
            value = float(row.get(name) or "")
        except ValueError:
            raise BadInput(f"{where}: {name} is {row.get(name)!r}, not a number") from None
        if not 0 < value <= most or not math.isfinite(value):
            bound = f" and at most {most:g}" if most < math.inf else ""
            raise BadInput(f"{where}: {name} must be above 0{bound}, not {value:g}")
        return value

    joules = number("joules") if row.get("joules") else None
    return System(row.get("name") or "unnamed", number("accuracy", 1.0), number("watts"), joules)


def frontier(systems: tuple[System, ...]) -> tuple[System, ...]:
    """Systems that no other beats: none is as accurate with less power, by rising power."""
    best, out = -math.inf, []
    for system in sorted(systems, key=lambda s: (s.watts, -s.accuracy)):
        if system.accuracy > best:
            best = system.accuracy
            out.append(system)
    return tuple(out)


def energy_pareto(systems: tuple[System, ...]) -> Answer:
    """Accuracy for a kilowatt and for a joule of each system, and who is on the frontier.

    Returns:
        an Answer with the best of each measure and the table "systems", most accurate for a watt
        first.
    """
    kept = frontier(systems)
    rows: list[list[Cell]] = [
        [s.name, s.accuracy, s.watts, _per_kilowatt(s), s.joules, _per_joule(s), s in kept]
        for s in sorted(systems, key=lambda s: -s.accuracy / s.watts)]
    greenest = max(systems, key=_per_kilowatt)
    most = max(systems, key=lambda s: (s.accuracy, -s.watts))
    return Answer("energy_pareto", {"systems": len(systems)}, {
        "bound": f"{greenest.name} gives the most accuracy for a watt, {most.name} the most of all",
        "best_accuracy_per_kw": Quantity.exact(_per_kilowatt(greenest), "1", "measured"),
        "best_accuracy": Quantity.exact(most.accuracy, "1", "measured"),
        "on_frontier": len(kept)},
        (Table.of("systems", {"system": "1", "EM": "1", "power": "W", "EM/kW": "1",
                              "a question": "J", "EM/J": "1", "frontier": "1"}, rows,
                  title="Accuracy (exact match) against power"),),
        ("On the frontier: no other system is as accurate with less power.",))


def _per_kilowatt(system: System) -> float:
    return float(accuracy_per_kilowatt(accuracy=system.accuracy, chip_watts=system.watts))


def _per_joule(system: System) -> float | None:
    return None if system.joules is None else float(
        accuracy_per_joule(accuracy=system.accuracy, energy=system.joules))


def pareto_figure(systems: tuple[System, ...]) -> Figure:
    """Systems as points, the frontier as a line."""
    kept = frontier(systems)
    points = Scatter([s.watts for s in systems], [s.accuracy for s in systems], "systems", size=8,
                     hover=[s.name for s in systems])
    line = Line([s.watts for s in kept], [s.accuracy for s in kept], "frontier")
    names = tuple(Text(s.watts, s.accuracy, s.name) for s in kept)
    watts = [s.watts for s in systems]
    return Figure("Accuracy for watts",
                  Axis("power", "W", log=True, low=min(watts) / 1.3, high=max(watts) * 1.6),
                  Axis("exact match"),
                  (points, line, *names))
