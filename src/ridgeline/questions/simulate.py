"""What do users wait? Percentiles under real arrivals, from a request-level simulation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ridgeline.quantity import Basis, Quantity, format_si
from ridgeline.questions.answer import Answer
from ridgeline.questions.simulate_explain import explained
from ridgeline.questions.simulation import Asked, Simulated, run_simulation
from ridgeline.scenario import Scenario

if TYPE_CHECKING:
    from ridgeline.serving.scheduler import Scheduler

__all__ = ["Asked", "answer_of", "run_simulation", "simulate"]

def simulate(scenario: Scenario, asked: Asked | None = None, *, explain: bool = False) -> Answer:
    """Serve requests one by one through the engine's scheduler.

    Args:
        scenario: model, machine, deployment; its workload gives lengths and the closed loop's
            concurrency where neither trace nor rate is asked for.
        asked: the load, the fleet and the targets.
        explain: say what the numbers are made of: tables "step" and "beside", a derivation.

    Returns:
        an Answer with mean and percentiles of `ttft`, `tpot`, `itl`, `latency` and `queue_wait`,
        throughput, goodput, utilisation, preemptions, cost and energy; intervals come from step
        times at the ends of theirs, and from replications.

    Raises:
        BadInput: an unknown name, a load that cannot be, a malformed trace.
        Infeasible: the model, or no request, fits.
    """
    return answer_of(run_simulation(scenario, asked or Asked()), asked or Asked(), explain)


def answer_of(done: Simulated, asked: Asked, explain: bool = False) -> Answer:
    """The numbers of all seeds as an Answer; `explain` as in `simulate`, of the first seed."""
    setup = done.setup
    scenario = {**setup.resolved.scenario.to_dict(), "simulate": _settings(asked)}
    tables, derivation = explained(setup, done.runs[0]) if explain else ((), ())
    return Answer("simulate", scenario, _quantities(done, asked), tables=tables,
                  notes=(*setup.notes, *_notes(done, asked)), derivation=derivation)


_MEASURES = ("ttft", "tpot", "itl", "latency", "queue_wait")


def _settings(asked: Asked) -> dict[str, Any]:
    """What was asked for beyond the scenario, defaults left out."""
    return {f.name: getattr(asked, f.name) for f in dataclasses.fields(asked)
            if getattr(asked, f.name) != f.default}


def _spread(done: Simulated, name: str, unit: str, basis: Basis = "calibrated") -> Quantity:
    """Mean over seeds, with their 10th and 90th percentile and the ends of the step times'."""
    import numpy as np

    values = np.array([numbers.get(name, 0.0) for numbers in done.summaries])
    ends = [*np.percentile(values, (10, 90)), *(numbers.get(name, 0.0) for numbers in done.bounds)]
    middle = float(values.mean())
    return Quantity(middle, float(min(*ends, middle)), float(max(*ends, middle)), unit, basis)


def _quantities(done: Simulated, asked: Asked) -> dict[str, Any]:
    out: dict[str, Any] = {"bound": _bound(done)}
    for name in _MEASURES:
        for part in ("mean", "p50", "p90", "p95", "p99"):
            out[f"{name}_{part}_s"] = _spread(done, f"{name}_{part}", "s")
    for name, unit in (("output_tokens_per_s", "token/s"), ("prompt_tokens_per_s", "token/s"),
                       ("requests_per_s", "1/s"), ("goodput_requests_per_s", "1/s"),
                       ("attainment", "1"), ("utilisation", "1"), ("mean_batch", "1"),
                       ("kv_use", "1")):
        out[name] = _spread(done, name, unit)
    out |= _money(done)
    served = sum(len(run.start) for run in done.runs)
    out |= {"preemptions": sum(run.preemptions for run in done.runs), "requests": served,
            **{name: int(sum(numbers[name] for numbers in done.summaries))
               for name in ("refused", "turned_away")}, **_rules(done),
            "simulated_s": _spread(done, "simulated", "s"),
            "wall_s": Quantity.exact(done.wall, "s", "measured"),
            "requests_per_wall_s": Quantity.exact(served / max(done.wall, 1e-9), "1",
                                                  "measured")}
    if asked.ttft is None and asked.tpot is None:       # without targets all requests are good
        del out["goodput_requests_per_s"], out["attainment"]
    return out


def _rules(done: Simulated) -> dict[str, Any]:
    """What only some rules show: drafts accepted, prefixes found, replicas started."""
    from ridgeline.serving.autoscale import Autoscale

    first = done.summaries[0]
    out: dict[str, Any] = {name: _spread(done, name, "1") for name in (
        "prefix_hits", "prefix_loaded", "swapped", "tokens_per_step") if name in first}
    if isinstance(done.setup.fleet, Autoscale):
        out |= {"mean_replicas": _spread(done, "replicas", "1"),
                "peak_replicas": max(run.peak_replicas for run in done.runs),
                "replica_starts": sum(run.starts for run in done.runs)}
    return out


def _money(done: Simulated) -> dict[str, Quantity]:
    """Rent and energy of all replicas over the run."""
    setup, chip = done.setup, done.setup.resolved.cluster.chip
    chips = _spread(done, "replicas", "1").value * setup.resolved.deployment.chips_per_replica
    span = _spread(done, "simulated", "s").value
    tokens = sum(run.output_tokens for run in done.runs) / len(done.runs)
    out = {}
    if chip.usd_per_hour is not None and tokens:
        low, high = (usd * chips * span / 3600 / tokens * 1e6 for usd in chip.usd_per_hour)
        out["usd_per_mtok_output"] = Quantity((low + high) / 2, low, high, "USD/Mtok", "assumed")
    if chip.tdp and tokens:
        busy = _spread(done, "utilisation", "1").value
        out["energy_per_output_token_j"] = Quantity.exact(
            chip.tdp * chips * span * busy / tokens, "J", "assumed")
    return out


