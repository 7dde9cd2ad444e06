"""`ridgeline mcp`."""

from __future__ import annotations

import click

from ridgeline.cli.options import catalog_options


@click.command()
@click.option("--limit", default=60.0, show_default=True, type=click.FloatRange(0.1, 3600),
              metavar="SECONDS", help="What one question may take.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64), metavar="N",
              help="Processes that answer.")
@catalog_options
def mcp(limit: float, workers: int) -> None:
    """Ask from an agent: every question as a tool of the Model Context Protocol, on stdio.

    \b
    Examples:
      ridgeline mcp
      ridgeline mcp --workers 4 --limit 120
    """
    from ridgeline.errors import MissingExtra

    try:
        from ridgeline.mcp.server import serve_stdio
    except ImportError as error:
        if error.name is not None and error.name.startswith("ridgeline"):
            raise
        raise MissingExtra.needed("serving agents", "mcp") from error
    serve_stdio(limit=limit, workers=workers)
