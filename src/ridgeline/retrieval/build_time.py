"""Time to build an index on one thread: training, assigning, linking."""

from __future__ import annotations

import dataclasses

from ridgeline.retrieval import search_work
from ridgeline.retrieval.cpu_time import BLAS_NUMBERS, CpuConstants, distances
from ridgeline.retrieval.index_plan import IndexPlan

__all__ = ["build_counts", "build_flop", "build_seconds"]

# faiss' defaults: vectors a centroid is trained on at most, rounds of k-means for lists and for
# codes, and candidates kept while a graph is built.
_PER_CENTROID, _LIST_ROUNDS, _CODE_ROUNDS, _BUILD_EF = 256, 10, 25, 40


def build_counts(plan: IndexPlan, c: CpuConstants) -> dict[str, float]:
    """How often each term of building happens."""
    n, d = float(plan.n), float(plan.dim)
    missed = max(0.0, 1 - c.l3_bytes / plan.memory)
    out = {"bytes": n * d * 4, "missed_bytes": n * d * 4 * missed}
    if plan.kind == "hnsw":
        linked = n * distances(dataclasses.replace(plan, ef=_BUILD_EF), c.distances)
        return {"linked": linked, "linked_bytes": 4 * d * linked, "missed_reads": linked * missed}
    if plan.nlist:
        sample = min(n, float(_PER_CENTROID * plan.nlist))
        out |= {"train_flop": 2 * plan.nlist * d * _LIST_ROUNDS * sample,
                "assign_flop": 2 * plan.nlist * d * n}
    if plan.segments:
        sample = min(n, float(_PER_CENTROID * 256))
        # Few training vectors are compared one by one, many as a matrix.
        few = sample * d / plan.segments < BLAS_NUMBERS
        out |= {"code_scan_flop" if few else "code_train_flop":
                2 * 256 * d * _CODE_ROUNDS * sample,
                "code_train_points": plan.segments * _CODE_ROUNDS * sample,
                "code_flop": 2 * 256 * d * n, "codes": n * plan.segments}
    return out


def build_flop(plan: IndexPlan, c: CpuConstants) -> float:
    """FLOP of building."""
    counts = build_counts(plan, c)
    if plan.kind == "hnsw":
        return 2.0 * plan.dim * counts["linked"]
    lists = float(search_work.kmeans_flop(
        n_vectors=float(plan.n), dim=float(plan.dim), nlist=float(plan.nlist),
        training_vectors=float(min(plan.n, _PER_CENTROID * plan.nlist)),
        iterations=float(_LIST_ROUNDS))) if plan.nlist else 0.0
    return lists + sum(counts.get(name, 0.0) for name in (
        "code_scan_flop", "code_train_flop", "code_flop"))


def build_seconds(plan: IndexPlan, c: CpuConstants) -> float:
    """Seconds on one thread of the measured CPU."""
    rates = c.builds.get(plan.kind if plan.compression != "int8" else "sq8", {})
    return sum(count * rates.get(name, 0.0) for name, count in build_counts(plan, c).items())
