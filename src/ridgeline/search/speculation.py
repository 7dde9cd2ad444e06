"""Speculative decoding as a change of a deployment's step times.

A step verifies g drafted tokens of every sequence and yields E tokens of it on average, so a
token takes

    t = (t_verify + g c t_plain) / E

with t_verify a step of g + 1 tokens a sequence (the cache is read once for all of them), and c the
time of one draft over that of a plain step.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ridgeline.errors import BadInput, UnknownName
from ridgeline.serving.deployed import Deployed
from ridgeline.timing.speedups import speculative_tokens_by_position
from ridgeline.timing.step_table import Grid, StepTable

__all__ = ["Draft", "DraftedDeployed", "drafted_table", "read_draft"]

_DATA = Path(__file__).with_name("acceptance.toml")
_LONGEST = 64


@dataclass(frozen=True)
class Draft:
    """How tokens are drafted.

    Attributes:
        length: tokens drafted for each verification, g.
        tokens_per_step: tokens a verification yields on average, E, from 1 to g + 1.
        cost: time of one draft over that of a plain step; None: one layer's share, as for the
            one-layer heads of EAGLE and multi-token prediction.
        source: where E came from.
    """

    length: int
    tokens_per_step: float
    cost: float | None = None
    source: str = "given"


@dataclass(frozen=True)
class DraftedDeployed(Deployed):
    """A replica that speculates."""

    draft: Draft = dataclasses.field(default_factory=lambda: Draft(0, 1.0))

    @functools.cached_property
    def plain(self) -> Deployed:
        """The same replica without drafts."""
        return Deployed(self.architecture, self.deployment, self.cluster, self.formats,
                        self.max_context)

    @functools.cached_property
    def table(self) -> StepTable:
        """Step times in which a decoding step stands for one token of each sequence."""
        return self.stepped(self.plain.table)

    @functools.cached_property
    def shared(self) -> Grid:
        """As of the replica without drafts."""
        return self.plain.shared

    def stepped(self, table: StepTable) -> StepTable:
        """A table of plain steps, or of a component of them, with drafts."""
        cost = self.draft.cost
        return drafted_table(table, self.draft,
                             1.0 / self.architecture.n_layers if cost is None else cost)


def drafted_table(table: StepTable, draft: Draft, cost: float) -> StepTable:
    """The table with decoding as in this module's formula; steps with prompts are as before.

    Args:
        table: plain steps.
        draft: length and tokens a step.
        cost: time of one draft over that of a plain step.
    """
    n, wider = table.decode.x, table.decode.x * (draft.length + 1)
    around = (table.fixed + table.tokens.at(n) + table.logits.at(n))[:, None]
    plain = table.decode.values + around
    verify = table.decode.values + (table.fixed + table.tokens.at(wider)
                                    + table.logits.at(wider))[:, None]
    each = (verify + draft.length * cost * plain) / draft.tokens_per_step
    # Whatever decoding does not pay by its own column is paid by the others: only sums count.
    return dataclasses.replace(table, decode=Grid(n, table.decode.y, np.asarray(each - around)))


def read_draft(length: int | None, acceptance: str | None, cost: float | None = None
               ) -> Draft | None:
    """Read a draft length with an acceptance.

    Args:
        length: tokens drafted, or None.
        acceptance: one probability ("0.8"), one for each position ("0.8,0.7,0.6"), or the name of
            a measured table ("kimi-k2.5-eagle3").
        cost: of one draft over a plain step.

    Raises:
        BadInput: one without the other, or numbers out of range.
        UnknownName: no such table.
    """
    if length is None and acceptance is None:
        if cost is not None:
            raise BadInput("a draft cost needs a draft length and an acceptance")
        return None
    if length is None or acceptance is None:
        raise BadInput("speculative decoding needs both a draft length and an acceptance, such as "
                       "--draft-length 4 --acceptance 0.8")
    if not 1 <= length <= _LONGEST:
        raise BadInput(f"the draft length must be from 1 to {_LONGEST}, not {length}")
    if cost is not None and not (math.isfinite(cost) and 0 <= cost <= 1):
        raise BadInput(f"the draft cost must be between 0 and 1 of a plain step, not {cost:g}")
    if acceptance[:1].isalpha():
        return _measured(length, acceptance, cost)
    shares = _shares(acceptance)
    # Positions beyond those given are accepted like the last.
    shares = (shares + [shares[-1]] * length)[:length]
    return Draft(length, float(speculative_tokens_by_position(acceptance_by_position=shares)), cost)


def _shares(text: str) -> list[float]:
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(f"acceptance {text!r} is neither probabilities nor the name of a measured "
                       "table; write 0.8 or 0.8,0.7,0.6") from None
    if not all(0 <= share <= 1 for share in shares):
        raise BadInput(f"acceptance must be between 0 and 1, not {text}")
    return shares


def _measured(length: int, name: str, cost: float | None) -> Draft:
    tables = tomllib.loads(_DATA.read_text(encoding="utf-8"))["table"]
    if name not in tables:
        raise UnknownName.among("acceptance table", name, tables,
                                "Known: " + ", ".join(sorted(tables)))
    row = tables[name]
    if length > len(row["tokens_per_step"]):
        raise BadInput(f"{name} was measured up to {len(row['tokens_per_step'])} drafted tokens, "
                       f"not {length}")
    return Draft(length, row["tokens_per_step"][length - 1], cost, row["source"])
