"""An index to search: kind, sizes and settings, with everything checked."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from ridgeline.errors import BadInput, UnknownName
from ridgeline.retrieval import sizes

__all__ = ["COMPRESSIONS", "DATA", "KINDS", "IndexPlan", "index_plan"]

KINDS = ("flat", "ivf", "hnsw", "pq", "ivfpq")
# Bytes of one stored number. faiss names them Flat, SQfp16, SQ8 and binary indexes.
COMPRESSIONS = {"fp32": 4.0, "fp16": 2.0, "int8": 1.0, "binary": 0.125}
DATA = ("clustered", "random")
_MOST_VECTORS, _MOST_DIM = 1e13, 100_000


@dataclass(frozen=True)
class IndexPlan:
    """One index and how it is asked.

    Attributes:
        kind: one of KINDS.
        n: vectors.
        dim: numbers of a vector.
        compression: one of COMPRESSIONS, for kinds that store vectors.
        nlist, nprobe: inverted lists, and how many a query probes; 0 where there are none.
        segments: codes of a product-quantised vector; 0 where there are none.
        hnsw_m, ef: links of a node and candidates kept; 0 where there is no graph.
        top_k: results of a query.
        batch: queries searched together.
        data: "clustered" as embeddings are, or "random" without structure.
    """

    kind: str
    n: int
    dim: int
    compression: str = "fp32"
    nlist: int = 0
    nprobe: int = 0
    segments: int = 0
    hnsw_m: int = 0
    ef: int = 0
    top_k: int = 10
    batch: int = 1
    data: str = "clustered"

    @property
    def vector_bytes(self) -> float:
        """Bytes of one stored vector or code."""
        if self.segments:
            return float(self.segments)
        return self.dim * COMPRESSIONS[self.compression]

    @property
    def memory(self) -> float:
        """Bytes of the whole index."""
        if self.kind == "hnsw":
            return float(sizes.hnsw_index_bytes(
                n_vectors=float(self.n), vector_bytes=self.vector_bytes,
                hnsw_links=float(self.hnsw_m)))
        codebooks = 256.0 * self.dim * 4 if self.segments else 0.0
        if self.nlist:
            return codebooks + float(sizes.ivf_index_bytes(
                n_vectors=float(self.n), vector_bytes=self.vector_bytes, nlist=float(self.nlist),
                dim=float(self.dim)))
        return codebooks + self.n * self.vector_bytes


def index_plan(kind: str, n: float, dim: float, *, compression: str = "fp32",
               nlist: int | None = None, nprobe: int | None = None, segments: int | None = None,
               hnsw_m: int | None = None, ef: int | None = None, top_k: int = 10,
               batch: int = 1, data: str = "clustered") -> IndexPlan:
    """Check an index and fill in the usual settings.

    Left open: nlist is the power of two nearest 4 sqrt(n); nprobe a 64th of the lists; one code
    for 8 numbers (7.1: 32 times smaller); 16 links; ef twice the results, at least 64.

    Raises:
        BadInput: sizes that no index can have, settings of another kind of index, or more
            results, lists or segments than there is to choose from.
    """
    if kind not in KINDS:
        raise UnknownName.among("index", kind, KINDS, "There are: " + ", ".join(KINDS))
    if compression not in COMPRESSIONS:
        raise UnknownName.among("compression", compression, COMPRESSIONS,
                                "There are: " + ", ".join(COMPRESSIONS))
    if data not in DATA:
        raise UnknownName.among("data", data, DATA, "There are: " + ", ".join(DATA))
    n_whole = _whole("docs", n, _MOST_VECTORS)
    plan = IndexPlan(kind, n_whole, _whole("dim", dim, _MOST_DIM), compression,
                     top_k=_whole("top-k", top_k, 1e9), batch=_whole("batch", batch, 1e6),
                     data=data)
    _settings_fit_kind(kind, compression, nlist=nlist, nprobe=nprobe, segments=segments,
                       hnsw_m=hnsw_m, ef=ef)
    if plan.top_k > plan.n:
        raise BadInput(f"top-k {plan.top_k:,} is more than the {plan.n:,} docs there are")
    if kind in ("ivf", "ivfpq"):
        plan = _with_lists(plan, nlist, nprobe)
    if kind in ("pq", "ivfpq"):
        plan = _with_segments(plan, segments)
    return _with_graph(plan, hnsw_m, ef) if kind == "hnsw" else plan


def _whole(name: str, value: float, most: float) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadInput(f"{name} must be a whole number from 1, not {value!r}")
    if value != int(value) or not 1 <= value <= most:
        raise BadInput(f"{name} must be a whole number from 1 to {most:,.0f}, not {value:g}")
    return int(value)


def _settings_fit_kind(kind: str, compression: str, **settings: int | None) -> None:
    """Refuse settings that the kind of index does not have."""
    has = {"nlist": ("ivf", "ivfpq"), "nprobe": ("ivf", "ivfpq"), "segments": ("pq", "ivfpq"),
           "hnsw_m": ("hnsw",), "ef": ("hnsw",)}
    for name, value in settings.items():
        if value is not None and kind not in has[name]:
            raise BadInput(f"{name.replace('_', '-')} is a setting of {' and '.join(has[name])} "
                           f"indexes, not of {kind}")
    if compression != "fp32" and kind in ("pq", "ivfpq"):
        raise BadInput(f"{kind} stores codes, not {compression} numbers; leave compression out")
    if compression == "binary" and kind != "flat":
        raise BadInput(f"binary vectors are searched by a flat index here, not by {kind}")


def _with_lists(plan: IndexPlan, nlist: int | None, nprobe: int | None) -> IndexPlan:
    usual = 2 ** round(math.log2(4 * math.sqrt(plan.n)))
    lists = min(plan.n, usual) if nlist is None else _whole("nlist", nlist, 1e9)
    if lists > plan.n:
        raise BadInput(f"nlist {lists:,} is more than the {plan.n:,} docs to put in the lists")
    probe = max(1, lists // 64) if nprobe is None else _whole("nprobe", nprobe, 1e9)
    if probe > lists:
        raise BadInput(f"nprobe {probe:,} is more than the {lists:,} lists there are")
    return dataclasses.replace(plan, nlist=lists, nprobe=probe)


def _with_segments(plan: IndexPlan, segments: int | None) -> IndexPlan:
    if segments is None:
        segments = max((s for s in range(1, plan.dim // 8 + 1) if plan.dim % s == 0), default=1)
    segments = _whole("segments", segments, _MOST_DIM)
    if plan.dim % segments:
        near = sorted((s for s in range(1, plan.dim + 1) if plan.dim % s == 0),
                      key=lambda s: abs(s - segments))[:3]
        raise BadInput(f"dim {plan.dim} is not divisible by {segments} PQ segments; nearest that "
                       "divide it: " + ", ".join(map(str, sorted(near))))
    return dataclasses.replace(plan, segments=segments)


def _with_graph(plan: IndexPlan, hnsw_m: int | None, ef: int | None) -> IndexPlan:
    links = 16 if hnsw_m is None else _whole("hnsw-m", hnsw_m, 1024)
    if links < 2:
        raise BadInput("hnsw-m must be 2 or more links, not 1")
    beam = max(64, 2 * plan.top_k) if ef is None else _whole("ef", ef, 1e7)
    if beam < plan.top_k:
        raise BadInput(f"ef {beam} keeps fewer candidates than the top-k {plan.top_k} asked for")
    return dataclasses.replace(plan, hnsw_m=links, ef=min(beam, max(plan.n, 1)))
