"""Worked values of retrieval: sizes, searches, encoders."""

import pytest

from ridgeline.catalog import load_chip
from ridgeline.questions.retrieve import RetrieveAsk, retrieve
from ridgeline.retrieval import search_work, sizes
from ridgeline.timing.bounds import roofline_time
from ridgeline.training.run_plan import run_seconds

H100 = load_chip("H100-SXM")
N, D = 10e6, 768.0


def at_forty_percent(flop):
    return run_seconds(flop=flop, n_chips=1, peak_flops_per_s=H100.peak("bf16"), mfu=0.4)


def test_embedding_a_million_documents():
    flop = search_work.encoder_flop(active_params=110e6, n_texts=1e6, tokens_per_text=512)
    assert flop == pytest.approx(1.126e17, rel=5e-3)
    assert at_forty_percent(flop) == pytest.approx(285, rel=5e-3)


def test_reranking_a_hundred_passages():
    flop = search_work.encoder_flop(active_params=568e6, n_texts=100, tokens_per_text=512)
    assert flop == pytest.approx(5.82e13, rel=5e-3)
    assert at_forty_percent(flop) == pytest.approx(0.147, rel=5e-3)
    # Linear in k.
    assert search_work.encoder_flop(active_params=568e6, n_texts=200,
                                    tokens_per_text=512) == pytest.approx(2 * flop)


def test_flat_search():
    size = sizes.flat_index_bytes(n_vectors=N, dim=D, bytes_per_value=4)
    flop = search_work.flat_search_flop(n_queries=1, n_vectors=N, dim=D)
    assert size == pytest.approx(30.72e9) and flop == pytest.approx(15.4e9, rel=5e-3)
    fastest = roofline_time(t_math=flop / H100.peak("fp32"),
                            t_memory=size / H100.memory_bandwidth)
    assert fastest == pytest.approx(9.17e-3, rel=5e-3)
    assert size / 200e9 == pytest.approx(153.6e-3, rel=5e-3)


def test_inverted_lists():
    seen = search_work.ivf_visited(n_vectors=N, nlist=4096, nprobe=32)
    assert seen == 78_125 and seen / N == pytest.approx(0.0078, rel=5e-3)
    assert seen * D * 4 == pytest.approx(240e6, rel=5e-3)


def test_compression():
    assert sizes.flat_index_bytes(n_vectors=N, dim=D, bytes_per_value=1) == pytest.approx(7.68e9)
    assert sizes.code_bytes(n_vectors=N, segments=96) == pytest.approx(0.96e9)
    assert sizes.compression_ratio(dim=D, bytes_per_value=4, segments=96) == 32


def test_the_question_gives_the_worked_values():
    answer = retrieve(RetrieveAsk(docs=1e6, dim=768, embedder="bge-reranker-v2-m3",
                                  reranker="bge-reranker-v2-m3", top_k=100, search_on="H100-SXM",
                                  encoder_on="H100-SXM", encoder_mfu=0.4))
    assert answer.value("rerank_s") == pytest.approx(0.147, rel=5e-3)
    flat = retrieve(RetrieveAsk(docs=N, dim=768, search_on="H100-SXM"))
    assert flat.value("index_bytes") == pytest.approx(30.72e9)
    search = flat["search_s"]
    assert search.low == pytest.approx(9.17e-3, rel=5e-3) and search.value >= search.low
    ivf = retrieve(RetrieveAsk(docs=N, dim=768, index="ivf", nlist=4096, nprobe=32))
    # The question adds what equal lists leave out: queries fall into the larger ones.
    assert 1 <= ivf.value("vectors_compared") / 78_125 < 1.5
    stored = {row[0]: row[1] for t in flat.tables if t.name == "compression" for row in t.rows}
    assert stored["int8"] == pytest.approx(7.68e9) and stored["PQ96"] == pytest.approx(0.96e9)
    assert stored["binary"] == pytest.approx(0.96e9)
