"""Real indexes and a real encoder, small: rows, constants, and what is done with them."""

import csv
import dataclasses
import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from ridgeline.cli.measure_retrieval import retrieval
from ridgeline.errors import BadInput, MissingExtra
from ridgeline.measure.retrieval import run
from ridgeline.measure.retrieval.constants import cache_bytes, cpu_name, fit_constants, rescaled
from ridgeline.measure.retrieval.data import vectors
from ridgeline.measure.retrieval.design import full_design, quick_design
from ridgeline.measure.retrieval.encoder import (
    EncoderShape,
    load_encoder,
    measure_encoder,
    random_encoder,
)
from ridgeline.measure.retrieval.fit import fit_distances, nonnegative, plan_of
from ridgeline.measure.retrieval.indexes import Build, Query, measure_build
from ridgeline.measure.validate.run import validate_files
from ridgeline.retrieval.cpu_time import search_time, shipped_constants

TINY = EncoderShape(2, 32, 4, 64, vocab=50, positions=16)


def row(build, query, seconds, seen):
    return {"index": build.index, "data": build.kind, "n": build.n, "dim": build.dim,
            "nlist": build.nlist, "nprobe": query.nprobe, "segments": build.segments,
            "hnsw_m": build.hnsw_m, "ef": query.ef, "top_k": query.top_k, "batch": query.batch,
            "query_s": seconds, "visited": seen, "recall_at_10": 0.9, "train_s": 0.1,
            "add_s": 0.2}


def test_vectors_are_unit_and_seeded():
    x = vectors(500, 24)
    assert np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)
    assert np.array_equal(x, vectors(500, 24))
    assert not np.array_equal(x, vectors(500, 24, sample=1))
    near = np.sort(x @ x.T, axis=1)[:, -2].mean()
    apart = vectors(500, 24, kind="gaussian")
    assert near > np.sort(apart @ apart.T, axis=1)[:, -2].mean()


@pytest.mark.parametrize("build", [
    Build("flat", 3000, 16, queries=(Query(),)),
    Build("ivf", 3000, 16, nlist=16, queries=(Query(nprobe=16), Query(nprobe=1))),
    Build("hnsw", 1500, 16, hnsw_m=8, queries=(Query(ef=200), Query(ef=10)))],
    ids=lambda b: b.index)
def test_real_indexes_count_what_they_visit(build):
    pytest.importorskip("faiss")
    rows = list(measure_build(build))
    assert all(r["query_s"] > 0 and r["add_s"] > 0 for r in rows)
    assert rows[0]["recall_at_10"] > 0.95
    if build.index != "hnsw":
        assert rows[0]["visited"] == pytest.approx(build.n)
    if len(rows) > 1:
        assert rows[1]["visited"] < rows[0]["visited"]
        assert rows[1]["recall_at_10"] <= rows[0]["recall_at_10"]


def test_missing_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtra, match="retrieval"):
        list(measure_build(Build("flat", 100, 8, queries=(Query(),))))


def test_fit_finds_the_constants_behind_times():
    draws = np.random.default_rng(0)
    features = [{"a": float(x), "b": float(y)} for x, y in draws.uniform(1, 100, (40, 2))]
    true = {"a": 3e-9, "b": 5e-6}
    seconds = [sum(true[k] * v for k, v in f.items()) for f in features]
    assert nonnegative(features, seconds) == pytest.approx(true, rel=1e-6)
    # Rows that say nothing of a term leave it where it was.
    found = nonnegative([{"a": 10.0}], [6e-8], {"a": 3e-9, "b": 1.0})
    assert found["a"] == pytest.approx(6e-9, rel=0.1)


def test_a_law_of_distances_is_found():
    rows = [row(Build("hnsw", n, 64, hnsw_m=m, kind=kind), Query(ef=e), 1.0,
                2.0 * e**0.7 * m**0.5 * n**0.1 * (1.8 if kind == "gaussian" else 1))
            for n in (10**4, 10**5) for m in (8, 32) for e in (16, 64)
            for kind in ("clustered", "gaussian")]
    law = fit_distances(rows)
    assert (law["ef"], law["links"], law["n"]) == pytest.approx((0.7, 0.5, 0.1))
    with pytest.raises(BadInput):
        fit_distances([])


@pytest.fixture(scope="module")
def slow_rows():
    """Rows of a CPU that takes three times as long as the one shipped."""
    base = shipped_constants()
    rows = []
    for build in quick_design():
        for query in build.queries:
            blank = row(build, query, 1.0, 1.0)
            found = search_time(plan_of(blank), base)
            rows.append(row(build, query, 3 * found.seconds, found.visited))
    return rows


