"""The bundled data: every file decodes, and no number is out of order."""

from __future__ import annotations

import json
import re

import pytest

from ridgeline.catalog import (
    list_names,
    load_api_prices,
    load_chip,
    load_chip_file,
    load_engine,
    load_link,
    load_rent_prices,
    load_rules,
    load_tiers,
)
from ridgeline.catalog.files import DATA, INDEX, build_index, index_text, toml_files
from ridgeline.catalog.loader import default_catalog
from ridgeline.errors import BadInput
from ridgeline.formats import get_format

CHIPS = list_names("chips")
# INT8 was cut to a fraction on these; the catalog says so in their notes.
CUT_INT8 = {"B300-SXM", "GB300", "Rubin"}
# Tensor units that multiply FP16 only: INT8 goes through the slower vector units.
FP16_ONLY = {"Volta"}


@pytest.mark.parametrize("name", CHIPS)
def test_rates_grow_as_formats_narrow(name: str) -> None:
    peaks = load_chip(name).peaks
    ladders = [("fp32", "tf32", "bf16", "fp8", "fp6", "fp4"), ("fp32", "tf32", "fp16", "fp8")]
    if name not in CUT_INT8 and load_chip(name).architecture not in FP16_ONLY:
        ladders += [("bf16", "int8", "int4"), ("fp16", "int8", "int4")]
    for ladder in ladders:
        rates = [peaks[f] for f in ladder if f in peaks]
        assert rates == sorted(rates), (ladder, rates)


@pytest.mark.parametrize("name", CHIPS)
def test_numbers_are_in_physical_bounds(name: str) -> None:
    chip, file = load_chip(name), load_chip_file(name)
    drain = chip.memory_bytes / chip.memory_bandwidth
    # From on-chip SRAM (microseconds) to a server full of DIMMs (seconds).
    floor, ceiling = (1e-6, 1e-2) if chip.name in ("Groq-LPU-v1", "WSE-3") else (5e-3, 8.0)
    assert floor < drain < ceiling
    fastest = max(chip.peaks.values())
    assert 0.2 < fastest / chip.memory_bandwidth < 5000
    if chip.usable_memory_bytes:
        assert 0.7 < chip.usable_memory_bytes / chip.memory_bytes < 1.09
        assert file.memory.usable_source
    for link in (chip.scale_up, chip.scale_out, chip.host):
        if link:
            assert 1e9 < link.bandwidth <= 2e12 and 1e-7 <= link.latency <= 2e-5
    assert (chip.domain_size > 1) <= (chip.scale_up is not None)
    assert chip.tdp == 0 or 3 <= chip.tdp <= 25_000
    assert 2014 <= chip.year <= 2027


@pytest.mark.parametrize("name", CHIPS)
def test_every_chip_says_where_it_comes_from(name: str) -> None:
    file = load_chip_file(name)
    assert len(file.source) > 10 and re.match(r"20\d\d", file.date)
    text = (DATA / "chips" / f"{name}.toml").read_text("utf-8")
    assert "/home" not in text and "TODO" not in text
    if file.rent:
        assert file.rent.source


@pytest.mark.parametrize(("name", "bf16", "fp8", "bandwidth", "memory"), [
    ("A100", 312e12, None, 2.039e12, 80e9), ("H100", 989.4e12, 1978.9e12, 3.35e12, 80e9),
    ("H200", 989.4e12, 1978.9e12, 4.8e12, 141e9), ("B200", 2250e12, 4500e12, 8e12, 192e9),
    ("TPU v5e", 197e12, None, 0.82e12, 16e9), ("RTX 4090", 165.2e12, 330.3e12, 1.008e12, 24e9)])
def test_reference_chips(name: str, bf16: float, fp8: float | None, bandwidth: float,
                         memory: float) -> None:
    # Vendor datasheets, dense.
    chip = load_chip(name)
    assert chip.peak("bf16") == pytest.approx(bf16, rel=1e-6)
    assert chip.peaks.get("fp8") == (pytest.approx(fp8, rel=1e-6) if fp8 else None)
    assert chip.memory_bandwidth == pytest.approx(bandwidth, rel=1e-6)
    assert chip.memory_bytes == memory


def test_reference_ridges_and_narrow_rates() -> None:
    assert load_chip("H100").ridge("bf16") == pytest.approx(295.3, rel=1e-3)
    assert load_chip("A100").ridge("bf16") == pytest.approx(153.0, rel=1e-3)
    assert load_chip("B200").ridge("bf16") == pytest.approx(281.3, rel=1e-3)
    assert load_chip("TPU-v5e").ridge("bf16") == pytest.approx(240.2, rel=1e-3)
    assert load_chip("B200").peak("fp4") == 9000e12
    assert load_chip("TPU-v5e").peak("int8") == 394e12


