"""Sequences in the simulator's loop: admission, joining, preemption, leaving, and their blocks.

Compiled together with `loop`; see `layout` for the arrays.
"""

from __future__ import annotations

import math

from ridgeline.serving import layout as at
from ridgeline.serving.compiled import compiled
from ridgeline.serving.loop_parts import (
    append,
    heap_add,
    heap_remove,
    prompt_seconds,
    queue_add,
    record_gap,
)
from ridgeline.serving.loop_prefix import (
    cached_blocks,
    let_go,
    remember,
    take,
    trim,
    used_blocks,
)

# As seen without a compiler; arrays otherwise.
Ints = list[int]
Floats = list[float]


@compiled
def blocks_held(n: Ints, slot: Ints, who: int) -> int:
    """KV blocks of a running sequence."""
    i = who * at.SLOT
    if n[at.DRAFTS] > 0:
        return slot[i + at.HELD]
    if n[at.PARTIAL] == who:
        tokens = slot[i + at.COMPUTED]
    else:
        tokens = slot[i + at.LENGTH] + n[at.STEP] - slot[i + at.BEGAN]
    return (tokens + n[at.BLOCK] - 1) // n[at.BLOCK]


@compiled
def release(n: Ints, slot: Ints, who: int) -> None:
    """Give back what a running sequence holds; shared blocks stay while others use them."""
    held = blocks_held(n, slot, who)
    if n[at.CACHE_AT] > 0:
        held -= n[at.UNIT] * slot[who * at.SLOT + at.SHARED]
        let_go(n, slot, who)
    n[at.FREE] += held


@compiled
def found(n: Ints, slot: Ints, job: Ints, who: int) -> int:
    """Tokens of a waiting request whose keys and values need no computing."""
    j = who * at.JOB
    target = job[j + at.PROMPT] + job[j + at.MADE]
    hit = max(job[j + at.HIT], job[j + at.KEPT])
    if n[at.CACHE_AT] > 0:
        hit = max(hit, cached_blocks(n, slot, job, who) * n[at.HASHED])
    return min(hit, target - 1)


@compiled
def swap_out(n: Ints, x: Floats, slot: Ints, job: Ints, who: int) -> None:
    """Move a preempted sequence's blocks to the host while there is room."""
    i = who * at.SLOT
    tokens = slot[i + at.COMPUTED]
    if n[at.PARTIAL] != who:
        tokens = slot[i + at.LENGTH] + n[at.STEP] - slot[i + at.BEGAN]
    blocks = (tokens + n[at.BLOCK] - 1) // n[at.BLOCK]
    if x[at.SWAP] <= 0 or blocks > n[at.HOST_FREE]:
        return
    job[slot[i + at.WHO] * at.JOB + at.KEPT] = tokens
    n[at.HOST_FREE] -= blocks
    n[at.SWAPPED] += 1
    x[at.DELAY] += blocks * x[at.SWAP]


@compiled
def swap_in(n: Ints, x: Floats, job: Ints, who: int) -> None:
    """Bring a sequence's blocks back from the host, or note that those sent along are used."""
    j = who * at.JOB
    if x[at.SWAP] > 0 and job[j + at.EVICTIONS] > 0:
        blocks = (job[j + at.KEPT] + n[at.BLOCK] - 1) // n[at.BLOCK]
        n[at.HOST_FREE] += blocks
        x[at.DELAY] += blocks * x[at.SWAP]
    job[j + at.KEPT] = 0


