"""Write docs/local_engines.md from the records of real engines run on one machine.

    python -m benchmarks._local_page [PAGE.md]

The records are made by `make test-engines`; predictions are made anew from them.
"""

import json
import statistics
import sys
from pathlib import Path

from ridgeline.files import write_atomically
from ridgeline.measure.engine.llamacpp_rows import server_rows, stream_rows
from ridgeline.measure.engine.replay import read_record, replay, replay_scheduled
from ridgeline.measure.engine.torch_steps import torch_rows

DATA = Path("tests/measure/engine/data")
HEAD = """# Real engines on one machine

Written by `python -m benchmarks._local_page`; do not edit by hand. The records behind it are in
`tests/measure/engine/data` and made by `make test-engines`. Each number is an error of a
prediction against a run of a real engine: predicted over measured, less one.

The machine: a virtual machine with two shared cores of an AMD Zen 4 server, one thread used, other
programs running beside (load 2 to 16). So times are **processor time** of the engine, which other
programs do not stretch as they do the clock; what they take of caches and memory bandwidth is in
the numbers. Weights are random: speed does not depend on their values.
"""


def percent(value):
    return f"{100 * value:+.1f} %"


def table(header, rows):
    line = "| " + " | ".join(header) + " |\n"
    marks = "| " + " | ".join("--:" if i else "---" for i in range(len(header))) + " |\n"
    return line + marks + "".join("| " + " | ".join(map(str, r)) + " |\n" for r in rows)


def middle(errors):
    sizes = sorted(abs(e) for e in errors)
    return f"{100 * statistics.median(sizes):.1f} %", f"{100 * sizes[-1]:.1f} %"


def summary(name, rows):
    """A line of median and largest errors by kind of run."""
    return name, *(part for kind in ("decode", "prompt") for part in middle(
        [r.error for r in rows if r.kind == kind]))


def llamacpp(record):
    rows, sizes = stream_rows(record), [r["bytes"] for r in record["streams"]]
    text = ["## llama.cpp\n", f"{record['engine']}, one thread, clock: processor time. The machine "
            "was measured as `ridgeline measure machine --threads 1` does it: llama.cpp's matrix "
            "products by format, rows, depth and working set, its attention, and what it adds to a "
            "step (from models of next to no work). Nothing is fitted to the models below; the "
            "predictions are those of `ridgeline estimate --on ./machine.toml --engine llamacpp`. "
            "Target: generation within 15 % (median), prompts within 25 %.\n",
            table(("format", "generation, median", "largest", "prompt, median", "largest"), [
                *(summary(q, [r for r in rows if r.format == q])
                  for q in dict.fromkeys(r.format for r in rows)), summary("**all**", rows)]),
            table(("model", "format", "file", "what", "measured", "predicted", "error"), [
                (r.model, r.format, f"{size / 1e6:.0f} MB",
                 f"{r.kind} {'of' if r.kind == 'prompt' else 'at'} {r.size:.0f} tokens",
                 f"{1e3 * r.measured:.2f} ms", f"{1e3 * r.predicted:.2f} ms", percent(r.error))
                for r, size in zip(rows, sizes, strict=True)]),
            "The server under a closed loop (`ridgeline measure engine`'s client; the simulator on "
            "the same chip entry), output tokens a processor second. Two rows a product take some "
            "formats more than twice the time of one, which the entry knows; target 15 %:\n",
            table(("in flight", "model", "format", "measured", "predicted", "error"), [
                (f"{r.size:.0f}", r.model, r.format, f"{r.measured:.0f}", f"{r.predicted:.0f}",
                 percent(r.error)) for r in server_rows(record)])]
    return text


