"""`ridgeline energy`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.options import (
    output_options,
    read_options,
    refuse_flags,
    scenario_options,
    show,
    text_options,
)

_NUMBERS = [
    ("--watts", "watts", "W", "Power of a chip at the meter. [default: board power]"),
    ("--pue", "pue", "RATIO", "Power of the building over that of the chips. [default: 1.2]"),
    ("--grams-per-kwh", "grams_per_kwh", "G", "CO2 of electricity. [default: 400]"),
    ("--usd-per-kwh", "usd_per_kwh", "USD", "Price of electricity. [default: 0.08]"),
    ("--idle-share", "idle_share", "SHARE", "Share of board power drawn without work. "
     "[default: 0.1]"),
    ("--memory-pj", "memory_pj_per_bit", "PJ", "Energy of a bit from memory."),
    ("--link-pj", "link_pj_per_bit", "PJ", "Energy of a bit over a link."),
    ("--pj-per-flop", "pj_per_flop", "PJ", "Energy of an operation."),
    ("--joules-per-token", "claimed_joules", "J", "Read a claimed energy back as a rate."),
    ("--run-tokens", "run_tokens", "N", "Output tokens of a run. [default: 1B]"),
]


@click.command(no_args_is_help=True)
@scenario_options("machine", "serving")
@text_options(_NUMBERS)
@click.option("--accuracy", metavar="FILE", help="Instead: which systems of a .csv (name, "
              "accuracy, watts, joules) are worth their watts?")
@click.option("--retrieval", metavar="NxD", help="Instead: energy of scanning N vectors of D "
              "values, exact and lossy.")
@output_options(plot="Draw accuracy against power (with --accuracy).")
def energy(**options: Any) -> None:
    """How much energy? A token, a request, a run: at the meter and part by part, with carbon.

    \b
    Examples:
      ridgeline energy Llama-3.1-70B --on 8xH100-SXM --prompt 8000 --concurrency 64
      ridgeline energy Llama-3.1-8B --on L40S --watts 420 --pue 1.1 --grams-per-kwh 50
      ridgeline energy --accuracy systems.csv --plot green.svg
      ridgeline energy --retrieval 10Mx768
    """
    from ridgeline.errors import BadInput
    from ridgeline.quantity import parse_number
    from ridgeline.questions.energy import EnergyAsk
    from ridgeline.questions.energy import energy as ask

    file, index = options.pop("accuracy"), options.pop("retrieval")
    given = {field: options.pop(field) for _, field, _, _ in _NUMBERS}
    if file or index:
        _instead(file, index, given, options)
        return
    if options["plot"]:
        raise BadInput("--plot draws accuracy against power; it goes with --accuracy FILE")
    numbers = {name: parse_number(text) for name, text in given.items() if text is not None}
    show(ask(EnergyAsk(read_options(options), **numbers, ideal=options["ideal"])), options)


def _instead(file: str | None, index: str | None, given: dict[str, Any],
             options: dict[str, Any]) -> None:
    """The two questions that need no model."""
    from ridgeline.errors import BadInput
    from ridgeline.quantity import parse_number
    from ridgeline.questions.energy_levers import retrieval_energy
    from ridgeline.questions.energy_pareto import energy_pareto, pareto_figure, read_systems

    if (file and index) or options["model"]:
        raise BadInput("give one of MODEL, --accuracy and --retrieval")
    refuse_flags(("machine", "serving", "scenario_file", "save_scenario", *given),
                 "does not go with --accuracy or --retrieval",
                 but=("memory_pj_per_bit",) if index else ())
    if file:
        systems = read_systems(file)
        show(energy_pareto(systems), options, lambda: pareto_figure(systems))
        return
    count, _, width = (index or "").partition("x")
    if not width:
        raise BadInput(f"--retrieval is {index!r}; write VECTORSxVALUES, such as 10Mx768")
    picojoules = given["memory_pj_per_bit"]
    show(retrieval_energy(parse_number(count), parse_number(width),
                          *(() if picojoules is None else (parse_number(picojoules),))), options)
