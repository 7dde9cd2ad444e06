"""`ridgeline retrieve`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.options import answer_options, show, text_options

_OPTIONS = [
    ("--docs", "docs", "N", "Vectors stored, such as 10M."),
    ("--dim", "dim", "N", "Numbers of a vector. [default: the embedder's width]"),
    ("--index", "index", "KIND", "flat, ivf, hnsw, pq or ivfpq. [default: flat]"),
    ("--compression", "compression", "NAME", "fp32, fp16, int8 or binary. [default: fp32]"),
    ("--nlist", "nlist", "N", "Inverted lists. [default: about 4 sqrt(docs)]"),
    ("--nprobe", "nprobe", "N", "Lists a query probes. [default: nlist / 64]"),
    ("--segments", "segments", "N", "PQ codes of a vector; divides dim. [default: dim / 8]"),
    ("--hnsw-m", "hnsw_m", "N", "Links of a node. [default: 16]"),
    ("--ef", "ef", "N", "Candidates a graph search keeps. [default: 2 top-k, at least 64]"),
    ("--top-k", "top_k", "N", "Results of a query. [default: 10]"),
    ("--batch", "batch", "N", "Queries searched together. [default: 1]"),
    ("--data", "data", "KIND", "clustered, as embeddings are, or random. [default: clustered]"),
    ("--search-on", "search_on", "MACHINE", "cpu (the measured one), a CPU or a GPU. "
     "[default: cpu]"),
    ("--threads", "threads", "N", "CPU threads that search side by side. [default: 1]"),
    ("--queries", "queries", "RATE", "Requests to serve, such as 50/s."),
    ("--embedder", "embedder", "MODEL", "Embeds questions and docs, such as bge-large."),
    ("--reranker", "reranker", "MODEL", "Cross-encoder that scores passages."),
    ("--rerank", "rerank", "N", "Passages it scores. [default: top-k]"),
    ("--encoder-on", "encoder_on", "MACHINE", "Where encoders run; cpu is one thread. "
     "[default: --on]"),
    ("--encoder-mfu", "encoder_mfu", "SHARE", "Share of the peak, instead of calibrated times."),
    ("--query-tokens", "query_tokens", "N", "Tokens of a question. [default: 32]"),
    ("--doc-tokens", "doc_tokens", "N", "Tokens of a stored passage. [default: 512]"),
    ("--model", "model", "MODEL", "Reads the passages and answers."),
    ("--on", "machine", "MACHINE", "The model's machine, such as 8xH100-SXM."),
    ("--passages", "passages", "N", "Passages put in the prompt. [default: 5]"),
    ("--output", "output", "TOKENS", "Tokens of an answer. [default: 256]"),
    ("--recall", "recall", "SHARE", "Your measured recall, instead of ours."),
    ("--usd-per-hour", "usd_per_chip_hour", "USD", "Rent of one chip. "
     "[default: mean of the market]"),
    ("--usd-per-thread-hour", "usd_per_thread_hour", "USD", "Price of a searching thread."),
    ("--watts-per-thread", "watts_per_thread", "W", "Power of a searching thread."),
]


@click.command(no_args_is_help=True)
@text_options(_OPTIONS)
@answer_options(plot="Draw the stages of a request, or the indexes as the collection grows.")
def retrieve(**options: Any) -> None:
    """What does retrieval cost? Index, search, encoders and the whole request around a model.

    \b
    Examples:
      ridgeline retrieve --docs 10M --dim 768 --index ivf --queries 50/s --threads 4
      ridgeline retrieve --docs 1M --index hnsw --top-k 100 --embedder bge-large \\
          --reranker bge-reranker-v2-m3 --model Llama-3.1-70B --on 8xH100-SXM
      ridgeline retrieve --docs 10M --dim 768 --search-on H100-SXM --batch 64 --explain
    """
    from ridgeline.questions.retrieve import RetrieveAsk, plan_of
    from ridgeline.questions.retrieve import retrieve as ask
    from ridgeline.questions.retrieve_tables import retrieve_figure

    asked = RetrieveAsk.from_fields({field: options[field] for _, field, _, _ in _OPTIONS})
    answer = ask(asked)
    show(answer, options, lambda: retrieve_figure(answer, plan_of(asked)))
