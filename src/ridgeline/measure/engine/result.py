"""From records to numbers: percentiles, counts, files."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ridgeline.measure.engine.load import Outcome
from ridgeline.measure.engine.record import FAILURES, Record
from ridgeline.quantity import Quantity
from ridgeline.questions.answer import Answer, Table

__all__ = ["MEASURES", "engine_answer", "summarise", "write_json", "write_parquet"]

MEASURES = ("ttft", "tpot", "itl", "latency")
PARTS = ("mean", "p50", "p90", "p95", "p99")
_DISTORTED = 0.1     # of the middle gap between tokens, from which the client's lag is told


def summarise(outcome: Outcome) -> dict[str, float]:
    """Numbers of a run: means and percentiles of the requests served, rates, counts.

    TTFT is from sending to the first token; TPOT (last - first) / (tokens - 1); ITL the gaps
    between chunks; latency from sending (the first attempt) to the last token. Rates are tokens
    and requests over the time from the first sending to the last token.
    """
    import numpy as np

    served = [r for r in outcome.records if r.served]
    columns = {"ttft": [r.ttft for r in served],
               "tpot": [r.tpot for r in served if r.output_tokens > 1],
               "itl": [b - a for r in served for a, b in zip(r.arrivals, r.arrivals[1:],
                                                             strict=False)],
               "latency": [r.latency for r in served]}
    out: dict[str, float] = {}
    for name, values in columns.items():
        known = values or [math.nan]
        out[f"{name}_mean"] = float(np.mean(known))
        for part in PARTS[1:]:
            out[f"{name}_{part}"] = float(np.percentile(known, float(part[1:])))
    span = max((r.last for r in served), default=0.0) - min((r.sent for r in served), default=0.0)
    tokens = sum(r.output_tokens for r in served)
    out |= {"output_tokens_per_s": tokens / span if span else 0.0,
            "prompt_tokens_per_s": sum(r.prompt_tokens for r in served) / span if span else 0.0,
            "requests_per_s": len(served) / span if span else 0.0,
            "requests": float(len(outcome.records)), "served": float(len(served)),
            "failed": float(len(outcome.records) - len(served)),
            "retried": float(sum(r.attempts > 1 for r in outcome.records)),
            "attempts": float(sum(r.attempts for r in outcome.records)),
            "reconnects": float(sum(r.reconnects for r in outcome.records)),
            "lies": float(sum(bool(r.lies) for r in outcome.records)),
            "output_tokens": float(tokens), "wall": outcome.wall}
    return out


def engine_answer(outcome: Outcome, settings: Mapping[str, Any],
                  predicted: Table | None = None) -> Answer:
    """The run as an Answer, with what went wrong by name and the client's own overhead.

    Args:
        outcome: the run.
        settings: what was asked, to be repeated in the answer.
        predicted: the comparison of `compare.predicted_table`, where the deployment is known.
    """
    numbers, known = summarise(outcome), Quantity.exact
    values: dict[str, Any] = {"bound": f"{settings.get('model') or 'model'} at "
                                       f"{settings.get('url', '')}, {settings.get('protocol', '')}"}
    for name in MEASURES:
        values |= {f"{name}_{part}_s": known(value, "s", "measured") for part in PARTS
                   if (value := numbers[f"{name}_{part}"]) == value}
    values |= {name: known(numbers[name], unit, "measured") for name, unit in (
        ("output_tokens_per_s", "token/s"), ("prompt_tokens_per_s", "token/s"),
        ("requests_per_s", "1/s"))}
    values |= {name: int(numbers[name]) for name in ("requests", "served", "failed", "retried",
                                                     "reconnects", "lies")}
    seen = outcome.overhead
    values |= {"client_lag_p50_s": known(seen.lag_p50, "s", "measured"),
               "client_lag_p99_s": known(seen.lag_p99, "s", "measured"),
               "client_late_p99_s": known(seen.late_p99, "s", "measured"),
               "client_cpu_share": known(seen.cpu_share, "1", "measured"),
               "client_cpu_per_event_s": known(seen.cpu_per_event, "s", "measured"),
               "complete": outcome.complete}
    tables = [t for t in (predicted, _failures(outcome), _lies(outcome)) if t and t.rows]
    return Answer("measure engine", dict(settings), values, tables=tuple(tables),
                  notes=tuple(_notes(outcome, numbers)))


def _failures(outcome: Outcome) -> Table:
    """What went wrong, by name, with an example."""
    counts = Counter(r.failure for r in outcome.records if r.failure)
    example = {r.failure: r.detail for r in reversed(outcome.records) if r.failure}
    rows = [(name, count, FAILURES[name], example[name][:80])
            for name, count in counts.most_common()]
    return Table.of("failures", {"failure": "1", "requests": "1", "meaning": "1", "example": "1"},
                    rows, title="Requests without an answer")


def _lies(outcome: Outcome) -> Table:
    """Claims of the server that cannot be."""
    lying = [r for r in outcome.records if r.lies]
    rows = [(f"request {r.index}", "; ".join(r.lies)) for r in lying[:5]]
    if len(lying) > 5:
        rows.append((f"and {len(lying) - 5} more", ""))
    return Table.of("lies", {"request": "1", "claim": "1"}, rows,
                    title="Token counts that cannot be")


def _notes(outcome: Outcome, numbers: Mapping[str, float]) -> list[str]:
    served = [r for r in outcome.records if r.served]
    bases = Counter(r.basis for r in served)
    notes = ["TTFT and latency run from the sending of a request's first attempt; requests "
             "without an answer are counted and not in the percentiles."]
    if bases:
        notes.append("Tokens counted by " + ", ".join(f"{b} ({n:,})" for b, n
                                                      in bases.most_common()) + ".")
    short = sum(r.output_tokens < r.output for r in served)
    if short:
        notes.append(f"{short:,} answers ended before the tokens asked for.")
    lag, gap = outcome.overhead.lag_p99, numbers["itl_p50"]
    if gap == gap and lag > _DISTORTED * gap:
        notes.append(f"The client was up to {1e3 * lag:.1f} ms late (99th percentile) where the "
                     f"middle gap between chunks is {1e3 * gap:.1f} ms: times may be too long.")
    if not outcome.complete:
        notes.append("Interrupted: requests done until then are kept.")
    return notes


def write_json(outcome: Outcome, settings: Mapping[str, Any], path: str | Path) -> Path:
    """Write settings, summary and every request."""
    from ridgeline.files import write_atomically

    numbers = {k: (v if math.isfinite(v) else None) for k, v in summarise(outcome).items()}
    data = {"kind": "ridgeline-engine", "settings": dict(settings), "summary": numbers,
            "overhead": dataclasses.asdict(outcome.overhead), "complete": outcome.complete,
            "requests": [dataclasses.asdict(r) for r in outcome.records]}
    return write_atomically(path, json.dumps(data, allow_nan=False) + "\n")


_COLUMNS = ("index", "prompt", "output", "planned", "sent", "first", "last", "chunks",
            "prompt_tokens", "output_tokens", "basis", "finish", "failure", "detail", "attempts",
            "reconnects", "lies")


def write_parquet(outcome: Outcome, path: str | Path) -> Path:
    """Write one row a request, the chunk times as a list.

    Raises:
        MissingExtra: duckdb is not installed.
        BadInput: the file cannot be written.
    """
    import tempfile

    from ridgeline.errors import MissingExtra
    from ridgeline.files import write_atomically

    try:
        import duckdb
    except ImportError as error:
        raise MissingExtra.needed("a Parquet file", "data") from error
    with tempfile.TemporaryDirectory() as folder:
        lines = "\n".join(json.dumps(_row(r)) for r in outcome.records)
        source, target = Path(folder) / "rows.jsonl", Path(folder) / "rows.parquet"
        source.write_text(lines + "\n", encoding="utf-8")
        types = ", ".join(f"{n}: '{t}'" for n, t in _types().items())
        duckdb.sql(f"COPY (SELECT * FROM read_json('{source}', columns={{{types}}})) "
                   f"TO '{target}' (FORMAT parquet)")
        return write_atomically(path, target.read_bytes())


def _row(record: Record) -> dict[str, Any]:
    row = {name: getattr(record, name) for name in _COLUMNS}
    return {**row, "lies": "; ".join(record.lies), "arrivals": record.arrivals}


def _types() -> dict[str, str]:
    text = dict.fromkeys(("basis", "finish", "failure", "detail", "lies"), "VARCHAR")
    times = dict.fromkeys(("planned", "sent", "first", "last"), "DOUBLE")
    return {**{n: text.get(n) or times.get(n, "BIGINT") for n in _COLUMNS},
            "arrivals": "DOUBLE[]"}
