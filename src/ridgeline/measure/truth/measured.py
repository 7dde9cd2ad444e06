"""The measured values of a table in SI units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ridgeline.measure.truth.reader import Table

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


def measured(table: Table) -> dict[str, Array]:
    """Measured values by metric, NaN where a row has none or where it is not above zero."""
    import numpy as np

    out = {m.metric: table.columns[m.column] * m.scale for m in table.schema.measures}
    if table.schema.name == "memory":
        out["memory"] = _memory(table, out["memory"])
    return {metric: np.where(values > 0, values, np.nan) for metric, values in out.items()}


def _memory(table: Table, certain: Array) -> Array:
    """Memory in bytes: the GiB column where the unit is certain, else the figure as reported.

    A bare "GB" is read as GiB, as the tools behind these tables count: in 1e9 bytes the weights
    of Qwen-7B alone (15.4) would already exceed its published peak (15.2).
    """
    import numpy as np

    if "value_gb_as_reported" not in table.columns:
        return certain
    units = table.columns["unit_as_reported"]
    scale = np.array([1e9 if "1e9" in u else 2.0**30 for u in units])
    reported = np.array([_number(t) for t in table.columns["value_gb_as_reported"]])
    usable = np.array([u.startswith(("GB", "GiB")) for u in units])
    return np.where(np.isfinite(certain), certain, np.where(usable, reported * scale, np.nan))


def _number(text: str) -> float:
    """A reported figure; "OOM" and the like are no number."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
