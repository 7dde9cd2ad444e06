"""A sweep as a picture: one number along one field, a line for each of the other values."""

from __future__ import annotations

from pathlib import Path

from ridgeline.errors import BadInput, UnknownName
from ridgeline.questions.answer import Answer
from ridgeline.questions.sweep import unit_of
from ridgeline.report.figure import Axis, Figure, Line

__all__ = ["sweep_figure"]

_USUAL = {"estimate": "output_tokens_per_s", "fit": "kv_pool_bytes", "train": "step_s"}
# Lines that a reader still tells apart, and the span from which a scale of ratios reads better.
_MOST_LINES, _WIDE = 12, 20


def sweep_figure(answer: Answer, x: str | None = None, y: str | None = None) -> Figure:
    """A number against a field that was swept, one line for each value of the other fields.

    Args:
        answer: of `sweep`.
        x: a numeric field; None: the first one swept.
        y: a numeric column; None: what the question is usually asked for.

    Raises:
        BadInput: no such column, no field of numbers was swept, or no row has an answer.
    """
    swept = {n: v for n, v in answer.scenario.items() if isinstance(v, list)}
    numeric = [n for n, values in swept.items()
               if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)]
    across = x or (numeric[0] if numeric else "")
    if across not in numeric:
        raise BadInput("a picture needs a field of numbers to go along: "
                       + (", ".join(numeric) or "none was swept"))
    up = y or _USUAL[str(answer.scenario["question"])]
    lines = _lines(str(answer["file"]), across, up, [n for n in swept if n != across])
    low, high = min(swept[across]), max(swept[across])
    return Figure(f"{up} by {across}", Axis(across, "1", log=low > 0 and high / low >= _WIDE),
                  Axis(up, unit_of(up)), lines, subtitle=str(answer.scenario.get("model", "")))


def _lines(file: str, across: str, up: str, others: list[str]) -> tuple[Line, ...]:
    """The rows of the file as lines, in the order they were asked."""
    from ridgeline.search.sweep_parts import connect, parquet

    rows = parquet(Path(file))
    with connect() as base:
        kinds = {c[0]: c[1] for c in base.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()}
        if kinds.get(up) not in ("DOUBLE", "BIGINT"):
            raise UnknownName.among("column of numbers", up, [
                n for n, kind in kinds.items() if kind == "DOUBLE"])
        wanted = ", ".join(f'"{n}"' for n in (across, up, *others))
        found = base.execute(f"SELECT {wanted} FROM {rows} WHERE \"{up}\" IS NOT NULL "
                             "ORDER BY row").fetchall()
    points: dict[str, list[tuple[float, float]]] = {}
    for along, value, *rest in found:
        name = ", ".join(f"{n}={v}" for n, v in zip(others, rest, strict=True)) or up
        points.setdefault(name, []).append((float(along), float(value)))
    if not points:
        raise BadInput("no row has an answer to draw")
    return tuple(Line([p[0] for p in sorted(line)], [p[1] for p in sorted(line)], name=name)
                 for name, line in list(points.items())[:_MOST_LINES])
