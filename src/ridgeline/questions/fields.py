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

from ridgeline.scenario import Scenario

__all__ = ["LONGEST_CLAIM", "LONGEST_LIST", "LONGEST_NUMERAL", "SECTIONS", "Field", "default_of",
           "fields_of", "hints_of", "record_in", "schema_of"]

LONGEST_TEXT = 200
LONGEST_CLAIM = 600
LONGEST_LIST = 200
LONGEST_NUMERAL = 40
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
        return LONGEST_CLAIM if self.name == "claim" else LONGEST_TEXT

    def schema(self) -> dict[str, Any]:
        """JSON schema of the value; numbers may be written as text such as "16k"."""
        kind = self.item if self.kind == "list" else self.kind
        found: dict[str, Any] = {"type": list(_TYPES[kind])}
        if self.kind == "text" and self.item:
            found["type"].append(self.item)
        if kind in ("number", "whole"):
            found |= {"pattern": _NUMERAL, "maxLength": LONGEST_NUMERAL}
        elif kind == "text":
            found |= {"minLength": 1, "maxLength": self.longest}
        if self.choices:
            found["enum"] = list(self.choices)
        if self.kind == "list":
            found = {"type": ["array", "string"], "items": found, "maxItems": LONGEST_LIST,
                     "maxLength": LONGEST_CLAIM}
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
    hints, texts = hints_of(function), described(function)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in hidden or parameter.name == "progress":   # a callback, no input
            continue
        kind = record_in(hints[parameter.name])
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


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Types of the parameters; that of the result may be one that only type checkers import."""
    known = getattr(inspect.unwrap(function), "__globals__", {})
    return {p.name: eval(p.annotation, known) if isinstance(p.annotation, str) else p.annotation
            for p in inspect.signature(function).parameters.values()
            if p.name != "progress" and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}


def record_in(hint: Any) -> Any:
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
            inner, (default, absent) = record_in(hints[part.name]), default_of(part, start)
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


def default_of(part: Any, start: Any) -> tuple[Any, bool]:
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
