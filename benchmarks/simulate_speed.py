"""Requests a second of the simulator at a batch of about 100, compiled and as plain Python.

    python benchmarks/simulate_speed.py [REQUESTS]
"""

import resource
import sys
import time

import numpy as np

from ridgeline.serving.load import Load, generate_requests
from ridgeline.serving.scheduler import Scheduler
from ridgeline.serving.simulator import simulate_replica
from ridgeline.timing.step_table import Grid, StepTable


def table() -> StepTable:
    """A made-up deployment: 1 ms a step and costs that grow with tokens and context."""
    ends, far, flat = np.array([1.0, 1e5]), np.array([0.0, 1e6]), np.zeros(1)
    return StepTable(tokens=Grid(ends, flat, 1e-6 * ends[:, None]),
                     prefill=Grid(ends, far, 2e-6 * ends[:, None] + 0 * far[None, :]),
                     decode=Grid(ends, far, 1e-9 * ends[:, None] * far[None, :]),
                     logits=Grid(ends, flat, 1e-6 * ends[:, None]), fixed=1e-3)


def timed(count: int, compiled: bool = True) -> tuple[float, float]:
    """(CPU seconds, mean batch) of serving so many requests of 1,000 + 200 tokens."""
    requests = generate_requests(Load(1000, 200, count, rate=165.0, length_cv=0.3), seed=1)
    begun = time.process_time()
    run = simulate_replica(table(), requests, Scheduler(kv_blocks=40_000), compiled=compiled)
    return time.process_time() - begun, run.mean_batch


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    begun = time.process_time()
    timed(10)
    print(f"first call (compiles, or loads the cache): {time.process_time() - begun:.2f} s")
    plain = 5000 / timed(5000, compiled=False)[0]
    for size in (count // 10, count):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds, batch = min(timed(size) for _ in range(3))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(f"{size:>10,} requests: {size / seconds:>12,.0f} requests/s, mean batch {batch:.0f}, "
              f"{size / seconds / plain:,.0f} x plain Python, peak memory grew "
              f"{grown * 1024 / size:.0f} B a request (trace and its making included)")


if __name__ == "__main__":
    main()
