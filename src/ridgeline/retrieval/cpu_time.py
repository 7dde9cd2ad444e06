"""Time of a search on one thread of a CPU: physical terms with measured constants.

    t = sum_i count_i * seconds_i,  count_i from the index, seconds_i >= 0 measured

The counts are calls, vectors, bytes from cache and from memory, FLOP, table lookups, lists and
heap insertions; the constants are fitted by `ridgeline measure retrieval`.
"""

from __future__ import annotations

import importlib.resources
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ridgeline.errors import BadInput
from ridgeline.retrieval.index_plan import IndexPlan
from ridgeline.timing.constants import constants_text

__all__ = ["CpuConstants", "SearchTime", "counts", "distances", "read_constants", "search_time",
           "shipped_constants"]

# faiss 1.15 multiplies matrices from this many numbers of queries in a call on, and scans query
# by query below (its distance_compute_blas_threshold).
BLAS_NUMBERS = 128_000
_FILE = "retrieval.json"


@dataclass(frozen=True)
class CpuConstants:
    """What was measured of one CPU, one thread.

    Attributes:
        cpu: its name.
        l3_bytes: last-level cache [bytes].
        seconds: family -> term -> seconds each count takes.
        spread: family -> quantiles 10 and 90 % of log(measured / predicted), held out.
        distances: law of vectors compared in a graph: log(count) = sum of coefficient times
            log of ef, links and n, and what data without structure add.
        imbalance: mean size of a probed list over the mean of all.
        recall: measured recall at 10 by setting.
        builds: family -> seconds a count of building takes.
        encoder: seconds of encoder terms.
        source: where and when it was measured.
    """

    cpu: str
    l3_bytes: float
    seconds: Mapping[str, Mapping[str, float]]
    spread: Mapping[str, tuple[float, float]]
    distances: Mapping[str, float]
    imbalance: float
    recall: tuple[Mapping[str, Any], ...]
    builds: Mapping[str, Mapping[str, float]]
    encoder: Mapping[str, float]
    source: str = ""


@dataclass(frozen=True)
class SearchTime:
    """Seconds of one query with its 80 % interval, and the terms that make it up."""

    seconds: float
    low: float
    high: float
    terms: Mapping[str, float]
    visited: float
    basis: str = "calibrated"


@lru_cache(maxsize=4)
def _parsed(text: str) -> CpuConstants:
    data = json.loads(text)
    try:
        return CpuConstants(
            data["cpu"], float(data["l3_bytes"]), data["seconds"],
            {k: (float(v[0]), float(v[1])) for k, v in data["spread"].items()},
            data["distances"], float(data["imbalance"]), tuple(data["recall"]), data["builds"],
            data["encoder"], data.get("source", ""))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadInput(f"constants of a search are incomplete: {error!r}; make them with "
                       "`ridgeline measure retrieval --out FILE`") from error


def shipped_constants() -> CpuConstants:
    """Constants of the user's calibration folder (`retrieval.json`) if there are any, else ours.

    Raises:
        BadInput: a file that is no set of constants.
    """
    named = os.environ.get("RIDGELINE_RETRIEVAL", "")
    if named:
        return read_constants(named)
    own = constants_text(_FILE)
    if own is None:
        place = importlib.resources.files("ridgeline.retrieval") / "data" / "cpu.json"
        own = place.read_text(encoding="utf-8")
    return _parsed(own)


