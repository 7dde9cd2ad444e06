"""The retrieval question: a whole request adds up, rates are served, bad input is one line."""

import itertools
import json
import math

import pytest

from ridgeline import retrieve as from_python
from ridgeline.errors import BadInput, Infeasible
from ridgeline.questions.answer import Answer
from ridgeline.questions.retrieve import RetrieveAsk, plan_of, retrieve
from ridgeline.questions.retrieve_tables import retrieve_figure
from ridgeline.report.plot import render_svg

WHOLE = RetrieveAsk(docs=1e6, index="hnsw", top_k=50, embedder="bge-large",
                    reranker="bge-reranker-v2-m3", model="Llama-3.1-8B", machine="H100-SXM",
                    queries=5.0)


@pytest.fixture(scope="module")
def whole() -> Answer:
    return retrieve(WHOLE)


def table(answer, name):
    return next(t for t in answer.tables if t.name == name)


def test_a_whole_request_adds_up(whole):
    rows = table(whole, "stages").rows
    assert [r[0] for r in rows] == ["embed", "search", "rerank", "prefill", "decode"]
    assert sum(r[1].value for r in rows) == pytest.approx(whole.value("total_s"))
    assert sum(r[2] for r in rows) == pytest.approx(1)
    longest = max(rows, key=lambda r: r[1].value)
    assert str(whole["bound"]).startswith(f"{longest[0]} dominates")
    assert whole.value("ttft_s") == pytest.approx(sum(r[1].value for r in rows[:-1]))
    assert sum(r[3] for r in rows) == pytest.approx(whole.value("request_flop"))
    found = whole["total_s"]
    assert found.low < found.value < found.high


def test_the_model_part_is_that_of_estimate(whole):
    from ridgeline import estimate

    in_flight = int(whole.value("requests_in_flight"))
    same = estimate("Llama-3.1-8B", "H100-SXM", prompt=32 + 5 * 512, output=256,
                    concurrency=in_flight)
    assert same.value("ttft_s") == pytest.approx(
        next(r[1].value for r in table(whole, "stages").rows if r[0] == "prefill"))
    assert whole.value("requests_per_s") == pytest.approx(in_flight / same.value("e2e_s"))


def test_encoders_are_those_of_estimate(whole):
    from ridgeline import estimate

    same = estimate("bge-reranker-v2-m3", "H100-SXM", tp=1, weights="bf16", prompt=512, output=0,
                    concurrency=50)
    assert whole.value("rerank_s") == pytest.approx(same.value("ttft_s"))


def test_money_and_energy_follow_the_rate(whole):
    dear = retrieve(RetrieveAsk(**{**vars(WHOLE), "usd_per_chip_hour": 36.0}))
    rate = 5.0 / dear.value("machines_needed")    # of one machine
    assert rate <= dear.value("requests_per_s")
    assert dear.value("usd_per_1000_requests") == pytest.approx(1000 * 36 / 3600 / rate)
    assert whole.value("joules_per_request") == pytest.approx(700 / rate)


def test_more_load_than_a_machine_serves_needs_more_of_them():
    answer = retrieve(RetrieveAsk(**{**vars(WHOLE), "queries": 500.0, "reranker": None,
                                     "embedder": None, "dim": 64}))
    need, rate = answer.value("machines_needed"), answer.value("requests_per_s")
    assert need == math.ceil(500 / rate) > 1
    assert any("need" in note for note in answer.notes)


def test_longer_prompts_instead(whole):
    rows = table(whole, "long_context").rows
    answered = [r for r in rows if r[2] is not None]
    assert [r[0] for r in answered] == sorted(r[0] for r in answered) and len(answered) >= 2
    assert all(a[2] < b[2] and a[4] < b[4] for a, b in itertools.pairwise(answered))
    assert rows[-1][-1] in ("longer than the model reads", "does not fit in memory")


def test_search_alone_scales_with_threads():
    one, four = (retrieve(RetrieveAsk(docs=1e6, dim=768, index="ivf", threads=t, queries=500.0))
                 for t in (1, 4))
    assert four.value("searches_per_s") == pytest.approx(4 * one.value("searches_per_s"))
    need = one.value("search_threads_needed")
    assert need == math.ceil(500 * one.value("search_s"))


def test_a_named_cpu_is_fed_by_its_memory():
    few, many = (retrieve(RetrieveAsk(docs=1e7, dim=768, search_on="EPYC-9554", threads=t))
                 for t in (2, 64))
    alone = retrieve(RetrieveAsk(docs=1e7, dim=768))
    assert few.value("searches_per_s") == pytest.approx(2 * alone.value("searches_per_s"))
    assert many.value("searches_per_s") == pytest.approx(4.608e11 / 30.72e9, rel=0.01)
    with pytest.raises(BadInput, match="more than the 64 cores"):
        retrieve(RetrieveAsk(docs=1e7, dim=768, search_on="EPYC-9554", threads=65))
    with pytest.raises(BadInput, match="threads are of a CPU"):
        retrieve(RetrieveAsk(docs=1e6, dim=768, search_on="H100-SXM", threads=2))


