"""A running server: how far from its roofline, what binds it, the next lever."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ridgeline.errors import BadInput, RidgelineError, UnknownName
from ridgeline.quantity import Quantity
from ridgeline.questions.answer import Answer, Table, Value
from ridgeline.questions.diagnose import percentile, utilisations
from ridgeline.questions.levers import levers
from ridgeline.questions.performance import Performance, calibrated_performance, deployed_of
from ridgeline.questions.prometheus import Histogram, Snapshot
from ridgeline.questions.resolve import Resolved, resolve
from ridgeline.scenario import Scenario

__all__ = ["check_server"]

# A cache fuller than this, or any preemption, means that memory binds.
_FULL = 0.90
# Running sequences within this share of the limit are at it.
_AT_LIMIT = 0.95
# Step times within this factor of the roofline leave only the roofline to move.
_NEAR = 1.6
# So few running sequences are hardly a load.
_LIGHT = 4


def check_server(now: Snapshot, *, earlier: Snapshot | None = None, seconds: float | None = None,
                 fields: Mapping[str, Any] | None = None) -> Answer:
    """What a vLLM server's own metrics say.

    Args:
        now: the reading.
        earlier: a reading taken `seconds` before, for rates of the moment; without it, averages
            since the server began.
        seconds: between the two.
        fields: of a scenario; `machine` is needed to compare with the roofline, the model is
            taken from the server when it is a known one.

    Returns:
        an Answer with queue, cache use, TTFT and inter-token percentiles, token rates,
        `binds` and `next_lever`; with a machine also MFU, MBU and `times_the_floor`.

    Raises:
        BadInput: an unknown name or a broken rule.
    """
    window = now.since(earlier) if earlier else now
    quantities: dict[str, Value] = {**_state(window), **_rates(window, seconds),
                                    **_latencies(window)}
    notes = ["Rates and latencies are of the time between the two readings." if earlier else
             "Latencies are averages since the server began; give --interval for the moment."]
    resolved = _resolved(window, dict(fields or {}), notes)
    tables: list[Table] = []
    near: float | None = None
    if resolved is not None:
        expected = calibrated_performance(resolved)
        compared = _compared(window, resolved, expected)
        near = compared.pop("factor")  # type: ignore[assignment]
        quantities |= compared
        tables.append(levers(resolved))
    binds, why, lever = _binding(window, near, _limit(resolved))
    head: dict[str, Value] = {"bound": f"{binds} binds: {why}; next: {lever}", "binds": binds,
                              "next_lever": lever}
    scenario = {"model": window.model, "engines": window.engines, **dict(fields or {}),
                "interval_s": seconds}
    return Answer("check", scenario, {**head, **quantities}, tuple(tables), tuple(notes))


def _state(window: Snapshot) -> dict[str, Value]:
    gauges, counters = window.gauges, window.counters
    out: dict[str, Value] = {"requests_" + k: Quantity.exact(gauges[k], "1", "measured")
                             for k in ("running", "waiting") if k in gauges}
    if "kv_usage" in gauges:
        out["kv_usage"] = Quantity.exact(gauges["kv_usage"], "1", "measured")
    if window.kv_tokens:
        out["kv_capacity_tokens"] = Quantity.exact(window.kv_tokens, "token", "measured")
        if gauges.get("running") and "kv_usage" in gauges:
            held = gauges["kv_usage"] * window.kv_tokens / gauges["running"]
            out["context_mean_tokens"] = Quantity.exact(held, "token", "measured")
    if "preemptions" in counters:
        out["preemptions"] = Quantity.exact(counters["preemptions"], "1", "measured")
    if counters.get("cache_queries"):
        out["prefix_hit_rate"] = Quantity.exact(
            counters.get("cache_hits", 0.0) / counters["cache_queries"], "1", "measured")
    if counters.get("drafts"):
        out["tokens_per_step_speculated"] = Quantity.exact(
            1 + counters.get("accepted_tokens", 0.0) / counters["drafts"], "1", "measured")
    return out


def _rates(window: Snapshot, seconds: float | None) -> dict[str, Value]:
    if not seconds:
        return {}
    return {f"{key}_per_s": Quantity.exact(window.counters[name] / seconds, "token/s", "measured")
            for key, name in (("prompt_tokens", "prompt_tokens"),
                              ("output_tokens", "generation_tokens")) if name in window.counters}


def _latencies(window: Snapshot) -> dict[str, Value]:
    out: dict[str, Value] = {}
    for key in ("ttft", "itl", "queue", "e2e"):
        found = window.histograms.get(key)
        if found is None or found.mean is None:
            continue
        out[f"{key}_mean_s"] = Quantity.exact(found.mean, "s", "measured")
        for share in (50, 90, 99) if key in ("ttft", "itl") else ():
            value = found.quantile(share / 100)
            if value is not None:
                out[f"{key}_p{share}_s"] = Quantity.exact(value, "s", "measured")
    return out


def _resolved(window: Snapshot, fields: dict[str, Any], notes: list[str]) -> Resolved | None:
    """The scenario the server is in, as far as it is known."""
    if not fields.get("machine"):
        notes.append("Add --on MACHINE to compare with its roofline.")
        return None
    given = bool(fields.get("model"))
    fields["model"] = fields.get("model") or window.model
    if not fields["model"]:
        raise BadInput("the metrics name no model; give it before the options")
    running = window.gauges.get("running", 0.0)
    prompt, output = (_mean(window.histograms.get(k)) for k in ("prompt_length", "output_length"))
    known = {"concurrency": max(1, round(running)), "prompt": prompt, "output": output,
             "prefix_hit": _hits(window), "engine": "vllm"}
    filled = {k: v for k, v in known.items() if v and k not in fields}
    if window.config.get("cache_dtype", "").startswith("fp8"):
        filled.setdefault("kv", fields.get("kv", "fp8"))
    try:
        return resolve(Scenario.from_fields({**filled, **fields}))
    except UnknownName:
        if given:
            raise
        notes.append(f"The server calls its model {window.model!r}, which is not in the catalog; "
                     "name it before the options to compare with the roofline.")
        return None


def _mean(histogram: Histogram | None) -> int | None:
    mean = histogram.mean if histogram else None
    return max(1, round(mean)) if mean else None


def _hits(window: Snapshot) -> float | None:
    queries = window.counters.get("cache_queries", 0.0)
    return min(1.0, window.counters.get("cache_hits", 0.0) / queries) if queries else None


def _compared(window: Snapshot, resolved: Resolved, p: Performance) -> dict[str, Value]:
    """Inter-token and first-token times beside floor and expectation; "factor" for the verdict."""
    itl = window.histograms.get("itl")
    ttft = window.histograms.get("ttft")
    seconds = itl.mean if itl else None
    # An accepted draft token arrives with its step: the step is that many times longer.
    drafts = window.counters.get("drafts", 0.0)
    tokens = 1 + window.counters.get("accepted_tokens", 0.0) / drafts if drafts else 1.0
    step = seconds * tokens if seconds else None
    first = ttft.mean if ttft else None
    out: dict[str, Value] = {"factor": None}
    out |= utilisations(resolved, p, ttft=first, tpot=step)
    if step and p.tpot:
        out["factor"] = step / p.tpot_floor  # type: ignore[assignment]
        out["itl_floor_s"] = Quantity.exact(p.tpot_floor, "s")
        low, high = (p.tpot * math.exp(p.tpot_spread[i]) for i in (1, 2))
        out["itl_expected_s"] = Quantity(p.tpot, low, high, "s", "calibrated")
        out["itl_times_the_floor"] = Quantity.exact(step / p.tpot_floor, "x")
        out["itl_percentile"] = Quantity.exact(percentile(math.log(step / p.tpot), p.tpot_spread),
                                               "1")
    if first:
        out["ttft_floor_s"] = Quantity.exact(p.ttft_floor, "s")
    return out


def _limit(resolved: Resolved | None) -> float | None:
    """Sequences a step may hold, all replicas."""
    if resolved is None:
        return None
    try:
        return float(deployed_of(resolved).policy.max_num_seqs * resolved.deployment.dp)
    except RidgelineError:
        return None


def _binding(window: Snapshot, factor: float | None, limit: float | None
             ) -> tuple[str, str, str]:
    """(what binds, why, what to do next) from queue, cache and distance to the roofline."""
    gauges = window.gauges
    running, waiting = gauges.get("running", 0.0), gauges.get("waiting", 0.0)
    usage, preempted = gauges.get("kv_usage", 0.0), window.counters.get("preemptions", 0.0)
    if waiting > 0 or preempted > 0:
        if usage >= _FULL or preempted > 0:
            return ("KV cache memory", "it is full and requests wait or are preempted",
                    "fp8 KV cache, a larger memory fraction, or more chips a replica")
        if limit and running >= _AT_LIMIT * limit:
            return ("sequence limit", f"{limit:,.0f} sequences run and the cache has room",
                    "raise max_num_seqs")
        return ("prompt compute", "requests wait while the cache has room",
                "a larger token budget, prefix caching, or another replica")
    if running == 0:
        return "load", "nothing runs", "send requests before reading the metrics"
    if factor is None:
        return "load", "nothing waits", "more requests in flight raise throughput"
    said = f"steps take {factor:.2g} times the roofline"
    if factor <= _NEAR:
        return ("decode roofline", said,
                "narrower weights or cache, more chips a replica, or speculation")
    if running < _LIGHT:
        return "load", said, "more requests in flight cost little time"
    return ("engine time", said,
            "graphs for every batch size, fewer ranks, a newer engine, asynchronous scheduling")
