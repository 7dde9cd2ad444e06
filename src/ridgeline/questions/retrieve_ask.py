"""What is asked about retrieval, and the index it describes, completed and checked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput, UnknownName
from ridgeline.quantity import parse_number, parse_quantity
from ridgeline.questions.retrieve_stages import (
    MEASURED_CPU,
    encoder_model,
)
from ridgeline.retrieval.index_plan import IndexPlan, index_plan

if TYPE_CHECKING:
    pass

__all__ = ["RetrieveAsk", "plan_of"]

_INDEX = ("nlist", "nprobe", "segments", "hnsw_m", "ef", "top_k", "batch")


@dataclass(frozen=True)
class RetrieveAsk:
    """A retrieval system to plan.

    Attributes:
        docs, dim: vectors and numbers of each; dim None: the embedder's width.
        index, compression, nlist, nprobe, segments, hnsw_m, ef, top_k, batch, data: as in
            `retrieval.index_plan`.
        search_on: "cpu" (the measured CPU) or a machine.
        threads: CPU threads that search side by side.
        queries: requests a second to serve; None: one at a time.
        embedder, reranker: encoders; None: none.
        encoder_on: "cpu" or a machine; None: the model's machine, else "cpu".
        encoder_mfu: share of the peak encoders reach; None: the calibrated path.
        rerank: passages the cross-encoder scores; None: all of top_k.
        query_tokens, doc_tokens: tokens of a question and of a stored passage.
        model, machine: what reads the passages; None: retrieval only.
        passages: passages put in the prompt.
        output: tokens of an answer.
        recall: measured recall at 10 to state instead of ours.
        usd_per_chip_hour, usd_per_thread_hour: prices; None: the chip's mean rent, and none.
        watts_per_thread: of a searching thread.
    """

    docs: float
    dim: int | None = None
    index: str = "flat"
    compression: str = "fp32"
    nlist: int | None = None
    nprobe: int | None = None
    segments: int | None = None
    hnsw_m: int | None = None
    ef: int | None = None
    top_k: int = 10
    batch: int = 1
    data: str = "clustered"
    search_on: str = MEASURED_CPU
    threads: int = 1
    queries: float | None = None
    embedder: str | None = None
    reranker: str | None = None
    encoder_on: str | None = None
    encoder_mfu: float | None = None
    rerank: int | None = None
    query_tokens: int = 32
    doc_tokens: int = 512
    model: str | None = None
    machine: str | None = None
    passages: int = 5
    output: int = 256
    recall: float | None = None
    usd_per_chip_hour: float | None = None
    usd_per_thread_hour: float | None = None
    watts_per_thread: float | None = None

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> RetrieveAsk:
        """Read flat names and texts ("10M", "50/s") with every number checked.

        Raises:
            BadInput: an unknown name, a number that is none, negative, or out of range.
        """
        known = {f.name: f for f in dataclasses.fields(cls)}
        given: dict[str, Any] = {}
        for name, value in fields.items():
            if name not in known:
                raise UnknownName.among("retrieve option", name, known)
            if value is not None:
                given[name] = _field(name, str(known[name].type), value)
        if "docs" not in given:
            raise BadInput("retrieve needs the number of docs: --docs 10M")
        return cls(**given)


def _field(name: str, kind: str, value: Any) -> Any:
    if kind.startswith("str"):
        if not isinstance(value, str) or not value.strip():
            raise BadInput(f"{name} must be text, not {value!r}")
        return value
    if isinstance(value, bool):
        raise BadInput(f"{name} must be a number, not {value!r}")
    number = parse_quantity(value, "1/s") if name == "queries" else parse_number(value)
    shares = name in ("recall", "encoder_mfu")
    if not math.isfinite(number) or number <= 0 or (shares and number > 1):
        allowed = "above 0 and at most 1" if shares else "a positive, finite number"
        raise BadInput(f"{name.replace('_', '-')} must be {allowed}, not {value}")
    if not kind.startswith("int"):
        return number
    if number != int(number) or number > 1e12:
        raise BadInput(f"{name.replace('_', '-')} must be a whole number, not {value}")
    return int(number)


def plan_of(ask: RetrieveAsk) -> IndexPlan:
    """The index asked about, checked and completed.

    Raises:
        BadInput: sizes or settings that make no index.
    """
    dim = ask.dim
    if dim is None:
        if ask.embedder is None:
            raise BadInput("give --dim, the numbers of a vector, or an --embedder that sets it")
        dim = encoder_model(ask.embedder).d_model
    settings = {name: getattr(ask, name) for name in _INDEX}
    return index_plan(ask.index, ask.docs, dim, compression=ask.compression, data=ask.data,
                      **settings)


def _check(ask: RetrieveAsk, plan: IndexPlan) -> None:
    if ask.embedder and encoder_model(ask.embedder).d_model != plan.dim:
        width = encoder_model(ask.embedder).d_model
        if ask.dim is not None and ask.dim > width:
            raise BadInput(f"{ask.embedder} makes vectors of {width} numbers; an index of dim "
                           f"{ask.dim} cannot hold more")
    _check_threads(ask)
    if (ask.model is None) != (ask.machine is None):
        raise BadInput("a model needs a machine and the other way round: --model M --on 8xH100")
    if ask.rerank is not None and ask.reranker is None:
        raise BadInput("rerank says how many passages a reranker scores; name it: --reranker")
    if (ask.encoder_on or ask.encoder_mfu is not None) and not (ask.embedder or ask.reranker):
        raise BadInput("encoder-on and encoder-mfu are of encoders; name one: --embedder or "
                       "--reranker")
    if ask.reranker and (ask.rerank or 0) > plan.top_k:
        raise BadInput(f"rerank {ask.rerank} is more than the top-k {plan.top_k} found")
    if ask.model and ask.passages > plan.top_k:
        raise BadInput(f"{ask.passages} passages in the prompt are more than the top-k "
                       f"{plan.top_k} found")


def _check_threads(ask: RetrieveAsk) -> None:
    from ridgeline.machine.parse import parse_machine

    if ask.search_on == MEASURED_CPU:
        return
    cluster = parse_machine(ask.search_on)
    cores = cluster.chip.n_cores * cluster.n_chips
    if cluster.chip.kind != "cpu" and ask.threads > 1:
        raise BadInput(f"threads are of a CPU; {ask.search_on} searches with all of itself")
    if cluster.chip.kind == "cpu" and 0 < cores < ask.threads:
        raise BadInput(f"{ask.threads} threads are more than the {cores} cores of "
                       f"{ask.search_on}")
