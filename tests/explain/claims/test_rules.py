import dataclasses

import pytest

from ridgeline.errors import BadInput
from ridgeline.explain.claims.rules import grade_by_rule, rule_for, rules
from ridgeline.explain.claims.table import ClaimRow, audited, parse_claims, read_claims

# The audit calls 8.2e11 against a datasheet's 8.19e11 approximate; the policy calls it rounding.
DIFFERENT = {"D56": ("approximately", "correct")}


def verdict(row):
    rule, known = rule_for(row)
    return grade_by_rule(row, rule, known)[0].name


def test_every_audited_claim_has_a_rule_and_no_rule_is_left_over():
    assert set(rules()) == set(audited()) and len(audited()) == 190


@pytest.mark.parametrize("name", list(audited()))
def test_verdicts_come_out_as_audited(name):
    row = audited()[name]
    expected = DIFFERENT.get(name, (row.verdict, row.verdict))
    assert (row.verdict, verdict(row)) == expected


def test_the_audits_verdict_is_never_read():
    for row in list(audited().values())[::7]:
        blank = dataclasses.replace(row, verdict="", our_value="", explanation="")
        assert verdict(blank) == verdict(row)


@pytest.mark.parametrize(("name", "inputs", "name_then"), [
    ("A25", "6*7e9*2e12", "wrong"), ("B27", "8*111+55", "wrong"),
    ("B04", "280e9*1", "wrong"), ("A28", "1.4e12/70e9", "wrong"),
    ("D53", "given", "correct"), ("C16", "16/4", "wrong")])
def test_a_changed_input_changes_the_verdict(name, inputs, name_then):
    row = audited()[name]
    assert verdict(row) == "correct"
    assert verdict(dataclasses.replace(row, inputs=inputs)) == name_then


@pytest.mark.parametrize(("name", "value", "name_then"), [
    ("D34", "136.09", "correct"), ("D39", "261.27", "correct"), ("A12", "70", "wrong"),
    ("B25", "6.6", "correct"), ("C23", "328", "correct"), ("B03", "5600", "wrong")])
def test_a_changed_claim_changes_the_verdict(name, value, name_then):
    assert verdict(dataclasses.replace(audited()[name], claimed_value=value)) == name_then


def test_inputs_named_in_the_row_are_used():
    row = dataclasses.replace(audited()["A12"], inputs="P=35e9")
    assert verdict(row) == "depends"     # one reading is the nominal size, the other Llama-3-70B


def test_rows_of_other_words_have_no_rule():
    assert rule_for(ClaimRow("X1", "something else", "weights", "140", "GB", "P=70e9")) is None
    changed = dataclasses.replace(audited()["A25"], quantity="loss")
    assert rule_for(dataclasses.replace(changed, quote="other")) is None


def test_tables_are_read_strictly(tmp_path):
    with pytest.raises(BadInput, match="no column 'quote'"):
        parse_claims("a,b\n1,2\n", "x.csv")
    with pytest.raises(BadInput, match="row 3: 1 cells, expected 2"):
        parse_claims("id,quote\n1,a\n2\n", "x.csv")
    with pytest.raises(BadInput, match="holds no claims"):
        parse_claims("quote\n", "x.csv")
    with pytest.raises(BadInput, match="cannot read"):
        read_claims(tmp_path / "none.csv")
    file = tmp_path / "bad.csv"
    file.write_bytes(b"\xff\xfe\x00quote")
    with pytest.raises(BadInput, match="not UTF-8"):
        read_claims(file)
    assert parse_claims("\ufeffquote".lstrip("\ufeff") + "\nx\n", "y")[0].id == "1"
