"""`ridgeline measure`: this machine, an engine under load, others' benchmark files."""

from __future__ import annotations

import importlib

import click

from ridgeline.errors import nearest

# Subcommand -> (module, attribute, help line), imported when called.
SUBCOMMANDS = {
    "machine": ("ridgeline.cli.measure_machine", "machine",
                "What this machine really does: bandwidth, matmul rates, launch cost."),
    "engine": ("ridgeline.cli.measure_engine", "engine",
               "A server under load: percentiles, errors, predicted beside measured."),
    "retrieval": ("ridgeline.cli.measure_retrieval", "retrieval",
                  "Real vector indexes and an encoder on one thread: constants for `retrieve`."),
    "read": ("ridgeline.cli.measure_read", "read",
             "Others' benchmark files and start-up logs as rows to validate and calibrate with."),
}


class LazySubcommands(click.Group):
    """A group that imports a subcommand's module when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of SUBCOMMANDS."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand."""
        if cmd_name not in SUBCOMMANDS:
            return None
        module, attribute, _ = SUBCOMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest subcommand when there is none of that name."""
        if args and args[0] not in SUBCOMMANDS and not args[0].startswith("-"):
            close = nearest(args[0], SUBCOMMANDS)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            ctx.fail(f"nothing to measure called {args[0]!r}{hint} "
                     f"There are: {', '.join(SUBCOMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the help lines without importing the subcommands."""
        with formatter.section("What to measure"):
            formatter.write_dl([(name, text) for name, (_, _, text) in SUBCOMMANDS.items()])


@click.group(cls=LazySubcommands, short_help="What is real? Your machine, your server.")
def measure_command() -> None:
    """What is real? Measure a machine or a server, and compare with what is predicted.

    \b
    Examples:
      ridgeline measure machine --out my-machine.toml
      ridgeline measure engine http://localhost:8000 --model my-model --protocol closed:16
      ridgeline measure read vllm_bench.json --on 8xH100-SXM --to rows.csv
    """
