"""Requests made up from a mix of clients, each with its own rate, burstiness and lengths.

Reads the two files of a ServeGen-like mix (Xiang et al., arXiv 2505.09999): `PREFIX_rates.csv`
(client, start_s, rate_per_s, cv, pattern, param1, param2; one row a client and window) and
`PREFIX_lengths.jsonl` (client, start_s, input_tokens and output_tokens as [tokens, probability]).
"""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ridgeline.errors import BadInput
from ridgeline.serving.requests import Requests

__all__ = ["generate_mix"]

_WINDOW = 600.0


def generate_mix(prefix: str | Path, *, start: float = 0.0, duration: float = 3600.0,
                 scale: float = 1.0, seed: int = 0) -> Requests:
    """Requests of all clients over a stretch of the mix's time.

    Within a window a client's gaps are independent with the window's mean (1 / rate) and the shape
    of its law: gamma with cv, or Weibull with its first parameter. Lengths are drawn from the
    client's latest table at or before the window.

    Args:
        prefix: path without `_rates.csv` (or `_rates.csv.gz`).
        start, duration: stretch of time [s].
        scale: factor on all rates.
        seed: of the draws.

    Raises:
        BadInput: files that are missing or malformed, or nothing to draw in that stretch.
    """
    if not (duration > 0 and scale > 0 and start >= 0):
        raise BadInput("a mix needs a positive duration and scale, and a start from 0 on")
    random = np.random.default_rng(seed)
    tables = _lengths(str(prefix))
    arrivals, prompts, outputs = [], [], []
    for row in _rows(str(prefix), start, duration):
        times = _arrivals(random, row, scale, start, start + duration)
        table = _latest(tables, row["client"], row["start_s"])
        if not len(times) or table is None:
            continue
        arrivals.append(times - start)
        prompts.append(_draw(random, table[0], len(times)))
        outputs.append(_draw(random, table[1], len(times)))
    if not arrivals:
        raise BadInput(f"mix {prefix}: no requests from {start:g} s on for {duration:g} s")
    arrival = np.concatenate(arrivals)
    order = np.argsort(arrival, kind="stable")
    return Requests(arrival[order], np.concatenate(prompts)[order],
                    np.concatenate(outputs)[order])


def _open(prefix: str, ending: str) -> Any:
    openers: dict[str, Any] = {prefix + ending: open, prefix + ending + ".gz": gzip.open}
    for name, opener in openers.items():
        if Path(name).is_file():
            return opener(name, "rt", encoding="utf-8", newline="")
    raise BadInput(f"no file {prefix}{ending} (or .gz)")


def _rows(prefix: str, start: float, duration: float) -> Iterator[dict[str, Any]]:
    """Windows of all clients that overlap the stretch, with numbers read."""
    with _open(prefix, "_rates.csv") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                read: dict[str, Any] = {"client": row["client"], "pattern": row["pattern"],
                        **{k: float(row[k]) for k in ("start_s", "rate_per_s", "cv", "param1")}}
            except (KeyError, TypeError, ValueError) as error:
                raise BadInput(f"{prefix}_rates.csv line {number} is malformed: {error}") from error
            if read["start_s"] < start + duration and read["start_s"] + _WINDOW > start:
                yield read


def _lengths(prefix: str) -> dict[str, list[tuple[float, Any, Any]]]:
    """Tables of (start, (tokens, cumulative), (tokens, cumulative)) by client, in time order."""
    tables = defaultdict(list)
    with _open(prefix, "_lengths.jsonl") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
                tables[str(row["client"])].append((float(row["start_s"]), _law(
                    row["input_tokens"]), _law(row["output_tokens"])))
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise BadInput(f"{prefix}_lengths.jsonl line {number} is malformed: "
                               f"{error}") from error
    return {client: sorted(rows, key=lambda r: r[0]) for client, rows in tables.items()}


def _law(pairs: Any) -> tuple[Any, Any]:
    table = np.array(pairs, float)
    return np.maximum(table[:, 0].astype(np.int64), 1), np.cumsum(table[:, 1])


def _latest(tables: dict[str, Any], client: str, start: float) -> Any:
    rows = tables.get(client)
    if not rows:
        return None
    return next((r[1:] for r in reversed(rows) if r[0] <= start), rows[0][1:])


def _draw(random: np.random.Generator, law: tuple[Any, Any], count: int) -> Any:
    tokens, cumulative = law
    place = np.searchsorted(cumulative, random.random(count) * cumulative[-1])
    return tokens[np.minimum(place, len(tokens) - 1)]


def _arrivals(random: np.random.Generator, row: dict[str, Any], scale: float, start: float,
              stop: float) -> Any:
    """A renewal process over one window, cut to the stretch."""
    rate = row["rate_per_s"] * scale
    if not (math.isfinite(rate) and rate > 0):
        return np.zeros(0)
    gaps = []
    reached = 0.0
    while reached < _WINDOW:
        drawn = _gaps(random, row, max(16, int(rate * _WINDOW * 1.1))) / rate
        gaps.append(drawn)
        reached += float(drawn.sum())
    times = np.cumsum(np.concatenate(gaps))
    times = row["start_s"] + times[times < _WINDOW]
    return times[(times >= start) & (times < stop)]


def _gaps(random: np.random.Generator, row: dict[str, Any], count: int) -> Any:
    """Gaps of mean 1 by the row's law."""
    if row["pattern"].lower() == "weibull" and row["param1"] > 0:
        shape = row["param1"]
        return random.weibull(shape, count) / math.gamma(1 + 1 / shape)
    cv = row["cv"] if row["cv"] > 0 else 1.0
    return random.gamma(1 / cv**2, cv**2, count)
