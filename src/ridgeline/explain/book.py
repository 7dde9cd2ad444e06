"""The formula book: every public formula as Markdown, from its own docstring and the glossary.

    python -m ridgeline.explain.book FOLDER

writes one page for each room and an index. Nothing in it is written by hand, so it cannot fall
behind the code; a formula without a source, or with an argument the glossary lacks, fails.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from ridgeline.errors import BadInput
from ridgeline.explain.docstring import read_docstring
from ridgeline.explain.glossary import glossary, term
from ridgeline.explain.listing import Formula, formulas
from ridgeline.files import write_atomically

__all__ = ["book", "entry"]

_ROOM_TITLES = {
    "work": "Work: what a step must do", "timing": "Timing: work into seconds",
    "memory": "Memory: what must be held", "serving": "Serving: queues and batches",
    "training": "Training: steps, runs, scaling laws", "retrieval": "Retrieval",
    "reasoning": "Reasoning: effort at test time", "economics": "Economics: dollars and joules",
}


def entry(function: Formula) -> str:
    """One formula as Markdown: title, formula, arguments with units, result, validity, source.

    Args:
        function: a formula, as `ridgeline.explain.listing.formulas` finds them.

    Raises:
        BadInput: its docstring states no source.
        UnknownName: the glossary lacks one of its arguments.
    """
    text = read_docstring(function)
    if not text.sources:
        raise BadInput(f"{function.__name__} states no source")
    rows = [f"| `{name}` | `{found.symbol}` | {found.unit} | {_cell(found.meaning)} |"
            for name in inspect.signature(function).parameters for found in (term(name),)]
    valid = f"\nValid for: {text.valid_for.rstrip('.')}.\n" if text.valid_for else ""
    return "\n".join([
        f"## {function.__name__}", "", f"{text.title}.", "", "```text", *_equation(function),
        "```", "", "| argument | symbol | unit | meaning |", "| --- | --- | --- | --- |", *rows, "",
        f"Result in {_unit(text.result_unit)}; shapes broadcast. {valid}",
        f"Source: {'; '.join(text.sources)}.", "",
        f"`{function.__module__}.{function.__name__}`", ""])


def _unit(unit: str) -> str:
    """A unit in words: "1" is a plain number."""
    return "plain numbers" if unit == "1" else unit


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _equation(function: Formula) -> list[str]:
    """The indented lines at the head of a docstring, as their author broke them."""
    lines = inspect.cleandoc(function.__doc__ or "").splitlines()
    head = lines[:next((i for i, line in enumerate(lines) if line.startswith("Args:")), None)]
    return [line[4:] for line in head if line.startswith("    ")]


def book() -> dict[str, str]:
    """The pages by file name: one for each room, the glossary, and `index.md`."""
    rooms: dict[str, list[Formula]] = {}
    for name, function in formulas().items():
        rooms.setdefault(name.split(".")[1], []).append(function)
    pages = {f"{room}.md": _page(room, found) for room, found in rooms.items()}
    pages["glossary.md"] = _glossary_page()
    pages["index.md"] = _index(rooms)
    return pages


def _page(room: str, found: list[Formula]) -> str:
    entries = (entry(f) for f in sorted(found, key=lambda f: f.__name__))
    return "\n".join([f"# {_ROOM_TITLES.get(room, room.title())}", "", *entries])


def _index(rooms: dict[str, list[Formula]]) -> str:
    """What there is, room by room, each formula with its title."""
    lines = ["# Formula book", "",
             f"{sum(map(len, rooms.values()))} formulas, generated from their docstrings. Each is "
             "a plain function of numbers, arrays or symbols in SI units; the same code gives the "
             "value, the sweep and the printed derivation. The arguments are in the "
             "[glossary](glossary.md).", ""]
    for room, found in rooms.items():
        lines += [f"## {_ROOM_TITLES.get(room, room.title())}", ""]
        lines += [f"- [{f.__name__}]({room}.md#{f.__name__}): {read_docstring(f).title}."
                  for f in sorted(found, key=lambda f: f.__name__)]
        lines.append("")
    return "\n".join(lines)


def _glossary_page() -> str:
    rows = [f"| `{t.name}` | `{t.symbol}` | {t.unit} | {_cell(t.meaning)} |"
            for t in glossary().values()]
    return "\n".join(["# Glossary", "", "Every argument of every formula: SI units throughout.", "",
                      "| name | symbol | unit | meaning |", "| --- | --- | --- | --- |", *rows, ""])


def main(arguments: list[str]) -> int:
    """Write the book into the folder named; the exit status."""
    if len(arguments) != 1:
        print("usage: python -m ridgeline.explain.book FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    pages = book()
    for name, text in pages.items():
        write_atomically(folder / name, text)
    print(f"{len(pages)} pages in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
