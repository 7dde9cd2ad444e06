"""The table of step times equals the timer it was made from."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.timing.step_table import (
    ComponentTable,
    Grid,
    table_work,
    tabulate,
    with_unit_costs,
)
from ridgeline.work.op import Op
from ridgeline.work.step import Step


def ops_of(step: Step):
    """Four made-up ops, one of each kind of dependence."""
    m = step.prefill_tokens + step.decode_sequences
    return [Op("linear", "matmul", "ffn", flop=1e6 * m, follows="tokens"),
            Op("prompt", "attention", "attention", follows="prefill",
               flop=10 * step.prefill_tokens * (step.prefill_past + 1)),
            Op("decode", "attention", "attention", follows="decode",
               flop=3 * step.decode_sequences * step.decode_context),
            Op("head", "matmul", "head", flop=7.0 * step.decode_sequences, follows="logits")]


def timer(ops):
    return sum((1e-9 * op.flop for op in ops), 0.0)


TABLE = tabulate(ops_of, timer, max_tokens=8192, max_sequences=256, max_context=32768, fixed=1e-4)


@given(st.integers(0, 8192), st.integers(0, 32000), st.integers(0, 256), st.integers(1, 32768))
def test_table_equals_the_timer(tokens, past, sequences, context):
    step = Step(prefill_tokens=float(tokens), prefill_sequences=float(tokens > 0),
                prefill_past=float(past), decode_sequences=float(sequences),
                decode_context=float(context))
    seconds = TABLE.seconds(prefill_tokens=tokens, past=past, sequences=sequences,
                            context=context)
    assert float(seconds) == pytest.approx(1e-4 + timer(ops_of(step)), rel=1e-6)


@given(st.floats(0.5, 400), st.floats(0, 70000))
def test_scalar_and_array_look_ups_agree(x, y):
    assert TABLE.decode(x, y) == pytest.approx(
        float(TABLE.decode.at(np.array([x]), np.array([y]))[0]))


def test_a_grid_extends_by_its_end_slopes():
    grid = Grid(np.array([1.0, 2.0, 4.0]), np.zeros(1), np.array([[1.0], [3.0], [7.0]]))
    assert grid(3.0) == 5.0 and grid(8.0) == 15.0 and grid(0.0) == -1.0


def beside_prompts(op):
    """Decode attention three times as slow; the rest as it is."""
    return dataclasses.replace(op, flop=3 * op.flop) if op.kind == "attention" else op


def test_decoding_beside_prompts_has_a_grid_of_its_own():
    def of_parts(steps):
        return [op for part, step in steps.items() for op in ops_of(step) if op.follows == part]

    work = table_work(of_parts, max_tokens=64, max_sequences=64, max_context=512,
                      mixed=beside_prompts)
    table = work.table([timer(part.ops) for part in work.parts])
    alone = table.seconds(sequences=10, context=100)
    assert float(alone) == pytest.approx(1e-9 * (1e6 * 10 + 3 * 1000 + 70))
    beside = table.seconds(prefill_tokens=5, past=0, sequences=10, context=100)
    assert float(beside) == pytest.approx(1e-9 * (1e6 * 15 + 10 * 5 + 9 * 1000 + 70))
    both = table.seconds(prefill_tokens=[0, 5], past=0, sequences=10, context=100)
    assert both == pytest.approx([float(alone), float(beside)])
    raised = with_unit_costs(table, sequence=1e-3, token=0.0)
    for grid in ("decode", "beside_prompts"):
        assert getattr(raised, grid)(10, 100) - getattr(table, grid)(10, 100) == pytest.approx(1e-2)
    parts = ComponentTable((table, TABLE))
    assert parts.beside_prompts(10, 100).tolist() == [table.mixed(10, 100), TABLE.decode(10, 100)]
