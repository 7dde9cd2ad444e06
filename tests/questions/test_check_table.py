import dataclasses

import pytest

from ridgeline.errors import BadInput
from ridgeline.explain.claims import VERDICTS, audited
from ridgeline.explain.claims.table import ClaimRow
from ridgeline.questions.check_table import (
    check_audited,
    check_file,
    check_table,
    csv_text,
    grade,
    grade_freely,
    markdown,
)


def row(quote="", quantity="", value="", unit="", inputs="", **more):
    return ClaimRow("X", quote, quantity, value, unit, inputs, **more)


def test_the_audited_claims():
    answer = check_audited()
    assert answer["claims"] == 190 and answer["agreement"] == 189
    assert sum(answer[v.replace(" ", "_")] for v in VERDICTS) == 190
    differ = next(t for t in answer.tables if t.name == "disagreements")
    assert [r[0] for r in differ.rows] == ["D56"]


@pytest.mark.parametrize(("claim", "verdict", "way"), [
    (row("some sum", "total", "1.8e12", "params", "16*111+55"), "correct", "arithmetic"),
    (row("some sum", "total", "900e9", "params", "16*111+55"), "wrong", "arithmetic"),
    (row("A100 count", "GPUs", "1.75", "GPUs", "140 GB / 80 GB"), "correct", "arithmetic"),
    (row("ratio", "ratio", "2", "x", "3.94/1.97"), "correct", "arithmetic"),
    (row("Llama-3-8B weights in fp16", "weights", "16", "GB"), "correct", "words"),
    (row("Llama-3-8B weights in fp16", "weights", "8", "GB"), "wrong", "words"),
    (row("200k tok/s prefill of Llama-3-70B on 8xH100 in bf16", "rate", "200000", "tok/s"),
     "wrong", "words"),
    (row("the RTX 4090 has 1 TB/s of memory bandwidth", "bandwidth", "1", "TB/s"), "correct",
     "words"),
    (row("users will love it", "love", "much", "-"), "not checkable", "nothing"),
    (row("a forecast of 10x by 2030", "forecast", "10", "x"), "not checkable", "nothing")])
def test_rows_nobody_wrote_a_rule_for(claim, verdict, way):
    found = grade(claim)
    assert (found.verdict, found.way) == (verdict, way), found.reason


def test_the_general_ways_agree_with_the_audit_where_they_answer():
    """Without the rules: what words and arithmetic say of the audited rows is mostly right."""
    found = [(r, grade_freely(r)) for r in audited().values()]
    answered = [(r, g) for r, g in found if g.way != "nothing"]
    right = sum(r.verdict == g.verdict for r, g in answered)
    assert len(answered) >= 70 and right / len(answered) >= 0.8


def test_verdicts_given_are_compared_and_not_read():
    rows = tuple(dataclasses.replace(r, verdict="wrong") for r in audited().values())
    assert check_table(rows)["correct"] == check_audited()["correct"]
    plain = tuple(dataclasses.replace(r, verdict="") for r in audited().values())
    assert "agreement" not in check_table(plain).quantities


def test_files_are_graded_and_written(tmp_path):
    file = tmp_path / "claims.csv"
    file.write_text("id,quote,quantity,claimed_value,unit,inputs\n"
                    "1,weights of Llama-3-8B in fp16,weights,16,GB,\n2,nothing,,,,\n", "utf-8")
    answer = check_file(str(file))
    assert (answer["correct"], answer["not_checkable"]) == (1, 1)
    assert csv_text(answer).splitlines()[0] == "id,claim,verdict,by,why"
    assert "| 1 |" in markdown(answer)
    with pytest.raises(BadInput):
        check_file(str(tmp_path / "no.csv"))


def test_a_table_may_bring_its_own_rules():
    own = row("C of GPT-3", "compute", "3.15e23", "FLOP", "P=175e9; D=300e9",
              rule="training_flop(n_params=P, tokens=D)")
    assert grade(own).verdict == "correct"
    assert grade(dataclasses.replace(own, inputs="P=17.5e9; D=300e9")).verdict == "wrong"
    assert grade(dataclasses.replace(own, rule="P > D", mode="holds")).verdict == "wrong"
    assert "unknown mode" in grade(dataclasses.replace(own, mode="often")).reason
    assert "unknown formula" in grade(dataclasses.replace(own, rule="nope(P=1)")).reason
    assert grade(dataclasses.replace(own, rule="__import__('os')")).verdict == "not checkable"


def test_inputs_that_leave_no_value_are_said_to():
    bad = dataclasses.replace(audited()["B09"], inputs="128*0", quote="other")
    assert grade(bad).verdict in ("wrong", "not checkable")
    zero = dataclasses.replace(audited()["B25"], inputs="1831/0")
    found = grade(zero)
    assert found.verdict == "not checkable" and "no value" in found.reason


def test_the_page_in_the_docs_is_up_to_date():
    from pathlib import Path

    page = Path(__file__).parents[2] / "docs" / "claims.md"
    assert page.read_text("utf-8") == markdown(check_audited())
