"""One question asked of every combination of several values, kept row by row in Parquet files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput, RidgelineError, UnknownName
from ridgeline.quantity import Quantity
from ridgeline.questions.answer import Answer, Table
from ridgeline.search.sweep_axes import Axis, SweepSpace, read_axis

if TYPE_CHECKING:
    from ridgeline.questions.fields import Field
    from ridgeline.questions.registry import Question
    from ridgeline.search.sweep_parts import SweepFolder

__all__ = ["SWEPT", "SweepAsk", "sweep", "sweep_space", "unit_of"]

SWEPT = ("estimate", "fit", "train")
# What a row shows when it is printed, by question.
_SHOWN = {"estimate": ("ttft_s", "tpot_s", "output_tokens_per_s", "bound_decode"),
          "fit": ("fits", "weights_bytes", "kv_pool_bytes", "max_concurrency"),
          "train": ("fits", "step_s", "mfu", "days", "usd")}
_TYPES = {"whole": "BIGINT", "number": "DOUBLE", "flag": "BOOLEAN", "text": "VARCHAR"}
_UNITS = {"_s": "s", "_bytes": "B", "_per_s": "token/s", "usd": "USD"}
_MOST_ROWS = 20
# Parts of a sweep at most, and rows of a part: few files, little lost to a kill.
_PARTS, _LARGEST_PART = 200, 500
# What changes answers without being a field.
_ENVIRONMENT = ("RIDGELINE_CATALOG", "RIDGELINE_CALIBRATION")

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class SweepAsk:
    """What to sweep, and where to keep it.

    Attributes:
        fields: of the question, each a value, a list of values, or a range
            `{"from": 1, "to": 64, "steps": 4, "scale": "log"}`; flat, or in a scenario's sections.
        out: folder of the rows; one that an earlier run left unfinished is filled.
        question: estimate, fit or train.
        jobs: processes; 1: this one.
        on_ray: address of a Ray cluster, or "local"; None: this machine's processes.
        limit: combinations at most.
        piece: rows of a part; None: by the number of rows.
        force: forget another sweep's rows in the folder.
    """

    fields: Mapping[str, Any]
    out: str
    question: str = "estimate"
    jobs: int = 1
    on_ray: str | None = None
    limit: int = 100_000
    piece: int | None = None
    force: bool = False


@dataclass(frozen=True)
class _Pieces:
    """The work of a sweep: a piece's number in, its rows out. Travels to other processes."""

    question: str
    space: SweepSpace
    rows: int
    piece: int

    def __call__(self, number: int) -> list[dict[str, Any]]:
        """Every row of one piece, answered or with the reason why not."""
        from ridgeline.questions.registry import get_question

        question = get_question(self.question)
        span = range(number * self.piece, min((number + 1) * self.piece, self.rows))
        return [{"row": n, **_answered(question, self.space.row(n))} for n in span]


def sweep(ask: SweepAsk, progress: Progress | None = None) -> Answer:
    """Ask the question of every combination, and keep the rows.

    Rows are kept in parts as they are done, each whole or not at all: a sweep that was stopped or
    killed goes on where it was when it is asked again with the same fields and folder.

    Args:
        ask: question, fields and folder.
        progress: called with rows done, of how many, and what is next.

    Returns:
        an Answer with `rows`, `answered`, `refused`, `resumed` (rows found done), `parts`, `file`;
        tables "rows" (the first ones) and "reasons" (why rows have no answer).

    Raises:
        BadInput: an unknown question or field, a value of a wrong kind, an empty list, more
            combinations than the limit, a folder of something else.
        MissingExtra: DuckDB, or Ray where it is asked for, is not installed.
    """
    _check(ask)
    space, types = sweep_space(ask)
    folder = _folder(ask, space, types)
    missing = folder.missing()
    found = len(space) - sum(len(folder.span(n)) for n in missing)
    if missing:
        work = _Pieces(ask.question, space, len(space), folder.piece)
        done = found

        def finish(number: int, rows: list[dict[str, Any]]) -> None:
            nonlocal done
            folder.write(number, rows)
            done += len(rows)
            if progress is not None:
                progress(done, len(space), "")

        if progress is not None:
            progress(found, len(space), "")
        _run(ask, work, missing, finish)
    if missing or not folder.combined.exists():
        folder.combine()
    return _answer(ask, space, folder, found)


