"""Results files: forms, wrong lines, and pass@k from them."""

import json

import pytest

from ridgeline.errors import BadInput
from ridgeline.reasoning.coverage import pass_at_k
from ridgeline.reasoning.results import Problem, mean_pass_at_k, read_results, usual_ks


def file(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_line_a_problem(tmp_path):
    found = read_results(file(tmp_path, "r.csv", "task_id,n,c\na,10,3\nb,10,0\n"))
    assert found == (Problem("a", 10, 3), Problem("b", 10, 0))
    same = "\n".join(json.dumps({"problem": p.name, "total": p.n, "correct": p.c}) for p in found)
    assert read_results(file(tmp_path, "r.jsonl", same + "\n\n")) == found
    listed = json.dumps([{"id": p.name, "samples": p.n, "passed": p.c} for p in found])
    assert read_results(file(tmp_path, "r.json", listed)) == found


def test_a_line_a_sample(tmp_path):
    rows = [("x", "true"), ("y", 0), ("x", False), ("x", 1), ("y", "passed")]
    text = "\n".join(json.dumps({"task_id": p, "passed": v}) for p, v in rows)
    assert read_results(file(tmp_path, "s.jsonl", text)) == (Problem("x", 3, 2), Problem("y", 2, 1))
    table = "Problem,Correct\n" + "".join(f"{p},{v}\n" for p, v in rows)
    assert read_results(file(tmp_path, "s.csv", table)) == (Problem("x", 3, 2), Problem("y", 2, 1))


@pytest.mark.parametrize(("name", "text", "match"), [
    ("a.csv", "", "no results"), ("a.csv", "n,c\n", "no results"),
    ("a.csv", "foo,bar\n1,2\n", "need columns"), ("a.csv", "n,c\n5,6\n", "impossible"),
    ("a.csv", "n,c\n5,x\n", "must be numbers"), ("a.csv", "n,c\n0,0\n", "impossible"),
    ("a.csv", "n,c\nnan,0\n", "impossible"), ("a.csv", "n,c\ninf,0\n", "impossible"),
    ("a.csv", "n,c\n5.5,1\n", "impossible"), ("a.csv", "n,c\n5,-1\n", "impossible"),
    ("a.csv", "problem,correct\nx,maybe\n", "true or false"),
    ("a.jsonl", "{", "line 1"), ("a.jsonl", "[1]", "must be an object"),
    ("a.json", "{}", "list of objects"), ("a.json", "nope", "not valid")])
def test_wrong_files_name_the_place(tmp_path, name, text, match):
    with pytest.raises(BadInput, match=match):
        read_results(file(tmp_path, name, text))


def test_no_such_file(tmp_path):
    with pytest.raises(BadInput, match="cannot read"):
        read_results(tmp_path / "none.csv")


def test_mean_over_problems():
    problems = [Problem(str(i), 20, i) for i in range(11)]
    found = mean_pass_at_k(problems, 5)
    assert found.value == pytest.approx(sum(pass_at_k(20, i, 5) for i in range(11)) / 11)
    assert found.low < found.value < found.high
    assert mean_pass_at_k(problems, 5) == found
    alike = mean_pass_at_k([Problem(str(i), 20, 4) for i in range(9)], 5)
    assert alike.low == pytest.approx(alike.high)


def test_usual_ks_end_at_the_samples():
    assert usual_ks([Problem("a", 50, 1), Problem("b", 16, 2)]) == [1, 2, 5, 10, 16]
    assert usual_ks([Problem("a", 1, 1)]) == [1]
