"""Calibrated step times as arrays: (model, chip, deployment, batch) cases a second on one core.

Each distinct shape is timed once and every case gathers from it; the ratio is to asking one case
at a time in the same run.
"""

import time

import numpy as np

from ridgeline.catalog import load_chip
from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import settle_formats
from ridgeline.machine import Cluster
from ridgeline.model.load import load_architecture
from ridgeline.timing.engine import engine_costs
from ridgeline.timing.step_time import StepTimer
from ridgeline.work.step import decode_step, step_ops

MODELS = ("Llama-3.1-8B", "Llama-3.1-70B", "Qwen3-30B-A3B", "gpt-oss-120b", "DeepSeek-V3")
CHIPS = ("H100-SXM", "H200", "B200-SXM", "A100-SXM", "L40S")
DEGREES = (1, 2, 4, 8)


def evaluate(model: str, chip_name: str, tp: int, batches: np.ndarray, lengths: np.ndarray
             ) -> np.ndarray:
    """Seconds of a decode step for every batch and length."""
    architecture, chip = load_architecture(model), load_chip(chip_name)
    plan = Deployment(tp=tp)
    timer = StepTimer(Cluster.of(chip, tp), plan, engine_costs("vllm"))
    return timer(step_ops(architecture, plan, settle_formats(architecture, plan, chip),
                          decode_step(sequences=batches, context=lengths)))


def main() -> None:
    batches, lengths = np.arange(1.0, 257.0)[:, None], np.geomspace(128, 65536, 24)[None, :]
    evaluate(MODELS[0], CHIPS[0], 1, batches, lengths)
    start, cases = time.perf_counter(), 0
    for model in MODELS:
        for chip in CHIPS:
            for tp in DEGREES:
                cases += evaluate(model, chip, tp, batches, lengths).size
    rate = cases / (time.perf_counter() - start)
    start, alone = time.perf_counter(), 30
    for i in range(alone):
        evaluate(MODELS[1], CHIPS[0], 8, np.array([float(i + 1)]), np.array([1000.0]))
    single = alone / (time.perf_counter() - start)
    print(f"{cases:,} cases, {rate:,.0f} a second as arrays, {single:,.0f} a second one by one, "
          f"ratio {rate / single:,.0f}")


if __name__ == "__main__":
    main()
