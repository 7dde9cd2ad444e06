"""Speculative decoding in the simulator's loop: drafts verified together, accepted by position.

Each step verifies `DRAFTS` drafted tokens and makes one of its own for every sequence: the time is
that of a step with so many tokens and logits, plus the drafting. How many drafts are accepted is
drawn for each sequence and step, from the request's number and the tokens made so far, so that it
does not depend on the schedule. Steps differ, so they are taken one by one.

Compiled together with `loop`; see `layout` for the arrays.
"""

from __future__ import annotations

from ridgeline.serving import layout as at
from ridgeline.serving.compiled import compiled
from ridgeline.serving.loop_parts import decode_seconds, heap_up, record_gap
from ridgeline.serving.loop_prefix import trim
from ridgeline.serving.loop_sequences import due_phase, preempt_last

# As seen without a compiler; arrays otherwise.
Ints = list[int]
Floats = list[float]

_MASK = 0x7FFFFFFF


@compiled
def drawn(seed: int, who: int, made: int) -> float:
    """A number in [0, 1) that depends on these three alone."""
    z = (seed * 0x9E3779B1 + who * 0x85EBCA6B + made * 0xC2B2AE35 + 0x27D4EB2F) & _MASK
    for _ in range(2):
        z = ((z ^ (z >> 15)) * 0x2C1B3C6D) & _MASK
        z = ((z ^ (z >> 12)) * 0x297A2D39) & _MASK
    z = z ^ (z >> 15)
    return z / 2147483648.0


@compiled
def drafts_room(n: Ints, slot: Ints, who: int) -> int:
    """Blocks that a decoding sequence lacks for its next token and the drafts behind it."""
    i = who * at.SLOT
    if slot[i + at.PLACE] < 0:
        return 0
    left = slot[i + at.ENDS] - n[at.STEP]
    tokens = slot[i + at.LENGTH] + n[at.STEP] - slot[i + at.BEGAN] + min(left, n[at.DRAFTS] + 1)
    return max(0, (tokens + n[at.BLOCK] - 1) // n[at.BLOCK] - slot[i + at.HELD])


@compiled
def make_draft_room(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats, key: Floats,
                    queue: Ints) -> None:
    """Take the blocks of the next step's drafts, preempting the last to join as needed."""
    need, who = 0, n[at.LAST]
    while who >= 0:
        need += drafts_room(n, slot, who)
        who = slot[who * at.SLOT + at.BEFORE]
    while need > n[at.FREE]:
        need -= drafts_room(n, slot, n[at.LAST])
        preempt_last(n, x, slot, job, when, key, queue)
    who = n[at.LAST]
    while who >= 0:
        slot[who * at.SLOT + at.HELD] += drafts_room(n, slot, who)
        who = slot[who * at.SLOT + at.BEFORE]
    n[at.FREE] -= need
    trim(n, slot)


@compiled
def drafting_seconds(n: Ints, x: Floats, table: Floats, batch: int, context: float) -> float:
    """Time of drafting for a batch, in shares of a plain decode step [s]."""
    plain = (table[batch] + table[n[at.LOGIT_AT] + batch]
             + decode_seconds(n, table, batch, context, 0))
    return n[at.DRAFTS] * x[at.DRAFT_COST] * plain


@compiled
def accept(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats, table: Floats,
           hist: Floats) -> None:
    """Every decoding sequence gets its next token and the drafts accepted, at the step's end."""
    who = n[at.LAST]
    while who >= 0:
        i = who * at.SLOT
        if slot[i + at.PLACE] >= 0:
            request = slot[i + at.WHO]
            made = job[request * at.JOB + at.MADE] + n[at.STEP] - slot[i + at.BEGAN]
            u, extra = drawn(n[at.SEED], request, made), 0
            most = min(n[at.DRAFTS], slot[i + at.ENDS] - n[at.STEP] - 1)
            while extra < most and u < table[n[at.ACCEPT_AT] + extra]:
                extra += 1
            record_gap(hist, x[at.NOW] - when[request * at.WHEN + at.END], 1)
            record_gap(hist, 0.0, extra)
            when[request * at.WHEN + at.END] = x[at.NOW]
            n[at.OUTPUT_TOKENS] += 1 + extra
            n[at.VERIFIED] += 1
            if extra > 0:
                n[due_phase(n, slot, who)] -= 1
                slot[i + at.BEGAN] -= extra
                slot[i + at.ENDS] -= extra
                n[at.BASE] += extra
                n[due_phase(n, slot, who)] += 1
                heap_up(n, slot, slot[i + at.PLACE])
        who = slot[who * at.SLOT + at.BEFORE]
