"""The one input of every question: model, machine, deployment, workload.

CLI flags, a TOML or JSON file, a query string and a Python call all become a flat mapping of
field names, and `Scenario.from_fields` is the only way in.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ridgeline.deployment import Deployment
from ridgeline.errors import BadInput, UnknownName
from ridgeline.files import read_json, read_text
from ridgeline.quantity import parse_number

__all__ = ["AUTO", "Scenario", "Training", "Workload", "read_scenario", "scenario_toml",
           "write_scenario"]


# Tensor-parallel degree of a scenario that leaves the choice to us (see questions.resolve).
AUTO = 0


@dataclass(frozen=True)
class Workload:
    """What is asked of the model.

    Attributes:
        prompt: tokens in of a request.
        output: tokens out of a request.
        concurrency: requests in flight, all replicas together.
        context: tokens a sequence may hold in all; None: prompt + output.
        prefix_hit: share of the prompt found in the prefix cache, 0 to 1.
    """

    prompt: int = 1024
    output: int = 256
    concurrency: int = 1
    context: int | None = None
    prefix_hit: float = 0.0


@dataclass(frozen=True)
class Training:
    """How a model is trained, for memory.

    Attributes:
        seq: tokens of a sequence.
        micro_batch: sequences one device group computes at a time.
        zero: optimizer sharding stage 0 to 3 over the data-parallel group.
        recompute: none, selective, full or reversible.
        optimizer: adamw, adamw_8bit, adafactor, muon, lion, ... (see memory.training).
        adapter_rank: LoRA rank; None: full training.
        microbatches: micro-batches in flight through the pipeline; None: as many as stages.
    """

    seq: int = 4096
    micro_batch: int = 1
    zero: int = 0
    recompute: str = "selective"
    optimizer: str = "adamw"
    adapter_rank: int | None = None
    microbatches: int | None = None


@dataclass(frozen=True)
class Scenario:
    """Everything a question needs to know, as names and numbers a person would write."""

    model: str
    machine: str
    deployment: Deployment = field(default_factory=lambda: Deployment(tp=AUTO))
    workload: Workload = field(default_factory=Workload)
    training: Training = field(default_factory=Training)

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Scenario:
        """Build a scenario from flat names (`model`, `tp`, `prompt`, ...) or nested sections.

        Raises:
            BadInput: an unknown name, a value of the wrong kind or out of range, no model, or a
                context that does not hold the prompt and output given.
        """
        flat = _flatten(fields)
        scenario = cls._of(flat)
        _check_context(flat, scenario.workload)
        return scenario

    @classmethod
    def _of(cls, flat: Mapping[str, Any]) -> Scenario:
        for name in ("model", "machine"):
            if not isinstance(flat.get(name), str) or not flat[name].strip():
                raise BadInput(f"a scenario needs a {name}, for instance "
                               + ("Llama-3.1-70B" if name == "model"
                                  else "machine = '8xH100-SXM' (--on 8xH100-SXM)"))
        sections = {name: {f.name: _checked(f.name, flat[f.name], kind)
                           for f in dataclasses.fields(kind) if f.name in flat}
                    for name, kind in _SECTIONS.items()}
        if "attention_dp" not in sections["deployment"]:
            sections["deployment"].setdefault("tp", AUTO)
        return cls(model=flat["model"], machine=flat["machine"],
                   **{name: kind(**sections[name]) for name, kind in _SECTIONS.items()})

    @classmethod
    def from_query(cls, text: str) -> Scenario:
        """Read a permalink's query string."""
        from urllib.parse import parse_qsl

        return cls.from_fields(dict(parse_qsl(text.lstrip("?"))))

    def to_query(self) -> str:
        """The scenario as a query string, defaults left out."""
        from urllib.parse import urlencode

        return urlencode({k: v for part in self._written().values() for k, v in part.items()})

    def to_dict(self) -> dict[str, Any]:
        """Nested plain data, defaults left out."""
        written = self._written()
        top = written.pop("")
        return {**top, **{name: part for name, part in written.items() if part}}

    def replace(self, **fields: Any) -> Scenario:
        """The same scenario with some flat fields changed."""
        flat = {k: v for part in self._written().values() for k, v in part.items()}
        return Scenario._of(_flatten({**flat, **fields}))

    def _written(self) -> dict[str, dict[str, Any]]:
        parts: dict[str, dict[str, Any]] = {"": {"model": self.model, "machine": self.machine}}
        start = {**{name: kind() for name, kind in _SECTIONS.items()},
                 "deployment": Deployment(tp=AUTO)}
        for name, kind in _SECTIONS.items():
            section, default = getattr(self, name), start[name]
            parts[name] = {f.name: getattr(section, f.name) for f in dataclasses.fields(kind)
                           if getattr(section, f.name) != getattr(default, f.name)}
        return parts


_SECTIONS: dict[str, Any] = {"deployment": Deployment, "workload": Workload, "training": Training}
_ACCEPTED = {"model": "", "machine": "", **{f.name: section for section, kind in _SECTIONS.items()
                                            for f in dataclasses.fields(kind)}}

