"""Golden values of the memory formulas; scalar, array and symbol agree; reversible round trip."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import BadInput, UnknownName
from ridgeline.memory import activations, engines, kv, peak, training, weights
from ridgeline.memory.reversible import ReversibleNet, round_trip_error

GB = 1e9
LLAMA_70B, LLAMA_8B = 70_553_706_496, 8_030_261_248
SHAPE = {"seq_len": 8192, "batch_size": 1, "d_model": 4096}


def public_formulas() -> list[Callable[..., Any]]:
    """Every public function whose arguments are all keyword-only numbers."""
    found = []
    for module in (weights, kv, activations, training, engines, peak):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            parameters = inspect.signature(function).parameters.values()
            if (function.__module__ == module.__name__ and not name.startswith("_") and parameters
                    and all(p.kind is p.KEYWORD_ONLY and p.annotation == "Numeric"
                            for p in parameters)):
                found.append(function)
    return found


@pytest.mark.parametrize("formula", public_formulas(), ids=lambda f: f.__name__)
def test_scalar_array_and_symbol_agree(formula: Callable[..., Any]) -> None:
    names = list(inspect.signature(formula).parameters)
    values = {name: 3.0 + 2.0 * index for index, name in enumerate(names)}
    scalar = float(formula(**values))
    array = formula(**{name: np.array([value, value]) for name, value in values.items()})
    assert np.broadcast_to(array, 2) == pytest.approx(scalar)
    symbols = {name: sympy.Symbol(name, positive=True) for name in names}
    symbolic = sympy.sympify(formula(**symbols))
    assert float(symbolic.subs({symbols[n]: v for n, v in values.items()})) == pytest.approx(scalar)


def test_there_are_formulas_to_check() -> None:
    assert len(public_formulas()) > 30


@pytest.mark.parametrize(("bits", "gb"), [(16, 140), (8, 70), (4, 35)])
def test_weights_of_a_nominal_70b(bits: float, gb: float) -> None:
    assert weights.weight_bytes(n_params=70e9, bits=bits) / GB == pytest.approx(gb)


def test_llama_3_70b_q4_k_m_file() -> None:
    size = weights.weight_bytes(n_params=LLAMA_70B, bits=4.82)
    assert size / GB == pytest.approx(42.52, rel=0.005)
    assert size / 2**30 == pytest.approx(39.6, rel=0.005)


@pytest.mark.parametrize(("before", "after", "ratio"), [
    (16, 8, 2.0), (8, 4, 2.0), (4, 2, 2.0), (16, 2, 8.0),
    (8.5, 4.83, 1.76), (4.83, 3.0, 1.61), (16, 3.0, 5.33)])
def test_quantisation_ratios(before: float, after: float, ratio: float) -> None:
    assert weights.size_ratio(from_bits=before, to_bits=after) == pytest.approx(ratio, rel=0.005)


def test_grouped_formats() -> None:
    assert weights.grouped_bits(value_bits=4, group_size=16, scale_bits=8) == 4.5
    assert weights.grouped_bits(value_bits=8, group_size=32) == 8.5
    assert weights.grouped_bits(value_bits=4, group_size=128, zero_bits=4) == pytest.approx(
        4.16, rel=0.005)


def test_decompression_on_the_fly() -> None:
    speed = {"memory_bandwidth": 1.008e12, "decompress_rate": 5e12}
    plain = weights.compressed_bandwidth(ratio=1.0, **speed) / (2 * LLAMA_8B)
    packed = weights.compressed_bandwidth(ratio=1.43, **speed) / (2 * LLAMA_8B)
    assert (plain, packed) == (pytest.approx(62.8, rel=0.005), pytest.approx(89.7, rel=0.005))
    slow = weights.compressed_bandwidth(ratio=1.43, memory_bandwidth=1e12, decompress_rate=5e11)
    assert slow == 5e11


def test_training_state_of_llama_3_70b() -> None:
    state = training.state_bytes(n_params=LLAMA_70B)
    assert state / GB == pytest.approx(1128.9, rel=1e-4)
    assert kv.ideal_devices(total_bytes=state, memory_bytes=80e9) == 15
    assert kv.ideal_devices(total_bytes=training.state_bytes(n_params=70e9),
                            memory_bytes=80e9) == 14
    adamw = training.get_optimizer("adamw").bytes_per_param
    assert adamw / 2.0 == 6.0                       # optimizer over 16-bit weights


@pytest.mark.parametrize(("stage", "per_param"), [
    (0, 16.0), (1, 4 + 12 / 8), (2, 2 + 14 / 8), (3, 16 / 8)])
def test_zero_stages(stage: int, per_param: float) -> None:
    shards = training.zero_shards(stage, 8)
    found = training.state_bytes(n_params=1.0, weight_shards=shards.weights,
                                 grad_shards=shards.grads, optimizer_shards=shards.optimizer)
    assert found == pytest.approx(per_param)


def test_megatron_bytes_per_parameter() -> None:
    assert training.state_bytes(n_params=1.0, grad_bytes=4) == 18
    assert training.state_bytes(n_params=1.0, grad_bytes=4, optimizer_shards=4) == 6 + 12 / 4
    eight = training.get_optimizer("adamw_8bit")
    assert eight.moments == 2.0


def test_kv_golden_values() -> None:
    big = kv.kv_bytes_per_token(n_layers=80, n_kv_heads=8, head_dim=128)
    assert big * 32768 * 16 / GB == pytest.approx(171.8, rel=0.005)
    assert big * 1e5 / GB == pytest.approx(32.8, rel=0.005)
    assert big * 1e6 / GB == pytest.approx(327.7, rel=0.005)
    assert kv.kv_bytes_per_token(n_layers=32, n_kv_heads=8, head_dim=128) == 131072
    assert kv.kv_bytes_per_token(n_layers=28, n_kv_heads=4, head_dim=128) == 57344
    latent = kv.latent_bytes_per_token(n_layers=61, kv_lora_rank=512, qk_rope_head_dim=64)
    assert latent * 131072 / GB == pytest.approx(9.21, rel=0.005)
    # The same model with 128 heads of their own keys (192) and values (128) in a plain cache of
    # 128 each: the document's 524 GB.
    plain = kv.kv_bytes_per_token(n_layers=61, n_kv_heads=128, head_dim=128)
    assert plain * 131072 / GB == pytest.approx(524, rel=0.005)


def test_windows_against_full() -> None:
    layer = 2 * 16 * 128 * 2.0
    every = kv.mixed_kv_bytes(context_length=131072, batch_size=1, full_bytes_per_token=62 * layer,
                              window_bytes_per_token=0.0, window=1024)
    assert every / GB == pytest.approx(66.6, rel=0.005)


def test_ideal_fit() -> None:
    tokens = kv.ideal_tokens(memory_bytes=24e9, weight_bytes=2 * LLAMA_8B, overhead_bytes=1e9,
                             kv_bytes_per_token=131072)
    assert int(tokens) == 52944
    batch = kv.ideal_batch(memory_bytes=640e9, weight_bytes=2 * LLAMA_70B, fraction=0.9,
                           kv_bytes_per_token=327680, context_length=8192)
    assert int(batch) == 162
    assert kv.ideal_tokens(memory_bytes=8e9, weight_bytes=16e9, kv_bytes_per_token=1.0) == 0.0


def test_activation_policies() -> None:
    none = 32 * activations.layer_sequence_parallel(**SHAPE, n_heads=32)
    selective = 32 * activations.layer_selective(**SHAPE)
    full = activations.full_recompute(n_layers=32, input_bytes=activations.layer_input(**SHAPE),
                                      layer_bytes=activations.layer_selective(**SHAPE))
    folded = activations.reversible(input_bytes=activations.layer_input(**SHAPE),
                                    layer_bytes=activations.layer_selective(**SHAPE))
    found = [value / GB for value in (none, selective, full, folded)]
    assert found == pytest.approx([380.1, 36.5, 3.29, 1.275], rel=0.005)


# Published check set: 22B, 175B, 530B and 1T of Korthikanti et al. 2022 (arXiv 2205.05198) as
# calculon profiles them: h, layers, heads, pp, chunks, microbatch -> GiB of state, of activations
# with tensor parallelism alone, with sequence parallelism and selective recomputation.
CHECK_SET = [
    ("22B", 6144, 48, 64, 1, 1, 4, 45.56, 59.25, 9.56),
    ("175B", 12288, 96, 96, 8, 3, 1, 45.56, 66.84, 12.35),
    ("530B", 20480, 105, 128, 35, 3, 1, 31.64, 114.02, 23.08),
    ("1T", 25600, 128, 160, 64, 1, 1, 32.96, 131.25, 26.56),
]


@pytest.mark.parametrize("row", CHECK_SET, ids=lambda row: row[0])
def test_megatron_check_set(row: tuple[Any, ...]) -> None:
    _, hidden, layers, heads, pp, chunks, batch, state, none, selective = row
    rank = 12 * layers * hidden**2 / (8 * pp)
    assert training.state_bytes(n_params=rank, grad_bytes=4) / 2**30 == pytest.approx(
        state, rel=0.001)
    held = (activations.interleaved_layers(n_layers=layers, pp=pp, chunks=chunks) if chunks > 1
            else activations.stage_layers(n_layers=layers, pp=pp, n_microbatches=512))
    shape = {"seq_len": 2048, "batch_size": batch, "d_model": hidden, "tp": 8}
    found = held * activations.layer_tensor_parallel(n_heads=heads, **shape) / 2**30
    assert found == pytest.approx(none, rel=0.001)
    assert held * activations.layer_selective(**shape) / 2**30 == pytest.approx(selective,
                                                                               rel=0.001)


def test_square_root_checkpointing_is_the_minimum() -> None:
    sizes = {"n_layers": 96.0, "layer_bytes": 34.0, "input_bytes": 2.0}
    best = activations.best_segments(**sizes)
    least = activations.segmented_recompute(n_segments=best, **sizes)
    for other in (best / 2, best * 0.9, best * 1.1, best * 2):
        assert least < activations.segmented_recompute(n_segments=other, **sizes)
    assert activations.training_flop(n_params=1.0, tokens=1.0, recomputed=1.0) / 6 == (
        pytest.approx(1.333, rel=0.001))


@pytest.mark.parametrize("n_layers", [1, 12, 48])
def test_reversible_net_recovers_its_inputs(n_layers: int) -> None:
    assert round_trip_error(n_layers=n_layers, d_model=128, seq_len=64, seed=3) < 1e-5


def test_reversible_net_is_not_the_identity() -> None:
    net = ReversibleNet.random(n_layers=4, d_model=16)
    x = np.ones((2, 16), dtype=np.float32)
    y1, y2 = net.forward(x, x)
    assert y1.dtype == np.float32
    assert np.abs(y1 - x).max() > 1e-2
    assert np.abs(y2 - x).max() > 1e-2
    with pytest.raises(BadInput, match="at least 1"):
        ReversibleNet.random(n_layers=0, d_model=16)


def test_bad_names_and_stages() -> None:
    with pytest.raises(UnknownName, match="did you mean 'adamw'"):
        training.get_optimizer("adam_w")
    with pytest.raises(BadInput, match="ZeRO stage 4 does not exist"):
        training.zero_shards(4, 8)


@given(st.integers(1, 512), st.integers(1, 64), st.integers(1, 4096))
def test_blocks_and_heads_never_lose_anything(n_kv: int, tp: int, tokens: int) -> None:
    assert tp * kv.kv_heads_per_device(n_kv_heads=n_kv, tp=tp) >= n_kv
    paged = kv.paged_tokens(context_length=tokens)
    assert 0 <= paged - tokens < 16
    assert kv.kept_tokens(context_length=tokens, window=128) == min(tokens, 128)
