"""From a name to a record: chips, links, tiers, engines, prices, bundled or the user's own.

One chip is one file read. A user's entries, given as files or folders or through the environment
variable RIDGELINE_CATALOG, pass the same checks and come before the bundled ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ridgeline.catalog.files import DATA, Index, build_index, read_index, read_toml, toml_files
from ridgeline.catalog.names import candidates, key_of
from ridgeline.errors import BadInput, UnknownName
from ridgeline.machine.chip import Chip, Link
from ridgeline.machine.kernels import AttentionCurve, KernelTimes, MatmulCurve

if TYPE_CHECKING:
    from ridgeline.catalog.schema import (
        ApiPrice,
        ChipFile,
        EngineFile,
        EngineKernels,
        FormatEntry,
        LinkEntry,
        RentPrice,
        RuleEntry,
        TierEntry,
    )

__all__ = ["ENVIRONMENT", "Catalog", "default_catalog"]

ENVIRONMENT = "RIDGELINE_CATALOG"
LONGEST_NAME = 200
Kind = Literal["chips", "engines", "links", "tiers", "formats", "models"]
_TABLES = {"links": "link", "tiers": "tier", "formats": "format"}


@dataclass(frozen=True)
class Catalog:
    """The bundled data with a user's files in front.

    Attributes:
        sources: files or folders of the user's, the first one winning. A folder may hold TOML
            files of any kind, or `chips/` and `engines/` as the bundled data does.
    """

    sources: tuple[Path, ...] = ()

    @classmethod
    def of(cls, paths: Iterable[str | Path]) -> Catalog:
        """A catalog with these user files or folders.

        Raises:
            BadInput: a path that does not exist.
        """
        found = tuple(Path(p) for p in paths)
        for path in found:
            if not path.exists():
                raise BadInput(f"no catalog file or folder at {path}")
        return cls(found)

    def chip(self, name: str) -> Chip:
        """The chip of a name, however it is spelled.

        Raises:
            UnknownName: no chip of such a name, with the nearest.
            BadInput: several chips it may be, or a malformed file.
        """
        return chip_of(self.chip_file(name))

    def chip_file(self, name: str) -> ChipFile:
        """What the chip's file says, with sources, dates and notes. Raises as `chip`."""
        return _chip_file(self._path("chips", name))

    def engine(self, name: str) -> EngineFile:
        """An engine's defaults. Raises as `chip`."""
        return _engine_file(self._path("engines", name))

    def link_entry(self, name: str) -> LinkEntry:
        """An interconnect with its sources. Raises as `chip`."""
        entries = self.links()
        if not name.strip() or len(name) > LONGEST_NAME:
            raise BadInput(f"a link needs a name of 1 to {LONGEST_NAME} characters")
        spellings = {s: e.name for e in entries for s in (e.name, *e.aliases)}
        found = _only("link", name, spellings, {}, "links")
        return next(e for e in entries if e.name == found)

    def link(self, name: str) -> Link:
        """An interconnect as the machine room wants it.

        Raises:
            BadInput: it has no published bandwidth or latency. Else as `chip`.
        """
        entry = self.link_entry(name)
        if entry.bandwidth is None or entry.latency_low is None:
            missing = "bandwidth" if entry.bandwidth is None else "latency"
            raise BadInput(f"link {entry.name!r} has no {missing} in the catalog")
        latency = (entry.latency_low + (entry.latency_high or entry.latency_low)) / 2
        return Link(entry.name, entry.bandwidth, latency)

    def links(self) -> tuple[LinkEntry, ...]:
        """Every interconnect, the user's first."""
        from ridgeline.catalog.schema import LinkEntry

        return self._entries("links", LinkEntry)

    def tiers(self) -> tuple[TierEntry, ...]:
        """Every memory and storage tier, the user's first."""
        from ridgeline.catalog.schema import TierEntry

        return self._entries("tiers", TierEntry)

    def formats(self) -> tuple[FormatEntry, ...]:
        """Every number format, the user's first; `ridgeline.formats` gives them meaning."""
        from ridgeline.catalog.schema import FormatEntry

        return self._entries("formats", FormatEntry)

    def names(self, kind: Kind) -> list[str]:
        """Catalog names of a kind, in order.

        Raises:
            BadInput: not a kind.
        """
        if kind in _TABLES:
            return [e.name for e in getattr(self, kind)()]
        if kind == "models":
            return sorted(p.stem.replace("__", "/") for p in (DATA / "models").glob("*.json"))
        if kind not in ("chips", "engines"):
            raise BadInput(f"unknown catalog kind {kind!r}; it is one of chips, engines, links, "
                           "tiers, formats, models")
        own = [path.stem for path in self._user_files(kind)]
        return sorted({*own, *(p.stem for p in toml_files(DATA / kind))}, key=str.lower)

    def _path(self, kind: Literal["chips", "engines"], name: str) -> Path:
        """The file behind a name: the user's own, else the bundled one of exactly that name.

        A chip or engine may also be named by its file: "./my-machine.toml".
        """
        if not name.strip() or len(name) > LONGEST_NAME:
            raise BadInput(f"a {kind[:-1]} needs a name of 1 to {LONGEST_NAME} characters")
        if name.endswith(".toml"):
            if not Path(name).is_file():
                raise BadInput(f"no {kind[:-1]} file at {name}")
            return Path(name)
        own = list(self._user_files(kind))
        if own:
            index = build_index(own)
            for spelling, stem in index["names"].items():
                if key_of(spelling) == key_of(name):
                    return next(p for p in own if p.stem == stem)
        exact = DATA / kind / f"{name}.toml"
        if name.replace("-", "").isalnum() and exact.is_file():
            return exact
        if not own:
            return _bundled_path(kind, name)
        index = _bundled_index(kind)
        stems = {**{p.stem: p for p in toml_files(DATA / kind)}, **{p.stem: p for p in own}}
        spellings = {**index["names"], **(build_index(own)["names"] if own else {})}
        return stems[_only(kind[:-1], name, spellings, index["sizes"], kind)]

    def _user_files(self, kind: str) -> Iterable[Path]:
        """The user's files of a kind, told apart by their folder or by what they hold."""
        for source in self.sources:
            if source.is_file():
                if _kind_of(source) == kind:
                    yield source
                continue
            yield from toml_files(source / kind)
            for path in toml_files(source):
                if _kind_of(path) == kind:
                    yield path

    def _entries(self, kind: str, record: type[Any]) -> tuple[Any, ...]:
        """All entries of a kind that is one table a file."""
        files = [*self._user_files(kind), DATA / f"{kind}.toml"]
        found: dict[str, Any] = {}
        for path in files:
            for entry in _table(path, _TABLES[kind], record):
                found.setdefault(entry.name, entry)
        return tuple(found.values())


