"""The same scenario gives the same number, whichever question is asked."""

from __future__ import annotations

import pytest

from ridgeline.questions.cache import CacheAsk, cache
from ridgeline.questions.energy import EnergyAsk, energy
from ridgeline.questions.estimate import estimate
from ridgeline.questions.fit import fit
from ridgeline.questions.price import PriceAsk, price
from ridgeline.questions.roofline import roofline
from ridgeline.scenario import Scenario

SCENARIOS = [
    {"model": "Llama-3.1-70B", "machine": "8xH100-SXM", "prompt": 4000, "output": 1000,
     "concurrency": 32},
    {"model": "DeepSeek-V3", "machine": "8xB200", "prompt": 3000, "output": 400,
     "concurrency": 100, "weights": "fp8"},
    {"model": "Qwen3-30B-A3B", "machine": "2xH200", "tp": 1, "prompt": 2000, "output": 500,
     "concurrency": 48, "prefix_hit": 0.0},
]


@pytest.mark.parametrize("fields", SCENARIOS, ids=lambda fields: str(fields["model"]))
def test_utilisation_power_and_floors_agree_between_questions(fields):
    scenario = Scenario.from_fields(fields)
    speed, cost = estimate(scenario, advice=False), price(PriceAsk(scenario))
    assert speed.value("mfu_decode") == pytest.approx(cost.value("mfu_decode"), rel=0.01)
    # A price counts steps filled to the token budget, an estimate a prompt alone in its step.
    assert 0.7 < speed.value("mfu_prefill") / cost.value("mfu_prefill") <= 1.001
    joules = energy(EnergyAsk(scenario, pue=1.0))
    rate = cost.value("output_tokens_per_s_per_chip") * scenario_chips(fields)
    assert joules.value("joules_per_output_token") * rate == pytest.approx(
        joules.value("machine_power_w"), rel=0.01)
    bounds = roofline(scenario)
    assert speed.value("tpot_floor_s") == pytest.approx(bounds.value("decode_lower_s"))
    assert speed.value("ttft_floor_s") == pytest.approx(bounds.value("prefill_lower_s"))
    assert speed["bound_decode"] == bounds["bound_decode"]


def test_a_prompt_that_fills_a_step_is_computed_as_well_alone_as_in_a_price():
    scenario = Scenario.from_fields({**SCENARIOS[0], "prompt": 8192})
    alone, full = estimate(scenario, advice=False), price(PriceAsk(scenario))
    assert alone.value("mfu_prefill") == pytest.approx(full.value("mfu_prefill"), rel=0.01)


@pytest.mark.parametrize("fields", SCENARIOS[:2], ids=lambda fields: str(fields["model"]))
def test_cache_sizes_and_prompt_costs_agree_between_questions(fields):
    scenario = Scenario.from_fields(fields)
    kept, cost, memory = cache(CacheAsk(scenario)), price(PriceAsk(scenario)), fit(scenario)
    assert kept.value("recompute_usd_per_mtok") == pytest.approx(
        cost.value("usd_per_mtok_input"))
    assert kept.value("kv_bytes_per_token") == pytest.approx(cost.value("kv_bytes_per_token"))
    per_device = memory.value("kv_bytes_per_token")
    assert per_device <= kept.value("kv_bytes_per_token") <= per_device * scenario_chips(fields)


def test_a_request_costs_what_the_estimated_throughput_makes_of_it():
    fields = SCENARIOS[0]
    scenario = Scenario.from_fields(fields)
    speed, cost = estimate(scenario, advice=False), price(PriceAsk(scenario))
    requests = speed.value("output_tokens_per_s") / float(fields["output"])
    dollars = cost.value("usd_per_chip_hour") * scenario_chips(fields) / 3600
    assert cost.value("usd_per_request_shared_loop") == pytest.approx(dollars / requests)


def scenario_chips(fields):
    """Chips of the machine."""
    return float(str(fields["machine"]).partition("x")[0])
