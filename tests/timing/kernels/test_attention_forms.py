"""Forms of attention kernels: tiles counted by hand, physics respected, three number types."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.timing.kernels.attention import DECODE_CONSTANTS, PREFILL_CONSTANTS
from ridgeline.timing.kernels.attention_forms import (
    causal_pairs,
    causal_tiles,
    decode_form,
    prefill_form,
)

CHIP = {"peak": 989e12, "fastest_peak": 1979e12, "memory_bandwidth": 3.35e12, "l2_bytes": 50e6,
        "n_cores": 132.0}
PREFILL = {"batch": 2.0, "new_tokens": 1000.0, "past_tokens": 500.0, "q_heads": 32.0,
           "kv_heads": 8.0, "head_dim": 128.0, "v_head_dim": 128.0, "window": 0.0,
           "kv_bytes": 2.0, **CHIP}
DECODE = {"batch": 16.0, "kv_len": 4096.0, "q_heads": 32.0, "kv_heads": 8.0, "head_dim": 128.0,
          "v_head_dim": 128.0, "shared_kv": 0.0, "window": 0.0, "kv_bytes": 2.0, **CHIP}
P = {c.name: c.start for c in PREFILL_CONSTANTS}
D = {c.name: c.start for c in DECODE_CONSTANTS}


@given(q=st.integers(1, 40), past=st.integers(0, 40), window=st.integers(1, 60))
def test_tiles_counted_one_by_one(q, past, window):
    counted = sum(min(past + i, window) for i in range(1, q + 1))
    assert causal_tiles(q_tiles=q, past_tiles=past, window_tiles=window) == counted


def test_pairs_of_a_short_prompt():
    # Tokens 1..4 after 2 cached see 3, 4, 5, 6 keys; with a window of 4: 3, 4, 4, 4.
    assert causal_pairs(new_tokens=4, past_tokens=2, window=1e15) == 18
    assert causal_pairs(new_tokens=4, past_tokens=2, window=4) == 15


def test_floor_is_the_roofline():
    # One long prompt is bound by its products: 4 d_head flop for each of S (S + 1)/2 scores.
    case = {**PREFILL, "batch": 1.0, "new_tokens": 16384.0, "past_tokens": 0.0}
    flop = 4 * 128 * 32 * 16384 * 16385 / 2
    assert prefill_form(**case, warm=0.0, **P)["floor"] == pytest.approx(flop / 989e12)
    # A decode step is bound by its cache: 2 x 8 x 128 x 2 bytes a token, and queries and outputs.
    read = 16 * 4096 * 4096 + 2 * 16 * 32 * 256
    assert decode_form(**DECODE, warm=0.0, **D)["floor"] == pytest.approx(read / 3.35e12)


@pytest.mark.parametrize(("form", "case", "constants"),
                         [(prefill_form, PREFILL, P), (decode_form, DECODE, D)])
def test_scalar_array_and_symbol_agree(form, case, constants):
    sympy = pytest.importorskip("sympy")
    plain = form(**case, warm=0.0, **constants)["seconds"]
    arrays = {k: np.full(3, v) for k, v in case.items()}
    assert form(**arrays, warm=0.0, **constants)["seconds"] == pytest.approx([plain] * 3)
    symbol = sympy.Symbol("b", positive=True)
    traced = form(**{**case, "batch": symbol}, warm=0.0, **constants)["seconds"]
    assert float(traced.subs(symbol, case["batch"])) == pytest.approx(plain)


@pytest.mark.parametrize(("form", "case", "constants", "grows"), [
    (prefill_form, PREFILL, P, ("batch", "new_tokens", "past_tokens", "q_heads")),
    (decode_form, DECODE, D, ("batch", "kv_len", "kv_heads"))])
def test_more_work_takes_no_less_time(form, case, constants, grows):
    for name in grows:
        sizes = np.unique(np.round(np.geomspace(1, 65536, 60)))
        sizes = sizes[sizes <= 64] if "heads" in name else sizes
        if name == "kv_heads":
            sizes = sizes[sizes <= 32]
        time = form(**{**case, name: sizes}, warm=0.0, **constants)["seconds"]
        # Filling the last wave can win back a little.
        assert (time[1:] >= 0.93 * time[:-1]).all(), name


def test_cold_is_never_faster_than_warm_nor_a_window_slower():
    small = {**DECODE, "kv_len": np.geomspace(16, 65536, 20)}
    assert (decode_form(**small, warm=0.0, **D)["seconds"]
            >= decode_form(**small, warm=1.0, **D)["seconds"]).all()
    long = {**PREFILL, "new_tokens": 8192.0}
    full = prefill_form(**long, warm=0.0, **P)["seconds"]
    seen = prefill_form(**{**long, "window": 1024.0}, warm=0.0, **P)["seconds"]
    assert seen < 0.5 * full
    assert prefill_form(**{**long, "window": 1e18}, warm=0.0, **P)["seconds"] == full
