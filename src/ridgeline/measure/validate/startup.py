"""Memory that an engine's start-up log tells: rows of `ridgeline measure read LOG --to FILE`."""

from __future__ import annotations

import re
from typing import Any

from ridgeline.errors import BadInput
from ridgeline.measure.validate.prediction import Interval

__all__ = ["PHASE", "startup_memory"]

PHASE = "startup"
_KEYS = {"tp": ("tp", int), "pp": ("pp", int), "seqs": ("max_num_seqs", int),
         "budget": ("max_num_batched_tokens", int), "context": ("context", int),
         "fraction": ("memory_fraction", float), "version": ("engine_version", str)}


def startup_memory(row: dict[str, Any]) -> Interval:
    """Weights or KV cache of one device, by the rules of the engine.

    Raises:
        BadInput: a quantity that is neither, or a deployment that cannot be.
    """
    from ridgeline.questions.performance import deployed_of
    from ridgeline.questions.resolve import resolve
    from ridgeline.scenario import Scenario

    stated = dict(re.findall(r"(\w+)=(\S+)", row["config"]))
    fields = {name: kind(stated[key]) for key, (name, kind) in _KEYS.items() if key in stated}
    scenario = Scenario.from_fields({
        "model": row["model"], "machine": f"{int(row['n_gpus'] or 1)}x{row['gpu']}",
        "weights": row["weight_dtype"], "engine": row["framework"], **fields})
    foot = deployed_of(resolve(scenario)).footprint
    if row["quantity"] == "weights":
        return Interval(foot.weights)
    if row["quantity"] == "KV cache":
        pool = foot.kv_pool_quantity
        return Interval(pool.value, pool.low, pool.high)
    raise BadInput(f"a start-up log tells weights and KV cache, not {row['quantity']!r}")
