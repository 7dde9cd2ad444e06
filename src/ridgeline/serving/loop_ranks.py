"""Attention copies of one replica in the simulator's loop: each schedules, all step together.

A rank has the whole state of a scheduler: queue, sequences, blocks, budget. A step lasts as long
as its slowest rank, since the experts behind attention are shared:

    t = together(sum of tokens) + max over ranks of (own(tokens) + attention + logits)

While no rank's batch changes, the slowest rank's steps are summed at once, up to where another one
becomes the slowest. Ranks are rows `first` to `first + ranks` of the joint state.

Compiled together with `loop`; see `layout` for the arrays.
"""

from __future__ import annotations

import math

from ridgeline.serving import layout as at
from ridgeline.serving.compiled import compiled
from ridgeline.serving.loop import (
    advance,
    alike_steps,
    decide_now,
    mixed_tokens,
    read_prompts,
    seats,
    settle,
    take_blocks,
    take_room,
)
from ridgeline.serving.loop_parts import cell, decode_seconds, waiting_first
from ridgeline.serving.loop_record import (
    count_gaps,
    delayed,
    pass_time,
    record_ramp,
    steps_before,
)
from ridgeline.serving.loop_routing import next_arrival, send_next
from ridgeline.serving.loop_sequences import finish_due, join_finished_prompts
from ridgeline.serving.loop_speculative import accept

# As seen without a compiler; arrays otherwise. One row a rank.
Ints = list[int]
Floats = list[float]
IntRows = list[list[int]]
FloatRows = list[list[float]]


@compiled
def idle(n: IntRows, x: FloatRows, job: Ints, when: Floats, key: Floats, queue: IntRows,
         first: int, ranks: int) -> bool:
    """Whether no rank has anything it could do."""
    for r in range(first, first + ranks):
        if (n[r][at.RUNNING] > 0 or n[r][at.PARTIAL] >= 0
                or waiting_first(n[r], x[r], job, when, key, queue[r]) >= 0):
            return False
    return True


@compiled
def decide_all(n: IntRows, x: FloatRows, first: int, ranks: int) -> bool:
    """`decide_now` for all ranks; whether that changed anything."""
    changed = False
    for r in range(first, first + ranks):
        if decide_now(n[r], x[r]):
            changed = True
    return changed


@compiled
def set_clocks(x: FloatRows, first: int, ranks: int, now: float) -> None:
    """An idle replica's next step is decided, and begins, now."""
    for r in range(first, first + ranks):
        x[r][at.NOW] = x[r][at.DECIDED] = now


@compiled
def compose(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats, table: Floats, key: Floats,
            queue: Ints) -> None:
    """One rank's part of a step: NEW prompt tokens, BATCH decoding, OWN seconds of prompts."""
    n[at.PREEMPTED] = 0
    n[at.SEEN] = n[at.DONE]
    if n[at.LIMIT] > 0:
        waiting_first(n, x, job, when, key, queue)
    if n[at.MIXED]:
        take_room(n, x, slot, job, when, key, queue)
    n[at.BATCH] = n[at.RUNNING] if n[at.MIXED] else 0
    before = n[at.PROMPT_TOKENS]
    x[at.OWN] = read_prompts(n, x, slot, job, when, table, key, queue,
                             n[at.BUDGET] - n[at.BATCH] * (1 + n[at.DRAFTS]))
    n[at.NEW] = n[at.PROMPT_TOKENS] - before
    if not n[at.MIXED] and n[at.NEW] == 0:
        take_room(n, x, slot, job, when, key, queue)
        n[at.BATCH] = n[at.RUNNING]


@compiled
def captured(tokens: int) -> int:
    """The least size of a captured graph that holds so many tokens of a rank.

    Engines capture 1, 2, 4, then every 8 tokens up to 256, then every 16.
    """
    if tokens <= 2:
        return tokens
    if tokens <= 4:
        return 4
    every = 8 if tokens <= 256 else 16
    return (tokens + every - 1) // every * every


@compiled
def tokens_together(n: IntRows, first: int, ranks: int, drafts: int, prompts: bool
                    ) -> tuple[int, int]:
    """(tokens all ranks work on, tokens ranks are padded to or 0) of a step with so many drafts."""
    most, total = 0, 0
    for r in range(first, first + ranks):
        tokens = n[r][at.BATCH] * (1 + drafts) + (n[r][at.NEW] if prompts else 0)
        most, total = max(most, tokens), total + tokens
    if most <= n[first][at.PAD_TO]:
        most = captured(most)
        return most * ranks, most
    return total, 0


