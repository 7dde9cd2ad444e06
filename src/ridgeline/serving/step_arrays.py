"""A StepTable as the flat array that the compiled loop looks up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ridgeline.serving import layout as at
from ridgeline.serving.compiled import plain
from ridgeline.serving.loop_ranks import captured
from ridgeline.serving.scheduler import Scheduler
from ridgeline.timing.step_table import StepTable

__all__ = ["StepArrays", "flatten_table"]

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class StepArrays:
    """Step times, flat.

    Attributes:
        values: everything, one part after another; the first part is by all tokens of a step.
        places: (offset or size name in `layout`, value) for the state of a replica.
    """

    values: Array
    places: tuple[tuple[int, int], ...]


def flatten_table(table: StepTable, scheduler: Scheduler) -> StepArrays:
    """Evaluate the parts that depend on whole numbers at each of them, keep the grids of the rest.

    Exact: between its knots a StepTable is linear, and so are the look-ups of the loop. Of several
    ranks the parts are by tokens and sequences of one rank, but for what all work on together,
    which is by the tokens of all; loads that are even take as long as the table says.

    Args:
        table: step times of the deployment, all ranks together.
        scheduler: how many tokens and sequences a step can have.
    """
    ranks = scheduler.ranks.count
    rows = ranks * np.arange(scheduler.sequences + 1, dtype=float)
    verified = scheduler.sequences * (1 + scheduler.drafts)
    most = max(scheduler.token_budget, verified)
    if ranks > 1:       # a captured graph can be larger than the fullest step
        most = max(most, plain(captured)(min(most, scheduler.ranks.pad_to)))
    counts = ranks * np.arange(most + 1, dtype=float)
    tokens, together = _by_tokens(table, scheduler, counts)
    logits = table.logits.at(counts)
    logits[0] = 0.0
    contexts = np.asarray(table.decode.y, float)
    grid = np.broadcast_to(rows[:, None], (len(rows), len(contexts)))
    lengths = np.broadcast_to(contexts[None, :], grid.shape)
    decode = table.decode.at(grid, lengths)
    past, prompts = np.asarray(table.prefill.y, float), np.asarray(table.prefill.values, float)
    if len(past) == 1:      # no dependence on the past: two equal columns
        past, prompts = np.array([0.0, 1.0]), np.repeat(prompts, 2, axis=1)
    parts = [tokens, logits, decode.ravel(), contexts, np.asarray(table.prefill.x, float), past,
             prompts.ravel(), together,
             scheduler.speculation.chances if scheduler.speculation else np.zeros(0)]
    if table.mixed is not None:
        parts.append(table.mixed.at(grid, lengths).ravel())
    starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    places = zip((at.LOGIT_AT, at.DECODE_AT, at.CONTEXT_AT, at.CHUNK_AT, at.PAST_AT, at.PROMPT_AT,
                  at.SHARED_AT, at.ACCEPT_AT),
                 (int(start) for start in starts[1:9]), strict=True)
    mixed = int(starts[2] if table.mixed is None else starts[9])
    sizes = ((at.MIXED_AT, mixed), (at.CONTEXTS, len(contexts)), (at.CHUNKS, len(parts[4])),
             (at.PASTS, len(past)))
    return StepArrays(np.ascontiguousarray(np.concatenate(parts)), (*places, *sizes))


def _by_tokens(table: StepTable, scheduler: Scheduler, counts: Array) -> tuple[Array, Array]:
    """Time by tokens: a rank's own at each of `counts`, and what all do at once at 0, 1, ..."""
    if scheduler.ranks.count == 1:
        return table.fixed + table.tokens.at(counts), np.zeros(0)
    share = scheduler.ranks.share
    own = table.tokens.at(counts) * (1 - share(counts))
    own[0] = 0.0
    every = np.arange(counts[-1] + 1)
    return own, table.fixed + table.tokens.at(every) * share(every)
