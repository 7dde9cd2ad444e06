import json
from typing import Any

import pytest

from ridgeline.cli.render import render_answer
from ridgeline.errors import BadInput, UnknownName
from ridgeline.machine.chip import Chip, Link
from ridgeline.questions.roofline_matmul import matmul_figure, roofline_matmul

V5E = Chip(name="v5e-like", vendor="", architecture="", peaks={"bf16": 197e12, "int8": 394e12},
           memory_bytes=16e9, memory_bandwidth=0.82e12, scale_up=Link("ICI", 4.5e10, 1e-6),
           domain_size=256)
H100 = Chip(name="H100-like", vendor="", architecture="",
            peaks={"bf16": 989.4e12, "fp8": 1978.9e12, "int8": 1978.9e12}, memory_bytes=80e9,
            memory_bandwidth=3.35e12, scale_up=Link("NVLink", 450e9, 1e-6), domain_size=8,
            scale_out=Link("IB", 50e9, 5e-6))
B200 = Chip(name="B200-like", vendor="", architecture="",
            peaks={"bf16": 2250e12, "fp8": 4500e12, "int8": 4500e12, "fp4": 9000e12},
            memory_bytes=192e9, memory_bandwidth=8e12)
MIXED = ("bf16", "int8", "bf16")


@pytest.mark.parametrize(("chip", "width", "formats", "exact", "asymptotic", "first"), [
    (V5E, 4096, MIXED, 136.09, 120.12, 137), (V5E, 1024, MIXED, 226.31, 120.12, 227),
    (V5E, 4096, ("bf16", "int4", "bf16"), 68.04, 60.06, 69),
    (B200, 4096, ("fp8", "fp8", "bf16"), 354.2, 281.25, 355),
    (B200, 1e9, ("int8", "int8", "bf16"), 281.25, 281.25, 282)])
def test_worked_values(chip: Chip, width: float, formats: tuple[str, ...], exact: float,
                       asymptotic: float, first: int) -> None:
    answer = roofline_matmul(d_in=width, d_out=width, formats=formats, chip=chip)
    assert answer.value("critical_batch_exact") == pytest.approx(exact, rel=1e-4)
    assert answer.value("critical_batch_asymptotic") == pytest.approx(asymptotic, rel=1e-4)
    assert answer.value("critical_batch_integer") == first
    assert answer["bound"] == "compute"


def test_bounds_of_one_batch() -> None:
    answer = roofline_matmul(batch_size=64, d_in=8192, d_out=28672, chip=H100)
    for name, expected in (("t_math_s", 30.39e-6), ("t_memory_s", 141.64e-6),
                           ("lower_bound_s", 141.64e-6), ("upper_bound_s", 172.02e-6)):
        assert answer.value(name) == pytest.approx(expected, rel=0.001)
    assert answer["bound"] == "memory"
    assert "compute-bound from batch 310" in str(answer["verdict"])
    gains = {row[0]: row[1] for row in answer.tables[0].rows}
    assert gains["batch 310"] == pytest.approx(295.3 / 63.37, rel=0.01)


def test_never_compute_bound_is_null_in_json_and_said_in_words() -> None:
    answer = roofline_matmul(d_in=256, d_out=256, formats=MIXED, chip=V5E)
    form = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert form["answer"]["critical_batch_exact"]["value"] is None
    assert any("critical_batch_exact" in note for note in form["notes"])
    assert "never compute-bound" in form["answer"]["verdict"]["value"]
    assert form["answer"]["bound"]["value"] == "memory"


def test_weights_for_each_example_do_not_profit_from_batching() -> None:
    given: dict[str, Any] = {"d_in": 4096, "d_out": 4096, "formats": ("int8",) * 3, "chip": V5E,
                             "per_example": True}
    small, large = (roofline_matmul(batch_size=b, **given) for b in (1, 1024))
    assert small.value("intensity_flop_per_byte") == pytest.approx(1.999, rel=1e-3)
    assert large.value("intensity_flop_per_byte") == small.value("intensity_flop_per_byte")
    assert large.value("t_memory_s") == pytest.approx(1024 * small.value("t_memory_s"))
    assert large.value("critical_batch_exact") == float("inf")


