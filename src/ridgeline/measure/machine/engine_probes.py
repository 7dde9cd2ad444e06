"""What llama.cpp adds to its kernels, found with models of next to no work.

A step of a model so small that its products take microseconds is nearly all engine: composing the
step, walking the graph layer by layer, sampling from the vocabulary, handing the token out. Depth,
vocabulary and sequences are varied, so that what each adds can be told apart.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ridgeline.measure.machine.ggml_probes import probe_ggml
from ridgeline.measure.machine.points import Point
from ridgeline.measure.machine.probes import Job

__all__ = ["COSTS", "costs_here", "probe_costs", "solved_costs"]

COSTS = ("step", "layer", "sequence", "logit")
# (layers, vocabulary, sequences) of the steps measured.
_CASES = ((2, 4096, 1), (2, 4096, 4), (26, 4096, 1), (26, 4096, 4), (2, 36864, 1), (2, 36864, 4))
_WIDTH, _PROMPT = 64, 16
_STEPS = (8, 136)
_SLOW = 1.0      # seconds for the few steps from which fewer are taken


def costs_here() -> bool:
    """Whether the packages are installed."""
    return all(importlib.util.find_spec(name) for name in ("xllamacpp", "gguf"))


def probe_costs(job: Job, budget: float) -> list[Point]:
    """Seconds of each of `COSTS`, and of the server for each token and request.

    Args:
        job: its threads are the engine's.
        budget: seconds for each case, about.
    """
    repeats = max(2, round(budget / 0.03))
    with tempfile.TemporaryDirectory() as folder:
        paths = {(layers, words): _model(Path(folder), layers, words)
                 for layers, words, _ in _CASES}
        steps = [_step(paths[case[:2]], case[2], repeats, job.threads) for case in _CASES]
        found = solved_costs(_CASES, [step - work for step, work in zip(
            steps, _work(job.threads), strict=True)])
        found |= _served(paths[_CASES[0][:2]], found, repeats)
    return [Point("cost", name, 0.0, job.threads, value, value, 0.0, repeats, library="ggml")
            for name, value in found.items()]


def solved_costs(cases: Sequence[tuple[int, int, int]], seconds: Sequence[float]
                 ) -> dict[str, float]:
    """Costs, none below zero, from steps of (layers, vocabulary, sequences).

        t = step + layer * layers + sequences * (sequence + logit * vocabulary)

    Each is solved from the two or more steps that differ in it alone.
    """
    import numpy as np

    rows = np.array([[1.0, layers, n, n * words] for layers, words, n in cases])
    scale = np.abs(rows).max(axis=0)
    free = list(range(len(COSTS)))
    found = np.zeros(len(COSTS))
    while free:
        part = np.linalg.lstsq(rows[:, free] / scale[free], np.array(seconds), rcond=None)[0]
        if (part >= 0).all():
            found[free] = part / scale[free]
            break
        free = [column for column, value in zip(free, part, strict=True) if value >= 0]
    return dict(zip(COSTS, found.tolist(), strict=True))


def _model(folder: Path, layers: int, words: int) -> Path:
    from ridgeline.measure.engine.llamacpp import Shape, write_model

    shape = Shape(_WIDTH, layers, _WIDTH, 1, 1, words)
    return write_model(folder / f"{layers}-{words}.gguf", shape, "fp16")


def _step(path: Path, batch: int, repeats: int, threads: int) -> float:
    """Seconds of a step of so many sequences, inside this process.

    One thread's are its processor time; several at work at once are timed by the wall's clock.
    """
    from ridgeline.measure.engine.llamacpp import request_cost, serve

    few, many = _STEPS
    clock = time.process_time if threads == 1 else time.perf_counter
    with serve(path, slots=batch, context=_PROMPT + many + 16, threads=threads) as server:
        if request_cost(server, _PROMPT, few, batch, 0, time.perf_counter) > _SLOW:
            # Threads of a busy machine wait for each other at every op.
            many, repeats = 2 * few, 1
        ends = [min(request_cost(server, _PROMPT, tokens, batch, n, clock)
                    for n in range(repeats)) for tokens in (few, many)]
    return max(ends[1] - ends[0], 0.0) / (many - few)


def _work(threads: int) -> list[float]:
    """Seconds of the products and attention of each case."""
    weight = {n: 2.0 * n / probe_ggml(Job("product", "fp16", 4e6, threads, n, 1024), 0.1).rate
              for _, _, n in _CASES}
    context = _PROMPT + sum(_STEPS) / 2
    flop = 1.0 / probe_ggml(Job("attend", "decode", context, threads, 1, _WIDTH), 0.1).rate
    return [(7 * layers * _WIDTH**2 + words * _WIDTH) * weight[n]
            + 4 * _WIDTH * context * layers * n * flop for layers, words, n in _CASES]


def _served(path: Path, costs: dict[str, float], repeats: int) -> dict[str, float]:
    """What the server adds for each token it sends and each request it takes [s]."""
    if importlib.util.find_spec("aiohttp") is None:
        return {}
    from ridgeline.measure.engine.client import Endpoint
    from ridgeline.measure.engine.llamacpp import served_apart
    from ridgeline.measure.engine.load import run_load
    from ridgeline.measure.engine.protocol import parse_protocol, planned_requests

    protocol = parse_protocol("closed:1")
    with served_apart(path, slots=1, context=1024) as (url, processor_time):
        endpoint = Endpoint(url, vocabulary=4000)

        def spent(requests: int, output: int) -> float:
            plan = planned_requests(protocol, requests=requests, prompt=_PROMPT, output=output)
            before = processor_time()
            run_load(endpoint, protocol, plan, warmup=0)
            return processor_time() - before

        spent(2, 8)
        # A processor's time is told in hundredths of a second: take many tokens.
        most = min(spent(4, 800) for _ in range(min(repeats, 3))) / 4
        least = min(spent(60, 8) for _ in range(min(repeats, 3))) / 60
    layers, words, _ = _CASES[0]
    step = (costs["step"] + costs["layer"] * layers + costs["sequence"] + costs["logit"] * words)
    token = max(most - least, 0.0) / 792
    return {"stream": max(token - step, 0.0), "request": max(least - 8 * token, 0.0)}


