"""Replay loads through a real vLLM scheduler and record what it did, for our simulator to match.

    python -m benchmarks._vllm_engine PYTHON [RECORD.json]

PYTHON is the interpreter of an environment with vLLM's CPU build (see docs/local_engines.md). The
record is read by `ridgeline.measure.engine.replay`; the test of the simulator runs on it.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from ridgeline.measure.engine.replay import calibrated, read_record, replay, replay_scheduled
from ridgeline.serving.load import Load, generate_requests
from ridgeline.serving.traces import read_trace

RECORD = Path("tests/measure/engine/data/vllm_replay.json")
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 512,
          "intermediate_size": 1408, "num_hidden_layers": 6, "num_attention_heads": 8,
          "num_key_value_heads": 2, "vocab_size": 4096, "max_position_embeddings": 4096,
          "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "torch_dtype": "bfloat16",
          "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2,
          "hidden_act": "silu"}
LIMITS = {"max_model_len": 2048, "max_num_seqs": 32, "max_num_batched_tokens": 512}
PROMPTS = [1, 16, 32, 64, 128, 256, 384, 512, 1024, 1536]
DECODES = [[b, c] for b in (1, 2, 4, 8, 16, 32) for c in (16, 300)] + [[1, 1000], [8, 1000]]


def rows(requests, shift=0.0):
    return [[round(float(a) - shift, 6), int(p), int(n)] for a, p, n in zip(
        requests.arrival, requests.prompt, requests.output, strict=True)]


def made(prompt, output, count, rate=None, cv=0.3, seed=1):
    return rows(generate_requests(Load(prompt, output, count, rate, length_cv=cv), seed))


def loads():
    """Runs from idle to overload; rates as shares of what the engine can do."""
    trace = read_trace("azure-conv", limit=400).requests
    fits = np.flatnonzero((trace.prompt < 1200) & (trace.output < 300))[:80]
    trace = trace.take(fits)
    span = float(trace.arrival[-1] - trace.arrival[0])
    traced = [[(a - float(trace.arrival[0])) * 16.0 / span, p, n] for a, p, n in rows(trace)]
    return [
        {"name": "closed loop of 1", "concurrency": 1, "requests": made(256, 48, 12)},
        {"name": "closed loop of 4", "concurrency": 4, "requests": made(256, 48, 32)},
        {"name": "closed loop of 16", "concurrency": 16, "requests": made(256, 48, 80)},
        {"name": "closed loop of 16, the same again", "concurrency": 16,
         "requests": made(256, 48, 80)},
        {"name": "closed loop of 48, above the limit of 32", "concurrency": 48,
         "requests": made(128, 64, 160)},
        {"name": "1 a second, nearly idle", "concurrency": 0, "requests": made(256, 48, 20, 1.0)},
        {"name": "6 a second, half busy", "concurrency": 0, "requests": made(256, 48, 80, 6.0)},
        {"name": "10 a second, busy", "concurrency": 0, "requests": made(256, 48, 120, 10.0)},
        {"name": "20 a second, overload", "concurrency": 0, "requests": made(256, 48, 160, 20.0)},
        {"name": "long prompts in chunks", "concurrency": 0,
         "requests": made(1100, 24, 40, 2.0, cv=0.2)},
        {"name": "trace of conversations", "concurrency": 0, "requests": traced}]


def short_of_memory():
    return [
        {"name": "closed loop of 16, short of cache", "concurrency": 16,
         "requests": made(200, 150, 60)},
        {"name": "8 a second, short of cache", "concurrency": 0,
         "requests": made(200, 150, 60, 8.0)}]


def ask(python, limits, prompts, decodes, runs):
    """One engine's answer."""
    with tempfile.TemporaryDirectory() as folder:
        model, asked, answer = (Path(folder) / n for n in ("model", "asked.json", "answer.json"))
        model.mkdir()
        (model / "config.json").write_text(json.dumps(CONFIG))
        asked.write_text(json.dumps({"model": str(model), "limits": {**LIMITS, **limits},
                                     "prompts": prompts, "decodes": decodes, "runs": runs}))
        subprocess.run([python, "benchmarks/_vllm_driver.py", str(asked), str(answer)],
                       check=True)
        found = json.loads(answer.read_text())
    return {"limits": limits, **found,
            "runs": [{**asked, **seen} for asked, seen in zip(runs, found["runs"], strict=True)]}


def scheduled(python, record):
    """The same runs by the real scheduler on the clock of the fitted steps, with a tiny model:
    its values and speed do not matter there.
    """
    found = []
    for engine in record["engines"]:
        steps = calibrated(record, engine)
        runs = [{k: run[k] for k in ("name", "concurrency", "requests")} for run in engine["runs"]]
        with tempfile.TemporaryDirectory() as folder:
            model, asked, answer = (Path(folder) / n for n in ("model", "asked", "answer"))
            model.mkdir()
            tiny = {**CONFIG, "hidden_size": 128, "intermediate_size": 128,
                    "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
            (model / "config.json").write_text(json.dumps(tiny))
            asked.write_text(json.dumps({
                "model": str(model), "config": CONFIG, "runs": runs,
                "limits": {**LIMITS, "kv_blocks": engine["facts"]["kv_blocks"]},
                "steps": {"rows": steps.rows, "per_param": steps.per_param,
                          "shared": dict(steps.shared)}}))
            subprocess.run([python, "benchmarks/_vllm_driver.py", str(asked), str(answer)],
                           check=True, env={**os.environ, "PYTHONPATH": "src"})
            done = json.loads(answer.read_text())
        found.append({"facts": done["facts"], "runs": [
            {k: run[k] for k in ("name", "times", "preemptions", "steps")}
            for run in done["runs"]]})
    return found


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return {k: rounded(v) for k, v in value.items()} if isinstance(value, dict) else value


def show_runs(runs):
    for run in runs:
        errors = [f"{100 * run.error(m):+6.1f} %" for m in ("tpot_mean", "ttft_p50", "ttft_p99")]
        print(f"{run.name:44} {run.requests:4} requests  TPOT mean {errors[0]}  TTFT p50 "
              f"{errors[1]}  p99 {errors[2]}  preemptions {run.measured['preemptions']:.0f} "
              f"(simulated {run.simulated['preemptions']:.0f})")


def main():
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else RECORD
    if sys.argv[1] != "show":
        engines = [ask(sys.argv[1], {}, PROMPTS, DECODES, loads()),
                   ask(sys.argv[1], {"kv_blocks": 26}, PROMPTS,
                       [[b, c] for b in (1, 4, 8, 12) for c in (16, 250)], short_of_memory())]
        # Rounded first: the fit is made anew from the file, and has to be the same one.
        record = rounded({"engine": "vLLM 0.32.0, CPU build, one thread, clock: processor time",
                          "config": CONFIG, "limits": LIMITS, "engines": engines})
        record["scheduled"] = scheduled(sys.argv[1], record)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(rounded(record)) + "\n")
    show_runs([*replay(read_record(target)), *replay_scheduled(read_record(target))])


if __name__ == "__main__":
    main()
