"""Named results of `price`: costs with intervals, modes, tiers, margins, and why."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ridgeline.economics import token_cost
from ridgeline.economics.surface import price_step
from ridgeline.quantity import Basis, Quantity
from ridgeline.questions.answer import Value
from ridgeline.questions.price import ListPrice, PriceAsk, Priced, batch_for_speed, step_of

__all__ = ["quantities"]


def quantities(found: Priced) -> dict[str, Value]:
    """Every number of the answer by name; what this model does not have is left out."""
    ask, basis = found.ask, _basis(found.ask)
    cost = _around(found)
    out: dict[str, Value] = {
        "bound": _bound(found),
        "usd_per_mtok_input": cost(found.input, 0),
        "usd_per_mtok_output": cost(found.output, 1),
        "usd_per_mtok_cached": Quantity.exact(found.cached, "USD/Mtok", "derived"),
        "usd_per_request": _request(found),
        "usd_per_request_shared_loop": Quantity.exact(found.whole_loop, "USD", basis),
        "output_input_ratio": Quantity.exact(found.output / found.input, "1", basis),
        "tokens_per_s_per_user": _rate(found, 1 / found.decode_s),
        "output_tokens_per_s_per_chip": _rate(
            found, found.batch / found.decode_s / found.speeds.chips),
        "batch": Quantity.exact(found.batch, "1", basis),
        "mfu_prefill": Quantity.exact(found.mfu_prefill, "1", basis),
        "mfu_decode": Quantity.exact(found.mfu_decode, "1", basis),
        "usd_per_chip_hour": Quantity(found.rent.mid, found.rent.low, found.rent.high, "USD",
                                      "assumed"),
        "utilization": Quantity.exact(ask.utilisation, "1", "assumed"),
        **_modes(found), **_tier(found),
    }
    if ask.list_price is not None:
        out |= _margins(found, ask.list_price)
    return {k: v for k, v in out.items()
            if not (isinstance(v, Quantity) and math.isnan(v.value))}


def _basis(ask: PriceAsk) -> Basis:
    return "derived" if ask.ideal else "calibrated"


def _around(found: Priced) -> Any:
    """Interval of a cost: rent and time move apart, so their logarithms add in quadrature."""
    rent = found.rent

    def quantity(value: float, phase: int) -> Quantity:
        spread = found.spreads[phase]
        low = math.hypot(math.log(rent.low / rent.mid), min(0.0, spread[1]))
        high = math.hypot(math.log(rent.high / rent.mid), max(0.0, spread[2]))
        return Quantity(value, value * math.exp(-low), value * math.exp(high), "USD/Mtok",
                        _basis(found.ask))

    return quantity


def _rate(found: Priced, value: float) -> Quantity:
    """A rate of decoding with its interval."""
    spread = found.spreads[1]
    return Quantity(value, value * math.exp(-max(0.0, spread[2])),
                    value * math.exp(-min(0.0, spread[1])), "token/s", _basis(found.ask))


def _request(found: Priced) -> Quantity:
    """Cost of a request; its phases are taken to err together."""
    work, cost = found.resolved.scenario.workload, _around(found)
    value, low, high = found.request, found.request, found.request
    fresh = work.prompt * (1 - work.prefix_hit)
    for tokens, each, phase in ((fresh, found.input, 0), (work.output, found.output, 1)):
        if tokens and math.isfinite(each):
            ends = cost(each, phase)
            low -= tokens * (each - ends.low) / 1e6
            high += tokens * (ends.high - each) / 1e6
    return Quantity(value, low, high, "USD", _basis(found.ask))


def _modes(found: Priced) -> dict[str, Value]:
    """Batch service at the largest batch that fits, and the fast mode that was asked for."""
    if not math.isfinite(found.output):
        return {}
    contexts, batches, costs = step_of(found)
    near = int(np.argmin(np.abs(contexts - found.context)))
    basis = _basis(found.ask)
    out: dict[str, Value] = {
        "batch_mode_batch": Quantity.exact(float(batches[near]), "1", basis),
        "batch_mode_price_multiple": Quantity.exact(
            float(costs[near]) / found.output, "x", basis)}
    if found.ask.speed is not None:
        batch, cost = batch_for_speed(found, found.ask.speed)
        out |= {"fast_mode_batch": Quantity.exact(batch, "1", basis),
                "fast_mode_usd_per_mtok": Quantity.exact(cost, "USD/Mtok", basis),
                "fast_mode_price_multiple": Quantity.exact(cost / found.output, "x", basis)}
    return out


def _tier(found: Priced) -> dict[str, Value]:
    """Where the cache takes over, and the price step that follows the cost best."""
    if not math.isfinite(found.output) or found.kv_bytes <= 0:
        return {}
    from ridgeline.timing.critical_batch import kv_knee

    out: dict[str, Value] = {
        "kv_bytes_per_token": Quantity.exact(found.kv_bytes, "B"),
        "kv_knee_tokens": Quantity.exact(float(kv_knee(
            active_params=float(found.resolved.architecture.active_params), ridge=found.ridge,
            kv_bytes_per_token=found.kv_bytes)), "token"),
    }
    contexts, _, costs = step_of(found)
    if len(contexts) >= 4:
        threshold, multiple = price_step(contexts, costs)
        out["tier_threshold_tokens"] = Quantity.exact(threshold, "token", _basis(found.ask))
        out["tier_price_multiple"] = Quantity.exact(multiple, "x", _basis(found.ask))
    return out


def _margins(found: Priced, sold: ListPrice) -> dict[str, Value]:
    work = found.resolved.scenario.workload
    bill = float(token_cost.request_price(
        prompt_tokens=float(work.prompt), output_tokens=float(work.output),
        cached_share=work.prefix_hit, input_usd_per_mtok=sold.input,
        cached_usd_per_mtok=sold.input if sold.cached is None else sold.cached,
        output_usd_per_mtok=sold.output))

    def margin(cost: float, at: float) -> Quantity:
        return Quantity.exact(float(token_cost.gross_margin(
            cost_per_mtok=cost, usd_per_mtok=at)), "1", _basis(found.ask))

    full = found.request * found.ask.utilisation
    return {"margin_input": margin(found.input, sold.input),
            "margin_output": margin(found.output, sold.output),
            "margin_request": margin(found.request, bill),
            "break_even_utilization": Quantity.exact(float(token_cost.break_even_utilisation(
                cost_per_mtok=full, usd_per_mtok=bill)), "1", _basis(found.ask))}


def _bound(found: Priced) -> str:
    prefill, decode = found.bounds
    if not math.isfinite(found.output):
        return f"reading is bound by {prefill}"
    gap = found.output / found.input
    if gap < 1.05:
        return (f"decode is bound by {decode}, and this batch decodes as well as prompts are read: "
                "output costs no more than input")
    return (f"decode is bound by {decode}, prefill by {prefill}; decoding reaches "
            f"{found.mfu_decode:.1%} of the peak and reading {found.mfu_prefill:.0%}, so an output "
            f"token costs {gap:.1f}x an input token")
