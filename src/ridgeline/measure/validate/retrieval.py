"""Query and build times of vector indexes, and rates of encoders, on one thread of a CPU."""

from __future__ import annotations

import functools
import math
from typing import Any

from ridgeline.errors import BadInput
from ridgeline.measure.truth.reader import Table
from ridgeline.measure.validate.prediction import Advance, Interval, Predictions, each_row

__all__ = ["predict"]

# The 95 % interval is taken 1.53 times as wide as the 80 % one, as of a normal error.
_WIDER = 1.53
# Other spellings of the kinds of index, without dashes.
_NAMES = {"ivfflat": "ivf", "hnswflat": "hnsw", "hnswlib": "hnsw", "flatl2": "flat",
          "flatip": "flat", "exact": "flat", "int8": "sq8"}


def predict(table: Table, advance: Advance) -> Predictions:
    """Every row, with the shipped constants or those that RIDGELINE_RETRIEVAL names."""
    answer = _search if table.schema.name == "retrieval" else _encoder
    return each_row(table, advance, answer)


def _search(row: dict[str, Any]) -> dict[str, Interval]:
    from ridgeline.retrieval.build_time import build_seconds
    from ridgeline.retrieval.cpu_time import search_time, shipped_constants
    from ridgeline.retrieval.index_plan import index_plan

    constants = shipped_constants()
    kind = str(row["index"]).lower().replace("_", "").replace("-", "")
    kind = _NAMES.get(kind, kind)
    data = "random" if row.get("data") in ("gaussian", "uniform", "random") else "clustered"
    plan = index_plan(
        "flat" if kind == "sq8" else kind, row["n"], row["dim"],
        compression="int8" if kind == "sq8" else "fp32", top_k=int(row.get("top_k") or 10),
        batch=int(row.get("batch") or 1), data=data, **_settings(row))
    threads = row.get("threads") or 1.0
    if threads > 1 and plan.batch < threads:
        raise BadInput(f"{threads:g} threads with a batch of {plan.batch}: queries are searched "
                       "side by side, one on a thread")
    found = search_time(plan, constants)
    query = Interval(*(v / threads for v in (found.seconds, found.low, found.high)),
                     *(v / threads for v in _wider(found.seconds, found.low, found.high)))
    return {"query": query, "build": Interval(build_seconds(plan, constants))}


def _wider(value: float, low: float, high: float) -> tuple[float, float]:
    if not value > 0:
        return value, value
    return value * (low / value) ** _WIDER, value * (high / value) ** _WIDER


def _settings(row: dict[str, Any]) -> dict[str, int]:
    """Settings that the row states; zeros stand for none."""
    names = ("nlist", "nprobe", "segments", "hnsw_m", "ef")
    return {name: int(row[name]) for name in names if row.get(name)}


def _encoder(row: dict[str, Any]) -> dict[str, Interval]:
    from ridgeline.retrieval.cpu_time import shipped_constants
    from ridgeline.retrieval.encoder_time import encoder_seconds

    constants = shipped_constants()
    counts = _counts(*(int(row[k]) for k in ("layers", "width", "heads", "d_ff", "texts",
                                             "tokens")), constants.l3_bytes)
    rate = row["texts"] * row["tokens"] / encoder_seconds(counts, constants.encoder)
    slow, fast = (math.exp(-e) for e in reversed(constants.spread["encoder"]))
    return {"tokens_per_s": Interval(rate, rate * min(slow, 1.0), rate * max(fast, 1.0),
                                     *_wider(rate, rate * min(slow, 1.0), rate * max(fast, 1.0)))}


@functools.lru_cache(maxsize=256)
def _counts(layers: int, width: int, heads: int, d_ff: int, texts: int, tokens: int,
            l3_bytes: float) -> dict[str, float]:
    from ridgeline.measure.retrieval.constants import encoder_architecture
    from ridgeline.retrieval.encoder_time import encoder_counts

    shape = {"layers": layers, "width": width, "heads": heads, "d_ff": d_ff}
    return encoder_counts(encoder_architecture(shape), float(texts), float(tokens), l3_bytes)
