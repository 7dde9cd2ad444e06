"""Tiers of memory and the energy of their bits."""

import itertools

import pytest

from ridgeline.catalog import load_chip
from ridgeline.economics.dated import chip_rent
from ridgeline.economics.joules import link_bit_energy, memory_bit_energy, picojoules
from ridgeline.economics.memory_tiers import nearest_by_drain, nearest_by_price, tier_costs

TIERS = tier_costs(load_chip("H100-SXM"), chip_rent("H100-SXM", 2.0))


def test_tiers_get_cheaper_and_slower_to_drain() -> None:
    held = [t for t in TIERS if t.drain is not None]
    assert [t.name for t in held] == ["device memory", "host DRAM", "CXL memory", "NVMe flash",
                                      "hard disk"]
    assert all(a.mid > b.mid for a, b in itertools.pairwise(held))
    assert all((a.drain or 0) < (b.drain or 0) for a, b in itertools.pairwise(held))
    assert all(t.low <= t.mid <= t.high for t in TIERS)


def test_every_bought_tier_has_a_date_and_a_source() -> None:
    for tier in TIERS[1:]:
        assert tier.dated is not None and tier.dated.source and tier.dated.written


@pytest.mark.parametrize("tier", TIERS, ids=lambda t: t.name)
def test_a_tier_is_nearest_to_itself(tier: object) -> None:
    found = next(t for t in TIERS if t is tier)
    assert nearest_by_price(TIERS, found.mid) is found
    if found.drain:
        assert nearest_by_drain(TIERS, found.drain) is found


def test_energies_are_read_from_words() -> None:
    assert picojoules("3.9-5 (from memory); text claims 7-9 pJ/bit") == (3.9, 5.0)
    assert picojoules("6.0 pJ/bit") == (6.0, 6.0)
    assert picojoules("unknown") is None and picojoules("about 4") is None


@pytest.mark.parametrize("chip", ["H100-SXM", "B200-SXM", "A100-SXM-80GB", "RTX-4090", "L40S",
                                  "TPU-v5e", "MI300X"])
def test_bits_cost_a_few_picojoules(chip: str) -> None:
    found = memory_bit_energy(load_chip(chip))
    assert 2e-12 < found.low <= found.mid <= found.high < 2e-11
    assert found.source
    assert 5e-13 < link_bit_energy(load_chip(chip)).mid < 3e-11
