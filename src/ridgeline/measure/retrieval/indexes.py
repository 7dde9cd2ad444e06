"""Builds real faiss indexes and times their queries on one thread."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ridgeline.errors import MissingExtra
from ridgeline.measure.retrieval.data import vectors

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["Build", "Query", "empty_index", "measure_build"]

_REPEATS = 3
# Queries are drawn until a timing takes this long, so that the clock's grain does not matter.
_LEAST_SECONDS = 0.02
_MOST_QUERIES = 2000


@dataclass(frozen=True)
class Query:
    """How an index is asked: results wanted, queries in one call, lists probed, beam width."""

    top_k: int = 10
    batch: int = 1
    nprobe: int = 0
    ef: int = 0


@dataclass(frozen=True)
class Build:
    """An index to build and the queries to time on it.

    Attributes:
        index: flat, sq8, ivf, hnsw, pq or ivfpq.
        n, dim: vectors and numbers of each.
        nlist: inverted lists.
        segments: PQ segments of one byte.
        hnsw_m: links of a node.
        queries: what to ask.
        kind: data, "clustered" or "gaussian".
    """

    index: str
    n: int
    dim: int
    nlist: int = 0
    segments: int = 0
    hnsw_m: int = 0
    queries: tuple[Query, ...] = ()
    kind: str = "clustered"


def library() -> Any:
    """The faiss module on one thread.

    Raises:
        MissingExtra: faiss is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise MissingExtra.needed("measuring vector indexes", "retrieval") from error
    faiss.omp_set_num_threads(1)
    return faiss


def measure_build(build: Build, stored: Array | None = None) -> Iterator[dict[str, Any]]:
    """Build an index and yield one row for each way it is asked.

    Args:
        build: index and queries.
        stored: the vectors, when the caller has them already.

    Raises:
        MissingExtra: faiss is not installed.
    """
    import numpy as np

    faiss = library()
    if stored is None:
        stored = vectors(build.n, build.dim, kind=build.kind)
    asked = vectors(_MOST_QUERIES, build.dim, kind=build.kind, sample=1)
    index = empty_index(faiss, build)
    begin = time.thread_time()
    if not index.is_trained:
        index.train(stored)
    trained = time.thread_time()
    index.add(stored)
    built = time.thread_time()
    truth = _truth(faiss, stored, asked[:100])
    for query in build.queries:
        seconds, visited = _time(faiss, index, build, query, asked)
        _, found = index.search(asked[:100], 10)
        hits = [len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True)]
        yield {"index": build.index, "data": build.kind, "n": build.n, "dim": build.dim,
               "nlist": build.nlist, "nprobe": query.nprobe, "segments": build.segments,
               "hnsw_m": build.hnsw_m, "ef": query.ef, "top_k": query.top_k,
               "batch": query.batch, "query_s": seconds, "visited": visited,
               "recall_at_10": float(np.mean(hits)) / 10, "train_s": trained - begin,
               "add_s": built - trained}


def empty_index(faiss: Any, build: Build) -> Any:
    """An untrained index of the kind asked for."""
    n_dim = build.dim
    if build.index == "flat":
        return faiss.IndexFlatL2(n_dim)
    if build.index == "sq8":
        return faiss.IndexScalarQuantizer(n_dim, faiss.ScalarQuantizer.QT_8bit)
    if build.index == "hnsw":
        return faiss.IndexHNSWFlat(n_dim, build.hnsw_m)
    if build.index == "pq":
        return faiss.IndexPQ(n_dim, build.segments, 8)
    coarse = faiss.IndexFlatL2(n_dim)
    if build.index == "ivf":
        return faiss.IndexIVFFlat(coarse, n_dim, build.nlist)
    return faiss.IndexIVFPQ(coarse, n_dim, build.nlist, build.segments, 8)


def _truth(faiss: Any, stored: Array, asked: Array) -> Array:
    exact = faiss.IndexFlatL2(stored.shape[1])
    exact.add(stored)
    found: Array = exact.search(asked, 10)[1]
    return found


def _set(faiss: Any, index: Any, build: Build, query: Query) -> None:
    if query.nprobe:
        index.nprobe = query.nprobe
    if query.ef:
        index.hnsw.efSearch = query.ef


def _time(faiss: Any, index: Any, build: Build, query: Query, asked: Array) -> tuple[float, float]:
    """Least seconds a query over repeats, each with queries of its own, and vectors visited."""
    _set(faiss, index, build, query)
    first = _once(index, asked[-query.batch:], query)
    calls = max(1, min(math.ceil(_LEAST_SECONDS / first), len(asked) // query.batch // _REPEATS))
    best, asked_in_all = math.inf, 0
    faiss.cvar.indexIVF_stats.reset()
    faiss.cvar.hnsw_stats.reset()
    for repeat in range(_REPEATS):
        spent = 0.0
        for call in range(calls):
            at = (repeat * calls + call) * query.batch % len(asked)
            spent += _once(index, asked[at:at + query.batch], query)
        asked_in_all += calls * query.batch
        best = min(best, spent / calls / query.batch)
    return best, _visited(faiss, build, asked_in_all)


def _once(index: Any, queries: Array, query: Query) -> float:
    # Thread time: what other processes take from this core is not the index's.
    begin = time.thread_time()
    index.search(queries, query.top_k)
    return max(time.thread_time() - begin, 1e-7)


def _visited(faiss: Any, build: Build, n_queries: int) -> float:
    """Vectors compared with a query, as the library counts them."""
    if build.index in ("ivf", "ivfpq"):
        return float(faiss.cvar.indexIVF_stats.ndis) / n_queries
    if build.index == "hnsw":
        return float(faiss.cvar.hnsw_stats.ndis) / n_queries
    return float(build.n)
