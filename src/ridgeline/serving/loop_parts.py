"""Parts of the simulator's loop: look-ups of step times, the heap of last steps, the two queues.

Compiled together with `loop`; see `layout` for the arrays.
"""

from __future__ import annotations

import math

from ridgeline.serving import layout as at
from ridgeline.serving.compiled import compiled

# As seen without a compiler; arrays otherwise.
Ints = list[int]
Floats = list[float]


@compiled
def cell(table: Floats, first: int, count: int, value: float) -> int:
    """Index of the interval of a grid that a position falls in; the end ones reach outward."""
    low, high = 0, count - 1
    while high - low > 1:
        middle = (low + high) // 2
        if table[first + middle] <= value:
            low = middle
        else:
            high = middle
    return low


@compiled
def prompt_seconds(n: Ints, table: Floats, new: int, past: int) -> float:
    """Seconds that a chunk of a prompt adds [s], bilinear."""
    i = cell(table, n[at.CHUNK_AT], n[at.CHUNKS], new)
    j = cell(table, n[at.PAST_AT], n[at.PASTS], past)
    x, y = n[at.CHUNK_AT] + i, n[at.PAST_AT] + j
    u = (new - table[x]) / (table[x + 1] - table[x])
    v = (past - table[y]) / (table[y + 1] - table[y])
    low = n[at.PROMPT_AT] + i * n[at.PASTS] + j
    high = low + n[at.PASTS]
    return ((table[low] * (1 - u) + table[high] * u) * (1 - v)
            + (table[low + 1] * (1 - u) + table[high + 1] * u) * v)


@compiled
def decode_seconds(n: Ints, table: Floats, batch: int, context: float, new: int) -> float:
    """Seconds that decoding sequences add [s], linear in their mean context.

    `new`: prompt tokens read beside them.
    """
    j = cell(table, n[at.CONTEXT_AT], n[at.CONTEXTS], context)
    x = n[at.CONTEXT_AT] + j
    low = (n[at.MIXED_AT] if new > 0 else n[at.DECODE_AT]) + batch * n[at.CONTEXTS] + j
    return (table[low] + (table[low + 1] - table[low]) * (context - table[x])
            / (table[x + 1] - table[x]))


@compiled
def record_gap(hist: Floats, gap: float, tokens: int) -> None:
    """Count tokens that came `gap` seconds after the one before them."""
    place = 0
    if gap > at.SHORTEST_GAP:
        place = int(math.log2(gap / at.SHORTEST_GAP) * at.BINS_PER_OCTAVE)
        if place >= at.BINS:
            place = at.BINS - 1
    hist[place] += tokens


@compiled
def ends_before(slot: Ints, one: int, other: int) -> bool:
    """Whether a decoding sequence leaves before another; those of one step by number."""
    mine, theirs = slot[one * at.SLOT + at.ENDS], slot[other * at.SLOT + at.ENDS]
    if mine != theirs:
        return mine < theirs
    return slot[one * at.SLOT + at.WHO] < slot[other * at.SLOT + at.WHO]


@compiled
def heap_up(n: Ints, slot: Ints, place: int) -> None:
    """Move an entry of the heap of last steps up to where it belongs."""
    heap = n[at.HEAP_AT]
    who = slot[heap + place]
    while place > 0:
        above = (place - 1) >> 1
        other = slot[heap + above]
        if not ends_before(slot, who, other):
            break
        slot[heap + place] = other
        slot[other * at.SLOT + at.PLACE] = place
        place = above
    slot[heap + place] = who
    slot[who * at.SLOT + at.PLACE] = place


@compiled
def heap_down(n: Ints, slot: Ints, place: int) -> None:
    """Move an entry down to where it belongs."""
    heap, size = n[at.HEAP_AT], n[at.HEAP]
    who = slot[heap + place]
    while True:
        below = 2 * place + 1
        if below >= size:
            break
        other = slot[heap + below]
        if below + 1 < size:
            right = slot[heap + below + 1]
            if ends_before(slot, right, other):
                below, other = below + 1, right
        if not ends_before(slot, other, who):
            break
        slot[heap + place] = other
        slot[other * at.SLOT + at.PLACE] = place
        place = below
    slot[heap + place] = who
    slot[who * at.SLOT + at.PLACE] = place


