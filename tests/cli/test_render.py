import math

import pytest

from ridgeline.cli.render import print_answer, render_answer
from ridgeline.explain.derivation import derive
from ridgeline.quantity import Quantity
from ridgeline.questions.answer import Answer, Table, levers_table
from ridgeline.timing.bounds import ridge_point


def sample() -> Answer:
    return Answer(
        "estimate", {"model": "Llama-3.1-70B"},
        {"bound": "memory bandwidth",
         "tpot_s": Quantity(5.365e-3, 5.2e-3, 6.1e-3, "s", "calibrated"),
         "intensity_flop_per_byte": Quantity.exact(0.25, "FLOP/B"),
         "critical_batch": Quantity.exact(math.inf, "1"), "fits": True, "chips": 8},
        tables=(levers_table([("fp8 weights", 1.97, "a little accuracy"),
                              ("tp 16", 1.2, "8 chips")]),
                Table.of("ops", {"op": "1", "time": "s", "bytes": "B", "share": "%"},
                         [("gate and up projection " * 8, 1.5e-3, 3.2e9, 41.5),
                          ("head [bold]", None, math.nan, 1.0)])),
        notes=("A long note. " * 20,),
        derivation=(derive(ridge_point, {"peak_flops_per_s": 989.4e12,
                                         "memory_bandwidth": 3.35e12}),))


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_line_is_wider_than_asked(width: int) -> None:
    assert max(len(line) for line in render_answer(sample(), width=width).splitlines()) <= width


def test_every_number_has_its_unit_and_intervals_show_where_they_exist() -> None:
    text = render_answer(sample())
    assert "memory bandwidth" in text
    assert "5.37 ms" in text or "5.36 ms" in text
    assert "5.20 ms - 6.10 ms" in text
    assert "0.25 FLOP/B" in text and "1.50 ms" in text and "3.20 GB" in text and "41.5 %" in text
    assert "head [bold]" in text, "brackets are text, not markup"
    assert "1.97 x" in text and "yes" in text
    assert "tpot " in text and "tpot s" not in text


def test_no_interval_column_without_intervals() -> None:
    exact = Answer("q", {}, {"t_s": Quantity.exact(1.0, "s")})
    assert "interval" not in render_answer(exact)


def test_levers_come_last_and_what_is_never_reached_says_so() -> None:
    text = render_answer(sample())
    assert text.index("ops") < text.index("What would help most")
    assert "infinite" in text and "never reached" in text


def test_explain_adds_the_derivation(capsys: pytest.CaptureFixture[str]) -> None:
    assert "source: Williams" not in render_answer(sample())
    print_answer(sample(), explain=True)
    printed = capsys.readouterr().out
    assert "source: Williams" in printed
    assert max(len(line.rstrip()) for line in printed.splitlines()) <= 100
