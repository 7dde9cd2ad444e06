"""Seconds, FLOP and bytes of each stage of a retrieval request."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ridgeline.errors import BadInput, Infeasible
from ridgeline.quantity import Quantity, format_si
from ridgeline.retrieval import search_work
from ridgeline.retrieval.cpu_time import CpuConstants, family, search_time, visited
from ridgeline.retrieval.index_plan import IndexPlan

if TYPE_CHECKING:
    from ridgeline.machine import Chip, Cluster
    from ridgeline.model.architecture import Architecture
    from ridgeline.questions.performance import Performance

__all__ = ["MEASURED_CPU", "Stage", "encoder_flop_of", "encoder_model", "encoder_stage",
           "gpu_search", "host_search", "llm_stages", "memory_bound_rate", "search_stage"]

# The CPU whose searches were measured; the default place of an index.
MEASURED_CPU = "cpu"
# Launching the product, the selection and the copy, some 5 us each: assumed, never measured.
_GPU_CALL = 20e-6


@dataclass(frozen=True)
class Stage:
    """One stage of a request.

    Attributes:
        name: "embed", "search", "rerank", "prefill", "decode".
        seconds: with its interval.
        flop, read: FLOP done and bytes read for one request.
        bound: compute, memory, ...
        where: what it runs on.
    """

    name: str
    seconds: Quantity
    flop: float
    read: float
    bound: str
    where: str


# What the largest term of a search means.
_BOUNDS = {"missed_bytes": "memory", "missed_reads": "random reads", "missed_hops": "random reads",
           "far_reads": "random reads", "far_bytes": "random reads",
           "bytes": "cache and arithmetic", "flop": "compute", "heap": "keeping the best",
           "call": "fixed cost of a call"}
# Names people use for a bundled encoder's family.
_SHORT = {"bge-large": "bge-large-en", "minilm": "all-MiniLM-L6-v2",
          "bge-reranker": "bge-reranker-v2-m3", "e5-mistral": "e5-mistral-7b-instruct"}


def encoder_model(name: str) -> Architecture:
    """The architecture of an embedder or reranker.

    Raises:
        UnknownName: no such model.
    """
    from ridgeline.model.load import load_architecture

    return load_architecture(_SHORT.get(name.lower(), name))


def encoder_flop_of(architecture: Architecture, texts: float, tokens: float) -> float:
    """FLOP of encoding texts, by the field's 2 FLOP for each parameter and token."""
    return float(search_work.encoder_flop(active_params=float(architecture.active_params),
                                          n_texts=texts, tokens_per_text=tokens))


def encoder_stage(name: str, model: str, machine: str, *, texts: int, tokens: int,
                  mfu: float | None, constants: CpuConstants) -> Stage:
    """Embed texts or score pairs in one pass.

    Args:
        name: of the stage.
        model: encoder.
        machine: where it runs; "cpu" is one thread of the measured CPU.
        texts: texts or pairs in the pass.
        tokens: tokens of each.
        mfu: share of the peak; None: the calibrated encoder path.
        constants: of the measured CPU.

    Raises:
        BadInput: a model without a table of positions long enough.
    """
    architecture = encoder_model(model)
    if architecture.max_context and tokens > architecture.max_context:
        raise BadInput(f"{architecture.name} reads at most {architecture.max_context} tokens, "
                       f"not {tokens}")
    flop = encoder_flop_of(architecture, texts, tokens)
    if machine == MEASURED_CPU:
        return _on_cpu(name, architecture, texts, tokens, flop, constants)
    if mfu is not None:
        from ridgeline.machine.parse import parse_machine
        from ridgeline.training.run_plan import run_seconds

        cluster = parse_machine(machine)
        seconds = float(run_seconds(flop=flop, n_chips=float(cluster.n_chips),
                                    peak_flops_per_s=cluster.chip.rate("bf16"), mfu=mfu))
        return Stage(name, Quantity.exact(seconds, "s", "assumed"), flop, 0.0, "compute", machine)
    return _calibrated(name, model, machine, texts, tokens, flop)


