"""Catalog entries as tables and sections on the screen, or as JSON with units in its keys."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ridgeline.catalog.files import DATA
from ridgeline.quantity import format_si

if TYPE_CHECKING:
    from ridgeline.catalog.schema import ChipFile
    from ridgeline.model.architecture import Architecture

WIDTH = 100
Columns = Sequence[tuple[str, str, str]]  # heading, field, unit ("" for text)
Sections = list[tuple[str, list[tuple[str, str]]]]

LINK_COLUMNS: Columns = (("link", "name", ""), ("kind", "kind", ""), ("year", "year", "year"),
                         ("one way", "bandwidth", "B/s"), ("latency", "latency_low", "s"),
                         ("status", "status", ""))
TIER_COLUMNS: Columns = (("tier", "name", ""), ("kind", "kind", ""), ("unit", "unit", ""),
                         ("bytes", "bytes", "B"), ("bandwidth", "bandwidth", "B/s"),
                         ("latency", "latency", "s"), ("USD/GB from", "usd_per_gb_low", "USD"))
API_COLUMNS: Columns = (("provider", "provider", ""), ("model", "model", ""),
                        ("input", "input_usd_per_mtok", "USD"),
                        ("cached", "cached_read_usd_per_mtok", "USD"),
                        ("output", "output_usd_per_mtok", "USD"),
                        ("batch in", "batch_input_usd_per_mtok", "USD"), ("date", "date", ""))
RENT_COLUMNS: Columns = (("provider", "provider", ""), ("item", "item", ""), ("chip", "chip", ""),
                         ("USD/h from", "usd_per_hour_low", "USD"),
                         ("to", "usd_per_hour_high", "USD"), ("date", "date", ""))
RULE_COLUMNS: Columns = (("rule", "name", ""), ("says", "text", ""), ("date", "date", ""))
ENGINE_COLUMNS: Columns = (("engine", "name", ""), ("title", "title", ""),
                           ("version", "version", ""), ("memory", "memory_fraction", "1"),
                           ("of", "memory_basis", ""), ("block", "block_size", "1"))
FORMAT_COLUMNS: Columns = (("format", "name", ""), ("bits/value", "bits", "1"),
                           ("runs at", "compute", ""), ("family", "family", ""),
                           ("weight only", "weight_only", ""), ("also", "aliases", ""))
CHIP_COLUMNS: Columns = (("chip", "", ""), ("vendor", "", ""), ("year", "", "year"),
                         ("16 bit FLOP/s", "", "FLOP"), ("8 bit", "", "FLOP"),
                         ("memory", "", "B"), ("B/s", "", "B"), ("W", "", "1"),
                         ("domain", "", "1"), ("trust", "", ""))
MODEL_COLUMNS: Columns = (("model", "", ""), ("type", "", ""), ("layers", "", "1"),
                          ("width", "", "1"), ("vocabulary", "", "1"))

# Units that JSON keys carry, by field name.
_SUFFIX = {"bandwidth": "bandwidth_bytes_per_s", "latency": "latency_s", "tdp": "tdp_w",
           "latency_low": "latency_low_s", "latency_high": "latency_high_s", "clock": "clock_hz",
           "device_bandwidth": "device_bandwidth_bytes_per_s"}
_UNITS = {"bandwidth": "B/s", "device_bandwidth": "B/s", "latency": "s", "latency_low": "s",
          "latency_high": "s", "bytes": "B", "usable_bytes": "B", "l2_bytes": "B",
          "sram_bytes": "B", "clock": "Hz", "tdp": "W", "min_memory_bytes": "B"}


def print_json(data: Any) -> None:
    """Print entries as JSON; what a published config leaves infinite is null."""
    from ridgeline.questions.answer import json_safe

    print(json.dumps(json_safe(data), indent=1, ensure_ascii=False, allow_nan=False))


def table(columns: Columns, rows: Iterable[Sequence[str]], data: Any, as_json: bool) -> None:
    """Print rows of text under headings, or the data as JSON."""
    if as_json:
        return print_json(data)
    from rich import box
    from rich.table import Table

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading, _, unit in columns:
        grid.add_column(heading, justify="right" if unit else "left", overflow="fold",
                        no_wrap=bool(unit))
    for row in rows:
        grid.add_row(*row)
    _print(grid)


def listing(columns: Columns, entries: Iterable[Any], as_json: bool) -> None:
    """Print records as a table, one field a column."""
    found = list(entries)
    rows = [[_text(getattr(e, field), unit) for _, field, unit in columns] for e in found]
    table(columns, rows, [plain(e) for e in found], as_json)


def record(entry: Any, as_json: bool) -> None:
    """Print one record, every field that says something."""
    pairs = [(key.replace("_", " "), _text(value, _UNITS.get(key, "1")))
             for key, value in _fields(entry).items()]
    show([("", [(k, v) for k, v in pairs if v and v != "0"])], plain(entry), as_json)


def show(sections: Sections, data: Any, as_json: bool) -> None:
    """Print sections of label and value, or the data as JSON."""
    if as_json:
        return print_json(data)
    from rich.table import Table
    from rich.text import Text

    for title, pairs in sections:
        if title:
            _print(Text(f"\n{title}", style="bold"))
        grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for label, value in pairs:
            grid.add_row(f"  {label}", Text(value))
        _print(grid)


def chip_row(entry: ChipFile) -> list[str]:
    """A chip as one line of the list."""
    peaks = entry.peaks
    wide = peaks.bf16 or peaks.fp16
    return [entry.name, entry.vendor, str(entry.year or ""),
            _rate(wide or peaks.fp32, "" if wide else " (32)"), _rate(peaks.fp8 or peaks.int8),
            format_si(entry.memory.bytes, "B"), _rate(entry.memory.bandwidth),
            f"{entry.power.tdp:.0f}" if entry.power else "",
            str(entry.scale_up.domain_size) if entry.scale_up else "1", entry.confidence]


def chip_sections(entry: ChipFile) -> Sections:
    """A chip in full: each group of numbers with where it comes from."""
    sections: Sections = [(entry.name, [
        ("vendor", entry.vendor), ("architecture", entry.architecture), ("kind", entry.kind),
        ("year", str(entry.year or "unknown")), ("also called", ", ".join(entry.aliases)),
        ("source", entry.source),
        ("stands", f"{entry.basis}, {entry.confidence} confidence, {entry.date}")])]
    for title, group, unit in (("peaks (dense)", entry.peaks, "FLOP/s"),
                               ("memory", entry.memory, ""), ("on chip", entry.on_chip, ""),
                               ("power", entry.power, ""), ("scale-up link", entry.scale_up, ""),
                               ("network", entry.scale_out, ""), ("host link", entry.host, ""),
                               ("rent", entry.rent, ""), ("price", entry.price, "")):
        if group is None:
            continue
        pairs = [(key.replace("_", " "), _text(value, unit or _UNITS.get(key, "1")))
                 for key, value in _fields(group).items()]
        sections.append((title, [(k, v) for k, v in pairs if v]))
    if entry.notes:
        sections.append(("notes", [("-", note) for note in entry.notes]))
    return [(title, pairs) for title, pairs in sections if pairs]


def chip_json(entry: ChipFile) -> dict[str, Any]:
    """A chip as plain data, units in the keys."""
    data = plain(entry)
    data["peaks"] = {(f"{k}_flop_per_s" if isinstance(v, float) else k): v
                     for k, v in data["peaks"].items()}
    return data


def plain(entry: Any) -> dict[str, Any]:
    """A record as plain data without its empty fields, units in the keys."""
    def value(of: Any) -> Any:
        if isinstance(of, (list, tuple)):
            return [value(item) for item in of]
        if isinstance(of, (str, int, float, bool)) or of is None:
            return of
        return plain(of)

    return {_SUFFIX.get(key, key): value(content) for key, content in _fields(entry).items()
            if content not in (None, "", (), [], {})}


def _config(name: str) -> dict[str, Any]:
    """The bundled config.json of a model."""
    from ridgeline.files import read_text

    text = read_text(DATA / "models" / f"{name.replace('/', '__')}.json")
    config: dict[str, Any] = json.loads(text)
    return config


def _language(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a config that describes the language model."""
    inner = config.get("text_config")
    return {**config, **inner} if isinstance(inner, dict) else config


