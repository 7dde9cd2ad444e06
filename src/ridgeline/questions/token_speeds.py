"""Speeds of a scenario's replica over batches and contexts: calibrated or by the textbook."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from ridgeline.economics.surface import Array, Speeds, decode_mesh
from ridgeline.questions.performance import (
    SINGLE_STREAM,
    Performance,
    Spread,
    decode_context,
    deployed_of,
)
from ridgeline.questions.resolve import Resolved
from ridgeline.questions.textbook import WholeModel, whole_model
from ridgeline.serving.deployed import Deployed
from ridgeline.serving.latency import Pools, case_of, learned
from ridgeline.timing import textbook
from ridgeline.timing.adjust import correction
from ridgeline.timing.roofline import StepBounds, step_bounds
from ridgeline.timing.step_table import StepTable
from ridgeline.work.step import Step, prefill_step

__all__ = ["above_floor", "replica_speeds", "steady_decode"]


def replica_speeds(resolved: Resolved, batches: Array, contexts: Array, *, ideal: bool = False
                   ) -> Speeds:
    """What a replica does at every batch and context.

    Args:
        resolved: the scenario; its own batch and lengths are not used.
        batches: sequences decoding, shape (b,).
        contexts: mean lengths, and lengths of prompts [tokens], shape (c,).
        ideal: the textbook instead of calibrated times.
    """
    work = resolved.scenario.workload
    longest = math.ceil(float(np.max(contexts)))
    if longest > (work.context or 0):
        wide = dataclasses.replace(work, context=longest)
        resolved = dataclasses.replace(
            resolved, scenario=dataclasses.replace(resolved.scenario, workload=wide))
    replica = deployed_of(resolved)
    room = np.array([replica.footprint.max_concurrency(float(c)) if replica.footprint.fits else 0.0
                     for c in contexts])
    if ideal:
        decode, rate = _textbook(resolved, batches, contexts)
    elif resolved.deployment.engine in SINGLE_STREAM:
        decode, rate = _streamed(resolved, batches, contexts)
    else:
        decode = _decode(replica, batches, contexts, (float(work.prompt), float(work.output)))
        rate = _prefill_rate(replica, contexts)
    return Speeds(np.asarray(batches, float), np.asarray(contexts, float), decode, room, rate,
                  resolved.deployment.chips_per_replica)


def steady_decode(resolved: Resolved, performance: Performance) -> float:
    """Seconds of a decode step alone at the steady batch, as `price` and `energy` count it."""
    if not resolved.architecture.causal or resolved.deployment.engine in SINGLE_STREAM:
        return performance.decode_s
    context = np.array([decode_context(resolved)])
    return float(replica_speeds(resolved, np.array([performance.batch]), context).decode[0, 0])


def above_floor(spread: Spread, floor: float, time: float) -> Spread:
    """A spread of log(real / predicted) whose lower ends stay above a time's physical floor."""
    known = 0 < floor < math.inf and 0 < time < math.inf
    least = min(0.0, math.log(floor / time)) if known else 0.0
    low, lower, upper, high = spread
    return max(low, least), max(lower, least), upper, high


def _decode(replica: Deployed, batches: Array, contexts: Array, lengths: tuple[float, float]
            ) -> Array:
    """Step table with the learned correction of each batch, never below the roofline.

    The correction is that of the workload's own prompts and outputs at every context.
    """
    anchors = 2.0 ** np.arange(13)
    pools = Pools(replica)
    cases = [case_of(pools, protocol="", concurrency=float(b), prompt=lengths[0],
                     output=max(lengths[1], 1.0)) for b in anchors]
    factors = np.exp([correction(learned("tpot", case), case) for case in cases])
    factor = np.interp(np.log(batches), np.log(anchors), factors)
    times = decode_mesh(replica.table, batches, contexts) * factor[:, None]
    floors = [decode_mesh(table, batches, contexts) for table in _floors(replica)]
    highest: Array = np.maximum.reduce([times, *floors])
    return highest


@functools.lru_cache(maxsize=64)
def _floors(replica: Deployed) -> tuple[StepTable, ...]:
    """Least compute, memory and network times of any step, as tables."""
    return tuple(replica.tabulated(_bound(replica, name))
                 for name in ("compute", "memory", "network"))


