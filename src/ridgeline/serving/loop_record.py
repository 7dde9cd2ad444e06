"""What the simulator's loop notes as steps pass: clock, integrals, timeline, gaps between tokens.

Compiled together with `loop`; see `layout` for the arrays.
"""

from __future__ import annotations

from ridgeline.serving import layout as at
from ridgeline.serving.compiled import compiled
from ridgeline.serving.loop_parts import record_gap

# As seen without a compiler; arrays otherwise.
Ints = list[int]
Floats = list[float]


@compiled
def pass_time(n: Ints, x: Floats, trace: Floats, seconds: float, batch: int) -> None:
    """Advance the clock, the integrals and the timeline."""
    x[at.DECIDED] = x[at.NOW]       # what is known as this step begins decides the next one
    x[at.NOW] += seconds
    x[at.BUSY] += seconds
    x[at.SEQUENCE_SECONDS] += seconds * batch
    x[at.BLOCK_SECONDS] += seconds * (n[at.TOTAL] - n[at.FREE])
    if x[at.NOW] < x[at.NEXT_SAMPLE] or n[at.SAMPLE_ROOM] == 0:
        return
    if n[at.SAMPLES] == n[at.SAMPLE_ROOM]:      # full: keep every second sample, go on at half rate
        n[at.SAMPLES] //= 2
        x[at.PERIOD] *= 2
        for k in range(n[at.SAMPLES]):
            for field in range(at.SAMPLE):
                trace[k * at.SAMPLE + field] = trace[2 * k * at.SAMPLE + field]
    k = n[at.SAMPLES] * at.SAMPLE
    trace[k + at.AT], trace[k + at.AT_RUNNING] = x[at.NOW], batch
    trace[k + at.AT_BLOCKS] = n[at.TOTAL] - n[at.FREE]
    trace[k + at.AT_TOKENS] = n[at.OUTPUT_TOKENS]
    n[at.SAMPLES] += 1
    x[at.NEXT_SAMPLE] = x[at.NOW] + x[at.PERIOD]


@compiled
def count_gaps(n: Ints, x: Floats, slot: Ints, when: Floats, hist: Floats, batch: int) -> None:
    """Gaps of the tokens of one decode step that ends now."""
    gap = x[at.NOW] - x[at.SINCE]
    record_gap(hist, gap, batch - n[at.FRESH])
    who = n[at.LAST]
    while n[at.FRESH] > 0 and who >= 0:
        if slot[who * at.SLOT + at.BEGAN] == n[at.STEP]:
            request = slot[who * at.SLOT + at.WHO]
            record_gap(hist, x[at.NOW] - when[request * at.WHEN + at.END], 1)
            n[at.FRESH] -= 1
        who = slot[who * at.SLOT + at.BEFORE]


@compiled
def delayed(x: Floats, seconds: float) -> float:
    """A step's time with what it waits for: loads beside it, swaps before it [s]."""
    seconds = max(seconds, x[at.LOAD]) + x[at.DELAY]
    x[at.LOAD] = x[at.DELAY] = 0.0
    return seconds


@compiled
def steps_before(limit: float, first: float, slope: float, most: int) -> int:
    """Fewest steps of `first`, `first + slope`, ... that last for `limit` [s], at most `most`."""
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        if middle * (first + slope * (middle - 1) / 2) >= limit:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def record_ramp(hist: Floats, first: float, slope: float, steps: int, batch: int) -> None:
    """Count the gaps of steps that grow by `slope`; short runs count as their middle."""
    pieces = 1
    if abs(slope) * (steps - 1) > 0.01 * first:
        pieces = min(steps, 32)
    for k in range(pieces):
        low, high = k * steps // pieces, (k + 1) * steps // pieces
        record_gap(hist, first + slope * (low + high - 1) / 2, (high - low) * batch)