def default_catalog() -> Catalog:
    """The bundled catalog with the entries that RIDGELINE_CATALOG names.

    Raises:
        BadInput: the variable names a path that does not exist.
    """
    return _catalog_of(os.environ.get(ENVIRONMENT, ""))


@lru_cache(maxsize=8)
def _catalog_of(text: str) -> Catalog:
    return Catalog.of(p for p in text.split(os.pathsep) if p)


@lru_cache(maxsize=1024)
def _bundled_path(kind: Literal["chips", "engines"], name: str) -> Path:
    """The bundled file behind a spelling; a server is asked for the same ones again and again."""
    index = _bundled_index(kind)
    stems = {p.stem: p for p in toml_files(DATA / kind)}
    return stems[_only(kind[:-1], name, index["names"], index["sizes"], kind)]


@lru_cache(maxsize=4)
def _bundled_index(kind: str) -> Index:
    return read_index(DATA / kind)


def _only(kind: str, name: str, spellings: dict[str, str], sizes: dict[str, float],
          listing: str) -> str:
    """The one entry a spelling means."""
    found, settled = candidates(name, spellings, sizes)
    if settled:
        return found[0]
    hint = f"List them with `ridgeline catalog {listing}`."
    if found:
        shown = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
        choice = f"one of {shown}; give one of them" if len(found) > 1 else \
            f"{shown}; write that if so"
        raise BadInput(f"{kind} {name!r} may be {choice}")
    raise UnknownName.among(kind, name, {*spellings, *spellings.values()}, hint)


def _kind_of(path: Path) -> str:
    """What a user's file holds, by its keys."""
    data = read_toml(path)
    for kind, key in (("links", "link"), ("tiers", "tier"), ("engines", "memory_fraction"),
                      ("formats", "format")):
        if key in data:
            return kind
    return "chips"


@lru_cache(maxsize=256)
def _decoded_chip(path: Path, changed: int) -> ChipFile:
    from ridgeline.catalog.schema import ChipFile, convert

    entry = convert(read_toml(path), ChipFile, str(path))
    assert isinstance(entry, ChipFile)
    if entry.name != path.stem:
        raise BadInput(f"{path}: `name` is {entry.name!r} but the file is called {path.stem!r}")
    if not any(getattr(entry.peaks, rate) for rate in RATES):
        raise BadInput(f"{path}: `peaks` needs at least one rate")
    return entry


def _chip_file(path: Path) -> ChipFile:
    return _decoded_chip(path, _changed(path))


@lru_cache(maxsize=64)
def _decoded_engine(path: Path, changed: int) -> EngineFile:
    from ridgeline.catalog.schema import EngineFile, convert

    entry = convert(read_toml(path), EngineFile, str(path))
    assert isinstance(entry, EngineFile)
    if entry.name != path.stem:
        raise BadInput(f"{path}: `name` is {entry.name!r} but the file is called {path.stem!r}")
    if not entry.defaults:
        raise BadInput(f"{path}: `defaults` needs at least one row")
    return entry