def test_compression_trades_bytes_for_recall():
    rows = {r[0]: r for r in table(retrieve(RetrieveAsk(docs=1e6, dim=768)), "compression").rows}
    assert rows["int8"][2] == pytest.approx(4) and rows["PQ96"][2] == pytest.approx(32)
    assert rows["fp32"][4].value == 1 > rows["int8"][4].value > rows["PQ96"][4].value
    assert rows["binary"][3] is None    # never measured, so no time is stated


def test_stated_recall_is_kept():
    answer = retrieve(RetrieveAsk(docs=1e6, dim=64, index="ivf", recall=0.93))
    assert answer.value("recall_at_10") == 0.93 and answer["recall_at_10"].basis == "assumed"


def test_a_gpu_search_is_its_roofline():
    alone, many = (retrieve(RetrieveAsk(docs=1e7, dim=768, search_on="H100-SXM", batch=b))
                   for b in (1, 4096))
    assert alone["search_s"].low == pytest.approx(30.72e9 / 3.35e12, rel=1e-3)
    assert many.value("searches_per_s") > 20 * alone.value("searches_per_s")
    two = retrieve(RetrieveAsk(docs=1e7, dim=768, search_on="2xH100-SXM"))
    assert two["search_s"].low == pytest.approx(alone["search_s"].low / 2)


def test_an_index_that_does_not_fit_says_by_how_much():
    with pytest.raises(Infeasible, match=r"3\.07 TB does not fit"):
        retrieve(RetrieveAsk(docs=1e9, dim=768, search_on="H100-SXM"))


@pytest.mark.parametrize(("fields", "match"), [
    ({}, "number of docs"), ({"docs": "abc", "dim": 8}, "cannot read 'abc'"),
    ({"docs": 10, "dim": 8, "queries": "-5/s"}, "queries must be"),
    ({"docs": 10, "dim": 8, "queries": "5 GB"}, "expected a quantity"),
    ({"docs": 10, "dim": 8, "threads": 0}, "threads must be"),
    ({"docs": 10, "dim": 8, "threads": 1.5}, "whole number"),
    ({"docs": 10, "dim": 8, "recall": 1.5}, "at most 1"),
    ({"docs": 10, "dim": True}, "must be a number"), ({"docs": 10, "dim": 8, "index": 3}, "text"),
    ({"docs": 10}, "give --dim"), ({"docs": 10, "dim": 8, "foo": 1}, "unknown retrieve option"),
    ({"docs": 10, "dim": 8, "model": "Llama-3.1-8B"}, "needs a machine"),
    ({"docs": 10, "dim": 8, "rerank": 3}, "name it: --reranker"),
    ({"docs": 100, "dim": 8, "rerank": 30, "reranker": "bge-reranker-v2-m3"}, "more than the top"),
    ({"docs": 100, "embedder": "bge-large", "dim": 2048}, "1024 numbers"),
    ({"docs": 100, "embedder": "nope"}, "unknown model"),
    ({"docs": 100, "dim": 8, "search_on": "nope"}, "unknown chip"),
    ({"docs": 100, "dim": 8, "index": "hnsw", "search_on": "H100-SXM"}, "on a CPU"),
    ({"docs": 100, "embedder": "bge-large", "query_tokens": 600}, "at most 512"),
    ({"docs": 100, "dim": 8, "passages": 50, "model": "Llama-3.1-8B", "machine": "H100-SXM"},
     "50 passages"),
    ({"docs": 100, "dim": 8, "model": "bge-large-en", "machine": "H100-SXM", "passages": 1,
      "doc_tokens": 100}, "is an encoder")])
def test_bad_input_is_one_line(fields, match):
    with pytest.raises(BadInput, match=match) as error:
        retrieve(RetrieveAsk.from_fields(fields))
    assert "\n" not in str(error.value)


def test_json_and_python_surface():
    answer = from_python("10M", dim=768, index="ivf", queries="50/s")
    text = json.dumps(answer.to_dict(), allow_nan=False)
    assert {"index_bytes", "search_s", "recall_at_10", "build_s"} <= set(
        json.loads(text)["answer"])
    assert answer.derivation and all(d.render() for d in answer.derivation)


def test_figures(whole):
    assert "<svg" in render_svg(retrieve_figure(whole))
    alone = RetrieveAsk(docs=1e6, dim=64)
    grown = retrieve_figure(retrieve(alone), plan_of(alone))
    assert len(grown.series) == 5 and "<svg" in render_svg(grown)
