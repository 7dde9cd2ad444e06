"""A progress bar on standard error; nothing of it reaches a pipe or a JSON answer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

__all__ = ["shown"]


@contextlib.contextmanager
def shown(what: str, *, quiet: bool = False) -> Iterator[Callable[[int, int, str], None]]:
    """A bar told (done, of how many or 0, what is next)."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    console = Console(stderr=True)
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                  TextColumn("{task.fields[step]}"), TimeElapsedColumn(), console=console,
                  transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(what, total=None, step="")
        yield lambda done, total, step: bar.update(task, completed=done, total=total or None,
                                                   step=step)