def _run(ask: SweepAsk, work: _Pieces, missing: list[int], finish: Callable[..., None]) -> None:
    from ridgeline.search.sweep_run import run_here, run_in_processes, run_on_ray

    if ask.on_ray is not None:
        run_on_ray(work, missing, finish, ask.on_ray, ask.jobs)
    elif ask.jobs > 1 and len(missing) > 1:
        run_in_processes(work, missing, finish, ask.jobs)
    else:
        run_here(work, missing, finish)


def _check(ask: SweepAsk) -> None:
    """Numbers and names that need no fields."""
    if ask.question not in SWEPT:
        raise UnknownName.among("question to sweep", str(ask.question)[:80], SWEPT,
                                "Questions: " + ", ".join(SWEPT))
    for name, most in (("jobs", 4096), ("limit", 10**9), ("piece", 10**6)):
        value = getattr(ask, name)
        if value is None and name == "piece":
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise BadInput(f"{name} must be a whole number from 1 to {most:,}, not {value}")
    if not str(ask.out).strip():
        raise BadInput("a sweep needs a folder for its rows")
    if ask.on_ray is not None and not ask.on_ray.strip():
        raise BadInput("the address of a Ray cluster is empty; write auto, local, or host:6379")


def sweep_space(ask: SweepAsk) -> tuple[SweepSpace, dict[str, str]]:
    """The combinations asked for, and the SQL type of each field.

    Raises:
        BadInput: an unknown field, a wrong value, an empty list, or more than the limit.
    """
    from ridgeline.questions.field_values import read_value
    from ridgeline.questions.registry import get_question

    known = {f.name: f for f in get_question(ask.question).fields}
    fixed: dict[str, Any] = {}
    axes = []
    for name, written in _flat(ask.fields, known).items():
        if name not in known:
            raise UnknownName.among(f"field of {ask.question}", str(name)[:80], known)
        axis = _axis(known[name], written)
        if axis is not None:
            axes.append(axis)
        elif written is not None:
            fixed[name] = read_value(known[name], written)
    _needed(ask, known, {*fixed, *(axis.name for axis in axes)})
    space = SweepSpace(fixed, tuple(axes))
    if len(space) > ask.limit:
        sizes = " x ".join(f"{len(a.values):,} {a.name}" for a in axes)
        raise BadInput(f"{len(space):,} combinations ({sizes}) are more than {ask.limit:,}; "
                       "take fewer values, or raise --limit")
    return space, {name: _TYPES[known[name].kind] for name in space.row(0)}


def _axis(field: Field, written: Any) -> Axis | None:
    """The values of a field that has several."""
    from ridgeline.questions.field_values import read_value

    if isinstance(written, Mapping) and field.kind not in ("whole", "number"):
        raise BadInput(f"{field.name} takes no range; give a list of values")
    axis = read_axis(field.name, written, whole=field.kind == "whole")
    if axis is None:
        return None
    values = tuple(read_value(field, value) for value in axis.values)
    if len(set(values)) < len(values):
        twice = next(v for n, v in enumerate(values) if v in values[:n])
        raise BadInput(f"{field.name} has {twice!r} twice; give each value once")
    return Axis(field.name, values)


