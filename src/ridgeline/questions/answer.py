"""Answer: what every question returns, and its one JSON form for all surfaces."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ridgeline.errors import BadInput
from ridgeline.quantity import Quantity

__all__ = ["Answer", "Cell", "Column", "Derived", "Table", "Value", "json_safe",
           "levers_table"]

Value = Quantity | bool | str | int | None
Cell = Quantity | bool | str | int | float | None


class Derived(Protocol):
    """A derivation as `ridgeline.explain` makes them."""

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        ...

    def render(self) -> str:
        """Text within 100 columns."""
        ...


@dataclass(frozen=True)
class Column:
    """A table column: its name and the SI unit of its numbers ("" or "1" for counts and text)."""

    name: str
    unit: str = "1"


@dataclass(frozen=True)
class Table:
    """Rows under named columns, in SI units.

    Attributes:
        name: short key ("levers", "memory", "steps").
        columns: names and units.
        rows: one cell for each column; a Quantity cell carries its own interval.
        title: heading a person reads; the name when empty.
    """

    name: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""

    @classmethod
    def of(cls, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Cell]],
           title: str = "") -> Table:
        """Build a table from {column: unit} and rows.

        Raises:
            BadInput: a row has more or fewer cells than there are columns.
        """
        for number, row in enumerate(rows):
            if len(row) != len(columns):
                raise BadInput(f"row {number} of table {name!r} has {len(row)} cells; "
                               f"there are {len(columns)} columns")
        return cls(name, tuple(Column(n, u) for n, u in columns.items()),
                   tuple(tuple(row) for row in rows), title)

    def to_dict(self) -> dict[str, Any]:
        """JSON form: {"name", "title", "columns": [{"name", "unit"}], "rows": [[...]]}."""
        return {"name": self.name, "title": self.title or self.name,
                "columns": [{"name": c.name, "unit": c.unit} for c in self.columns],
                "rows": [[_json_cell(cell) for cell in row] for row in self.rows]}


@dataclass(frozen=True)
class Answer:
    """The answer to one question.

    Attributes:
        question: name of the question ("estimate", "roofline_matmul").
        scenario: the resolved inputs, JSON-safe, so that the answer can be asked again.
        quantities: named results. A key carries its unit (`ttft_s`, `weights_bytes`); the key
            "bound" (text) names what limits and is shown first.
        tables: further results; the one called "levers" lists what would help most.
        notes: one sentence each: assumptions, warnings, what was left out.
        derivation: how the main numbers came about.
    """

    question: str
    scenario: Mapping[str, Any]
    quantities: Mapping[str, Value]
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    derivation: tuple[Derived, ...] = field(default=())

    def __getitem__(self, name: str) -> Value:
        """The quantity of that name."""
        return self.quantities[name]

    def value(self, name: str) -> float:
        """The number behind a named quantity.

        Raises:
            BadInput: there is no such quantity, or it is text.
        """
        found = self.quantities.get(name)
        if isinstance(found, Quantity):
            return found.value
        if found is None or isinstance(found, str):
            raise BadInput(f"the answer to {self.question!r} has no number {name!r}")
        return float(found)

    def _repr_html_(self) -> str:
        """What a notebook shows: the bound, numbers with intervals, tables and notes."""
        from ridgeline.report.html import answer_html

        return answer_html(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of all surfaces; non-finite numbers become null with a note."""
        answer = {name: _json_value(value) for name, value in self.quantities.items()}
        notes = [*self.notes, *_not_finite(self.quantities)]
        return {"question": self.question, "scenario": json_safe(self.scenario),
                "answer": answer, "tables": [t.to_dict() for t in self.tables],
                "notes": list(dict.fromkeys(notes)),
                "derivation": [d.to_dict() for d in self.derivation]}


def levers_table(rows: Sequence[tuple[str, float, str]]) -> Table:
    """The "levers" table: (what to change, gain as a factor, what it costs or needs).

    Rows are sorted by gain, the largest first.
    """
    ordered = sorted(rows, key=lambda row: -row[1])
    return Table.of("levers", {"change": "1", "gain": "x", "price": "1"}, ordered,
                    title="What would help most")


def _finite(value: float) -> float | None:
    """The number, or None where JSON has none."""
    return float(value) if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """A NumPy scalar as the Python number it holds; anything else unchanged."""
    return value.item() if hasattr(value, "item") and not hasattr(value, "__len__") else value


def _json_value(value: Value) -> dict[str, Any]:
    value = _plain(value)
    if isinstance(value, Quantity):
        return {"value": _finite(value.value), "low": _finite(value.low),
                "high": _finite(value.high), "unit": value.unit, "basis": value.basis}
    return {"value": _finite(value) if isinstance(value, float) else value, "unit": "1"}


def _json_cell(cell: Cell) -> Any:
    cell = _plain(cell)
    if isinstance(cell, Quantity):
        return _json_value(cell)
    return _finite(cell) if isinstance(cell, float) else cell


def json_safe(value: Any) -> Any:
    """Mappings, sequences and scalars that any JSON encoder takes; no number is not finite."""
    value = _plain(value)
    if isinstance(value, Mapping):
        return {str(k): json_safe(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(v) for v in value]
    if isinstance(value, float):
        return _finite(value)
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _not_finite(quantities: Mapping[str, Value]) -> list[str]:
    """The notes that stand in for infinite and undefined numbers."""
    numbers = {name: v.value if isinstance(v, Quantity) else v for name, v in quantities.items()}
    floats = {name: v for name, v in numbers.items() if isinstance(v, float)}
    infinite = [name for name, v in floats.items() if math.isinf(v)]
    undefined = [name for name, v in floats.items() if math.isnan(v)]
    notes = []
    if infinite:
        notes.append(f"Infinite, never reached: {', '.join(infinite)}.")
    if undefined:
        notes.append(f"Undefined for these inputs: {', '.join(undefined)}.")
    return notes
