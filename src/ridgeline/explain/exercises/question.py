"""The questions as data: what is given, what is asked, which formula answers."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from ridgeline.errors import UnknownName
from ridgeline.explain.slips import Topic

__all__ = ["Part", "Question", "question", "questions"]


@dataclass(frozen=True)
class Part:
    """One thing asked.

    Attributes:
        name: what later parts call its result.
        ask: in words.
        formula, args: formula of the package and its arguments as expressions; "" when `value`
            is an expression of its own.
        value: an expression of earlier results.
        limit_formula, limit_args: the same for very wide layers; "" when there is none.
        whole: the next whole number answers too.
        topic: where slips are looked for.
    """

    name: str
    ask: str
    formula: str
    args: Mapping[str, str]
    value: str
    limit_formula: str
    limit_args: Mapping[str, str]
    whole: bool
    topic: Topic


@dataclass(frozen=True)
class Question:
    """One exercise.

    Attributes:
        id, title, text: short name, what it is about, the question.
        given: numbers by the letter of the text, in SI.
        chip: (catalog name, compute format) that C and W are of; () when it has none.
        parts: what is asked, in order; later ones build on earlier ones.
    """

    id: str
    title: str
    text: str
    given: Mapping[str, float]
    chip: tuple[str, ...]
    parts: tuple[Part, ...]

    @property
    def main(self) -> Part:
        """What an answer without a part answers: batch, else intensity, else the last."""
        named = {p.name: p for p in self.parts}
        return named.get("batch") or named.get("intensity") or self.parts[-1]

    def part(self, name: str) -> Part:
        """A part by name.

        Raises:
            UnknownName: there is none.
        """
        for part in self.parts:
            if part.name == name:
                return part
        raise UnknownName.among(f"part of exercise {self.id}", name, [p.name for p in self.parts],
                                "Parts: " + ", ".join(p.name for p in self.parts))


@cache
def questions() -> dict[str, Question]:
    """Every exercise by id, in the order of the text."""
    place = resources.files("ridgeline.explain.exercises").joinpath("questions.toml")
    return {name: _question(name, entry) for name, entry
            in tomllib.loads(place.read_text("utf-8")).items()}


def question(name: str) -> Question:
    """One exercise.

    Raises:
        UnknownName: there is none of that id.

    >>> question("3a").main.name
    'batch'
    """
    known = questions()
    key = name.strip().lower().removeprefix("q")
    if key not in known:
        raise UnknownName.among("exercise", name, known, "There are: " + ", ".join(known))
    return known[key]


def _question(name: str, entry: dict[str, Any]) -> Question:
    return Question(name, entry["title"], entry["text"],
                    {k: float(v) for k, v in entry["given"].items()},
                    tuple(entry.get("chip", ())), tuple(_part(p) for p in entry["part"]))


def _part(entry: dict[str, Any]) -> Part:
    limit = entry.get("limit", {})
    return Part(entry["name"], entry["ask"], entry.get("formula", ""), entry.get("args", {}),
                entry.get("value", ""), limit.get("formula", ""), limit.get("args", {}),
                entry.get("whole", False), entry.get("topic", "any"))
