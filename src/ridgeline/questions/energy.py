"""How much energy? A token, a request and a run, at the meter and added up from the parts."""

from __future__ import annotations

import math
from typing import Any

from ridgeline.economics import energy_use
from ridgeline.explain.derivation import Derivation, Given, derive
from ridgeline.quantity import Basis, Quantity
from ridgeline.questions.answer import Answer, Cell, Table, Value
from ridgeline.questions.energy_account import EnergyAsk, Joules, Phase, joules
from ridgeline.training.run_plan import run_emissions

__all__ = ["EnergyAsk", "Joules", "Phase", "energy", "joules"]


def energy(ask: EnergyAsk) -> Answer:
    """Energy of a token, a request and a run, at the meter and bottom-up, with carbon.

    Returns:
        an Answer with `joules_per_output_token` and `joules_per_prompt_token` (chips alone, at
        their power), the same bottom-up, `watt_hours_per_1k_tokens` and `watt_hours_per_request`
        at the building's meter, grams of CO2, `run_mwh`; tables "parts" and "levers".

    Raises:
        BadInput: an unknown name, a chip without a known power, or values out of range.
        Infeasible: the model does not fit (not with `ideal`).
    """
    from ridgeline.questions.energy_levers import lever_table

    found = joules(ask)
    tables = [_parts(found), lever_table(found)]
    return Answer("energy", _asked(found), _quantities(found),
                  tuple(t for t in tables if t.rows), _notes(found), _derivation(found))


def _quantities(found: Joules) -> dict[str, Value]:
    ask, work = found.ask, found.resolved.scenario.workload
    basis: Basis = "derived" if ask.ideal else "calibrated"

    def exact(value: float, unit: str) -> Quantity:
        return Quantity.exact(value, unit, basis)

    read, parts = found.meter(found.prefill), found.bottom_up(found.prefill)
    fresh = work.prompt * (1 - work.prefix_hit)
    request, low = read * fresh, parts * fresh
    out: dict[str, Value] = {"joules_per_prompt_token": _around(found, read, 0),
                             "joules_per_prompt_token_bottom_up": exact(parts, "J")}
    if found.decode is not None:
        made, parts = found.meter(found.decode), found.bottom_up(found.decode)
        request, low = request + made * work.output, low + parts * work.output
        out = {"bound": _bound(found), "joules_per_output_token": _around(found, made, 1),
               "joules_per_output_token_bottom_up": exact(parts, "J"), **out,
               "watt_hours_per_1k_tokens": exact(
                   float(energy_use.watt_hours(energy=1000 * made * ask.pue)), "Wh"),
               **_read_back(found, parts)}
    at_meter = request * ask.pue
    run = at_meter / max(work.output, 1) * ask.run_tokens
    return out | {
        "watt_hours_per_request": exact(float(energy_use.watt_hours(energy=at_meter)), "Wh"),
        "watt_hours_per_request_bottom_up": exact(
            float(energy_use.watt_hours(energy=low * ask.pue)), "Wh"),
        "grams_co2_per_request": exact(1e3 * float(run_emissions(
            energy=at_meter, grams_per_kwh=ask.grams_per_kwh)), "g"),
        "usd_electricity_per_request": exact(at_meter / 3.6e6 * ask.usd_per_kwh, "USD"),
        "run_mwh": exact(run / 3.6e9, "MWh"),
        "run_co2_tonnes": exact(float(run_emissions(
            energy=run, grams_per_kwh=ask.grams_per_kwh)) / 1e3, "t"),
        "machine_power_w": exact(found.watts * found.resolved.deployment.chips * ask.pue, "W"),
        "pj_per_flop": Quantity.exact(found.per_flop * 1e12, "pJ", "derived"),
        "pj_per_bit_memory": Quantity(found.memory.mid * 1e12, found.memory.low * 1e12,
                                      found.memory.high * 1e12, "pJ", "assumed"),
    }


def _around(found: Joules, value: float, phase: int) -> Quantity:
    """Energy at the meter, which goes with time, with its interval."""
    spread = found.spreads[phase]
    return Quantity(value, value * math.exp(min(0.0, spread[1])),
                    value * math.exp(max(0.0, spread[2])), "J",
                    "derived" if found.ask.ideal else "calibrated")


