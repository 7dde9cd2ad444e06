"""Worked values of price, cache, energy, racks and fleets, at 0.5 %."""

from typing import Any

import pytest

from ridgeline.catalog import load_chip
from ridgeline.economics import cache_cost, demand, domain_limits, energy_use, token_cost
from ridgeline.economics.memory_tiers import tier_costs
from ridgeline.quantity import parse_quantity
from ridgeline.questions.answer import Answer
from ridgeline.questions.cache import CacheAsk
from ridgeline.questions.cache import cache as ask_cache
from ridgeline.questions.demand import DemandAsk
from ridgeline.questions.demand import demand as ask_demand
from ridgeline.questions.energy import EnergyAsk, energy
from ridgeline.questions.fleet import FleetAsk, fleet
from ridgeline.questions.fleet_pools import Load
from ridgeline.questions.price import ListPrice, PriceAsk, price
from ridgeline.questions.rack import RackAsk, rack
from ridgeline.scenario import Scenario
from ridgeline.serving.queueing import train_schedule
from ridgeline.timing.textbook import decode_step, latency_floor
from ridgeline.training.run_plan import run_emissions

from .shapes import H100, LLAMA_70B

MACHINE: dict[str, Any] = {"n_chips": 8, "peak_flops_per_s": H100.bf16,
                           "memory_bandwidth": H100.bandwidth}


def near(value: float, rel: float = 0.005) -> Any:
    return pytest.approx(value, rel=rel)


def served(**fields: Any) -> Scenario:
    """Llama-3-70B on 8 H100 at a context of 8,192."""
    return Scenario.from_fields({"model": "Llama-3.1-70B", "machine": "8xH100-SXM",
                                 "prompt": 8191, "output": 1, **fields})


def table(answer: Answer, name: str) -> dict[Any, tuple[Any, ...]]:
    """Rows of a table by their first cell."""
    return {row[0]: row for row in next(t for t in answer.tables if t.name == name).rows}


def step(batch: float, context: float) -> float:
    return float(decode_step(
        params_read=LLAMA_70B.params, active_params=LLAMA_70B.params, batch_size=batch,
        context_length=context, kv_bytes_per_token=327680, bytes_per_param=2, **MACHINE))


def test_train_schedule_and_drain_times() -> None:
    train = train_schedule(2000, 0.020, 64)
    assert train["load"] == near(0.625)
    assert (train["light_wait"], train["light_worst"]) == (near(0.010), near(0.020))
    assert train["light_worst"] + 0.020 <= 0.040
    for name, drain in (("H100-SXM", 23.9e-3), ("A100-SXM-80GB", 39.2e-3), ("H200-SXM", 29.4e-3),
                        ("B200-SXM", 24.0e-3), ("TPU-v5e", 19.5e-3)):
        chip = load_chip(name)
        assert cache_cost.drain_time(memory_bytes=chip.memory_bytes,
                                     memory_bandwidth=chip.memory_bandwidth) == near(drain)


def test_scale_up_domain() -> None:
    answer = rack(RackAsk())
    assert answer.value("cables") == 5184
    assert answer.value("power_w") == near(104.4e3)
    assert table(answer, "limits")["cooling"][1] == 82      # 120 kW at 1.45 kW a GPU


def test_optics() -> None:
    for joules, watts in ((25e-12, 180), (5e-12, 36)):
        assert domain_limits.link_power(network_bandwidth=900e9,
                                        joules_per_bit=joules) == near(watts)
    assert domain_limits.fibre_latency(cable_length=100.0) == near(0.49e-6)
    assert parse_quantity("1 Tbit/s", "B/s") == near(125e9)
    link = load_chip("H100-SXM").scale_up
    assert link is not None and parse_quantity("1 Tbit/s", "B/s") < link.bandwidth


def test_memory_pool() -> None:
    answer = rack(RackAsk(model="1T", weights="fp8", pool_share=0.2, pool_bandwidth=100e9))
    assert table(answer, "pool")[0.2][1] == near(27.8e-3)
    assert answer.value("step_floor_s") == near(1.74e-3)
    assert answer.value("memory_bytes") == near(13.4e12)


