"""Rebuild the shipped constants of searches from the shipped rows:

    python -m ridgeline.measure.retrieval.refit FILE.json
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ridgeline.measure.retrieval.constants import fit_constants, write_constants
from ridgeline.measure.truth.reader import read_table
from ridgeline.retrieval.cpu_time import CpuConstants, shipped_constants

__all__ = ["read_passes", "read_searches", "refit"]

_SETTINGS = ("nlist", "nprobe", "segments", "hnsw_m", "ef")


def read_searches(path: str | Path) -> list[dict[str, Any]]:
    """Measured searches of a truth table, as the fit takes them."""
    rows = []
    for row in read_table(path).dicts():
        found = {**row, **{name: row.get(name) or 0.0 for name in _SETTINGS}}
        found |= {"query_s": row["query_us"] * 1e-6, "visited": float(row["vectors_compared"]),
                  "train_s": row["build_s"], "add_s": 0.0}
        rows.append(found)
    return rows


def read_passes(path: str | Path) -> list[dict[str, Any]]:
    """Measured passes of encoders of a truth table, as the fit takes them."""
    return [{**row, "pass_s": row["texts"] * row["tokens"] / row["encoded_tokens_per_s"]}
            for row in read_table(path).dicts()]


def refit() -> CpuConstants:
    """The shipped constants, from the shipped rows."""
    from ridgeline.truth_data import shipped_file

    now = shipped_constants()
    return fit_constants(read_searches(shipped_file("retrieval.csv.xz")),
                         read_passes(shipped_file("encoder.csv.xz")), cpu=now.cpu,
                         l3_bytes=now.l3_bytes, source=now.source)


if __name__ == "__main__":
    write_constants(refit(), sys.argv[1])
