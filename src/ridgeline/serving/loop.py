"""The simulator's inner loop: one replica's scheduler, step by step, jumping over equal steps.

Each step hands out a budget of tokens: one to every decoding sequence, the rest to the prompt
under way, then to waiting requests in order. When a sequence needs a KV block and none is free,
the sequence that joined last gives its blocks back and starts over later (prompt and tokens made
so far are read again). There is no other notion of a prefill or decode phase (vLLM V1); with
`MIXED` off, prompts run in steps of their own while decoding waits (SGLang); with `STATIC` on, a
batch admits nobody from its first decode step until its last sequence is done. With `OVERLAP` on,
a step is decided as the one before it begins: who arrives or leaves meanwhile counts a step later.

While nobody arrives, joins or leaves, steps differ only by their growing context, along which
their time is piecewise linear: their sum is taken at once, exactly.
"""

from __future__ import annotations

import math

from ridgeline.serving import layout as at
from ridgeline.serving.compiled import compiled, entry
from ridgeline.serving.loop_parts import (
    cell,
    decode_seconds,
    record_gap,
    waiting_first,
    waiting_pop,
)
from ridgeline.serving.loop_prefix import trim
from ridgeline.serving.loop_record import (
    count_gaps,
    delayed,
    pass_time,
    record_ramp,
    steps_before,
)
from ridgeline.serving.loop_sequences import (
    admissible,
    admit,
    continue_prompt,
    finish_due,
    join_finished_prompts,
    make_room,
)
from ridgeline.serving.loop_speculative import (
    accept,
    drafting_seconds,
    make_draft_room,
)

# As seen without a compiler; arrays otherwise.
Ints = list[int]
Floats = list[float]


@compiled
def seats(n: Ints) -> int:
    """How many more sequences may join now."""
    if n[at.STATIC] and n[at.STARTED]:
        return 0
    taken = n[at.RUNNING] + n[at.JOINED] + n[at.PAD] + (1 if n[at.PARTIAL] >= 0 else 0)
    return n[at.SEQS] - taken - n[at.LATE_SEATS]


@compiled
def settle(n: Ints) -> int:
    """A step is decided: what earlier ones gave back counts from now on; how many seats it was."""
    seats_back = n[at.LATE_SEATS]
    n[at.LATE_SEATS] = n[at.LATE_BLOCKS] = 0
    return seats_back


@compiled
def read_prompts(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats, table: Floats,
                 key: Floats, queue: Ints, budget: int) -> float:
    """Hand prompts the tokens of a step that decoding leaves; what their attention takes [s]."""
    last = n[at.PROMPT_TOKENS] + budget
    seconds = 0.0
    if n[at.PARTIAL] >= 0:
        seconds += continue_prompt(n, x, slot, job, when, key, queue, table, budget)
    while n[at.PROMPT_TOKENS] < last and n[at.PARTIAL] < 0 and not n[at.PREEMPTED] and seats(n) > 0:
        who = waiting_first(n, x, job, when, key, queue)
        left = last - n[at.PROMPT_TOKENS]
        if who < 0 or not admissible(n, x, slot, job, who, left):
            break
        waiting_pop(n, job, key, queue, who)
        seconds += admit(n, x, slot, job, when, table, who, left)
    return seconds


@compiled
def mixed_tokens(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats, table: Floats,
                 hist: Floats, batch: int) -> None:
    """Decoding sequences have their tokens of a step that reads prompts too, which ends now."""
    if n[at.DRAFTS] > 0:
        accept(n, x, slot, job, when, table, hist)
    elif batch > 0:
        record_gap(hist, x[at.NOW] - x[at.SINCE], batch)
        n[at.OUTPUT_TOKENS] += batch
    n[at.STEP] += 1
    x[at.SINCE] = x[at.NOW]


@compiled
def prompt_step(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats, table: Floats,
                hist: Floats, trace: Floats, key: Floats, queue: Ints) -> bool:
    """One step that reads prompts, and decodes too when mixed; False when no prompt can be read."""
    batch = n[at.RUNNING] if n[at.MIXED] else 0
    rows = batch * (1 + n[at.DRAFTS])
    before = n[at.PROMPT_TOKENS]
    seconds = read_prompts(n, x, slot, job, when, table, key, queue, n[at.BUDGET] - rows)
    new = n[at.PROMPT_TOKENS] - before
    if new == 0:
        return False
    settle(n)
    seconds += table[new + rows] + table[n[at.LOGIT_AT] + rows + n[at.JOINED]]
    if batch > 0:
        context = n[at.BASE] / batch + n[at.STEP] + 1
        seconds += decode_seconds(n, table, batch, context, new)
        if n[at.DRAFTS] > 0:
            seconds += drafting_seconds(n, x, table, batch, context)
    pass_time(n, x, trace, delayed(x, seconds * x[at.PROMPTS]), batch)
    n[at.STEPS] += 1
    if n[at.MIXED]:
        mixed_tokens(n, x, slot, job, when, table, hist, batch)
    join_finished_prompts(n, x, slot, job, when, hist)
    finish_due(n, x, slot, job, when)
    return True