def test_price_of_a_token() -> None:
    rate = token_cost.throughput_from_price(n_chips=128, usd_per_chip_hour=1.0, usd_per_mtok=4.9)
    assert rate * 3600 == near(26.12e6)
    assert rate / 128 == near(56.7)
    answer = price(PriceAsk(served(concurrency=64), usd_per_hour=2.0, ideal=True))
    assert answer.value("usd_per_mtok_output") == near(0.81)


@pytest.mark.parametrize(("batch", "milliseconds", "usd"), [
    (256, 30.9, 0.537), (32, 8.47, 1.176), (8, 6.07, 3.37), (1, 5.37, 23.85)])
def test_fast_mode(batch: int, milliseconds: float, usd: float) -> None:
    answer = price(PriceAsk(served(concurrency=256), usd_per_hour=2.0, ideal=True))
    fast = table(answer, "fast_mode")
    assert 1e3 / fast[batch][1] == near(milliseconds)
    assert fast[batch][3] == near(usd)
    assert (fast[32][2], fast[32][4]) == (near(3.65), near(2.19))


def test_fast_mode_without_context() -> None:
    for batch in (8, 64, 295):
        assert step(batch, 0) == near(5.265e-3)
    costs = [token_cost.token_cost(n_chips=8, usd_per_chip_hour=2.0, throughput=b / step(b, 0))
             for b in (8, 295)]
    assert costs == [near(2.93), near(0.079)]


def test_input_against_output() -> None:
    common = {"flop_per_token": 2 * LLAMA_70B.params, "usd_per_chip_hour": 2.0,
              "peak_flops_per_s": H100.bf16}
    assert token_cost.mfu_token_cost(**common, mfu=0.60) == near(0.132)
    assert token_cost.mfu_token_cost(**common, mfu=0.15) == near(0.528)
    assert token_cost.price_ratio(prefill_mfu=0.60, decode_mfu=0.15) == near(4.0)
    assert token_cost.decode_mfu_from_ratio(prefill_mfu=0.75, price_gap=5) == near(0.15)


def test_context_price_knee() -> None:
    assert cache_cost.implied_kv_bytes(active_params=100e9, ridge=H100.bf16 / H100.bandwidth,
                                       context_length=200e3) == near(3386)
    assert cache_cost.implied_kv_bytes(active_params=37e9, ridge=300,
                                       context_length=200e3) == near(1233)


def test_cache_tiers() -> None:
    answer = ask_cache(CacheAsk(served(), usd_per_hour=2.0, prefill_mfu=0.6))
    tiers = table(answer, "tiers")
    assert tiers["device memory"][1] == near(0.683)
    assert tiers["device memory"][2] == near(8.19)
    assert answer.value("recompute_usd_per_mtok") == near(0.132)
    assert answer.value("break_even_device_s") / 60 == near(0.97)
    assert answer.value("break_even_reuses_300s") == near(0.278)
    assert answer.value("break_even_reuses_3600s") == near(1.11)
    per_minute = [cache_cost.hold_premium_rate(write_multiple=w, hold_time=t)
                  for w, t in ((1.25, 300.0), (2.0, 3600.0))]
    assert per_minute[0] / per_minute[1] == near(3.0)


def test_drain_times_of_tiers() -> None:
    from ridgeline.economics.dated import chip_rent

    drains = {t.name: t.drain for t in tier_costs(load_chip("H100-SXM"), chip_rent("H100", 2.0))}
    assert drains["device memory"] == near(0.024)
    # Rounded in the text, for parts of no stated size.
    assert drains["host DRAM"] == near(2.5, 0.1)
    assert drains["NVMe flash"] == near(18 * 60, 0.03)
    assert drains["hard disk"] == near(24 * 3600, 0.01)