def test_usable_memory_of_a_4090_is_what_the_driver_reports() -> None:
    assert load_chip("RTX 4090").usable_memory_bytes == 25_250_627_584
    # 79.1 to 79.6 GiB on an 80 GB Hopper.
    usable = load_chip("H100").usable_memory_bytes
    assert usable is not None and 79.0 < usable / 2**30 < 79.7


@pytest.mark.parametrize("kind", ["chips", "engines"])
def test_the_index_is_complete(kind: str) -> None:
    stored = (DATA / kind / INDEX).read_text("utf-8")
    fresh = index_text(build_index(toml_files(DATA / kind)))
    assert stored == fresh, "run python -m ridgeline.catalog.index"
    assert set(json.loads(stored)["names"].values()) == set(list_names(kind))  # type: ignore[arg-type]


def test_a_spelling_never_means_two_chips(tmp_path) -> None:
    text = (DATA / "chips" / "T4.toml").read_text("utf-8")
    for name in ("One", "Two"):
        (tmp_path / f"{name}.toml").write_text(text.replace('name = "T4"', f'name = "{name}"'))
    with pytest.raises(BadInput, match="also means"):
        build_index(toml_files(tmp_path))


def test_chip_links_agree_with_the_table_of_links() -> None:
    table = {e.name: e for e in default_catalog().links()}
    compared = 0
    for name in CHIPS:
        file = load_chip_file(name)
        for network in (file.scale_up, file.host):
            entry = table.get(network.link) if network else None
            if network and entry and entry.bandwidth and "bridge" not in entry.name:
                assert network.bandwidth == pytest.approx(entry.bandwidth, rel=0.02), name
                compared += 1
    assert compared > 150


def test_links() -> None:
    assert load_link("InfiniBand NDR").bandwidth == 50e9
    assert load_link("nvlink5").bandwidth == 900e9
    assert load_link("pcie 5.0 x16").bandwidth == 63e9
    assert 1e-6 <= load_link("NVLink 4").latency <= 2e-6
    with pytest.raises(BadInput, match="NVLink"):
        load_link("NVLink 9")
    with pytest.raises(BadInput, match="no bandwidth"):
        load_link("GB200 NVL72 weight")
    assert len(list_names("links")) >= 63


def test_tiers_get_slower_and_cheaper() -> None:
    tiers = {t.name: t for t in load_tiers()}
    assert len(tiers) == 26
    hbm, ddr, disk = tiers["HBM3e stack"], tiers["DDR5-4800"], tiers["HDD 24-32 TB"]
    assert (hbm.latency or 0) <= 1e-6 < (disk.latency or 0)
    assert (hbm.usd_per_gb_low or 0) > (ddr.usd_per_gb_low or 0) > (disk.usd_per_gb_low or 0)
    # The time to read the whole unit is what a tier is chosen by.
    drains = [t.bytes / t.bandwidth for t in (hbm, ddr, disk) if t.bytes and t.bandwidth]
    assert drains == sorted(drains)


def test_api_prices() -> None:
    rows = load_api_prices()
    assert len(rows) == 569
    for row in rows:
        if row.input_usd_per_mtok and row.batch_input_usd_per_mtok:
            assert row.batch_input_usd_per_mtok <= row.input_usd_per_mtok
        assert (row.input_usd_per_mtok or 0) < 1000
    haiku = next(r for r in rows if r.model == "claude-haiku-4-5")
    assert (haiku.input_usd_per_mtok, haiku.output_usd_per_mtok) == (1.0, 5.0)
    assert haiku.cached_read_usd_per_mtok == pytest.approx(0.1)


def test_rents_and_rules() -> None:
    rents = load_rent_prices()
    assert len(rents) == 33
    assert all(r.usd_per_hour_low <= r.usd_per_hour_high for r in rents)
    for row in rents:
        assert load_chip(row.chip).name == row.chip
    assert {r.name for r in load_rules()} >= {"batch", "anthropic prompt cache"}


@pytest.mark.parametrize("name", list_names("engines"))
def test_engines(name: str) -> None:
    engine = load_engine(name)
    assert 0.8 <= engine.memory_fraction <= 1
    for written in (*engine.weight_formats, *engine.kv_formats):
        get_format(written)


def test_engine_defaults_follow_the_device() -> None:
    vllm = load_engine("vLLM")
    assert (vllm.memory_fraction, vllm.block_size) == (0.9, 16)
    h100, a100 = load_chip("H100"), load_chip("A100")
    assert vllm.limits(h100.name, h100.usable_memory_bytes or 0).max_num_seqs == 1024
    assert vllm.limits(a100.name, a100.usable_memory_bytes or 0).max_num_seqs == 256
    assert vllm.limits("RTX-4090", 25e9).max_num_batched_tokens == 2048
    assert load_engine("TensorRT-LLM").block_size == 32
    assert load_engine("llama.cpp").kv_reserved == "context"
    with pytest.raises(BadInput, match="did you mean"):
        load_engine("vlm")
