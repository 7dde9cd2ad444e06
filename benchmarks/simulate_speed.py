"""Requests a second of the simulator at a batch of about 100, against plain Python; a day's load.

    python -m benchmarks simulate_speed

Prints the rate and memory of the compiled loop, its ratio to the same loop uncompiled and to a
plain event loop that walks over every sequence at every step (as simulators in Python do), and
the replay of a day of 4 million requests, as the Azure 2024 conversation trace has.
"""

import heapq
import resource
import sys
import time

import numpy as np

from ridgeline.serving.load import Load, generate_requests
from ridgeline.serving.replicas import Fleet, simulate_replicas
from ridgeline.serving.requests import Requests
from ridgeline.serving.rules import Ranks, Speculation
from ridgeline.serving.scheduler import Scheduler
from ridgeline.serving.simulator import simulate_replica
from ridgeline.serving.traces import read_trace
from ridgeline.timing.step_table import Grid, StepTable

DAY = 4_000_000
RULES = Scheduler(kv_blocks=40_000)


def table() -> StepTable:
    """A made-up deployment: 1 ms a step and costs that grow with tokens and context."""
    ends, far, flat = np.array([1.0, 1e5]), np.array([0.0, 1e6]), np.zeros(1)
    return StepTable(tokens=Grid(ends, flat, 1e-6 * ends[:, None]),
                     prefill=Grid(ends, far, 2e-6 * ends[:, None] + 0 * far[None, :]),
                     decode=Grid(ends, far, 1e-9 * ends[:, None] * far[None, :]),
                     logits=Grid(ends, flat, 1e-6 * ends[:, None]), fixed=1e-3)


def requests_of(count: int) -> Requests:
    """Requests of 1,000 + 200 tokens at a rate that keeps about 85 decoding."""
    return generate_requests(Load(1000, 200, count, rate=165.0, length_cv=0.3), seed=1)


def timed(count: int, compiled: bool = True, **rules: object) -> tuple[float, float]:
    """(CPU seconds, mean batch) of serving so many requests."""
    requests = requests_of(count)
    scheduler = Scheduler(kv_blocks=40_000, **rules)  # type: ignore[arg-type]
    begun = time.process_time()
    run = simulate_replica(table(), requests, scheduler, compiled=compiled)
    return time.process_time() - begun, run.mean_batch


def event_loop(requests: Requests, steps: StepTable, budget: int, most: int) -> float:
    """The last token's time by a plain loop: every step walks over every sequence."""
    waiting = [(float(requests.arrival[i]), i) for i in range(len(requests))]
    heapq.heapify(waiting)
    running: list[list[int]] = []           # prompt, prompt tokens read, output, tokens made
    now = 0.0
    while waiting or running:
        if not running and waiting[0][0] > now:
            now = waiting[0][0]
        decoding = [s for s in running if s[1] == s[0]]
        left, seconds, done = budget - len(decoding), steps.fixed, 0
        for s in running:
            if s[1] < s[0] and left > 0:
                new = min(left, s[0] - s[1])
                seconds += steps.prefill(new, s[1])
                s[1] += new
                left -= new
                done += s[1] == s[0]
        while waiting and waiting[0][0] <= now and left > 0 and len(running) < most:
            _, i = heapq.heappop(waiting)
            prompt = int(requests.prompt[i])
            new = min(left, prompt)
            running.append([prompt, new, int(requests.output[i]), 0])
            seconds += steps.prefill(new, 0.0)
            left -= new
            done += new == prompt
        seconds += steps.tokens(budget - left) + steps.logits(len(decoding) + done)
        if decoding:
            context = sum(s[0] + s[3] for s in decoding) / len(decoding)
            seconds += steps.decode(len(decoding), context)
        now += seconds
        for s in running:
            if s[1] == s[0]:
                s[3] += 1
        running = [s for s in running if s[3] < s[2]]
    return now


def against_event_loop(compiled_rate: float) -> None:
    """The ratio to the plain event loop, which must come to the same end."""
    requests = requests_of(1500)
    begun = time.process_time()
    last = event_loop(requests, table(), RULES.token_budget, RULES.sequences)
    rate = len(requests) / (time.process_time() - begun)
    ours = simulate_replica(table(), requests, RULES).makespan
    assert abs(last / ours - 1) < 1e-9, (last, ours)
    print(f"plain event loop: {rate:,.0f} requests/s; the compiled one is "
          f"{compiled_rate / rate:,.0f} x as fast, with the same result")


def day() -> None:
    """A day of conversations: lengths of the bundled Azure excerpt, busy by day, quiet by night."""
    excerpt = read_trace("azure-conv").requests
    random = np.random.default_rng(0)
    hours = np.linspace(0.0, 86400.0, 86401)
    busy = np.cumsum(1.0 + 0.6 * np.sin((hours / 86400.0 - 0.4) * 2 * np.pi))
    arrival = np.interp(np.sort(random.random(DAY)) * busy[-1], busy, hours)
    pick = random.integers(0, len(excerpt), DAY)
    requests = Requests(arrival, excerpt.prompt[pick], excerpt.output[pick])
    for router in ("round-robin", "least-loaded"):
        begun = time.process_time()
        run = simulate_replicas(table(), requests, RULES, Fleet(8, router))
        seconds = time.process_time() - begun
        print(f"a day of {DAY:,} requests on 8 replicas, {router}: {seconds:.1f} s "
              f"({DAY / seconds:,.0f} requests/s), TTFT p99 {np.percentile(run.ttft, 99):.3f} s")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdecimal() else 1_000_000
    begun = time.process_time()
    timed(10)
    print(f"first call (compiles, or loads the cache): {time.process_time() - begun:.2f} s")
    plain = 5000 / timed(5000, compiled=False)[0]
    rate = 0.0
    for size in (count // 10, count):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds, batch = min(timed(size) for _ in range(3))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        rate = size / seconds
        print(f"{size:>10,} requests: {rate:>12,.0f} requests/s, mean batch {batch:.0f}, "
              f"{rate / plain:,.0f} x the same loop uncompiled, peak memory grew "
              f"{grown * 1024 / size:.0f} B a request (trace and its making included)")
    seconds, _ = timed(count // 10, speculation=Speculation((0.8,) * 4))
    print(f"with drafts, each step taken alone: {count / 10 / seconds:,.0f} requests/s")
    seconds, _ = timed(count, overlap=True)
    print(f"with steps decided ahead: {count / seconds:,.0f} requests/s")
    for copies in (2, 8):
        ranks = Ranks(copies, shared=((1.0, 0.5),), pad_to=512)
        timed(10, ranks=ranks)
        seconds, _ = timed(count // 10, ranks=ranks)
        print(f"with {copies} attention copies that step together: "
              f"{count / 10 / seconds:,.0f} requests/s")
    against_event_loop(rate)
    day()


if __name__ == "__main__":
    main()
