"""Options that describe load and fleet, shared by `simulate` and `capacity`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ridgeline.questions.simulate import Asked

Command = Callable[..., Any]

# (flag, field, metavar, kind, help): kind is what the text is read as.
_LOAD = [
    ("--trace", "trace", "FILE", "text", "Replay a trace: azure-conv, mooncake, a .csv or .jsonl "
     "file, or PREFIX of a client mix (PREFIX_rates.csv, PREFIX_lengths.jsonl)."),
    ("--start", "start", "TIME", "s", "Start of the stretch of a client mix. [default: 0]"),
    ("--duration", "duration", "TIME", "s", "Length of that stretch. [default: 1h]"),
    ("--rate", "rate", "RATE", "1/s", "Arrivals, such as 5/s or 300/min. [default: a closed loop "
     "of --concurrency]"),
    ("--requests", "requests", "N", "count", "How many requests. [default: 1000, or the whole "
     "trace]"),
    ("--cv", "cv", "X", "number", "Burstiness of arrivals: 1 Poisson, 0 even, more bursty. "
     "[default: 1]"),
    ("--length-cv", "length_cv", "X", "number", "Spread of both lengths over their mean. "
     "[default: 0.1]"),
    ("--speed", "speed", "X", "number", "Replay a trace faster by this factor. [default: 1]"),
    ("--seed", "seed", "N", "index", "First seed. [default: 0]"),
    ("--seeds", "seeds", "N", "count", "Replications for intervals. [default: 1]"),
    ("--replicas", "replicas", "N", "count", "Copies of the replica. [default: fills the "
     "machine]"),
    ("--router", "router", "NAME", "text", "round-robin, least-loaded, prefix, random. "
     "[default: round-robin]"),
    ("--scheduler", "scheduler", "NAME", "text", "vllm, sglang, static, reserve. [default: the "
     "engine's]"),
    ("--order", "order", "NAME", "text", "fcfs, shortest, or priority of a trace that has one. "
     "[default: fcfs]"),
    ("--interval", "interval", "TIME", "s", "Steps depart at multiples of this, such as 20ms."),
    ("--pools", "pools", "P+D", "text", "Replicas that read prompts + replicas that decode, such "
     "as 4+2."),
    ("--max-waiting", "max_waiting", "N", "count", "Turn requests away that find so many waiting "
     "on their replica."),
    ("--draft-tokens", "draft_tokens", "N", "count", "Speculative decoding: drafts a step."),
    ("--acceptance", "acceptance", "LIST", "numbers", "Acceptance of drafts by position, such as "
     "0.8 or 0.8,0.7,0.6."),
    ("--draft-cost", "draft_cost", "X", "number", "Time of one draft over a plain decode step's. "
     "[default: 0]"),
    ("--swap", "swap", "BYTES", "B", "Host memory of a replica that preempted sequences move to. "
     "[default: they start over]"),
    ("--host-cache", "host_cache", "BYTES", "B", "Host memory of a replica for cached prefixes."),
    ("--disk-cache", "disk_cache", "BYTES", "B", "Disk of a replica for cached prefixes."),
    ("--disk-tier", "disk_tier", "NAME", "text", "Memory tier of the catalog that this disk is. "
     "[default: NVMe SSD PCIe5]"),
    ("--autoscale", "autoscale", "A-B", "text", "Fewest to most replicas that follow the load, "
     "such as 1-8."),
    ("--scale-target", "scale_target", "N", "number", "Requests in flight on a replica it aims "
     "at. [default: 32]"),
    ("--cold-start", "cold_start", "TIME", "s", "From a replica's start to serving. "
     "[default: 1min]"),
    ("--scale-every", "scale_every", "TIME", "s", "Between decisions to scale. [default: 10s]"),
    ("--scale-patience", "scale_patience", "TIME", "s", "How long fewer must be wanted before one "
     "is dropped. [default: 1min]"),
    ("--ttft", "ttft", "TIME", "s", "Target for time to first token, such as 500ms."),
    ("--tpot", "tpot", "TIME", "s", "Target for time per output token, such as 50ms."),
]


def load_options(command: Command) -> Command:
    """Add the options of load, fleet and targets."""
    command = click.option("--sort", "sort", is_flag=True,
                           help="Sort a trace that is not in order of arrival.")(command)
    command = click.option("--prefix-cache", "prefix_cache", is_flag=True,
                           help="Find prefixes again by a trace's block hashes.")(command)
    command = click.option("--plan", "plan", is_flag=True,
                           help="Use the cheapest deployment on the machine that `plan` finds.")(
                               command)
    command = click.option("--skip-bad", "skip_bad", is_flag=True,
                           help="Leave malformed rows of a trace out.")(command)
    for flag, field, metavar, _, text in reversed(_LOAD):
        command = click.option(flag, field, metavar=metavar, help=text)(command)
    return command


def read_load(options: dict[str, Any]) -> Asked:
    """Take the load's options out of `options`, read into numbers.

    Raises:
        BadInput: a value that cannot be read.
    """
    from ridgeline.questions.simulate import Asked

    given: dict[str, Any] = {name: options.pop(name)
                             for name in ("skip_bad", "sort", "prefix_cache", "plan")}
    for flag, field, _, kind, _ in _LOAD:
        text = options.pop(field)
        if text is not None:
            given[field] = read_value(flag, kind, text)
    return Asked(**given)


def read_value(flag: str, kind: str, text: str | None) -> Any:
    """A flag's text as the value it stands for: "text", a unit ("s", "1/s", "B", "B/s"),
    "number", "numbers" (with commas), "count", "index".

    Raises:
        BadInput: it cannot be read as that.
    """
    from ridgeline.errors import BadInput
    from ridgeline.quantity import parse_number, parse_quantity

    if kind == "text" or text is None:
        return text
    try:
        if kind == "numbers":
            return tuple(parse_number(part) for part in text.split(","))
        if kind in ("s", "1/s", "B", "B/s"):
            return parse_quantity(text, kind)
        number = parse_number(text)
    except BadInput as error:
        raise BadInput(f"{flag}: {error}") from error
    if kind == "number":
        return number
    if not math.isfinite(number) or number != int(number) or number < (0 if kind == "index" else 1):
        raise BadInput(f"{flag} must be a whole number from {0 if kind == 'index' else 1} on, "
                       f"not {text}")
    return int(number)