@compiled
def promise(n: Ints, x: Floats, job: Ints, who: int) -> int:
    """Blocks set aside for a request on admission; none unless the policy reserves."""
    if x[at.RESERVE] < 0:
        return 0
    i = who * at.JOB
    tokens = job[i + at.PROMPT] + math.ceil(x[at.RESERVE] * job[i + at.OUTPUT])
    return min(n[at.TOTAL], (int(tokens) + n[at.BLOCK] - 1) // n[at.BLOCK])


@compiled
def unlink(n: Ints, slot: Ints, who: int) -> None:
    """Take a sequence out of the list of running ones, and free its slot."""
    before, after = slot[who * at.SLOT + at.BEFORE], slot[who * at.SLOT + at.AFTER]
    if before >= 0:
        slot[before * at.SLOT + at.AFTER] = after
    if after >= 0:
        slot[after * at.SLOT + at.BEFORE] = before
    else:
        n[at.LAST] = before
    slot[who * at.SLOT + at.AFTER] = n[at.SPARE]
    n[at.SPARE] = who


@compiled
def due_phase(n: Ints, slot: Ints, who: int) -> int:
    """A decoding sequence needs a block at every step equal to this modulo the block size."""
    i = who * at.SLOT
    return at.PHASE + (slot[i + at.BEGAN] + 1 - slot[i + at.LENGTH]) % n[at.BLOCK]


@compiled
def stop_decoding(n: Ints, slot: Ints, who: int) -> None:
    """Take a sequence out of the counts of decoding ones."""
    i = who * at.SLOT
    n[at.RUNNING] -= 1
    n[at.BASE] -= slot[i + at.LENGTH] - slot[i + at.BEGAN]
    n[due_phase(n, slot, who)] -= 1
    heap_remove(n, slot, who)


@compiled
def preempt_last(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats, key: Floats,
                 queue: Ints) -> int:
    """Send the sequence that joined last back to wait; how many blocks it was due this step."""
    who = n[at.LAST]
    i = who * at.SLOT
    request = slot[i + at.WHO]
    j = request * at.JOB
    due = 0
    swap_out(n, x, slot, job, who)
    release(n, slot, who)
    n[at.PROMISED] -= promise(n, x, job, request)
    if n[at.PARTIAL] == who:
        n[at.PARTIAL] = -1
    else:
        made = n[at.STEP] - slot[i + at.BEGAN]
        job[j + at.MADE] += made
        if n[at.DRAFTS] > 0:
            pass                            # each step told the time of its tokens
        elif made > 0:
            when[request * at.WHEN + at.END] = x[at.SINCE]
        elif n[at.FRESH] > 0:               # joined, and never decoded since
            n[at.FRESH] -= 1
        if due_phase(n, slot, who) == at.PHASE + (n[at.STEP] + 1) % n[at.BLOCK]:
            due = 1
        stop_decoding(n, slot, who)
    unlink(n, slot, who)
    job[j + at.EVICTIONS] += 1
    n[at.PREEMPTIONS] += 1
    n[at.PREEMPTED] = 1
    n[at.QUEUED] += 1
    if n[at.BY_KEY]:
        queue_add(n, queue, key, request)
    else:
        job[j + at.LINK] = n[at.STACK]
        n[at.STACK] = request
    return due


@compiled
def make_room(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats, key: Floats,
              queue: Ints) -> None:
    """Take the blocks that decoding sequences need for the next step, preempting as needed."""
    need = n[at.PHASE + (n[at.STEP] + 1) % n[at.BLOCK]]
    while need > n[at.FREE]:
        need -= preempt_last(n, x, slot, job, when, key, queue)
    n[at.FREE] -= need
    trim(n, slot)


@compiled
def leave(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats, who: int) -> None:
    """A sequence is done: free what it holds; a closed loop sends its next request."""
    request = slot[who * at.SLOT + at.WHO]
    when[request * at.WHEN + at.END] = x[at.NOW]
    if n[at.STARTED]:                       # a static batch keeps the rows it began with
        n[at.PAD] += 1
        n[at.PAD_BLOCKS] += blocks_held(n, slot, who)
    else:
        before = n[at.FREE]
        release(n, slot, who)
        if n[at.OVERLAP]:                   # the next step is decided already
            n[at.LATE_SEATS] += 1
            n[at.LATE_BLOCKS] += n[at.FREE] - before
    n[at.PROMISED] -= promise(n, x, job, request)
    unlink(n, slot, who)
    n[at.DONE] += 1
    if n[at.UPCOMING] < n[at.COUNT]:
        when[n[at.UPCOMING] * at.WHEN + at.ARRIVAL] = x[at.NOW]
        append(n, job, n[at.UPCOMING])
        n[at.UPCOMING] += 1


@compiled
def finish_due(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats) -> None:
    """Let every sequence leave whose last token is out."""
    while n[at.HEAP] > 0:
        who = slot[n[at.HEAP_AT]]
        if slot[who * at.SLOT + at.ENDS] > n[at.STEP]:
            break
        stop_decoding(n, slot, who)
        leave(n, x, slot, job, when, who)
    if n[at.STARTED] and n[at.RUNNING] == 0:
        n[at.FREE] += n[at.PAD_BLOCKS]
        n[at.PAD] = n[at.PAD_BLOCKS] = n[at.STARTED] = 0


@compiled
def join_finished_prompts(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats,
                          hist: Floats) -> None:
    """Sequences whose prompt ended in this step have made a token and start to decode."""
    for k in range(n[at.JOINED]):
        who = slot[n[at.JOIN_AT] + k]
        i = who * at.SLOT
        request = slot[i + at.WHO]
        j, t = request * at.JOB, request * at.WHEN
        if job[j + at.MADE] == 0:
            when[t + at.FIRST] = x[at.NOW]
        else:
            record_gap(hist, x[at.NOW] - when[t + at.END], 1)
        when[t + at.END] = x[at.NOW]
        job[j + at.MADE] += 1
        n[at.OUTPUT_TOKENS] += 1
        if n[at.CACHE_AT] > 0:
            remember(n, slot, job, who)
        slot[i + at.LENGTH] = slot[i + at.TARGET]
        slot[i + at.BEGAN] = n[at.STEP]
        slot[i + at.ENDS] = n[at.STEP] + job[j + at.OUTPUT] - job[j + at.MADE]
        if job[j + at.MADE] >= job[j + at.OUTPUT]:
            leave(n, x, slot, job, when, who)
            continue
        n[at.RUNNING] += 1
        if not n[at.MIXED] and n[at.DRAFTS] == 0:
            n[at.FRESH] += 1
        n[at.BASE] += slot[i + at.LENGTH] - slot[i + at.BEGAN]
        n[due_phase(n, slot, who)] += 1
        heap_add(n, slot, who)
    n[at.JOINED] = 0


@compiled
def continue_prompt(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats, key: Floats,
                    queue: Ints, table: Floats, budget: int) -> float:
    """Read on in the prompt under way, as far as the budget and free blocks allow [s]."""
    who = n[at.PARTIAL]
    i = who * at.SLOT
    done = slot[i + at.COMPUTED]
    new = min(budget, slot[i + at.TARGET] - done)
    if new <= 0:
        return 0.0
    need = (done + new + n[at.BLOCK] - 1) // n[at.BLOCK] - blocks_held(n, slot, who)
    if need > n[at.FREE]:
        preempt_last(n, x, slot, job, when, key, queue)
        return 0.0
    n[at.FREE] -= need
    slot[i + at.HELD] += need
    trim(n, slot)
    n[at.PROMPT_TOKENS] += new
    slot[i + at.COMPUTED] = done + new
    if done + new == slot[i + at.TARGET]:
        n[at.PARTIAL] = -1
        slot[n[at.JOIN_AT] + n[at.JOINED]] = who
        n[at.JOINED] += 1
    return prompt_seconds(n, table, new, done)


@compiled
def admissible(n: Ints, x: Floats, slot: Ints, job: Ints, who: int, budget: int) -> bool:
    """Whether blocks are free for a waiting request's first chunk and what the policy reserves."""
    j = who * at.JOB
    target = job[j + at.PROMPT] + job[j + at.MADE]
    hit = found(n, slot, job, who)
    block = n[at.BLOCK]
    free = n[at.FREE] - n[at.LATE_BLOCKS]
    if n[at.CACHE_AT] > 0:
        free += n[at.UNIT] * used_blocks(n, slot, job, who)
    if (hit + min(budget, target - hit) + block - 1) // block > free:
        return False
    if x[at.RESERVE] < 0:
        return True
    return ((target + block - 1) // block <= free
            and n[at.PROMISED] + promise(n, x, job, who) <= n[at.TOTAL])


@compiled
def admit(n: Ints, x: Floats, slot: Ints, job: Ints, when: Floats, table: Floats, who: int,
          budget: int) -> float:
    """Start the prompt of a waiting request [s]."""
    j = who * at.JOB
    target = job[j + at.PROMPT] + job[j + at.MADE]
    hit = found(n, slot, job, who)
    new = min(budget, target - hit)
    place = n[at.SPARE]
    i = place * at.SLOT
    n[at.SPARE] = slot[i + at.AFTER]
    slot[i + at.WHO], slot[i + at.TARGET], slot[i + at.COMPUTED] = who, target, hit + new
    slot[i + at.BEFORE], slot[i + at.AFTER], slot[i + at.BEGAN] = n[at.LAST], -1, -1
    slot[i + at.HELD] = (hit + new + n[at.BLOCK] - 1) // n[at.BLOCK]
    slot[i + at.PLACE], slot[i + at.SHARED] = -1, 0
    if n[at.LAST] >= 0:
        slot[n[at.LAST] * at.SLOT + at.AFTER] = place
    n[at.LAST] = place
    if n[at.CACHE_AT] > 0:
        take(n, x, slot, job, place)
    n[at.FREE] -= slot[i + at.HELD] - n[at.UNIT] * slot[i + at.SHARED]
    trim(n, slot)
    if job[j + at.KEPT] > 0:
        swap_in(n, x, job, who)
    n[at.PROMISED] += promise(n, x, job, who)
    n[at.PROMPT_TOKENS] += new
    if when[who * at.WHEN + at.START] < 0:
        when[who * at.WHEN + at.START] = x[at.DECIDED]
    if hit + new == target:
        slot[n[at.JOIN_AT] + n[at.JOINED]] = place
        n[at.JOINED] += 1
    else:
        n[at.PARTIAL] = place
    return prompt_seconds(n, table, new, hit)
