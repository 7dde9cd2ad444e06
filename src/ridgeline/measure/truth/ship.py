"""Makes the shipped truth from full tables: whole systems whole, kernel tables compacted.

    python -m ridgeline.measure.truth.ship TABLE... --to FOLDER

A kernel table is compacted by its family's own rule (`compact` in `ridgeline.measure.fit`), so
that the shipped constants can be refitted from what is shipped; a table without such a rule is
thinned by a hash of each row's shape. The same tables give the same bytes.
"""

from __future__ import annotations

import csv
import hashlib
import importlib
import io
import lzma
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ridgeline.measure.truth.reader import Table, read_table

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

# Schema -> module with `compact(rows) -> rows`, where its family has one.
COMPACT = {
    "gemm": "ridgeline.measure.fit.gemm", "moe": "ridgeline.measure.fit.moe",
    "elementwise": "ridgeline.measure.fit.elementwise",
    "quantize": "ridgeline.measure.fit.elementwise",
    "attention_module": "ridgeline.measure.fit.attention_module",
    "attention_prefill": "ridgeline.measure.fit.attention",
    "attention_decode": "ridgeline.measure.fit.attention",
    "mla": "ridgeline.measure.fit.mla", "mla_bmm": "ridgeline.measure.fit.mla",
    "linear_attention": "ridgeline.measure.fit.linear_attention",
    "collective": "ridgeline.measure.fit.collective", "ep_a2a": "ridgeline.measure.fit.collective",
}
KEEP_ROWS = 20_000  # of a table without a rule of its own
_NOT_SHIPPED = ("config_source", "published_source", "recount_from_config", "power_w")


def ship(path: str | Path, folder: str | Path) -> Path:
    """Write the compact form of one table and return its file."""
    from ridgeline.files import write_atomically

    table = read_table(path)
    columns = dict(table.columns)
    if table.schema.family == "kernel":
        columns = compacted(table)
    name = table.schema.name
    if name == "serving_latency" and "partial" in Path(path).name:
        name = "serving_latency_partial"
    text = to_csv({c: v for c, v in columns.items() if c not in _NOT_SHIPPED})
    raw = lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)
    return write_atomically(Path(folder) / f"{name}.csv.xz", raw)


def compacted(table: Table) -> dict[str, Array]:
    """The rows of a kernel table that are shipped."""
    rule = _rule(table.schema.name)
    if rule is not None:
        return dict(rule(dict(table.columns)))
    return dict(table.take(shape_sample(table, KEEP_ROWS)).columns)


def _rule(kind: str) -> Callable[[dict[str, Array]], Mapping[str, Array]] | None:
    """The family's own rule, None where it has none."""
    if kind not in COMPACT:
        return None
    found: Callable[[dict[str, Array]], Mapping[str, Array]] = importlib.import_module(
        COMPACT[kind]).compact
    return found


def shape_sample(table: Table, most: int) -> Array:
    """Mask of about `most` rows chosen by a hash of their shape, whatever their time."""
    import numpy as np

    if len(table) <= most:
        return np.ones(len(table), bool)
    limit = int(most / len(table) * 2**32)
    digests = (hashlib.blake2b(name.encode(), digest_size=4).digest()
               for name in table.ids(np.arange(len(table))))
    return np.array([int.from_bytes(d, "big") < limit for d in digests])


def to_csv(columns: Mapping[str, Array]) -> str:
    """Columns as CSV text; whole numbers without a point, empty cells for NaN and for columns
    that hold nothing at all left out.
    """
    kept = {c: _texts(v) for c, v in columns.items()}
    kept = {c: v for c, v in kept.items() if any(v)}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(kept)
    writer.writerows(zip(*kept.values(), strict=True))
    return out.getvalue()


def _texts(values: Array) -> list[str]:
    if values.dtype == object or values.dtype.kind == "U":
        return [str(v) for v in values]
    return ["" if v != v else str(int(v)) if v == int(v) else repr(v)
            for v in values.astype(float).tolist()]


def main(arguments: Sequence[str]) -> None:
    """Ship every table named, to the folder after --to, which must exist."""
    at = list(arguments).index("--to")
    for path in arguments[:at]:
        written = ship(path, arguments[at + 1])
        print(f"{written} {written.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
