"""Predict llama.cpp on this machine from two reference models, run others, record both.

    python -m benchmarks._llamacpp_engine [RECORD.json [streams] [server]]

For every quantisation the step times are fitted to two small models and then predict larger and
smaller ones they were not fitted to; the server is loaded with 1 to 8 requests in flight through
`ridgeline measure engine`'s client. Times are processor time (see measure.engine.llamacpp).
"""

import json
import sys
import tempfile
from pathlib import Path

from benchmarks._vllm_engine import rounded
from ridgeline.deployment.operands import Format
from ridgeline.formats import get_format
from ridgeline.measure.engine.client import Endpoint
from ridgeline.measure.engine.llamacpp import Shape, served_apart, stream_samples, write_model
from ridgeline.measure.engine.load import run_load
from ridgeline.measure.engine.local_steps import Sample, fit_steps
from ridgeline.measure.engine.protocol import parse_protocol, planned_requests
from ridgeline.model.load import load_architecture
from ridgeline.serving.scheduler import Scheduler, named_scheduler
from ridgeline.serving.simulator import simulate_replica

RECORD = Path("tests/measure/engine/data/llamacpp.json")
REFERENCES = [Shape(384, 4, 1024, 6, 2, 4096), Shape(768, 6, 2048, 12, 4, 8192)]
TARGETS = [Shape(512, 6, 1408, 8, 2, 4096), Shape(640, 8, 1792, 10, 2, 8192),
           Shape(1024, 6, 2816, 16, 4, 8192)]
FORMATS = ("fp16", "q8_0", "q4_0")
CONCURRENCY = (1, 2, 4, 8)
SERVED = ("q8_0", Shape(512, 6, 1408, 8, 2, 4096))


def format_of(quant):
    return Format(quant, get_format(quant).bits / 8, "fp16")


def streams(folder, quant):
    """Rows of prompts and single decode steps of models that the fit did not see."""
    seen = []
    for number, shape in enumerate(REFERENCES):
        path = write_model(folder / f"r{number}.gguf", shape, quant)
        seen += stream_samples(path, prompts=(32, 128), contexts=(32, 256), tokens=16, repeats=4)
    fit = fit_steps(seen, format_of(quant))
    rows = []
    for number, shape in enumerate(TARGETS):
        path = write_model(folder / f"t{number}.gguf", shape, quant)
        for sample in stream_samples(path, prompts=(64, 192), contexts=(64, 320), tokens=16,
                                     repeats=4):
            step = sample.steps[0]
            rows.append({"model": str(shape), "bytes": path.stat().st_size, "format": quant,
                         "phase": "decode" if step.decode_sequences else "prompt",
                         "tokens": float(step.prefill_tokens or step.decode_context),
                         "measured_s": sample.seconds, "predicted_s": fit.seconds(sample)})
            print(rows[-1], flush=True)
    return rows


def spent_on(path, flight, requests, prompt, output, repeats):
    """Least processor seconds of the server for a closed loop of equal requests."""
    protocol = parse_protocol(f"closed:{flight}")
    plan = planned_requests(protocol, requests=requests, prompt=prompt, output=output)
    with served_apart(path, slots=flight, context=512) as (url, processor_time):
        endpoint = Endpoint(url, vocabulary=4000, retries=3)
        run_load(endpoint, protocol, plan, warmup=flight)
        found = []
        for _ in range(repeats):
            before = processor_time()
            outcome = run_load(endpoint, protocol, plan, warmup=0)
            found.append(processor_time() - before)
            assert all(r.served and r.output_tokens == output for r in outcome.records)
    return min(found), plan


def served_steps(path, flight, few=8, many=200):
    """A decode step of so many sequences, with all the server does for each of their tokens."""
    less, more = (spent_on(path, flight, flight, 32, n, 3)[0] for n in (few, many))
    return Sample.of_decode(load_architecture(str(path)), flight, 32 + (few + many) / 2,
                            (more - less) / (many - few))


def server(folder):
    """Rows of the server under closed loops, from steps of it measured on the other models."""
    quant, shape = SERVED
    seen = []
    for number, reference in enumerate(REFERENCES):
        path = write_model(folder / f"r{number}.gguf", reference, quant)
        seen += stream_samples(path, prompts=(32, 128, 256), contexts=(), repeats=4)
        seen += [served_steps(path, flight) for flight in CONCURRENCY]
    fit = fit_steps(seen, format_of(quant))
    path = write_model(folder / "served.gguf", shape, quant)
    architecture, rows = load_architecture(str(path)), []
    for flight in CONCURRENCY:
        best, plan = spent_on(path, flight, 6 * flight, 96, 48, 2)
        table = fit.table(architecture, max_tokens=512, max_sequences=flight, max_context=512)
        run = simulate_replica(table, plan, named_scheduler("reserve", Scheduler(512, flight)),
                               concurrency=flight)
        tokens = float(plan.output.sum())
        rows.append({"in_flight": flight, "requests": len(plan), "format": quant,
                     "model": str(shape), "measured_tokens_per_s": tokens / best,
                     "predicted_tokens_per_s": tokens / run.busy})
        print(rows[-1], flush=True)
    return rows


def main():
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else RECORD
    parts = sys.argv[2:] or ["streams", "server"]
    record = json.loads(target.read_text()) if target.exists() else {}
    record |= {"engine": "llama.cpp (xllamacpp 2026.10), one thread, clock: processor time",
               "references": [str(s) for s in REFERENCES]}
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in parts:
            record[part] = (server(folder) if part == "server" else
                            [row for quant in FORMATS for row in streams(folder, quant)])
            target.write_text(json.dumps(rounded(record), indent=1) + "\n")


if __name__ == "__main__":
    main()
