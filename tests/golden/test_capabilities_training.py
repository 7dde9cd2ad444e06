"""Worked values of training: FLOP, runs, closed forms of the laws, trends, lifecycle."""

import numpy as np
import pytest

from ridgeline.catalog.loader import default_catalog
from ridgeline.memory.activations import training_flop
from ridgeline.model.architecture import Architecture
from ridgeline.model.load import load_architecture
from ridgeline.model.parts import Attention, Block, DenseFfn, Weight
from ridgeline.questions.scale import ScaleAsk, scale
from ridgeline.questions.trends import trends
from ridgeline.training import lifecycle, run_plan, scaling
from ridgeline.training.work import flop_per_token

LLAMA_70B = load_architecture("Llama-3.1-70B")


def near(value: float, rel: float = 0.005) -> object:
    return pytest.approx(value, rel=rel)


def test_flop_of_a_run() -> None:
    assert training_flop(n_params=70e9, tokens=2e12) == near(8.4e23)
    # Causal attention at 8k adds 6 L d s to 6 N: 7.6 %.
    whole = 6 * LLAMA_70B.total_params
    assert 6 * 80 * 8192 * 8192 / whole == near(0.076)
    head = 6 * 128256 * 8192
    assert flop_per_token(LLAMA_70B, 8192) == near(whole - head + 6 * 80 * 8192 * 8192, 1e-3)


def test_megatron_s_count_of_an_iteration() -> None:
    """Narayanan et al. 2021: 72 B s L h^2 (1 + s / 6h + V / 12Lh), 96 with all recomputed."""
    hidden, layers, heads, vocabulary, seq = 12288, 96, 96, 51200, 2048
    block = Block(Attention(heads, heads, hidden // heads), DenseFfn(4 * hidden, gated=False),
                  (Weight("norm", (hidden,), "norm"),))
    gpt = Architecture("gpt", "gpt", hidden, vocabulary, 0, ((block, layers),),
                       (Weight("embed", (vocabulary, hidden), "embedding", "vocab"),), (), True, ())
    count = 72 * layers * hidden**2 * (1 + seq / (6 * hidden) + vocabulary / (12 * layers * hidden))
    assert flop_per_token(gpt, seq, causal=False) == near(count)
    # The published form with recomputation: V / 16 L h, the head is not done twice.
    again = 96 * layers * hidden**2 * (1 + seq / (6 * hidden) + vocabulary / (16 * layers * hidden))
    layer = 72 * layers * hidden**2 * (1 + seq / (6 * hidden))
    assert again == near(layer * 4 / 3 + 6 * vocabulary * hidden, 1e-9)


@pytest.mark.parametrize(("name", "g", "a", "b"), [
    ("hoffmann_rounded", 1.3447, 0.4516, 0.5484), ("hoffmann", 1.3001, 0.4565, 0.5435),
    ("besiroglu", 0.1196, 0.5126, 0.4874)])
def test_closed_forms(name: str, g: float, a: float, b: float) -> None:
    law = scaling.get_law(name)
    unit = float(law.split(6.0)[0])
    steps = [float(np.log(law.split(6.0e10)[i] / law.split(6.0)[i]) / np.log(1e10))
             for i in (0, 1)]
    assert unit == near(g) and steps == [near(a, 1e-3), near(b, 1e-3)]


def test_tokens_of_llama_3_over_chinchilla() -> None:
    for params, ratio in ((load_architecture("Llama-3.1-8B").total_params, 93),
                          (LLAMA_70B.total_params, 10.6)):
        answer = scale(ScaleAsk(params=float(params), tokens=15e12))
        assert answer.value("tokens_per_param") / 20 == near(ratio, 0.01)


def test_reference_runs() -> None:
    """Llama 3 405B: 3.8e25 FLOP in 30.84 M chip-hours; 66.9 days at 400 TFLOP/s on 16,384;
    the scaling book's Llama-3-70B on 8,960 TPU v5p at 40 %."""
    flop = training_flop(n_params=405.85e9, tokens=15.6e12)
    assert flop == near(3.8e25)
    peak = default_catalog().chip("H100-SXM").peak("bf16")
    rate = flop / (30.84e6 * 3600)
    assert rate / peak == near(0.345, 0.01)
    assert run_plan.run_seconds(flop=flop, n_chips=16384, peak_flops_per_s=peak,
                                mfu=400e12 / peak) / 86400 == near(66.9, 0.01)
    assert run_plan.run_seconds(flop=6 * 70e9 * 15e12, n_chips=8960, peak_flops_per_s=4.59e14,
                                mfu=0.4) / 86400 == near(44, 0.01)


def test_a_life_in_balance() -> None:
    # N = 100B, 20T tokens: 1.2e25 FLOP for each of three stages, 60T tokens served.
    served = lifecycle.balanced_serving_tokens(tokens=20e12)
    assert served == near(60e12)
    assert served / 365 == near(164e9)
    cost = {"n_params": 100e9, "inference_tokens": 0.0, "tokens": 20e12}
    assert lifecycle.lifecycle_cost(**cost) == near(1.2e25)
    assert lifecycle.lifecycle_cost(**cost | {"inference_tokens": served}) == near(2.4e25)


def test_memory_wall() -> None:
    table = next(t for t in trends().tables if t.name == "memory_wall")
    rows = {str(row[0]): row[1:] for row in table.rows}
    flops, bandwidth, *_ = rows["B200-SXM"]
    assert isinstance(flops, float) and isinstance(bandwidth, float)
    assert (flops, bandwidth, flops / bandwidth) == (near(7.21), near(3.92), near(1.84))
    ridges = [row[-1] for row in rows.values()]
    assert ridges == [near(153), near(295.3), near(206), near(281.3)]
