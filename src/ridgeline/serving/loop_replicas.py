"""Several replicas behind one router that sees how many requests each has in flight."""

from __future__ import annotations

from ridgeline.serving import layout as at
from ridgeline.serving.compiled import entry
from ridgeline.serving.loop_ranks import advance_ranks
from ridgeline.serving.loop_routing import hand_over, load_of

# As seen without a compiler; arrays otherwise. One row a rank, a replica's side by side.
Ints = list[int]
Floats = list[float]
IntRows = list[list[int]]
FloatRows = list[list[float]]


@entry
def serve_least_loaded(n: IntRows, x: FloatRows, slot: IntRows, job: Ints, when: Floats,
                       table: Floats, hist: FloatRows, trace: FloatRows, key: Floats,
                       queue: IntRows, order: Ints, chosen: Ints) -> None:
    """Send each request, on arrival, to the replica with the fewest in flight, then run out.

    Ties go to the replicas in turn. `order` lists the requests by arrival; `chosen` receives the
    row of each. In a closed loop only the first wave arrives by itself: requests from `NEXT_SENT`
    on are sent by the replica's own loop.
    """
    ranks = n[0][at.RANKS]
    replicas = len(n) // ranks
    for k in range(len(order)):
        who = order[k]
        if n[0][at.LAST_SENT] > 0 and who >= n[0][at.NEXT_SENT]:
            break
        now = when[who * at.WHEN + at.ARRIVAL]
        best, least = 0, at.UNLIMITED
        for step in range(replicas):
            r = (k + step) % replicas
            advance_ranks(n, x, slot, job, when, table, hist, trace, key, queue, chosen,
                          r * ranks, ranks, now)
            # Those that leave at the end of a step under way are still in flight.
            load = load_of(n, x, r * ranks, ranks, now)
            if load < least:
                best, least = r, load
        chosen[who] = hand_over(n, x, job, best * ranks, ranks, who, now)
    for r in range(replicas):
        advance_ranks(n, x, slot, job, when, table, hist, trace, key, queue, chosen,
                      r * ranks, ranks, at.NEVER)
