"""The same question for other surfaces: a command line, a Python call, a scenario file."""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Mapping
from typing import Any

from ridgeline.questions.field_values import read_value
from ridgeline.questions.registry import Question
from ridgeline.scenario import Scenario, scenario_toml

__all__ = ["calls", "command_line", "python_call"]


def calls(name: str, question: Question, body: Mapping[str, Any]) -> dict[str, str | None]:
    """Command, Python code and, where there is a scenario, its TOML."""
    given = question.arguments(body)
    scenario = next((v for v in given.values() if isinstance(v, Scenario)), None)
    return {"command": command_line(name, question, body),
            "python": python_call(name, question, body),
            "toml": None if scenario is None else scenario_toml(scenario)}


def command_line(name: str, question: Question, body: Mapping[str, Any]) -> str | None:
    """The command that answers the same; None where no command can say all that was asked."""
    if question.command is None:
        return None
    words = (question.command or name).split()
    command = _command(words[0])
    if command is None:
        return None
    options = {p.name: p for p in command.params if p.param_type_name == "option"}
    places = [p.name for p in command.params if p.param_type_name == "argument"]
    asked = _asked(question, body)
    said = [shlex.quote(_text(asked.pop(place))) for place in places if place in asked]
    for field, value in asked.items():
        option = options.get((question.flags or {}).get(field, field))
        if option is None:
            return None
        flag = _flag(option, value)
        if flag is None:
            return None
        said += [flag] if option.is_flag else [flag, shlex.quote(_text(value))]
    return " ".join(["ridgeline", *words[:1], *said, *words[1:]])


def _asked(question: Question, body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that differ from their defaults, in order."""
    flat: dict[str, Any] = {}
    for name, value in body.items():
        flat |= value if isinstance(value, Mapping) else {name: value}
    return {f.name: flat[f.name] for f in question.fields
            if flat.get(f.name) is not None and (f.required or flat[f.name] != f.default)}


def _command(name: str) -> Any:
    from ridgeline.cli import COMMANDS

    if name not in COMMANDS:
        return None
    module, attribute, _ = COMMANDS[name]
    return getattr(importlib.import_module(module), attribute)


def _flag(option: Any, value: Any) -> str | None:
    """How the option is spelled for a value; None where a switch cannot say it."""
    if not option.is_flag:
        return str(max(option.opts, key=len))
    if value is True:
        return str(option.opts[0])
    return str(option.secondary_opts[0]) if option.secondary_opts else None


def python_call(name: str, question: Question, body: Mapping[str, Any]) -> str:
    """Python code that answers the same."""
    import ridgeline

    fields = {f.name: f for f in question.fields}
    asked = {k: read_value(fields[k], v) for k, v in _asked(question, body).items()}
    if name in ridgeline.__all__ and {"model", "machine"} <= asked.keys():
        head = [repr(asked.pop("model")), repr(asked.pop("machine"))]
    else:
        head, name = [repr(name)], "ask"
    words = ", ".join([*head, *(f"{k}={v!r}" for k, v in asked.items())])
    return f"import ridgeline\n\nanswer = ridgeline.{name}({words})"


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(_text(v) for v in value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
