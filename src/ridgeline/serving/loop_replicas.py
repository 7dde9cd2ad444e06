"""Several replicas behind one router that sees how many requests each has in flight."""

from __future__ import annotations

from ridgeline.serving import layout as at
from ridgeline.serving.compiled import compiled
from ridgeline.serving.loop import advance
from ridgeline.serving.loop_parts import append

# As seen without a compiler; arrays otherwise. One row a replica.
Ints = list[int]
Floats = list[float]
IntRows = list[list[int]]
FloatRows = list[list[float]]


@compiled
def serve_least_loaded(n: IntRows, x: FloatRows, slot: IntRows, job: Ints, when: Floats,
                       table: Floats, hist: FloatRows, trace: FloatRows, key: Floats,
                       queue: IntRows, order: Ints, chosen: Ints) -> None:
    """Send each request, on arrival, to the replica with the fewest in flight, then run out.

    Ties go to the replicas in turn. `order` lists the requests by arrival; `chosen` receives the
    replica of each.
    """
    replicas = len(n)
    for k in range(len(order)):
        who = order[k]
        now = when[who * at.WHEN + at.ARRIVAL]
        best, least = 0, at.UNLIMITED
        for step in range(replicas):
            r = (k + step) % replicas
            x[r][at.UNTIL] = now
            advance(n[r], x[r], slot[r], job, when, table, hist[r], trace[r], key, queue[r])
            # Those that leave at the end of a step under way are still in flight.
            done = n[r][at.SEEN] if x[r][at.NOW] > now else n[r][at.DONE]
            load = n[r][at.ASSIGNED] - done
            if load < least:
                best, least = r, load
        append(n[best], job, who)
        chosen[who] = best
    for r in range(replicas):
        x[r][at.UNTIL] = at.NEVER
        advance(n[r], x[r], slot[r], job, when, table, hist[r], trace[r], key, queue[r])
