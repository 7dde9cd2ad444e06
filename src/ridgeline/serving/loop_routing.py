"""Who gets a request in the simulator's loop: loads in flight, and the ranks of a replica.

Compiled together with `loop`; see `layout` for the arrays.
"""

from __future__ import annotations

from ridgeline.serving import layout as at
from ridgeline.serving.compiled import compiled
from ridgeline.serving.loop_parts import append

# As seen without a compiler; arrays otherwise. One row a rank.
Ints = list[int]
Floats = list[float]
IntRows = list[list[int]]
FloatRows = list[list[float]]


@compiled
def in_flight(n: Ints, x: Floats, now: float) -> int:
    """Requests a scheduler has; those that leave at the end of a step under way among them."""
    return n[at.ASSIGNED] - (n[at.SEEN] if x[at.NOW] > now else n[at.DONE])


@compiled
def load_of(n: IntRows, x: FloatRows, first: int, ranks: int, now: float) -> int:
    """Requests in flight on all ranks of a replica."""
    load = 0
    for r in range(first, first + ranks):
        load += in_flight(n[r], x[r], now)
    return load


@compiled
def hand_over(n: IntRows, x: FloatRows, job: Ints, first: int, ranks: int, who: int,
              now: float) -> int:
    """Give a request to one of a replica's ranks by the rule of balance; which."""
    best = first
    if ranks > 1 and n[first][at.TURN] >= 0:
        best = first + n[first][at.TURN] % ranks
        n[first][at.TURN] += 1
    elif ranks > 1:
        least = at.UNLIMITED
        for r in range(first, first + ranks):
            score = in_flight(n[r], x[r], now) + 3 * n[r][at.QUEUED]
            if score < least:
                best, least = r, score
    append(n[best], job, who)
    return best


@compiled
def next_arrival(n: IntRows, when: Floats, first: int, ranks: int) -> float:
    """The first arrival that some rank knows of."""
    soon = at.NEVER
    for r in range(first, first + ranks):
        head = n[r][at.HEAD]
        if head >= 0:
            soon = min(soon, when[head * at.WHEN + at.ARRIVAL])
    return soon


@compiled
def send_next(n: IntRows, x: FloatRows, job: Ints, when: Floats, chosen: Ints, first: int,
              ranks: int, before: int) -> None:
    """A closed loop sends a request for each that is done."""
    done, now = 0, x[first][at.NOW]
    for r in range(first, first + ranks):
        done += n[r][at.DONE]
    for _ in range(done - before):
        who = n[first][at.NEXT_SENT]
        if who >= n[first][at.LAST_SENT]:
            return
        when[who * at.WHEN + at.ARRIVAL] = now
        chosen[who] = hand_over(n, x, job, first, ranks, who, now)
        n[first][at.NEXT_SENT] += 1
