"""The example notebooks run from top to bottom, and show what they showed when written."""

import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
run = runpy.run_path(str(ROOT / ".ci" / "notebooks.py"))["run"]


def kinds(notebook):
    """What each cell shows: kinds of its outputs, and headings of the tables in them."""
    return [[sorted(o.get("data", {"stream": 0})) for o in cell["outputs"]]
            for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_there_are_three():
    assert [n.stem for n in NOTEBOOKS] == ["choose_hardware", "plan_a_training_run",
                                           "price_an_api"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_and_shows_tables_and_drawings(path):
    written = json.loads(path.read_text(encoding="utf-8"))
    fresh = run(path)
    assert kinds(fresh) == kinds(written)
    shown = "".join("".join(o["data"].get("text/html", [])) for c in fresh["cells"]
                    for o in c.get("outputs", []) if "data" in o)
    assert "<table>" in shown and "<svg" in shown and "80 % interval" in shown


def test_a_cell_that_fails_stops_the_run(tmp_path):
    broken = {"cells": [{"cell_type": "code", "source": ["1 / 0"], "outputs": []}]}
    (tmp_path / "broken.ipynb").write_text(json.dumps(broken), encoding="utf-8")
    with pytest.raises(ZeroDivisionError):
        run(tmp_path / "broken.ipynb")