@compiled
def joint_seconds(n: IntRows, x: FloatRows, table: Floats, first: int, ranks: int, drafts: int,
                  prompts: bool) -> float:
    """Time of a step: what all do together, and the slowest rank's own part [s]."""
    total, padded = tokens_together(n, first, ranks, drafts, prompts)
    slowest = 0.0
    for r in range(first, first + ranks):
        batch = n[r][at.BATCH]
        rows = batch * (1 + drafts)
        tokens, ends = (n[r][at.NEW], n[r][at.JOINED]) if prompts else (0, 0)
        own = table[max(padded, rows + tokens)] + table[n[r][at.LOGIT_AT] + rows + ends]
        if prompts:
            own += x[r][at.OWN]
        if batch > 0:
            context = n[r][at.BASE] / batch + n[r][at.STEP] + 1
            own += decode_seconds(n[r], table, batch, context, tokens)
        slowest = max(slowest, own)
    return table[n[first][at.SHARED_AT] + total] + slowest


@compiled
def end_step(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats, table: Floats, hist: Floats
             ) -> None:
    """One rank's tokens of the step that ends now."""
    n[at.STEPS] += 1
    if n[at.MIXED] and n[at.BATCH] + n[at.NEW] > 0:
        mixed_tokens(n, x, slot, job, when, table, hist, n[at.BATCH])
    elif n[at.BATCH] > 0:
        if n[at.DRAFTS] > 0:
            accept(n, x, slot, job, when, table, hist)
        else:
            count_gaps(n, x, slot, when, hist, n[at.BATCH])
            n[at.OUTPUT_TOKENS] += n[at.BATCH]
        n[at.STEP] += 1
        x[at.SINCE] = x[at.NOW]
    join_finished_prompts(n, x, slot, job, when, hist)
    finish_due(n, x, slot, job, when)


@compiled
def one_step(n: IntRows, x: FloatRows, slot: IntRows, job: Ints, when: Floats, table: Floats,
             hist: FloatRows, trace: FloatRows, first: int, ranks: int) -> None:
    """A step of its own, of any kind."""
    drafts = n[first][at.DRAFTS]
    seconds = joint_seconds(n, x, table, first, ranks, drafts, True)
    new, decoding = 0, 0
    for r in range(first, first + ranks):
        settle(n[r])
        new += n[r][at.NEW]
        decoding += n[r][at.BATCH]
    if drafts > 0 and decoding > 0:
        seconds += drafts * x[first][at.DRAFT_COST] * joint_seconds(
            n, x, table, first, ranks, 0, False)
    if new > 0:
        seconds *= x[first][at.PROMPTS]
    longest = 0.0
    for r in range(first, first + ranks):
        longest = max(longest, delayed(x[r], seconds))
    for r in range(first, first + ranks):
        pass_time(n[r], x[r], trace[r], longest, n[r][at.BATCH])
        end_step(n[r], x[r], slot[r], job, when, table, hist[r])


@compiled
def joint_steps(n: IntRows, x: FloatRows, slot: IntRows, job: Ints, when: Floats, key: Floats,
                queue: IntRows, first: int, ranks: int) -> tuple[int, float]:
    """Decode steps until some rank's batch may change, and from when it may for an arrival."""
    steps, limit = at.UNLIMITED, x[first][at.UNTIL]
    for r in range(first, first + ranks):
        if n[r][at.BATCH] > 0:
            most, until = alike_steps(n[r], x[r], slot[r], job, when, key, queue[r], False)
            steps, limit = min(steps, most), min(limit, until)
            continue
        back = settle(n[r])
        if back > 0 and waiting_first(n[r], x[r], job, when, key, queue[r]) >= 0:
            steps = 1
        head = n[r][at.HEAD]
        if head >= 0 and seats(n[r]) > 0:
            limit = min(limit, when[head * at.WHEN + at.ARRIVAL])
    return steps, limit


@compiled
def slowest_rank(n: IntRows, table: Floats, first: int, ranks: int, padded: int, done: int
                 ) -> tuple[float, float, int]:
    """(time, its growth a step, steps for which it holds) of the slowest rank's own part [s]."""
    time, slope, inside = -1.0, 0.0, at.UNLIMITED
    for r in range(first, first + ranks):
        value, growth, room = own_line(n[r], table, padded, done)
        inside = min(inside, room)
        if value > time or (value == time and growth > slope):
            time, slope = value, growth
    for r in range(first, first + ranks):
        value, growth, _ = own_line(n[r], table, padded, done)
        if growth > slope:
            inside = min(inside, int((time - value) / (growth - slope)) + 1)
    return time, slope, inside


@compiled
def own_line(n: Ints, table: Floats, padded: int, done: int) -> tuple[float, float, int]:
    """(time, growth a step, steps to the next knot) of a decoding rank's own part [s]."""
    batch = n[at.BATCH]
    flat = table[max(padded, batch)] + table[n[at.LOGIT_AT] + batch]
    if batch == 0:
        return flat, 0.0, at.UNLIMITED
    context = n[at.BASE] / batch + n[at.STEP] + 1 + done
    j = cell(table, n[at.CONTEXT_AT], n[at.CONTEXTS], context)
    knot = n[at.CONTEXT_AT] + j
    low = n[at.DECODE_AT] + batch * n[at.CONTEXTS] + j
    slope = (table[low + 1] - table[low]) / (table[knot + 1] - table[knot])
    room = at.UNLIMITED
    if j < n[at.CONTEXTS] - 2:
        room = int(table[knot + 1] - context) + 1
    return flat + table[low] + slope * (context - table[knot]), slope, room


