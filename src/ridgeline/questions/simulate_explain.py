"""What a simulation's numbers are made of: parts of a step, and closed forms beside the run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ridgeline.errors import RidgelineError
from ridgeline.questions.answer import Table

if TYPE_CHECKING:
    from ridgeline.questions.simulation import Setup
    from ridgeline.serving.simulator import Run

__all__ = ["explained"]


def explained(setup: Setup, run: Run) -> tuple[tuple[Table, ...], tuple[Any, ...]]:
    """(tables, derivations) of a run.

    Args:
        setup: what was run.
        run: its outcome.

    Returns:
        table "step" (a decode step at the run's mean batch, by part), table "beside" (simulated
        numbers beside what simple formulas say of the same load), and the derivation of the wait
        of prompts read one after another, where such a queue has a steady state.
    """
    step = _decode_step(setup, run)
    return ((_step_table(step), _beside(setup, run, sum(step.values()))),
            _prompt_queue(setup, run))


def _context(run: Run) -> float:
    """Mean length of the sequences in a batch: each counts for as many steps as it has tokens."""
    weights = run.output[run.served].astype(float)
    lengths = run.prompt[run.served] + run.output[run.served] / 2
    return float((lengths * weights).sum() / max(float(weights.sum()), 1.0))


def _decode_step(setup: Setup, run: Run) -> dict[str, float]:
    """Seconds of a decode step at the mean batch and context, by part."""
    table, factor = setup.replica.table, setup.factors.decode
    batch = max(1.0, run.mean_batch)
    parts = {"every step": table.fixed,
             "by tokens (matrices, experts, network)": float(table.tokens(batch)),
             "by sequences and their cache": float(table.decode(batch, _context(run))),
             "logits and sampling": float(table.logits(batch))}
    parts = {name: seconds * factor for name, seconds in parts.items()}
    whole = sum(parts.values())
    seen = _mean_step(run)
    # Steps are longer than their mean size says when they read prompts or wait for other ranks.
    return {**parts, "prompts in the same steps, ranks waited for": max(0.0, seen - whole)}


def _mean_step(run: Run) -> float:
    """Mean time of a step [s]."""
    return run.busy / max(run.steps, 1)


def _step_table(step: dict[str, float]) -> Table:
    whole = sum(step.values()) or 1.0
    rows = [(name, seconds, 100 * seconds / whole) for name, seconds in step.items()]
    return Table.of("step", {"part": "1", "time": "s", "share": "%"},
                    [*rows, ("mean step", whole, 100.0)], title="A step at the mean batch")


def _beside(setup: Setup, run: Run, step: float) -> Table:
    rules, decoding = setup.scheduler, setup.decoding
    latency = run.latency
    span = max(run.makespan - float(run.arrival.min()), 1e-12)
    rate = int(run.served.sum()) / span
    in_flight = float(latency.sum()) / span
    rows: list[Any] = [
        ("output tokens a second", run.output_tokens / span,
         run.mean_batch * decoding / step * run.busy / max(decoding * span, 1e-12),
         "mean batch / mean step, times utilisation"),
        ("requests in flight", in_flight, rate * float(latency.mean()), "Little: rate x latency")]
    if setup.concurrency is None:
        wait = _seat_wait(setup, run) + _mean_step(run) / 2     # noticed as a step ends
        rows.append(("queue wait [s]", float(run.queue_wait.mean()), wait,
                     "M/M/c of all seats, and half a step" if math.isfinite(wait)
                     else "M/M/c: overloaded, grows"))
    if rules.all_blocks is not None:
        blocks = run.mean_batch * -(-_context(run) // rules.block_size)
        rows.append(("KV blocks of a replica", run.mean_blocks, blocks,
                     f"mean batch x mean context, of {rules.all_blocks:,}"))
    return Table.of("beside", {"what": "1", "simulated": "1", "formula": "1", "by": "1"}, rows,
                    title="Beside simple formulas")


def _seat_wait(setup: Setup, run: Run) -> float:
    """Mean wait of M/M/c whose servers are the seats of all replicas; infinite when overloaded."""
    from ridgeline.serving.queueing import mmc_wait

    served = run.served
    seats = setup.scheduler.sequences * setup.scheduler.ranks.count * setup.decoding
    inside = float((run.end - run.start)[served].mean())
    last = float(run.arrival.max()) - float(run.arrival.min())
    rate = len(run.arrival) / last if last > 0 else math.inf
    if not math.isfinite(rate) or rate * inside >= seats:
        return math.inf
    try:
        return mmc_wait(rate, inside, min(seats, 100_000))
    except RidgelineError:
        return math.inf


def _prompt_queue(setup: Setup, run: Run) -> tuple[Any, ...]:
    """The wait if each replica read prompts one after another and did nothing else."""
    import numpy as np

    from ridgeline.explain.derivation import Given, derive
    from ridgeline.serving.queueing import mg1_wait

    last = float(run.arrival.max()) - float(run.arrival.min())
    if setup.concurrency is not None or last <= 0:
        return ()
    table, budget = setup.replica.table, setup.scheduler.token_budget
    lengths, counts = np.unique(run.prompt[run.served], return_counts=True)
    each = np.array([_alone(table, int(n), budget) for n in lengths[:2000]])
    each = each * setup.factors.prompts
    weights = counts[:2000]
    mean = float(np.average(each, weights=weights))
    cv = math.sqrt(float(np.average((each - mean) ** 2, weights=weights))) / mean
    rate = len(run.arrival) / last / setup.replicas
    if rate * mean >= 1:
        return ()
    return (derive(mg1_wait, {
        "arrival_rate": Given(rate, "derived", "arrivals over replicas"),
        "service_time": Given(mean, "calibrated", "a prompt alone, in chunks of the budget"),
        "service_cv": Given(cv, "derived", "of the prompts' times")},
        title="Wait if prompts were read one after another"),)


def _alone(table: Any, prompt: int, budget: int) -> float:
    """Time of a prompt alone [s]."""
    whole, rest = divmod(prompt, budget)
    seconds = sum(float(table.fixed + table.tokens(budget) + table.prefill(budget, k * budget))
                  for k in range(whole))
    if rest:
        seconds += float(table.fixed + table.tokens(rest) + table.prefill(rest, whole * budget))
    return seconds