def _flat(fields: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Fields out of a scenario's sections; a section is told from a range by its name."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        section = name not in known and isinstance(value, Mapping)
        for key, inner in (value.items() if section else ((name, value),)):
            if section and (key not in known or known[key].section != name):
                raise UnknownName.among("field of the sweep", f"{name}.{key}"[:80], [
                    f"{f.section}.{f.name}" if f.section else f.name for f in known.values()])
            if key in flat:
                raise BadInput(f"{key} is given twice")
            flat[key] = inner
    return flat


def _needed(ask: SweepAsk, known: Mapping[str, Any], given: set[str]) -> None:
    for field in known.values():
        if field.required and field.name not in given:
            raise BadInput(f"a sweep of {ask.question} needs a {field.name}: one value or several")


def _folder(ask: SweepAsk, space: SweepSpace, types: Mapping[str, str]) -> SweepFolder:
    from ridgeline.search.sweep_parts import SweepFolder, connect

    with connect():                     # a missing extra is told before a folder is made
        pass
    from ridgeline import __version__

    contents = {"ridgeline": __version__, "question": ask.question, "fixed": dict(space.fixed),
                "axes": {axis.name: list(axis.values) for axis in space.axes},
                **{name: os.environ[name] for name in _ENVIRONMENT if os.environ.get(name)}}
    piece = ask.piece or min(_LARGEST_PART, max(1, -(-len(space) // _PARTS)))
    return SweepFolder.opened(ask.out, contents, len(space), piece,
                              {"row": "BIGINT", **types, "reason": "VARCHAR"}, force=ask.force)


def _answered(question: Question, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A combination with its answer's numbers, or with the one line that says why there is none."""
    body = dict(fields)
    if any(field.name == "advice" for field in question.fields):
        body.setdefault("advice", False)
    try:
        answer = question.answer(question.arguments(body))
    except RidgelineError as error:
        return {**fields, "reason": " ".join(str(error).split())}
    out = {**fields, "reason": None}
    for name, value in answer.quantities.items():
        key = name if name not in fields else f"{name}_answer"
        if isinstance(value, Quantity):
            out[key] = float(value.value)
            if value.low != value.high:
                out |= {f"{key}_low": float(value.low), f"{key}_high": float(value.high)}
        elif value is not None:
            out[key] = value
    return out


def _answer(ask: SweepAsk, space: SweepSpace, folder: SweepFolder, found: int) -> Answer:
    answered, tables = _tables(ask, space, folder)
    asked = {"question": ask.question, **space.fixed,
             **{axis.name: list(axis.values) for axis in space.axes}}
    return Answer("sweep", asked, {
        "rows": len(space), "answered": answered, "refused": len(space) - answered,
        "resumed": found, "parts": folder.pieces, "file": str(folder.combined)},
        tables=tables, notes=(
            "Columns of the file: every field, every number of an answer in SI units with its "
            "interval as NAME_low and NAME_high, and why a row has no answer (reason).",))


def _tables(ask: SweepAsk, space: SweepSpace, folder: SweepFolder
            ) -> tuple[int, tuple[Table, ...]]:
    """How many rows are answered; the first rows, and why others are not."""
    from ridgeline.search.sweep_parts import connect, parquet

    swept = parquet(folder.combined)
    with connect() as base:
        answered = base.execute(f"SELECT count(*) FROM {swept} WHERE reason IS NULL").fetchone()[0]
        reasons = base.execute(f"SELECT count(*), min(row), reason FROM {swept} WHERE reason IS "
                               "NOT NULL GROUP BY reason ORDER BY 1 DESC, 2 LIMIT 10").fetchall()
        columns = {c[0] for c in base.execute(f"DESCRIBE SELECT * FROM {swept}").fetchall()}
        shown = [c for c in ("row", *(a.name for a in space.axes), *_SHOWN[ask.question])
                 if c in columns]
        names = ", ".join(f'"{c}"' for c in shown)
        first = base.execute(f"SELECT {names} FROM {swept} ORDER BY row "
                             f"LIMIT {_MOST_ROWS}").fetchall()
    tables = [Table.of("rows", {name: unit_of(name) for name in shown}, first,
                       title=f"The first {len(first)} of {len(space):,} rows")]
    if reasons:
        tables.append(Table.of("reasons", {"rows": "1", "first": "1", "why": "1"}, reasons,
                               title="Rows without an answer"))
    return int(answered), tuple(tables)


def unit_of(name: str) -> str:
    """Unit of a column, by the end of its name."""
    return next((unit for end, unit in reversed(_UNITS.items()) if name.endswith(end)), "1")