def _bound(replica: Deployed, name: str) -> Any:
    def timer(ops: Any) -> Any:
        return getattr(step_bounds(ops, replica.cluster), name)

    return timer


def _prefill_rate(replica: Deployed, contexts: Array) -> Array:
    """Prompt tokens per second with steps filled to the engine's token budget."""
    budget = float(replica.policy.token_budget)
    chunks = np.ceil(contexts / budget)
    together = np.maximum(1.0, np.floor(budget / contexts))
    step = prefill_step(tokens=contexts / chunks, sequences=together,
                        past=contexts * (chunks - 1) / (2 * chunks))
    costs = replica.costs
    spent = (np.asarray(replica.timer(replica.ops(step)), float)
             + costs.fixed(replica.architecture) + costs.token * contexts / chunks
             * together)
    floor = np.asarray(_lower(replica, step).lower, float)
    rate: Array = contexts / chunks * together / np.maximum(spent, floor)
    return rate


def _lower(replica: Deployed, step: Step) -> StepBounds:
    return step_bounds(replica.ops(step), replica.cluster)


def _textbook(resolved: Resolved, batches: Array, contexts: Array) -> tuple[Array, Array]:
    model = whole_model(resolved)
    machine: dict[str, Any] = {"n_chips": model.chips, "peak_flops_per_s": model.peak,
                               "memory_bandwidth": model.bandwidth}
    kv_bits = resolved.formats.kv.bytes * 8
    cache = np.array([float(resolved.architecture.cache_bytes(float(c), kv_bits=kv_bits))
                      for c in contexts])
    per_token = textbook.attention_flop_per_cached_token(
        n_layers=model.n_layers, n_heads=1.0, head_dim=model.d_attention)
    read, size = _reads(model, batches)
    decode = textbook.decode_step(
        params_read=read[:, None], bytes_per_param=size[:, None],
        active_params=model.active_params, batch_size=batches[:, None],
        context_length=contexts[None, :], kv_bytes_per_token=(cache / contexts)[None, :],
        attention_flop_per_token=per_token, **machine)
    read, size = _reads(model, contexts)
    prompt = textbook.prefill(
        active_params=model.active_params, params_read=read, bytes_per_param=size,
        prompt_tokens=contexts, n_layers=model.n_layers, d_attention=model.d_attention, **machine)
    return np.asarray(decode, float), np.asarray(contexts / prompt, float)


def _reads(model: WholeModel, tokens: Array) -> tuple[Array, Array]:
    """Parameters read by steps of so many tokens, and their mean bytes."""
    return (np.array([float(model.params_read(float(t))) for t in tokens]),
            np.array([float(model.read_bytes_per_param(float(t))) for t in tokens]))


def _streamed(resolved: Resolved, batches: Array, contexts: Array) -> tuple[Array, Array]:
    """llama.cpp and the like: measured rates at a few points, between them in logarithms."""
    from ridgeline.timing.single_stream import single_stream_rates

    def rates(batch: float, context: float) -> Any:
        return single_stream_rates(
            resolved.architecture, resolved.cluster.chip, quant=resolved.formats.dense.name,
            engine=resolved.deployment.engine, prompt_tokens=context, gen_tokens=128.0,
            context_depth=context, batch=batch, n_devices=resolved.deployment.chips_per_replica)

    rows = np.unique(np.round(np.geomspace(1, max(2.0, float(batches.max())), 6)))
    columns = np.unique(np.geomspace(float(contexts.min()), max(2.0, float(contexts.max())), 6))
    known = [[rates(b, c) for c in columns] for b in rows]
    log = np.log([[b / found.generation.value for found in line]
                  for b, line in zip(rows, known, strict=True)])
    along = np.array([np.interp(np.log(contexts), np.log(columns), line) for line in log])
    decode = np.exp(np.array([np.interp(np.log(batches), np.log(rows), column)
                              for column in along.T]).T)
    prompt = np.exp(np.interp(np.log(contexts), np.log(columns),
                              np.log([found.prompt.value for found in known[0]])))
    return decode, prompt
