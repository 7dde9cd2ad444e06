"""The footprint: layouts of windows, latents and states; engines; properties; errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.catalog import load_chip
from ridgeline.deployment import Deployment
from ridgeline.deployment.sharding import WeightFormats
from ridgeline.errors import BadInput, UnknownName
from ridgeline.machine import Chip
from ridgeline.memory import engines
from ridgeline.memory.inference import Footprint, footprint
from ridgeline.memory.layout import CacheLayout, LayerKind, cache_layout
from ridgeline.model.architecture import Architecture
from ridgeline.model.parts import Block, Mamba

Models = Callable[[str], Architecture]
WIDE = WeightFormats(16.0, 16.0, 16.0)
GIB = engines.GIB
H100 = Chip("H100-SXM", "NVIDIA", "Hopper", {"bf16": 989e12}, 80 * GIB, 3.35e12)


def of(architecture: Architecture, chip: Chip = H100, **settings_: object) -> Footprint:
    return footprint(architecture, Deployment(**settings_), chip, formats=WIDE,  # type: ignore[arg-type]
                     kv_bytes=2.0)


def test_kv_heads_are_copied_beyond_their_number(model: Models) -> None:
    whole = cache_layout(model("Llama-3.1-70B"), Deployment(), kv_bytes=2.0).bytes_per_token
    assert whole == 327680
    for tp, share in ((1, 1.0), (2, 0.5), (8, 0.125), (16, 0.125)):
        found = cache_layout(model("Llama-3.1-70B"), Deployment(tp=tp), kv_bytes=2.0)
        assert found.bytes_per_token == whole * share


def test_latent_cache_is_whole_on_every_device(model: Models) -> None:
    for tp in (1, 8, 16):
        found = cache_layout(model("DeepSeek-V3 attention"), Deployment(tp=tp), kv_bytes=2.0)
        assert found.bytes_per_token == 70272


def test_fp8_cache_halves_and_context_parallel_divides(model: Models) -> None:
    full = cache_layout(model("Llama-3.1-8B"), Deployment(), kv_bytes=2.0).bytes_per_token
    assert cache_layout(model("Llama-3.1-8B"), Deployment(), kv_bytes=1.0
                        ).bytes_per_token == full / 2
    assert cache_layout(model("Llama-3.1-8B"), Deployment(cp=4), kv_bytes=2.0
                        ).bytes_per_token == full / 4


def test_windowed_layers_stop_growing(make_dense: Callable[..., Architecture]) -> None:
    """62 layers of 16 KV heads, five local to one global, window 1,024, at 131,072 tokens."""
    gemma = make_dense("g", 62, 5376, 21504, 32, 16, 128, 262144, windows=(5, 1024))
    layout = cache_layout(gemma, Deployment(), kv_bytes=2.0)
    assert layout.sequence_bytes(131072) / 1e9 == pytest.approx(11.2, rel=0.005)
    full = replace(layout, kinds=(LayerKind(62, 8192.0),))
    assert full.sequence_bytes(131072) / 1e9 == pytest.approx(66.6, rel=0.005)


def test_padding_layers_of_a_hybrid() -> None:
    """20 recurrent and 7 latent layers: vLLM's log says one padding layer, 5 % of the 20.

    https://github.com/vllm-project/vllm/issues/28228: 2.30 GiB of cache on each of two devices
    print as 75,840 tokens over the four groups, and as 2.48 sequences of 120,000 tokens.
    """
    state = 16 * 128 * 128 * 4 + 3 * 3 * 2048 * 2
    layout = CacheLayout((LayerKind(20, 0.0, None, state), LayerKind(7, 1152.0)))
    page = layout.page_tokens(64)
    blocks = 2.30 * GIB / (7 * max(1152.0 * page, state))
    assert blocks / 4 * page == pytest.approx(75840, rel=0.02)
    concurrency = 2.30 * GIB / layout.unified_bytes(120_000, 64, 8192)
    assert concurrency == pytest.approx(2.48, rel=0.02)


def test_unified_pool_of_windows_costs_more_than_the_bare_cache(model: Models) -> None:
    layout = cache_layout(model("gpt-oss-20b"), Deployment(), kv_bytes=2.0)
    assert layout.unified_bytes(8192, 16, 2048) > layout.sequence_bytes(8192)
    assert layout.unified_bytes(131072, 16, 2048) < 1.1 * layout.sequence_bytes(131072)
    assert layout.bytes_per_token == 12 * 2048


def test_items_add_up_to_what_the_engine_uses(model: Models) -> None:
    for engine in ("vllm", "sglang", "trtllm", "llamacpp", "transformers"):
        found = of(model("Llama-3.1-8B"), engine=engine)
        assert sum(found.items.values()) == pytest.approx(found.usable)
        assert found.usable + found.outside <= found.device_memory * 1.0001
        assert found.fits


def test_defaults_of_vllm_follow_the_device() -> None:
    assert engines.limits(Deployment(), load_chip("H100-SXM")).max_num_seqs == 1024
    assert engines.limits(Deployment(), load_chip("A100-SXM-80GB")).max_num_seqs == 256
    assert engines.limits(Deployment(), load_chip("RTX-4090")).max_num_batched_tokens == 2048
    old = Deployment(engine_version="0.6.3")
    assert engines.limits(old, H100, 16384).max_num_batched_tokens == 16384
    assert engines.limits(old, H100, 131072).max_num_batched_tokens == 2048
    asked = Deployment(max_num_seqs=7, max_num_batched_tokens=99, block_size=32)
    assert engines.limits(asked, H100) == engines.Limits(7, 99, 32)


@pytest.mark.parametrize(("name", "reported"), [
    ("T4", 14.56), ("L40S", 44.42), ("RTX-4090", 23.55), ("A100-SXM-80GB", 79.15),
    ("H100-SXM", 79.22), ("H200-SXM", 139.8), ("A100-PCIe-40GB", 39.49)])
def test_reported_memory(name: str, reported: float) -> None:
    """What the driver reports, as start-up logs print it."""
    assert engines.device_memory(load_chip(name)) / GIB == pytest.approx(reported, rel=0.015)
    bare = replace(load_chip(name), usable_memory_bytes=None)
    assert engines.device_memory(bare) == bare.memory_bytes


def test_llama_cpp_compute_buffer(model: Models) -> None:
    """Llama-3-8B reserves 258.5 MiB and Qwen2.5-7B 304.75 MiB of CUDA compute buffer."""
    found = of(model("Llama-3.1-8B"), engine="llamacpp").activation / 2**20
    assert found == pytest.approx(258.5, rel=0.005)
    assert of(model("Qwen2.5-7B"), engine="llamacpp").activation / 2**20 == pytest.approx(
        304.75, rel=0.005)


def test_what_binds(model: Models) -> None:
    tight = of(model("Llama-3.1-70B"))
    assert not tight.fits
    assert tight.binding(8192) == "weights"
    assert tight.missing == pytest.approx(-tight.kv_pool)
    assert tight.max_context == 0
    roomy = of(model("Llama-3.1-8B"), max_num_seqs=8)
    assert roomy.binding(1024) == "max_num_seqs"
    assert of(model("Llama-3.1-8B")).binding(8192) == "kv_cache"
    with pytest.raises(BadInput, match="at least 1"):
        roomy.max_concurrency(0)


def test_max_context_is_the_last_that_fits(make_dense: Callable[..., Architecture]) -> None:
    endless = replace(make_dense("e", 32, 4096, 14336, 32, 8, 128, 128256), max_context=0)
    found = of(endless)
    longest = found.max_context
    assert found.sequence_bytes(longest) <= found.kv_pool < found.sequence_bytes(longest + 17)
    assert found.kv_capacity_tokens(longest) == pytest.approx(longest, abs=16)


def test_a_model_without_a_cache_and_one_of_constant_state(model: Models) -> None:
    encoder = replace(model("Llama-3.1-8B"), blocks=tuple(
        (replace(block, mixer=replace(block.mixer, causal=False)), count)  # type: ignore[arg-type]
        for block, count in model("Llama-3.1-8B").blocks), causal=False)
    found = of(encoder)
    assert found.fits
    assert found.kv_bytes_per_token == 0
    assert math.isinf(found.max_concurrency(512))
    block = Block(Mamba(2, 8192, 128, 4, n_groups=8, n_heads=128), None)
    endless = replace(model("Llama-3.1-8B"), blocks=((block, 32),), max_context=0)
    constant = of(endless)
    assert constant.state_bytes_per_sequence > 0
    assert math.isinf(constant.max_context)
    assert constant.max_concurrency(1) == constant.max_concurrency(1_000_000)


def test_attention_copies_add_their_caches(model: Models) -> None:
    one = of(model("Llama-3.1-8B"), tp=2)
    two = of(model("Llama-3.1-8B"), tp=2, attention_dp=2)
    assert two.max_concurrency(4096) == pytest.approx(2 * one.max_concurrency(4096))


def test_unknown_engine(model: Models) -> None:
    with pytest.raises(UnknownName, match=r"(?i)did you mean 'vllm'"):
        of(model("Llama-3.1-8B"), engine="vlm")
    with pytest.raises(BadInput, match="cannot read version"):
        engines.version_tuple("latest")


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 131072), st.integers(1, 131072), st.sampled_from([1, 2, 4, 8]))
def test_longer_sequences_never_cost_less(first: int, second: int, tp: int) -> None:
    layout = CacheLayout((LayerKind(12, 4096.0 / tp), LayerKind(24, 4096.0 / tp, 1024),
                          LayerKind(6, 0.0, None, 1e6)))
    low, high = sorted((first, second))
    assert layout.sequence_bytes(low, 16) <= layout.sequence_bytes(high, 16)
    assert layout.unified_bytes(low, 16, 2048) <= layout.unified_bytes(high, 16, 2048)
