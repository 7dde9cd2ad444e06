"""The step model: never below the roofs, FLOP as the field counts them, published runs."""

import dataclasses
import math

import pytest

from ridgeline.machine.parse import parse_machine
from ridgeline.model.architecture import Architecture
from ridgeline.model.load import load_architecture
from ridgeline.training.constants import shipped, spread
from ridgeline.training.layout import Batch, Layout
from ridgeline.training.step_time import (
    PRIORS,
    Constants,
    TrainingCase,
    case_work,
    floor_seconds,
    step_time,
)
from ridgeline.training.work import flop_per_token

LLAMA_8B = load_architecture("Llama-3.1-8B")
LLAMA_70B = load_architecture("Llama-3.1-70B")


def case(**changes: object) -> TrainingCase:
    base = TrainingCase(LLAMA_70B, parse_machine("64xH100-SXM"), Layout(4, 8, 2, vp=5),
                        Batch(256, 8192), "fp8")
    return dataclasses.replace(base, **changes)


def _layers(count: int) -> Architecture:
    (block, _), = LLAMA_70B.blocks
    return dataclasses.replace(LLAMA_70B, blocks=((block, count),))


def test_flop_of_a_token() -> None:
    # 6 N and causal attention; the embedding look-up costs nothing.
    matrices = 6 * (70_553_706_496 - 128256 * 8192)
    attention = 6 * 80 * 8192 * 8192
    assert flop_per_token(LLAMA_70B, 8192) == pytest.approx(matrices + attention, rel=1e-3)
    assert flop_per_token(LLAMA_70B, 8192, causal=False) == pytest.approx(
        matrices + 2 * attention, rel=1e-3)


@pytest.mark.parametrize("machine", ["64xH100-SXM", "64xB200-SXM", "64xMI300X", "64xA100-SXM-80GB"])
@pytest.mark.parametrize("recompute", ["none", "full"])
def test_never_faster_than_the_roofs(machine: str, recompute: str) -> None:
    run = case(cluster=parse_machine(machine), precision="bf16",
               layout=Layout(4, 8, 2, recompute=recompute))
    floor = floor_seconds(run, case_work(run))
    assert step_time(run, shipped()).step >= floor
    fastest = Constants({n: p[2] if p[2] <= 1 else 0.0 for n, p in PRIORS.items()}, {})
    assert step_time(run, fastest).step >= floor


def test_efficiencies_are_shares_and_overheads_not_negative() -> None:
    values = shipped().values
    assert set(values) == set(PRIORS)
    assert all(0 < v <= PRIORS[n][2] for n, v in values.items())
    assert spread(False)[2] < spread(False)[0] < 1 < spread(False)[1] < spread(False)[3]


def test_recomputing_costs_at_most_a_third_more_compute() -> None:
    plain = step_time(case(layout=Layout(4, 8, 2)), shipped())
    again = step_time(case(layout=Layout(4, 8, 2, recompute="full")), shipped())
    assert 1.2 < again.step / plain.step < 1.45


def test_schedules_shrink_the_bubble() -> None:
    bubbles = [step_time(case(layout=layout), shipped()).bubble_share for layout in (
        Layout(4, 8, 2), Layout(4, 8, 2, schedule="zero-bubble"), Layout(4, 8, 2, vp=5))]
    assert bubbles[0] > bubbles[1] > 0
    assert bubbles[0] > bubbles[2] > 0
    # (p - 1) / (m + p - 1) of the pipelined time, and the other stages' wait for the head's.
    assert 0.9 * 7 / (128 + 7) < bubbles[0] < 7 / (128 + 7) + 0.15
    # Two layers more than stages can share evenly leave room for the head on the last stage.
    even = step_time(case(architecture=_layers(78), layout=Layout(4, 8, 2)), shipped())
    assert even.bubble_share == pytest.approx(7 / (128 + 7), rel=0.1)


def test_parts_add_up() -> None:
    found = step_time(case(framework=""), shipped())
    assert sum(found.parts.values()) == pytest.approx(found.step, rel=1e-9)


@pytest.mark.parametrize(("run", "rate"), [
    # Megatron-Bridge performance summary (Apache-2.0): tokens per second of a device.
    (TrainingCase(LLAMA_8B, parse_machine("8xH100-SXM"), Layout(dp=8, zero=3), Batch(128, 8192),
                  "fp8"), 14451.0),
    (TrainingCase(LLAMA_70B, parse_machine("64xH100-SXM"), Layout(4, 8, 2, vp=5),
                  Batch(256, 8192), "fp8"), 1639.0),
    (TrainingCase(LLAMA_70B, parse_machine("64xGB300"), Layout(1, 4, 16, vp=5),
                  Batch(256, 8192), "mxfp8"), 4742.0),
])
def test_published_rates(run: TrainingCase, rate: float) -> None:
    found = run.batch.tokens / step_time(run, shipped()).step / run.cluster.n_chips
    assert abs(math.log(found / rate)) < 0.25