@compiled
def heap_add(n: Ints, slot: Ints, who: int) -> None:
    """Put a decoding sequence into the heap."""
    slot[n[at.HEAP_AT] + n[at.HEAP]] = who
    n[at.HEAP] += 1
    heap_up(n, slot, n[at.HEAP] - 1)


@compiled
def heap_remove(n: Ints, slot: Ints, who: int) -> None:
    """Take a decoding sequence out of the heap, wherever it is."""
    place = slot[who * at.SLOT + at.PLACE]
    n[at.HEAP] -= 1
    if place < n[at.HEAP]:
        moved = slot[n[at.HEAP_AT] + n[at.HEAP]]
        slot[n[at.HEAP_AT] + place] = moved
        slot[moved * at.SLOT + at.PLACE] = place
        heap_up(n, slot, place)
        heap_down(n, slot, slot[moved * at.SLOT + at.PLACE])


@compiled
def append(n: Ints, job: Ints, who: int) -> None:
    """Put a request at the end of the arrivals this replica knows of."""
    job[who * at.JOB + at.LINK] = -1
    if n[at.HEAD] < 0:
        n[at.HEAD] = who
    else:
        job[n[at.TAIL] * at.JOB + at.LINK] = who
    n[at.TAIL] = who
    n[at.ASSIGNED] += 1
    n[at.QUEUED] += 1


@compiled
def queue_add(n: Ints, queue: Ints, key: Floats, who: int) -> None:
    """Put a request into the queue that is ordered by key, then by number."""
    place = n[at.WAITING]
    n[at.WAITING] += 1
    while place > 0:
        above = (place - 1) >> 1
        other = queue[above]
        if key[other] < key[who] or (key[other] == key[who] and other < who):
            break
        queue[place] = other
        place = above
    queue[place] = who


@compiled
def queue_pop(n: Ints, queue: Ints, key: Floats) -> None:
    """Drop the first of the queue that is ordered by key."""
    n[at.WAITING] -= 1
    size = n[at.WAITING]
    who = queue[size]
    place = 0
    while True:
        below = 2 * place + 1
        if below >= size:
            break
        if below + 1 < size:
            a, b = queue[below + 1], queue[below]
            if key[a] < key[b] or (key[a] == key[b] and a < b):
                below += 1
        other = queue[below]
        if key[who] < key[other] or (key[who] == key[other] and who < other):
            break
        queue[place] = other
        place = below
    queue[place] = who


@compiled
def waiting_first(n: Ints, x: Floats, job: Ints, when: Floats, key: Floats, queue: Ints) -> int:
    """The request to be served next of those known when the step was decided, -1: none.

    Preempted ones come first.
    """
    if n[at.BY_KEY]:
        while n[at.HEAD] >= 0 and when[n[at.HEAD] * at.WHEN + at.ARRIVAL] <= x[at.DECIDED]:
            who = n[at.HEAD]
            n[at.HEAD] = job[who * at.JOB + at.LINK]
            if n[at.LIMIT] > 0 and n[at.WAITING] >= n[at.LIMIT]:
                n[at.REJECTED] += 1         # turned away at the door
                n[at.QUEUED] -= 1
                n[at.DONE] += 1
                continue
            queue_add(n, queue, key, who)
        return queue[0] if n[at.WAITING] > 0 else -1
    if n[at.STACK] >= 0:
        return n[at.STACK]
    head = n[at.HEAD]
    if head >= 0 and when[head * at.WHEN + at.ARRIVAL] <= x[at.DECIDED]:
        return head
    return -1


@compiled
def waiting_pop(n: Ints, job: Ints, key: Floats, queue: Ints, who: int) -> None:
    """Take the request that `waiting_first` named."""
    n[at.QUEUED] -= 1
    if n[at.BY_KEY]:
        queue_pop(n, queue, key)
    elif n[at.STACK] >= 0:
        n[at.STACK] = job[who * at.JOB + at.LINK]
    else:
        n[at.HEAD] = job[who * at.JOB + at.LINK]
