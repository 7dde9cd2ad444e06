"""The command line: thin commands over `ridgeline.questions`.

Each command's module is imported only when it is called, so `--help` stays instant.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import sys

import click

from ridgeline import __version__
from ridgeline.errors import RidgelineError, nearest

# Command -> (module, attribute, help line). The help line is here so that --help imports nothing.
COMMANDS = {
    "fit": ("ridgeline.cli.fit", "fit", "Does it fit? Memory per device, item by item."),
    "estimate": ("ridgeline.cli.estimate", "estimate",
                 "How fast? TTFT, TPOT, throughput, what bounds it, what would help."),
    "plan": ("ridgeline.cli.plan", "plan",
             "Which chips, how many, split how? The best deployment, and why."),
    "sweep": ("ridgeline.cli.sweep", "sweep",
              "What over a whole range? Lists and ranges for any field, kept as Parquet."),
    "simulate": ("ridgeline.cli.simulate", "simulate",
                 "What do users wait? Percentiles under real arrivals."),
    "queue": ("ridgeline.cli.queue", "queue",
              "How long is the wait? Closed-form queues, at once."),
    "capacity": ("ridgeline.cli.capacity", "capacity",
                 "How much load, how few replicas? The limit that keeps TTFT and TPOT targets."),
    "roofline": ("ridgeline.cli.roofline", "roofline",
                 "Why? Every op against the roofs, or one matmul's critical batch."),
    "train": ("ridgeline.cli.train", "train",
              "How long, how much? A training run: step, MFU, memory, days, dollars."),
    "scale": ("ridgeline.cli.scale", "scale",
              "How large, how long? Scaling laws, serving-aware optimum, trends."),
    "web": ("ridgeline.cli.web", "web", "Look at it: the explorer in a browser, and the API."),
    "price": ("ridgeline.cli.price", "price",
              "What does a million tokens cost, and what does a price list give away?"),
    "cache": ("ridgeline.cli.cache", "cache",
              "Keep a prompt's cache or compute it again? Cost by kind of memory."),
    "fleet": ("ridgeline.cli.fleet", "fleet",
              "What can a fleet do? Passes, tokens, users, dollars, to 2030."),
    "check": ("ridgeline.cli.check", "check",
              "Is this number possible? A claim, a measurement, or a running server."),
    "exercise": ("ridgeline.cli.exercise", "exercise",
                 "Roofline questions, worked step by step with your numbers; answers graded."),
    "energy": ("ridgeline.cli.energy", "energy",
               "How much energy? A token, a request, a run; carbon; accuracy for watts."),
    "rack": ("ridgeline.cli.rack", "rack",
             "How large can a scale-up domain be? Limits, optics, pools, all-to-all."),
    "demand": ("ridgeline.cli.demand", "demand",
               "Users to chips to dollars; ways out of overload; buy or rent; chip against chip."),
    "retrieve": ("ridgeline.cli.retrieve", "retrieve",
                 "What does retrieval cost? Index, search, reranking, the whole request."),
    "think": ("ridgeline.cli.think", "think",
              "Is it worth thinking longer? Samples, votes, chains, search; pass@k."),
    "mcp": ("ridgeline.cli.mcp", "mcp", "Ask from an agent: every question as a tool."),
    "report": ("ridgeline.cli.report", "report",
               "Print it: one self-contained page with numbers, pictures and derivations."),
    "catalog": ("ridgeline.cli.catalog", "catalog_command",
                "Chips, models, links, memory tiers, prices, engines and formats."),
    "validate": ("ridgeline.cli.validate", "validate_command",
                 "How right? Predictions against measured files."),
    "measure": ("ridgeline.cli.measure", "measure_command",
                "What is real? Your machine, your server under load, others' benchmark files."),
    "calibrate": ("ridgeline.cli.calibrate", "calibrate_command",
                  "Rebuild every fitted constant from measurements."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command when there is none of that name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = nearest(args[0], COMMANDS)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            ctx.fail(f"no command {args[0]!r}{hint} Commands: {', '.join(COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the help lines without importing the commands."""
        with formatter.section("Questions"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"],
                                              "max_content_width": 100})
@click.version_option(__version__, prog_name="ridgeline")
def cli() -> None:
    """What is possible, what is the limit, what does it cost, and why.

    \b
    Examples:
      ridgeline fit Llama-3.1-70B --on 8xH100-SXM --context 8192
      ridgeline estimate Llama-3.1-70B --on 8xH100-SXM --prompt 4000 --output 1000 --concurrency 32
      ridgeline roofline Llama-3.1-70B --on 8xH100-SXM --plot roofline.svg
      ridgeline catalog chips
    """


def main() -> None:
    """Run the command line; errors are one line on standard error and an exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:      # closed by the shell: `>&-`
            setattr(sys, name, io.StringIO())
    try:
        code = cli.main(prog_name="ridgeline", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except getattr(click.exceptions, "NoArgsIsHelpError", ()) as help_text:
        # A command without arguments prints its help, whole and not as an error of one line.
        with contextlib.suppress(BrokenPipeError):
            print(help_text.format_message(), flush=True)
        sys.exit(0)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = f" (see {context.command_path} --help)" if context else ""
        _fail(_usage(error.format_message().rstrip("."), context) + where, 2)
    except RidgelineError as error:
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted; nothing half-written was left", 130)
    except BrokenPipeError:
        # The reader of our output went away (`| head`): leave quietly.
        _drop_output()
        sys.exit(141)
    except OSError as error:
        # A full disk, a closed output, a folder that went away.
        _drop_output()
        _fail(f"cannot go on: {error.strerror or error}"
              + (f": {error.filename}" if error.filename else ""), 2)


def _usage(message: str, context: click.Context | None) -> str:
    """What click says of a wrong command line, in the words of the other errors."""
    if extra := re.match(r"Got unexpected extra arguments? \((.*)\)$", message):
        message = f"do not know what to do with {extra[1]!r}"
        if context and any("--on" in option.opts for option in context.command.params):
            message += "; a machine goes behind --on"
    return message[:1].lower() + message[1:]


def _drop_output() -> None:
    """Send what is still to be printed nowhere, so that leaving does not fail again."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        print("ridgeline: " + " ".join(message.split()), file=sys.stderr, flush=True)
    sys.exit(code)
