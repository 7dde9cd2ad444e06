"""`ridgeline fit`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.options import output_options, read_options, refuse_flags, scenario_options, show


@click.command(no_args_is_help=True)
@scenario_options("machine", "serving", "training")
@click.option("--training", is_flag=True, help="Memory of training instead of serving.")
@output_options(plot="Draw memory by part.", ideal=False)
def fit(**options: Any) -> None:
    """Does MODEL fit? Memory per device item by item, KV capacity, what would make it fit.

    \b
    Examples:
      ridgeline fit Llama-3.1-70B --on 8xH100-SXM --context 8192
      ridgeline fit Llama-3.1-8B --on RTX-4090 --weights q4_k_m --engine llamacpp
      ridgeline fit Llama-3.1-8B --on 8xH100-SXM --training --zero 3 --seq 8192
    """
    from ridgeline.questions.fit import fit as serving
    from ridgeline.questions.fit import fit_figure
    if options["training"]:
        refuse_flags(["serving"], "is of serving; with --training give --seq and --micro-batch")
        from ridgeline.questions.fit_training import fit_training
    else:
        refuse_flags(["training"], "belongs to --training")

    scenario = read_options(options)
    answer = fit_training(scenario) if options["training"] else serving(scenario)
    show(answer, options, lambda: fit_figure(answer))
    if not answer["fits"]:
        raise SystemExit(3)
