"""Which indexes are measured: sizes, dimensions and settings."""

from __future__ import annotations

from ridgeline.measure.retrieval.indexes import Build, Query
from ridgeline.retrieval.cpu_time import BLAS_NUMBERS

__all__ = ["full_design", "quick_design"]


def _queries(index: str, dim: int, nlist: int, top: tuple[int, ...]) -> tuple[Query, ...]:
    if index in ("flat", "sq8", "pq"):
        # One query alone, and as many as are multiplied as a matrix.
        batches = (1, -(-BLAS_NUMBERS // dim)) if index == "flat" else (1,)
        return tuple(Query(top_k=k, batch=b) for k in top for b in batches)
    if index == "hnsw":
        return tuple(Query(top_k=10, batch=b, ef=e) for e in (16, 64, 256) for b in (1, 100)
                     if b == 1 or e == 64)
    probes = sorted({max(1, nlist // 256), max(2, nlist // 64), max(4, nlist // 16)})
    return tuple(Query(top_k=k, batch=b, nprobe=p) for p in probes for k in top
                 for b in (1, 100) if b == 1 or k == top[0])


def _lists(n: int) -> int:
    return {10_000: 64, 30_000: 256, 100_000: 512, 300_000: 1024}.get(n, 2048)


def builds(n: int, dim: int, indexes: tuple[str, ...], top: tuple[int, ...] = (10, 100),
           kind: str = "clustered") -> list[Build]:
    """The indexes of one size and dimension."""
    nlist, segments = _lists(n), max(8, dim // 8)
    out = []
    for index in indexes:
        lists = nlist if index in ("ivf", "ivfpq") else 0
        out.append(Build(index, n, dim, lists, segments if "pq" in index else 0,
                         (32 if dim == 128 and n <= 100_000 else 16) if index == "hnsw" else 0,
                         _queries(index, dim, lists, top), kind))
    return out


def quick_design() -> list[Build]:
    """A handful of points, a minute of one thread: enough to scale the shipped constants."""
    return [*builds(10_000, 64, ("flat", "ivf", "hnsw")),
            *builds(100_000, 128, ("flat", "ivf", "pq", "ivfpq"), (10,)),
            *builds(30_000, 128, ("hnsw",)), *builds(300_000, 64, ("flat",), (10,)),
            *builds(100_000, 384, ("flat", "ivf"), (10,))]


def full_design() -> list[Build]:
    """Sizes of 10 thousand to 1 million and dimensions of 64 to 768: tens of minutes."""
    every = ("flat", "ivf", "hnsw", "pq", "ivfpq", "sq8")
    out = []
    for n in (10_000, 30_000, 100_000):
        for dim in (64, 128, 384, 768):
            out += builds(n, dim, every if n != 30_000 else every[:3])
    out += builds(100_000, 128, ("ivf", "hnsw"), (10,), "gaussian")
    for n, dim in ((10_000, 64), (10_000, 128), (30_000, 384), (10_000, 768)):
        out += builds(n, dim, ("ivf", "hnsw"), (10,), "gaussian")
    out += _other_batches()
    for dim in (64, 128, 384, 768):
        out += builds(300_000, dim, every[:2] if dim > 64 else every)
    for dim in (64, 128, 384):
        out += builds(1_000_000, dim, every[:2])
    out += builds(1_000_000, 96, ("flat", "ivf", "pq", "ivfpq", "sq8"))
    return [*out, *builds(300_000, 256, ("hnsw",)), *builds(1_000_000, 64, ("hnsw",)),
            *builds(1_000_000, 128, ("hnsw",))]


def _other_batches() -> list[Build]:
    """Batches and probes besides the usual ones, so that no term rests on one setting."""
    out = []
    for n, dim in ((10_000, 128), (100_000, 64), (100_000, 384), (30_000, 768)):
        out.append(Build("flat", n, dim, queries=tuple(
            Query(top_k=10, batch=b) for b in (8, 32, 500))))
    for n, dim, nlist in ((10_000, 384, 100), (100_000, 128, 1024), (300_000, 64, 256)):
        out.append(Build("ivf", n, dim, nlist, queries=tuple(
            Query(top_k=10, batch=b, nprobe=p) for b, p in ((1, 8), (1, 32), (32, 16), (500, 8)))))
    for n, dim, links in ((30_000, 64, 8), (30_000, 256, 32), (100_000, 96, 48)):
        out.append(Build("hnsw", n, dim, hnsw_m=links, queries=tuple(
            Query(top_k=k, batch=b, ef=e) for k, b, e in ((10, 1, 40), (100, 1, 128),
                                                          (10, 500, 100)))))
    return out