def _on_cpu(name: str, architecture: Architecture, texts: int, tokens: int, flop: float,
            constants: CpuConstants) -> Stage:
    from ridgeline.retrieval.encoder_time import encoder_counts, encoder_seconds

    counts = encoder_counts(architecture, float(texts), float(tokens), constants.l3_bytes)
    seconds = encoder_seconds(counts, constants.encoder)
    low, high = constants.spread["encoder"]
    around = Quantity(seconds, seconds * math.exp(min(0.0, low)),
                      seconds * math.exp(max(0.0, high)), "s", "calibrated")
    read = 4.0 * architecture.active_params
    return Stage(name, around, flop, read, "compute", "1 CPU thread")


def _calibrated(name: str, model: str, machine: str, texts: int, tokens: int, flop: float
                ) -> Stage:
    """The pass as `estimate` answers it: 16-bit weights where the chip has them."""
    from ridgeline.machine.parse import parse_machine
    from ridgeline.questions.performance import calibrated_performance
    from ridgeline.questions.resolve import resolve
    from ridgeline.scenario import Scenario

    peaks = parse_machine(machine).chip.peaks
    weights = next((f for f in ("bf16", "fp16") if f in peaks), "fp32")
    resolved = resolve(Scenario.from_fields({
        "model": _SHORT.get(model.lower(), model), "machine": machine, "tp": 1,
        "weights": weights, "prompt": tokens, "output": 0 if not _causal(model) else 1,
        "concurrency": texts}))
    found = calibrated_performance(resolved)
    low, high = found.ttft_spread[1], found.ttft_spread[2]
    seconds = Quantity(found.ttft, max(found.ttft_floor, found.ttft * math.exp(low)),
                       max(found.ttft, found.ttft * math.exp(high)), "s", "calibrated")
    read = resolved.architecture.total_params * resolved.formats.dense.bytes
    return Stage(name, seconds, flop, float(read), found.bound_prefill, machine)


def _causal(model: str) -> bool:
    return encoder_model(model).causal


def host_search(plan: IndexPlan, constants: CpuConstants) -> tuple[Quantity, str]:
    """Seconds of a query on one thread of the measured CPU, and the term that dominates."""
    found = search_time(plan, constants)
    top = max(found.terms, key=lambda term: found.terms[term])
    bound = _BOUNDS.get(top, top.replace("_", " "))
    return Quantity(found.seconds, found.low, found.high, "s", "calibrated"), bound


def gpu_search(plan: IndexPlan, cluster: Cluster, constants: CpuConstants) -> tuple[float, str]:
    """Seconds of a batch on an accelerator: the roofline of its scan, spread over the chips.

    Raises:
        BadInput: a graph, whose dependent reads no roofline describes.
        Infeasible: the index does not fit in the memory of the chips.
    """
    from ridgeline.timing.bounds import roofline_time

    if plan.kind == "hnsw":
        raise BadInput("an hnsw graph is searched on a CPU here; on an accelerator choose flat, "
                       "ivf, pq or ivfpq")
    chip, n = cluster.chip, float(cluster.n_chips)
    if plan.memory > n * chip.memory_bytes:
        raise Infeasible(f"the index of {format_si(plan.memory, 'B')} does not fit in the "
                         f"{format_si(n * chip.memory_bytes, 'B')} of {cluster.n_chips} "
                         f"{chip.name}: compress it or use "
                         f"{math.ceil(plan.memory / chip.memory_bytes)}")
    v = visited(plan, constants)
    # Lists of different queries overlap as the batch grows; a scan is shared by all of them.
    share = 1 - (1 - v / plan.n) ** plan.batch
    flop = float(search_work.flat_search_flop(n_queries=float(plan.batch), n_vectors=v,
                                              dim=float(plan.dim)))
    if plan.segments:
        flop = 2.0 * plan.batch * v * plan.segments
    if plan.nlist:
        flop += 2.0 * plan.batch * plan.nlist * plan.dim
    read = plan.n * share * plan.vector_bytes + 4.0 * plan.nlist * plan.dim
    peak = _peak(plan, chip)
    seconds = float(roofline_time(t_math=flop / (n * peak),
                                  t_memory=read / (n * chip.memory_bandwidth)))
    return seconds, "compute" if flop / peak > read / chip.memory_bandwidth else "memory"


