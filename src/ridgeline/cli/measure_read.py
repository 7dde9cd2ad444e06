"""`ridgeline measure read`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ridgeline.cli.options import deployment_options, read_options, show
from ridgeline.errors import BadInput

if TYPE_CHECKING:
    from ridgeline.questions.answer import Answer
    from ridgeline.scenario import Scenario


@click.command(short_help="Others' benchmark files and start-up logs.", no_args_is_help=True)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--to", metavar="FILE.csv", help="Write rows for `validate` and `calibrate --with`.")
@click.option("--architecture", metavar="MODEL", help="What the model is. [default: as the file "
              "names it]")
@deployment_options
@click.option("--catalog", metavar="PATH", help="File or folder of your own chips, models.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def read(**options: Any) -> None:
    """Read benchmark files (vLLM, SGLang, AIPerf, GenAI-Perf, GuideLLM, llama-bench) and vLLM logs.

    Files are recognised by what they hold. Those of load generators do not say what the server
    ran on: --on and the options of a deployment do. A log is compared with the memory predicted.

    \b
    Examples:
      ridgeline measure read bench.json --on 8xH100-SXM --tp 8 --to rows.csv
      ridgeline measure read llama-bench.json --to rows.csv
      ridgeline measure read vllm.log --on H100-SXM --architecture Llama-3.1-8B
    """
    from ridgeline.measure.engine.read import read_files
    from ridgeline.measure.engine.read_answer import read_answer
    from ridgeline.measure.engine.rows import write_rows

    if options["to"] and not Path(options["to"]).parent.is_dir():
        raise BadInput(f"cannot write {options['to']}: there is no folder "
                       f"{Path(options['to']).parent}")
    if options["catalog"]:
        os.environ["RIDGELINE_CATALOG"] = options["catalog"]
    runs = read_files(options["files"])
    scenario = _scenario(options, runs)
    if options["to"]:
        write_rows(runs, options["to"], scenario)
    answer: Answer = read_answer(runs, list(options["files"]), scenario)
    show(answer, options)
    if options["to"] and not options["as_json"]:
        click.echo(f"wrote {options['to']}")


def _scenario(options: dict[str, Any], runs: Any) -> Scenario | None:
    """The deployment, where --on tells its machine; its model is the files' own unless told."""
    named = sorted({run.model for run in runs if run.model})
    if not options["machine"]:
        if options["architecture"]:
            raise BadInput("--architecture describes the deployment; give its machine with --on")
        return None
    if not options["architecture"] and len(named) != 1:
        raise BadInput("the files name " + (f"{len(named)} models" if named else "no model")
                       + "; say which one it is with --architecture")
    asked = {k: v for k, v in options.items() if k not in ("files", "to")}
    asked["model"] = options["architecture"] or named[0]
    return read_options(asked)
