"""Compile the simulator's loop with numba where it is installed; run the same source without it.

`@compiled` marks a function of the loop. `plain(function)` gives back its uncompiled twin, so that
tests can run both. Compiled code is cached beside the source, or in the user's cache folder where
that cannot be written; where neither can, each process compiles anew.
"""

from __future__ import annotations

import importlib
import types
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["compiled", "has_numba", "plain"]

Function = TypeVar("Function", bound=Callable[..., Any])

try:
    _numba: Any = importlib.import_module("numba")
except ImportError:  # the `sim` extra is not installed
    _numba = None


def has_numba() -> bool:
    """Whether loops run compiled."""
    return _numba is not None


def compiled(function: Function) -> Function:
    """The function compiled on first call, or unchanged without numba."""
    if _numba is None:
        return function
    try:
        made: Function = _numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no folder to cache in
        made = _numba.njit(nogil=True)(function)
    return made


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """The uncompiled twin of a compiled function, calling uncompiled twins only."""
    twin: Callable[..., Any] = _plain(function, {})
    return twin


def _plain(function: Callable[..., Any], seen: dict[int, Callable[..., Any]]) -> Any:
    source = getattr(function, "py_func", None)
    if source is None:
        return function
    if id(function) in seen:
        return seen[id(function)]
    scope = dict(source.__globals__)
    twin = types.FunctionType(source.__code__, scope, source.__name__, source.__defaults__)
    seen[id(function)] = twin
    for name in source.__code__.co_names:
        if hasattr(scope.get(name), "py_func"):
            scope[name] = _plain(scope[name], seen)
    return twin
