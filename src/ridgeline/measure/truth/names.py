"""What the model names in measured tables mean: a config, and a weight format where one is named.

A mapping is a CSV with the columns name, config_file and optionally weights, how and note. The
bundled one covers every name of the public tables; `add_names` puts a user's own before it. A
config_file is looked for beside the mapping, in a `models` folder beside it, then among the
bundled configs. A name in no mapping is tried as a model of the catalog.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ridgeline.errors import BadInput, RidgelineError
from ridgeline.measure.truth.reader import open_text

if TYPE_CHECKING:
    from ridgeline.model.architecture import Architecture

_NEEDED = ("name", "config_file")


@dataclass(frozen=True)
class ModelName:
    """What one name means.

    Attributes:
        name: exactly as the tables write it.
        config: path of the config file, or its bundled name; "" when there is none.
        weights: weight format the name itself states, "" when it states none.
        how: "same-model", "same-architecture", "row-columns" or "missing".
        note: what to mind.
    """

    name: str
    config: str
    weights: str = ""
    how: str = "same-model"
    note: str = ""


_added: dict[str, ModelName] = {}


def add_names(path: str | Path) -> int:
    """Put a user's mapping before the bundled one; returns how many names it has.

    Raises:
        BadInput: unreadable, or without the columns name and config_file.
    """
    found = read_names(path)
    _added.update(found)
    architecture_named.cache_clear()
    return len(found)


def read_names(path: str | Path) -> dict[str, ModelName]:
    """The names of a mapping file.

    Raises:
        BadInput: unreadable, without the columns it needs, or with a name that stands for two
            configs.
    """
    with open_text(path) as file:
        lines = csv.DictReader(file)
        missing = [c for c in _NEEDED if c not in (lines.fieldnames or ())]
        if missing:
            raise BadInput(f"{path}: a mapping of model names also needs: {', '.join(missing)}")
        found: dict[str, ModelName] = {}
        for number, line in enumerate(lines, 1):
            entry = _entry(line, Path(path))
            if found.setdefault(entry.name, entry).config != entry.config:
                raise BadInput(f"{path}: row {number}: {entry.name!r} stands for two configs")
    return found


def _entry(line: dict[str, str | None], path: Path) -> ModelName:
    cell = {k: (v or "").strip() for k, v in line.items() if isinstance(k, str)}
    config = cell["config_file"]
    for folder in (path.parent, path.parent / "models"):
        if config and (folder / config).is_file():
            config = str(folder / config)
            break
    return ModelName(line["name"] or "", config, cell.get("weights", ""),
                     cell.get("how", "") or "same-model", cell.get("note", ""))


@cache
def _bundled() -> dict[str, ModelName]:
    from ridgeline.truth_data import shipped_file

    return read_names(shipped_file("model_names.csv.xz"))


def look_up(name: str) -> ModelName:
    """What a model name means; a name in no mapping stands for itself."""
    return _added.get(name) or _bundled().get(name) or ModelName(name, "", how="unmapped")


@cache
def architecture_named(name: str) -> Architecture:
    """The architecture behind a model name of a measured table.

    Raises:
        BadInput: the name has no config, with the reason.
    """
    entry = look_up(name)
    if entry.how in ("row-columns", "missing"):
        what = ("no released model, the row itself gives the shapes" if entry.how == "row-columns"
                else "no genuine config is known")
        raise BadInput(f"model {name!r}: {what}")
    from ridgeline.model.load import load_architecture

    try:
        return load_architecture(entry.config or name)
    except RidgelineError as error:
        raise BadInput(f"model {name!r}: {error}") from error
