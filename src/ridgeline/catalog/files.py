"""Reading catalog files: where they lie, how they are decoded, and the index of spellings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ridgeline.catalog.names import tokens_of
from ridgeline.errors import BadInput
from ridgeline.files import read_text

__all__ = ["DATA", "INDEX", "Index", "build_index", "index_text", "read_index", "read_text",
           "read_toml", "toml_files"]

DATA = Path(__file__).parent / "data"
INDEX = "index.json"
# A hand-written entry is a few kB; a larger file is not one.
LARGEST_FILE = 4_000_000

Index = dict[str, dict[str, Any]]


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as plain data.

    Raises:
        BadInput: unreadable or not TOML.
    """
    import tomllib

    text = read_text(path, LARGEST_FILE)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: not valid TOML: {' '.join(str(error).split())}") from None
    except (RecursionError, ValueError) as error:
        # Deep nesting and impossible dates escape the parser's own error type.
        raise BadInput(f"{path}: not valid TOML: {' '.join(str(error).split())}") from None


def toml_files(folder: Path) -> Iterator[Path]:
    """TOML files of a folder in name order; none when there is no such folder."""
    if folder.is_dir():
        yield from sorted(p for p in folder.iterdir()
                          if p.suffix == ".toml" and not p.name.startswith("."))


def build_index(paths: Iterable[Path]) -> Index:
    """Every spelling of every entry, from the files themselves.

    Returns:
        {"names": {spelling: file stem}, "sizes": {file stem: bytes}}; sizes only of devices whose
        memory is fixed, since "64GB" says nothing about which Apple chip it is.

    Raises:
        BadInput: one spelling for two entries.
    """
    names: dict[str, str] = {}
    sizes: dict[str, float] = {}
    keys: dict[str, str] = {}
    for path in paths:
        data = read_toml(path)
        memory = data.get("memory")
        if data.get("kind", "gpu") in ("gpu", "npu", "tpu") and isinstance(memory, dict):
            sizes[path.stem] = float(memory.get("bytes", 0.0) or 0.0)
        for spelling in (path.stem, *data.get("aliases", ())):
            key = "".join(tokens_of(str(spelling)))
            if keys.setdefault(key, path.stem) != path.stem:
                raise BadInput(f"{path}: the name {spelling!r} also means {keys[key]}")
            names[str(spelling)] = path.stem
    return {"names": names, "sizes": {k: v for k, v in sizes.items() if v > 0}}


def index_text(index: Index) -> str:
    """The index as it is stored: sorted, one spelling a line, so that changes read well."""
    return json.dumps(index, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read_index(folder: Path) -> Index:
    """The stored index of a bundled folder, or a fresh one when files were added or removed."""
    paths = list(toml_files(folder))
    stored = folder / INDEX
    if stored.is_file():
        index: Index = json.loads(stored.read_text("utf-8"))
        if set(index["names"].values()) == {p.stem for p in paths}:
            return index
    return build_index(paths)
