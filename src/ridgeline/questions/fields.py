"""What a question takes: its arguments as flat, named fields, read from its own signature.

A body of a web request, the arguments of an agent's call and the controls of the explorer are all
such fields. `fields_of` lists them with type, default and description; `arguments` turns a flat
mapping into the arguments of the question function, refusing what is unknown or of a wrong kind.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ridgeline.errors import BadInput, UnknownName
from ridgeline.quantity import parse_number
from ridgeline.scenario import Scenario

__all__ = ["Field", "arguments", "fields_of", "read_value", "schema_of"]

_LONGEST_TEXT = 200
_LONGEST_CLAIM = 600
_LONGEST_LIST = 200
_LONGEST_NUMERAL = 40
_NUMERAL = r"^\s*[-+]?[0-9][0-9_,]*\.?[0-9]*([eE][-+]?[0-9]{1,3})?\s*[kKMGBTP]?\s*$"
SECTIONS = ("deployment", "workload", "training")


@dataclass(frozen=True)
class Field:
    """One named input of a question.

    Attributes:
        name: as in the command's options and in JSON.
        kind: "number", "whole", "text", "flag" or "list".
        item: kind of a list's items; of a text, what else it may be.
        default: value when left out; None also where a rule fills it in.
        required: whether leaving it out is an error.
        text: what it means, one sentence.
        choices: accepted values, where they are few.
        path: where it goes: the argument, and the attributes within it.
        section: part of a scenario it belongs to; "" for the question's own.
    """

    name: str
    kind: str
    default: Any = None
    required: bool = False
    text: str = ""
    item: str = ""
    choices: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    section: str = ""

    @property
    def longest(self) -> int:
        """Characters a text may have."""
        return _LONGEST_CLAIM if self.name == "claim" else _LONGEST_TEXT

    def schema(self) -> dict[str, Any]:
        """JSON schema of the value; numbers may be written as text such as "16k"."""
        kind = self.item if self.kind == "list" else self.kind
        found: dict[str, Any] = {"type": list(_TYPES[kind])}
        if self.kind == "text" and self.item:
            found["type"].append(self.item)
        if kind in ("number", "whole"):
            found |= {"pattern": _NUMERAL, "maxLength": _LONGEST_NUMERAL}
        elif kind == "text":
            found |= {"minLength": 1, "maxLength": self.longest}
        if self.choices:
            found["enum"] = list(self.choices)
        if self.kind == "list":
            found = {"type": ["array", "string"], "items": found, "maxItems": _LONGEST_LIST,
                     "maxLength": _LONGEST_CLAIM}
        if not self.required:                  # null stands for what is left out
            found["type"].append("null")
            if "enum" in found:
                found["enum"].append(None)
        if self.text:
            found["description"] = self.text
        if not self.required and self.default not in (None, ()):
            found["default"] = (list(self.default) if isinstance(self.default, tuple)
                                else self.default)
        return found


_TYPES = {"number": ("number", "string"), "whole": ("integer", "string"), "flag": ("boolean",),
          "text": ("string",)}


def schema_of(fields: Sequence[Field]) -> dict[str, Any]:
    """JSON schema of a body with these fields; unknown names are refused."""
    return {"type": "object", "additionalProperties": False,
            "properties": {f.name: f.schema() for f in fields},
            "required": [f.name for f in fields if f.required]}


def fields_of(function: Callable[..., Any], sections: Sequence[str] = SECTIONS[:2], *,
              hidden: Sequence[str] = ()) -> tuple[Field, ...]:
    """The fields of a question function.

    Args:
        function: takes a Scenario, dataclasses of settings, or plain values.
        sections: parts of a Scenario to offer.
        hidden: names to leave out.

    Raises:
        TypeError: a parameter of a type that no field can carry, or a name used twice.
    """
    found = list(_fields(function, sections, frozenset(hidden)))
    names = [f.name for f in found]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise TypeError(f"{function.__name__} has two fields named {', '.join(twice)}")
    return tuple(found)


def _fields(function: Callable[..., Any], sections: Sequence[str], hidden: frozenset[str]
            ) -> Iterator[Field]:
    hints, texts = _hints(function), described(function)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in hidden or parameter.name == "progress":   # a callback, no input
            continue
        kind = _record(hints[parameter.name])
        if kind is not None:
            start = parameter.default
            read = _Reading(tuple(sections), hidden)
            found = read.record(kind, (parameter.name,),
                                start if dataclasses.is_dataclass(start) else None)
            yield from found if start is not None else map(_voluntary, found)
        else:
            absent = parameter.default is parameter.empty
            yield _field(parameter.name, hints[parameter.name], texts,
                         None if absent else parameter.default, absent, (parameter.name,))


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Types of the parameters; that of the result may be one that only type checkers import."""
    known = getattr(inspect.unwrap(function), "__globals__", {})
    return {p.name: eval(p.annotation, known) if isinstance(p.annotation, str) else p.annotation
            for p in inspect.signature(function).parameters.values()
            if p.name != "progress" and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}


def _record(hint: Any) -> Any:
    """The dataclass that a hint means, alone or with None."""
    kinds = [t for t in (typing.get_args(hint) or (hint,)) if t is not types.NoneType]
    return kinds[0] if len(kinds) == 1 and dataclasses.is_dataclass(kinds[0]) else None


