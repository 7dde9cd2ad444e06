"""`ridgeline estimate`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.options import output_options, read_options, scenario_options, show


@click.command(no_args_is_help=True)
@scenario_options("machine", "serving")
@output_options(plot="Draw the ops on the roofline.")
def estimate(**options: Any) -> None:
    """How fast does MODEL answer? Latency, throughput, what bounds it, what would help.

    MODEL is a bundled name, a path to a config.json, a folder, a GGUF or safetensors file.

    \b
    Examples:
      ridgeline estimate Llama-3.1-70B --on 8xH100-SXM --tp 8 --prompt 4000 --output 1000
      ridgeline estimate Qwen3-30B-A3B --on H200 --concurrency 64 --weights fp8 --json
      ridgeline estimate DeepSeek-V3 --on 8xB200 --ep 8 --concurrency 256 --explain
    """
    from ridgeline.questions.estimate import estimate as ask
    from ridgeline.questions.roofline import roofline_figure

    scenario = read_options(options)
    show(ask(scenario, ideal=options["ideal"]), options,
         lambda: roofline_figure(scenario, ideal=options["ideal"]))
