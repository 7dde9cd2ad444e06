"""The table of step times equals the timer it was made from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.timing.step_table import Grid, tabulate
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