def test_a_few_rows_rescale_everything(slow_rows):
    base = shipped_constants()
    mine = rescaled(base, slow_rows, [], cpu="slow", l3_bytes=base.l3_bytes, source="test")
    ratios = [search_time(plan_of(r), mine, r["visited"]).seconds / r["query_s"]
              for r in slow_rows]
    assert np.median(np.abs(np.array(ratios) - 1)) < 0.1
    other = row(Build("sq8", 10**6, 128), Query(), 1.0, 10**6)
    assert search_time(plan_of(other), mine).seconds == pytest.approx(
        3 * search_time(plan_of(other), base).seconds, rel=0.05)


def test_designs_hold_what_is_promised():
    full = full_design()
    assert {b.n for b in full} >= {10_000, 100_000, 1_000_000} and len({b.dim for b in full}) > 4
    assert {b.index for b in full} == {"flat", "ivf", "hnsw", "pq", "ivfpq", "sq8"}
    assert sum(b.n for b in quick_design()) < 2e6
    for b in full:
        plan_of(row(b, b.queries[0], 1.0, 1.0))
        assert not b.segments or b.dim % b.segments == 0


def test_whole_fit(slow_rows):
    passes = [{"model": "m", **measure_encoder(random_encoder(TINY), texts=t, tokens=8,
                                               repeats=1)} for t in (1, 2)]
    found = fit_constants(slow_rows, passes, cpu="x", l3_bytes=cache_bytes(), source="test")
    assert {"flat", "ivf", "hnsw", "pq"} <= set(found.seconds) and found.encoder
    assert found.recall and all(0 < r["recall"] <= 1 for r in found.recall)
    assert all(low <= high for low, high in found.spread.values()) and cpu_name()


def reference(encoder, tokens):
    """The encoder spelled out text by text and head by head, in double precision."""
    w = {k: v.astype(float) for k, v in encoder.weights.items()}
    shape, out = encoder.shape, []

    def norm(x, at):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return scaled * w[at + ".weight"] + w[at + ".bias"]

    def linear(x, at):
        return x @ w[at + ".weight"].T + w[at + ".bias"]

    from math import erf
    for ids in tokens:
        x = norm(w["embeddings.word_embeddings.weight"][ids]
                 + w["embeddings.position_embeddings.weight"][:len(ids)]
                 + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for layer in range(shape.layers):
            at, head = f"encoder.layer.{layer}.", shape.width // shape.heads
            q, k, v = (linear(x, f"{at}attention.self.{n}") for n in ("query", "key", "value"))
            heads = []
            for h in range(shape.heads):
                part = slice(h * head, (h + 1) * head)
                scores = np.exp(q[:, part] @ k[:, part].T / head**0.5)
                heads.append(scores / scores.sum(1, keepdims=True) @ v[:, part])
            x = norm(linear(np.hstack(heads), at + "attention.output.dense") + x,
                     at + "attention.output.LayerNorm")
            inner = linear(x, at + "intermediate.dense")
            inner *= 0.5 * (1 + np.vectorize(erf)(inner / 2**0.5))
            x = norm(linear(inner, at + "output.dense") + x, at + "output.LayerNorm")
        mean = x.mean(0)
        out.append(mean / np.linalg.norm(mean))
    return np.array(out)


def test_the_encoder_computes_what_it_should():
    encoder = random_encoder(TINY, seed=3)
    for value in encoder.weights.values():
        value *= 10        # far from linear, so that every nonlinearity counts
    ids = np.random.default_rng(1).integers(0, 50, (3, 9))
    assert np.allclose(encoder(ids), reference(encoder, ids), atol=2e-4)


def write_checkpoint(folder, encoder):
    header, blob = {}, b""
    for name, value in encoder.weights.items():
        raw = value.astype("<f4").tobytes()
        header["bert." + name] = {"dtype": "F32", "shape": list(value.shape),
                                  "data_offsets": [len(blob), len(blob) + len(raw)]}
        blob += raw
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + blob)
    s = encoder.shape
    (folder / "config.json").write_text(json.dumps({
        "num_hidden_layers": s.layers, "hidden_size": s.width, "num_attention_heads": s.heads,
        "intermediate_size": s.d_ff, "vocab_size": s.vocab,
        "max_position_embeddings": s.positions}))


def test_a_checkpoint_is_read_back(tmp_path):
    encoder = random_encoder(TINY, seed=2)
    write_checkpoint(tmp_path, encoder)
    ids = np.arange(6).reshape(2, 3)
    assert np.array_equal(load_encoder(tmp_path)(ids), encoder(ids))
    assert run.find_encoder(str(tmp_path))[0] == tmp_path.name


