"""Timing layer 3: what an engine adds to the kernels, and how it fills a step.

Constants are fitted by `ridgeline calibrate` on measured deployments and kept in
data/engines.json, one entry an engine and version band.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from dataclasses import dataclass
from typing import Any

from ridgeline.errors import UnknownName

__all__ = ["EngineCosts", "engine_costs", "version_key"]


@dataclass(frozen=True)
class EngineCosts:
    """Time an engine spends beyond its kernels.

    Attributes:
        request: once a request: tokenisation, scheduling, the way to the client [s].
        step: once a step: scheduler, sampling, launch of the graph [s].
        layer: once a layer and step: gaps between kernels [s].
        sequence: once a running sequence and step [s].
        token: once a prompt token [s].
        hidden_network: share of collectives' time that overlaps with compute, 0 to 1.
        prompts: "mixed" or "first", how prompts share steps with decoding (see serving).
        kernels: factor on kernel times by kind of op ("matmul", "attention", ...), for what the
            kernel tables do not see (other kernels, cold caches).
    """

    request: float = 0.0
    step: float = 0.0
    layer: float = 0.0
    sequence: float = 0.0
    token: float = 0.0
    hidden_network: float = 0.0
    prompts: str = "mixed"
    kernels: tuple[tuple[str, float], ...] = ()

    def factor(self, kind: str) -> float:
        """Factor on the kernels of a kind; the roofline stays the floor whatever it is."""
        return dict(self.kernels).get(kind, 1.0)


def version_key(text: str) -> tuple[int, ...]:
    """Numbers of a version for comparing bands; an unknown version counts as the newest.

    >>> version_key("0.5.9.post1") < version_key("0.5.10") < version_key("")
    True
    """
    numbers: list[int] = []
    for part in text.lstrip("v").split("."):
        digits = "".join(c for c in part if c.isdigit()) if part[:1].isdigit() else ""
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers) or (10**9,)


@functools.cache
def _bands() -> dict[str, list[dict[str, Any]]]:
    file = importlib.resources.files("ridgeline.timing") / "data" / "engines.json"
    loaded: dict[str, list[dict[str, Any]]] = json.loads(file.read_text())["engines"]
    return loaded


def engine_costs(engine: str, version: str = "") -> EngineCosts:
    """The costs of an engine: of the newest band that is not newer than the version.

    Raises:
        UnknownName: no such engine.
    """
    bands = _bands()
    if engine not in bands:
        raise UnknownName.among("engine", engine, bands)
    wanted = version_key(version)
    fitting = [b for b in bands[engine] if version_key(b["since"]) <= wanted]
    chosen = (fitting or bands[engine][:1])[-1]
    fields = {k: v for k, v in chosen.items() if k in EngineCosts.__dataclass_fields__}
    fields["kernels"] = tuple(sorted(chosen.get("kernels", {}).items()))
    return EngineCosts(**fields)
