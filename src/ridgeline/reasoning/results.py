"""A user's own results of repeated sampling, and pass@k estimated from them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ridgeline.errors import BadInput
from ridgeline.files import read_text
from ridgeline.quantity import Quantity
from ridgeline.reasoning.coverage import pass_at_k

__all__ = ["Problem", "mean_pass_at_k", "read_results", "usual_ks"]

# Names under which files hold the same thing.
_TOTAL = ("n", "total", "samples", "n_samples", "num_samples")
_RIGHT = ("c", "correct", "n_correct", "num_correct", "passed", "successes")
_ID = ("problem", "task_id", "problem_id", "id", "question", "instance_id", "task")
_VERDICT = ("correct", "passed", "success", "is_correct", "resolved", "result", "score")
_TRUE = {"true", "1", "1.0", "yes", "passed", "pass", "correct", "resolved"}
_FALSE = {"false", "0", "0.0", "no", "failed", "fail", "incorrect", "unresolved"}
_RESAMPLES = 400
_MOST_SAMPLES = 10**7


@dataclass(frozen=True)
class Problem:
    """Samples drawn of one problem, and how many were right."""

    name: str
    n: int
    c: int


def read_results(path: str | Path) -> tuple[Problem, ...]:
    """Read a .csv, .jsonl or .json file with a line a problem (n, c) or a line a sample.

    Args:
        path: the file. A line a problem has a number of samples (`n`, `total`, `samples`) and of
            right ones (`c`, `correct`, `passed`); a line a sample has a problem (`problem`,
            `task_id`, `id`) and a verdict (`correct`, `passed`: true/false, 1/0).

    Raises:
        BadInput: no such file, no such columns, or a value that is none, with its line.
    """
    rows = list(_rows(Path(path)))
    if not rows:
        raise BadInput(f"{path} holds no results")
    names = {str(k).strip().lower() for k in rows[0]}
    total, right = _first(_TOTAL, names), _first(_RIGHT, names)
    if total and right:
        return tuple(_counted(path, at, row, total, right) for at, row in enumerate(rows, 1))
    name, verdict = _first(_ID, names), _first(_VERDICT, names)
    if name is None or verdict is None:
        raise BadInput(f"{path}: results need columns n and c (a line a problem), or problem and "
                       f"correct (a line a sample); it has: {', '.join(sorted(names)[:8])}")
    return _gathered(path, rows, name, verdict)


def _first(wanted: Sequence[str], names: set[str]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    text = read_text(path)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        for at, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield _object(path, at, line)
    elif path.suffix.lower() == ".json":
        try:
            data = json.loads(text)
        except ValueError as error:
            raise BadInput(f"{path} is not valid JSON: {error}") from error
        if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
            raise BadInput(f"{path} must hold a list of objects")
        yield from ({str(k).lower(): v for k, v in item.items()} for item in data)
    else:
        for row in csv.DictReader(io.StringIO(text)):
            yield {str(k).strip().lower(): v for k, v in row.items()}


def _object(path: Path, at: int, line: str) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise BadInput(f"{path} line {at} is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadInput(f"{path} line {at} must be an object")
    return {str(k).lower(): v for k, v in found.items()}


def _counted(path: str | Path, at: int, row: Mapping[str, Any], total: str, right: str
             ) -> Problem:
    try:
        n, c = (float(row[key]) for key in (total, right))
    except (TypeError, ValueError, KeyError):
        raise BadInput(f"{path} row {at}: {total} and {right} must be numbers, not "
                       f"{row.get(total)!r} and {row.get(right)!r}") from None
    if not (1 <= n <= _MOST_SAMPLES and 0 <= c <= n and n == int(n) and c == int(c)):
        raise BadInput(f"{path} row {at}: {c:g} right of {n:g} samples is impossible")
    key = _first(_ID, {str(k) for k in row})
    return Problem(str(row[key]) if key else str(at), int(n), int(c))


def _gathered(path: str | Path, rows: Sequence[Mapping[str, Any]], name: str, verdict: str
              ) -> tuple[Problem, ...]:
    counts: dict[str, list[int]] = {}
    for at, row in enumerate(rows, 1):
        word = str(row.get(verdict)).strip().lower()
        if word not in _TRUE | _FALSE:
            raise BadInput(f"{path} row {at}: {verdict} must be true or false, not "
                           f"{row.get(verdict)!r}")
        counts.setdefault(str(row.get(name)), []).append(int(word in _TRUE))
    return tuple(Problem(key, len(v), sum(v)) for key, v in counts.items())


def usual_ks(problems: Sequence[Problem]) -> list[int]:
    """1, 2, 5, 10, 20, 50, ... up to the fewest samples of any problem."""
    most = min(p.n for p in problems)
    ks = [a * 10**e for e in range(9) for a in (1, 2, 5) if a * 10**e <= most]
    return ks if ks[-1] == most else [*ks, most]


def mean_pass_at_k(problems: Sequence[Problem], k: int, seed: int = 0) -> Quantity:
    """Mean unbiased pass@k over problems, with the 80 % interval of redrawn problems.

    Raises:
        BadInput: k below 1 or above the samples of a problem.
    """
    import numpy as np

    values = np.array([pass_at_k(p.n, p.c, k) for p in problems])
    draws = np.random.default_rng(seed).integers(0, len(values), (_RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.1, 0.9])
    mean = float(values.mean())
    return Quantity(mean, min(float(low), mean), max(float(high), mean), "1", "measured")
