"""Options that every question about a scenario shares, and how its answer is shown."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from ridgeline.errors import BadInput
from ridgeline.scenario import Scenario, read_scenario, write_scenario

if TYPE_CHECKING:
    from ridgeline.questions.answer import Answer
    from ridgeline.report.figure import Figure

Command = Callable[..., Any]

# Options as (flags, help); values are text and checked by Scenario, so that every surface refuses
# bad input in the same words.
_MACHINE = [
    ("--on", "machine", "MACHINE", "Machine, such as 8xH100-SXM or 16xH200."),
    ("--tp", "tp", "N", "Tensor-parallel degree. [default: fills a scale-up domain]"),
    ("--pp", "pp", "N", "Pipeline-parallel stages. [default: 1]"),
    ("--ep", "ep", "N", "Expert-parallel degree. [default: 1]"),
    ("--dp", "dp", "N", "Replicas side by side. [default: fills the machine]"),
    ("--cp", "cp", "N", "Context-parallel degree. [default: 1]"),
    ("--attention-dp", "attention_dp", "N", "Attention data-parallel copies. [default: 1]"),
    ("--weights", "weights", "FORMAT", "Weight format, such as fp8, nvfp4, q4_k_m. "
     "[default: the model's own]"),
    ("--experts", "experts", "FORMAT", "Format of expert matrices where it differs."),
    ("--kv", "kv", "FORMAT", "KV-cache format. [default: bf16]"),
    ("--engine", "engine", "NAME", "vllm, sglang, trtllm, llamacpp, transformers. [default: vllm]"),
    ("--engine-version", "engine_version", "TEXT", "Engine version, such as 0.19.0."),
    ("--memory-fraction", "memory_fraction", "SHARE", "Share of memory the engine may use. "
     "[default: the engine's]"),
    ("--max-num-seqs", "max_num_seqs", "N", "Sequences in a step at most. [default: the engine's]"),
    ("--max-num-batched-tokens", "max_num_batched_tokens", "N",
     "Token budget of a step. [default: the engine's]"),
]
_SERVING = [
    ("--prompt", "prompt", "TOKENS", "Tokens in of a request. [default: 1024]"),
    ("--output", "output", "TOKENS", "Tokens out of a request. [default: 256]"),
    ("--concurrency", "concurrency", "N", "Requests in flight in all. [default: 1]"),
    ("--context", "context", "TOKENS", "Tokens a sequence may hold. [default: prompt + output]"),
    ("--prefix-hit", "prefix_hit", "SHARE", "Share of the prompt found in the prefix cache."),
]
_TRAINING = [
    ("--seq", "seq", "TOKENS", "Training sequence length. [default: 4096]"),
    ("--micro-batch", "micro_batch", "N", "Sequences a device group computes at a time. "
     "[default: 1]"),
    ("--zero", "zero", "STAGE", "Optimizer sharding stage, 0 to 3. [default: 0]"),
    ("--recompute", "recompute", "KIND", "none, selective, full, reversible. "
     "[default: selective]"),
    ("--optimizer", "optimizer", "NAME", "adamw, adamw_8bit, adafactor, muon, lion, sgd. "
     "[default: adamw]"),
    ("--adapter-rank", "adapter_rank", "N", "Train LoRA adapters of this rank."),
]
_SETS = {"machine": _MACHINE, "serving": _SERVING, "training": _TRAINING}


def scenario_options(*sets: str) -> Callable[[Command], Command]:
    """Add the MODEL argument and the named sets of options ("machine", "serving", "training")."""

    def decorate(command: Command) -> Command:
        rows = [row for name in sets for row in _SETS[name]]
        return click.argument("model", required=False)(text_options(rows)(command))

    return decorate


def text_options(rows: Sequence[tuple[str, str, str, str]]) -> Callable[[Command], Command]:
    """Add options whose values stay text, from rows of (flag, field, metavar, help)."""

    def decorate(command: Command) -> Command:
        for flag, field, metavar, text in reversed(rows):
            command = click.option(flag, field, metavar=metavar, help=text)(command)
        return command

    return decorate


def deployment_options(command: Command) -> Command:
    """Add the options of machine and deployment alone, for commands whose model is told apart."""
    return text_options(_MACHINE)(command)


def catalog_options(command: Command) -> Command:
    """Add --catalog and --fetch, which hold for the whole run and reach no function.

    The catalog and the reader of models look at the environment, so that what is given here reaches
    every room and every process that the command starts.
    """
    for flag, text, more in (
            ("--fetch", "Look for a model that is not local on the Hugging Face hub.",
             {"is_flag": True}),
            ("--catalog", "File or folder of your own chips, engines, models.",
             {"metavar": "PATH"})):
        command = click.option(flag, expose_value=False, callback=_for_the_run, help=text,
                               **more)(command)
    return command


def _for_the_run(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value == "":
        raise BadInput(f"{option.opts[0]} needs a file name, not an empty text")
    if value:
        os.environ[f"RIDGELINE_{str(option.name).upper()}"] = "1" if value is True else value


def answer_options(plot: str = "", *, explained: bool = True, ideal: bool = False,
                   named: bool = True) -> Callable[[Command], Command]:
    """Add --json, --explain, --ideal, --plot, --catalog and --fetch.

    Args:
        plot: what --plot draws; "": no such option.
        explained: whether there are formulas to print.
        ideal: whether there are times to idealise.
        named: whether chips or models are looked up by name.
    """

    def decorate(command: Command) -> Command:
        if named:
            command = catalog_options(command)
        if plot:
            command = click.option("--plot", metavar="FILE", callback=_plot_file, help=plot
                                   + " Ending: .svg, .png or .html.")(command)
        if ideal:
            command = click.option("--ideal", is_flag=True, help="Datasheet roofline of the whole "
                                   "model, all efficiencies 1.")(command)
        if explained:
            command = click.option("--explain", is_flag=True,
                                   help="Print how each number came about.")(command)
        return click.option("--json", "as_json", is_flag=True,
                            help="Print the answer as JSON.")(command)

    return decorate


def _plot_file(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """A name whose ending is known, so that nothing is computed for a picture nobody can have."""
    if value is not None:
        from ridgeline.report.plot import check_ending

        if not value:
            raise BadInput("--plot needs a file name, not an empty text")
        check_ending(value)
    return value


def output_options(plot: str = "", *, explained: bool = True, ideal: bool = True
                   ) -> Callable[[Command], Command]:
    """Add `answer_options` (which see), --scenario and --save-scenario."""

    def decorate(command: Command) -> Command:
        command = click.option("--save-scenario", metavar="FILE", help="Write the scenario "
                               "asked to a .toml or .json file.")(command)
        command = click.option("--scenario", "scenario_file", metavar="FILE", help="Read the "
                               "scenario from a .toml or .json file; flags override it.")(command)
        return answer_options(plot, explained=explained, ideal=ideal)(command)

    return decorate


def refuse_flags(names: Iterable[str], reason: str, but: Iterable[str] = ()) -> None:
    """Refuse options that were typed but would change nothing.

    Args:
        names: of the options' fields, or of the sets "machine", "serving", "training".
        reason: why they do not go together, put behind the flag's name.
        but: fields that are welcome all the same.

    Raises:
        BadInput: one of them was typed.
    """
    context = click.get_current_context()
    kept = set(but)
    fields = [field for name in names for field in
              ([row[1] for row in _SETS[name]] if name in _SETS else [name])]
    for option in context.command.params:
        if option.name in fields and option.name not in kept and context.get_parameter_source(
                option.name) is click.core.ParameterSource.COMMANDLINE:
            raise BadInput(f"{option.opts[0]} {reason}")


def read_options(options: dict[str, Any]) -> Scenario:
    """The scenario that file and flags describe; flags win.

    Removes the scenario's own options from `options` and saves the scenario when asked.

    Raises:
        BadInput: a wrong flag, file or field.
    """
    for name in ("scenario_file", "save_scenario"):
        if options.get(name) == "":
            raise BadInput(f"--{name.removesuffix('_file').replace('_', '-')} needs a file name, "
                           "not an empty text")
    file = options.pop("scenario_file", None)
    fields = read_scenario(file) if file else {}
    flags = {row[1]: options.pop(row[1], None) for rows in _SETS.values() for row in rows}
    flags["model"] = options.pop("model", None)
    given = {name: value for name, value in flags.items() if value is not None}
    scenario = Scenario.from_fields(_overridden(fields, given))
    if save := options.pop("save_scenario", None):
        write_scenario(scenario, save)
    return scenario


def _overridden(fields: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """File fields with the flags' on top, whether the file is flat or in sections."""
    flat = dict(flags)
    merged: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            merged[name] = {k: v for k, v in value.items() if k not in flat}
        elif name not in flat:
            merged[name] = value
    return {**merged, **flat}


def show(answer: Answer, options: dict[str, Any], figure: Callable[[], Figure] | None = None
         ) -> None:
    """Print an answer as JSON or as text, and draw its figure when asked."""
    if path := options.get("plot"):
        from ridgeline.report.plot import write_figure

        if figure is not None:
            write_figure(figure(), path)
    if options.get("as_json"):
        click.echo(json.dumps(answer.to_dict(), indent=2, allow_nan=False))
        return
    from ridgeline.cli.render import print_answer

    print_answer(answer, explain=bool(options.get("explain")))
    if path:
        click.echo(f"wrote {path}")
