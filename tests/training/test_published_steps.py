"""Step times of Korthikanti et al. 2022 (arXiv 2205.05198), tables 3 and 5: A100, unfused."""

import numpy as np

from ridgeline.machine.parse import parse_machine
from ridgeline.model.architecture import Architecture
from ridgeline.model.parts import Attention, Block, DenseFfn, Weight
from ridgeline.training.constants import shipped
from ridgeline.training.layout import Batch, Layout
from ridgeline.training.step_time import TrainingCase, step_time

# hidden, layers, heads, chips, pp, vp, batch, micro-batch -> full, selective with sequence parallel
RUNS = {(6144, 48, 64, 8, 1, 1, 4, 4): (1.42, 1.10),
        (12288, 96, 96, 64, 8, 3, 64, 1): (18.13, 13.75),
        (20480, 105, 128, 280, 35, 3, 280, 1): (49.05, 37.83),
        (25600, 128, 160, 512, 64, 1, 512, 1): (94.42, 71.49)}


def gpt(hidden: int, layers: int, heads: int) -> Architecture:
    block = Block(Attention(heads, heads, hidden // heads), DenseFfn(4 * hidden, gated=False),
                  (Weight("norm1", (hidden,), "norm"), Weight("norm2", (hidden,), "norm")))
    return Architecture("gpt", "gpt", hidden, 51200, 0, ((block, layers),),
                        (Weight("embed", (51200, hidden), "embedding", "vocab"),), (), True, ())


def test_mean_error_over_the_eight_steps() -> None:
    off = []
    for (hidden, layers, heads, chips, pp, vp, batch, micro), measured in RUNS.items():
        for recompute, seconds in zip(("full", "selective"), measured, strict=True):
            case = TrainingCase(
                gpt(hidden, layers, heads), parse_machine(f"{chips}xA100-SXM-80GB"),
                Layout(8, pp, 1, vp=vp, micro_batch=micro, recompute=recompute),
                Batch(batch, 2048), flash=False, sequence_parallel=recompute != "full",
                framework="megatron_lm")
            off.append(abs(step_time(case, shipped()).step / seconds - 1))
    # calculon states 3.65 % for the same steps.
    assert np.mean(off) <= 0.0365 and max(off) < 0.11
