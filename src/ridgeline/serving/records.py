"""A run on disk: a row a request, or a timeline for a trace viewer; whole files or none."""

from __future__ import annotations

import gzip
import importlib.util
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ridgeline.errors import BadInput, MissingExtra
from ridgeline.files import write_atomically
from ridgeline.serving.simulator import Run

__all__ = ["check_requests_file", "chrome_trace", "request_columns", "write_requests"]

_COLUMNS = ("arrival_s", "prompt_tokens", "output_tokens", "queue_s", "ttft_s", "tpot_s",
            "latency_s", "preemptions")
# Requests drawn one by one in a timeline; a viewer gets slow beyond.
_MOST_DRAWN = 5000


def check_requests_file(path: str | Path) -> str:
    """The kind of a requests file by its ending, refused before any work is done for it.

    Raises:
        BadInput: not .parquet, .csv, .csv.gz, .jsonl or .jsonl.gz.
        MissingExtra: Parquet without duckdb.
    """
    kind = "".join(Path(path).suffixes[-2:] if Path(path).suffix == ".gz" else
                   Path(path).suffixes[-1:]).lower()
    if kind not in (".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz"):
        raise BadInput(f"cannot write requests to {str(path)!r}; the name must end in .parquet, "
                       ".csv or .jsonl (or .gz)")
    if kind == ".parquet" and importlib.util.find_spec("duckdb") is None:
        raise MissingExtra.needed("writing Parquet", "data")
    return kind


def request_columns(run: Run, extra: float = 0.0) -> dict[str, Any]:
    """Columns of a requests file: NaN for requests that were refused.

    Args:
        run: what happened.
        extra: seconds outside the engine's steps, added to TTFT and latency.
    """
    gone = ~run.served
    several = np.maximum(run.output - 1, 1)
    values = (run.arrival, run.prompt, run.output, run.start - run.arrival,
              run.first - run.arrival + extra,
              np.where(run.output > 1, (run.end - run.first) / several, np.nan),
              run.end - run.arrival + extra, run.evictions)
    columns = dict(zip(_COLUMNS, values, strict=True))
    for name in ("queue_s", "ttft_s", "tpot_s", "latency_s"):
        columns[name] = np.where(gone, np.nan, columns[name])
    return columns


def write_requests(run: Run, path: str | Path, extra: float = 0.0) -> Path:
    """Write a row a request, in order of arrival. Raises as `check_requests_file`."""
    kind = check_requests_file(path)
    columns = request_columns(run, extra)
    if kind == ".parquet":
        return write_atomically(path, _parquet(columns))
    lines = _csv(columns) if ".csv" in kind else _jsonl(columns)
    data = "".join(lines).encode()
    if kind.endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    return write_atomically(path, data)


def _parquet(columns: dict[str, Any]) -> bytes:
    """The columns as a Parquet file; NaN is null."""
    import duckdb

    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as base:
        base.execute("SET threads = 1")
        base.register("requests", columns)
        # NaN stands for what a refused request has not.
        picked = ", ".join(
            f"CASE WHEN isnan({name}) THEN NULL ELSE {name} END AS {name}"
            if column.dtype.kind == "f" else name for name, column in columns.items())
        file = Path(folder) / "requests.parquet"
        quoted = str(file).replace("'", "''")
        base.execute(f"COPY (SELECT {picked} FROM requests) TO '{quoted}' "
                     "(FORMAT parquet, COMPRESSION zstd)")
        return file.read_bytes()


def _rows(columns: dict[str, Any]) -> Iterator[list[Any]]:
    """Rows of plain numbers; None for NaN, times to the nanosecond."""
    lists = [[None if isinstance(v, float) and v != v else v for v in
              (np.round(column, 9) if column.dtype.kind == "f" else column).tolist()]
             for column in columns.values()]
    for row in zip(*lists, strict=True):
        yield list(row)


def _csv(columns: dict[str, Any]) -> Iterator[str]:
    yield ",".join(columns) + "\n"
    for row in _rows(columns):
        yield ",".join("" if v is None else repr(v) for v in row) + "\n"


def _jsonl(columns: dict[str, Any]) -> Iterator[str]:
    for row in _rows(columns):
        yield json.dumps(dict(zip(columns, row, strict=True))) + "\n"


def chrome_trace(run: Run) -> dict[str, Any]:
    """The run for a trace viewer (chrome://tracing, Perfetto): counters and request spans.

    Every request has a span waiting, one reading its prompt and one decoding; at most the first
    5,000 requests are drawn.
    """
    events: list[dict[str, Any]] = []
    for now, running, blocks, tokens in run.timeline.tolist():
        events.append({"ph": "C", "pid": 0, "name": "batch", "ts": now * 1e6,
                       "args": {"decoding": running}})
        events.append({"ph": "C", "pid": 0, "name": "kv blocks", "ts": now * 1e6,
                       "args": {"used": blocks}})
        events.append({"ph": "C", "pid": 0, "name": "output tokens", "ts": now * 1e6,
                       "args": {"made": tokens}})
    for i in np.flatnonzero(run.served)[:_MOST_DRAWN].tolist():
        spans = (("waiting", run.arrival[i], run.start[i]), ("prompt", run.start[i], run.first[i]),
                 ("decoding", run.first[i], run.end[i]))
        about = {"prompt_tokens": int(run.prompt[i]), "output_tokens": int(run.output[i]),
                 "preemptions": int(run.evictions[i])}
        for name, begin, end in spans:
            for phase, at in (("b", begin), ("e", end)):
                events.append({"ph": phase, "cat": "request", "id": i, "pid": 1, "tid": 0,
                               "name": name, "ts": float(at) * 1e6, "args": about})
    return {"traceEvents": events, "displayTimeUnit": "ms"}
