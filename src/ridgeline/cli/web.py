"""`ridgeline web`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.options import catalog_options


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS",
              help="Address to listen on; anything but the loopback is open to the network.")
@click.option("--port", default=8421, show_default=True, type=click.IntRange(0, 65535),
              metavar="N", help="Port to listen on; 0 takes any free one.")
@click.option("--name", "names", multiple=True, metavar="HOST",
              help="Name the server may be called by, beside the loopback's; may be repeated.")
@click.option("--workers", type=click.IntRange(1, 64), metavar="N",
              help="Processes that answer. [default: one a core, at least 2]")
@click.option("--limit", default=10.0, show_default=True, type=click.FloatRange(0.1, 3600),
              metavar="SECONDS", help="What one question may take.")
@click.option("--long-limit", default=120.0, show_default=True,
              type=click.FloatRange(0.1, 86400), metavar="SECONDS",
              help="What a question that streams its progress may take.")
@catalog_options
def web(**options: Any) -> None:
    """Look at it: the explorer in a browser, and the questions under /api.

    \b
    Examples:
      ridgeline web
      ridgeline web --port 9000 --workers 4
      ridgeline web --host 0.0.0.0 --name planner.example.org
    """
    from ridgeline.errors import MissingExtra

    try:
        from ridgeline.http.serve import serve
    except ImportError as error:
        if error.name is not None and error.name.startswith("ridgeline"):
            raise
        raise MissingExtra.needed("the web explorer", "server") from error
    serve(host=options["host"], port=options["port"], names=options["names"],
          workers=options["workers"], limit=options["limit"], long_limit=options["long_limit"])
