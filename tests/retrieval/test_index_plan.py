"""Indexes: usual settings, sizes against faiss' own, refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import BadInput, UnknownName
from ridgeline.retrieval.index_plan import KINDS, index_plan


@given(st.sampled_from(KINDS), st.integers(1, 10**9), st.integers(1, 4096))
def test_usual_settings_are_possible(kind, n, dim):
    plan = index_plan(kind, n, dim, top_k=min(10, n))
    assert plan.memory > 0 and plan.nlist <= n and plan.nprobe <= max(1, plan.nlist)
    assert not plan.segments or dim % plan.segments == 0
    assert bool(plan.nlist) == (kind in ("ivf", "ivfpq"))
    assert bool(plan.ef) == (kind == "hnsw")


@pytest.mark.parametrize(("kind", "n", "dim", "settings", "match"), [
    ("flat", 0, 8, {}, "docs must be"), ("flat", -5, 8, {}, "docs must be"),
    ("flat", float("nan"), 8, {}, "docs must be"), ("flat", float("inf"), 8, {}, "docs must be"),
    ("flat", 2.5, 8, {}, "docs must be"), ("flat", 10, 0, {}, "dim must be"),
    ("flat", 10, 8, {"top_k": 11}, "top-k 11 is more than the 10 docs"),
    ("flat", 10, 8, {"nlist": 2}, "nlist is a setting of ivf"),
    ("flat", 10, 8, {"batch": 0}, "batch must be"),
    ("ivf", 1000, 8, {"nlist": 1001}, "nlist 1,001 is more than the 1,000 docs"),
    ("ivf", 1000, 8, {"nlist": 10, "nprobe": 11}, "nprobe 11 is more than the 10 lists"),
    ("ivf", 1000, 8, {"nprobe": -1}, "nprobe must be"),
    ("ivf", 1000, 8, {"compression": "binary"}, "flat index"),
    ("pq", 1000, 768, {"segments": 100}, "not divisible by 100 PQ segments; nearest .*: 64, 96"),
    ("pq", 1000, 8, {"compression": "int8"}, "stores codes"),
    ("ivfpq", 1000, 30, {"segments": 7}, "not divisible"),
    ("hnsw", 1000, 8, {"ef": 5}, "ef 5 keeps fewer"), ("hnsw", 1000, 8, {"hnsw_m": 1}, "hnsw-m"),
    ("flat", 10, 8, {"data": "odd"}, "unknown data")])
def test_impossible_indexes(kind, n, dim, settings, match):
    with pytest.raises(BadInput, match=match):
        index_plan(kind, n, dim, **settings)


def test_unknown_names_give_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'ivf'"):
        index_plan("ivff", 1000, 8)
    with pytest.raises(UnknownName, match="fp16"):
        index_plan("flat", 1000, 8, compression="fp17")


@pytest.mark.parametrize(("kind", "settings"), [
    ("flat", {}), ("ivf", {"nlist": 32}), ("pq", {"segments": 8}),
    ("ivfpq", {"nlist": 32, "segments": 8}), ("hnsw", {"hnsw_m": 16})])
def test_memory_is_that_of_the_file_faiss_writes(kind, settings):
    faiss = pytest.importorskip("faiss")
    from ridgeline.measure.retrieval.data import vectors
    from ridgeline.measure.retrieval.indexes import Build, empty_index

    n, dim = 3000, 32
    x = vectors(n, dim)
    index = empty_index(faiss, Build(kind, n, dim, settings.get("nlist", 0),
                                     settings.get("segments", 0), settings.get("hnsw_m", 0)))
    index.train(x)
    index.add(x)
    written = len(faiss.serialize_index(index))
    assert index_plan(kind, n, dim, **settings).memory == pytest.approx(written, rel=0.05)