def _engine_file(path: Path) -> EngineFile:
    return _decoded_engine(path, _changed(path))


def _changed(path: Path) -> int:
    """Modification time, so that an edited file is read again."""
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from None


def _table(path: Path, key: str, record: type[Any]) -> list[Any]:
    """The rows of a file that is one array of tables."""
    from ridgeline.catalog.schema import convert

    data = read_toml(path)
    rows = data.pop(key, [])
    if data or not isinstance(rows, list):
        raise BadInput(f"{path}: expected only [[{key}]] tables"
                       + (f", found {', '.join(map(repr, data))}" if data else ""))
    return [convert(row, record, f"{path}: {key} {number}")
            for number, row in enumerate(rows, start=1)]


RATES = ("fp32", "tf32", "fp16", "bf16", "fp8", "fp6", "fp4", "int8", "int4")


def chip_of(entry: ChipFile) -> Chip:
    """A chip as the rest of the house sees it, from its file."""
    def link(network: Any) -> Link | None:
        return network and Link(network.link, network.bandwidth, network.latency)

    rent = entry.rent
    return Chip(
        name=entry.name, vendor=entry.vendor, architecture=entry.architecture,
        peaks={rate: value for rate in RATES if (value := getattr(entry.peaks, rate)) is not None},
        memory_bytes=entry.memory.bytes, memory_bandwidth=entry.memory.bandwidth,
        year=entry.year, kind=entry.kind, usable_memory_bytes=entry.memory.usable_bytes,
        l2_bytes=entry.on_chip.l2_bytes or 0.0, sram_bytes=entry.on_chip.sram_bytes or 0.0,
        n_cores=entry.on_chip.n_cores or 0, clock=entry.on_chip.clock or 0.0,
        tdp=entry.power.tdp if entry.power else 0.0,
        scale_up=link(entry.scale_up),
        domain_size=entry.scale_up.domain_size if entry.scale_up else 1,
        scale_out=link(entry.scale_out), host=link(entry.host),
        usd_per_hour=(rent.usd_per_hour_low, rent.usd_per_hour_high) if rent else None,
        source=entry.source, confidence=entry.confidence, notes=entry.notes,
        levels=entry.memory.levels,
        kernels={engine: _kernels(times) for engine, times in entry.kernels.items()})


def _kernels(entry: EngineKernels) -> KernelTimes:
    """Measured kernels of an engine."""
    costs = {name: getattr(entry, name) for name in (
        "move", "launch", "step", "layer", "sequence", "logit", "stream", "request")}
    return KernelTimes(
        entry.software,
        tuple(MatmulCurve(c.format, c.depth, c.set_bytes, c.rows, c.seconds)
              for c in entry.matmul),
        tuple(AttentionCurve(c.phase, c.head_dim, c.tokens, c.seconds) for c in entry.attention),
        **costs)


def read_rules() -> tuple[RuleEntry, ...]:
    """The pricing rules, in words."""
    from ridgeline.catalog.schema import RuleEntry

    return tuple(_table(DATA / "prices" / "rules.toml", "rule", RuleEntry))


def read_api_prices(path: Path = DATA / "prices" / "api.csv") -> tuple[ApiPrice, ...]:
    """List prices of models behind an API.

    Raises:
        BadInput: a malformed row, with file and line.
    """
    from ridgeline.catalog.schema import ApiPrice

    return tuple(_csv_rows(path, ApiPrice))


def read_rent_prices(path: Path = DATA / "prices" / "rent.csv") -> tuple[RentPrice, ...]:
    """What an hour of an accelerator costs, by provider and date. Raises as `read_api_prices`."""
    from ridgeline.catalog.schema import RentPrice

    return tuple(_csv_rows(path, RentPrice))


def _csv_rows(path: Path, record: type[Any]) -> Iterable[Any]:
    """Rows of a CSV file as records; an empty cell is an absent value."""
    import csv

    from ridgeline.catalog.files import read_text
    from ridgeline.catalog.schema import convert

    numeric = {field for field, kind in record.__annotations__.items()
               if "Usd" in kind or "float" in kind}
    for number, row in enumerate(csv.DictReader(read_text(path).splitlines()), start=2):
        where = f"{path}: line {number}"
        if None in row or None in row.values():
            raise BadInput(f"{where}: expected {len(record.__struct_fields__)} cells")
        cells = {key: _cell(text, key in numeric, f"{where}: {key}")
                 for key, text in row.items() if text != ""}
        yield convert(cells, record, where)


def _cell(text: str, numeric: bool, where: str) -> str | float:
    if not numeric:
        return text
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"{where}: {text!r} is not a number") from None
