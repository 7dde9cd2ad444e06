"""Every question by name: what the web, the agents' tools and the report offer, in one table.

A question is one line here: the function that answers it, and what draws it. Its fields, their
types and their descriptions come from that function's own signature and docstrings
(`questions.fields`), so no surface repeats them.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput, UnknownName
from ridgeline.questions.field_values import arguments
from ridgeline.questions.fields import SECTIONS, Field, fields_of, schema_of

if TYPE_CHECKING:
    from ridgeline.questions.answer import Answer
    from ridgeline.report.figure import Figure

__all__ = ["QUESTIONS", "Question", "ask", "get_question", "only_names"]

_HERE = "ridgeline.questions"
_SERVING = ("deployment", "workload")


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        title: what a person asks.
        ask: "module:function" within `ridgeline.questions`, answering it.
        figures: functions of the same kind that draw it; one with an argument `answer` gets it.
        sections: parts of a scenario its fields come from.
        command: how the command line calls it; "": by its name; None: it has no one command.
        flags: the option's name of a field where it is not the field's own.
        hidden: fields that only Python offers.
        limits: largest number a stranger may ask for, by field.
        slow: whether it may take seconds, and is worth streaming.
    """

    title: str
    ask: str
    figures: tuple[str, ...] = ()
    sections: tuple[str, ...] = _SERVING
    command: str | None = ""
    flags: Mapping[str, str] | None = None
    hidden: tuple[str, ...] = ()
    limits: Mapping[str, float] | None = None
    slow: bool = False

    @property
    def function(self) -> Callable[..., Answer]:
        """The function that answers."""
        return _load(self.ask)

    @property
    def fields(self) -> tuple[Field, ...]:
        """What it takes."""
        return _fields(self.ask, self.sections, self.hidden)

    @property
    def text(self) -> str:
        """First paragraph of the function's docstring."""
        return " ".join((inspect.getdoc(self.function) or "").split("\n\n")[0].split())

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of a body: flat fields, or a scenario's sections."""
        found = schema_of(self.fields)
        for section in SECTIONS:
            inside = [f for f in self.fields if f.section == section]
            if inside:
                found["properties"][section] = {
                    **schema_of(inside), "description": f"The {section} fields, grouped."}
        return found

    def arguments(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of the function from a flat body.

        Raises:
            BadInput: an unknown field or a value of the wrong kind.
        """
        return arguments(self.function, self.fields, body)

    def answer(self, given: Mapping[str, Any],
               progress: Callable[..., None] | None = None) -> Answer:
        """The answer for arguments; those that can tell their progress are given `progress`."""
        telling = progress is not None and "progress" in inspect.signature(
            self.function).parameters
        return self.function(**given, **({"progress": progress} if telling else {}))

    def drawn(self, answer: Answer, given: Mapping[str, Any]) -> list[Figure]:
        """Its figures, from an answer and the arguments that led to it."""
        found: list[Figure] = []
        for place in self.figures:
            function = _load(place)
            wanted = inspect.signature(function).parameters
            known = {"answer": answer, **given}
            drawn = function(**{name: known[name] for name in wanted if name in known})
            found += drawn if isinstance(drawn, list) else [drawn]
        return found


QUESTIONS: Mapping[str, Question] = {
    "fit": Question("Does it fit?", "fit:fit", ("fit:fit_figure",)),
    "estimate": Question("How fast?", "estimate:estimate"),
    "roofline": Question("What bounds each op?", "roofline:roofline",
                         ("roofline:roofline_figure",)),
    "matmul": Question("At what batch is a matmul compute-bound?", "adapters:matmul",
                       ("adapters:matmul_figure",), command=None),
    "plan": Question("Which chips, how many, split how?", "adapters:plan", ("plan:plan_figure",),
                     hidden=("save",), limits={"finalists": 256}, slow=True),
    "simulate": Question("What do users wait?", "adapters:simulate",
                         ("adapters:simulate_figures",), slow=True,
                         limits={"requests": 1e6, "seeds": 50}),
    "capacity": Question("How much load keeps the targets?", "capacity:capacity",
                         ("capacity:load_figure",), slow=True,
                         limits={"requests": 1e5, "seeds": 10}),
    "queue": Question("How long is a queue?", "queue:queue", ("queue:queue_figure",)),
    "diagnose": Question("Is a measured server as fast as it should be?", "diagnose:diagnose",
                         command="check"),
    "train": Question("How long does a training run take?", "adapters:train",
                      ("train_parts:train_figure",),
                      flags={"batch_tokens": "batch", "usd_per_chip_hour": "price"}),
    "fit_training": Question("Does training fit?", "fit_training:fit_training", ("fit:fit_figure",),
                             sections=SECTIONS, command="fit --training"),
    "scale": Question("How large a model, how much data?", "scale:scale", ("scale:scale_figure",)),
    "trends": Question("What is growing, how fast?", "trends:trends", ("trends:trends_figure",),
                       command=None),
    "price": Question("What does a million tokens cost?", "price:price",
                      ("adapters:price_figure",), hidden=("list_price", "today")),
    "infer_price": Question("What does a price list give away?", "adapters:infer_price",
                            command=None),
    "cache": Question("Keep a cache, or compute it again?", "cache:cache",
                      ("cache:cache_figure",), hidden=("today",),
                      flags={"holds": "hold", "read_multiple": "read"}),
    "energy": Question("How much energy?", "energy:energy"),
    "retrieve": Question("How fast and how good is retrieval?", "retrieve:retrieve",
                         ("adapters:retrieve_figure",)),
    "think": Question("Is it worth thinking longer?", "think:think",
                      ("think_tables:think_figure",), hidden=("results",)),
    "fleet": Question("What can a fleet do?", "adapters:fleet", ("fleet:fleet_figure",),
                      hidden=("today", "since")),
    "rack": Question("How large can a scale-up domain be?", "rack:rack", ("rack:rack_figure",),
                     hidden=("changed",), flags={"cable_length": "length"}),
    "demand": Question("How many chips do my users need?", "demand:demand",
                       ("demand:demand_figure",), hidden=("today",)),
    "check": Question("Is this claim possible?", "adapters:check", command=None),
    "exercise": Question("Can you work it out?", "adapters:exercise", command=None),
}


def get_question(name: str) -> Question:
    """The question of a name.

    Raises:
        UnknownName: none, with the nearest.
    """
    if name not in QUESTIONS:
        raise UnknownName.among("question", name[:80], QUESTIONS,
                                "Questions: " + ", ".join(QUESTIONS))
    return QUESTIONS[name]


def ask(name: str, body: Mapping[str, Any]) -> Answer:
    """Answer a question by name from flat fields.

    Raises:
        BadInput: no such question, an unknown field or a wrong value.
        Infeasible: what is asked cannot be done.

    >>> ask("fit", {"model": "Llama-3.1-8B", "machine": "RTX-4090"})["fits"]
    True
    """
    question = get_question(name)
    return question.answer(question.arguments(body))


# Questions with these fields know models by size, or by what people call them.
_LOOSE = {"fleet", "claim", "rack"}


def only_names(question: Question, body: Mapping[str, Any]) -> None:
    """Refuse what a stranger may not ask for: files of this machine, and sizes beyond reason.

    Raises:
        BadInput: a model or trace that is not a bundled name, a value that looks like a file, or
            a number above its limit.
    """
    from ridgeline.serving.traces import BUNDLED

    for field in question.fields:
        value = body.get(field.name)
        for text in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(text, str) and field.kind in ("text", "list") and field.name != "claim":
                _no_file(field.name, text)
    if isinstance(body.get("model"), str) and not _LOOSE & body.keys():
        _bundled_model(body["model"])
    trace = body.get("trace")
    if trace is not None and trace not in BUNDLED:
        raise UnknownName.among("trace", str(trace)[:80], BUNDLED,
                                "Accepted: " + ", ".join(BUNDLED))
    for name, most in (question.limits or {}).items():
        _at_most(name, body.get(name), most)


def _at_most(name: str, value: Any, most: float) -> None:
    from ridgeline.quantity import parse_number

    if isinstance(value, str):
        value = parse_number(value)
    if isinstance(value, (int, float)) and value > most:
        raise BadInput(f"{name} may be at most {most:,.0f} here, not {value:,.6g}; ask the "
                       "command line for more")


_FILES = (".json", ".jsonl", ".gguf", ".safetensors", ".toml", ".csv", ".parquet", ".gz", ".xz")


def _no_file(name: str, text: str) -> None:
    """Refuse a text that names a file."""
    if (text.startswith((".", "/", "~")) or ".." in text or "\\" in text or "\0" in text
            or "://" in text or (text.count("/") > 1 and "," not in text)
            or text.strip().lower().endswith(_FILES)):
        raise BadInput(f"{name} must be a name here, not a file: {text[:80]!r}")


def _bundled_model(name: str) -> None:
    """Refuse a model that is no bundled name."""
    from ridgeline.model.load import bundled_models, find_bundled

    if len(name) > 200 or find_bundled(name) is None:
        names = [n.split("/", 1)[-1] for n in bundled_models()]
        raise UnknownName.among("model", name[:80], names,
                                "List them with `ridgeline catalog models`.")


def _load(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(f"{_HERE}.{module}"), name)
    return found


@functools.lru_cache(maxsize=64)
def _fields(place: str, sections: tuple[str, ...], hidden: Sequence[str]) -> tuple[Field, ...]:
    found = fields_of(_load(place), sections, hidden=hidden)
    return tuple(replace(f, choices=f.choices or _choices(f)) for f in found)


# Where the accepted values of a field are listed, when its type does not say.
_LISTS: Mapping[str, str | tuple[str, ...]] = {
    "recompute": ("none", "selective", "full", "reversible"),
    "router": "ridgeline.serving.replicas:ROUTERS", "order": ("fcfs", "shortest"),
    "scheduler": "ridgeline.serving.scheduler:SCHEDULERS",
    "schedule": "ridgeline.training.layout:SCHEDULES", "trace": "ridgeline.serving.traces:BUNDLED",
    "minimize": ("cost", "latency", "energy", "chips"), "find": ("rate", "replicas"),
    "mode": ("aggregated", "disaggregated", "both")}


def _choices(field: Field) -> tuple[str, ...]:
    place = _LISTS.get(field.name, ()) if field.kind == "text" else ()
    if isinstance(place, str):
        module, _, name = place.partition(":")
        return tuple(getattr(importlib.import_module(module), name))
    return place
