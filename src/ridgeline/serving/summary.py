"""Numbers of a run that people ask for: percentiles, goodput, throughput, utilisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ridgeline.serving import layout as at
from ridgeline.serving.simulator import Run

__all__ = ["PERCENTILES", "gap_percentile", "summarise"]

PERCENTILES = (50, 90, 95, 99)
_METRICS = ("ttft", "tpot", "latency", "queue_wait")


def summarise(run: Run, *, extra: float = 0.0, ttft: float | None = None,
              tpot: float | None = None, replicas: int = 1, kv_blocks: int | None = None
              ) -> dict[str, float]:
    """Named numbers of a run, in SI units.

    Args:
        run: what happened.
        extra: seconds a request spends outside the steps (its way to the engine and back), added
            to TTFT and latency.
        ttft, tpot: targets; goodput counts the requests that keep both.
        replicas: over which busy time is shared.
        kv_blocks: of one replica, for the share in use.

    Returns:
        `ttft_mean`, `ttft_p50` ... `queue_wait_p99`, `itl_mean` ..., `requests_per_s`,
        `output_tokens_per_s`, `prompt_tokens_per_s`, `goodput_requests_per_s`, `attainment`,
        `utilisation`, `mean_batch`, `kv_use`, `preemptions`, `refused`, `turned_away`,
        `simulated`; `replicas`, the mean number that were on; and where there is such a thing,
        `prefix_hits` and `prefix_loaded` (shares of prompt tokens), `swapped`, `tokens_per_step`.
        NaN where there is nothing to measure (TPOT of single tokens).
    """
    numbers: dict[str, float] = {}
    for name in _METRICS:
        values = getattr(run, name)
        if name in ("ttft", "latency"):
            values = values + extra
        numbers[f"{name}_mean"] = float(values.mean()) if len(values) else np.nan
        found = np.percentile(values, PERCENTILES) if len(values) else [np.nan] * 4
        numbers |= {f"{name}_p{p}": float(v) for p, v in zip(PERCENTILES, found, strict=True)}
    numbers["itl_mean"] = _mean_gap(run)
    numbers |= {f"itl_p{p}": gap_percentile(run.gaps, p) for p in PERCENTILES}
    span = max(run.makespan - float(run.arrival.min(initial=0.0)), 1e-12)
    on = replicas if run.replica_seconds is None else run.replica_seconds / span
    kept = _kept(run, extra, ttft, tpot)
    served = int(np.sum(run.served))
    return numbers | {
        "requests_per_s": served / span, "output_tokens_per_s": run.output_tokens / span,
        "prompt_tokens_per_s": run.prompt_tokens / span,
        "goodput_requests_per_s": int(np.sum(kept)) / span,
        "attainment": int(np.sum(kept)) / len(run.start),
        "utilisation": run.busy / (on * span), "mean_batch": run.mean_batch, "replicas": on,
        "kv_use": run.mean_blocks / kv_blocks if kv_blocks else np.nan,
        "preemptions": run.preemptions, "turned_away": run.rejected,
        "refused": len(run.start) - served - run.rejected, "simulated": span} | _rules(run)


def _rules(run: Run) -> dict[str, float]:
    """Numbers that only some rules have."""
    numbers: dict[str, float] = {}
    if run.asked_tokens:
        numbers |= {"prefix_hits": run.found_tokens / run.asked_tokens,
                    "prefix_loaded": run.loaded_tokens / run.asked_tokens}
    if run.swapped:
        numbers["swapped"] = run.swapped
    if run.verified:
        firsts = int(np.sum(run.served))
        numbers["tokens_per_step"] = (run.output_tokens - firsts) / run.verified
    return numbers


def _kept(run: Run, extra: float, ttft: float | None, tpot: float | None) -> Any:
    """Mask of the requests served within the targets."""
    kept = run.served.copy()
    if ttft is not None:
        kept &= run.first - run.arrival + extra <= ttft
    if tpot is not None:
        kept &= (run.end - run.first) <= tpot * np.maximum(run.output - 1, 0) * (1 + 1e-12)
    return kept


def _mean_gap(run: Run) -> float:
    """Mean time between a sequence's tokens, exact: all of decoding over all of its tokens."""
    served = run.served
    tokens = float(np.sum(run.output[served] - 1))
    return float(np.sum((run.end - run.first)[served])) / tokens if tokens else np.nan


def gap_percentile(gaps: Any, percentile: float) -> float:
    """Time between tokens below which a share of them lies [s], to half a bin (0.5 %)."""
    total = float(np.sum(gaps))
    if not total:
        return float(np.nan)
    place = int(np.searchsorted(np.cumsum(gaps), percentile / 100 * total))
    middle: float = at.SHORTEST_GAP * 2.0 ** ((min(place, at.BINS - 1) + 0.5) / at.BINS_PER_OCTAVE)
    return middle
