"""`ridgeline cache`."""

from __future__ import annotations

from typing import Any

import click

from ridgeline.cli.options import output_options, read_options, scenario_options, show
from ridgeline.cli.price_options import numbers, seconds, share, usd


@click.command(no_args_is_help=True)
@scenario_options("machine", "serving")
@click.option("--usd-per-hour", metavar="USD",
              help="Rent of one chip. [default: the catalog's, with its date]")
@click.option("--hold", default="5min,1h", show_default=True, metavar="TIMES",
              help="How long caches are kept.")
@click.option("--write", "writes", default="1.25,2", show_default=True, metavar="X,...",
              help="Price of a write over the input price, one for each time.")
@click.option("--read", "read_multiple", default="0.1", show_default=True, metavar="X",
              help="Price of a cached read over the input price.")
@click.option("--prefill-mfu", metavar="SHARE",
              help="Share of the peak at which prompts are computed again. [default: calibrated]")
@output_options(plot="Draw cost against time kept, one line a tier.")
def cache(**options: Any) -> None:
    """Keep a prompt's cache, or compute it again? Cost and time by kind of memory.

    Device memory, host DRAM, CXL, flash, disk and object storage: what holding costs, when
    computing again is cheaper, how fast each drains, which one a 5-minute or 1-hour price implies.

    \b
    Examples:
      ridgeline cache Llama-3.1-70B --on 8xH100-SXM --prompt 8000
      ridgeline cache DeepSeek-V3 --on 8xH200 --prompt 100k --hold 1min,1h --write 1.1,2
      ridgeline cache Llama-3.1-70B --on 8xH100 --prefill-mfu 0.6 --explain --plot keep.svg
    """
    from ridgeline.questions.cache import CacheAsk, cache_figure
    from ridgeline.questions.cache import cache as ask

    mfu = options.pop("prefill_mfu")
    asked = CacheAsk(
        read_options(options), usd(options.pop("usd_per_hour"), "usd per hour"),
        seconds(options.pop("hold"), "hold"), numbers(options.pop("writes"), "write"),
        share(options.pop("read_multiple"), "read"),
        None if mfu is None else share(mfu, "prefill MFU"), options["ideal"])
    show(ask(asked), options, lambda: cache_figure(asked))
