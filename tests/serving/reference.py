"""The slow, obvious simulator: one step at a time, one request at a time, no counting tricks.

Every request knows its own blocks; every step walks over every running request, in order.
"""

from dataclasses import dataclass, field, replace
from math import ceil, inf

from ridgeline.serving.rules import Ranks


@dataclass
class Job:
    number: int
    arrival: float
    prompt: int
    output: int
    cached: int = 0
    key: float = 0.0
    made: int = 0           # tokens made so far
    computed: int = 0       # tokens whose keys and values are in the cache
    blocks: int = 0
    start: float = -1.0
    first: float = -1.0
    end: float = -1.0
    evictions: int = 0
    gaps: list = field(default_factory=list)
    done: bool = False
    reading: bool = False   # its prompt is not yet read to the end
    kept: int = 0           # tokens whose keys and values wait elsewhere
    chain: tuple = ()       # hashes of its prompt's full blocks
    shared: int = 0         # how many of them it holds together with others

    @property
    def known(self):
        """Tokens whose keys and values the next token needs."""
        return self.prompt + self.made


# Sizes of captured graphs [tokens].
CAPTURED = (1, 2, 4, *range(8, 257, 8), *range(272, 4097, 16))


class Cache:
    """Hashed blocks: who uses them, and lists of unused ones by tier, oldest first."""

    def __init__(self, rules, hashed):
        cache = rules.prefix_cache
        self.hashed, self.unit = hashed, hashed // rules.block_size
        self.users = {}
        self.tiers = [[], [], []]
        self.room = [inf, cache.host_tokens // hashed, cache.disk_tokens // hashed]
        self.seconds = [0.0, cache.host_seconds * hashed, cache.disk_seconds * hashed]

    def where(self, block):
        if self.users.get(block):
            return 0
        return next((t for t, held in enumerate(self.tiers) if block in held), None)

    def hits(self, job):
        most = min(len(job.chain), (job.known - 1) // self.hashed)
        count = 0
        while count < most and self.where(job.chain[count]) is not None:
            count += 1
        return count

    def used(self, job):
        return sum(bool(self.users.get(b)) for b in job.chain[:self.hits(job)])

    def use(self, block):
        """(blocks it takes from the free ones, seconds to load it, whether it was loaded)."""
        where, first = self.where(block), not self.users.get(block)
        if first and where is not None:
            self.tiers[where].remove(block)
        self.users[block] = self.users.get(block, 0) + 1
        return (self.unit if first else 0, self.seconds[where or 0], bool(where))

    def let_go(self, block):
        self.users[block] -= 1
        if self.users[block]:
            return 0
        self.tiers[0].append(block)
        return self.unit

    def trim(self, free):
        while len(self.tiers[0]) * self.unit > free:
            block = self.tiers[0].pop(0)
            for tier in (1, 2):
                if self.room[tier] and block is not None:
                    self.tiers[tier].append(block)
                    full = len(self.tiers[tier]) > self.room[tier]
                    block = self.tiers[tier].pop(0) if full else None


def accepted(rules, job, most):
    """Drafts accepted, drawn as the fast simulator does."""
    from ridgeline.serving.compiled import plain
    from ridgeline.serving.loop_speculative import drawn

    u, count = plain(drawn)(rules.seed % 2**31, job.number, job.made), 0
    while count < most and u < rules.speculation.chances[count]:
        count += 1
    return count


class Reference:
    def __init__(self, table, jobs, rules, concurrency=None, hashed=0):
        self.table, self.rules, self.jobs = table, rules, jobs
        self.cache = Cache(rules, hashed) if rules.prefix_cache else None
        self.host = rules.swap.tokens // rules.block_size if rules.swap else 0
        self.delay = self.load = 0.0
        self.rejected = self.swapped = self.found = self.loaded = 0
        self.free = inf if rules.kv_blocks is None else rules.kv_blocks
        self.waiting, self.running = [], []
        self.known = []         # sent by a closed loop within a step, not seen yet
        self.now, self.started, self.padding = 0.0, False, 0
        self.decided, self.late, self.late_blocks = 0.0, 0, 0
        self.later = list(jobs)
        self.closed = concurrency is not None
        self.steps = self.preemptions = self.prompt_tokens = self.output_tokens = 0
        if self.closed:
            self.waiting, self.later = self.later[:concurrency], self.later[concurrency:]

    def run(self):
        while True:
            self.arrive()
            if not self.waiting and not self.running and self.known:
                self.decide_now()
                continue
            if not self.waiting and not self.running:
                if not self.later or self.closed:
                    return
                self.decide_now()
                self.now = self.decided = max(self.now, self.later[0].arrival)
                self.arrive()
            if self.rules.interval:
                departures = ceil(self.now / self.rules.interval - 1e-9)
                if departures * self.rules.interval < self.now * (1 - 1e-12):
                    departures += 1
                self.now = self.decided = departures * self.rules.interval
                self.arrive()
            begun = self.now
            if self.step():
                self.decided = begun if self.rules.overlap else self.now
            else:
                self.decide_now()

    def decide_now(self):
        """Nothing could be decided ahead: what is known now counts."""
        assert self.decided < self.now or self.late or not self.running
        self.decided, self.late, self.late_blocks = self.now, 0, 0

    def arrive(self):
        for job in list(self.known):
            if job.arrival <= self.decided:
                self.known.remove(job)
                self.waiting.append(job)
        while self.later and not self.closed and self.later[0].arrival <= self.decided:
            job = self.later.pop(0)
            if self.rules.most_waiting and len(self.waiting) >= self.rules.most_waiting:
                self.rejected += 1
            else:
                self.waiting.append(job)
        if self.rules.order != "fcfs" or self.rules.most_waiting:
            self.waiting.sort(key=lambda j: (j.key, j.number))

    def allocate(self, job, tokens):
        """Whether blocks for so many tokens of cache could be had."""
        need = ceil(tokens / self.rules.block_size) - job.blocks
        if need > self.free:
            return False
        self.free -= max(need, 0)
        job.blocks += max(need, 0)
        if self.cache:
            self.cache.trim(self.free)
        return True

    def release(self, job):
        own = job.blocks
        if self.cache:
            own -= job.shared * self.cache.unit
            for block in reversed(job.chain[:job.shared]):
                self.free += self.cache.let_go(block)
        self.free += own
        job.blocks = job.shared = 0

    def remember(self, job):
        if not self.cache:
            return
        for block in job.chain[job.shared:]:
            self.free += self.cache.unit
            self.free -= self.cache.use(block)[0]
        job.shared = len(job.chain)

    def hit_of(self, job):
        hit = max(job.cached, job.kept)
        if self.cache:
            hit = max(hit, self.cache.hits(job) * self.cache.hashed)
        return min(hit, job.known - 1)

    def take(self, job):
        """Hold the cached blocks of a job that starts, and bring back what was swapped out."""
        if self.cache:
            hits = self.cache.hits(job)
            for block in job.chain[:hits]:
                room, seconds, loaded = self.cache.use(block)
                self.free -= room
                self.load += seconds
                self.loaded += loaded * self.cache.hashed
            job.shared, job.blocks = hits, hits * self.cache.unit
            self.found += hits * self.cache.hashed
        if job.kept and self.rules.swap and job.evictions:
            blocks = ceil(job.kept / self.rules.block_size)
            self.host += blocks
            self.delay += blocks * self.rules.swap.seconds_per_token * self.rules.block_size
        job.kept = 0

    def swap_out(self, job):
        blocks = ceil(job.computed / self.rules.block_size)
        if self.rules.swap and blocks <= self.host:
            self.host -= blocks
            job.kept = job.computed
            self.swapped += 1
            self.delay += blocks * self.rules.swap.seconds_per_token * self.rules.block_size

    def promised(self, job):
        size = self.rules.block_size
        blocks = ceil((job.prompt + ceil(self.rules.reserve * job.output)) / size)
        return min(blocks, self.rules.kv_blocks or inf)

    def admissible(self, job, tokens):
        free = self.free - self.late_blocks
        if self.cache:
            free += self.cache.unit * self.cache.used(job)
        if ceil(tokens / self.rules.block_size) > free:
            return False
        if self.rules.reserve is None:
            return True
        if ceil(job.known / self.rules.block_size) > free:
            return False
        held = sum(self.promised(j) for j in self.running)
        return held + self.promised(job) <= (self.rules.kv_blocks or inf)

    def preempt(self):
        job = self.running.pop()
        self.swap_out(job)
        self.release(job)
        job.computed = 0
        job.evictions += 1
        self.preemptions += 1
        self.waiting.insert(0, job)
        self.arrive()
        return job

    def step(self):
        decoding, prompts = self.compose()
        if not prompts and not decoding:
            return False
        self.end_step(decoding, prompts, self.delayed(self.seconds_of(decoding, prompts)))
        return True

    def compose(self):
        """Who decodes and which pieces of prompts are read in the next step."""
        mixed = self.rules.prompts == "mixed"
        budget, evicted = self.rules.token_budget, False
        decoding, prompts = [], []
        # Running requests, in order: one token each, or more of their prompt.
        if mixed:
            decoding, evicted = self.schedule_decoding()
            budget -= len(decoding) * (1 + self.rules.drafts)
        partial = [j for j in self.running if j.reading]
        for job in partial:
            new = min(budget, job.known - job.computed)
            if new <= 0:
                continue
            if not self.allocate(job, job.computed + new):
                assert self.preempt() is job
                evicted = True
                continue
            prompts.append((job, new, job.computed))
            budget -= new
        if not evicted:
            budget = self.schedule_waiting(prompts, budget)
        if not prompts and not mixed:
            decoding, _ = self.schedule_decoding()
        return decoding, prompts

    def schedule_decoding(self):
        scheduled, evicted = [], False
        for job in list(self.running):
            if job not in self.running or job.reading:
                continue
            ahead = min(self.rules.drafts, job.output - job.made - 1)
            while not self.allocate(job, job.known + ahead):
                evicted = True
                if self.preempt() is job:
                    break
            else:
                scheduled.append(job)
        return [j for j in scheduled if j in self.running], evicted

    def schedule_waiting(self, prompts, budget):
        unfinished = any(job.computed + new < job.known for job, new, _ in prompts)
        while self.waiting and budget > 0 and not unfinished:
            if len(self.running) + self.padding + self.late >= self.rules.sequences:
                break
            if self.rules.static and self.started:
                break
            job = self.waiting[0]
            hit = self.hit_of(job)
            new = min(budget, job.known - hit)
            if not self.admissible(job, hit + new):
                break
            self.waiting.pop(0)
            self.running.append(job)
            self.take(job)
            job.computed, job.reading = hit, True
            assert self.allocate(job, hit + new)
            if job.start < 0:
                job.start = self.decided
            prompts.append((job, new, hit))
            budget -= new
            unfinished = hit + new < job.known
        return budget

    def seconds_of(self, decoding, prompts):
        """Time of the step, but for swaps and loads."""
        done_prompts = [job for job, new, past in prompts if past + new == job.known]
        rows = len(decoding) + (self.padding if decoding else 0)
        batch, drafts = rows, self.rules.drafts
        rows *= 1 + drafts
        new_tokens = sum(new for _, new, _ in prompts)
        table = self.table
        seconds = table.fixed + table.tokens(new_tokens + rows)
        seconds += sum(table.prefill(new, past) for _, new, past in prompts)
        if rows:
            context = sum(job.known for job in decoding) / len(decoding)
            seconds += (table.beside_prompts if prompts else table.decode)(batch, context)
            if drafts:
                plain = (table.fixed + table.tokens(batch) + table.logits(batch)
                         + table.decode(batch, context))
                seconds += drafts * self.rules.speculation.draft_cost * plain
        if rows + len(done_prompts):
            seconds += table.logits(rows + len(done_prompts))
        return seconds * (self.rules.prompt_factor if prompts else 1.0)

    def delayed(self, seconds):
        """Loads go beside a step, swaps before it."""
        seconds = max(seconds, self.load) + self.delay
        self.load = self.delay = 0.0
        return seconds

    def end_step(self, decoding, prompts, seconds):
        """Everybody's tokens of the step."""
        drafts = self.rules.drafts
        done_prompts = [job for job, new, past in prompts if past + new == job.known]
        self.late = self.late_blocks = 0
        self.now += seconds
        new_tokens = sum(new for _, new, _ in prompts)
        self.steps += 1
        self.prompt_tokens += new_tokens
        for job, new, past in prompts:
            job.computed = past + new
        self.started = self.started or (self.rules.static and bool(decoding))
        for job in done_prompts:
            job.reading = False
            self.remember(job)
        leaving = []
        for job in decoding:
            if drafts:
                extra = accepted(self.rules, job, min(drafts, job.output - job.made - 1))
                job.made += extra
                job.computed += extra
                self.output_tokens += extra
                job.gaps += [0.0] * extra
            job.computed += 1
        for job in decoding + done_prompts:
            if job.first < 0:
                job.first = self.now
            else:
                job.gaps.append(self.now - job.end)
            job.end = self.now
            job.made += 1
            self.output_tokens += 1
            if job.made == job.output:
                leaving.append(job)
        # Who leaves first is forgotten first: prompts of one token, then decoders by number.
        for job in sorted(leaving, key=lambda j: (j not in done_prompts, j.number)
                          if j not in done_prompts else (False, done_prompts.index(j))):
            self.leave(job)
        if self.started and not any(not j.reading for j in self.running):
            self.started, self.padding = False, 0
            for job in self.jobs:
                if job.done:
                    self.free += job.blocks
                    job.blocks = 0

    def leave(self, job):
        self.running.remove(job)
        job.done = True
        if self.started:
            self.padding += 1
        else:
            before = self.free
            self.release(job)
            if self.rules.overlap:
                self.late += 1
                self.late_blocks += self.free - before
        if self.closed and self.later:
            arriving = self.later.pop(0)
            arriving.arrival = self.now
            self.known.append(arriving)


class RankedReference:
    """Attention copies, each a scheduler of its own, that step together."""

    def __init__(self, table, jobs, rules, concurrency=None, hashed=0):
        self.table, self.rules, self.jobs = table, rules, jobs
        alone = replace(rules, ranks=Ranks())
        self.ranks = [Reference(table, [], alone, None, hashed) for _ in range(rules.ranks.count)]
        self.later, self.closed, self.turn, self.now = list(jobs), concurrency is not None, 0, 0.0
        for rank in self.ranks:
            rank.sent = rank.done_before = 0
        for _ in range(min(concurrency or 0, len(jobs))):
            self.hand_over(self.later.pop(0))

    def __getattr__(self, name):
        """Counts of all ranks."""
        if name == "steps":
            return self.ranks[0].steps
        return sum(getattr(rank, name) for rank in self.ranks)

    def hand_over(self, job):
        def score(rank):
            done = sum(j.done for j in rank.jobs) + rank.rejected
            in_flight = rank.sent - (rank.done_before if job.arrival < self.now else done)
            return in_flight + 3 * (len(rank.waiting) + len(rank.later))

        if self.rules.ranks.balance == "turns":
            best = self.ranks[self.turn % len(self.ranks)]
            self.turn += 1
        else:
            best = min(self.ranks, key=score)
        best.later.append(job)
        best.jobs.append(job)
        best.sent += 1

    def route(self):
        while self.later and not self.closed and self.later[0].arrival <= self.now:
            self.hand_over(self.later.pop(0))

    def run(self):
        while True:
            self.route()
            for rank in self.ranks:
                if not self.rules.overlap:
                    rank.decided = self.now
                rank.arrive()
            if not any(rank.waiting or rank.running for rank in self.ranks):
                if self.decide_now():
                    continue
                soon = [job.arrival for rank in self.ranks for job in rank.later]
                soon += [] if self.closed else [job.arrival for job in self.later[:1]]
                if not soon:
                    return
                self.set_clocks(min(soon))
                continue
            if self.rules.interval:
                self.set_clocks(ceil(self.now / self.rules.interval - 1e-9) * self.rules.interval)
                self.route()
                for rank in self.ranks:
                    rank.arrive()
            self.step()

    def set_clocks(self, now):
        self.now = now
        for rank in self.ranks:
            rank.now = rank.decided = now

    def decide_now(self):
        changed = any(rank.decided < rank.now or rank.late for rank in self.ranks)
        for rank in self.ranks:
            rank.decide_now()
        return changed

    def step(self):
        done = 0
        for rank in self.ranks:
            rank.done_before = sum(job.done for job in rank.jobs) + rank.rejected
            done += rank.done_before
        parts = [rank.compose() for rank in self.ranks]
        if not any(decoding or prompts for decoding, prompts in parts):
            assert self.decide_now()
            return
        seconds = self.seconds_of(parts)
        seconds = max(rank.delayed(seconds) for rank in self.ranks)
        begun = self.now
        for rank, (decoding, prompts) in zip(self.ranks, parts, strict=True):
            rank.end_step(decoding, prompts, seconds)
            rank.decided = begun if self.rules.overlap else rank.now
        self.now = self.ranks[0].now
        if self.closed:
            left = sum(job.done for rank in self.ranks for job in rank.jobs) - done
            for job in self.later[:left]:
                job.arrival = self.now
                self.hand_over(job)
            self.later = self.later[left:]

    def seconds_of(self, parts):
        drafts = self.rules.drafts
        seconds = self.joint([(decoding, len(decoding) * (1 + drafts), prompts)
                              for decoding, prompts in parts])
        if drafts and any(decoding for decoding, _ in parts):
            seconds += drafts * self.rules.speculation.draft_cost * self.joint(
                [(decoding, len(decoding), []) for decoding, _ in parts])
        return seconds * (self.rules.prompt_factor if any(p for _, p in parts) else 1.0)

    def joint(self, parts):
        table, ranks, share = self.table, len(parts), self.rules.ranks.share
        tokens = [rows + sum(new for _, new, _ in prompts) for _, rows, prompts in parts]
        if max(tokens) <= self.rules.ranks.pad_to:
            tokens = [next(size for size in CAPTURED if size >= max(tokens))] * ranks
        slowest = 0.0
        for (decoding, rows, prompts), count in zip(parts, tokens, strict=True):
            own = table.tokens(ranks * count) * (1 - share(ranks * count)) if count else 0.0
            own += sum(table.prefill(new, past) for _, new, past in prompts)
            ends = rows + sum(past + new == job.known for job, new, past in prompts)
            own += table.logits(ranks * ends) if ends else 0.0
            if decoding:
                context = sum(job.known for job in decoding) / len(decoding)
                grid = table.beside_prompts if prompts else table.decode
                own += grid(ranks * len(decoding), context)
            slowest = max(slowest, own)
        return table.fixed + table.tokens(sum(tokens)) * share(sum(tokens)) + slowest