def read_constants(path: str | Path) -> CpuConstants:
    """Constants written by `ridgeline measure retrieval --out FILE`.

    Raises:
        BadInput: no such file, or not one of constants.
    """
    try:
        return _parsed(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{path} holds no constants of a search: {error}") from error


def family(plan: IndexPlan) -> str:
    """Which set of constants times a plan."""
    if plan.kind == "flat":
        if plan.compression in ("int8", "fp16", "binary"):
            return "sq8"
        return "flat_batched" if plan.batch * plan.dim >= BLAS_NUMBERS else "flat"
    return plan.kind


def distances(plan: IndexPlan, law: Mapping[str, float]) -> float:
    """Vectors a graph search compares, never more than there are."""
    log = (law["constant"] + law["ef"] * math.log(plan.ef) + law["links"] * math.log(plan.hnsw_m)
           + law["n"] * math.log(plan.n))
    if plan.data == "random":
        log += law["random"] + law["random_dim"] * math.log(plan.dim)
    return min(float(plan.n), math.exp(log))


def visited(plan: IndexPlan, c: CpuConstants) -> float:
    """Vectors a query is compared with."""
    if plan.kind == "hnsw":
        return distances(plan, c.distances)
    if plan.nlist:
        # All lists hold all vectors, whatever their sizes.
        uneven = 1 + (c.imbalance - 1) * (1 - plan.nprobe / plan.nlist)
        return min(float(plan.n), plan.n * plan.nprobe / plan.nlist * uneven)
    return float(plan.n)


def heap_insertions(top_k: float, candidates: float) -> float:
    """Times a better result is found in random order: k (1 + ln(n / k))."""
    k = min(top_k, candidates)
    return k * (1 + math.log(max(1.0, candidates / k)))


def counts(plan: IndexPlan, c: CpuConstants, seen: float | None = None) -> dict[str, float]:
    """How often each term happens in one query.

    Args:
        plan: the index.
        c: constants, for the cache size and the laws of visited vectors.
        seen: vectors compared, where they were counted.
    """
    v = visited(plan, c) if seen is None else seen
    d, size = float(plan.dim), plan.memory
    # Of a scan or of random reads, the part of the index that no cache holds.
    missed = max(0.0, 1 - c.l3_bytes / size)
    read = v * plan.vector_bytes
    out = {"call": 1 / plan.batch, "vectors": v, "heap": heap_insertions(plan.top_k, v)}
    if plan.kind == "hnsw":
        hops = float(plan.ef)
        # Each doubling of the graph moves some reads a level of cache or page table further away.
        far = math.log2(1 + size / 2**20)
        return {"call": 1 / plan.batch, "vectors": v, "bytes": read,
                "missed_reads": v * missed, "missed_bytes": read * missed, "hops": hops,
                "missed_hops": hops * missed, "heap": hops * math.log2(1 + hops),
                "far_reads": v * far, "far_bytes": read * far}
    if plan.segments:
        tables = plan.nprobe if plan.kind == "ivfpq" else 1
        out |= {"lookups": v * plan.segments, "table_flop": 256.0 * d,
                "lists": float(tables), "list_tables": 256.0 * plan.segments * (tables - 1),
                "missed_bytes": read * missed}
    elif family(plan) == "flat_batched":
        # A block of the vectors is read and laid out once for all queries of a call.
        out |= {"flop": 2 * v * d, "packed_bytes": read / plan.batch,
                "missed_bytes": read * missed / plan.batch}
    else:
        out |= {"bytes": read, "missed_bytes": read * missed, "lists": float(plan.nprobe)}
    if plan.nlist:
        out |= {"centroid_bytes": 4 * d * plan.nlist, "centroids": float(plan.nlist)}
    return {name: count for name, count in out.items() if count}


def search_time(plan: IndexPlan, c: CpuConstants, seen: float | None = None) -> SearchTime:
    """Seconds of one query on one thread.

    Args:
        plan: the index and how it is asked.
        c: constants of the CPU.
        seen: vectors compared, where they were counted instead of predicted.
    """
    name = family(plan)
    rates = c.seconds[name]
    terms = {term: count * rates.get(term, 0.0) for term, count in counts(plan, c, seen).items()}
    seconds = sum(terms.values())
    low, high = c.spread[name]
    return SearchTime(seconds, seconds * math.exp(min(0.0, low)),
                      seconds * math.exp(max(0.0, high)), terms,
                      visited(plan, c) if seen is None else seen)
