"""Measurements by others, shipped compact: see SOURCES.md beside this file."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def shipped_tables() -> list[Path]:
    """Every shipped truth table, by name."""
    folder = Path(str(resources.files(__name__)))
    return sorted(p for p in folder.glob("*.csv.xz") if p.name != "model_names.csv.xz")


def shipped_file(name: str) -> Path:
    """One file of this folder."""
    return Path(str(resources.files(__name__))) / name
