"""Any file this room can read, told apart by what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ridgeline.errors import BadInput
from ridgeline.measure.engine.benchmark_files import BenchRun, StreamRun, read_benchmark
from ridgeline.measure.engine.startup_log import StartupLog, read_startup_log

__all__ = ["read_files"]

_HEAD = 4096


def read_files(paths: Sequence[str | Path]) -> list[BenchRun | StreamRun | StartupLog]:
    """Every run of every file.

    Raises:
        BadInput: a file that cannot be read, or of no kind known here.
    """
    found: list[BenchRun | StreamRun | StartupLog] = []
    for path in paths:
        if _looks_structured(path):
            found.extend(read_benchmark(path))
        else:
            found.append(read_startup_log(path))
    return found


def _looks_structured(path: str | Path) -> bool:
    """Whether a file begins as JSON or as a table does, rather than as a log."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEAD).decode("utf-8-sig", "replace").lstrip()
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from None
    if not head:
        raise BadInput(f"{path} is empty")
    return head[0] in "{[" or head.startswith(("build_commit,", '"build_commit"'))
