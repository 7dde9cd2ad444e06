"""`ridgeline think`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.options import answer_options, show, text_options

_OPTIONS = [
    ("--on", "machine", "MACHINE", "Machine, such as H100-SXM or 8xH100-SXM."),
    ("--strategy", "strategy", "NAME", "best-of-n, majority, chain or tree. [default: best-of-n]"),
    ("--samples", "samples", "N", "Answers side by side; nodes of a tree. [default: 16]"),
    ("--tokens", "tokens", "N", "Tokens of an answer, chain or node. [default: 2000]"),
    ("--prompt", "prompt", "N", "Tokens of the question. [default: 512]"),
    ("--width", "width", "N", "Nodes of a tree expanded at once. [default: 8]"),
    ("--users", "users", "N", "Questions answered at once. [default: 1]"),
    ("--success-rate", "success_rate", "P", "Chance that one sample is right."),
    ("--coverage-law", "coverage_law", "A,B", "coverage = exp(-A k^-B), such as 1.84,0.209."),
    ("--wrong-answers", "wrong_answers", "N", "Wrong answers that compete in a vote. [default: 1]"),
    ("--verifier", "verifier", "MODEL", "Model that scores every answer. [default: a free check]"),
    ("--against", "against", "MODEL", "A large model that answers once."),
    ("--against-on", "against_on", "MACHINE", "Its machine. [default: the same]"),
    ("--against-tokens", "against_tokens", "N", "Tokens of its answer. [default: --tokens]"),
    ("--against-success", "against_success", "P", "Chance that its answer is right."),
    ("--inference-share", "inference_share", "R", "Tokens generated over trained on: count "
     "training too."),
    ("--routes", "routes", "LIST", "share:samples[:success],..., such as 0.8:1,0.2:16."),
    ("--results", "results", "FILE", "Your samples (.csv, .jsonl): pass@k and its law."),
    ("--ks", "ks", "LIST", "Values of k for pass@k, such as 1,10,100."),
    ("--usd-per-hour", "usd_per_chip_hour", "USD", "Rent of one chip. "
     "[default: mean of the market]"),
]


@click.command(no_args_is_help=True)
@click.argument("model", required=False)
@text_options(_OPTIONS)
@answer_options(plot="Draw coverage over latency, or pass@k of results.")
def think(**options: Any) -> None:
    """Is it worth thinking longer? FLOP, latency, memory, dollars and coverage.

    \b
    Examples:
      ridgeline think Llama-3.1-8B --on H100-SXM --samples 16 --tokens 2000 --success-rate 0.2 \\
          --against Llama-3.1-70B --against-on 4xH100-SXM --against-tokens 500
      ridgeline think Llama-3.1-70B --on 8xH100-SXM --strategy chain --tokens 32768
      ridgeline think Llama-3.1-8B --on H100-SXM --strategy tree --samples 64 --tokens 256
      ridgeline think --routes 0.8:1,0.2:16
      ridgeline think --results samples.jsonl --plot pass.svg
    """
    from ridgeline.questions.think import ThinkAsk
    from ridgeline.questions.think import think as ask
    from ridgeline.questions.think_tables import think_figure

    names = ["model", *(field for _, field, _, _ in _OPTIONS)]
    answer = ask(ThinkAsk.from_fields({name: options[name] for name in names}))
    show(answer, options, lambda: think_figure(answer))