def _read_back(found: Joules, least: float) -> dict[str, Value]:
    """What a claimed energy of an output token says: the rate behind it, and if it can be."""
    claimed = found.ask.claimed_joules
    if claimed is None:
        return {}
    rate = energy_use.token_rate_from_energy(
        n_chips=float(found.resolved.deployment.chips), chip_watts=found.watts,
        joules_per_token=claimed)
    return {"claimed_tokens_per_s": Quantity.exact(float(rate), "token/s", "derived"),
            "claimed_is_possible": claimed >= least}


def _bound(found: Joules) -> str:
    assert found.decode is not None
    shares = _shares(found, found.decode)
    largest = max(shares, key=lambda name: shares[name])
    total = found.bottom_up(found.decode) / found.meter(found.decode)
    return (f"{shares[largest]:.0%} of an output token's energy goes into {largest}; the parts add "
            f"up to {total:.0%} of the chips' power")


def _shares(found: Joules, phase: Phase) -> dict[str, float]:
    """Share of each part in the bottom-up energy."""
    parts = _split(found, phase)
    return {name: value / sum(parts.values()) for name, value in parts.items()}


def _split(found: Joules, phase: Phase) -> dict[str, float]:
    """Joules of a step by part."""
    return {"arithmetic": phase.flop * found.per_flop,
            "memory": float(energy_use.bit_energy(memory_bytes=phase.memory_bytes,
                                                  joules_per_bit=found.memory.mid)),
            "links": float(energy_use.bit_energy(memory_bytes=phase.message_bytes,
                                                 joules_per_bit=found.link.mid)),
            "idle power": found.idle_watts * found.chips * phase.seconds}


def _parts(found: Joules) -> Table:
    rows: list[list[Cell]] = []
    for phase in filter(None, (found.decode, found.prefill)):
        shares = _shares(found, phase)
        rows += [[phase.name, name, value / phase.tokens, shares[name]]
                 for name, value in _split(found, phase).items()]
        rows.append([phase.name, "all parts", found.bottom_up(phase), 1.0])
        rows.append([phase.name, "at the meter", found.meter(phase),
                     found.meter(phase) / found.bottom_up(phase)])
    return Table.of("parts", {"phase": "1", "part": "1", "a token": "J", "share": "1"}, rows,
                    title="Energy of a token, part by part, chips alone")


def _notes(found: Joules) -> tuple[str, ...]:
    chip = found.resolved.cluster.chip
    source = "given" if found.ask.watts else f"board power of {chip.name}"
    return (f"At the meter: {found.watts:g} W a chip ({source}), busy or not; hosts, switches and "
            "fans only if --watts holds them. Machine, request and run also pay a PUE of "
            f"{found.ask.pue:g}.",
            f"Memory: {found.memory.source}. Links: {found.link.source}.",
            "An operation: board power less idle share and memory at full rate, over the dense "
            "peak; idle share is assumed.")


def _derivation(found: Joules) -> tuple[Derivation, ...]:
    phase = found.decode or found.prefill
    chip = found.resolved.cluster.chip
    top = derive(energy_use.token_energy, {
        "n_chips": Given(float(found.chips), "assumed", "chips of a replica"),
        "chip_watts": Given(found.watts, "datasheet", f"{chip.name}"),
        "throughput": Given(phase.tokens / phase.seconds, "calibrated", phase.name)},
        title=f"Energy of a token at the meter ({phase.name})")
    parts = derive(energy_use.bottom_up_energy, {
        "flop": Given(phase.flop, "derived", "config"),
        "joules_per_flop": Given(found.per_flop, "derived", "flop_joules"),
        "memory_bytes": Given(phase.memory_bytes, "derived", "config and formats"),
        "joules_per_bit": Given(found.memory.mid, "assumed", found.memory.source),
        "message_bytes": Given(phase.message_bytes, "derived", "collectives of a step"),
        "link_joules_per_bit": Given(found.link.mid, "assumed", found.link.source),
        "idle_watts": Given(found.idle_watts * found.chips, "assumed", "idle share"),
        "step_time": Given(phase.seconds, "calibrated", phase.name)},
        title=f"Energy of a {phase.name} step from its parts")
    return top, parts


def _asked(found: Joules) -> dict[str, Any]:
    ask = found.ask
    return {**found.resolved.scenario.to_dict(), "watts": found.watts, "pue": ask.pue,
            "grams_per_kwh": ask.grams_per_kwh, "idle_share": ask.idle_share,
            "run_tokens": ask.run_tokens, "ideal": ask.ideal}
