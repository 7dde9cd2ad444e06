"""Tables of claims: the columns of the shipped one, read strictly."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from pathlib import Path

from ridgeline.errors import BadInput
from ridgeline.files import read_text

__all__ = ["ClaimRow", "audited", "parse_claims", "read_claims"]

# Columns a table must have; the others may be missing.
_NEEDED = ("quote",)
_MOST_ROWS = 100_000


@dataclass(frozen=True)
class ClaimRow:
    """One row: what is said, and what is known of it.

    Attributes:
        id: short name of the row.
        source_file: text it stands in.
        quote: the claim in its own words.
        quantity, claimed_value, unit: what it states.
        inputs: the numbers it rests on.
        our_value, verdict, explanation: of an earlier audit, when there was one.
        rule, mode: how to compute it, when the table says so: an expression (see
            ridgeline.explain.expressions) of the inputs' names, and a mode of `judge`.
    """

    id: str
    quote: str
    quantity: str = ""
    claimed_value: str = ""
    unit: str = ""
    inputs: str = ""
    source_file: str = ""
    our_value: str = ""
    verdict: str = ""
    explanation: str = ""
    rule: str = ""
    mode: str = ""


@cache
def audited() -> dict[str, ClaimRow]:
    """The shipped claims by id."""
    place = resources.files("ridgeline.explain.claims").joinpath("audited.csv")
    return {row.id: row for row in parse_claims(place.read_text("utf-8"), "audited.csv")}


def read_claims(path: str | Path) -> tuple[ClaimRow, ...]:
    """The rows of a CSV file of claims.

    Raises:
        BadInput: no such file, no column `quote`, or a malformed row, with its line.
    """
    return parse_claims(read_text(path), str(path))


def parse_claims(text: str, name: str) -> tuple[ClaimRow, ...]:
    """The rows of CSV text.

    Raises:
        BadInput: not CSV, no column `quote`, no rows or too many, or a malformed one.
    """
    if "\0" in text:
        raise BadInput(f"{name} is not a CSV file")
    try:
        rows = list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise BadInput(f"{name} is not a CSV file: {error}") from None
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    header = [cell.strip() for cell in rows[0]] if rows else []
    known = [f.name for f in fields(ClaimRow)]
    if missing := [column for column in _NEEDED if column not in header]:
        raise BadInput(f"{name} has no column {missing[0]!r}; a table of claims has "
                       + ", ".join(known))
    if len(rows) - 1 > _MOST_ROWS:
        raise BadInput(f"{name} has {len(rows) - 1} rows; at most {_MOST_ROWS}")
    found = []
    for line, cells in enumerate(rows[1:], start=2):
        if len(cells) != len(header):
            raise BadInput(f"{name} row {line}: {len(cells)} cells, expected {len(header)}")
        values = {k: v.strip() for k, v in zip(header, cells, strict=True) if k in known}
        values["id"] = values.get("id") or str(line - 1)
        found.append(ClaimRow(**values))
    if not found:
        raise BadInput(f"{name} holds no claims")
    return tuple(found)
