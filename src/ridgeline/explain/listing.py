"""Find every public formula of the package, without a registry.

A formula is a public function whose parameters are all keyword-only and annotated `Numeric` (or
`Sequence[Numeric]`), and which returns `Numeric`. Public: in its module's `__all__`, or without an
underscore where the module has none.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ridgeline

__all__ = ["Formula", "formula_named", "formulas", "is_formula"]

Formula = Callable[..., Any]

_NUMERIC = ("Numeric", "Sequence[Numeric]")
# Fitted forms with constants of their own: parts of a model, not formulas to be read alone.
_INTERNAL = ("ridgeline.timing.kernels",)
# Rooms that hold formulas; surfaces are not searched, so that listing imports no server or page.
_ROOMS = ("work", "timing", "memory", "serving", "training", "retrieval", "reasoning",
          "economics")


def is_formula(candidate: Any) -> bool:
    """Whether a function is a pure formula by its signature."""
    if not inspect.isfunction(candidate):
        return False
    signature = inspect.signature(candidate)
    parameters = signature.parameters.values()
    return (bool(parameters) and signature.return_annotation == "Numeric"
            and all(p.kind is p.KEYWORD_ONLY and p.annotation in _NUMERIC for p in parameters))


def formulas(rooms: tuple[str, ...] = _ROOMS) -> dict[str, Formula]:
    """Every formula by its full name ("ridgeline.timing.textbook.decode_step"), sorted.

    Args:
        rooms: packages of `ridgeline` to search.
    """
    found: dict[str, Formula] = {}
    for name in filter(_may_hold_formulas, _module_names(rooms)):
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", [n for n in vars(module) if n[0] != "_"]):
            candidate: Any = getattr(module, public, None)
            if is_formula(candidate) and candidate.__module__ == name:
                found[f"{name}.{public}"] = candidate
    return dict(sorted(found.items()))


def formula_named(name: str) -> Formula:
    """The formula with this short or full name.

    Raises:
        UnknownName: there is none; the nearest names are given.
    """
    from ridgeline.errors import UnknownName

    known = formulas()
    for full, function in known.items():
        if name in (full, function.__name__):
            return function
    raise UnknownName.among("formula", name, [f.__name__ for f in known.values()])


def _may_hold_formulas(module_name: str) -> bool:
    """Whether a module's text returns `Numeric` anywhere; spares importing the others."""
    if module_name.startswith(_INTERNAL):
        return False
    spec = importlib.util.find_spec(module_name)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return True
    return "-> Numeric" in Path(spec.origin).read_text("utf-8")


def _module_names(rooms: tuple[str, ...]) -> Iterator[str]:
    for room in pkgutil.iter_modules(ridgeline.__path__, "ridgeline."):
        if room.name.rpartition(".")[2] not in rooms:
            continue
        yield room.name
        if room.ispkg:
            package = importlib.import_module(room.name)
            for found in pkgutil.walk_packages(package.__path__, room.name + "."):
                yield found.name
