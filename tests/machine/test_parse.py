"""Machines written as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import BadInput, UnknownName
from ridgeline.machine import Chip, Link, parse_machine


@pytest.mark.parametrize(("text", "chip", "chips", "domain"), [
    ("H100", "H100-SXM", 1, 1), ("8xH100-SXM", "H100-SXM", 8, 8), ("16xH200", "H200-SXM", 16, 8),
    ("2x8xH100", "H100-SXM", 16, 8), ("4x4xH100", "H100-SXM", 16, 4),
    ("1024xH100", "H100-SXM", 1024, 8), ("72xGB200", "GB200", 72, 72),
    ("144xGB300", "GB300", 144, 72), ("18x4xGB200", "GB200", 72, 4),
    ("256xTPU-v5e", "TPU-v5e", 256, 256), ("16x8xTPU-v5e", "TPU-v5e", 128, 8),
    ("8 x NVIDIA L40S", "L40S", 8, 8), ("4×rtx4090", "RTX-4090", 4, 4),
    ("4*a100 80gb", "A100-SXM-80GB", 4, 4), ("1,024xH100", "H100-SXM", 1024, 8),
    ("8XH100", "H100-SXM", 8, 8), ("2xXeon-8480", "Xeon-8480", 2, 1)])
def test_reads_counts_and_domains(text: str, chip: str, chips: int, domain: int) -> None:
    cluster = parse_machine(text)
    assert (cluster.chip.name, cluster.n_chips, cluster.domain_size) == (chip, chips, domain)


def test_links_inside_and_across_domains() -> None:
    cluster = parse_machine("2x8xH100")
    assert cluster.link(8).bandwidth == 450e9
    assert cluster.link(16).bandwidth == 50e9


@pytest.mark.parametrize("text", [
    "0xH100", "-3xH100", "1.5xH100", "99999999999xH100", "10000001xH100", "10000x10000xH100",
    "1x2x3xH100", "8x", "x", "", "  ", "8", "0x8xH100", "8x0xH100"])
def test_bad_counts_are_one_line(text: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_machine(text)
    assert "\n" not in str(error.value)


def test_an_unknown_chip_keeps_its_nearest_names() -> None:
    with pytest.raises(UnknownName, match="did you mean"):
        parse_machine("8xH100-SXM6")


class _One:
    def chip(self, name: str) -> Chip:
        return Chip(name, "v", "a", {"bf16": 1e12}, 1e9, 1e9, domain_size=4,
                    scale_up=Link("l", 1e9, 1e-6))


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_any_count_reads_back(nodes: int, per_node: int) -> None:
    cluster = parse_machine(f"{nodes}x{per_node}xAny Chip", _One())
    assert cluster.n_chips == nodes * per_node
    assert cluster.domain_size == min(per_node, 4)
    assert parse_machine(f"{nodes}xAny Chip", _One()).n_chips == nodes


@given(st.text(max_size=30))
def test_no_text_escapes_as_another_error(text: str) -> None:
    try:
        parse_machine(text)
    except BadInput as error:
        assert "\n" not in str(error).replace(repr(text), "")
