"""Plan's sweep in rows a second on one core, a whole `plan` process, and aiconfigurator beside it.

`python -m benchmarks.plan_speed 100e6` sweeps that many rows. aiconfigurator is run where its
command is found, on the path or at $AICONFIGURATOR (pip install aiconfigurator, in an environment
of its own); both then answer the same case.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time

import numpy as np

from ridgeline.model.load import load_architecture
from ridgeline.search.explore import Space, explore
from ridgeline.search.findings import Findings
from ridgeline.search.goal import Goal
from ridgeline.search.lengths import Lengths
from ridgeline.search.offers import read_offers
from ridgeline.search.rated import Requests
from ridgeline.search.space import Choices

MODEL, HUB = "Qwen3-32B", "Qwen/Qwen3-32B"
CHIPS = ("32xH100-SXM", "32xH200-SXM", "32xB200-SXM", "32xA100-SXM-80GB")
MIXTURES = ("DeepSeek-V3", "Qwen3-235B-A22B", "gpt-oss-120b")
CASE = {"prompt": 4000, "output": 1000, "ttft": 2.0, "tpot": 0.03}


def sweep(rows: float) -> None:
    """Every batch from 1 up and many token budgets over four kinds of chip, until `rows`."""
    shapes = 140                                  # about; what was swept is printed anyhow
    each = max(1.0, rows / shapes)
    batches = tuple(range(1, min(8192, max(1025, int(each / 64) + 1))))
    steps = max(2, round(each / len(batches)))
    chunks = tuple(sorted({int(v) for v in np.linspace(1024, 32768, steps)}))
    space = Space(load_architecture(MODEL), read_offers(CHIPS),
                  Choices(weights=("bf16", "fp8"), longest=5000), chunks, batches, "aggregated")
    begun, cpu = time.perf_counter(), time.process_time()
    found: Findings = explore(space, Requests(Lengths(4000.0), Lengths(1000.0)),
                              Goal(CASE["ttft"], CASE["tpot"]))
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"sweep: {found.evaluated:,} rows of {len(found.models)} deployments, "
          f"{found.feasible:,} meet the targets; {wall:.1f} s, {cpu:.1f} s of one core: "
          f"{found.evaluated / cpu:,.0f} a second; {peak:.2f} GiB at most")


def process(model: str, machine: str, tries: int = 5) -> None:
    """The command as a user starts it, from start to exit; the best of some tries."""
    command = [sys.executable, "-m", "ridgeline", "plan", model, "--on", machine, "--prompt",
               "4000", "--output", "1000", "--ttft", "2s", "--tpot", "30ms", "--json"]
    taken, used, said = [], [], ""
    for _ in range(tries):
        begun = time.perf_counter()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(time.perf_counter() - begun)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    answer = json.loads(said)["answer"]
    best, rows = answer["best"], answer["evaluated"]["value"]
    print(f"plan {model} on {machine}: {rows:,} rows, {min(taken):.2f} s a process "
          f"({min(used):.2f} s of CPU)")
    print(f"  ridgeline: {_words(best)}")
    if best["mode"] != "aggregated":
        said = subprocess.run([*command, "--mode", "aggregated"], capture_output=True, text=True,
                              check=True).stdout
        print(f"  ridgeline, aggregated: {_words(json.loads(said)['answer']['best'])}")


def _words(row: dict) -> str:  # type: ignore[type-arg]
    pools = ""
    if row["prefill"]:
        pools = f"prefill {row['prefill']['workers']} x tp={row['prefill']['tp']}, decode "
    return (f"{pools}{row['dp']} x tp={row['tp']} pp={row['pp']} batch {row['batch']}, "
            f"{row['output_tokens_per_s_per_chip']:,.0f} tokens/s a chip, TTFT "
            f"{row['ttft_s'] * 1e3:,.0f} ms, TPOT {row['tpot_s'] * 1e3:.1f} ms")


def aiconfigurator(system: str) -> None:
    """The same case, by the other tool's own command."""
    command = os.environ.get("AICONFIGURATOR") or shutil.which("aiconfigurator")
    if not command:
        print("aiconfigurator: not installed, skipped (set AICONFIGURATOR to its command)")
        return
    begun = time.perf_counter()
    done = subprocess.run(
        [command, "cli", "default", "--model-path", HUB, "--total-gpus", "32", "--system", system,
         "--backend", "vllm", "--isl", "4000", "--osl", "1000", "--ttft", "2000", "--tpot", "30",
         "--no-color", "--top-n", "1"], capture_output=True, text=True, check=False)
    wall = time.perf_counter() - begun
    said = done.stdout + done.stderr
    points = sum(int(n) for n in re.findall(r"completed with (\d+) results", said))
    inside = re.search(r"All experiments completed in ([\d.]+) seconds", said)
    if done.returncode or not points or not inside:
        print(f"aiconfigurator: no answer (exit {done.returncode}): {said.strip()[-200:]}")
        return
    seconds = float(inside[1])
    print(f"aiconfigurator, {system}: {points} points in {seconds:.1f} s ({wall:.1f} s a process): "
          f"{points / seconds:,.0f} a second")
    for name, wanted in (("chosen", r"Best Experiment Chosen: (.*)"),
                         ("TTFT", r"- TTFT: (.*)"), ("TPOT", r"- TPOT: (.*)"),
                         ("aggregated", r"\|\s+1\s+\|\s+vllm\s+\|(.*tp\d+pp\d+.*)\|")):
        if found := re.search(wanted, said):
            print(f"  aiconfigurator, {name}: {' '.join(found[1].split())}")


def main() -> None:
    sweep(float(sys.argv[1]) if len(sys.argv) > 1 and __name__ == "__main__" else 5.5e6)
    process(MODEL, "32xH200-SXM")
    for model in MIXTURES:
        process(model, "32xB200-SXM", 3)
    aiconfigurator("h200_sxm")


if __name__ == "__main__":
    main()
