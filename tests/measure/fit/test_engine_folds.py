"""What is held out together when the engine layer is judged."""

import numpy as np

from ridgeline.measure.fit.engine import Runs, _folds
from ridgeline.serving.measured_run import Protocol
from ridgeline.timing.adjust import ServingCase
from ridgeline.timing.engine import CAPTURED


def case(model):
    return ServingCase("vllm", "0.9.0", model, "mla", "H200-SXM", "fp8", "agg", "tp", "inferencex",
                       8.0, 1024.0, 1024.0, 8.0)


def test_two_names_of_one_shape_are_held_out_together():
    names = ("deepseek-ai/DeepSeek-R1", "deepseek-ai/DeepSeek-V3", "Qwen/Qwen3-32B")
    none, ones = np.ones((3, 11)), np.ones(3)
    runs = Runs(none, none, ones, ones, tuple(case(n) for n in names), (Protocol(),) * 3,
                np.zeros(3, bool))
    folds = _folds(runs)
    for split in ("seen", "new_model"):
        assert folds[split][0] == folds[split][1]
    assert folds["new_model"][2] != folds["new_model"][0]


def test_captured_prompts_launch_a_share_of_their_layers():
    name, none, ones = "Qwen/Qwen3-30B-A3B", np.ones((2, 11)), np.ones(2)
    runs = Runs(none, none, ones, ones, (case(name),) * 2, (Protocol(),) * 2,
                np.array([False, True]))
    assert runs.layers.tolist() == [[48.0, 48.0], [48.0 * CAPTURED, 48.0 * CAPTURED]]
