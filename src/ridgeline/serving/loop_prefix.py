"""The prefix cache in the simulator's loop: hashed blocks shared by running sequences, and tiers.

A prompt's leading hashed blocks that are in the cache are not computed again. A block in use is
held once, whoever uses it. Blocks nobody uses stay in device memory as long as no running sequence
needs the room; the longest unused leaves first, to the host, and from there to disk, where those
have room. A hit on a lower tier is loaded layer by layer beside the step that needs it, which
therefore lasts at least as long as the transfer. Blocks computed twice at once are merged when the
prompt is done.

Compiled together with `loop`; see `layout` for the arrays.
"""

from __future__ import annotations

from ridgeline.serving import layout as at
from ridgeline.serving.compiled import compiled

# As seen without a compiler; arrays otherwise.
Ints = list[int]
Floats = list[float]


@compiled
def entry(n: Ints, block: int) -> int:
    """Where a hashed block's fields are."""
    return n[at.CACHE_AT] + at.TIERS * at.TIER + block * at.ENTRY


@compiled
def chain_start(n: Ints, slot: Ints, who: int) -> int:
    """Where a request's chain of hashed blocks starts."""
    return slot[n[at.CHAIN_AT] + who]


@compiled
def cached_blocks(n: Ints, slot: Ints, job: Ints, who: int) -> int:
    """Leading hashed blocks of a request that some tier holds, short of its last token."""
    first = chain_start(n, slot, who)
    most = chain_start(n, slot, who + 1) - first
    j = who * at.JOB
    most = min(most, (job[j + at.PROMPT] + job[j + at.MADE] - 1) // n[at.HASHED])
    hits = 0
    while hits < most and slot[entry(n, slot[first + hits]) + at.WHERE] >= 0:
        hits += 1
    return hits


@compiled
def used_blocks(n: Ints, slot: Ints, job: Ints, who: int) -> int:
    """How many of those others use already: they need no room."""
    first, used = chain_start(n, slot, who), 0
    for k in range(cached_blocks(n, slot, job, who)):
        if slot[entry(n, slot[first + k]) + at.USERS] > 0:
            used += 1
    return used


@compiled
def unlist(n: Ints, slot: Ints, block: int) -> None:
    """Take a block nobody uses out of its tier's list."""
    e = entry(n, block)
    tier = n[at.CACHE_AT] + slot[e + at.WHERE] * at.TIER
    older, younger = slot[e + at.OLDER], slot[e + at.YOUNGER]
    if older >= 0:
        slot[entry(n, older) + at.YOUNGER] = younger
    else:
        slot[tier + at.OLDEST] = younger
    if younger >= 0:
        slot[entry(n, younger) + at.OLDER] = older
    else:
        slot[tier + at.NEWEST] = older
    slot[tier + at.KEEPS] -= 1
    slot[e + at.WHERE] = -1


@compiled
def enlist(n: Ints, slot: Ints, block: int, where: int) -> None:
    """Put a block nobody uses at the young end of a tier's list."""
    e, tier = entry(n, block), n[at.CACHE_AT] + where * at.TIER
    last = slot[tier + at.NEWEST]
    slot[e + at.WHERE], slot[e + at.OLDER], slot[e + at.YOUNGER] = where, last, -1
    if last >= 0:
        slot[entry(n, last) + at.YOUNGER] = block
    else:
        slot[tier + at.OLDEST] = block
    slot[tier + at.NEWEST] = block
    slot[tier + at.KEEPS] += 1


@compiled
def demote(n: Ints, slot: Ints, where: int) -> None:
    """Move the longest unused block of a tier to the next one with room for anything."""
    block = slot[n[at.CACHE_AT] + where * at.TIER + at.OLDEST]
    unlist(n, slot, block)
    below = where + 1
    while below < at.TIERS:
        tier = n[at.CACHE_AT] + below * at.TIER
        if slot[tier + at.ROOM] > 0:
            pushed = slot[tier + at.OLDEST]
            full = slot[tier + at.KEEPS] == slot[tier + at.ROOM]
            if full:
                unlist(n, slot, pushed)
            enlist(n, slot, block, below)
            if not full:
                return
            block = pushed
        below += 1


@compiled
def trim(n: Ints, slot: Ints) -> None:
    """Drop cached blocks until running sequences have the room they took."""
    if n[at.CACHE_AT] == 0:
        return
    while slot[n[at.CACHE_AT] + at.KEEPS] * n[at.UNIT] > n[at.FREE]:
        demote(n, slot, 0)


@compiled
def use(n: Ints, slot: Ints, block: int) -> int:
    """One user more; the tier the block came from, -1 none."""
    e = entry(n, block)
    where = slot[e + at.WHERE]
    if slot[e + at.USERS] == 0:
        if where >= 0:
            unlist(n, slot, block)
        n[at.FREE] -= n[at.UNIT]
    slot[e + at.USERS] += 1
    slot[e + at.WHERE] = 0
    return where


@compiled
def take(n: Ints, x: Floats, slot: Ints, job: Ints, place: int) -> None:
    """Use the cached blocks of a request that starts; loads from lower tiers take time."""
    who = slot[place * at.SLOT + at.WHO]
    hits, first = cached_blocks(n, slot, job, who), chain_start(n, slot, who)
    for k in range(hits):
        where = use(n, slot, slot[first + k])
        if where == 1:
            x[at.LOAD] += x[at.HOST_SECONDS]
        elif where == 2:
            x[at.LOAD] += x[at.DISK_SECONDS]
        if where > 0:
            n[at.LOADED] += n[at.HASHED]
    slot[place * at.SLOT + at.SHARED] = hits
    n[at.FOUND] += hits * n[at.HASHED]
    n[at.ASKED] += job[who * at.JOB + at.PROMPT]


@compiled
def remember(n: Ints, slot: Ints, job: Ints, place: int) -> None:
    """A prompt is computed: its full blocks can be found from now on."""
    i = place * at.SLOT
    who = slot[i + at.WHO]
    first = chain_start(n, slot, who)
    full = min(chain_start(n, slot, who + 1) - first, job[who * at.JOB + at.PROMPT] // n[at.HASHED])
    for k in range(slot[i + at.SHARED], full):
        n[at.FREE] += n[at.UNIT]            # the sequence's own copy becomes, or joins, the shared
        use(n, slot, slot[first + k])
    slot[i + at.SHARED] = max(slot[i + at.SHARED], full)


@compiled
def let_go(n: Ints, slot: Ints, place: int) -> None:
    """One user fewer for each block a sequence shares; the prompt's end is forgotten first."""
    i = place * at.SLOT
    first = chain_start(n, slot, slot[i + at.WHO])
    for k in range(slot[i + at.SHARED] - 1, -1, -1):
        block = slot[first + k]
        e = entry(n, block)
        slot[e + at.USERS] -= 1
        if slot[e + at.USERS] == 0:
            n[at.FREE] += n[at.UNIT]
            slot[e + at.WHERE] = -1
            enlist(n, slot, block, 0)
    slot[i + at.SHARED] = 0