@pytest.mark.parametrize("spoil", ["none", "config", "weights", "lacking"])
def test_wrong_checkpoints_are_refused(tmp_path, spoil):
    encoder = random_encoder(TINY)
    if spoil == "lacking":
        weights = dict(list(encoder.weights.items())[:-3])
        encoder = dataclasses.replace(encoder, weights=weights)
    if spoil != "none":
        write_checkpoint(tmp_path, encoder)
    if spoil == "config":
        (tmp_path / "config.json").write_text("{}")
    if spoil == "weights":
        (tmp_path / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0notjson!")
    with pytest.raises(BadInput):
        load_encoder(tmp_path)


def test_neither_folder_nor_package():
    with pytest.raises(BadInput, match="neither a folder"):
        run.find_encoder("no-such-package-at-all")
    with pytest.raises(BadInput, match=r"holds no model\.safetensors"):
        run.find_encoder("numpy")


@pytest.fixture
def small(monkeypatch):
    pytest.importorskip("faiss")
    design = [Build("flat", 2000, 16, queries=(Query(),)),
              Build("ivf", 2000, 16, nlist=8, queries=(Query(nprobe=2),))]
    monkeypatch.setattr("ridgeline.measure.retrieval.design.quick_design", lambda: design)
    monkeypatch.setattr(run, "MINILM", TINY)
    monkeypatch.setattr(run, "_PASSES", ((2, 8),))
    return design


def test_the_command_writes_rows_and_constants(tmp_path, small, monkeypatch):
    out, rows = tmp_path / "mine.json", tmp_path / "rows.csv"
    done = CliRunner().invoke(retrieval, ["--quick", "--out", str(out), "--rows", str(rows)],
                              catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "wrote" in done.output and "One query" in done.output
    written = list(csv.DictReader(rows.read_text().splitlines()))
    assert [r["index"] for r in written] == ["flat", "ivf"]
    monkeypatch.setenv("RIDGELINE_RETRIEVAL", str(out))
    reports = validate_files([rows, tmp_path / "rows-encoder.csv"])
    assert [r.schema for r in reports] == ["retrieval", "encoder"]
    assert all(r.predicted == r.rows for r in reports)
    assert not any(k.startswith("_") for k in written[0])


def test_an_interruption_keeps_what_was_done(small, monkeypatch):
    def stop(build, stored):
        if build.index == "ivf":
            raise KeyboardInterrupt
        yield from measure_build(build, stored)

    monkeypatch.setattr(run, "measure_build", stop)
    found = run.measure(small, None)
    assert not found.complete and len(found.searches) == 1
    assert found.constants(shipped_constants()).seconds["flat"]
    with pytest.raises(BadInput, match="nothing was measured"):
        run.Measured().constants(shipped_constants())


@pytest.mark.parametrize(("args", "match"), [
    (["--out", "x.txt"], "must end in .json"), (["--rows", "x.json"], "must end in .csv"),
    (["--out", "/no/such/folder/x.json"], "no folder"),
    (["--encoder", "x", "--no-encoder"], "not both"),
    (["--quick", "--no-encoder", "--most", "5"], "below the smallest"),
    (["--quick", "--no-encoder", "--most", "x"], "cannot read")])
def test_wrong_options(args, match):
    done = CliRunner().invoke(retrieval, args)
    assert isinstance(done.exception, BadInput)
    assert match.replace(".", "") in str(done.exception).replace(".", "")


def test_shipped_constants_come_from_the_shipped_rows():
    from ridgeline.measure.retrieval.fit import fit_searches
    from ridgeline.measure.retrieval.refit import read_passes, read_searches
    from ridgeline.truth_data import shipped_file

    now, rows = shipped_constants(), read_searches(shipped_file("retrieval.csv.xz"))
    assert fit_distances(rows) == pytest.approx(now.distances, rel=1e-3)
    found = fit_searches(rows, now)
    for name, terms in found.items():
        assert terms == pytest.approx(now.seconds[name], rel=1e-3, abs=1e-15)
    assert len(read_passes(shipped_file("encoder.csv.xz"))) > 30


def test_shipped_errors_are_within_what_is_promised():
    from ridgeline.truth_data import shipped_file

    reports = validate_files([shipped_file("retrieval.csv.xz"), shipped_file("encoder.csv.xz")])
    errors = {(g.group, g.metric): g for r in reports for g in r.groups}
    for kind in ("flat", "ivf", "hnsw"):
        assert errors[f"index={kind}", "query"].median_ape_pct < 25
        assert errors[f"index={kind}", "query"].coverage80_pct > 65
    assert errors["all", "tokens_per_s"].median_ape_pct < 20


def test_left_out_sizes_and_dimensions_are_predicted():
    """Fitted without a size, or without a dimension, the times of it are still found."""
    from ridgeline.measure.retrieval.constants import fit_laws
    from ridgeline.measure.retrieval.fit import held_out
    from ridgeline.measure.retrieval.refit import read_searches
    from ridgeline.truth_data import shipped_file

    rows = read_searches(shipped_file("retrieval.csv.xz"))
    for key in ("n", "dim"):
        found = held_out(rows, shipped_constants(), lambda r, k=key: r[k],
                         lambda some: fit_laws(some, shipped_constants()))
        for kind in ("flat", "ivf", "hnsw"):
            errors = [abs(p / r["query_s"] - 1) for r, p in found if r["index"] == kind]
            assert len(errors) > 50 and np.median(errors) < 0.25, (key, kind)
