"""A sweep's folder: what it holds, which parts are done, and all rows as one file.

    sweep.json           the space, cut into pieces; written first
    part-00000000.parquet one piece's rows; whole or absent
    rows.parquet         every row in order; written last
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ridgeline.errors import BadInput, MissingExtra
from ridgeline.files import write_atomically

__all__ = ["SweepFolder", "connect", "parquet"]

_MANIFEST, _COMBINED = "sweep.json", "rows.parquet"
_MOST_BYTES = "512MB"


@dataclass(frozen=True)
class SweepFolder:
    """Where a sweep's rows are kept.

    Attributes:
        path: the folder.
        rows: rows of the whole sweep.
        piece: rows of a part.
        types: SQL type of each input column.
    """

    path: Path
    rows: int
    piece: int
    types: Mapping[str, str]

    @classmethod
    def opened(cls, path: str | Path, contents: Mapping[str, Any], rows: int, piece: int,
               types: Mapping[str, str], *, force: bool = False) -> SweepFolder:
        """Make the folder, or find it as an earlier run left it.

        Args:
            path: folder.
            contents: what tells this sweep from another, JSON-safe.
            rows, piece, types: as in the class; an earlier run's piece counts.
            force: forget what an earlier run of another sweep left.

        Raises:
            BadInput: it holds something else, or cannot be made.
        """
        folder = Path(path)
        if folder.exists() and not folder.is_dir():
            raise BadInput(f"{path} is a file; a sweep needs a folder")
        found = None if force else _manifest(folder)
        if found is not None:
            _same(folder, found.get("sweep", {}), json.loads(json.dumps(contents)))
            return cls(folder, rows, int(found["piece"]), types)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if force:
                _forget(folder)
            elif any(folder.iterdir()):
                raise BadInput(f"{path} is not empty and holds no sweep; give another --out")
        except OSError as error:
            raise BadInput(f"cannot use {path}: {error.strerror or error}") from error
        write_atomically(folder / _MANIFEST, json.dumps(
            {"piece": piece, "rows": rows, "sweep": contents}, indent=2) + "\n")
        return cls(folder, rows, piece, types)

    @property
    def pieces(self) -> int:
        """Parts of the whole sweep."""
        return -(-self.rows // self.piece)

    @property
    def combined(self) -> Path:
        """The file of all rows."""
        return self.path / _COMBINED

    def part(self, number: int) -> Path:
        """The file of one piece."""
        return self.path / f"part-{number:08d}.parquet"

    def span(self, number: int) -> range:
        """Rows of one piece."""
        return range(number * self.piece, min((number + 1) * self.piece, self.rows))

    def missing(self) -> list[int]:
        """Pieces that are not there yet."""
        return [n for n in range(self.pieces) if not self.part(n).exists()]

    def write(self, number: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep one piece's rows: the file is there whole, or not at all.

        Raises:
            BadInput: it cannot be written.
        """
        types = {**self.types, **_types(rows, self.types)}
        target = self.part(number)
        waiting = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with connect() as base:
                columns = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
                base.execute(f"CREATE TABLE part ({columns})")
                mark = "(" + ", ".join("?" * len(types)) + ")"
                base.execute("INSERT INTO part VALUES " + ", ".join([mark] * len(rows)),
                             [row.get(name) for row in rows for name in types])
                base.execute(f"COPY part TO {_quoted(waiting)} (FORMAT parquet)")
            waiting.replace(target)
        except OSError as error:
            raise BadInput(f"cannot write {target}: {error.strerror or error}") from error
        finally:
            with contextlib.suppress(OSError):
                waiting.unlink()

    def combine(self) -> Path:
        """Join the parts to one file, in order.

        Raises:
            BadInput: parts are missing or do not hold every row once.
        """
        waiting = self.combined.with_name(f".{_COMBINED}.{os.getpid()}")
        everything = parquet(self.path / "part-*.parquet")
        try:
            with connect() as base:
                seen = base.execute(f"SELECT count(*), count(DISTINCT row), max(row) "
                                    f"FROM {everything}").fetchone()
                if seen != (self.rows, self.rows, self.rows - 1):
                    raise BadInput(f"{self.path} holds {seen[0]:,} rows of {self.rows:,}; run the "
                                   "sweep again to fill it, or with --force from the start")
                base.execute(f"COPY (SELECT * FROM {everything} ORDER BY row) "
                             f"TO {_quoted(waiting)} (FORMAT parquet)")
            waiting.replace(self.combined)
        finally:
            with contextlib.suppress(OSError):
                waiting.unlink()
        return self.combined


@contextlib.contextmanager
def connect() -> Any:
    """A DuckDB of its own, on one thread and in bounded memory.

    Raises:
        MissingExtra: DuckDB is not installed.
        BadInput: what it refused, in one line.
    """
    try:
        import duckdb
    except ImportError:
        raise MissingExtra.needed("keeping a sweep's rows as Parquet", "data") from None
    base = duckdb.connect()
    try:
        base.execute(f"SET memory_limit = '{_MOST_BYTES}'")
        base.execute("SET threads = 1")
        yield base
    except duckdb.Error as error:
        raise BadInput("rows cannot be kept: " + str(error).splitlines()[0]) from error
    finally:
        base.close()


def _manifest(folder: Path) -> dict[str, Any] | None:
    file = folder / _MANIFEST
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(found, dict) and isinstance(found.get("piece"), int) and found["piece"] > 0:
            return found
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot read {file}: {error}; --force begins anew") from error
    raise BadInput(f"{file} describes no sweep; --force begins anew")


def _same(folder: Path, found: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuse a folder of another sweep, naming what differs."""
    for name in sorted({*found, *asked}):
        if found.get(name) != asked.get(name):
            raise BadInput(f"{folder} holds another sweep: its {name} differs; give another --out, "
                           "or --force to begin anew")


def _forget(folder: Path) -> None:
    """Remove what a sweep writes, and nothing else."""
    for pattern in (_MANIFEST, _COMBINED, "part-*.parquet", ".part-*.parquet.*",
                    f".{_COMBINED}.*"):
        for file in folder.glob(pattern):
            file.unlink()


def _types(rows: Sequence[Mapping[str, Any]], known: Mapping[str, str]) -> dict[str, str]:
    """SQL types of the other columns, by the values they hold; columns without any are left out."""
    seen: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.items():
            if name not in known and value is not None:
                kind = ("BOOLEAN" if isinstance(value, bool)
                        else "DOUBLE" if isinstance(value, (int, float)) else "VARCHAR")
                seen.setdefault(name, set()).add(kind)
    return {name: kinds.pop() if len(kinds) == 1 else "VARCHAR" for name, kinds in seen.items()}


def parquet(path: Path) -> str:
    """A file's rows, or those of all files of a pattern, as SQL reads them."""
    return f"read_parquet({_quoted(path)}, union_by_name = true)"


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
