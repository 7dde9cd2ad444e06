"""The 200 questions whose answers are frozen; `python tests/golden/predictions.py` writes them.

A change that moves a prediction must say so by writing the file anew.
"""

import itertools
import json
from pathlib import Path

import ridgeline

FILE = Path(__file__).with_suffix(".json")
MACHINES = ("H100-SXM", "8xH100-SXM", "4xH200", "8xB200-SXM", "A100-SXM", "2xL40S", "RTX-4090",
            "8xMI300X", "4xGB300", "2xRTX-PRO-6000")
MODELS = (("Llama-3.1-8B", {}), ("Llama-3.1-70B", {"weights": "fp8"}), ("Qwen3-32B", {}),
          ("Qwen3-30B-A3B", {"weights": "fp8"}), ("gpt-oss-20b", {}),
          ("gemma-3-27b-it", {"weights": "int4_g128"}), ("DeepSeek-V3", {}),
          ("Qwen3-Next-80B-A3B-Instruct", {"weights": "fp8"}), ("mamba-2.8b-hf", {}),
          ("Mixtral-8x7B-v0.1", {"weights": "int4_g128"}))
WORKLOADS = (("vllm", {"prompt": 1000, "output": 200, "concurrency": 8}),
             ("sglang", {"prompt": 6000, "output": 800, "concurrency": 64}))


def questions():
    """(key, model, machine, fields) of every frozen question."""
    for (model, own), machine, (engine, load) in itertools.product(MODELS, MACHINES, WORKLOADS):
        fields = {**own, **load, "engine": engine}
        yield f"{model} on {machine}, {engine}", model, machine, fields


def predict(model, machine, fields):
    """TTFT, TPOT and weights of one question, to six digits; or why there is no answer."""
    try:
        answer = ridgeline.estimate(model, machine, **fields)
    except ridgeline.RidgelineError as error:
        return type(error).__name__
    return [float(f"{answer.value(name):.6g}") for name in ("ttft_s", "tpot_s", "tpot_floor_s")]


def main():
    frozen = {key: predict(model, machine, fields)
              for key, model, machine, fields in questions()}
    FILE.write_text(json.dumps(frozen, indent=0) + "\n")
    print(f"{len(frozen)} predictions written")


if __name__ == "__main__":
    main()
