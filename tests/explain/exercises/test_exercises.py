import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.errors import BadInput, UnknownName
from ridgeline.explain.exercises import grade, question, questions, solve
from ridgeline.explain.exercises.solve import symbolic_steps


@pytest.mark.parametrize(("name", "part", "value"), [
    ("3", "batch", 136.09), ("3", "batch_small", 226.31), ("3", "ratio", 1.663),
    ("3a", "batch", 261.27), ("1", "t_math", 21.80e-6), ("1", "t_memory", 23.02e-6),
    ("1", "batch", 272.2), ("1", "lower", 23.02e-6), ("1", "upper", 44.82e-6),
    ("1a", "batch", 68.04), ("1a", "ridge", 240.24), ("1b", "ridge", 562.5),
    ("1b", "batch", 326.0), ("2b", "batch", 354.2), ("4", "intensity", 1.99902),
    ("4", "ridge", 480.5), ("4a", "intensity", 3.9922), ("4a", "short_by", 60.18),
    ("4b", "intensity", 240.9), ("4b", "most", 4096.0), ("4b", "batch", 2177.4),
    ("5", "ridge", 295.22), ("5", "batch", 344.9), ("dot", "intensity", 0.4995),
    ("dot", "rate", 1.67e12), ("wall", "speedup", 5.70), ("wall", "wall", 10.0),
    ("network", "critical_d", 8756), ("units", "t_math", 1.099e-3),
    ("units", "petaflop_days", 9722), ("bounds", "t_math", 30.39e-6),
    ("bounds", "t_memory", 141.64e-6), ("bounds", "upper", 172.02e-6)])
def test_worked_values(name, part, value):
    assert solve(question(name)).part(part).value == pytest.approx(value, rel=0.005)


@pytest.mark.parametrize(("name", "part", "answer", "right"), [
    ("3", "batch", 241.4, 136.09), ("3", "batch_small", 483, 226.31), ("3a", "batch", 131, 261.27)])
def test_the_wrong_answers_of_the_text_are_rejected(name, part, answer, right):
    found = grade(solve(question(name)), answer, part)
    assert not found.accepted and found.verdict == "wrong"
    assert f"{right:.1f}"[:-1] in found.sentence


@pytest.mark.parametrize(("name", "answer"), [
    ("1a", 60), ("2a", 60), ("2", 120), ("1b", 281.25), ("2b", 281.25), ("5", 296)])
def test_asymptotic_answers_are_accepted_as_such(name, answer):
    found = grade(solve(question(name)), answer)
    assert found.accepted and found.verdict.startswith("asymptotic")


def test_the_slip_is_named():
    assert "weights counted at one byte instead of two" in grade(
        solve(question("3a")), 131).slips[0]
    assert any("critical intensity itself" in s for s in grade(solve(question("3")), 241.4).slips)
    assert "answers part ridge" in grade(solve(question("5")), 295.22, "batch").sentence or \
        grade(solve(question("5")), 295.22, "batch").accepted
    doubled = grade(solve(question("1b")), 1125.0, "ridge")
    assert "sparse peak" in doubled.slips[0]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([q for q in questions() if q != "units"]), st.floats(0.3, 3))
def test_own_numbers_are_used_and_their_answers_accepted(name, factor):
    asked = question(name)
    letter = "D" if "D" in asked.given else next(iter(asked.given))
    numbers = {letter: asked.given[letter] * factor}
    if letter == "e":
        numbers = {"e": 0.5 + factor / 10}
    solution = solve(asked, numbers)
    for solved in solution.parts:
        if math.isfinite(solved.value) and solved.value > 0:
            assert grade(solution, solved.value, solved.part.name).accepted
            assert grade(solution, solved.value * 1.37, solved.part.name).verdict != "exact"


def test_narrow_layers_are_never_compute_bound():
    solution = solve(question("3"), {"E": 256})
    assert math.isinf(solution.part("batch_small").value)
    assert grade(solution, math.inf, "batch_small").accepted
    assert "never" in grade(solution, 500.0, "batch_small").sentence
    both = solve(question("3"), {"D": 256, "E": 256})
    assert math.isnan(both.part("ratio").value) and not grade(both, 1.0, "ratio").accepted


def test_the_algebra_is_that_of_the_formula():
    import sympy

    lines = symbolic_steps(question("3a").main)
    root = sympy.sympify(lines[2].split("B = ")[1],
                         locals={n: sympy.Symbol(n) for n in ("D", "F", "h", "bx", "bw", "bo")})
    value = root.subs({"D": 4096, "F": 11008, "h": 1.97e14 / 8.2e11, "bx": 2, "bw": 2, "bo": 2})
    assert float(value) == pytest.approx(261.27, rel=1e-4)
    assert lines[3].endswith("B -> bw*h/2")


def test_nonsense_is_refused():
    asked = question("3")
    for bad in ({"Q": 1.0}, {"D": 0.0}, {"D": -4.0}, {"D": math.nan}, {"D": math.inf},
                {"D": 1e300}, {"bw": 1e-300}):
        with pytest.raises(BadInput):
            solve(asked, bad)
    with pytest.raises(UnknownName, match="unknown exercise"):
        question("99")
    with pytest.raises(UnknownName, match="part of exercise 3"):
        grade(solve(asked), 1.0, "nope")
    with pytest.raises(BadInput, match="must be a number"):
        grade(solve(asked), math.nan)


def test_every_part_of_every_exercise_has_steps():
    for asked in questions().values():
        for solved in solve(asked, algebra=True).parts:
            assert solved.algebra and (solved.steps or solved.part.value)
