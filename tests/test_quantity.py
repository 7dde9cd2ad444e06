import math

import pytest

from ridgeline.errors import BadInput
from ridgeline.quantity import check_positive, format_si, parse_number, parse_quantity


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
