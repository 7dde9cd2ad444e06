"""The glossary: symbol, unit and meaning of every formula argument (data in glossary.toml)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from ridgeline.errors import UnknownName

__all__ = ["Term", "glossary", "term"]


@dataclass(frozen=True, slots=True)
class Term:
    """One argument name.

    Attributes:
        name: as in the code ("memory_bandwidth").
        symbol: as in an equation ("W").
        unit: SI unit text.
        meaning: what it is, in a few words.
        example: a plausible value; a tuple for arguments that are sequences.
    """

    name: str
    symbol: str
    unit: str
    meaning: str
    example: float | tuple[float, ...]


@cache
def glossary() -> dict[str, Term]:
    """Every term by name."""
    text = resources.files("ridgeline.explain").joinpath("glossary.toml").read_text("utf-8")
    return {name: _term(name, fields) for name, fields in tomllib.loads(text).items()}


def _term(name: str, fields: dict[str, Any]) -> Term:
    example = fields.pop("example")
    return Term(name=name, example=tuple(example) if isinstance(example, list) else float(example),
                **fields)


def term(name: str) -> Term:
    """One term.

    Raises:
        UnknownName: the glossary has no such name.

    >>> term("memory_bandwidth").symbol, term("memory_bandwidth").unit
    ('W', 'B/s')
    """
    known = glossary()
    if name not in known:
        raise UnknownName.among("term", name, known)
    return known[name]
