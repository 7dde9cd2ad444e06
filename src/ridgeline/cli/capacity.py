"""`ridgeline capacity`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.load_options import load_options, read_load, read_value
from ridgeline.cli.options import output_options, read_options, scenario_options, show


@click.command(no_args_is_help=True)
@scenario_options("machine", "serving")
@load_options
@click.option("--find", metavar="WHAT", help="rate, or replicas (needs --rate or --trace). "
              "[default: replicas with --rate, else rate]")
@click.option("--percentile", metavar="P", help="Share of requests [%] that keeps each target. "
              "[default: 95]")
@click.option("--precision", metavar="X", help="Relative precision of the rate. [default: 0.01]")
@output_options(plot="Draw the load curve.", ideal=False)
def capacity(**options: Any) -> None:
    """How much load does MODEL take, or how many replicas, within --ttft and --tpot?

    A bracketed search over simulations, each of the whole load, with the load curve around the
    limit. A trace is replayed faster or slower.

    \b
    Examples:
      ridgeline capacity Llama-3.1-8B --on H100-SXM --prompt 1000 --output 200 --ttft 500ms
      ridgeline capacity Llama-3.1-70B --on 8xH100-SXM --trace azure-conv --ttft 1s --tpot 50ms
      ridgeline capacity Llama-3.1-8B --on H100-SXM --rate 100/s --ttft 1s --tpot 40ms
      ridgeline capacity Qwen3-30B-A3B --on H200 --tpot 30ms --percentile 99 --plot load.svg
    """
    from ridgeline.cli.progress import shown
    from ridgeline.questions.capacity import capacity as ask
    from ridgeline.questions.capacity import load_figure

    asked = read_load(options)
    given = {name: read_value(f"--{name}", kind, options.pop(name)) for name, kind in
             (("find", "text"), ("percentile", "number"), ("precision", "number"))}
    given = {name: value for name, value in given.items() if value is not None}
    scenario = read_options(options)
    with shown("simulations", quiet=bool(options.get("as_json"))) as progress:
        answer = ask(scenario, asked, progress=progress, explain=bool(options.get("explain")),
                     **given)
    show(answer, options, lambda: load_figure(answer))
