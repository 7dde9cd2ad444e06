"""One user's rates on a machine whose chip file holds an engine's own measured kernels.

    t = step + layer * layers + sequence * sequences + the ops' measured times

No constant comes from a model's run: the kernels were measured one by one (`timing.measured`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ridgeline.deployment import Deployment
from ridgeline.deployment.operands import settle_formats
from ridgeline.machine import Chip, Cluster
from ridgeline.model.architecture import Architecture
from ridgeline.timing.measured import costs_of, runs_format
from ridgeline.timing.roofline import step_bounds
from ridgeline.timing.single_stream import StreamRates, Timed
from ridgeline.timing.step_time import StepTimer
from ridgeline.work.step import Step, step_ops

__all__ = ["measured_rates"]

# Factors on a time at 2.5, 10, 90 and 97.5 %: what runs of llama.cpp on a shared machine showed
# beside such predictions (docs/local_engines.md).
_ENDS = (0.80, 0.88, 1.15, 1.25)
_PASS = 512.0   # tokens of a prompt in one pass


def measured_rates(architecture: Architecture, chip: Chip, *, quant: str, engine: str,
                   prompt_tokens: float, gen_tokens: float, context_depth: float = 0.0,
                   batch: float = 1.0) -> StreamRates | None:
    """Prompt and generation rates, None where the format was not measured.

    Args:
        architecture, chip: what runs where.
        quant, engine: number format of the weights; whose kernels.
        prompt_tokens, gen_tokens, context_depth: of a request [token].
        batch: requests side by side; rates are of all together.
    """
    kernels = chip.kernels_of(engine)
    if kernels is None or not runs_format(kernels, quant):
        return None
    seconds = _step_seconds(architecture, chip, engine, quant)
    context = max(1.0, context_depth + prompt_tokens + gen_tokens / 2)
    decode = seconds(Step(decode_sequences=batch, decode_context=context))
    whole, passes = prompt_tokens * batch, []
    for start in range(0, math.ceil(whole), int(_PASS)):
        # Prompts side by side share passes; a pass attends to what its own prompts have read.
        before = context_depth + min(start / batch, max(prompt_tokens - _PASS, 0.0))
        passes.append(seconds(Step(
            prefill_tokens=min(_PASS, whole - start), prefill_sequences=1.0, prefill_past=before,
            finished_prompts=batch if start + _PASS >= whole else 0.0)))
    prompt = sum(time for time, _ in passes), sum(floor for _, floor in passes)
    rates = [Timed(time, max(floor, 1e-12), _ENDS, "machine").rate(tokens)
             for (time, floor), tokens in ((prompt, whole), (decode, batch))]
    return StreamRates(rates[0], rates[1], "machine")


def _step_seconds(architecture: Architecture, chip: Chip, engine: str, quant: str
                  ) -> Callable[[Step], tuple[float, float]]:
    """Time and floor of a step."""
    deployment = Deployment(engine=engine, weights=quant)
    formats = settle_formats(architecture, deployment, chip)
    cluster, costs = Cluster.of(chip), costs_of(chip.kernels[engine])
    timer = StepTimer(cluster, deployment, costs)

    def seconds(step: Step) -> tuple[float, float]:
        ops = step_ops(architecture, deployment, formats, step)
        ends = float(step.decode_sequences) + float(step.finished_prompts or 0.0)
        tokens = float(step.prefill_tokens + step.decode_sequences)
        # llama.cpp's last layer drops the rows that need no logits before its feed-forward.
        last = timer([op for op in ops if op.part in ("ffn", "experts")]) / architecture.n_layers
        spared = float(last) * (1 - ends / tokens) if engine == "llamacpp" else 0.0
        return (float(timer(ops)) - spared + costs.fixed(architecture)
                + costs.sequence * ends, float(step_bounds(ops, cluster).lower))

    return seconds
