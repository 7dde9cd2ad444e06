"""How fast? Time to first token, time per output token, throughput, the bound and the levers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from ridgeline.errors import Infeasible
from ridgeline.explain.derivation import Derivation
from ridgeline.quantity import Basis, Quantity, format_si
from ridgeline.questions.answer import Answer, Table
from ridgeline.questions.levers import levers
from ridgeline.questions.performance import (
    Performance,
    Spread,
    calibrated_performance,
    compute_peak,
    decode_context,
    deployed_of,
    ideal_performance,
    per_replica,
)
from ridgeline.questions.resolve import Resolved, resolve
from ridgeline.questions.token_speeds import steady_decode
from ridgeline.scenario import Scenario

__all__ = ["estimate"]


def estimate(scenario: Scenario, *, ideal: bool = False, advice: bool = True) -> Answer:
    """Latency and throughput of a scenario.

    Args:
        scenario: model, machine, deployment and workload.
        ideal: the textbook roofline with all efficiencies 1, instead of calibrated times.
        advice: try each change that might help; most of the time of an answer goes there.

    Returns:
        an Answer with `ttft_s`, `tpot_s`, `e2e_s`, `output_tokens_per_s`, utilisations, bounds
        and floors; tables "levers" and "ops".

    Raises:
        BadInput: an unknown name or a broken rule.
        Infeasible: the model does not fit (not with `ideal`, which only notes it).
    """
    resolved = resolve(scenario)
    notes = list(_memory_notes(resolved, ideal))
    if ideal:
        performance = ideal_performance(resolved)
        notes.append("Ideal: whole-model roofline at datasheet peaks, no queueing; throughput is "
                     "steady decoding.")
    else:
        replayed = calibrated_performance(resolved)
        performance = dataclasses.replace(replayed, decode_s=steady_decode(resolved, replayed))
        notes.append("TTFT and TPOT are means over requests of a closed loop at this concurrency; "
                     "TTFT includes the wait behind other prompts.")
    return Answer("estimate", resolved.scenario.to_dict(),
                  _quantities(resolved, performance, ideal),
                  tables=((levers(resolved, ideal=ideal),) if advice else ())
                  + _op_tables(resolved, ideal),
                  notes=tuple(notes), derivation=_derivation(resolved, performance))


def _memory_notes(resolved: Resolved, ideal: bool) -> list[str]:
    """What memory says about the workload; raises when a calibrated answer makes no sense."""
    from ridgeline.questions.fit import shortfall

    short = shortfall(resolved)
    if short and not ideal:
        raise Infeasible(short)
    if short:
        return [short]
    concurrency, context = per_replica(resolved), decode_context(resolved)
    room = deployed_of(resolved).footprint.max_concurrency(context)
    if concurrency > room:
        return [f"The KV cache of a replica holds {int(room)} such sequences at once; the other "
                f"{concurrency - int(room)} of {concurrency} wait."]
    return []


def _quantities(resolved: Resolved, p: Performance, ideal: bool) -> dict[str, Any]:
    chips, replica = resolved.deployment.chips, resolved.deployment.chips_per_replica
    basis: Basis = "derived" if ideal else "calibrated"
    chip = resolved.cluster.chip
    peak = replica * compute_peak(resolved)

    def known(value: float, unit: str, how: Basis = basis) -> Quantity:
        return Quantity.exact(value, unit, how)

    def around(value: float, unit: str, spread: Spread, floor: float = 0.0) -> Quantity:
        low, high = value * math.exp(spread[1]), value * math.exp(spread[2])
        return Quantity(value, max(low, floor), max(high, value), unit, basis)

    ends = [(p.ttft * math.exp(p.ttft_spread[i])
             + (p.e2e - p.ttft) * math.exp(p.tpot_spread[i])) for i in (1, 2)]
    ends = [min(ends[0], p.e2e), max(ends[1], p.e2e)]
    rate = p.output_tokens_per_s
    slow, fast = min(rate, rate * p.e2e / ends[1]), max(rate, rate * p.e2e / ends[0])
    mfu_decode = p.decode_flop / (p.decode_s * peak)
    return {
        "bound": (f"decode is bound by {p.bound_decode}, prefill by {p.bound_prefill}"
                  if p.tpot else f"the pass is bound by {p.bound_prefill}"),
        "ttft_s": around(p.ttft, "s", p.ttft_spread, p.ttft_floor),
        "tpot_s": around(p.tpot, "s", p.tpot_spread, p.tpot_floor),
        "e2e_s": Quantity(p.e2e, ends[0], ends[1], "s", basis),
        "output_tokens_per_s": Quantity(rate, slow, fast, "token/s", basis),
        "output_tokens_per_s_per_chip": Quantity(
            rate / chips, slow / chips, fast / chips, "token/s", basis),
        "mfu_prefill": known(p.prefill_flop / (p.prefill_s * peak), "1"),
        "mfu_decode": known(mfu_decode, "1"),
        "mbu_decode": known(p.decode_bytes / (p.decode_s * replica * chip.memory_bandwidth), "1"),
        "idle_compute_decode": known(1 - mfu_decode, "1"),
        "bound_prefill": p.bound_prefill,
        "bound_decode": p.bound_decode,
        "ttft_floor_s": known(p.ttft_floor, "s", "derived"),
        "tpot_floor_s": known(p.tpot_floor, "s", "derived"),
        "batch_decoding": known(p.batch, "1"),
        "prompt_tokens_per_s": known(resolved.scenario.workload.concurrency
                                     * resolved.scenario.workload.prompt / p.e2e, "token/s"),
    }


def _op_tables(resolved: Resolved, ideal: bool) -> tuple[Table, ...]:
    """The largest ops of a prefill and of a decode step."""
    from ridgeline.questions.roofline import op_table

    return tuple(op_table(resolved, phase, ideal=ideal, most=8) for phase in ("prefill", "decode"))


def _derivation(resolved: Resolved, p: Performance) -> tuple[Derivation, ...]:
    """The textbook formulas of both phases with this scenario's values: floors of the answer."""
    from ridgeline.explain.derivation import Given, derive
    from ridgeline.questions.textbook import whole_model
    from ridgeline.timing import textbook

    model, work, chip = whole_model(resolved), resolved.scenario.workload, resolved.cluster.chip
    context, batch = decode_context(resolved), float(per_replica(resolved))
    sheet = f"{chip.name} datasheet"
    from_config = f"{resolved.architecture.name} config"
    kv = float(resolved.architecture.cache_bytes(
        context, kv_bits=resolved.formats.kv.bytes * 8)) / context
    shared: Mapping[str, Given] = {
        "active_params": Given(model.active_params, "derived", from_config),
        "n_chips": Given(float(model.chips), "assumed", "chips of a replica"),
        "peak_flops_per_s": Given(model.peak, "datasheet", sheet),
        "memory_bandwidth": Given(model.bandwidth, "datasheet", sheet),
    }
    decode = derive(textbook.decode_step, {
        **shared, "params_read": Given(model.params_read(batch), "derived", from_config),
        "bytes_per_param": Given(model.read_bytes_per_param(batch), "derived", "formats"),
        "batch_size": Given(batch, "assumed", "concurrency of a replica"),
        "context_length": Given(context, "derived", "prompt + (output + 1) / 2"),
        "kv_bytes_per_token": Given(kv, "derived", from_config),
    }, title="Textbook decode step (TPOT floor)")
    prompt = derive(textbook.prefill, {
        **shared, "params_read": Given(model.params_read(float(work.prompt)), "derived",
                                       from_config),
        "bytes_per_param": Given(model.read_bytes_per_param(float(work.prompt)), "derived",
                                 "formats"),
        "prompt_tokens": Given(float(work.prompt), "assumed", "workload"),
        "n_layers": Given(model.n_layers, "derived", from_config),
        "d_attention": Given(model.d_attention, "derived", from_config),
        "cached_share": Given(work.prefix_hit, "assumed", "workload"),
    }, title=f"Textbook prefill of one prompt (TTFT floor; answer {format_si(p.ttft, 's')})")
    return prompt, decode