def _bound(done: Simulated) -> str:
    """One sentence: does the fleet keep up?"""
    first = done.summaries[0]
    share = first["utilisation"]
    if done.setup.concurrency is not None:
        return (f"a closed loop of {done.setup.concurrency} in flight makes "
                f"{format_si(first['output_tokens_per_s'], 'token/s')}")
    run = done.runs[0]
    last = float(run.arrival.max())
    waits = run.queue_wait
    waited = float(waits[-max(1, len(waits) // 10):].mean())
    # A request is noticed as a step ends, and served from the next one on: that is no queue.
    if waited > 0.1 * last and waited > 3 * run.busy / max(run.steps, 1):
        return (f"overloaded: the last tenth of {format_si(last, 's')} of arrivals waited "
                f"{format_si(waited, 's')} each, and longer as long as load lasts")
    return f"keeps up: replicas are busy {100 * share:.0f} % of the time"


def _fleet(done: Simulated) -> str:
    """The replicas in words."""
    from ridgeline.serving.autoscale import Autoscale
    from ridgeline.serving.pools import PoolFleet

    fleet = done.setup.fleet
    if isinstance(fleet, Autoscale):
        return f"{fleet.least} to {fleet.most} replicas"
    if isinstance(fleet, PoolFleet):
        return f"{fleet.prefill} prefill and {fleet.decode} decode replicas"
    return f"{fleet.replicas:,} replica{'s' * (fleet.replicas > 1)}"


def _rule_notes(done: Simulated) -> list[str]:
    """One sentence for each rule beyond the scheduler's own."""
    from ridgeline.serving.autoscale import Autoscale
    from ridgeline.serving.pools import PoolFleet

    fleet, rules, notes = done.setup.fleet, done.setup.scheduler, []
    if isinstance(fleet, PoolFleet):
        tokens = float(done.setup.requests.prompt.mean())
        sent = fleet.transfer.latency + fleet.transfer.seconds_per_token * tokens
        notes.append(f"A prompt's cache goes to the decode pool in {format_si(sent, 's')} at the "
                     "mean length, one at a time for each prefill replica.")
    if isinstance(fleet, Autoscale):
        notes.append(f"Every {format_si(fleet.every, 's')}, replicas wanted = requests in flight / "
                     f"{fleet.target:g}, rounded up; a new one serves after "
                     f"{format_si(fleet.cold_start, 's')}, one is dropped when fewer were wanted "
                     f"for {format_si(fleet.patience, 's')}. Rent runs from start to end.")
    if rules.speculation:
        notes.append(f"{rules.drafts} drafts a step, {rules.speculation.tokens_per_step:.3g} "
                     "tokens a step expected.")
    if rules.prefix_cache:
        notes.append("A prefix found in host memory or on disk is loaded beside the step that "
                     "needs it, which lasts at least as long.")
    slower = _beside_prompts(done)
    if slower > 1.05 and not isinstance(fleet, PoolFleet):
        notes.append(f"Decoding sequences take {slower:.2g} times as long in steps that read "
                     "prompts too, at the mean batch: one kernel serves both.")
    if rules.swap:
        notes.append(f"The host has room for {rules.swap.tokens:,} tokens of preempted sequences; "
                     "moving them delays the step.")
    return notes


def _beside_prompts(done: Simulated) -> float:
    """Time of decoding sequences beside prompts over that alone, at the run's mean batch."""
    setup, table = done.setup, done.setup.replica.table
    batch = max(1.0, done.runs[0].mean_batch / setup.decoding)
    context = float((setup.requests.prompt + setup.requests.output / 2).mean())
    return table.beside_prompts(batch, context) / table.decode(batch, context)


def _copies(rules: Scheduler) -> str:
    """Words for attention copies and for steps decided ahead."""
    words = ""
    if rules.ranks.count > 1:
        words += (f", for each of {rules.ranks.count} attention copies, which queue apart and step "
                  "together")
    if rules.overlap:
        words += "; steps are decided while the one before runs"
    return words


def _notes(done: Simulated, asked: Asked) -> list[str]:
    setup, rules = done.setup, done.setup.scheduler
    cache = "an unlimited KV cache" if rules.kv_blocks is None else (
        f"{rules.kv_blocks:,} KV blocks of {rules.block_size} tokens")
    notes = [f"Each of {_fleet(done)}: {rules.token_budget:,} tokens a step, "
             f"{rules.sequences:,} sequences, {cache}{_copies(rules)}.",
             "TTFT and latency run from the arrival, and include "
             f"{format_si(setup.outside, 's')} outside the engine's steps."]
    notes += _rule_notes(done)
    if setup.concurrency is not None:
        notes.append(f"The first {setup.concurrency:,} requests arrive at once, and wait for each "
                     "other's prompts; `estimate` counts four such waves.")
    refused = int(done.summaries[0]["refused"])
    if refused:
        notes.append(f"{refused:,} requests are longer than the whole KV cache and were refused.")
    notes.append("Intervals: step times at the ends of their 80 % interval"
                 + (f", and 10th to 90th percentile over {asked.seeds} seeds."
                    if asked.seeds > 1 else "."))
    if "usd_per_mtok_output" in _money(done):
        notes.append("Cost is the chips' rent for the whole run, idle time included; energy is "
                     "board power while busy.")
    from ridgeline.serving.compiled import has_numba

    if not has_numba():
        notes.append("The loop ran uncompiled; the extra 'sim' makes it far faster.")
    return notes
