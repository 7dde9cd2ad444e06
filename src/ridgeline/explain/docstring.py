"""Read a formula's docstring: title, formula line, units of arguments and result, sources."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["FormulaText", "read_docstring"]

_SECTIONS = ("Args", "Returns", "Raises", "Valid for", "Sources")
_HEADING = re.compile(rf"^({'|'.join(_SECTIONS)}):\s*(.*)$")
_UNIT = re.compile(r"\[([^\]]+)\]")
_ARGUMENT = re.compile(r"^    (\w+(?:, \w+)*): (.*)$")
# Units written as words, as the package prints them.
_WORDS = {"bytes": "B", "bytes/s": "B/s", "tokens": "token", "seconds": "s", "token/s": "token/s",
          "parameters": "param"}


@dataclass(frozen=True, slots=True)
class FormulaText:
    """What a formula's docstring says.

    Attributes:
        title: first sentence.
        formula: the indented equation, on one line.
        units: unit of each argument that states one.
        result_unit: unit of the result ("1" when none is stated).
        valid_for: where the formula holds.
        sources: where it comes from, one entry each.
    """

    title: str
    formula: str
    units: dict[str, str]
    result_unit: str
    valid_for: str
    sources: tuple[str, ...]


def read_docstring(function: Callable[..., Any]) -> FormulaText:
    """Parse the docstring of a formula; parts that are missing come back empty."""
    lines = inspect.cleandoc(function.__doc__ or "").splitlines()
    head, sections = _split(lines)
    return FormulaText(
        title=_title(head), formula=_formula(head), units=_units(lines),
        result_unit=_result_unit(sections["Returns"]), valid_for=sections["Valid for"],
        sources=tuple(s.strip().rstrip(".") for s in sections["Sources"].split(";") if s.strip()))


def _result_unit(text: str) -> str:
    """The unit in brackets, or the unit the text begins with; "1" when there is none."""
    if found := _UNIT.search(text):
        return _WORDS.get(found[1], found[1])
    first = text.replace(",", " ").replace(".", " ").split()
    return _WORDS.get(first[0], "1") if first else "1"


def _split(lines: list[str]) -> tuple[list[str], dict[str, str]]:
    """The lines before the first section, and each section joined into one line."""
    head: list[str] = []
    sections = dict.fromkeys(_SECTIONS, "")
    current = ""
    for line in lines:
        if line.startswith(">>>"):
            break
        if found := _HEADING.match(line):
            current = found[1]
            sections[current] = found[2].strip()
        elif current:
            sections[current] = f"{sections[current]} {line.strip()}".strip()
        else:
            head.append(line)
    return head, sections


def _title(head: list[str]) -> str:
    """The first paragraph without its full stop."""
    first = []
    for line in head:
        if not line.strip():
            break
        first.append(line.strip())
    return " ".join(first).rstrip(".")


def _formula(head: list[str]) -> str:
    """The indented lines, joined."""
    return " ".join(line.strip() for line in head if line.startswith("    "))


def _units(lines: list[str]) -> dict[str, str]:
    """Unit in brackets in each argument's text."""
    units: dict[str, str] = {}
    inside, names, text = False, "", ""
    for line in [*lines, "Returns:"]:
        heading, argument = _HEADING.match(line), _ARGUMENT.match(line)
        if inside and names and (heading or argument):
            found = _UNIT.findall(text)
            units |= {n: _WORDS.get(found[-1], found[-1]) for n in names.split(", ") if found}
            names = ""
        if heading:
            inside = heading[1] == "Args"
        elif inside and argument:
            names, text = argument[1], argument[2]
        elif inside:
            text += " " + line.strip()
    return units