def _peak(plan: IndexPlan, chip: Chip) -> float:
    """Rate of the product: tensor cores round fp32 to tf32 only when asked; codes are looked up."""
    if plan.compression == "fp16" and not plan.segments:
        return chip.rate("fp16")
    if plan.compression == "int8" and "int8" in chip.peaks:
        return chip.peaks["int8"]
    return chip.peaks.get("fp32") or chip.rate("tf32")


def search_stage(plan: IndexPlan, where: str, constants: CpuConstants) -> Stage:
    """One query's search, waiting for the batch it is searched in.

    Raises:
        Infeasible: an index that does not fit where it is searched.
    """
    v = visited(plan, constants)
    flop = float(search_work.flat_search_flop(n_queries=1.0, n_vectors=v, dim=float(plan.dim)))
    if plan.segments:
        flop = 2.0 * v * plan.segments + 2.0 * 256 * plan.dim * max(1, plan.nprobe)
    flop += 2.0 * plan.nlist * plan.dim
    read = v * plan.vector_bytes + 4.0 * plan.nlist * plan.dim
    cluster = None if where == MEASURED_CPU else _cluster(where)
    if cluster is None or cluster.chip.kind == "cpu":
        if cluster is not None and plan.memory > cluster.n_chips * cluster.chip.memory_bytes:
            raise Infeasible(f"the index of {format_si(plan.memory, 'B')} does not fit in "
                             f"the memory of {where}")
        one, bound = host_search(plan, constants)
        times = plan.batch
        seconds = Quantity(one.value * times, one.low * times, one.high * times, "s",
                           "calibrated" if cluster is None else "assumed")
        return Stage("search", seconds, flop, read, bound, "1 CPU thread")
    batch_seconds, bound = gpu_search(plan, cluster, constants)
    seconds = Quantity(batch_seconds + _GPU_CALL, batch_seconds, 2 * (batch_seconds + _GPU_CALL),
                       "s", "derived")
    return Stage("search", seconds, flop, read, bound, where)


def memory_bound_rate(where: str, plan: IndexPlan, c: CpuConstants, search: Stage) -> float:
    """Searches a second that the memory of a named CPU can feed, whatever its threads.

    Infinite for the measured CPU, whose whole bandwidth is not known, and for accelerators, whose
    roofline holds it already.
    """
    cluster = None if where == MEASURED_CPU else _cluster(where)
    if cluster is None or cluster.chip.kind != "cpu":
        return math.inf
    shared = plan.batch if family(plan) == "flat_batched" else 1
    missed = search.read * max(0.0, 1 - c.l3_bytes / plan.memory) / shared
    return cluster.n_chips * cluster.chip.memory_bandwidth / missed if missed else math.inf


def _cluster(where: str) -> Cluster:
    from ridgeline.machine.parse import parse_machine

    return parse_machine(where)


def llm_stages(p: Performance, where: str, prompt: int, output: int) -> list[Stage]:
    """Prefill and decode of the model that reads the passages."""
    def around(value: float, spread: tuple[float, ...], floor: float) -> Quantity:
        return Quantity(value, max(floor, value * math.exp(spread[1])),
                        max(value, value * math.exp(spread[2])), "s", "calibrated")

    decode = max(0, output - 1) * p.tpot
    steps = max(0, output - 1) / max(1.0, p.batch)
    return [Stage("prefill", around(p.ttft, p.ttft_spread, p.ttft_floor), p.prefill_flop, 0.0,
                  p.bound_prefill, where),
            Stage("decode", around(decode, p.tpot_spread, max(0, output - 1) * p.tpot_floor),
                  p.decode_flop * steps, p.decode_bytes * steps, p.bound_decode, where)]
