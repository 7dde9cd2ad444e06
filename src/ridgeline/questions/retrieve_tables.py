"""Tables, derivations and the figure of a retrieval answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ridgeline.errors import RidgelineError
from ridgeline.quantity import Quantity
from ridgeline.questions.answer import Answer, Cell, Table
from ridgeline.questions.retrieve_stages import (
    MEASURED_CPU,
    Stage,
    encoder_flop_of,
    encoder_model,
    encoder_stage,
    host_search,
    search_stage,
)
from ridgeline.retrieval.build_time import build_flop, build_seconds
from ridgeline.retrieval.cpu_time import CpuConstants
from ridgeline.retrieval.index_plan import KINDS, IndexPlan, index_plan
from ridgeline.retrieval.recall import expected_recall

if TYPE_CHECKING:
    from ridgeline.explain.derivation import Derivation
    from ridgeline.questions.retrieve_ask import RetrieveAsk
    from ridgeline.report.figure import Figure

__all__ = ["Built", "build_table", "compression_table", "derivations", "index_table",
           "long_context_table", "retrieve_figure", "stage_table"]

_BULK = 64  # texts in a pass when a collection is embedded


@dataclass(frozen=True)
class Built:
    """What it takes to fill the index."""

    table: Table
    quantities: dict[str, Any]


def stage_table(stages: Sequence[Stage]) -> Table:
    """Time, share, work and bound of each stage."""
    total = sum(s.seconds.value for s in stages)
    rows: list[list[Cell]] = [[s.name, s.seconds, s.seconds.value / total, s.flop,
                               s.read or None, s.bound, s.where] for s in stages]
    return Table.of("stages", {"stage": "1", "time": "s", "share": "1", "flop": "FLOP",
                               "read": "B", "bound": "1", "on": "1"}, rows,
                    title="Where a request's time goes")


def build_table(ask: RetrieveAsk, plan: IndexPlan, c: CpuConstants) -> Built:
    """Embedding the collection and building the index."""
    rows: list[list[Cell]] = []
    out: dict[str, Any] = {}
    if ask.embedder:
        flop = encoder_flop_of(encoder_model(ask.embedder), plan.n, ask.doc_tokens)
        seconds = _embed_all(ask, plan.n, flop, c)
        where = ask.encoder_on or ask.machine or MEASURED_CPU
        if where == MEASURED_CPU:
            where = f"{ask.threads} CPU thread" + ("s" if ask.threads > 1 else "")
        rows.append(["embed the docs", seconds, flop, where])
        out |= {"embed_docs_s": seconds, "embed_docs_flop": Quantity.exact(flop, "FLOP")}
    made, work = build_seconds(plan, c), build_flop(plan, c)
    rows.append([f"build the {plan.kind} index", made, work, "1 CPU thread"])
    out["build_s"] = Quantity.exact(made, "s", "calibrated")
    columns = {"step": "1", "time": "s", "flop": "FLOP", "on": "1"}
    return Built(Table.of("build", columns, rows, title="Once, to fill the index"), out)


def _embed_all(ask: RetrieveAsk, n: int, flop: float, c: CpuConstants) -> Quantity:
    """All docs, in full passes side by side on every chip."""
    from ridgeline.machine.parse import parse_machine

    where = ask.encoder_on or ask.machine or MEASURED_CPU
    chips = 1 if where == MEASURED_CPU else parse_machine(where).n_chips
    texts = min(n, _BULK * chips if where != MEASURED_CPU else 8)
    one = encoder_stage("embed", str(ask.embedder), where, texts=texts, tokens=ask.doc_tokens,
                        mfu=ask.encoder_mfu, constants=c)
    times = n / texts / (ask.threads if where == MEASURED_CPU else 1)
    return Quantity(one.seconds.value * times, one.seconds.low * times, one.seconds.high * times,
                    "s", one.seconds.basis)


def compression_table(plan: IndexPlan, c: CpuConstants) -> Table:
    """The same vectors stored smaller: bytes, scan time of one query, recall."""
    rows: list[list[Cell]] = []
    plain = float(plan.n) * plan.dim * 4
    common: dict[str, Any] = {"top_k": plan.top_k, "batch": 1, "data": plan.data}
    for name in ("fp32", "fp16", "int8", "binary"):
        other = index_plan("flat", plan.n, plan.dim, compression=name, **common)
        rows.append(_compressed(name, other, plain, c))
    for bits in (8, 4, 2, 1):
        segments = plan.dim * bits // 8
        if segments and plan.dim % segments == 0:
            other = index_plan("pq", plan.n, plan.dim, segments=segments, **common)
            rows.append(_compressed(f"PQ{segments}", other, plain, c))
    return Table.of("compression", {"stored_as": "1", "bytes": "B", "smaller": "x",
                                    "scan": "s", "recall_at_10": "1"}, rows,
                    title="Lossy compression: one query over every vector, one thread")


def _compressed(name: str, plan: IndexPlan, plain: float, c: CpuConstants) -> list[Cell]:
    stored = plan.n * plan.vector_bytes
    # Half and one-bit scans were not measured: no time rather than a guessed one.
    known = name not in ("fp16", "binary")
    scan = search_stage(plan, MEASURED_CPU, c).seconds if known else None
    recall = expected_recall(plan, c)
    return [name, stored, plain / stored, scan, recall]


def index_table(ask: RetrieveAsk, plan: IndexPlan, c: CpuConstants) -> Table:
    """Every kind of index over the same vectors, usual settings for those not asked for."""
    rows: list[list[Cell]] = []
    for kind in KINDS:
        try:
            other = plan if kind == plan.kind else index_plan(
                kind, plan.n, plan.dim, top_k=plan.top_k, batch=plan.batch, data=plan.data)
            seconds = host_search(other, c)[0]
        except RidgelineError:
            continue
        rows.append([kind, _settings(other), other.memory, seconds,
                     ask.threads / seconds.value, expected_recall(other, c)])
    columns = {"index": "1", "settings": "1", "memory": "B", "a_query": "s", "per_s": "1/s",
               "recall_at_10": "1"}
    return Table.of("indexes", columns, rows, title="The other indexes, on the measured CPU")


def _settings(plan: IndexPlan) -> str:
    named = {"nlist": plan.nlist, "nprobe": plan.nprobe, "segments": plan.segments,
             "M": plan.hnsw_m, "ef": plan.ef}
    return " ".join(f"{k} {v}" for k, v in named.items() if v) or plan.compression


def long_context_table(ask: RetrieveAsk) -> Table:
    """Reading more passages instead of choosing better ones."""
    from ridgeline.model.load import load_architecture
    from ridgeline.questions.retrieve import model_performance

    architecture = load_architecture(str(ask.model))
    rows: list[list[Cell]] = []
    sizes = sorted({ask.passages, ask.top_k, 4 * ask.top_k, 16 * ask.top_k, int(ask.docs)})
    for n in (s for s in sizes if ask.passages <= s <= ask.docs):
        prompt = ask.query_tokens + n * ask.doc_tokens
        if architecture.max_context and prompt + ask.output > architecture.max_context:
            rows.append([n, prompt, None, None, None, "longer than the model reads"])
            continue
        try:
            found = model_performance(ask, 1, n)
        except RidgelineError:
            rows.append([n, prompt, None, None, None, "does not fit in memory"])
            continue
        kv = float(architecture.cache_bytes(float(prompt + ask.output)))
        rows.append([n, prompt, found.ttft, found.e2e, kv, "as asked" if n == ask.passages
                     else "no retrieval" if n == ask.docs else ""])
        if len(rows) == 5:
            break
    return Table.of("long_context", {"passages": "1", "prompt": "token", "ttft": "s",
                                     "answer": "s", "kv": "B", "note": "1"}, rows,
                    title="Long context against retrieval: one request alone with more passages")


def derivations(ask: RetrieveAsk, plan: IndexPlan, c: CpuConstants) -> tuple[Derivation, ...]:
    """The formulas behind size, visited vectors and encoder FLOP."""
    from ridgeline.explain.derivation import derive
    from ridgeline.retrieval import search_work, sizes

    n, d = float(plan.n), float(plan.dim)
    out = []
    if plan.kind == "hnsw":
        out.append(derive(sizes.hnsw_index_bytes, {
            "n_vectors": n, "vector_bytes": plan.vector_bytes, "hnsw_links": plan.hnsw_m}))
    elif plan.nlist:
        out += [derive(sizes.ivf_index_bytes, {
            "n_vectors": n, "vector_bytes": plan.vector_bytes, "nlist": plan.nlist, "dim": d,
            "id_bytes": 8.0}),
            derive(search_work.ivf_visited, {
                "n_vectors": n, "nlist": plan.nlist, "nprobe": plan.nprobe,
                "list_imbalance": c.imbalance}, title="Vectors compared, before full coverage")]
    elif plan.segments:
        out.append(derive(sizes.code_bytes, {"n_vectors": n, "segments": plan.segments,
                                             "code_bits": 8.0}))
    else:
        out.append(derive(sizes.flat_index_bytes, {
            "n_vectors": n, "dim": d, "bytes_per_value": plan.vector_bytes / d}))
    out.append(derive(search_work.flat_search_flop, {
        "n_queries": 1.0, "n_vectors": search_stage_vectors(plan, c), "dim": d},
        title="FLOP of comparing one query"))
    for name, model, texts, tokens in (
            ("embed the docs", ask.embedder, n, ask.doc_tokens),
            ("rerank", ask.reranker, float(ask.rerank or plan.top_k), ask.doc_tokens)):
        if model:
            out.append(derive(search_work.encoder_flop, {
                "active_params": float(encoder_model(model).active_params), "n_texts": texts,
                "tokens_per_text": tokens}, title=f"FLOP to {name}"))
    return tuple(out)


def search_stage_vectors(plan: IndexPlan, c: CpuConstants) -> float:
    """Vectors a query is compared with."""
    from ridgeline.retrieval.cpu_time import visited

    return visited(plan, c)


def retrieve_figure(answer: Answer, plan: IndexPlan | None = None) -> Figure:
    """Seconds of each stage of a request; of a search alone, its time as the collection grows."""
    from ridgeline.report.figure import Axis, Bar, Figure

    table = next(t for t in answer.tables if t.name == "stages")
    if len(table.rows) == 1 and plan is not None:
        return _growth(plan)
    names = tuple(str(row[0]) for row in table.rows)
    seconds = [row[1].value if isinstance(row[1], Quantity) else math.nan for row in table.rows]
    return Figure("Where a request's time goes", Axis("stage", categories=names),
                  Axis("time", "s"), (Bar(list(range(len(names))), seconds),),
                  subtitle=str(answer["bound"]))


def _growth(plan: IndexPlan) -> Figure:
    from ridgeline.report.figure import Axis, Figure, Line
    from ridgeline.retrieval.cpu_time import search_time, shipped_constants

    c = shipped_constants()
    lines = []
    for kind in KINDS:
        sizes = [s for s in (10 ** (4 + i / 4) for i in range(17)) if s >= plan.top_k]
        seconds = [search_time(index_plan(kind, round(s), plan.dim, top_k=plan.top_k,
                                          batch=plan.batch), c).seconds for s in sizes]
        lines.append(Line(sizes, seconds, kind))
    return Figure(f"One query over vectors of {plan.dim} numbers", Axis("vectors", log=True),
                  Axis("time", "s", log=True), tuple(lines), subtitle=f"one thread of {c.cpu}")
