"""How a plan's best row came about: its floors, what speculation gains, its price."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, cast

from ridgeline.quantity import format_si

if TYPE_CHECKING:
    from ridgeline.explain.derivation import Derivation
    from ridgeline.questions.plan_ask import Planned
    from ridgeline.search.row import Row
    from ridgeline.search.speculation import Draft

__all__ = ["derivation"]


def derivation(asked: Planned, best: Row) -> tuple[Derivation, ...]:
    """Textbook floors of the best row, the gain of its drafts, and its cost.

    Args:
        asked: the question.
        best: its best row.
    """
    parts = list(_floors(asked, best))
    if asked.requests.draft is not None:
        parts.append(_speculation(asked, best, asked.requests.draft))
    if not math.isnan(best.usd_per_hour):
        parts.append(_cost(asked, best))
    return tuple(parts)


def _floors(asked: Planned, best: Row) -> tuple[Derivation, Derivation]:
    """The textbook's prefill and decode step, each on the pool that does it."""
    from ridgeline.questions.estimate import estimate
    from ridgeline.questions.plan_finalists import scenario_of

    decodes = estimate(scenario_of(asked, best.main.deployment, best.main.machine, best.batch),
                       advice=False)
    prompts = decodes
    if best.prefill is not None:
        prompts = estimate(scenario_of(asked, best.prefill.deployment, best.prefill.machine, 1),
                           advice=False)
    first = cast("Derivation", prompts.derivation[0])
    step = cast("Derivation", decodes.derivation[1])
    return (dataclasses.replace(first, title="Textbook prefill of one prompt (floor of this plan's "
                                             f"TTFT of {format_si(best.ttft, 's')})"),
            dataclasses.replace(step, title=_step_title(asked, best)))


def _step_title(asked: Planned, best: Row) -> str:
    tpot = format_si(best.tpot, "s")
    if asked.requests.draft is None:
        return f"Textbook decode step (floor of this plan's TPOT of {tpot})"
    return (f"Textbook decode step without drafts (this plan's TPOT of {tpot} shares a step among "
            f"{asked.requests.draft.tokens_per_step:.2f} tokens)")


def _speculation(asked: Planned, best: Row, draft: Draft) -> Derivation:
    """What drafting gains on a decode step, at the batch that was planned."""
    from ridgeline.explain.derivation import Given, derive
    from ridgeline.search.rated import replica_of
    from ridgeline.timing.speedups import speculative_speedup

    requests = asked.requests
    undrafted = dataclasses.replace(requests, draft=None)
    replica = replica_of(asked.space.architecture, best.main.shape, undrafted, best.chunk)
    table, n = replica.table, float(best.batch)
    attention = float(table.decode(n, requests.replayed_context))
    plain, verify = (attention + table.fixed + float(table.tokens(rows) + table.logits(rows))
                     for rows in (n, n * (draft.length + 1)))
    cost = 1.0 / replica.architecture.n_layers if draft.cost is None else draft.cost
    return derive(speculative_speedup, {
        "tokens_per_step": Given(draft.tokens_per_step, "assumed", f"acceptance: {draft.source}"),
        "draft_tokens": Given(float(draft.length), "assumed", "draft length"),
        "draft_cost": Given(cost, "assumed", "one layer's share" if draft.cost is None
                            else "given"),
        "verify_cost": Given(verify / plain, "calibrated",
                             f"step of {n * (draft.length + 1):,.0f} tokens over one of {n:,.0f}"),
    }, title=f"Speculative decoding: gain on a decode step of {n:,.0f} sequences")


def _cost(asked: Planned, best: Row) -> Derivation:
    """Price of a million tokens."""
    from ridgeline.economics.token_cost import token_cost
    from ridgeline.explain.derivation import Given, derive

    tokens = best.tokens_per_s * (1 + asked.requests.prompt.mean / asked.requests.mean_output)
    return derive(token_cost, {
        "n_chips": Given(float(best.chips), "derived", "this plan"),
        "usd_per_chip_hour": Given(best.usd_per_hour / best.chips, "measured", "rent"),
        "throughput": Given(tokens, "calibrated", "prompt and output tokens of all replicas"),
        "utilisation": Given(1.0, "assumed", "what is served is sold"),
    }, title="Price of a million tokens, in and out")
