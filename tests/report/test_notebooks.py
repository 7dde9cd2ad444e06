"""The example notebooks run from top to bottom, and show what they showed when written."""

import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
SCRIPT = runpy.run_path(str(ROOT / ".ci" / "notebooks.py"))
run = SCRIPT["run"]


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


def printing(text, html=""):
    data = {"text/plain": [text], **({"text/html": [html]} if html else {})}
    return {"cells": [{"outputs": [{"data": data}]}]}


@pytest.mark.parametrize(("stored", "fresh", "same"), [
    (printing("5.0 ms"), printing("5.2 ms"), True),
    (printing("5.0 ms"), printing("6.0 ms"), False),
    (printing("5.0 ms"), printing("5.0 s"), False),
    (printing("5.0 ms"), {"cells": [{"outputs": []}]}, False),
    (printing("<Answer>", "<td>bound</td><td>70 %</td>"),
     printing("<Answer>", "<td>bound</td><td>72 %</td>"), True),
    (printing("<Answer>", "<td>bound</td><td>70 %</td>"),
     printing("<Answer>", "<td>bound</td><td>30 %</td>"), False),
    (printing("<F>", "<svg><path d='M 1'/><text>Roofline of H100</text></svg>"),
     printing("<F>", "<svg><path d='M 9'/><text>Roofline of H200</text></svg>"), True),
    (printing("<F>", "<svg><text>Roofline</text></svg>"),
     printing("<F>", "<svg><text>Memory</text></svg>"), False),
])
def test_stored_outputs_are_held_to_fresh_ones(stored, fresh, same):
    assert (list(SCRIPT["differences"](stored, fresh)) == []) is same
