"""`ridgeline queue`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.options import answer_options, show, text_options

# (flag, field, metavar, kind, help)
_FIELDS = [
    ("--rate", "rate", "RATE", "1/s", "Arrivals, such as 5/s."),
    ("--service", "service", "TIME", "s", "Mean service of a request, or of a batch."),
    ("--servers", "servers", "N", "count", "Servers sharing one queue. [default: 1]"),
    ("--service-cv", "service_cv", "X", "number", "Spread of the service: 0 equal, 1 exponential. "
     "[default: 1]"),
    ("--batch", "batch", "N", "count", "Requests a server takes at once. [default: 1]"),
]

_fields = text_options([(flag, field, metavar, text) for flag, field, metavar, _, text in _FIELDS])


@click.command(no_args_is_help=True)
@_fields
@click.option("--train", is_flag=True,
              help="Batches leave every --service, full or empty, as trains do.")
@answer_options(plot="Draw the wait against the load.", named=False)
def queue(**options: Any) -> None:
    """How long is the wait? M/M/c, M/D/1, M/G/1 and bulk service in closed form, at once.

    \b
    Examples:
      ridgeline queue --rate 0.9/s --service 1s --service-cv 0
      ridgeline queue --rate 70/s --service 100ms --servers 8
      ridgeline queue --rate 2000/s --service 20ms --batch 64 --train
    """
    from ridgeline.cli.load_options import read_value
    from ridgeline.errors import BadInput
    from ridgeline.questions.queue import QueueAsk, queue_figure
    from ridgeline.questions.queue import queue as ask

    given: dict[str, Any] = {field: read_value(flag, kind, options.pop(field))
                             for flag, field, _, kind, _ in _FIELDS}
    given = {name: value for name, value in given.items() if value is not None}
    for name in ("rate", "service"):
        if name not in given:
            raise BadInput(f"a queue needs --{name}")
    answer = ask(QueueAsk(**given, train=options.pop("train")))
    show(answer, options, lambda: queue_figure(answer))
