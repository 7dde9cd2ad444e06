"""Run the example notebooks and write their outputs back: `python .ci/notebooks.py [FILE...]`.

Cells run in order in one namespace; the value of a cell's last expression is shown as a notebook
would show it. A cell that fails stops the run. With --check nothing is written, and the stored
outputs must say what the fresh ones say: the same words, and numbers that agree as those of the
pages' examples do. Of drawings only the words count.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import runpy
import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"


def run_cell(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Outputs of one cell: what it printed, and its last expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), names)
        shown = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if last else None
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout",
                        "text": printed.getvalue().splitlines(keepends=True)})
    if shown is not None:
        outputs.append({"output_type": "execute_result", "execution_count": None, "metadata": {},
                        "data": bundle(shown)})
    return outputs


def bundle(value: Any) -> dict[str, list[str]]:
    """A value in the forms it offers."""
    data = {"text/plain": repr(value)[:400].splitlines(keepends=True)}
    if hasattr(value, "_repr_html_"):
        data["text/html"] = value._repr_html_().splitlines(keepends=True)
        data["text/plain"] = [f"<{type(value).__name__}>"]
    elif isinstance(value, list) and value and hasattr(value[0], "_repr_html_"):
        data["text/html"] = "\n".join(v._repr_html_() for v in value).splitlines(keepends=True)
        data["text/plain"] = [f"<{len(value)} of {type(value[0]).__name__}>"]
    return data


def run(path: Path) -> dict[str, Any]:
    """The notebook with fresh outputs."""
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    names: dict[str, Any] = {"__name__": "__main__"}
    count = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            cell["execution_count"] = count
            cell["outputs"] = run_cell("".join(cell["source"]), names)
            for output in cell["outputs"]:
                if "execution_count" in output:
                    output["execution_count"] = count
    return notebook


def said(output: dict[str, Any]) -> list[str]:
    """What a reader sees of an output, a line each: printed text, the cells of a table."""
    data = output.get("data", {"text/plain": output.get("text", [])})
    page = "".join(data.get("text/html", ()))
    if not page:
        return [line for line in "".join(data["text/plain"]).splitlines() if line.strip()]
    words = [re.sub(r"[-\d.,]+", "#", w) for drawing in re.findall(r"<svg.*?</svg>", page, re.S)
             for w in re.findall(r"<text[^>]*>([^<]*[A-Za-z]{3}[^<]*)<", drawing)]
    rest = re.sub(r"<(style|script|svg).*?</\1>", "", page, flags=re.S)
    return [*(line for text in re.split(r"<[^>]*>", rest) if (line := text.strip())), *words]


def differences(stored: dict[str, Any], fresh: dict[str, Any]) -> Iterator[str]:
    """Lines of a notebook's outputs that a fresh run does not say alike, with their cells."""
    alike = runpy.run_path(str(Path(__file__).parent / "readme_examples.py"))["alike"]
    for place, (old, new) in enumerate(zip(stored["cells"], fresh["cells"], strict=True), 1):
        before = [line for output in old.get("outputs", ()) for line in said(output)]
        after = [line for output in new.get("outputs", ()) for line in said(output)]
        for was, now in zip_longest(before, after, fillvalue="nothing"):
            if not alike(was, now):
                yield f"cell {place} shows {was!r}; a fresh run shows {now!r}"
                break


def main(arguments: list[str]) -> int:
    """Run the files named, or all; exit status 1 where --check finds an output out of date."""
    check = "--check" in arguments
    files = [Path(a) for a in arguments if a != "--check"] or sorted(FOLDER.glob("*.ipynb"))
    failed = False
    for path in files:
        stored = json.loads(path.read_text(encoding="utf-8"))
        notebook = run(path)
        print(f"{path.name}: {sum(c['cell_type'] == 'code' for c in notebook['cells'])} cells ran")
        if not check:
            path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n",
                            encoding="utf-8")
            continue
        for line in differences(stored, notebook):
            print(f"{path.name}: {line}; `make notebooks` renews it")
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
