"""Compile the simulator's loop with numba where it is installed; run the same source without it.

`@compiled` marks a function of the loop, `@entry` one that Python calls; only those are wrapped
for it, which saves a third of the compilation. `plain(function)` gives back its uncompiled twin,
so that tests can run both. Compiled code is cached beside the source, or in the user's cache
folder where that cannot be written; where neither can, each process compiles anew.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["compiled", "entry", "has_numba", "plain"]

Function = TypeVar("Function", bound=Callable[..., Any])

try:
    _numba: Any = importlib.import_module("numba")
except ImportError:  # the `sim` extra is not installed
    _numba = None


def has_numba() -> bool:
    """Whether loops run compiled."""
    return _numba is not None


def compiled(function: Function) -> Function:
    """The function compiled for other compiled ones on first call, or unchanged without numba."""
    return _jitted(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def entry(function: Function) -> Function:
    """The function compiled on first call for Python to call, or unchanged without numba."""
    return _jitted(function, no_cfunc_wrapper=True)


def _jitted(function: Function, **options: bool) -> Function:
    if _numba is None:
        return function
    made: Any = _numba.njit(nogil=True, **options)(function)
    try:
        made.enable_caching()
        # numba keys a cached function on its own file alone; these call into each other.
        made._cache._cache_file._source_stamp = _fingerprint()
    except (RuntimeError, AttributeError):
        # No folder to cache in, or no way to tell stale code: compile in every process.
        made = _numba.njit(nogil=True, **options)(function)
    twin: Function = made
    return twin


@functools.cache
def _fingerprint() -> str:
    """Changes with any source file of the loop."""
    folder = Path(__file__).parent
    files = [folder / "layout.py", Path(__file__), *sorted(folder.glob("loop*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


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