def _voluntary(field: Field) -> Field:
    """A field of a record that may be left out altogether."""
    return dataclasses.replace(field, required=False)


@dataclass(frozen=True)
class _Reading:
    """How the fields of a record are listed: a scenario's sections, and names to leave out."""

    sections: tuple[str, ...]
    hidden: frozenset[str]

    def record(self, kind: Any, path: tuple[str, ...], start: Any) -> Iterator[Field]:
        """Fields of a dataclass, those of dataclasses within it among them."""
        if kind is Scenario:
            yield from self._scenario(path)
            return
        hints, texts = typing.get_type_hints(kind), described(kind)
        for part in dataclasses.fields(kind):
            if part.name in self.hidden or not part.init:
                continue
            inner, (default, absent) = _record(hints[part.name]), _default(part, start)
            if inner is None:
                yield _field(part.name, hints[part.name], texts, default, absent, path)
            else:
                found = self.record(inner, (*path, part.name), default)
                yield from found if absent or default is not None else map(_voluntary, found)

    def _scenario(self, path: tuple[str, ...]) -> Iterator[Field]:
        yield Field("model", "text", required=True, path=path,
                    text="Model by name, such as Llama-3.1-70B.")
        yield Field("machine", "text", required=True, path=path,
                    text="Machine, such as 8xH100-SXM or 2x8xB200.")
        hints = typing.get_type_hints(Scenario)
        for section in self.sections:
            for field in self.record(hints[section], (*path, section), None):
                default = None if field.name == "tp" else field.default
                yield dataclasses.replace(field, section=section, default=default)


def _default(part: Any, start: Any) -> tuple[Any, bool]:
    """Default of a dataclass field, and whether there is none."""
    if start is not None:
        return getattr(start, part.name), False
    if part.default_factory is not dataclasses.MISSING:
        return part.default_factory(), False
    return (None, True) if part.default is dataclasses.MISSING else (part.default, False)


def _field(name: str, hint: Any, texts: Mapping[str, str], default: Any, required: bool,
           path: tuple[str, ...]) -> Field:
    kind, item, choices = _kind(name, hint)
    if isinstance(default, float) and not math.isfinite(default):
        default = None                                  # "no limit" is left out in JSON
    return Field(name, kind, default, required, texts.get(name, ""), item, choices, path)


_KINDS = {bool: "flag", int: "whole", float: "number", str: "text"}


def _kind(name: str, hint: Any) -> tuple[str, str, tuple[str, ...]]:
    """Kind, kind of the items and choices of a type hint."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return "text", "", tuple(str(v) for v in inside)
    if origin in (tuple, list, Sequence) or origin in (typing.Sequence,):
        items = [t for t in inside if t is not Ellipsis]
        return "list", _kind(name, items[0])[0], ()
    if origin in (typing.Union, types.UnionType):
        parts = [_kind(name, t) for t in inside if t is not types.NoneType]
        kinds = [p[0] for p in parts]
        if set(kinds) == {"whole", "number"}:
            return "number", "", ()
        if "text" in kinds and set(kinds) <= {"text", "whole", "number"}:
            return "text", "number", ()
        if len(parts) == 1 or {"list", "text"} == set(kinds):
            return next((p for p in parts if p[0] == "list"), parts[0])
    if hint in _KINDS:
        return _KINDS[hint], "", ()
    raise TypeError(f"no field can carry {name}: {hint}")


_ENTRY = re.compile(r"^    (\w+(?:, \w+)*): (.*)$")


def described(thing: Any) -> dict[str, str]:
    """Name -> sentence of the Args or Attributes of a docstring."""
    found: dict[str, str] = {}
    names: list[str] = []
    inside = False
    for line in inspect.cleandoc(thing.__doc__ or "").splitlines():
        if line in ("Args:", "Attributes:"):
            inside = True
        elif not inside or (line and not line.startswith(" ")):
            inside, names = False, []
        elif entry := _ENTRY.match(line):
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        elif names and line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return {name: text[:1].upper() + text[1:] for name, text in found.items()}


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
    hints = _hints(function)
    out: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        parts = {path: part for path, part in given.items() if path[0] == name}
        kind = _record(hints[name]) if name in hints else None
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
        inner, place = _record(hints[part.name]), (*path, part.name)
        if inner is not None and any(p[:len(place)] == place for p in below):
            within, _ = _default(part, None)
            values[part.name] = _record_of(inner, place, parts, known, within)
    if dataclasses.is_dataclass(start) and not isinstance(start, type):
        return dataclasses.replace(start, **values)
    lacking = [f.name for f in dataclasses.fields(kind) if f.name not in values and f.init
               and _default(f, None)[1]]
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
    if isinstance(value, str) and len(value) > _LONGEST_CLAIM:
        raise BadInput(f"{field.name} may have at most {_LONGEST_CLAIM} characters, "
                       f"not {len(value):,}")
    items = ([v.strip() for v in value.split(",") if v.strip()] if isinstance(value, str)
             else value)
    if not isinstance(items, (list, tuple)):
        raise BadInput(f"{field.name} must be a list, not {_seen(value)}")
    if len(items) > _LONGEST_LIST:
        raise BadInput(f"{field.name} has {len(items):,} values; at most {_LONGEST_LIST} are "
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
        if isinstance(value, bool) or (isinstance(value, str) and len(value) > _LONGEST_NUMERAL):
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


