"""The combinations of a sweep: each once, in order, with ranges as they are written."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import BadInput
from ridgeline.search.sweep_axes import Axis, SweepSpace, read_axis


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=4, unique=True), max_size=4))
def test_rows_are_the_product_in_order(values):
    axes = tuple(Axis(f"a{n}", tuple(v)) for n, v in enumerate(values))
    space = SweepSpace({"model": "m"}, axes)
    rows = [space.row(n) for n in range(len(space))]
    assert [tuple(r[a.name] for a in axes) for r in rows] == list(itertools.product(*values))
    assert all(r["model"] == "m" for r in rows)


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(2, 50),
       st.sampled_from(["linear", "log"]))
def test_a_range_keeps_its_ends_and_its_order(low, more, steps, scale):
    written = {"from": low, "to": low + more, "steps": steps, "scale": scale}
    points = read_axis("prompt", written, whole=False).values
    assert (points[0], points[-1], len(points)) == (low, low + more, steps)
    assert list(points) == sorted(points)
    whole = read_axis("prompt", written, whole=True).values
    assert whole == tuple(dict.fromkeys(round(p) for p in points))


def test_equal_ratios_and_shares():
    assert read_axis("prompt", {"from": "1k", "to": "100k", "steps": 3, "scale": "log"},
                     whole=True).values == (1000, 10_000, 100_000)
    assert read_axis("prefix_hit", {"from": 0, "to": 1, "steps": 5},
                     whole=False).values == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert read_axis("tp", 8, whole=True) is None
    assert read_axis("tp", {"from": 3, "to": 3, "steps": 1}, whole=True).values == (3,)


@pytest.mark.parametrize(("written", "said"), [
    ([], "empty list"), ([[1], [2]], "plain values"), ({"from": 1, "to": 2}, "needs steps"),
    ({"from": 2, "to": 1, "steps": 2}, "smaller end first"), ({"form": 1}, "did you mean 'from'"),
    ({"from": 0, "to": 1, "steps": 2, "scale": "log"}, "positive start"),
    ({"from": 1, "to": 2, "steps": 1}, "steps of 2"), ({"from": 1, "to": 2, "steps": 0}, "from 1"),
    ({"from": 1, "to": 2, "steps": 2.5}, "whole number"),
    ({"from": 1, "to": 2, "steps": 2, "scale": "lag"}, "did you mean 'log'"),
    ({"from": "x", "to": 2, "steps": 2}, "must be a number"),
    ({"from": float("nan"), "to": 2, "steps": 2}, "must be"),
    ({"from": True, "to": 2, "steps": 2}, "must be a number"),
    ({"from": 1, "to": 2, "steps": 10**12}, "from 1 to"),
])
def test_what_makes_no_range_is_refused_in_one_line(written, said):
    with pytest.raises(BadInput) as caught:
        read_axis("prompt", written, whole=True)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
