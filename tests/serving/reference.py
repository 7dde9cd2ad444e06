"""The slow, obvious simulator: one step at a time, one request at a time, no counting tricks.

Every request knows its own blocks; every step walks over every running request, in order.
"""

from dataclasses import dataclass, field
from math import ceil, inf


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

    @property
    def known(self):
        """Tokens whose keys and values the next token needs."""
        return self.prompt + self.made


class Reference:
    def __init__(self, table, jobs, rules, concurrency=None):
        self.table, self.rules, self.jobs = table, rules, jobs
        self.free = inf if rules.kv_blocks is None else rules.kv_blocks
        self.waiting, self.running = [], []
        self.now, self.started, self.padding = 0.0, False, 0
        self.later = list(jobs)
        self.closed = concurrency is not None
        self.steps = self.preemptions = self.prompt_tokens = self.output_tokens = 0
        if self.closed:
            self.waiting, self.later = self.later[:concurrency], self.later[concurrency:]

    def run(self):
        while True:
            self.arrive()
            if not self.waiting and not self.running:
                if not self.later or self.closed:
                    return
                self.now = self.later[0].arrival
                self.arrive()
            if self.rules.interval:
                self.now = ceil(self.now / self.rules.interval - 1e-9) * self.rules.interval
                self.arrive()
            self.step()

    def arrive(self):
        while self.later and not self.closed and self.later[0].arrival <= self.now:
            self.waiting.append(self.later.pop(0))
        if self.rules.order != "fcfs":
            self.waiting.sort(key=lambda j: (j.key, j.number))

    def allocate(self, job, tokens):
        """Whether blocks for so many tokens of cache could be had."""
        need = ceil(tokens / self.rules.block_size) - job.blocks
        if need > self.free:
            return False
        self.free -= need
        job.blocks += need
        return True

    def promised(self, job):
        size = self.rules.block_size
        blocks = ceil((job.prompt + ceil(self.rules.reserve * job.output)) / size)
        return min(blocks, self.rules.kv_blocks or inf)

    def admissible(self, job, tokens):
        if ceil(tokens / self.rules.block_size) > self.free:
            return False
        if self.rules.reserve is None:
            return True
        if ceil(job.known / self.rules.block_size) > self.free:
            return False
        held = sum(self.promised(j) for j in self.running)
        return held + self.promised(job) <= (self.rules.kv_blocks or inf)

    def preempt(self):
        job = self.running.pop()
        self.free += job.blocks
        job.blocks = job.computed = 0
        job.evictions += 1
        self.preemptions += 1
        self.waiting.insert(0, job)
        self.arrive()
        return job

    def step(self):
        mixed = self.rules.prompts == "mixed"
        budget, evicted = self.rules.token_budget, False
        decoding, prompts = [], []
        # Running requests, in order: one token each, or more of their prompt.
        if mixed:
            decoding, evicted = self.schedule_decoding()
            budget -= len(decoding)
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
        self.finish_step(decoding, prompts, mixed)

    def schedule_decoding(self):
        scheduled, evicted = [], False
        for job in list(self.running):
            if job not in self.running or job.reading:
                continue
            while not self.allocate(job, job.known):
                evicted = True
                if self.preempt() is job:
                    break
            else:
                scheduled.append(job)
        return [j for j in scheduled if j in self.running], evicted

    def schedule_waiting(self, prompts, budget):
        unfinished = any(job.computed + new < job.known for job, new, _ in prompts)
        while self.waiting and budget > 0 and not unfinished:
            if len(self.running) + self.padding >= self.rules.sequences:
                break
            if self.rules.static and self.started:
                break
            job = self.waiting[0]
            hit = min(job.cached, job.known - 1)
            new = min(budget, job.known - hit)
            if not self.admissible(job, hit + new):
                break
            self.waiting.pop(0)
            self.running.append(job)
            job.computed, job.reading = hit, True
            assert self.allocate(job, hit + new)
            if job.start < 0:
                job.start = self.now
            prompts.append((job, new, hit))
            budget -= new
            unfinished = hit + new < job.known
        return budget

    def finish_step(self, decoding, prompts, mixed):
        done_prompts = [job for job, new, past in prompts if past + new == job.known]
        rows = len(decoding) + (self.padding if decoding else 0)
        new_tokens = sum(new for _, new, _ in prompts)
        table = self.table
        seconds = table.fixed + table.tokens(new_tokens + rows)
        seconds += sum(table.prefill(new, past) for _, new, past in prompts)
        if rows:
            context = sum(job.known for job in decoding) / len(decoding)
            seconds += table.decode(rows, context)
        if rows + len(done_prompts):
            seconds += table.logits(rows + len(done_prompts))
        assert decoding or prompts
        self.now += seconds
        self.steps += 1
        self.prompt_tokens += new_tokens
        for job, new, past in prompts:
            job.computed = past + new
        self.started = self.started or (self.rules.static and bool(decoding))
        for job in done_prompts:
            job.reading = False
        leaving = []
        for job in decoding:
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
        for job in leaving:
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
            self.free += job.blocks
            job.blocks = 0
        if self.closed and self.later:
            arriving = self.later.pop(0)
            arriving.arrival = self.now
            self.waiting.append(arriving)
            self.arrive()