@compiled
def joint_run(n: IntRows, x: FloatRows, slot: IntRows, job: Ints, when: Floats, table: Floats,
              hist: FloatRows, trace: FloatRows, key: Floats, queue: IntRows, first: int,
              ranks: int) -> None:
    """All decode-only steps until some rank's batch may change, summed at once."""
    steps, limit = joint_steps(n, x, slot, job, when, key, queue, first, ranks)
    now, until, unseen = x[first][at.NOW], x[first][at.UNTIL], n[first][at.OVERLAP]
    total, padded = tokens_together(n, first, ranks, 0, False)
    together = table[n[first][at.SHARED_AT] + total]
    done, spent, last = 0, 0.0, 0.0
    while done < steps and now + spent < until:
        if now + spent >= limit:
            if unseen == 0:
                break
            steps, unseen, limit = done + 1, 0, until
        time, slope, inside = slowest_rank(n, table, first, ranks, padded, done)
        time, inside = time + together, min(inside, steps - done)
        left = limit - now - spent
        if inside > 1 and inside * (time + slope * (inside - 1) / 2) >= left:
            inside = steps_before(left, time, slope, inside)
        spent += inside * (time + slope * (inside - 1) / 2)
        last = time + slope * (inside - 1)
        done += inside
        for r in range(first, first + ranks):
            record_ramp(hist[r], time, slope, inside, n[r][at.BATCH])
    for r in range(first, first + ranks):
        pass_time(n[r], x[r], trace[r], spent, n[r][at.BATCH])
        n[r][at.STEPS] += done
        if done > 1:
            x[r][at.DECIDED] = x[r][at.NOW] - last
        if n[r][at.BATCH] > 0:
            take_blocks(n[r], slot[r], done)
            n[r][at.STEP] += done
            n[r][at.OUTPUT_TOKENS] += done * n[r][at.BATCH]
            x[r][at.SINCE] = x[r][at.NOW]
            finish_due(n[r], x[r], slot[r], job, when)


@compiled
def alike(n: IntRows, x: FloatRows, first: int, ranks: int) -> bool:
    """Whether the step composed decodes only, like those after it."""
    if n[first][at.DRAFTS] > 0 or n[first][at.DETAIL] > 0 or x[first][at.INTERVAL] > 0:
        return False
    for r in range(first, first + ranks):
        if n[r][at.NEW] > 0 or n[r][at.PREEMPTED] or x[r][at.DELAY] > 0:
            return False
        if n[r][at.BATCH] > 0 and not n[r][at.MIXED] and (
                x[r][at.SINCE] != x[r][at.NOW] or n[r][at.FRESH] > 0):
            return False
    return True


@compiled
def depart(x: FloatRows, first: int, ranks: int) -> None:
    """Wait for the next departure."""
    every, now = x[first][at.INTERVAL], x[first][at.NOW]
    departures = math.ceil(now / every - 1e-9)
    if departures * every < now * (1 - 1e-12):
        departures += 1
    set_clocks(x, first, ranks, departures * every)


@compiled
def advance_ranks(n: IntRows, x: FloatRows, slot: IntRows, job: Ints, when: Floats, table: Floats,
                  hist: FloatRows, trace: FloatRows, key: Floats, queue: IntRows, chosen: Ints,
                  first: int, ranks: int, until: float) -> None:
    """Run all steps of a replica that begin before `until`, or until nothing is left to do."""
    for r in range(first, first + ranks):
        x[r][at.UNTIL] = until
    if ranks == 1:
        advance(n[first], x[first], slot[first], job, when, table, hist[first], trace[first], key,
                queue[first])
        return
    while True:
        if not n[first][at.OVERLAP]:
            set_clocks(x, first, ranks, x[first][at.NOW])
        if idle(n, x, job, when, key, queue, first, ranks):
            if decide_all(n, x, first, ranks):
                continue
            soon = next_arrival(n, when, first, ranks)
            if soon >= until:
                return
            set_clocks(x, first, ranks, max(soon, x[first][at.NOW]))
        if x[first][at.INTERVAL] > 0:
            depart(x, first, ranks)
        if x[first][at.NOW] >= until:
            return
        work, before = 0, 0
        for r in range(first, first + ranks):
            compose(n[r], x[r], slot[r], job, when, table, key, queue[r])
            work += n[r][at.NEW] + n[r][at.BATCH]
            before += n[r][at.DONE]
        if work == 0:
            if decide_all(n, x, first, ranks):
                continue
            x[first][at.STALLED] = 1.0
            return
        if alike(n, x, first, ranks):
            joint_run(n, x, slot, job, when, table, hist, trace, key, queue, first, ranks)
        else:
            one_step(n, x, slot, job, when, table, hist, trace, first, ranks)
        if n[first][at.NEXT_SENT] < n[first][at.LAST_SENT]:
            send_next(n, x, job, when, chosen, first, ranks, before)
