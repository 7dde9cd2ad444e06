"""An Answer as text: within 100 columns, a unit on every number, intervals where there are any."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ridgeline.quantity import Quantity
from ridgeline.report.words import label, number_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table as RichTable

    from ridgeline.questions.answer import Answer, Cell, Table, Value

__all__ = ["print_answer", "render_answer"]

_WIDTH = 100
_LONGEST_CELL = 40


def print_answer(answer: Answer, *, explain: bool = False) -> None:
    """Print an answer on standard output, with colour where it is a terminal.

    Args:
        answer: what a question returned.
        explain: print the derivation too.
    """
    from rich.console import Console

    # Piped output has no width of its own; a narrow terminal must not wrap mid-table.
    columns = shutil.get_terminal_size((_WIDTH, 24)).columns if sys.stdout.isatty() else _WIDTH
    _write(Console(width=min(columns, _WIDTH), highlight=False), answer, explain)


def render_answer(answer: Answer, *, explain: bool = False, width: int = _WIDTH) -> str:
    """The same as plain text.

    Args:
        answer: what a question returned.
        explain: add the derivation.
        width: columns at most.
    """
    import io

    from rich.console import Console

    out = io.StringIO()
    _write(Console(file=out, width=width, highlight=False, color_system=None), answer, explain)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _write(console: Console, answer: Answer, explain: bool) -> None:
    for part in _parts(answer):
        console.print(part)
    if explain:
        for derivation in answer.derivation:
            console.print()
            console.out(derivation.render(), highlight=False)


def _parts(answer: Answer) -> Iterator[RenderableType]:
    """Bound first, then quantities, tables (levers last) and notes."""
    from rich.padding import Padding
    from rich.text import Text

    bound = answer.quantities.get("bound")
    title = answer.question.replace("_", " ")
    yield Text.assemble((title, "bold"), f": {bound}" if bound else "")
    sentences = {k: v for k, v in answer.quantities.items() if k != "bound" and _sentence(v)}
    for name, value in sentences.items():
        yield Text(f"{name.replace('_', ' ')}: {value}")
    if any(name != "bound" and name not in sentences for name in answer.quantities):
        yield _quantities(answer)
    for table in sorted(answer.tables, key=lambda t: t.name == "levers"):
        yield Text()
        yield _table(table)
    for note in (*answer.notes, *_undefined(answer)):
        yield Padding(Text(f"note: {note}", style="dim"), (0, 0))


def _sentence(value: Value) -> bool:
    """Whether a text is too long for the table of quantities."""
    return isinstance(value, str) and len(value) > _LONGEST_CELL


def _undefined(answer: Answer) -> list[str]:
    """Notes that only the JSON form adds, for numbers that are not finite."""
    return [n for n in answer.to_dict()["notes"] if n not in answer.notes]


def _quantities(answer: Answer) -> RenderableType:
    """Name, value, interval and basis of each quantity; columns nobody needs are left out."""
    from rich.markup import escape

    values = {k: v for k, v in answer.quantities.items() if k != "bound" and not _sentence(v)}
    spread = any(isinstance(v, Quantity) and v.low != v.high for v in values.values())
    grid = _grid()
    grid.add_column("quantity", overflow="fold")
    grid.add_column("value", justify="right", overflow="fold")
    if spread:
        grid.add_column("80 % interval", justify="right", overflow="fold")
    grid.add_column("basis", style="dim")
    for name, value in values.items():
        cells = [_label(name, value), _text(value, "1")]
        if spread:
            cells.append(_interval(value))
        cells.append(value.basis if isinstance(value, Quantity) else "")
        grid.add_row(*map(escape, cells))
    return grid


def _table(table: Table) -> RenderableType:
    """One table; numbers right-aligned, in the unit of their column."""
    from rich.markup import escape

    grid = _grid(title=escape(table.title or table.name))
    for index, column in enumerate(table.columns):
        numeric = any(isinstance(row[index], (int, float, Quantity))
                      and not isinstance(row[index], bool) for row in table.rows)
        grid.add_column(column.name.replace("_", " "), overflow="fold",
                        justify="right" if numeric else "left")
    for row in table.rows:
        grid.add_row(*(escape(_text(cell, column.unit))
                       for cell, column in zip(row, table.columns, strict=True)))
    return grid


def _grid(**options: Any) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable

    return RichTable(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left",
                     title_style="bold", show_edge=False, **options)


def _label(name: str, value: Value) -> str:
    """A JSON key as words, without the unit that the value already shows."""
    return label(name, value.unit if isinstance(value, Quantity) else "")


def _text(value: Value | Cell, unit: str) -> str:
    """One cell: a number with its unit, yes or no, text, or nothing."""
    if isinstance(value, Quantity):
        return number_text(value.value, value.unit)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "-"
    return value if isinstance(value, str) else number_text(value, unit)


def _interval(value: Value) -> str:
    if not isinstance(value, Quantity) or value.low == value.high:
        return ""
    return f"{number_text(value.low, value.unit)} - {number_text(value.high, value.unit)}"
