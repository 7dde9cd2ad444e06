"""Fleets written as text or TOML: pools of equal chips with what their owner knows of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ridgeline.errors import BadInput, UnknownName
from ridgeline.machine import Chip
from ridgeline.quantity import parse_number

__all__ = ["Pool", "parse_fleet", "read_fleet"]

LARGEST = 1_000_000_000
_POOL = re.compile(r"^\s*([\d_.]+[kKmM]?)\s*[x×*]\s*(\S.*?)\s*$")
_FIELDS = ("chips", "usd_per_hour", "prefill_mfu", "decode_mfu", "train_mfu", "watts",
           "utilization")


@dataclass(frozen=True)
class Pool:
    """Equal chips of a fleet.

    Attributes:
        count: how many.
        chip: which.
        usd_per_hour: rent of one; None: the catalog's.
        prefill_mfu, decode_mfu: shares of the peak the owner reaches; None: asked for or
            predicted.
        train_mfu: share of the peak in training, before the pool was used to serve.
        watts: of one chip with its share of the server; None: the board power.
        utilisation: share of the time in which it serves.
    """

    count: int
    chip: Chip
    usd_per_hour: float | None = None
    prefill_mfu: float | None = None
    decode_mfu: float | None = None
    train_mfu: float | None = None
    watts: float | None = None
    utilisation: float = 1.0


def parse_fleet(text: str) -> tuple[Pool, ...]:
    """A fleet in one line: "100000xH100,20000xB200", or a .toml file.

    Raises:
        BadInput: unreadable, no chips, or a count that is not a whole number.
        UnknownName: no such chip.

    >>> [(p.count, p.chip.name) for p in parse_fleet("100kxH100-SXM, 20000xB200")]
    [(100000, 'H100-SXM'), (20000, 'B200-SXM')]
    """
    if text.strip().endswith(".toml"):
        return read_fleet(text.strip())
    pools = tuple(_pool({"chips": part}, f"fleet {text!r}") for part in text.split(",")
                  if part.strip())
    if not pools:
        raise BadInput(f"fleet {text!r} names no chips; write for instance "
                       "100000xH100,20000xB200 or a .toml file")
    return pools


def read_fleet(path: str | Path) -> tuple[Pool, ...]:
    """A fleet file: one [[pool]] for each kind of chip.

        [[pool]]
        chips = "100000xH100-SXM"
        usd_per_hour = 2.0        # and any of prefill_mfu, decode_mfu, train_mfu, watts,
        decode_mfu = 0.15         # utilization

    Raises:
        BadInput: no such file, not TOML, or a pool that makes no sense, with its number.
    """
    from ridgeline.catalog.files import read_toml

    data = read_toml(Path(path))
    rows = data.pop("pool", [])
    if data or not isinstance(rows, list) or not rows:
        found = f"; found {', '.join(map(repr, data))}" if data else ""
        raise BadInput(f"{path}: a fleet is one [[pool]] table for each kind of chip{found}")
    return tuple(_pool(row, f"{path}: pool {number}") for number, row in enumerate(rows, start=1))


def _pool(row: Any, where: str) -> Pool:
    """One pool, every field checked."""
    from ridgeline.catalog import load_chip

    if not isinstance(row, Mapping):
        raise BadInput(f"{where}: must be a table")
    for key in row:
        if key not in _FIELDS:
            raise UnknownName.among(f"key in {where}:", str(key), _FIELDS)
    written = row.get("chips")
    match = _POOL.match(written) if isinstance(written, str) else None
    if match is None:
        raise BadInput(f"{where}: cannot read {written!r}; write COUNTxCHIP, such as "
                       "100000xH100-SXM")
    shares = {name: _number(row, name, where, most=1.0)
              for name in ("prefill_mfu", "decode_mfu", "train_mfu", "utilization")}
    busy = shares.pop("utilization")
    return Pool(_count(match[1], where), load_chip(match[2]),
                _number(row, "usd_per_hour", where), **shares,
                watts=_number(row, "watts", where), utilisation=1.0 if busy is None else busy)


def _count(text: str, where: str) -> int:
    try:
        number = parse_number(text.replace("_", ""))
    except BadInput:
        number = 0.0
    if number != int(number) or not 1 <= number <= LARGEST:
        raise BadInput(f"{where}: {text} is not a number of chips; give a whole number from 1 to "
                       f"{LARGEST:,}")
    return int(number)


def _number(row: Mapping[str, Any], name: str, where: str, most: float = 1e7) -> float | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most:
        raise BadInput(f"{where}: {name} must be a number above 0 and at most {most:g}, "
                       f"not {value!r}")
    return float(value)
