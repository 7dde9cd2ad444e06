"""Reads a truth table into typed columns, naming every row it cannot take.

Rows are numbered from 1, the first line below the header. A row is set aside when it has the
wrong number of cells, a number that is none, or repeats an earlier row exactly; nothing is
dropped without a line in `Table.rejected`.
"""

from __future__ import annotations

import csv
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput
from ridgeline.measure.truth.schema import Schema, detect_schema

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_CHUNK = 50_000


@dataclass(frozen=True)
class Rejected:
    """A row that cannot be used, and why."""

    row: int
    id: str
    reason: str


@dataclass(frozen=True)
class Table:
    """The usable rows of one file as columns.

    Attributes:
        name: file name as given.
        schema: its kind.
        columns: number columns as float arrays (NaN: empty), the others as text arrays.
        row: row number in the file of each usable row.
        n_rows: rows in the file, usable or not.
        rejected: rows set aside with the reason.
    """

    name: str
    schema: Schema
    columns: Mapping[str, Array]
    row: Array
    n_rows: int
    rejected: tuple[Rejected, ...]

    def __len__(self) -> int:
        return len(self.row)

    def ids(self, where: Array) -> list[str]:
        """Readable names of the rows at these positions."""
        parts = [[_plain(v) for v in self.columns[c][where]]
                 for c in self.schema.key if c in self.columns]
        return ["/".join(p for p in row if p) for row in zip(*parts, strict=True)]

    def dicts(self) -> list[dict[str, Any]]:
        """The rows one by one; numbers as floats or None, text as str."""
        names = list(self.columns)
        lists = [[None if v != v else v for v in column.tolist()]
                 for column in self.columns.values()]
        return [dict(zip(names, values, strict=True)) for values in zip(*lists, strict=True)]

    def take(self, where: Array) -> Table:
        """The table with only the rows at these positions (index or mask array)."""
        return Table(self.name, self.schema, {c: v[where] for c, v in self.columns.items()},
                     self.row[where], self.n_rows, self.rejected)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value != value else f"{value:g}" if value < 1e6 else f"{value:.0f}"


def open_text(path: str | Path) -> io.TextIOBase:
    """A plain, gzip or xz file as text; recognised by its first bytes.

    Raises:
        BadInput: no such file, a folder, unreadable.
    """
    target = Path(path)
    try:
        raw = target.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        elif raw[:6] == b"\xfd7zXZ\x00":
            raw = lzma.decompress(raw)
        return io.StringIO(raw.decode("utf-8-sig"), newline="")
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from error
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise BadInput(f"cannot read {path}: damaged compressed file ({error})") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"cannot read {path}: not a text file in UTF-8") from error


def read_table(path: str | Path) -> Table:
    """Read a truth table of any known kind.

    Raises:
        BadInput: unreadable file, no header, or no known kind.
    """
    with open_text(path) as file:
        try:
            return _read(csv.reader(file), str(path))
        except csv.Error as error:
            raise BadInput(f"{path}: not a CSV file ({error})") from error


def _read(lines: Iterator[list[str]], name: str) -> Table:
    import numpy as np

    header = [c.strip() for c in next(lines, [])]
    if len(set(header)) != len(header):
        twice = next(c for c in header if header.count(c) > 1)
        raise BadInput(f"{name}: the column {twice!r} stands twice in the header")
    schema = detect_schema(header, name)
    pieces: list[dict[str, Array]] = []
    kept: list[Array] = []
    rejected: list[Rejected] = []
    seen: dict[int, int] = {}
    start = 1
    while chunk := list(islice(lines, _CHUNK)):
        rows, numbers = _sift(chunk, start, len(header), seen, rejected)
        piece, good = _typed(rows, numbers, header, schema, rejected)
        pieces.append(piece)
        kept.append(good)
        start += len(chunk)
    if not pieces:
        raise BadInput(f"{name}: a {schema.name} table without rows")
    columns = {c: np.concatenate([p[c] for p in pieces]) for c in pieces[0]}
    rejected.sort(key=lambda r: r.row)
    return Table(name, schema, columns, np.concatenate(kept), start - 1, tuple(rejected))


def _sift(chunk: list[list[str]], start: int, width: int, seen: dict[int, int],
          rejected: list[Rejected]) -> tuple[list[list[str]], list[int]]:
    """Rows of the right width that did not stand earlier in the file, with their numbers."""
    rows, numbers = [], []
    for number, row in enumerate(chunk, start):
        if len(row) != width:
            what = "empty line" if not row else f"{len(row)} cells instead of {width}"
            rejected.append(Rejected(number, row[0] if row else "", f"malformed: {what}"))
            continue
        first = seen.setdefault(hash(tuple(row)), number)
        if first != number:
            rejected.append(Rejected(number, row[0], f"duplicate of row {first}"))
            continue
        rows.append(row)
        numbers.append(number)
    return rows, numbers


def _typed(rows: list[list[str]], numbers: list[int], header: list[str], schema: Schema,
           rejected: list[Rejected]) -> tuple[dict[str, Array], Array]:
    """Columns of one piece; rows with a bad number are taken out and named."""
    import numpy as np

    cells = zip(*rows, strict=True) if rows else [()] * len(header)
    lists: dict[str, tuple[str, ...]] = dict(zip(header, cells, strict=True))
    good = np.ones(len(rows), bool)
    columns: dict[str, Array] = {}
    for column, texts in lists.items():
        if column in schema.numbers:
            values, bad = _numbers(texts, column in schema.positive)
            columns[column] = values
            for at, problem in bad.items():
                if good[at]:
                    good[at] = False
                    key = _key(schema, lists, at)
                    rejected.append(Rejected(numbers[at], key, f"malformed: {column} {problem}"))
        else:
            columns[column] = np.array([sys.intern(t) for t in texts], dtype=object)
    for column in schema.numbers:
        if column not in columns:
            columns[column] = np.full(len(rows), np.nan)
    return {c: v[good] for c, v in columns.items()}, np.asarray(numbers, dtype=np.int64)[good]


def _key(schema: Schema, lists: Mapping[str, tuple[str, ...]], at: int) -> str:
    return "/".join(lists[c][at] for c in schema.key if c in lists and lists[c][at])


def _numbers(texts: tuple[str, ...], positive: bool) -> tuple[Array, dict[int, str]]:
    """Float values, and the problem at each position where there is one."""
    import numpy as np

    try:
        values = np.array(["nan" if t == "" else t for t in texts], dtype=np.float64)
    except ValueError:
        values = np.array([_number(t) for t in texts])
    wrong = ~np.isfinite(values) | (values < 0) | (positive & (values <= 0))
    bad = {}
    for at in np.flatnonzero(wrong).tolist():
        text = texts[at]
        if text == "":
            if positive:
                bad[at] = "is empty"
        elif not np.isfinite(values[at]):
            bad[at] = f"{text[:40]!r} is not a number"
        else:
            bad[at] = f"{text} must be " + ("positive" if positive else "0 or more")
    return values, bad


def _number(text: str) -> float:
    try:
        return float(text) if text else float("nan")
    except ValueError:
        return float("inf")  # told apart from an empty cell
