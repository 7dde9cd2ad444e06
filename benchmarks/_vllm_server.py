"""Load vLLM's real HTTP server as a user does, and record what it did, for our simulator to match.

    python -m benchmarks._vllm_server PYTHON [RECORD.json]

PYTHON is the interpreter of an environment with vLLM's CPU build. `ridgeline measure engine`'s
client sends closed loops, arrivals at a rate and a trace, by the clock on the wall; the steps are
calibrated through the same server, one prompt and one batch at a time. Needs a machine with little
else to do: the load average is recorded.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from urllib.request import urlopen

import numpy as np

from benchmarks._vllm_engine import CONFIG, LIMITS, made, rounded, rows, show_runs
from ridgeline.measure.engine.client import Endpoint
from ridgeline.measure.engine.load import run_load
from ridgeline.measure.engine.protocol import parse_protocol
from ridgeline.measure.engine.replay import read_record, replay
from ridgeline.serving.requests import Requests
from ridgeline.serving.traces import read_trace

RECORD = Path("tests/measure/engine/data/vllm_server.json")
BLOCKS = {"block_size": 128, "kv_blocks": 512}
PROMPTS = (1, 16, 64, 128, 256, 384, 512, 1024)
DECODES = [(b, c) for b in (1, 2, 4, 8, 16) for c in (16, 300)]


@contextmanager
def served(python):
    """The server's address, once it answers."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(CONFIG))
        command = [
            python, "-m", "vllm.entrypoints.openai.api_server", "--model", folder,
            "--served-model-name", "m", "--load-format", "dummy", "--skip-tokenizer-init",
            "--enforce-eager", "--dtype", "bfloat16", "--no-enable-prefix-caching",
            "--no-async-scheduling", "--host", "127.0.0.1", "--port", "8471",
            "--max-model-len", str(LIMITS["max_model_len"]),
            "--max-num-seqs", str(LIMITS["max_num_seqs"]),
            "--max-num-batched-tokens", str(LIMITS["max_num_batched_tokens"]),
            "--num-gpu-blocks-override", str(BLOCKS["kv_blocks"])]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1",
                       "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_NO_USAGE_STATS": "1",
                       "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "VLLM_HOST_IP": "127.0.0.1",
                       "VLLM_LOGGING_LEVEL": "WARNING"}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, start_new_session=False) as server:
            try:
                _wait(server, "http://127.0.0.1:8471/health")
                yield "http://127.0.0.1:8471"
            finally:
                server.terminate()


def _wait(server, address):
    for _ in range(600):
        if server.poll() is not None:
            raise SystemExit(f"vLLM's server ended with {server.returncode}")
        try:
            urlopen(address, timeout=1)
            return
        except OSError:
            time.sleep(0.5)
    raise SystemExit("vLLM's server did not come up")


def preemptions(url):
    text = urlopen(f"{url}/metrics").read().decode()
    return sum(float(line.split()[-1]) for line in text.splitlines()
               if line.startswith("vllm:num_preemptions_total"))


def asked(requests):
    arrival, prompt, output = (np.array(c) for c in zip(*requests, strict=True))
    return Requests(arrival.astype(float), prompt.astype(np.int64), output.astype(np.int64))


def sent(endpoint, protocol, requests, warmup=0):
    """Records of a load; every request must be served in full."""
    outcome = run_load(endpoint, parse_protocol(protocol), asked(requests), warmup=warmup)
    for record in outcome.records:
        assert record.served and record.output_tokens == record.output, record
    return outcome.records


def calibrate(endpoint):
    """Prompts alone and steps of a batch, as the client sees them."""
    prompts = [[n, median(r.first - r.sent for r in sent(endpoint, "closed:1", [[0, n, 1]] * 7))]
               for n in PROMPTS]
    decodes = []
    for batch, before in DECODES:
        tokens = 40
        found = sent(endpoint, f"closed:{batch}", [[0, before, tokens]] * (3 * batch))
        # Of each wave the steps after its last prompt are of the whole batch.
        gaps = [g for r in found for g in np.diff(r.arrivals[batch + 1:])]
        decodes.append([batch, before + (batch + tokens) / 2, median(gaps)])
    return prompts, decodes


def loads():
    trace = read_trace("azure-conv", limit=200).requests
    trace = trace.take(np.flatnonzero((trace.prompt < 1200) & (trace.output < 300))[:50])
    first, span = float(trace.arrival[0]), float(trace.arrival[-1] - trace.arrival[0])
    traced = [[(a - first) * 14.0 / span, p, n] for a, p, n in rows(trace)]
    return [("closed loop of 1", "closed:1", made(256, 48, 10)),
            ("closed loop of 4", "closed:4", made(256, 48, 32)),
            ("closed loop of 16", "closed:16", made(256, 48, 64)),
            ("1 a second, nearly idle", "rate:1", made(256, 48, 16, 1.0)),
            ("5 a second, half busy", "rate:5", made(256, 48, 60, 5.0)),
            ("trace of conversations", "trace:azure-conv", traced)]


def main():
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else RECORD
    if sys.argv[1] != "show":
        with served(sys.argv[1]) as url:
            endpoint, runs = Endpoint(url, "m", vocabulary=4000, seed=int(time.time())), []
            sent(endpoint, "closed:4", [[0, 128, 16]] * 12)
            calibrations = [calibrate(endpoint)]
            for name, protocol, requests in loads():
                before = preemptions(url)
                found = sent(endpoint, protocol, requests)
                flight = parse_protocol(protocol).concurrency
                runs.append({
                    "name": name, "concurrency": flight, "requests": requests,
                    "load": os.getloadavg()[0], "preemptions": preemptions(url) - before,
                    "times": [[r.sent, r.first, r.last] for r in found]})
                print(name, flush=True)
            calibrations.append(calibrate(endpoint))
        engine = {"limits": {}, "facts": BLOCKS, "runs": runs,
                  "prompts": [p for c in calibrations for p in c[0]],
                  "decodes": [d for c in calibrations for d in c[1]]}
        record = {"engine": "vLLM 0.32.0, CPU build, its HTTP server, one thread, clock: the "
                            "wall's", "config": CONFIG, "limits": LIMITS, "engines": [engine]}
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(rounded(record)) + "\n")
    show_runs(replay(read_record(target)))


if __name__ == "__main__":
    main()
