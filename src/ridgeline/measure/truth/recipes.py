"""How the engines of measured rows were launched, where their benchmark published its scripts."""

from __future__ import annotations

import datetime
import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from ridgeline.catalog import load_chip

__all__ = ["UNPUBLISHED", "Recipe", "recipe_of"]

# Only this protocol's runs come from the scripts that recipes.toml was read off.
_PROTOCOL = "inferencex"
_CONDITIONS = ("engine", "model", "weights", "chips", "tp_at_most", "copies_at_least", "prompt",
               "output", "load_at_least", "since", "before", "versions", "image")


@dataclass(frozen=True)
class Recipe:
    """Launch settings that a measured row does not state.

    Attributes:
        known: whether a published script says so; the rest are defaults where it does not.
        kv: number format of the cache; None: the engine's default.
        memory_fraction: share of device memory; None: the engine's default.
        budget: tokens of a step; None: the engine's default.
        budget_prompts: tokens of a step as a multiple of the prompt; 0: not used.
        budget_load: tokens a request beside one prompt and 64 that the budget grows to hold; 0:
            it does not grow.
        sequences: sequences in a step at most; None: no limit that binds.
        stream: tokens gathered for a first message; 0 where a first token is sent at once.
        poll: decode steps between looks at new requests, for fewer than 16 requests and for more.
        layout: how a script spreads the model whatever the table says: "tp" (attention and experts
            over all devices), "ep" (whole experts instead), "dp+ep" (whole experts wherever
            attention has copies); "" as the table says.
        graphs: tokens of the largest captured graph; None: the engine's default.
        wait: decode steps that prompts wait for others to fill a step, at most.
        fill: share of a step's tokens at which they no longer wait; 0: once each attention copy
            has a prompt.
        drafts: tokens that the model's own heads draft a step.
    """

    known: bool = False
    kv: str | None = None
    memory_fraction: float | None = None
    budget: int | None = None
    budget_prompts: float = 0.0
    budget_load: int = 0
    sequences: int | None = None
    stream: int = 0
    poll: tuple[int, int] = (0, 0)
    layout: str = ""
    graphs: int | None = None
    wait: int = 0
    fill: float = 1.0
    drafts: int = 0

    @property
    def speculation(self) -> str:
        """Name of the way tokens are drafted, "" where none are."""
        return f"mtp{self.drafts}" if self.drafts else ""

    def token_budget(self, prompt: int, concurrency: int) -> int | None:
        """Tokens of one step, in steps of 512 so that like runs share their tables."""
        if self.budget_prompts:
            return max(int(self.budget_prompts * prompt), 2048)
        if self.budget_load and self.budget is not None:
            need = -(-(prompt + self.budget_load * concurrency + 64) // 512) * 512
            return max(self.budget, need)
        return self.budget

    def poll_steps(self, concurrency: float) -> int:
        """Steps between looks at new requests."""
        return self.poll[concurrency >= 16]


UNPUBLISHED = Recipe()


def recipe_of(row: Mapping[str, Any], version: str, tp: int, copies: int, concurrency: float
              ) -> Recipe:
    """The recipe of a row of a serving-latency table; defaults where none is published.

    Args:
        row: the table's row.
        version: of the engine.
        tp, copies: tensor-parallel degree and attention copies of the pool.
        concurrency: requests in flight.
    """
    if row["protocol"] != _PROTOCOL:
        return UNPUBLISHED
    for entry in _entries():
        if _holds(entry, row, version) and _holds_sizes(entry, row, tp, copies, concurrency):
            facts = {k: v for k, v in entry.items() if k not in _CONDITIONS}
            facts["poll"] = tuple(facts.get("poll", (0, 0)))
            return Recipe(known=True, **facts)
    return UNPUBLISHED


@functools.cache
def _entries() -> list[dict[str, Any]]:
    text = (resources.files("ridgeline.measure.truth") / "recipes.toml").read_text("utf-8")
    return list(tomllib.loads(text)["recipe"])


def _holds(entry: Mapping[str, Any], row: Mapping[str, Any], version: str) -> bool:
    formats = {str(row.get(name) or "") for name in ("gemm_quant_mode", "moe_quant_mode",
                                                     "precision")}
    measured = _measured(row)
    return (entry["engine"] == row["backend"]
            and entry["model"] in str(row["model_path"]).lower()
            and ("weights" not in entry or bool(formats & _words(entry["weights"])))
            and ("chips" not in entry or bool({_chip(row), _architecture(row)}
                                              & set(entry["chips"])))
            and ("since" not in entry or (measured is not None and measured >= entry["since"]))
            and ("before" not in entry or (measured is not None and measured < entry["before"]))
            and ("versions" not in entry or version.startswith(tuple(entry["versions"])))
            and str(row.get("silicon_data_source") or "").endswith(entry.get("image", "")))


def _holds_sizes(entry: Mapping[str, Any], row: Mapping[str, Any], tp: int, copies: int,
                 concurrency: float) -> bool:
    return bool(tp <= entry.get("tp_at_most", tp)
            and copies >= entry.get("copies_at_least", 1)
            and concurrency >= entry.get("load_at_least", 0)
            and int(row["isl"]) == entry.get("prompt", int(row["isl"]))
            and int(row["osl"]) == entry.get("output", int(row["osl"])))


_WORDS = {"bf16": ("bf16", "bfloat16"), "nvfp4": ("nvfp4", "fp4"), "fp8": ("fp8", "fp8_block")}


def _words(weights: list[str]) -> set[str]:
    """How tables write the formats."""
    return {word for name in weights
            for word in _WORDS.get(name, (name,))}


def _chip(row: Mapping[str, Any]) -> str:
    return load_chip(str(row["system"])).name


def _architecture(row: Mapping[str, Any]) -> str:
    return load_chip(str(row["system"])).architecture


def _measured(row: Mapping[str, Any]) -> datetime.date | None:
    """When the run was made, where its source says."""
    text = str(row.get("silicon_data_source") or "")
    found = (re.search(r"measured=(\d{4}-\d{2}-\d{2})", text)
             or re.search(r"date=(\d{4}-\d{2}-\d{2})", text))
    return datetime.date.fromisoformat(found[1]) if found else None
