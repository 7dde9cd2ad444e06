import math
import re
from pathlib import Path

import pytest

from ridgeline import quantity
from ridgeline.errors import BadInput
from ridgeline.quantity import check_positive, format_si, parse_number, parse_quantity
from ridgeline.report import words


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, True, "8"])
def test_check_positive_names_the_argument(value: object) -> None:
    with pytest.raises(BadInput, match="batch_size is"):
        check_positive(d_in=4096, batch_size=value)  # type: ignore[arg-type]


def test_check_positive_lets_physical_numbers_pass() -> None:
    check_positive(batch_size=1, memory_bandwidth=3.35e12, latency=1e-9)


@pytest.mark.parametrize(("text", "unit", "expected"), [
    ("400 Gbit/s", "B/s", 50e9), ("100 TFLOP", "FLOP", 1e14), ("80 GiB", "B", 80 * 2**30),
    ("30ms", "s", 0.03), ("$2/h", "USD/s", 2 / 3600)])
def test_parse_quantity(text: str, unit: str, expected: float) -> None:
    assert parse_quantity(text, unit) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("text", ["", "fast", "4 furlongs", "3 GB/s", "1e999"])
def test_parse_quantity_refuses_in_one_line(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_quantity(text, "B")
    assert "\n" not in str(caught.value)


def test_numbers_read_as_a_person_would() -> None:
    assert parse_number("4k") == 4000
    assert format_si(295.34, "FLOP/B") == "295 FLOP/B"
    assert format_si(0.81, "USD/Mtok") == "0.81 USD/Mtok"
    assert format_si(math.inf, "1") == "unlimited"


@pytest.mark.parametrize(("value", "unit", "text"), [
    (0.965, "1/s", "0.965/s"), (12_345.6, "1/s", "12,346/s"), (0.0, "1/s", "0/s"),
    (0.965, "req/s", "0.965 req/s"), (0.5, "B", "0.5 B"), (0.004, "FLOP/B", "0.004 FLOP/B"),
    (2.5e7, "token/s", "25.0 Mtoken/s"), (3e9, "token/day", "3.00 Gtoken/day"),
    (0.004, "J", "4.00 mJ"), (0.0004, "Wh", "400 uWh"), (1234.5, "MWh", "1,234 MWh"),
    (8.4e23, "FLOP", "8.4e23 FLOP"),
    (34.41, "days", "34.4 days"), (0.61, "pJ", "0.61 pJ"), (9722.0, "PFLOP/s-day",
                                                            "9,722 PFLOP/s-day"),
])
def test_no_prefix_where_a_thousandth_makes_no_sense(value, unit, text):
    assert format_si(value, unit) == text


def test_the_page_formats_numbers_by_the_same_lists():
    source = (Path(__file__).parent.parent / "web" / "src" / "format.ts").read_text("utf-8")
    listed = {name: tuple(re.findall(r'"([^"]*)"', body)) for name, body in
              re.findall(r"const (\w+) = \[(.*?)\];", source, re.DOTALL)}
    assert listed["UNPREFIXED"] == quantity._UNPREFIXED
    assert listed["DIVISIBLE"] == quantity._DIVISIBLE
    endings = re.search(r"const ENDINGS[^{]*\{(.*?)\}", source, re.DOTALL)[1]
    told = {a or b: c for a, b, c in re.findall(r'(?:"([^"]+)"|(\w+)): "([^"]+)"', endings)}
    assert told == words._UNIT_ENDINGS
