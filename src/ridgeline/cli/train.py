"""`ridgeline train`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.options import answer_options, show, text_options
from ridgeline.errors import BadInput

_DEGREES = {"tp": "Tensor-parallel degree. [default: fills a scale-up domain]",
            "pp": "Pipeline-parallel stages. [default: 1]",
            "dp": "Data-parallel replicas. [default: fills the machine]",
            "cp": "Context-parallel degree. [default: 1]",
            "ep": "Expert-parallel degree. [default: 1]",
            "vp": "Model chunks of a stage, for --schedule interleaved. [default: 1]"}
# Options as (flag, field, metavar, help); values are text, read by TrainAsk.from_fields.
_PLAIN = [
    ("--micro-batch", "micro_batch", "N", "Sequences a replica computes at a time. [default: 1]"),
    ("--zero", "zero", "STAGE", "Optimizer sharding stage, 0 to 3. [default: 1]"),
    ("--recompute", "recompute", "KIND", "none, selective, full, reversible. "
     "[default: selective]"),
    ("--schedule", "schedule", "NAME", "1f1b, interleaved, zero-bubble. [default: 1f1b]"),
    ("--precision", "precision", "NAME", "bf16, fp16, fp8, mxfp8 or nvfp4. [default: bf16]"),
    ("--optimizer", "optimizer", "NAME", "adamw, adamw_8bit, muon, lion, ... [default: adamw]"),
    ("--adapter-rank", "adapter_rank", "N", "Train low-rank adapters of this rank (LoRA)."),
    ("--frozen", "frozen", "FORMAT", "Format of the frozen weights, such as nf4 (QLoRA)."),
    ("--usd-per-hour", "usd_per_chip_hour", "USD", "Rent of one chip. [default: mean of the "
     "market]"),
    ("--pue", "pue", "RATIO", "Power of the building over that of the chips. [default: 1.2]"),
    ("--grams-per-kwh", "grams_per_kwh", "G", "CO2 of electricity. [default: 400]"),
    ("--storage-bandwidth", "storage_bandwidth", "B/S", "Rate at which checkpoints are "
     "written, all together. [default: 100GB/s]"),
    ("--restart", "restart", "TIME", "To find a fault and start again. [default: 10min]"),
    ("--chip-mtbf", "chip_mtbf", "TIME", "Between failures of one chip and its share of the "
     "rest. [default: 50,000h, Llama 3's machine]"),
]


def _options(command: Any) -> Any:
    command = text_options(_PLAIN)(command)
    for name, text in reversed(_DEGREES.items()):
        command = click.option(f"--{name}", name, metavar="N", help=text)(command)
    return command


@click.command(no_args_is_help=True)
@click.argument("model")
@click.option("--on", "machine", required=True, metavar="MACHINE",
              help="Machine, such as 1024xH100.")
@click.option("--tokens", required=True, metavar="D", help="Tokens of the run, such as 2T.")
@click.option("--seq", metavar="TOKENS", help="Tokens of a sequence. [default: 4096]")
@click.option("--batch", "batch_tokens", metavar="TOKENS", help="Tokens of a step. [default: 4M]")
@_options
@click.option("--search", is_flag=True, help="Use the fastest valid layout that fits; takes no "
              "degrees.")
@answer_options(plot="Draw where the step's time and the device's memory go.")
def train(**options: Any) -> None:
    """How long, how much? A training run of MODEL: step, utilisation, memory, days, dollars.

    \b
    Examples:
      ridgeline train Llama-3.1-70B --on 1024xH100 --tokens 2T --seq 8192 --batch 16M --tp 8 --pp 4
      ridgeline train Llama-3.1-8B --on 8xB200 --tokens 100B --precision fp8 --json
      ridgeline train DeepSeek-V3 --on 512xH100 --tokens 1T --batch 8M --search --plot step.svg
      ridgeline train Llama-3.1-70B --on 8xH100 --tokens 1B --adapter-rank 16 --frozen nf4 \\
          --recompute full
    """
    from ridgeline.cli.load_options import read_value
    from ridgeline.questions.train import TrainAsk, best_layout
    from ridgeline.questions.train import train as ask
    from ridgeline.questions.train_parts import train_figure

    fields = ("model", "machine", "tokens", "seq", "batch_tokens", *_DEGREES,
              *(field for _, field, _, _ in _PLAIN))
    given = {name: options[name] for name in fields if options[name] is not None}
    for name, unit in (("restart", "s"), ("chip_mtbf", "s"), ("storage_bandwidth", "B/s")):
        if name in given:
            given[name] = read_value(f"--{name.replace('_', '-')}", unit, given[name])
    _check(given, bool(options["search"]))
    asked = TrainAsk.from_fields(given)
    answer = ask(best_layout(asked) if options["search"] else asked)
    show(answer, options, lambda: train_figure(answer))
    if not answer["fits"]:
        raise SystemExit(3)


def _check(given: dict[str, Any], search: bool) -> None:
    """Refuse flags that contradict each other."""
    chosen = [n for n in (*_DEGREES, "micro_batch", "zero", "recompute", "schedule") if n in given]
    if search and chosen:
        raise BadInput("--search chooses the layout itself; leave out "
                       + ", ".join("--" + n.replace("_", "-") for n in chosen))
    if given.get("schedule") == "interleaved" and given.get("vp", "1") in ("1", 1):
        raise BadInput("the interleaved schedule needs --vp of 2 or more model chunks")
