"""Every formula of the room that has an inverse: they undo each other over ten decades."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.economics import cache_cost, demand, domain_limits, energy_use, token_cost
from ridgeline.economics.memory_tiers import LIFETIME
from ridgeline.timing.critical_batch import kv_knee
from ridgeline.timing.textbook import model_flops_utilisation, prefill_ceiling

amount = st.floats(1e-5, 1e5)
share = st.floats(0.01, 0.99)
large = st.floats(1e6, 1e16)


def same(found: Any, wanted: float) -> None:
    assert found == pytest.approx(wanted, rel=1e-9)


@given(amount, amount, amount, share)
def test_price_and_rate(chips: float, rent: float, rate: float, sold: float) -> None:
    paid = {"n_chips": chips, "usd_per_chip_hour": rent, "utilisation": sold}
    cost = token_cost.token_cost(**paid, throughput=rate)
    same(token_cost.throughput_from_price(**paid, usd_per_mtok=cost), rate)


@given(large, amount, large, share)
def test_price_and_utilisation(flop: float, rent: float, peak: float, mfu: float) -> None:
    chip = {"flop_per_token": flop, "usd_per_chip_hour": rent, "peak_flops_per_s": peak}
    cost = token_cost.mfu_token_cost(**chip, mfu=mfu)
    same(token_cost.mfu_from_price(**chip, usd_per_mtok=cost), mfu)


@given(share, share)
def test_price_gap_and_decode_utilisation(prefill: float, decode: float) -> None:
    gap = token_cost.price_ratio(prefill_mfu=prefill, decode_mfu=decode)
    same(token_cost.decode_mfu_from_ratio(prefill_mfu=prefill, price_gap=gap), decode)


@given(amount, share)
def test_margin_and_price(cost: float, margin: float) -> None:
    at = token_cost.price_for_margin(cost_per_mtok=cost, margin=margin)
    same(token_cost.gross_margin(cost_per_mtok=cost, usd_per_mtok=at), margin)


@given(amount, amount, amount, amount)
def test_break_even_utilisation_earns_nothing(chips: float, rent: float, rate: float,
                                              sold_at: float) -> None:
    full = token_cost.token_cost(n_chips=chips, usd_per_chip_hour=rent, throughput=rate)
    used = token_cost.break_even_utilisation(cost_per_mtok=full, usd_per_mtok=sold_at)
    same(token_cost.token_cost(n_chips=chips, usd_per_chip_hour=rent, throughput=rate,
                               utilisation=used), sold_at)


@given(amount, amount, amount)
def test_hold_cost_break_even_and_premium(kv: float, memory: float, seconds: float) -> None:
    where = {"kv_bytes_per_token": kv}
    cost = cache_cost.hold_cost(**where, usd_per_gb_hour=memory, hold_time=seconds)
    same(cache_cost.break_even_hold(**where, cost_per_mtok=cost, usd_per_gb_hour=memory), seconds)
    same(cache_cost.gb_hour_from_premium(**where, usd_per_mtok=cost, hold_time=seconds), memory)


@given(amount, share)
def test_reuses_and_write_price(reuses: float, read: float) -> None:
    write = cache_cost.write_multiple_for_reuses(reuses=reuses, read_multiple=read)
    found = cache_cost.break_even_reuses(write_multiple=write, read_multiple=read)
    assert found == pytest.approx(reuses, rel=1e-6, abs=1e-12)
    # Writing and reading so often costs as much as paying in full each time.
    assert write + found * read == pytest.approx(1 + found)


@given(large, amount, amount)
def test_knee_and_cache_size(active: float, ridge: float, kv: float) -> None:
    knee = kv_knee(active_params=active, ridge=ridge, kv_bytes_per_token=kv)
    same(cache_cost.implied_kv_bytes(active_params=active, ridge=ridge, context_length=knee), kv)


@given(amount, amount, amount, st.floats(1.0, 3.0))
def test_energy_and_rate(chips: float, watts: float, rate: float, pue: float) -> None:
    powered = {"n_chips": chips, "chip_watts": watts, "pue": pue}
    spent = energy_use.token_energy(**powered, throughput=rate)
    same(energy_use.token_rate_from_energy(**powered, joules_per_token=spent), rate)


@given(amount, amount, share, amount)
def test_users_and_chips(rate: float, each: float, active: float, chips: float) -> None:
    user = {"token_rate": each, "active_share": active}
    users = demand.users_served(throughput=rate, **user)
    same(demand.chips_for_users(users=users, throughput=rate, n_chips=chips, **user), chips)


@given(large, amount, large, share)
def test_fleet_passes_and_utilisation(active: float, chips: float, peak: float,
                                      mfu: float) -> None:
    passes = prefill_ceiling(active_params=active, n_chips=chips, peak_flops_per_s=peak, mfu=mfu)
    same(model_flops_utilisation(throughput=passes, flop_per_token=2 * active, n_chips=chips,
                                 peak_flops_per_s=peak), mfu)


@given(st.integers(1, 5000), st.floats(0.1, 1e4), st.floats(0, 1e6))
def test_chips_and_limits(chips: int, each: float, fixed: float) -> None:
    # A hair above, since the product may round to just below a whole chip.
    limit = (fixed + chips * each) * (1 + 1e-9)
    found = domain_limits.chips_within(limit=limit, per_chip=each, fixed_use=fixed)
    assert chips <= found <= chips + (fixed + chips * each) * 1e-9 / each + 1


@given(share, large, amount)
def test_a_pool_at_its_break_even_costs_no_time(part: float, bandwidth: float,
                                                chips: float) -> None:
    pool = domain_limits.break_even_pool_bandwidth(pool_share=part, memory_bandwidth=bandwidth)

    def step(at: Any) -> float:
        return float(domain_limits.pool_step_time(
            step_bytes=1e12, pool_share=part, memory_bandwidth=bandwidth, pool_bandwidth=at,
            n_chips=chips))

    local = 1e12 * (1 - part) / (chips * bandwidth)
    same(step(pool), local)
    assert step(pool / 2) == pytest.approx(2 * local)
    assert step(pool * 2) == pytest.approx(local)


@given(st.floats(1e3, 1e6), st.floats(0.0, 0.3), st.floats(10.0, 3000.0))
def test_rent_equal_to_owning_pays_back_over_the_lifetime(price: float, yearly: float,
                                                          watts: float) -> None:
    running = {"purchase_usd": price, "yearly_share": yearly, "chip_watts": watts, "pue": 1.2,
               "usd_per_kwh": 0.08}
    hourly = float(demand.owning_cost_hour(lifetime=LIFETIME, **running))
    months = float(demand.buying_months(usd_per_chip_hour=hourly, **running))
    assert months == pytest.approx(LIFETIME / 3600 / 730.5, rel=1e-6)


@given(share, st.floats(1e12, 1e16), st.floats(1e11, 1e13), share)
def test_parts_at_both_roofs_add_up_to_the_board_power(idle: float, peak: float,
                                                       bandwidth: float, busy: float) -> None:
    watts = 8 * bandwidth * 5e-12 / (1 - idle) + 300.0
    each = energy_use.flop_joules(chip_watts=watts, idle_share=idle, memory_bandwidth=bandwidth,
                                  joules_per_bit=5e-12, peak_flops_per_s=peak)

    def drawn(flop: float, moved: float) -> float:
        return float(energy_use.bottom_up_energy(
            flop=flop, joules_per_flop=each, memory_bytes=moved, joules_per_bit=5e-12,
            message_bytes=0.0, link_joules_per_bit=0.0, idle_watts=watts * idle, step_time=1.0))

    same(drawn(peak, bandwidth), watts)
    # Whatever stays under the roofs draws less than the board may.
    assert drawn(peak * busy, bandwidth * busy) < watts
    assert math.isclose(drawn(0.0, 0.0), watts * idle)