def model_row(name: str) -> list[str]:
    """A model as one line of the list, in the fields most configs have."""
    config = _language(_config(name))

    def first(*keys: str) -> str:
        return next((f"{config[k]:,}" for k in keys if isinstance(config.get(k), int)), "")

    return [name, str(config.get("model_type", "")),
            first("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
            first("hidden_size", "n_embd", "d_model"), first("vocab_size")]


def model_entry(name: str) -> dict[str, Any]:
    """A model's name and whole config, for the list."""
    return {"name": name, "config": _config(name)}


def model_sections(name: str) -> Sections:
    """A model in full: counts with reasons, cache, state, layers, config."""
    from ridgeline.cli.catalog_models import model_sections as sections

    return sections(*_loaded(name))


def model_json(name: str) -> dict[str, Any]:
    """The same as data."""
    from ridgeline.cli.catalog_models import model_json as data

    return data(*_loaded(name))


def _loaded(name: str) -> tuple[Architecture, dict[str, Any]]:
    """A model by any name or path that `load_architecture` takes, and its bundled config."""
    from ridgeline.model.load import load_architecture

    found = load_architecture(name)
    file = DATA / "models" / f"{found.name.replace('/', '__')}.json"
    return found, _config(found.name) if file.is_file() else {}


def _fields(entry: Any) -> dict[str, Any]:
    """Field names and values of a dataclass, a record or a mapping."""
    if isinstance(entry, dict):
        return entry
    if dataclasses.is_dataclass(entry):
        return {f.name: getattr(entry, f.name) for f in dataclasses.fields(entry)}
    return {name: getattr(entry, name) for name in entry.__struct_fields__}


def _rate(value: float | None, mark: str = "") -> str:
    return format_si(value, "B")[:-1].strip() + mark if value else ""


def _text(value: Any, unit: str) -> str:
    """A value for reading; nothing for what is absent."""
    if value is None or value == "" or value == () or value is False or value == {}:
        return ""
    if value is True:
        return "yes"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(v, unit) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    if isinstance(value, (int, float)):
        plain_number = unit in ("", "1", "year") or isinstance(value, bool)
        return f"{value:g}" if plain_number and abs(value) < 1e6 else format_si(value, unit)
    if isinstance(value, str):
        return value
    return "; ".join(f"{k.replace('_', ' ')} {_text(v, _UNITS.get(k, '1'))}"
                     for k, v in _fields(value).items() if _text(v, "1"))


def _print(item: Any) -> None:
    """Print within 100 columns; piped output has no width of its own."""
    from rich.console import Console

    columns = shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH
    Console(width=min(columns, WIDTH), highlight=False).print(item)
