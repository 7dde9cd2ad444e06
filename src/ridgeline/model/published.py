"""What publishers say of the bundled models: rounded and exact counts, with their sources."""

from __future__ import annotations

import csv
import functools
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ridgeline.errors import BadInput

_COLUMNS = ("name", "model_type", "total_params_published", "active_params_published",
            "published_source", "total_params_exact", "exact_source", "exact_note",
            "config_source")


@dataclass(frozen=True)
class Published:
    """One model's published sizes [param] and where they come from; None where not published.

    Attributes:
        total: rounded size of the card or paper.
        active: rounded parameters a token uses, by the publisher's own rule.
        source: where `total` and `active` stand.
        exact: elements of the published checkpoint.
        exact_source, exact_note: where that stands, and what it counts besides weights.
        config_source: where the config comes from.
    """

    name: str
    total: int | None
    active: int | None
    source: str
    exact: int | None
    exact_source: str
    exact_note: str
    config_source: str


def published_sizes() -> Mapping[str, Published]:
    """Sizes of the bundled models, by repository name."""
    folder = importlib.resources.files("ridgeline.catalog") / "data"
    return read_published(Path(str(folder / "models.csv")))


@functools.lru_cache(maxsize=4)
def read_published(path: Path) -> Mapping[str, Published]:
    """Read a table of published sizes, refusing what is not of its form.

    Raises:
        BadInput: naming the file, the line and the column.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise BadInput(f"cannot read {path.name}: {error}") from None
    if not rows or tuple(rows[0]) != _COLUMNS:
        raise BadInput(f"{path.name}: its columns must be {', '.join(_COLUMNS)}")
    found: dict[str, Published] = {}
    for line, cells in enumerate(rows[1:], start=2):
        where = f"{path.name} line {line}"
        if len(cells) != len(_COLUMNS):
            raise BadInput(f"{where}: {len(cells)} cells; expected {len(_COLUMNS)}")
        entry = _entry(dict(zip(_COLUMNS, cells, strict=True)), where)
        if entry.name in found:
            raise BadInput(f"{where}: {entry.name} stands twice")
        found[entry.name] = entry
    return found


def _entry(row: dict[str, str], where: str) -> Published:
    """One row, every size of which has a source."""
    def size(column: str) -> int | None:
        text = row[column]
        if text and not (text.isascii() and text.isdigit() and 0 < int(text) < 10**16):
            raise BadInput(f"{where}: {column} is {text[:30]!r}; expected a count of parameters")
        return int(text) if text else None

    entry = Published(row["name"], size("total_params_published"),
                      size("active_params_published"), row["published_source"],
                      size("total_params_exact"), row["exact_source"], row["exact_note"],
                      row["config_source"])
    if not entry.name or not entry.config_source:
        raise BadInput(f"{where}: needs a name and a config_source")
    if (entry.total or entry.active) and not entry.source:
        raise BadInput(f"{where}: {entry.name} has a size without published_source")
    if entry.exact and not entry.exact_source:
        raise BadInput(f"{where}: {entry.name} has an exact count without exact_source")
    return entry
