"""Questions by name: fields read from signatures, the same answers on every surface."""

import contextlib
import io
import json
import shlex
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.cli import cli
from ridgeline.cli.spoken import calls
from ridgeline.errors import BadInput, RidgelineError
from ridgeline.questions.definitions import definitions
from ridgeline.questions.field_values import arguments
from ridgeline.questions.fields import fields_of, schema_of
from ridgeline.questions.registry import QUESTIONS, ask, get_question
from ridgeline.scenario import Scenario

SCENARIO = {"model": "Llama-3.1-8B", "machine": "H100-SXM", "prompt": 2000, "output": 200,
            "concurrency": 8}
# A body for each question that has no scenario, or needs more than one.
BODIES = {
    "matmul": {"machine": "H100-SXM", "d_in": 4096, "d_out": 4096},
    "plan": {"model": "Llama-3.1-8B", "on": ["8xH100-SXM"], "ttft": 2, "tpot": 0.03},
    "simulate": {**SCENARIO, "rate": 2, "requests": 100},
    "capacity": {**SCENARIO, "tpot": 0.03, "requests": 30, "precision": 0.5},
    "queue": {"rate": 5, "service": 0.1},
    "diagnose": {**SCENARIO, "tpot": 0.04},
    "train": {"model": "Llama-3.1-8B", "machine": "64xH100-SXM", "tokens": "1T", "tp": 2},
    "fit_training": {"model": "Llama-3.1-8B", "machine": "8xH100-SXM", "zero": 3, "tp": 1},
    "scale": {"compute": "5.76e23"}, "trends": {},
    "infer_price": {"input_usd": 1, "output_usd": 5, "on": "H100-SXM", "active_params": "70B"},
    "retrieve": {"docs": "10M", "dim": 1024, "index": "hnsw"},
    "fleet": {"fleet": "1000xH100-SXM", "model": "70B"},
    "think": {"model": "Llama-3.1-8B", "machine": "H100-SXM", "success_rate": 0.3},
    "rack": {}, "demand": {**SCENARIO, "users": "10k"},
    "check": {"claim": "100k tok/s prefill of Llama-3-70B on 8xH100 in bf16"},
    "exercise": {"name": "3"},
}


def body(name):
    return BODIES.get(name, SCENARIO)


def printed(command):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        cli.main([*shlex.split(command)[1:], "--json"], prog_name="ridgeline",
                 standalone_mode=False)
    return json.loads(out.getvalue())


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_answers_draws_and_is_told_for_other_surfaces(name):
    question = QUESTIONS[name]
    given_ = question.arguments(body(name))
    answer = question.answer(given_)
    figures = question.drawn(answer, given_)
    assert len(figures) >= len(question.figures)
    json.dumps([f.to_dict() for f in figures], allow_nan=False)
    told = calls(name, question, body(name))
    names: dict = {}
    exec(told["python"], names)
    clock = ("wall_s", "requests_per_wall_s")
    wanted = {k: v for k, v in answer.to_dict()["answer"].items() if k not in clock}
    again = names["answer"].to_dict()["answer"]
    assert json.dumps({k: v for k, v in again.items() if k not in clock}) == json.dumps(wanted)
    if told["command"] is not None:
        said = printed(told["command"])["answer"]
        assert json.loads(json.dumps(wanted)) == {k: v for k, v in said.items()
                                                  if k not in clock and k in wanted}


@pytest.mark.parametrize("name", ["fit", "estimate", "roofline", "train", "scale"])
def test_every_number_is_defined_and_its_arithmetic_holds(name):
    answer = ask(name, body(name)).to_dict()
    known, flat = definitions(), {}

    def gather(part):
        for key, value in part.items():
            if isinstance(value, dict):
                gather(value)
            else:
                flat[key] = value

    gather(answer["scenario"])
    flat |= {k: v for k, v in vars(Scenario.from_fields(SCENARIO).workload).items()
             if k not in flat}
    degrees = {d: flat.get(d) or 1 for d in ("tp", "pp", "cp", "attention_dp", "dp")}
    numbers = {**flat, **degrees, **{k: q["value"] for k, q in answer["answer"].items()}}
    checked = 0
    for key in answer["answer"]:
        meaning = known.get(f"{name}.{key}", known.get(key))
        if meaning is None:
            assert name == "train", key
            continue
        if meaning.formula and all(numbers.get(n) is not None for n in
                                   compile(meaning.formula, "", "eval").co_names if n != "max"):
            found = eval(meaning.formula, {"max": max}, numbers)
            assert found == pytest.approx(numbers[key], rel=1e-6), (key, meaning.formula)
            checked += 1
    assert checked or name == "fit"


@dataclass(frozen=True)
class Inner:
    """Inside.

    Attributes:
        depth: how deep.
    """

    depth: int = 1


@dataclass(frozen=True)
class Ask:
    """A made-up record.

    Attributes:
        size: how much.
        names: what.
        inner: more.
    """

    size: float
    names: tuple[str, ...] = ()
    inner: Inner = Inner(3)


def question(ask: Ask, *, twice: bool = False, note: str | None = None) -> object:
    """Ask.

    Args:
        twice: again.
        note: a word.
    """
    return ask, twice, note


def test_fields_come_from_the_signature_and_its_docstrings():
    fields = {f.name: f for f in fields_of(question)}
    assert list(fields) == ["size", "names", "depth", "twice", "note"]
    assert (fields["size"].kind, fields["size"].required) == ("number", True)
    assert fields["depth"].default == 3 and fields["depth"].text == "How deep."
    assert schema_of(tuple(fields.values()))["required"] == ["size"]


def test_a_flat_body_becomes_records():
    fields = fields_of(question)
    found = arguments(question, fields, {"size": "2k", "depth": 5, "names": "a, b", "twice": True})
    assert found == {"ask": Ask(2000.0, ("a", "b"), Inner(5)), "twice": True}
    assert arguments(question, fields, {"size": 1}) == {"ask": Ask(1.0)}


@pytest.mark.parametrize(("given_", "said"), [
    ({}, "needs a size"), ({"size": None}, "needs a size"), ({"size": "x"}, "must be a number"),
    ({"size": float("nan")}, "finite"), ({"size": True}, "must be a number"),
    ({"size": 1, "depth": 1.5}, "whole number"), ({"size": 1, "depth": 10**400}, "number"),
    ({"size": 1, "names": 3}, "must be a list"), ({"size": 1, "names": ["a"] * 999}, "at most"),
    ({"size": 1, "twice": "perhaps"}, "true or false"), ({"size": 1, "note": ""}, "must be text"),
    ({"size": 1, "siz": 1}, "did you mean"), ({"size": 1, "note": "x" * 999}, "1 to 200")])
def test_what_does_not_fit_is_refused_in_one_line(given_, said):
    with pytest.raises(BadInput, match=said) as caught:
        arguments(question, fields_of(question), given_)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)


@given(st.dictionaries(st.sampled_from([f.name for f in get_question("fit").fields]),
                       VALUES | st.lists(VALUES, max_size=3), max_size=5))
def test_any_body_is_read_or_refused(fields):
    with contextlib.suppress(RidgelineError):
        get_question("fit").arguments({**SCENARIO, **fields})


def test_a_field_that_nothing_can_carry_is_a_defect_found_early():
    def odd(thing: dict[str, int]) -> None:
        """Odd."""

    with pytest.raises(TypeError, match="no field can carry thing"):
        fields_of(odd)
