"""Replicas that start and stop with the load, behind a router to the least loaded one.

At every decision the number wanted is the requests in flight over the target, rounded up. Missing
replicas start at once and serve when warm; too many are dropped, the last first, when fewer have
been wanted for long enough: they take no new request and end when theirs are done. A request that
finds no replica on starts one; when none is warm it waits for the first that will be.

Compiled together with `loop`; see `autoscale` for the rule and the arrays' meaning.
"""

from __future__ import annotations

import math

from ridgeline.serving import layout as at
from ridgeline.serving.compiled import compiled, entry
from ridgeline.serving.loop_ranks import advance_ranks
from ridgeline.serving.loop_routing import hand_over, load_of

# As seen without a compiler; arrays otherwise. One row a rank, a replica's side by side; `power`
# has one row a replica.
Ints = list[int]
Floats = list[float]
IntRows = list[list[int]]
FloatRows = list[list[float]]

# --- scale: the rule and its clocks; then what it led to ---
(EVERY, TARGET, COLD, PATIENCE, LEAST, NEXT, LOW_SINCE, STARTS, PEAK, SECONDS, SCALE) = range(11)
# --- power: one row a replica: warm from, started at, whether it is being emptied ---
(WARM, SINCE, EMPTYING, POWER) = range(4)


@compiled
def start(x: FloatRows, scale: Floats, power: FloatRows, r: int, now: float) -> None:
    """Turn a replica on; one still being emptied is warm."""
    if power[r][EMPTYING] > 0:
        power[r][EMPTYING] = 0.0
        return
    power[r][WARM], power[r][SINCE] = now + scale[COLD], now
    ranks = len(x) // len(power)
    for rank in range(r * ranks, (r + 1) * ranks):
        x[rank][at.NOW] = max(x[rank][at.NOW], now + scale[COLD])
    scale[STARTS] += 1


@compiled
def switch_off(scale: Floats, power: FloatRows, r: int, now: float) -> None:
    """Turn a replica off that has nothing left to do."""
    scale[SECONDS] += now - power[r][SINCE]
    power[r][WARM], power[r][EMPTYING] = at.NEVER, 0.0


@compiled
def adjust(x: FloatRows, scale: Floats, power: FloatRows, on: int, wanted: int, now: float
           ) -> None:
    """Start or drop replicas towards the number wanted."""
    replicas = len(power)
    if wanted >= on:
        scale[LOW_SINCE] = -1.0
    elif scale[LOW_SINCE] < 0:
        scale[LOW_SINCE] = now
    for r in range(replicas):                       # those being emptied are the nearest to hand
        if on < wanted and power[r][EMPTYING] > 0:
            start(x, scale, power, r, now)
            on += 1
    for r in range(replicas):
        if on < wanted and power[r][WARM] >= at.NEVER:
            start(x, scale, power, r, now)
            on += 1
    if wanted < on and now - scale[LOW_SINCE] >= scale[PATIENCE]:
        for r in range(replicas - 1, -1, -1):
            if on > wanted and power[r][WARM] < at.NEVER and power[r][EMPTYING] == 0:
                power[r][EMPTYING] = 1.0
                on -= 1
        scale[LOW_SINCE] = -1.0
    scale[PEAK] = max(scale[PEAK], on)


@compiled
def decide(n: IntRows, x: FloatRows, slot: IntRows, job: Ints, when: Floats, table: Floats,
           hist: FloatRows, trace: FloatRows, key: Floats, queue: IntRows, chosen: Ints,
           scale: Floats, power: FloatRows) -> bool:
    """One decision of the rule, at its time; whether the next ones would change nothing."""
    now, load, on, emptying = scale[NEXT], 0, 0, 0
    ranks = len(n) // len(power)
    for r in range(len(power)):
        if power[r][WARM] >= at.NEVER:
            continue
        advance_ranks(n, x, slot, job, when, table, hist, trace, key, queue, chosen, r * ranks,
                      ranks, now)
        mine = load_of(n, x, r * ranks, ranks, now)
        load += mine
        if power[r][EMPTYING] == 0:
            on += 1
        else:
            emptying += 1
        if power[r][EMPTYING] > 0 and mine == 0:
            switch_off(scale, power, r, max(now, power[r][SINCE]))
    wanted = max(int(scale[LEAST]), min(len(power), math.ceil(load / scale[TARGET] - 1e-9)))
    adjust(x, scale, power, on, wanted, now)
    scale[NEXT] += scale[EVERY]
    return load == 0 and on == scale[LEAST] and emptying == 0


@compiled
def route(n: IntRows, x: FloatRows, power: FloatRows, k: int, now: float) -> int:
    """The warm replica with the fewest in flight, in turn; else the first to be warm; -1: none."""
    replicas = len(power)
    ranks = len(n) // replicas
    best, least, warm = -1, at.UNLIMITED, at.NEVER
    for step in range(replicas):
        r = (k + step) % replicas
        if power[r][EMPTYING] > 0:
            continue
        if power[r][WARM] <= now:
            load = load_of(n, x, r * ranks, ranks, now)
            if load < least:
                best, least, warm = r, load, -1.0
        elif power[r][WARM] < warm:
            best, warm = r, power[r][WARM]
    return best


@entry
def serve_scaled(n: IntRows, x: FloatRows, slot: IntRows, job: Ints, when: Floats, table: Floats,
                 hist: FloatRows, trace: FloatRows, key: Floats, queue: IntRows, order: Ints,
                 chosen: Ints, scale: Floats, power: FloatRows) -> None:
    """Serve all requests under the rule; `order` and `chosen` as in `serve_least_loaded`."""
    ranks = len(n) // len(power)
    for k in range(len(order)):
        who = order[k]
        now = when[who * at.WHEN + at.ARRIVAL]
        while scale[NEXT] <= now:
            if decide(n, x, slot, job, when, table, hist, trace, key, queue, chosen, scale, power):
                scale[NEXT] += max(0.0, (now - scale[NEXT]) // scale[EVERY]) * scale[EVERY]
        for r in range(len(power)):
            if power[r][WARM] < at.NEVER:
                advance_ranks(n, x, slot, job, when, table, hist, trace, key, queue, chosen,
                              r * ranks, ranks, now)
        best = route(n, x, power, k, now)
        if best < 0:
            adjust(x, scale, power, 0, 1, now)
            best = route(n, x, power, k, now)
        chosen[who] = hand_over(n, x, job, best * ranks, ranks, who, now)
    for r in range(len(power)):
        if power[r][WARM] < at.NEVER:
            advance_ranks(n, x, slot, job, when, table, hist, trace, key, queue, chosen, r * ranks,
                          ranks, at.NEVER)