@compiled
def steps_with_blocks(n: Ints, steps: int) -> int:
    """How many decode steps the free blocks allow, at most `steps`; the first one has its own."""
    block, running = n[at.BLOCK], n[at.RUNNING]
    if (steps - 1 + block - 1) // block * running <= n[at.FREE]:
        return steps
    cycles = n[at.FREE] // running
    free = n[at.FREE] - cycles * running
    allowed = 1 + cycles * block
    for k in range(block):
        free -= n[at.PHASE + (n[at.STEP] + 2 + k) % block]
        if free < 0:
            break
        allowed += 1
    return min(steps, allowed)


@compiled
def take_blocks(n: Ints, slot: Ints, steps: int) -> None:
    """Take the blocks that all but the first of so many decode steps need."""
    cycles, rest = (steps - 1) // n[at.BLOCK], (steps - 1) % n[at.BLOCK]
    n[at.FREE] -= cycles * n[at.RUNNING]
    for k in range(rest):
        n[at.FREE] -= n[at.PHASE + (n[at.STEP] + 2 + k) % n[at.BLOCK]]
    trim(n, slot)


@compiled
def alike_steps(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats, key: Floats,
                queue: Ints, alone: bool) -> tuple[int, float]:
    """Decode steps until the batch may change, and the time from which the next step may differ."""
    given_back = settle(n)
    if n[at.PREEMPTED] or alone:
        return 1, x[at.UNTIL]
    if given_back > 0 and waiting_first(n, x, job, when, key, queue) >= 0:
        return 1, x[at.UNTIL]       # who waits takes the seat in the step after this one
    limit, blocked = x[at.UNTIL], False
    if seats(n) > 0:
        who = waiting_first(n, x, job, when, key, queue)
        blocked = who >= 0
        # Room for this step may have cost a waiting request its cached prompt: it needs less now.
        if blocked and n[at.CACHE_AT] > 0 and admissible(n, x, slot, job, who, n[at.BUDGET]):
            return 1, limit
        if n[at.HEAD] >= 0 and (n[at.BY_KEY] or not blocked):
            limit = min(limit, when[n[at.HEAD] * at.WHEN + at.ARRIVAL])
    ends = slot[slot[n[at.HEAP_AT]] * at.SLOT + at.ENDS]
    steps = steps_with_blocks(n, ends - n[at.STEP])
    if blocked and n[at.CACHE_AT] > 0:
        # The same for the steps after: none that drops cached blocks is passed over.
        kept = slot[n[at.CACHE_AT] + at.KEEPS] * n[at.UNIT]
        n[at.FREE] -= kept
        steps = steps_with_blocks(n, steps)
        n[at.FREE] += kept
    return steps, limit


@compiled
def decode_run(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats, table: Floats,
               hist: Floats, trace: Floats, key: Floats, queue: Ints) -> None:
    """All decode-only steps until the batch may change, summed at once."""
    running = n[at.RUNNING]
    rows = running + n[at.PAD]
    # The last token of the batch is not as old as the last step is long.
    alone = x[at.INTERVAL] > 0 or n[at.DETAIL] > 0 or (
        not n[at.MIXED] and (x[at.SINCE] != x[at.NOW] or n[at.FRESH] > 0))
    steps, limit = alike_steps(n, x, slot, job, when, key, queue, alone)
    context = n[at.BASE] / running + n[at.STEP] + 1
    flat = table[rows] + table[n[at.LOGIT_AT] + rows]
    done, total, last = 0, 0.0, 0.0
    unseen = n[at.OVERLAP]      # who arrives within a step is not in the next, already decided one
    while done < steps and x[at.NOW] + total < x[at.UNTIL]:
        if x[at.NOW] + total >= limit:
            if unseen == 0:
                break
            steps, unseen, limit = done + 1, 0, x[at.UNTIL]
        j = cell(table, n[at.CONTEXT_AT], n[at.CONTEXTS], context + done)
        knot = n[at.CONTEXT_AT] + j
        low = n[at.DECODE_AT] + rows * n[at.CONTEXTS] + j
        slope = (table[low + 1] - table[low]) / (table[knot + 1] - table[knot])
        # Swaps precede a step that comes alone, after a preemption.
        first = flat + table[low] + slope * (context + done - table[knot]) + x[at.DELAY]
        inside = steps - done
        if j < n[at.CONTEXTS] - 2:
            inside = min(inside, int(table[knot + 1] - context - done) + 1)
        left = limit - x[at.NOW] - total
        if inside > 1 and inside * (first + slope * (inside - 1) / 2) >= left:
            inside = steps_before(left, first, slope, inside)
        total += inside * (first + slope * (inside - 1) / 2)
        last = first + slope * (inside - 1)
        done += inside
        if not alone:
            record_ramp(hist, first, slope, inside, running)
    x[at.DELAY] = 0.0
    pass_time(n, x, trace, total, running)
    if done > 1:
        x[at.DECIDED] = x[at.NOW] - last
    if alone:
        count_gaps(n, x, slot, when, hist, running)
    take_blocks(n, slot, done)
    n[at.STEP] += done
    n[at.STEPS] += done
    n[at.OUTPUT_TOKENS] += done * running
    n[at.STARTED] = n[at.STATIC]
    x[at.SINCE] = x[at.NOW]
    finish_due(n, x, slot, job, when)


