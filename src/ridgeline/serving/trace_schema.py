"""Schemas of published request traces, and how a column of text becomes numbers.

| schema | told by | time | remarks |
|---|---|---|---|
| azure | ContextTokens, GeneratedTokens | date and time | 2023 files and 2024 |
| burstgpt | Request tokens, Response tokens | s | failed requests answer 0 tokens: bad rows |
| mooncake | timestamp, input_length | ms | 512-token block hashes |
| bailian | chat_id, input_length | s | 16-token block hashes |
| plain | arrival, prompt, output | s | also arrival_s, prompt_tokens, output_tokens; priority |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.errors import BadInput

__all__ = ["SCHEMAS", "Schema", "numbers_of", "origin_of", "schema_of", "seconds_of"]


@dataclass(frozen=True)
class Schema:
    """Where a kind of trace keeps what.

    Attributes:
        name: of the schema.
        arrival, prompt, output: column names accepted, in small letters.
        told_by: columns that only this schema has.
        scale: seconds in one unit of the arrival column; 0: a date and time.
        blocks: column of block hashes, "" without.
        block_tokens: tokens of a hashed block.
        priority: optional column of priorities, "" without.
        step: whether arrivals are rounded to coarse steps and should be spread over them.
    """

    name: str
    arrival: tuple[str, ...]
    prompt: tuple[str, ...]
    output: tuple[str, ...]
    told_by: tuple[str, ...]
    scale: float = 1.0
    blocks: str = ""
    block_tokens: int = 0
    step: bool = False
    priority: str = ""


SCHEMAS = (
    Schema("azure", ("timestamp",), ("contexttokens",), ("generatedtokens",),
           ("contexttokens",), scale=0.0),
    Schema("burstgpt", ("timestamp",), ("request tokens",), ("response tokens",),
           ("request tokens",)),
    Schema("bailian", ("timestamp",), ("input_length",), ("output_length",), ("chat_id",),
           blocks="hash_ids", block_tokens=16),
    Schema("mooncake", ("timestamp",), ("input_length",), ("output_length",), ("input_length",),
           scale=1e-3, blocks="hash_ids", block_tokens=512, step=True),
    Schema("plain", ("arrival_s", "arrival"), ("prompt_tokens", "prompt"),
           ("output_tokens", "output"), (), priority="priority"),
)


def schema_of(columns: Iterable[str], where: str) -> Schema:
    """The schema whose columns these are.

    Raises:
        BadInput: none; the columns seen and those wanted are named.
    """
    seen = {column.strip().lower() for column in columns}
    for schema in SCHEMAS:
        wanted = (schema.arrival, schema.prompt, schema.output)
        if set(schema.told_by) <= seen and all(seen & set(names) for names in wanted):
            return schema
    raise BadInput(f"{where}: cannot tell arrivals and lengths from the columns "
                   f"{', '.join(sorted(seen)) or '(none)'}; a plain trace has arrival_s, "
                   "prompt_tokens, output_tokens")


def numbers_of(column: Sequence[Any]) -> Any:
    """A column as floats; NaN where a cell is not a number."""
    try:
        return np.array(column, dtype=float)
    except (ValueError, TypeError):
        return np.array([_number(cell) for cell in column])


def _number(cell: Any) -> float:
    try:
        return float("nan") if isinstance(cell, bool) else float(cell)
    except (ValueError, TypeError):
        return float("nan")


def origin_of(column: Sequence[Any]) -> int:
    """The first date and time of a column, as nanoseconds since 1970; 0 where there is none."""
    return next((stamp for cell in column if (stamp := _nanoseconds(cell)) is not None), 0)


def seconds_of(column: Sequence[Any], origin: int = 0) -> Any:
    """A column of dates and times (or seconds) as seconds; NaN where a cell is neither.

    Args:
        column: text.
        origin: of dates and times [ns since 1970]: near them, so that fractions stay exact.
    """
    plain = numbers_of(column[:1])
    if len(plain) and np.isfinite(plain[0]):
        return numbers_of(column)
    try:
        stamps = np.array([str(cell)[:29].rstrip("Z").partition("+")[0] for cell in column],
                          dtype="datetime64[ns]")
    except ValueError:
        found = (_nanoseconds(cell) for cell in column)
        return np.array([np.nan if ns is None else (ns - origin) * 1e-9 for ns in found])
    return np.where(np.isnat(stamps), np.nan, (stamps.astype(np.int64) - origin) * 1e-9)


def _nanoseconds(cell: Any) -> int | None:
    try:
        stamp = np.datetime64(str(cell)[:29].rstrip("Z").partition("+")[0], "ns")
    except ValueError:
        return None
    return None if np.isnat(stamp) else int(stamp.astype(np.int64))
