"""Request traces: read, checked row by row, and never repaired in silence.

    trace = read_trace("azure-conv")                     # a bundled excerpt
    trace = read_trace("requests.csv", skip_bad=True)    # leaves bad rows out, and says how many
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import importlib.resources
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ridgeline.errors import BadInput, UnknownName
from ridgeline.serving.requests import MOST_TOKENS, Requests
from ridgeline.serving.trace_schema import (
    Schema,
    numbers_of,
    origin_of,
    schema_of,
    seconds_of,
)

__all__ = ["BUNDLED", "Trace", "read_trace"]

# Excerpts that travel with the package: their file, and whom to cite.
BUNDLED = {
    "azure-conv": ("azure_2023_conv_excerpt.csv.gz",
                   "Azure LLM inference trace 2023, conversations, first 600 requests; CC-BY 4.0; "
                   "Patel et al., Splitwise, ISCA 2024"),
    "mooncake": ("mooncake_conversation_excerpt.jsonl.gz",
                 "Mooncake FAST'25 conversation trace, first 300 requests; Apache-2.0; "
                 "Qin et al., Mooncake, FAST 2025"),
}


# Rows of a CSV read at a time: text takes far more room than numbers.
_ROWS = 100_000


@dataclass(frozen=True)
class Trace:
    """Requests read from a file.

    Attributes:
        requests: in order of arrival, the first at 0.
        name: as asked.
        schema: which kind of file it was.
        notes: one sentence each: source, what was skipped, spread or sorted.
        skipped: bad rows left out.
    """

    requests: Requests
    name: str
    schema: str
    notes: tuple[str, ...] = ()
    skipped: int = 0


@dataclass(frozen=True)
class _Columns:
    """Columns of a file as read: arrival [s], tokens, hashes, lines, priorities."""

    arrival: Any
    prompt: Any
    output: Any
    blocks: list[Any] | None
    lines: Any
    priority: Any = None


def read_trace(name: str | Path, *, skip_bad: bool = False, sort: bool = False,
               limit: int | None = None, speed: float = 1.0) -> Trace:
    """Read a trace.

    Args:
        name: a bundled excerpt, or a .csv or .jsonl file, also with .gz (schemas: see
            trace_schema).
        skip_bad: leave malformed rows out instead of refusing the file.
        sort: put rows in order of arrival instead of refusing an unordered file.
        limit: take so many requests at most.
        speed: replay faster by this factor: arrivals are divided by it.

    Raises:
        BadInput: no such file, unknown columns, bad rows (how many, the first and why).
    """
    if not 1e-6 <= speed <= 1e6:
        raise BadInput(f"the replay speed must be from 0.000001 to 1,000,000, not {speed:g}")
    path, notes = _located(str(name))
    columns, schema = _read(path, str(name))
    if not len(columns.arrival):
        raise BadInput(f"trace {name} holds no requests")
    columns, skipped = _without_bad(columns, str(name), skip_bad)
    if skipped:
        notes.append(f"{skipped:,} bad rows of {name} were skipped.")
    columns = _in_order(columns, str(name), sort, notes)
    if limit is not None:
        columns = _taken(columns, slice(0, max(1, limit)))
    arrival = columns.arrival - columns.arrival[0]
    if schema.step:
        arrival = _spread(arrival)
        notes.append("Arrivals were published in coarse steps; each step's are spread evenly "
                     "over it.")
    blocks = None
    if columns.blocks is not None:
        blocks = tuple(np.asarray(b, np.int64) for b in columns.blocks)
    requests = Requests(arrival / speed, columns.prompt.astype(np.int64),
                        columns.output.astype(np.int64), blocks=blocks,
                        block_tokens=schema.block_tokens, priority=columns.priority)
    return Trace(requests, str(name), schema.name, tuple(notes), skipped)


def _located(name: str) -> tuple[Path, list[str]]:
    """The file of a name, and its attribution where it is bundled."""
    if name in BUNDLED:
        file, cite = BUNDLED[name]
        folder = importlib.resources.files("ridgeline.serving") / "traces_data"
        return Path(str(folder)) / file, [f"Trace: {cite}."]
    path = Path(name)
    if not path.is_file():
        if path.suffix in ("", None) and "/" not in name:
            raise UnknownName.among("trace", name, BUNDLED,
                                    "Bundled: " + ", ".join(BUNDLED) + ", or name a file.")
        raise BadInput(f"no trace file {name}")
    return path, []


def _read(path: Path, name: str) -> tuple[_Columns, Schema]:
    ending = "".join(path.suffixes[-2:]).removesuffix(".gz").lower()
    try:
        opener: Any = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8", newline="") as file:
            if ending.endswith(".jsonl"):
                return _read_jsonl(file, name)
            if ending.endswith(".csv"):
                return _read_csv(file, name)
    except (OSError, EOFError, UnicodeDecodeError, gzip.BadGzipFile) as error:
        raise BadInput(f"cannot read trace {name}: {error}") from error
    raise BadInput(f"cannot read trace {name}; its name must end in .csv or .jsonl (or .gz)")


def _read_csv(file: Iterator[str], name: str) -> tuple[_Columns, Schema]:
    try:
        reader = csv.reader(file)
        header = [cell.strip().lower() for cell in next((row for row in reader if row), [])]
        schema = schema_of(header, name)
        ordered = bool(schema.priority) and schema.priority in header
        parts: list[_Columns] = []
        origin: int | None = None
        while numbered := list(itertools.islice(
                ((reader.line_num, row) for row in reader if row), _ROWS)):
            def column(names: Sequence[str], numbered: Any = numbered) -> list[str]:
                place = next(header.index(n) for n in names if n in header)
                return [row[place] if place < len(row) else "" for _, row in numbered]

            origin = origin or (origin_of(column(schema.arrival)) if schema.scale == 0 else 0)
            lines = np.array([line for line, _ in numbered], np.int64)
            parts.append(_columns(schema, column, lines, ordered, origin))
    except csv.Error as error:
        raise BadInput(f"trace {name} is not CSV: {error}") from error
    return _together(parts), schema


def _together(parts: Sequence[_Columns]) -> _Columns:
    """The parts of a long file as one."""
    if not parts:
        none = np.zeros(0)
        return _Columns(none, none, none, None, np.zeros(0, np.int64))
    joined: dict[str, Any] = {}
    for field in dataclasses.fields(_Columns):
        values = [getattr(part, field.name) for part in parts]
        if isinstance(values[0], list):
            joined[field.name] = [row for value in values for row in value]
        else:
            joined[field.name] = None if values[0] is None else np.concatenate(values)
    return _Columns(**joined)


def _read_jsonl(file: Iterator[str], name: str) -> tuple[_Columns, Schema]:
    rows, lines = [], []
    for number, line in enumerate(file, 1):
        if line.strip():
            rows.append(_object(line))
            lines.append(number)
    first = next((row for row in rows if row), {})
    schema = schema_of(first, name)

    def column(names: Sequence[str]) -> list[Any]:
        return [next((row[n] for n in names if n in row), None) for row in rows]

    ordered = bool(schema.priority) and any(schema.priority in row for row in rows)
    return _columns(schema, column, np.array(lines, np.int64), ordered), schema


def _object(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return {str(k).lower(): v for k, v in row.items()} if isinstance(row, dict) else {}


def _columns(schema: Schema, column: Any, lines: Any, ordered: bool, origin: int = 0) -> _Columns:
    times = column(schema.arrival)
    arrival = seconds_of(times, origin) if schema.scale == 0 else numbers_of(times) * schema.scale
    blocks = None
    if schema.blocks:
        blocks = [b if isinstance(b, list) and all(type(h) is int for h in b) else []
                  for b in column((schema.blocks,))]
    return _Columns(arrival, numbers_of(column(schema.prompt)), numbers_of(column(schema.output)),
                    blocks, lines,
                    numbers_of(column((schema.priority,))) if ordered else None)


def _without_bad(columns: _Columns, name: str, skip: bool) -> tuple[_Columns, int]:
    """Refuse bad rows in one line, or leave them out when told to."""
    faults = []
    for what, values, least in (("arrival", columns.arrival, None), ("prompt", columns.prompt, 1),
                                ("output", columns.output, 1)):
        faults.append((f"{what} is not a number", ~np.isfinite(values)))
        with np.errstate(invalid="ignore"):
            if least is None:
                faults.append((f"{what} is negative", values < 0))
            else:
                faults.append((f"{what} has fewer than 1 token", values < least))
                faults.append((f"{what} has more than {MOST_TOKENS:,} tokens",
                               values > MOST_TOKENS))
                faults.append((f"{what} tokens are not whole", np.isfinite(values)
                               & (values != np.floor(values))))
    if columns.priority is not None:
        faults.append(("priority is not a number", ~np.isfinite(columns.priority)))
    bad = np.any([mask for _, mask in faults], axis=0)
    if not bad.any():
        return columns, 0
    reasons = "; ".join(f"{int(m.sum()):,} where {what} (first: line {columns.lines[m.argmax()]})"
                        for what, m in faults if m.any())
    if not skip or bad.all():
        fix = "" if bad.all() else "; correct them, or skip them with --skip-bad"
        raise BadInput(f"trace {name}: {int(bad.sum()):,} of {len(bad):,} rows are bad: "
                       f"{reasons}{fix}")
    return _taken(columns, ~bad), int(bad.sum())


def _taken(columns: _Columns, which: Any) -> _Columns:
    blocks = columns.blocks
    if blocks is not None:
        blocks = [blocks[i] for i in np.arange(len(columns.arrival))[which]]
    return dataclasses.replace(
        columns, arrival=columns.arrival[which], prompt=columns.prompt[which],
        output=columns.output[which], lines=columns.lines[which], blocks=blocks,
        priority=None if columns.priority is None else columns.priority[which])


def _in_order(columns: _Columns, name: str, sort: bool, notes: list[str]) -> _Columns:
    back = np.flatnonzero(np.diff(columns.arrival) < 0)
    if not len(back):
        return columns
    if not sort:
        raise BadInput(f"trace {name}: {len(back):,} rows arrive before the row above them (first: "
                       f"line {columns.lines[back[0] + 1]}); sort the file, or pass --sort")
    notes.append(f"{len(back):,} rows of {name} were out of order and have been sorted.")
    return _taken(columns, np.argsort(columns.arrival, kind="stable"))


def _spread(arrival: Any) -> Any:
    """Requests of one time stamp, evenly over the step to the next (the shortest one seen)."""
    _, first, count = np.unique(arrival, return_index=True, return_counts=True)
    steps = np.diff(arrival[first])
    step = float(steps.min()) if len(steps) else 0.0
    place = np.arange(len(arrival)) - np.repeat(first, count)
    return arrival + step * place / np.repeat(count, count)
