"""Numbers and names as a person reads them, the same in a terminal, a page and a notebook."""

from __future__ import annotations

from ridgeline.quantity import format_si

__all__ = ["counted", "label", "number_text"]

# Endings of JSON keys that only repeat the unit printed beside the number.
_UNIT_ENDINGS = {"s": "_s", "B": "_bytes", "FLOP": "_flop", "USD": "_usd", "W": "_w", "J": "_j",
                 "B/s": "_bytes_per_s", "FLOP/s": "_flop_per_s", "FLOP/B": "_flop_per_byte",
                 "token/s": "_tokens_per_s", "USD/Mtok": "_usd_per_mtok", "%": "_pct",
                 "MWh": "_mwh", "t": "_tonnes", "kg": "_kg", "PFLOP/s-day": "_pf_days"}


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number and its noun, in the plural unless there is one.

    >>> counted(1, "more chip"), counted(7, "more chip"), counted(1, "copy", "copies")
    ('1 more chip', '7 more chips', '1 copy')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def label(name: str, unit: str) -> str:
    """A JSON key as words, without the unit that the value already shows.

    >>> label("memory_bandwidth_bytes_per_s", "B/s")
    'memory bandwidth'
    """
    return name.removesuffix(_UNIT_ENDINGS.get(unit, "")).replace("_", " ")


def number_text(value: float, unit: str) -> str:
    """A number with its unit; whole counts in full.

    >>> number_text(0.0205, "s"), number_text(8192, "1"), number_text(float("inf"), "s")
    ('20.5 ms', '8,192', 'infinite')
    """
    if value != value:
        return "-"
    if abs(value) == float("inf"):
        return "infinite" if value > 0 else "-infinite"
    if unit not in ("", "1"):
        return format_si(value, unit)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    return format_si(value, unit, 3 if abs(value) < 100 else 5)
