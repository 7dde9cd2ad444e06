"""Prices with their date and source: how old they are, and when they are too old to trust."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from ridgeline.errors import BadInput

__all__ = ["STALE_DAYS", "ChipRent", "Dated", "chip_rent", "day_of"]

# Rents and list prices of half a year ago are seldom those of today.
STALE_DAYS = 180
_MENTION = re.compile(r"\b((?:19|20)\d\d)(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12]\d|3[01]))?)?\b")


def day_of(text: str) -> date | None:
    """The newest day that a written date may stand for at the least.

    A date without a month or a day counts as its first day, so that a vague date turns stale
    first.

    >>> day_of("2025-10 to 2026-03"), day_of("2026 (catalog v8)")
    (datetime.date(2026, 3, 1), datetime.date(2026, 1, 1))
    """
    days = []
    for year, month, day in _MENTION.findall(text):
        try:
            days.append(date(int(year), int(month or 1), int(day or 1)))
        except ValueError:      # the 31st of a shorter month
            days.append(date(int(year), int(month), 1))
    return max(days, default=None)


@dataclass(frozen=True)
class Dated:
    """When a price was read and where.

    Attributes:
        written: the date as the source states it.
        source: who says so.
        today: the day it is used.
    """

    written: str
    source: str
    today: date

    @property
    def age_days(self) -> int | None:
        """Days since, None without a date."""
        day = day_of(self.written)
        return None if day is None else (self.today - day).days

    @property
    def stale(self) -> bool:
        """More than STALE_DAYS old, or of unknown age."""
        age = self.age_days
        return age is None or age > STALE_DAYS

    @property
    def label(self) -> str:
        """The date alone, for a table; stale ones marked."""
        mentions = ["-".join(filter(None, part)) for part in _MENTION.findall(self.written)]
        text = max(mentions, default="undated")
        return f"{text} STALE" if self.stale else text

    def note(self, what: str) -> str:
        """One sentence for the screen: what, when, who, and whether it is stale."""
        text = f"{what}: {self.written or 'undated'}, {self.source}"
        if not self.stale:
            return text + "."
        age = f"{self.age_days} days old" if self.age_days is not None else "of unknown age"
        return f"{text}. STALE: {age}; give the price you pay."


@dataclass(frozen=True)
class ChipRent:
    """Rent of one chip for an hour [USD].

    Attributes:
        mid, low, high: mean of the range, and its ends.
        dated: its date and source; None when the user gave it.
    """

    mid: float
    low: float
    high: float
    dated: Dated | None = None

    @property
    def note(self) -> str:
        """Where the rent is from, for the screen."""
        if self.dated is None:
            return ""
        span = f"{self.low:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"
        return self.dated.note(f"Rent of {span} USD a chip-hour (mean used)")


def chip_rent(chip: str, usd_per_hour: float | None = None, *, today: date | None = None
              ) -> ChipRent:
    """The rent of a chip: what the user pays, else the catalog's range with its date.

    Raises:
        BadInput: no rent is known and none was given, or it is not a positive number.
    """
    from ridgeline.catalog import load_chip_file
    from ridgeline.errors import UnknownName
    from ridgeline.quantity import check_positive

    if usd_per_hour is not None:
        check_positive(usd_per_hour=usd_per_hour)
        return ChipRent(usd_per_hour, usd_per_hour, usd_per_hour)
    try:
        file = load_chip_file(chip)
    except UnknownName:      # a chip named by its file, outside the catalog
        raise BadInput(f"no rent of {chip} is in the catalog; give it with --usd-per-hour "
                       "(usd_per_hour)") from None
    rent = file.rent
    if rent is None or not rent.usd_per_hour_high > 0:
        raise BadInput(f"no rent of {file.name} is in the catalog; give it with --usd-per-hour "
                       "(usd_per_hour)")
    low, high = rent.usd_per_hour_low, rent.usd_per_hour_high
    return ChipRent((low + high) / 2, low, high,
                    Dated(rent.date or file.date, rent.source or file.source,
                          today or date.today()))
