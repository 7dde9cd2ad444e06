"""Where the simulator's loop keeps what: offsets into its flat arrays.

The loop's state is a handful of flat arrays, which compile to plain memory accesses and are plain
lists without a compiler:

    n      int     state and limits of a replica, then new blocks due by phase
    x      float   clocks and integrals of a replica
    slot   int     SLOT fields for each running sequence, then two lists: the sequences whose
                   prompt ends in this step, and the heap of decoding ones by last step; then,
                   with a prefix cache, TIERS x TIER fields, ENTRY fields a hashed block, and the
                   chains of the requests' blocks (their starts, then the blocks)
    job    int     JOB fields a request
    when   float   WHEN fields a request [s]
    table  float   step times: all tokens, logits, decoding, prompts (see step_arrays)
    hist   float   tokens by the gap before them, on a logarithmic scale
    trace  float   SAMPLE fields a sample of the timeline
"""

# --- n: state of a replica ---
(STEP, RUNNING, FREE, TOTAL, BLOCK, SEQS, BUDGET, HEAD, TAIL, LAST, SPARE, PARTIAL, STACK, HEAP,
 BASE, PROMISED, MIXED, STATIC, STARTED, PAD, PAD_BLOCKS, BY_KEY, WAITING, UPCOMING, COUNT, DONE,
 JOINED, PREEMPTED, FRESH, STEPS, PREEMPTIONS, PROMPT_TOKENS, OUTPUT_TOKENS, JOIN_AT, HEAP_AT,
 LOGIT_AT, DECODE_AT, CONTEXT_AT, CONTEXTS, CHUNK_AT, CHUNKS, PAST_AT, PASTS, PROMPT_AT, SAMPLES,
 SAMPLE_ROOM, ASSIGNED, SEEN, LIMIT, REJECTED, HOST_FREE, SWAPPED, DRAFTS, ACCEPT_AT, SEED,
 VERIFIED, CACHE_AT, CHAIN_AT, UNIT, HASHED, ASKED, FOUND, LOADED, OVERLAP, LATE_SEATS,
 LATE_BLOCKS, QUEUED, SHARED_AT, PAD_TO, TURN, NEXT_SENT, LAST_SENT, NEW, BATCH,
 RANKS, DETAIL, MIXED_AT, PHASE) = range(78)

# --- x: clocks and integrals ---
(NOW, UNTIL, BUSY, SEQUENCE_SECONDS, BLOCK_SECONDS, RESERVE, INTERVAL, SINCE, NEXT_SAMPLE,
 PERIOD, STALLED, PROMPTS, SWAP, DELAY, LOAD, DRAFT_COST, HOST_SECONDS, DISK_SECONDS, DECIDED,
 OWN, CLOCKS) = range(21)

# --- slot: a running sequence ---
(WHO, LENGTH, BEGAN, ENDS, BEFORE, AFTER, PLACE, TARGET, COMPUTED, HELD, SHARED,
 SLOT) = range(12)

# --- slot: the prefix cache: lists of blocks nobody uses, and a hashed block ---
(OLDEST, NEWEST, KEEPS, ROOM, TIER) = range(5)
(USERS, WHERE, OLDER, YOUNGER, ENTRY) = range(5)
TIERS = 3           # device, host, disk

# --- job: a request ---
(PROMPT, OUTPUT, MADE, EVICTIONS, LINK, HIT, KEPT, JOB) = range(8)

# --- when: times of a request ---
(ARRIVAL, START, FIRST, END, WHEN) = range(5)

# --- hist: gaps from 1 us, BINS_PER_OCTAVE to each doubling ---
BINS, BINS_PER_OCTAVE, SHORTEST_GAP = 2048, 64, 1e-6

# --- trace: a sample of the timeline ---
(AT, AT_RUNNING, AT_BLOCKS, AT_TOKENS, SAMPLE) = range(5)

NEVER = 1e300
UNLIMITED = 1 << 60