def test_groups_multiply_the_critical_batch() -> None:
    answer = roofline_matmul(batch_size=2177.4, d_in=4096, d_out=4096, formats=("int8",) * 3,
                             chip=V5E, groups=8)
    assert answer.value("critical_batch_exact") == pytest.approx(2177.4, rel=1e-4)
    assert answer.value("intensity_flop_per_byte") == pytest.approx(480.5, rel=1e-3)
    assert answer.value("intensity_limit_flop_per_byte") == 4096


@pytest.mark.parametrize(("width", "bound"), [(8000, "network"), (9500, "compute")])
def test_a_split_contraction_is_network_bound_below_8756(width: int, bound: str) -> None:
    answer = roofline_matmul(batch_size=4096, d_in=width, d_out=8192, chip=V5E, sharded=2)
    assert answer.value("critical_d_in") == pytest.approx(8756, rel=1e-3)
    assert answer["bound"] == bound
    one = roofline_matmul(batch_size=4096, d_in=width, d_out=8192, chip=V5E)
    assert answer.value("t_math_s") == pytest.approx(one.value("t_math_s") / 2)


def test_leaving_the_domain_uses_the_network_and_a_given_link_wins() -> None:
    given: dict[str, Any] = {"batch_size": 64, "d_in": 65536, "d_out": 8192, "chip": H100}
    inside, outside = (roofline_matmul(**given, sharded=n) for n in (8, 16))
    assert outside.value("t_network_s") > 8 * inside.value("t_network_s")
    own = roofline_matmul(**given, sharded=8, network_bandwidth=900e9)
    assert own.value("t_network_s") == pytest.approx(inside.value("t_network_s") / 2)


@pytest.mark.parametrize(("changes", "message"), [
    ({"batch_size": 0}, "batch_size is 0"), ({"d_in": -1}, "d_in is -1"),
    ({"d_out": float("nan")}, "d_out is nan"), ({"formats": ("bf16",)}, "3 formats"),
    ({"groups": 0}, "groups is 0"), ({"groups": 4, "per_example": True}, "leave groups at 1"),
    ({"sharded": 0}, "sharded is 0"), ({"compute": "fp4"}, "has no fp4 matrix rate"),
    ({"sharded": 300}, "has no network link"),
    ({"sharded": 2, "network_bandwidth": 0}, "network_bandwidth is 0")])
def test_bad_input_is_one_line(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"batch_size": 1, "d_in": 512, "d_out": 512, "chip": V5E}
    with pytest.raises(BadInput, match=message) as caught:
        roofline_matmul(**{**given, **changes})
    assert "\n" not in str(caught.value)


def test_unknown_format_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="bf16"):
        roofline_matmul(d_in=512, d_out=512, formats=("bf17", "bf16", "bf16"), chip=V5E)


def test_text_fits_and_explains() -> None:
    answer = roofline_matmul(d_in=4096, d_out=4096, formats=MIXED, chip=V5E)
    text = render_answer(answer, explain=True)
    assert max(map(len, text.splitlines())) <= 100
    assert "136.09" in text and "critical_batch_exact" in text and "source:" in text


def test_figure_reaches_the_plateau_at_the_critical_batch() -> None:
    figure = matmul_figure(d_in=4096, d_out=4096, formats=MIXED, chip=V5E, batch_size=32)
    curve = next(s for s in figure.series if getattr(s, "name", "") == "attainable")
    reached = [x for x, y in zip(curve.x, curve.y, strict=True)  # type: ignore[union-attr]
               if y >= 197e12 * (1 - 1e-9)]
    assert min(reached) == pytest.approx(136.09, rel=1e-4)
    assert 32.0 in curve.x  # type: ignore[union-attr]
