"""Measure this machine, then run llama.cpp on it, and record both for predictions to be made.

    python -m benchmarks._llamacpp_engine [RECORD.json [streams] [server]]

The machine is measured before and after the models run, and the models in two rounds between, the
better of each counting: on a shared machine either may meet a bad minute. Predictions are made
from the record by `measure.engine.llamacpp_rows`. Times are processor time.
"""

import json
import sys
import tempfile
from dataclasses import astuple
from pathlib import Path

from benchmarks._vllm_engine import rounded
from ridgeline.measure.engine.client import Endpoint
from ridgeline.measure.engine.llamacpp import Shape, served_apart, stream_samples, write_model
from ridgeline.measure.engine.llamacpp_rows import server_rows, stream_rows
from ridgeline.measure.engine.load import run_load
from ridgeline.measure.engine.protocol import parse_protocol, planned_requests
from ridgeline.measure.machine.here import plan_here
from ridgeline.measure.machine.points import Machine
from ridgeline.measure.machine.sweep import Batch, measure_machine

RECORD = Path("tests/measure/engine/data/llamacpp.json")
TARGETS = [Shape(512, 6, 1408, 8, 2, 4096), Shape(640, 8, 1792, 10, 2, 8192),
           Shape(1024, 6, 2816, 16, 4, 8192)]
FORMATS = ("fp16", "q8_0", "q4_0")
CONCURRENCY = (1, 2, 4, 8)
SERVED = [("q8_0", TARGETS[0]), ("q4_0", TARGETS[1])]
PROMPT, OUTPUT = 96, 48


def machine(before=None):
    """The machine's ceilings and llama.cpp's kernels on it, the better of two measurements."""
    host, batches = plan_here(threads=1)
    chosen = [Batch(b.library, b.threads, tuple(j for j in b.jobs if j.format in (
        *FORMATS, "fp32", "engine", "prefill", "decode")), b.kernels)
        for b in batches if not (b.kernels and b.library == "torch")]
    found = measure_machine(host, chosen, budget=0.1)
    return before.best(found) if before else found


def streams(folder):
    """Seconds of prompts and of single decode steps."""
    rows = []
    for quant in FORMATS:
        for number, shape in enumerate(TARGETS):
            path = write_model(folder / f"{number}.gguf", shape, quant)
            for sample in stream_samples(path, prompts=(64, 192), contexts=(64, 320), tokens=16,
                                         repeats=3):
                step = sample.steps[0]
                rows.append({"shape": list(astuple(shape)), "format": quant,
                             "bytes": path.stat().st_size,
                             "phase": "decode" if step.decode_sequences else "prompt",
                             "tokens": float(step.prefill_tokens or step.decode_context),
                             "seconds": sample.seconds})
    return rows


def server(folder):
    """Processor seconds of the server for closed loops of equal requests."""
    rows = []
    for quant, shape in SERVED:
        path = write_model(folder / "served.gguf", shape, quant)
        for flight in CONCURRENCY:
            protocol, requests = parse_protocol(f"closed:{flight}"), 6 * flight
            plan = planned_requests(protocol, requests=requests, prompt=PROMPT, output=OUTPUT)
            with served_apart(path, slots=flight, context=512) as (url, processor_time):
                endpoint, found = Endpoint(url, vocabulary=4000, retries=3), []
                run_load(endpoint, protocol, plan, warmup=flight)
                for _ in range(3):
                    before = processor_time()
                    outcome = run_load(endpoint, protocol, plan, warmup=0)
                    found.append(processor_time() - before)
                    assert all(r.served and r.output_tokens == OUTPUT for r in outcome.records)
            rows.append({"shape": list(astuple(shape)), "format": quant, "in_flight": flight,
                         "requests": requests, "prompt": PROMPT, "output": OUTPUT,
                         "seconds": min(found)})
    return rows


def better(old, new):
    """The shorter of each pair of runs."""
    return [min(pair, key=lambda row: row["seconds"]) for pair in zip(old, new, strict=True)
            ] if old else new


def main():
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else RECORD
    parts = sys.argv[2:] or ["streams", "server"]
    record = json.loads(target.read_text()) if target.exists() and sys.argv[2:] else {}
    known = record.get("machine")
    found = machine(Machine.from_dict(known) if known else None)
    with tempfile.TemporaryDirectory() as name:
        for _ in range(2):
            for part in parts:
                made = (streams if part == "streams" else server)(Path(name))
                record[part] = better(record.get(part), made)
                print(part, "done", flush=True)
    record |= {"engine": "llama.cpp (xllamacpp 2026.10)", "machine": machine(found).to_dict()}
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(rounded(record)) + "\n")
    for row in [*stream_rows(record), *(server_rows(record) if "server" in record else [])]:
        print(f"{row.kind:7} {row.model:9} {row.format:5} {row.size:6.1f}  measured "
              f"{row.measured:9.4g}  predicted {row.predicted:9.4g}  {100 * row.error:+6.1f} %")


if __name__ == "__main__":
    main()