# Least accepted value of whole-number fields; all others start at 1.
_LEAST = {"zero": 0, "output": 0}
_MOST = {"zero": 3, "prompt": 10**9, "output": 10**9, "context": 10**9, "concurrency": 10**9}
_SHARES = {"memory_fraction": (0.0, 1.0), "prefix_hit": (0.0, 1.0)}
_CHOICES = {
    "recompute": ("none", "selective", "full", "reversible"),
}


def _flatten(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Sections and flat names together; unknown names refused with the nearest."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _SECTIONS and isinstance(value, Mapping):
            for key, inner in value.items():
                if _ACCEPTED.get(key) != name:
                    raise UnknownName.among(f"key in [{name}]", str(key), [
                        f.name for f in dataclasses.fields(_SECTIONS[name])])
                flat[key] = inner
        elif name in _ACCEPTED:
            flat[name] = value
        else:
            raise UnknownName.among("scenario key", str(name), _ACCEPTED)
    return {k: v for k, v in flat.items() if v is not None}


def _check_context(given: Mapping[str, Any], work: Workload) -> None:
    """A context that was given holds the prompt and output that were given with it."""
    needed = work.prompt + work.output
    if work.context is not None and work.context < needed and given.keys() & {"prompt", "output"}:
        raise BadInput(f"a context of {work.context:,} tokens does not hold a prompt of "
                       f"{work.prompt:,} and an output of {work.output:,}; give at least "
                       f"{needed:,}, or leave it out")


def _checked(name: str, value: Any, kind: type) -> Any:
    """One field's value, converted to its type and checked against its range."""
    hint = typing.get_type_hints(kind)[name]
    wanted = [t for t in typing.get_args(hint) if t is not types.NoneType] or [hint]
    if bool in wanted:
        return _boolean(name, value)
    if str in wanted:
        if not isinstance(value, str):
            raise BadInput(f"{name} must be text, not {value!r}")
        if not value.strip() and value != getattr(kind(), name):
            raise BadInput(f"{name} is an empty text; name one or leave it out")
        return _choice(name, value)
    if isinstance(value, bool):
        raise BadInput(f"{name} must be a number, not {value!r}")
    try:
        number = parse_number(value)
    except (TypeError, BadInput) as error:
        raise BadInput(f"{name} must be a number, not {value!r}") from error
    return _share(name, number) if float in wanted else _whole(name, number, value)


def _boolean(name: str, value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() in words:
        return words[str(value).lower()]
    raise BadInput(f"{name} must be true or false, not {value!r}")


def _choice(name: str, value: str) -> str:
    if name in _CHOICES and value not in _CHOICES[name]:
        raise UnknownName.among(name, value, _CHOICES[name],
                                "Accepted: " + ", ".join(_CHOICES[name]))
    return value


def _share(name: str, number: float) -> float:
    low, high = _SHARES.get(name, (0.0, math.inf))
    if not (math.isfinite(number) and low <= number <= high) or (
            name == "memory_fraction" and number == 0):
        raise BadInput(f"{name} must be between {low:g} and {high:g}, not {number:g}")
    return number


def _whole(name: str, number: float, seen: Any) -> int:
    least, most = _LEAST.get(name, 1), _MOST.get(name, 10**7)
    if not math.isfinite(number) or number != int(number) or not least <= number <= most:
        raise BadInput(f"{name} must be a whole number from {least} to {most:,}, not {seen}")
    return int(number)


def read_scenario(path: str | Path) -> dict[str, Any]:
    """Fields of a scenario file (.toml or .json), not yet checked.

    Raises:
        BadInput: no such file, or not TOML/JSON, with the reason.
    """
    if Path(path).suffix == ".json":
        data = read_json(path)
    else:
        import tomllib

        text = read_text(path)
        try:
            data = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{path} is not valid TOML: {error}") from None
    if not isinstance(data, dict):
        raise BadInput(f"{path} must hold the fields of a scenario, each under its name")
    return data


def write_scenario(scenario: Scenario, path: str | Path) -> None:
    """Write a scenario as TOML (or JSON by ending), whole or not at all.

    Raises:
        BadInput: the file cannot be written.
    """
    import json

    from ridgeline.files import write_atomically

    if Path(path).suffix == ".json":
        write_atomically(path, json.dumps(scenario.to_dict(), indent=2) + "\n")
        return
    write_atomically(path, scenario_toml(scenario))


def scenario_toml(scenario: Scenario) -> str:
    """The scenario as the text of a TOML file, defaults left out."""
    data = scenario.to_dict()
    lines = [f"{k} = {_toml(v)}" for k, v in data.items() if not isinstance(v, dict)]
    for name, part in data.items():
        if isinstance(part, dict):
            lines += ["", f"[{name}]", *(f"{k} = {_toml(v)}" for k, v in part.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    import json

    # JSON spells strings, numbers and booleans the way TOML does.
    return json.dumps(value)
