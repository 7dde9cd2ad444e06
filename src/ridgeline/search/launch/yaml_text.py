"""Plain data as YAML text: mappings, lists and scalars in block style."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["yaml_text"]

# Text that YAML reads back as itself without quotes.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def yaml_text(value: Any, indent: int = 0) -> str:
    """YAML of mappings, lists, texts, numbers, booleans and None.

    >>> print(yaml_text({"a": {"b": [1, "x y"]}, "c": []}), end="")
    a:
      b:
        - 1
        - "x y"
    c: []
    """
    pad = " " * indent
    if isinstance(value, Mapping) and value:
        return "".join(f"{pad}{_scalar(key)}:" + (
            "\n" + yaml_text(inner, indent + 2) if _nested(inner) else f" {_scalar(inner)}\n")
            for key, inner in value.items())
    if isinstance(value, (list, tuple)) and value:
        # An item that is itself nested begins on the line of its dash.
        return "".join(f"{pad}- " + (yaml_text(item, indent + 2).lstrip(" ") if _nested(item)
                                     else _scalar(item) + "\n") for item in value)
    return pad + _scalar(value) + "\n"


def _nested(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple)) and bool(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    # JSON's scalars and empty collections are YAML's too.
    return json.dumps(value if not isinstance(value, tuple) else list(value), ensure_ascii=False)
