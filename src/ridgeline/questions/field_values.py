"""What was sent for a question's fields, read into its arguments."""

from __future__ import annotations

import dataclasses
import inspect
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ridgeline.errors import BadInput, UnknownName
from ridgeline.quantity import parse_number
from ridgeline.questions.fields import (
    LONGEST_CLAIM,
    LONGEST_LIST,
    LONGEST_NUMERAL,
    SECTIONS,
    Field,
    default_of,
    hints_of,
    record_in,
)
from ridgeline.scenario import Scenario

__all__ = ["arguments", "read_value"]


def arguments(function: Callable[..., Any], fields: Sequence[Field],
              body: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a question, from flat fields (or a scenario's own sections).

    Raises:
        BadInput: an unknown field, one that is missing, or a value of the wrong kind.
    """
    known = {f.name: f for f in fields}
    given: dict[tuple[str, ...], dict[str, Any]] = {}
    for name, value in _flat(body, known).items():
        if name not in known:
            raise UnknownName.among("field", name[:80], known)
        if value is not None:
            field = known[name]
            if field.path[1:2] or field.path[0] != name:
                given.setdefault(field.path, {})[name] = value
            else:
                given[(name,)] = {name: read_value(field, value)}
    for field in fields:
        owner = field.path if field.path != (field.name,) else (field.name,)
        if field.required and field.name not in given.get(owner, {}):
            raise BadInput(f"this question needs a {field.name}: {field.text}".rstrip(": "))
    hints = hints_of(function)
    out: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        parts = {path: part for path, part in given.items() if path[0] == name}
        kind = record_in(hints[name]) if name in hints else None
        if kind is not None:
            if parts or parameter.default is parameter.empty:
                out[name] = _record_of(kind, (name,), parts, known, parameter.default)
        elif parts:
            out[name] = parts[(name,)][name]
    return out


def _flat(body: Mapping[str, Any], known: Mapping[str, Field]) -> dict[str, Any]:
    """The body with a scenario's sections opened."""
    flat: dict[str, Any] = {}
    for name, value in body.items():
        if name in SECTIONS and isinstance(value, Mapping):
            for key, inner in value.items():
                if key not in known or known[key].section != name:
                    raise UnknownName.among(f"key in {name}", str(key)[:80],
                                            [n for n, f in known.items() if f.section == name])
                flat[key] = inner
        else:
            flat[str(name)] = value
    return flat


def _record_of(kind: Any, path: tuple[str, ...], parts: Mapping[tuple[str, ...], dict[str, Any]],
               known: Mapping[str, Field], start: Any) -> Any:
    """A dataclass of settings from the values given for it and for those within it."""
    below = {p: part for p, part in parts.items() if p[:len(path)] == path}
    if kind is Scenario:
        return Scenario.from_fields({k: v for part in below.values() for k, v in part.items()})
    if hasattr(kind, "from_fields"):        # a record that reads and checks flat fields itself
        return kind.from_fields({n: read_value(known[n], v) for part in below.values()
                                 for n, v in part.items()})
    hints = typing.get_type_hints(kind)
    values = {n: read_value(known[n], v) for n, v in parts.get(path, {}).items()}
    for part in dataclasses.fields(kind):
        inner, place = record_in(hints[part.name]), (*path, part.name)
        if inner is not None and any(p[:len(place)] == place for p in below):
            within, _ = default_of(part, None)
            values[part.name] = _record_of(inner, place, parts, known, within)
    if dataclasses.is_dataclass(start) and not isinstance(start, type):
        return dataclasses.replace(start, **values)
    lacking = [f.name for f in dataclasses.fields(kind) if f.name not in values and f.init
               and default_of(f, None)[1]]
    if lacking:
        raise BadInput(f"give {' and '.join(lacking)} too, together with {', '.join(values)}")
    return kind(**values)


def read_value(field: Field, value: Any) -> Any:
    """One value as the kind its field has.

    Raises:
        BadInput: it is of another kind, too long, or not finite.
    """
    if field.kind != "list":
        return _one(field, field.kind, value)
    if isinstance(value, str) and len(value) > LONGEST_CLAIM:
        raise BadInput(f"{field.name} may have at most {LONGEST_CLAIM} characters, "
                       f"not {len(value):,}")
    items = ([v.strip() for v in value.split(",") if v.strip()] if isinstance(value, str)
             else value)
    if not isinstance(items, (list, tuple)):
        raise BadInput(f"{field.name} must be a list, not {_seen(value)}")
    if len(items) > LONGEST_LIST:
        raise BadInput(f"{field.name} has {len(items):,} values; at most {LONGEST_LIST} are "
                       "answered at once")
    return tuple(_one(field, field.item, item) for item in items)


def _one(field: Field, kind: str, value: Any) -> Any:
    if kind == "flag":
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        found = value if isinstance(value, bool) else (
            words.get(value.lower()) if isinstance(value, str) else None)
        if found is None:
            raise BadInput(f"{field.name} must be true or false, not {_seen(value)}")
        return found
    if kind == "text":
        if field.item == "number" and type(value) in (int, float):
            value = f"{value:.15g}"             # a length may be a number or a law
        if not isinstance(value, str) or not 0 < len(value) <= field.longest or "\0" in value:
            raise BadInput(f"{field.name} must be text of 1 to {field.longest:,} characters, "
                           f"not {_seen(value)}")
        if field.choices and value not in field.choices:
            raise UnknownName.among(field.name, value[:80], field.choices,
                                    "Accepted: " + ", ".join(field.choices))
        return value
    return _numeral(field.name, kind, value)


def _numeral(name: str, kind: str, value: Any) -> int | float:
    try:
        if isinstance(value, bool) or (isinstance(value, str) and len(value) > LONGEST_NUMERAL):
            raise TypeError
        number = parse_number(value)
    except (TypeError, OverflowError, BadInput) as error:
        raise BadInput(f"{name} must be a number, not {_seen(value)}") from error
    if not math.isfinite(number):
        raise BadInput(f"{name} must be a finite number, not {_seen(value)}")
    if kind == "number":
        return number
    if number != int(number) or abs(number) > 2**53:
        raise BadInput(f"{name} must be a whole number, not {_seen(value)}")
    return int(number)


def _seen(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