def test_users_of_a_fleet() -> None:
    def users(**fields: Any) -> float:
        return ask_demand(DemandAsk(served(**fields), batch=256, decode_only=True, ideal=True,
                                    usd_per_hour=2.0)).value("users_served")

    assert users() == near(2761)
    assert users(weights="fp8", kv="fp8") / users() == near(2.0, 0.01)


def test_tpu_against_gpu() -> None:
    b200, h100 = load_chip("B200-SXM"), load_chip("H100-SXM")
    bandwidth = b200.memory_bandwidth / h100.memory_bandwidth
    assert (bandwidth, b200.peak("bf16") / h100.peak("bf16")) == (near(2.39), near(2.27))
    assert token_cost.chip_value_ratio(rate_factor=bandwidth, price_factor=4 / 2) == near(1.19)


def test_margin() -> None:
    answer = price(PriceAsk(served(concurrency=64), usd_per_hour=2.0, utilisation=0.4,
                            list_price=ListPrice(3.0, 3.0), ideal=True))
    assert answer.value("usd_per_mtok_output") == near(2.03)
    assert answer.value("margin_output") == near(0.32, 0.02)    # given as a whole percent


def test_energy_of_a_token() -> None:
    answer = energy(EnergyAsk(served(concurrency=64), ideal=True))
    assert answer.value("joules_per_output_token") == near(1.02)
    assert answer.value("watt_hours_per_1k_tokens") == near(0.34)
    assert energy_use.bit_energy(memory_bytes=2 * LLAMA_70B.params,
                                 joules_per_bit=4e-12) == near(4.5)


def test_accuracy_for_watts_and_carbon() -> None:
    assert energy_use.accuracy_per_kilowatt(accuracy=0.42, chip_watts=5600) == near(0.075)
    assert energy_use.accuracy_per_kilowatt(accuracy=0.40, chip_watts=1400) == near(0.286)
    assert run_emissions(energy=495 * 3.6e9, grams_per_kwh=400.0) == near(198e3)


def test_fleet_passes() -> None:
    answer = fleet(FleetAsk("100000xH100-SXM", "280B", Load(decode_mfu=0.15)))
    assert answer.value("decode_passes_per_s") == near(2.65e7)
    assert answer.value("decode_tokens_per_day") == near(2.29e12)
    assert answer.value("ceiling_passes_per_s") == near(1.77e8)
    assert answer.value("floor_passes_per_s") == near(5.98e5)
    assert answer.value("reused_compute_share") == near(0.45, 0.02)
    assert demand.reused_compute_share(serve_mfu=0.15, train_mfu=0.33) == near(15 / 33)


def test_active_shares_and_size() -> None:
    shares = {name: fleet(FleetAsk("1xH100-SXM", name, Load(ideal=True))).value(
        "active_share_of_params") for name in ("1831B/277B", "280B/37B")}
    assert shares["1831B/277B"] == near(0.151)
    assert shares["280B/37B"] == near(0.13, 0.02)       # given as a whole percent
    small, large = (fleet(FleetAsk("9xH100-SXM", size, Load(decode_mfu=0.15))).value(
        "decode_passes_per_s") for size in ("280B", "2800B"))
    assert small == near(10 * large)


def test_chip_table() -> None:
    text = "1xA100-SXM-80GB,1xH100-SXM,1xH200-SXM,1xB200-SXM"
    answer = fleet(FleetAsk(text, "280B", Load(ideal=True)))
    rows = table(answer, "chips")
    for name, ceiling, floor in (("A100-SXM-80GB", 557, 3.64), ("H100-SXM", 1767, 5.98),
                                 ("H200-SXM", 1767, 8.57), ("B200-SXM", 4018, 14.29)):
        assert (rows[name][6], rows[name][7]) == (near(ceiling), near(floor))


def test_latency_of_a_trillion_parameters_in_a_rack() -> None:
    assert latency_floor(params_read=1e12, bytes_per_param=1, n_chips=72,
                         memory_bandwidth=8e12) == near(1.74e-3)