def torch(record):
    rows = torch_rows(record)
    text = ["## PyTorch\n", f"PyTorch {record['torch']}, fp32. Steps of three models predicted "
            "from two others (what Python adds depends on how a model is written); single matrix "
            "products and causal attention from the machine's measured kernels. Target: 20 %.\n"]
    kinds = list(dict.fromkeys(r.kind for r in rows))
    text.append(table(("step", "cases", "median", "largest"), [
        (k, sum(r.kind == k for r in rows), *middle([r.error for r in rows if r.kind == k]))
        for k in kinds]))
    text.append(table(("step", "case", "measured", "predicted", "error"), [
        (r.kind, r.what, f"{1e3 * r.measured:.2f} ms", f"{1e3 * r.predicted:.2f} ms",
         percent(r.error)) for r in rows]))
    return text


METRICS = ("tpot_mean", "ttft_p50", "ttft_p99", "wall")
LIMITS = {"tpot_mean": 0.05, "ttft_p50": 0.10, "ttft_p99": 0.20}


def runs_table(runs):
    return table(("load", "requests", "TPOT mean", "TTFT p50", "TTFT p99", "whole run",
                  "preemptions", "simulated"), [
        (r.name, r.requests, *(percent(r.error(m)) for m in METRICS),
         f"{r.measured['preemptions']:.0f}", f"{r.simulated['preemptions']:.0f}") for r in runs])


def within(runs):
    return "Within the target: " + ", ".join(
        f"{name.replace('_', ' ')} in {sum(abs(r.error(name)) <= most for r in runs)} of "
        f"{len(runs)} loads (median {middle([r.error(name) for r in runs])[0]})"
        for name, most in LIMITS.items()) + ".\n"


def vllm(record):
    runs, exact = replay(record), replay_scheduled(record)
    limits = record["limits"]
    text = ["## vLLM's scheduler\n", f"{record['engine']}. The real engine is driven step by step "
            "and our simulator serves the same requests with the same token budget "
            f"({limits['max_num_batched_tokens']}), sequence limit ({limits['max_num_seqs']}) and "
            "KV blocks. Targets: TPOT mean 5 %, TTFT p50 10 %, p99 20 %, preemptions of the same "
            "size.\n",
            "**The scheduler alone.** Every step the real scheduler composes takes the time that "
            "was fitted to prompts and decode steps measured alone, in engine and simulator "
            "alike; what differs is who is scheduled when.\n", runs_table(exact), within(exact),
            "**Scheduler and step times.** The engine's clock is its own processor time, at the "
            "machine's usual speed: a fixed piece of work beside every step tells how slow a "
            "shared machine is just then. Steps are calibrated alone, before, between and after "
            "the loads.\n", runs_table(runs), within(runs),
            "In overload a wait is the small difference of two large times, arrivals and "
            "service: 2 % of a step's time is 20 % of the middle wait.\n"]
    again = [r for r in runs if r.name.startswith("closed loop of 16") and "short" not in r.name]
    if len(again) == 2:
        first, second = (r.measured for r in again)
        text.append("What the engine itself repeats, the same load twice: " + ", ".join(
            f"{m.replace('_', ' ')} {percent(second[m] / first[m] - 1)}"
            for m in METRICS) + ".\n")
    return text


def server(record):
    """The real HTTP server."""
    runs = replay(record)
    loads = [run["load"] for engine in record["engines"] for run in engine["runs"]]
    return ["## vLLM's server\n", f"{record['engine']}. The client of `ridgeline measure engine` "
            "loads it by closed loops, Poisson arrivals and a trace, and sees its times as a user "
            "does; steps are calibrated through the same server, one prompt and one batch at a "
            f"time. Other programs ran beside it at lower priority (load {min(loads):.0f} to "
            f"{max(loads):.0f}), which stretches the wall's clock.\n",
            runs_table(runs), within(runs),
            "In a closed loop the next request is on its way while the server begins its next "
            "step without it; the simulator lets it into that step, so it waits less.\n"]


def main():
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/local_engines.md")
    parts = [HEAD, *llamacpp(json.loads((DATA / "llamacpp.json").read_text())),
             *torch(json.loads((DATA / "torch.json").read_text())),
             *vllm(read_record(DATA / "vllm_replay.json")),
             *server(read_record(DATA / "vllm_server.json"))]
    write_atomically(target, "\n".join(parts))
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
