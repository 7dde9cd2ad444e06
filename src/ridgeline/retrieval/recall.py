"""Recall of an approximate search: measured values of the nearest settings, never a formula."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ridgeline.quantity import Quantity
from ridgeline.retrieval.cpu_time import CpuConstants
from ridgeline.retrieval.index_plan import IndexPlan

__all__ = ["expected_recall"]

# How much a factor of e in each setting tells recalls apart, against the others.
_WEIGHTS = {"effort": 1.0, "lists": 0.5, "bits": 2.0, "n": 0.25, "dim": 0.25}
_NEAREST = 6
# Further than this from every measured setting, nothing is said.
_FARTHEST = 2.5


def expected_recall(plan: IndexPlan, constants: CpuConstants) -> Quantity | None:
    """Recall at 10 of the measured indexes nearest to a plan.

    Returns:
        mean over the nearest with their least and greatest value; exact for a flat index of
        fp32 vectors; None when nothing near was measured.
    """
    kind = "sq8" if plan.kind == "flat" and plan.compression == "int8" else plan.kind
    if kind == "flat":
        exact = plan.compression in ("fp32", "fp16")
        return Quantity.exact(1.0, "1", "derived") if exact else None
    mine = _settings(plan.n, plan.dim, plan.nlist, plan.nprobe, plan.segments, plan.ef)
    near = sorted((_distance(mine, _row_settings(r)), float(r["recall"])) for r in constants.recall
                  if r["index"] == kind and r["data"] == plan.data)[:_NEAREST]
    if not near or near[0][0] > _FARTHEST:
        return None
    weights = [1 / (0.05 + d) ** 2 for d, _ in near]
    mean = sum(w * v for w, (_, v) in zip(weights, near, strict=True)) / sum(weights)
    values = [v for _, v in near]
    return Quantity(mean, min(values), max(values), "1", "measured")


def _row_settings(row: Mapping[str, Any]) -> dict[str, float]:
    return _settings(row["n"], row["dim"], row["nlist"], row["nprobe"], row["segments"],
                     row["ef"])


def _settings(n: float, dim: float, nlist: float, nprobe: float, segments: float, ef: float
              ) -> dict[str, float]:
    """What recall follows, in logs: share probed or beam, bits a number, sizes."""
    effort = nprobe if nlist else ef
    return {"effort": math.log(effort) if effort else 0.0,
            "lists": math.log(nlist) if nlist else 0.0,
            "bits": math.log(8 * segments / dim) if segments else 0.0,
            "n": math.log(n), "dim": math.log(dim)}


def _distance(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    return math.sqrt(sum(w * (a[name] - b[name]) ** 2 for name, w in _WEIGHTS.items()))
