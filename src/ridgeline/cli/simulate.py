"""`ridgeline simulate`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.load_options import load_options, read_load
from ridgeline.cli.options import output_options, read_options, scenario_options, show


@click.command(no_args_is_help=True)
@scenario_options("machine", "serving")
@load_options
@click.option("--requests-out", metavar="FILE",
              help="Write a row a request: .parquet, .csv or .jsonl (also with .gz).")
@click.option("--timeline", metavar="FILE",
              help="Write the timeline: .trace.json for a trace viewer, or .svg, .html, .png.")
@output_options(plot="Draw the percentiles of what users wait.", ideal=False)
def simulate(**options: Any) -> None:
    """What do MODEL's users wait? Requests served one by one through the engine's scheduler.

    Load is a trace, a rate of arrivals, or a closed loop of --concurrency requests in flight.

    \b
    Examples:
      ridgeline simulate Llama-3.1-8B --on H100-SXM --rate 8/s --prompt 1000 --output 200
      ridgeline simulate Llama-3.1-70B --on 8xH100-SXM --trace azure-conv --ttft 1s --tpot 50ms
      ridgeline simulate Llama-3.1-8B --on H100-SXM --concurrency 64 --requests 640 --seeds 10
      ridgeline simulate Llama-3.1-70B --on 8xH100-SXM --tp 4 --pools 4+2 --rate 10/s
      ridgeline simulate Llama-3.1-8B --on H100-SXM --trace mooncake --prefix-cache --host-cache 1TB
      ridgeline simulate Llama-3.1-8B --on H100-SXM --rate 30/s --autoscale 1-8 --cold-start 2min
      ridgeline simulate Qwen3-30B-A3B --on H200 --replicas 4 --router least-loaded --rate 40/s
    """
    from ridgeline.cli.progress import shown
    from ridgeline.questions.simulate import answer_of, run_simulation
    from ridgeline.questions.simulate_figures import waits_figure, write_timeline
    from ridgeline.serving.records import check_requests_file, write_requests

    asked = read_load(options)
    rows, timeline = options.pop("requests_out"), options.pop("timeline")
    if rows:
        check_requests_file(rows)
    if timeline and not timeline.lower().endswith(".trace.json"):
        from ridgeline.report.plot import check_ending

        check_ending(timeline)
    scenario = read_options(options)
    with shown("simulation", quiet=bool(options.get("as_json"))) as progress:
        done = run_simulation(scenario, asked, progress)
    if rows:
        write_requests(done.runs[0], rows, done.setup.outside)
    if timeline:
        write_timeline(done, timeline)
    show(answer_of(done, asked, bool(options.get("explain"))), options, lambda: waits_figure(done))
