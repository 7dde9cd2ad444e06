"""Drives a real vLLM engine step by step on a clock of its own; run by vLLM's own Python.

    python benchmarks/_vllm_driver.py ASKED.json ANSWER.json

The clock is the processor time of this process, in which scheduler, model and sampling all run:
other programs on the machine do not stretch it. It jumps over idle time to the next arrival. So
the real scheduler serves a load at exactly its times, however busy the machine is.

What other programs do to a shared core's caches and clock still shows in processor time, by tens
of percent from second to second. So a fixed piece of work (the matrix products of a step on
weights of its own, and plain Python) is timed beside every step, and the clock advances by the
step's time as it would be at that work's usual speed, in calibration and loads alike.

With "steps" (fitted constants and the config they are of) the clock runs on the fitted time of
every step that the scheduler composes instead: what differs from our simulator then is scheduling
alone. Needs ridgeline's source on PYTHONPATH.
"""

import json
import os
import sys
import time
from collections import deque
from pathlib import Path
from statistics import mean, median

os.environ.update({"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": "1",
                   "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_NO_USAGE_STATS": "1",
                   "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "VLLM_HOST_IP": "127.0.0.1",
                   "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "WARNING"})


class Driver:
    """One engine with given limits."""

    def __init__(self, model, limits):
        import torch
        from vllm.engine.arg_utils import EngineArgs
        from vllm.v1.engine.llm_engine import LLMEngine

        torch.set_num_threads(1)
        arguments = EngineArgs(
            model=model, load_format="dummy", skip_tokenizer_init=True, enforce_eager=True,
            dtype="bfloat16", distributed_executor_backend="uni", disable_log_stats=False,
            enable_prefix_caching=False, async_scheduling=False,
            max_model_len=limits["max_model_len"], max_num_seqs=limits["max_num_seqs"],
            max_num_batched_tokens=limits["max_num_batched_tokens"],
            num_gpu_blocks_override=limits.get("kv_blocks"), seed=0)
        self.engine = LLMEngine.from_engine_args(arguments)
        cache = self.engine.vllm_config.cache_config
        self.facts = {"block_size": cache.block_size, "kv_blocks": cache.num_gpu_blocks}
        self.count, self.table, self.composed = 0, None, []
        shapes = [(512, 768), (512, 512), (512, 2816), (1408, 512)] * 6 + [(512, 4096)]
        self.weights = [torch.randn(k, n).to(torch.bfloat16) for k, n in shapes]
        self.rows = {k: torch.randn(4, k).to(torch.bfloat16) for k, _ in shapes}
        self.recent, self.slowness = deque(maxlen=9), []
        self.usual = median(self.fixed_work() for _ in range(100))

    def fixed_work(self):
        """Processor seconds of the same work every time: a step's products, and plain Python."""
        mark = time.process_time()
        for weight in self.weights:
            self.rows[weight.shape[0]] @ weight
        sum(i * i for i in range(20000))
        return time.process_time() - mark

    def usual_time(self, spent):
        """What a step's processor time would be at the usual speed of the machine."""
        self.recent.append(self.fixed_work())
        slow = median(self.recent) / self.usual
        self.slowness.append(slow)
        return spent / slow

    def watch(self, asked):
        """Time each step by the fitted constants: looks at what the scheduler put into it."""
        from ridgeline.deployment.operands import Format
        from ridgeline.measure.engine.local_steps import LocalSteps
        from ridgeline.model.huggingface import architecture_from_config

        steps, limits = asked["steps"], asked["limits"]
        fitted = LocalSteps(Format("bf16", 2.0, "bf16"), tuple(steps["rows"]),
                            tuple(steps["per_param"]), steps["shared"], 0.0)
        self.table = fitted.table(
            architecture_from_config(asked["config"], name="random"),
            max_tokens=limits["max_num_batched_tokens"], max_sequences=limits["max_num_seqs"],
            max_context=limits["max_model_len"])
        scheduler = self.engine.engine_core.engine_core.scheduler
        plain = scheduler.schedule

        def schedule(*given):
            before = {name: (r.num_computed_tokens, r.num_tokens, r.num_output_tokens)
                      for name, r in scheduler.requests.items()}
            output = plain(*given)
            resumed = dict.fromkeys(output.preempted_req_ids or (), 0)
            self.composed = [(n, resumed.get(name, before[name][0]), *before[name][1:])
                             for name, n in output.num_scheduled_tokens.items()]
            return output

        scheduler.schedule = schedule

    def fitted_time(self):
        """Seconds of the step last composed."""
        decodes = [past + 1 for n, past, known, made in self.composed
                   if n == 1 and made and past == known - 1]
        chunks = [(n, past, known) for n, past, known, made in self.composed
                  if not (n == 1 and made and past == known - 1)]
        done = sum(past + n >= known for n, past, known in chunks)
        tokens, batch, table = sum(c[0] for c in self.composed), len(decodes), self.table
        if not tokens:
            return 0.0
        return float(table.fixed + table.tokens(tokens)
                     + sum(table.prefill(n, past) for n, past, _ in chunks)
                     + (table.decode(batch, mean(decodes)) if batch else 0.0)
                     + (table.logits(batch + done) if batch + done else 0.0))

    def preemptions(self):
        return sum(m.value for m in self.engine.get_metrics() if "preemption" in m.name
                   and hasattr(m, "value"))

    def add(self, prompt, output):
        from vllm import SamplingParams

        self.count += 1
        name = f"r{self.count}"
        ids = [100 + (self.count * 31 + 7 * i) % 3900 for i in range(prompt)]
        sampling = SamplingParams(max_tokens=output, min_tokens=output, ignore_eos=True,
                                  temperature=0.0, detokenize=False)
        self.engine.add_request(name, {"prompt_token_ids": ids}, sampling)
        return name

    def serve(self, requests, concurrency):
        """Times of (arrival, first, last) of every request, and the run's counts."""
        clock, waiting, live, out = 0.0, list(enumerate(requests)), {}, {}
        flying, before, steps, busy = 0, self.preemptions(), 0, 0.0
        while waiting or live:
            mark = time.process_time()
            while waiting and (flying < concurrency if concurrency
                               else waiting[0][1][0] <= clock):
                index, (arrival, prompt, output) = waiting.pop(0)
                live[self.add(prompt, output)] = index
                out[index] = [clock if concurrency else arrival, -1.0, -1.0]
                flying += 1
            if not live:
                clock = waiting[0][1][0]
                continue
            results = self.engine.step()
            spent = (self.fitted_time() if self.table
                     else self.usual_time(time.process_time() - mark))
            clock, steps, busy = clock + spent, steps + 1, busy + spent
            for result in results:
                times = out[live[result.request_id]]
                if times[1] < 0 and result.outputs[0].token_ids:
                    times[1] = clock
                if result.finished:
                    times[2] = clock
                    del live[result.request_id]
                    flying -= 1
        return {"times": [out[i] for i in range(len(requests))], "steps": steps, "busy": busy,
                "wall": clock, "preemptions": self.preemptions() - before}

    def step_time(self, prompt, batch, tokens):
        """Middle of five: (seconds of the prompts, of a decode step of all, its mean context)."""
        firsts, decodes, context = [], [], 0.0
        for _ in range(5):
            for _ in range(batch):
                self.add(prompt, tokens)
            prompts, full, begun, made = 0.0, [], set(), 0
            while self.engine.has_unfinished_requests():
                mark = time.process_time()
                results = self.engine.step()
                spent = self.usual_time(time.process_time() - mark)
                if len(begun) < batch:
                    prompts += spent
                elif len(results) == batch:
                    full.append((spent, prompt + made / batch))
                begun |= {r.request_id for r in results}
                made += len(results)
            firsts.append(prompts)
            full = sorted(full[1:])
            if full:
                decodes.append(full[len(full) // 2][0])
                context = sum(c for _, c in full) / len(full)
        return median(firsts), median(decodes) if decodes else 0.0, context

    def calibrate(self, asked, answer):
        """Add measured steps to the answer."""
        for prompt in asked["prompts"]:
            answer["prompts"].append([prompt, self.step_time(prompt, 1, 1)[0]])
        for batch, before in asked["decodes"]:
            _, seconds, context = self.step_time(before, batch, 24 + batch * before // 512)
            if seconds:
                answer["decodes"].append([batch, context, seconds])

def main():
    asked = json.loads(Path(sys.argv[1]).read_text())
    driver = Driver(asked["model"], asked["limits"])
    for _ in range(2):
        driver.step_time(64, 2, 8)
    answer = {"facts": driver.facts, "prompts": [], "decodes": [], "runs": []}
    if "steps" in asked:
        driver.watch(asked)
        for run in asked["runs"]:
            done = driver.serve(run["requests"], run["concurrency"])
            answer["runs"].append({**done, "name": run["name"]})
        Path(sys.argv[2]).write_text(json.dumps(answer))
        return
    # Calibrated before, between and after the runs: what drifts over minutes is in all three.
    driver.calibrate(asked, answer)
    for number, run in enumerate(asked["runs"]):
        if number and number == len(asked["runs"]) // 2:
            driver.calibrate(asked, answer)
        driver.slowness.clear()
        done = driver.serve(run["requests"], run["concurrency"])
        answer["runs"].append({**done, "name": run["name"],
                               "slowness": [min(driver.slowness), median(driver.slowness),
                                            max(driver.slowness)]})
        print(run["name"], done["steps"], answer["runs"][-1]["slowness"], flush=True)
    driver.calibrate(asked, answer)
    Path(sys.argv[2]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