@compiled
def draft_step(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats, table: Floats,
               hist: Floats, trace: Floats) -> None:
    """One decode-only step with drafts."""
    batch = n[at.RUNNING]
    rows = batch * (1 + n[at.DRAFTS])
    context = n[at.BASE] / batch + n[at.STEP] + 1
    seconds = (table[rows] + table[n[at.LOGIT_AT] + rows]
               + decode_seconds(n, table, batch, context, 0)
               + drafting_seconds(n, x, table, batch, context))
    pass_time(n, x, trace, delayed(x, seconds), batch)
    accept(n, x, slot, job, when, table, hist)
    n[at.STEP] += 1
    n[at.STEPS] += 1
    x[at.SINCE] = x[at.NOW]
    finish_due(n, x, slot, job, when)


@compiled
def take_room(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats, key: Floats,
              queue: Ints) -> None:
    """Blocks for the next decode step."""
    if n[at.DRAFTS] > 0:
        make_draft_room(n, x, slot, job, when, key, queue)
    else:
        make_room(n, x, slot, job, when, key, queue)


@compiled
def decide_now(n: Ints, x: Floats) -> bool:
    """Nothing was decided for the step that could begin now, so that is done now; False: it was."""
    if x[at.DECIDED] >= x[at.NOW] and n[at.LATE_SEATS] == 0:
        return False
    settle(n)
    x[at.DECIDED] = x[at.NOW]
    return True


@entry
def advance(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats, table: Floats,
            hist: Floats, trace: Floats, key: Floats, queue: Ints) -> None:
    """Run all steps that begin before `UNTIL`, or until nothing known is left to do."""
    while True:
        if not n[at.OVERLAP]:
            x[at.DECIDED] = x[at.NOW]
        if (n[at.RUNNING] == 0 and n[at.PARTIAL] < 0
                and waiting_first(n, x, job, when, key, queue) < 0):
            if decide_now(n, x):
                continue
            head = n[at.HEAD]
            if head < 0 or when[head * at.WHEN + at.ARRIVAL] >= x[at.UNTIL]:
                return
            x[at.NOW] = x[at.DECIDED] = when[head * at.WHEN + at.ARRIVAL]
        if x[at.INTERVAL] > 0:
            departures = math.ceil(x[at.NOW] / x[at.INTERVAL] - 1e-9)
            if departures * x[at.INTERVAL] < x[at.NOW] * (1 - 1e-12):
                departures += 1             # the tolerance is for clocks, not for short waits
            x[at.NOW] = x[at.DECIDED] = departures * x[at.INTERVAL]
        if x[at.NOW] >= x[at.UNTIL]:
            return
        n[at.PREEMPTED] = 0
        n[at.SEEN] = n[at.DONE]
        if n[at.LIMIT] > 0:
            waiting_first(n, x, job, when, key, queue)      # turns away whom it must, first
        if n[at.MIXED]:
            take_room(n, x, slot, job, when, key, queue)
        if not prompt_step(n, x, slot, job, when, table, hist, trace, key, queue):
            if not n[at.MIXED]:
                take_room(n, x, slot, job, when, key, queue)
            if n[at.RUNNING] == 0:
                if decide_now(n, x):
                    continue
                x[at.STALLED] = 1.0
                return
            if n[at.DRAFTS] > 0:
                settle(n)
                draft_step(n, x, slot, job, when, table, hist, trace)
                continue
            decode_run(n, x, slot, job, when, table, hist, trace, key, queue)
