import math

import pytest

from ridgeline.explain.slips import likely_slips


@pytest.mark.parametrize(("claimed", "right", "topic", "words"), [
    (70.5e9, 141e9, "bytes", "one byte a value instead of two"),
    (7e10, 1.4e11, "flop", "a multiply and an add are two operations"),
    (2.8e23, 8.4e23, "training", "2 for each parameter and token instead of 6"),
    (1979e12, 989.4e12, "peak", "sparse peak"), (900e9, 450e9, "bandwidth", "both directions"),
    (400e9, 50e9, "bandwidth", "bits taken for bytes"), (131, 261.27, "batch", "one byte"),
    (107.374, 100.0, "any", "GiB taken for GB"), (45.0, 0.45, "any", "per cent")])
def test_the_factor_names_the_slip(claimed, right, topic, words):
    assert words in likely_slips(claimed, right, topic)[0]


def test_no_factor_no_slip():
    assert likely_slips(241.4, 136.09, "batch") == []
    assert likely_slips(100.2, 100.0) == []
    for nonsense in (0.0, -1.0, math.inf, math.nan):
        assert likely_slips(nonsense, 1.0) == likely_slips(1.0, nonsense) == []


def test_factors_of_the_case_come_first():
    found = likely_slips(8.0, 1.0, "kv", ratios={"query heads counted instead of KV heads": 8.0})
    assert found[0] == "off by exactly 8, high: query heads counted instead of KV heads"
