"""Laws of lengths keep their mean and spread; nonsense is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import BadInput
from ridgeline.search.lengths import parse_lengths, sampled_lengths
from ridgeline.serving.closed_loop import protocol_lengths


def test_one_number():
    for text in ("4000", "4k", 4000):
        found = parse_lengths(text, "prompt")
        assert (found.mean, found.law, found.longest) == (4000.0, (), 4000)
        assert found.points() == ([4000.0], [1.0])


@pytest.mark.parametrize(("text", "mean", "cv", "longest"), [
    ("lognormal:2000,0.8", 2000, math.sqrt(math.exp(0.64) - 1), 10_150),
    ("uniform:500,1500", 1000, 1 / math.sqrt(12), 1500),
    ("exponential:800", 800, 1.0, 3900)])
def test_laws(text, mean, cv, longest):
    found = parse_lengths(text, "prompt")
    assert found.mean == mean
    assert found.cv == pytest.approx(cv, rel=0.12)      # 64 quantiles cut the far tail
    assert sum(found.law) / len(found.law) == pytest.approx(1)
    lengths, shares = found.points()
    assert sum(n * s for n, s in zip(lengths, shares, strict=True)) == pytest.approx(mean)
    assert found.longest == pytest.approx(longest, rel=0.1)


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=200))
def test_a_sample_keeps_its_mean(sample):
    found = sampled_lengths(sample)
    assert found.mean == pytest.approx(sum(sample) / len(sample))
    assert sum(found.law) / len(found.law) == pytest.approx(1)


def test_a_replay_follows_the_law():
    law = parse_lengths("lognormal:2000,0.8", "prompt")
    drawn = protocol_lengths(2000, 1024, law=law.law)
    assert sum(drawn) / 1024 == pytest.approx(2000, rel=0.02)
    assert max(drawn) == pytest.approx(law.longest, rel=0.05)


@pytest.mark.parametrize("text", [
    "", "x", "-5", "0", "1.5", "inf", "nan", "1e12", "lognormal:", "lognormal:2000", "uniform:9,3",
    "lognormal:-2,1", "lognormal:2000,nan", "uniform:0,5", "exponential:0", "exponential:1,2",
    "zipf:3"])
def test_nonsense(text):
    with pytest.raises(BadInput) as error:
        parse_lengths(text, "prompt")
    assert "\n" not in str(error.value)


def test_an_empty_sample():
    with pytest.raises(BadInput, match="no lengths"):
        sampled_lengths([])
