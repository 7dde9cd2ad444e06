"""Options that the questions about money share, and how their text becomes numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ridgeline.errors import BadInput
from ridgeline.quantity import parse_number, parse_quantity

__all__ = ["numbers", "price_list", "rent_options", "seconds", "share", "usd", "write_csv"]

Command = Callable[..., Any]


def rent_options(command: Command) -> Command:
    """Add --usd-per-hour and --utilization."""
    for option in (
        click.option("--utilization", "--utilisation", "utilisation", default="1", metavar="SHARE",
                     show_default=True, help="Share of the capacity that is sold, such as 0.4."),
        click.option("--usd-per-hour", "usd_per_hour", metavar="USD",
                     help="Rent of one chip. [default: the catalog's, with its date]"),
    ):
        command = option(command)
    return command


def usd(text: str | None, name: str) -> float | None:
    """Dollars as a number: "2", "$2" or "$2/h".

    Raises:
        BadInput: not a number of dollars.
    """
    if text is None:
        return None
    plain = text.strip().removeprefix("$").removesuffix("/h").removesuffix("/hour")
    try:
        return parse_number(plain)
    except BadInput:
        raise BadInput(f"{name} is {text!r}; write dollars, such as 2 or $2.50") from None


def share(text: str, name: str) -> float:
    """A share: "0.4" or "40%".

    Raises:
        BadInput: not a number.
    """
    part = text.strip()
    try:
        return parse_number(part.removesuffix("%")) / (100 if part.endswith("%") else 1)
    except BadInput:
        raise BadInput(f"{name} is {text!r}; write a share, such as 0.4 or 40%") from None


def numbers(text: str, name: str, separator: str = ",") -> tuple[float, ...]:
    """Several numbers in one text.

    Raises:
        BadInput: one of them is not a number.
    """
    try:
        return tuple(parse_number(part.strip().removeprefix("$"))
                     for part in text.split(separator))
    except BadInput:
        raise BadInput(f"{name} is {text!r}; write numbers with {separator!r} between "
                       "them") from None


def seconds(text: str, name: str) -> tuple[float, ...]:
    """Several times: "5min,1h".

    Raises:
        BadInput: one of them is not a time.
    """
    try:
        return tuple(parse_quantity(part.strip(), "s") for part in text.split(","))
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None


def price_list(text: str) -> tuple[float, ...]:
    """INPUT/OUTPUT or INPUT/OUTPUT/CACHED in dollars a million tokens.

    Raises:
        BadInput: not two or three numbers.
    """
    found = numbers(text, "list price", "/")
    if len(found) not in (2, 3):
        raise BadInput(f"list price is {text!r}; write INPUT/OUTPUT or INPUT/OUTPUT/CACHED in "
                       "dollars a million tokens, such as 3/15/0.3")
    return found


def write_csv(path: str | None, text: Callable[[], str]) -> None:
    """Write a sweep as CSV when asked, whole or not at all.

    Raises:
        BadInput: not a .csv file, or it cannot be written.
    """
    if not path:
        return
    if not path.lower().endswith(".csv"):
        raise BadInput(f"cannot write the sweep to {path!r}; the name must end in .csv")
    from ridgeline.files import write_atomically

    write_atomically(path, text())
