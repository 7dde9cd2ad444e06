"""Search times on the measured CPU: laws they keep, constants they come from."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.errors import BadInput
from ridgeline.retrieval import cpu_time
from ridgeline.retrieval.build_time import build_flop, build_seconds
from ridgeline.retrieval.cpu_time import (
    counts,
    read_constants,
    search_time,
    shipped_constants,
    visited,
)
from ridgeline.retrieval.index_plan import KINDS, index_plan
from ridgeline.retrieval.recall import expected_recall

C = shipped_constants()


def test_every_constant_is_a_time():
    assert set(C.seconds) == {"flat", "flat_batched", "sq8", "ivf", "hnsw", "pq", "ivfpq"}
    for terms in (*C.seconds.values(), *C.builds.values(), C.encoder):
        assert all(0 <= v < 1e-3 for v in terms.values()) and any(terms.values())
    assert C.source and C.imbalance >= 1


def test_physical_sizes():
    """Fitted constants are those of a core: bandwidths and rates that one thread can have."""
    flat = C.seconds["flat"]
    from_memory = 1 / (flat["bytes"] + flat["missed_bytes"])
    assert 5e9 < from_memory < 1 / flat["bytes"] < 400e9
    assert 1e10 < 1 / C.encoder["flop"] < 3e11


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.integers(10_000, 10**8), st.sampled_from([64, 128, 384, 768]),
       st.sampled_from([1, 10, 100]))
def test_larger_indexes_take_longer(kind, n, dim, top_k):
    small = index_plan(kind, n, dim, top_k=top_k)
    large = dataclasses.replace(small, n=2 * n)
    if kind != "hnsw":
        assert search_time(large, C).seconds > search_time(small, C).seconds
    wide = dataclasses.replace(small, dim=2 * dim)
    assert search_time(wide, C).seconds > search_time(small, C).seconds
    found = search_time(small, C)
    assert found.low <= found.seconds <= found.high
    assert sum(found.terms.values()) == pytest.approx(found.seconds)


@pytest.mark.parametrize(("kind", "effort"), [("ivf", "nprobe"), ("hnsw", "ef"),
                                              ("ivfpq", "nprobe")])
def test_effort_costs_time(kind, effort):
    plan = index_plan(kind, 10**6, 128)
    more = dataclasses.replace(plan, **{effort: 4 * getattr(plan, effort)})
    assert search_time(more, C).seconds > 1.5 * search_time(plan, C).seconds


def test_a_matrix_product_shares_the_read():
    alone = index_plan("flat", 10**6, 768)
    together = index_plan("flat", 10**6, 768, batch=1000)
    assert cpu_time.family(alone) == "flat" and cpu_time.family(together) == "flat_batched"
    assert search_time(together, C).seconds < search_time(alone, C).seconds / 2


def test_probing_every_list_visits_everything_once():
    plan = index_plan("ivf", 10**6, 64, nlist=1000, nprobe=1000)
    assert visited(plan, C) == pytest.approx(10**6)
    one = index_plan("ivf", 10**6, 64, nlist=1000, nprobe=1)
    assert 1000 <= visited(one, C) <= 2000


def test_counted_vectors_replace_the_law():
    plan = index_plan("hnsw", 10**6, 128)
    assert search_time(plan, C, seen=5000).seconds > search_time(plan, C, seen=500).seconds
    assert counts(plan, C, seen=500)["vectors"] == 500


def test_random_data_are_harder_for_a_graph():
    plan = index_plan("hnsw", 10**5, 128)
    assert visited(dataclasses.replace(plan, data="random"), C) > 1.3 * visited(plan, C)


def test_graph_searches_never_visit_more_than_there_is():
    plan = index_plan("hnsw", 100, 128, ef=100)
    assert visited(plan, C) <= 100


def test_builds_grow():
    for kind in KINDS:
        small, large = (index_plan(kind, n, 128) for n in (10**5, 10**6))
        assert build_seconds(large, C) > build_seconds(small, C)
        assert build_flop(large, C) >= build_flop(small, C)


def test_recall_is_measured_or_not_stated():
    assert expected_recall(index_plan("flat", 10**6, 128), C).value == 1
    low, high = (expected_recall(index_plan("hnsw", 10**5, 128, ef=e), C) for e in (16, 256))
    assert 0 < low.value < high.value <= 1 and low.basis == "measured"
    assert low.low <= low.value <= low.high
    assert expected_recall(index_plan("flat", 10**6, 128, compression="binary"), C) is None
    assert expected_recall(index_plan("ivf", 10**12, 128, nlist=10**6, nprobe=10**6), C) is None


def test_own_constants(tmp_path, monkeypatch):
    from ridgeline.measure.retrieval.constants import write_constants

    path = tmp_path / "mine.json"
    slow = {f: {t: 10 * s for t, s in v.items()} for f, v in C.seconds.items()}
    write_constants(dataclasses.replace(C, seconds=slow, cpu="slow one"), path)
    plan = index_plan("ivf", 10**6, 128)
    before = search_time(plan, shipped_constants()).seconds
    monkeypatch.setenv("RIDGELINE_RETRIEVAL", str(path))
    assert shipped_constants().cpu == "slow one"
    assert search_time(plan, shipped_constants()).seconds == pytest.approx(10 * before, rel=1e-3)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", json.dumps({"cpu": "x"})])
def test_wrong_constants_are_refused(tmp_path, text):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(BadInput):
        read_constants(path)
    with pytest.raises(BadInput, match="cannot read"):
        read_constants(tmp_path / "none.json")
