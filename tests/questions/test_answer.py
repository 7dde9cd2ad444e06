import json
import math

import pytest

from ridgeline.errors import BadInput
from ridgeline.quantity import Quantity
from ridgeline.questions.answer import Answer, Table, levers_table


def sample() -> Answer:
    return Answer(
        "roofline_matmul", {"chip": "H100", "formats": ("bf16", "int8"), "limit": math.inf},
        {"bound": "memory", "t_memory_s": Quantity(2e-3, 1e-3, 3e-3, "s", "calibrated"),
         "critical_batch": Quantity.exact(math.inf, "1"), "fits": True, "chips": 8},
        tables=(Table.of("ops", {"op": "1", "time": "s"}, [("gemm", 1e-3), ("attn", math.nan)]),),
        notes=("a note",))


def test_json_form_has_exactly_the_agreed_keys() -> None:
    form = sample().to_dict()
    assert list(form) == ["question", "scenario", "answer", "tables", "notes", "derivation"]
    assert form["answer"]["t_memory_s"] == {
        "value": 2e-3, "low": 1e-3, "high": 3e-3, "unit": "s", "basis": "calibrated"}
    assert form["answer"]["fits"] == {"value": True, "unit": "1"}
    assert form["answer"]["bound"] == {"value": "memory", "unit": "1"}


def test_non_finite_numbers_become_null_with_a_note() -> None:
    form = sample().to_dict()
    json.dumps(form, allow_nan=False)
    assert form["answer"]["critical_batch"]["value"] is None
    assert any("critical_batch" in note for note in form["notes"])
    assert form["tables"][0]["rows"][1] == ["attn", None]
    assert form["scenario"]["limit"] is None


def test_value_reads_numbers_and_refuses_text() -> None:
    assert sample().value("chips") == 8.0
    with pytest.raises(BadInput, match="has no number 'bound'"):
        sample().value("bound")
    with pytest.raises(BadInput, match="has no number 'absent'"):
        sample().value("absent")


def test_numpy_scalars_pass_through_json() -> None:
    import numpy as np
    answer = Answer("q", {"n": np.int64(3)}, {"x": np.float64(2.0), "n": np.int64(4)})  # type: ignore[dict-item]
    assert json.loads(json.dumps(answer.to_dict()))["answer"]["n"]["value"] == 4


def test_levers_are_sorted_by_gain_and_rows_must_match() -> None:
    assert [r[0] for r in levers_table([("a", 1.1, ""), ("b", 2.0, "")]).rows] == ["b", "a"]
    with pytest.raises(BadInput, match="row 0 of table 't' has 1 cells"):
        Table.of("t", {"a": "1", "b": "1"}, [("x",)])
