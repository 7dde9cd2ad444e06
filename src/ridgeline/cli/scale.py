"""`ridgeline scale`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.options import answer_options, show, text_options
from ridgeline.errors import BadInput

_OPTIONS = [
    ("--compute", "compute", "FLOP", "Training budget, such as 8.4e23."),
    ("--params", "params", "N", "Active parameters, such as 70B."),
    ("--tokens", "tokens", "D", "Training tokens, such as 2T."),
    ("--law", "law", "NAME", "besiroglu, hoffmann, hoffmann_rounded, sardana, kaplan. "
     "[default: besiroglu]"),
    ("--inference-tokens", "inference_tokens", "D", "Tokens served over the model's life."),
    ("--rl-tokens", "rl_tokens", "D", "Tokens of reinforcement-learning rollouts."),
    ("--elasticities", "elasticities", "E,E,E", "Worth of spending on pre-training, reinforcement "
     "learning, serving. [default: equal]"),
    ("--train-mfu", "train_mfu", "SHARE", "Share of the peak in training; balances cost."),
    ("--serve-mfu", "serve_mfu", "SHARE", "Share of the peak in serving."),
    ("--active-share", "active_share", "SHARE", "Active over total parameters of experts."),
    ("--sparsity-exponent", "sparsity_exponent", "E", "Worth of idle parameters. [default: 0.5]"),
    ("--unique-tokens", "unique_tokens", "D", "Tokens there are; more are repeats."),
    ("--seed", "seed", "N", "Seed of the intervals. [default: 0]"),
]


@click.command(no_args_is_help=True)
@text_options(_OPTIONS)
@click.option("--trends", "trend_names", metavar="NAMES", is_flag=False, flag_value="all",
              help="Forecast instead: trends to multiply, with commas; none for the usual ones.")
@click.option("--years", type=int, default=5, show_default=True, metavar="N",
              help="Years that --trends looks ahead.")
@answer_options(plot="Draw IsoFLOP curves, over-training curves with --inference-tokens, or "
                "bands with --trends.", named=False)
def scale(**options: Any) -> None:
    """How large a model, how many tokens? Scaling laws, serving included, and trends.

    \b
    Examples:
      ridgeline scale --compute 8.4e23 --explain
      ridgeline scale --params 70B --inference-tokens 1e13 --plot over.svg
      ridgeline scale --compute 1e24 --active-share 0.055
      ridgeline scale --trends price_performance,algorithms --years 4
    """
    given = {field: options.pop(field) for _, field, _, _ in _OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    if options["trend_names"]:
        _show_trends(given, options)
        return
    from ridgeline.questions.scale import ScaleAsk, scale_figure
    from ridgeline.questions.scale import scale as ask

    asked = ScaleAsk.from_fields(given)
    if options["plot"] and asked.law == "kaplan":
        raise BadInput("--plot draws parametric laws; the kaplan law has no such curves here")
    show(ask(asked), options, lambda: scale_figure(asked))


def _show_trends(given: dict[str, Any], options: dict[str, Any]) -> None:
    from ridgeline.questions.trends import trends, trends_figure

    seed = given.pop("seed", "0")
    if given:
        raise BadInput(f"--trends takes no {', '.join(given)}; ask for one or the other")
    if not str(seed).isdigit():
        raise BadInput(f"seed must be a whole number, not {seed!r}")
    names = () if options["trend_names"] == "all" else tuple(
        part.strip() for part in options["trend_names"].split(","))
    years = options["years"]
    show(trends(names, years=years, seed=int(seed)), options,
         lambda: trends_figure(names, years=years, seed=int(seed)))
