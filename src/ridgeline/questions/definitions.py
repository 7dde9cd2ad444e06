"""What each number of an answer means, and the arithmetic behind it, by its JSON key."""

from __future__ import annotations

import functools
import importlib.resources
from dataclasses import dataclass

__all__ = ["Definition", "definitions"]


@dataclass(frozen=True)
class Definition:
    """One number.

    Attributes:
        meaning: one sentence.
        formula: how it follows from other numbers of the same answer and fields of its scenario;
            "" where it comes from a model with no closed form.
    """

    meaning: str
    formula: str = ""


@functools.lru_cache(maxsize=1)
def definitions() -> dict[str, Definition]:
    """Key of a number -> what it means; "train.days" holds for that question alone."""
    import tomllib

    text = (importlib.resources.files("ridgeline.questions") / "definitions.toml").read_text(
        encoding="utf-8")
    return {name: Definition(entry["meaning"], entry.get("formula", ""))
            for name, entry in _entries(tomllib.loads(text))}


def _entries(data: dict[str, object]) -> list[tuple[str, dict[str, str]]]:
    """Entries of the file; a table of tables is a question's own."""
    found: list[tuple[str, dict[str, str]]] = []
    for name, value in data.items():
        assert isinstance(value, dict)
        if "meaning" in value:
            found.append((name, value))
        else:
            found += [(f"{name}.{key}", inner) for key, inner in value.items()]
    return found
