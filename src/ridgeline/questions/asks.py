"""From keyword arguments of a caller to the record a question takes."""

from __future__ import annotations

from typing import Any

from ridgeline.errors import UnknownName
from ridgeline.scenario import Scenario

__all__ = ["asked", "only"]


def asked(kind: Any, model: str, on: str, fields: dict[str, Any]) -> Any:
    """A question's record: its own fields by name, the rest as those of a scenario.

    Raises:
        BadInput: a field that neither has, or a value out of range.
    """
    known = kind.__dataclass_fields__
    own = {k: v for k, v in fields.items() if k in known}
    rest = {k: v for k, v in fields.items() if k not in known}
    return kind(Scenario.from_fields({"model": model, "machine": on, **rest}), **own)


def only(kind: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, when the record has them all.

    Raises:
        UnknownName: one that it has not.
    """
    for name in fields:
        if name not in kind.__dataclass_fields__:
            raise UnknownName.among("field", name, kind.__dataclass_fields__)
    return fields
