import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.catalog import list_names, load_chip
from ridgeline.errors import BadInput, UnknownName
from ridgeline.formats import get_format
from ridgeline.model.load import load_architecture
from ridgeline.timing.single_stream import (
    GENERATION,
    PROMPT,
    default_backend,
    generation_seconds,
    prompt_seconds,
    single_stream_rates,
    timed,
)
from ridgeline.timing.stream_work import (
    StreamCase,
    generation_columns,
    prompt_columns,
    quant_kind,
    stream_keys,
)

LLAMA = load_architecture("meta-llama/Meta-Llama-3-8B")
IDEAL_GENERATION = {c.name: c.low for c in GENERATION} | {
    "step": 0.0, "launch": 0.0, "issue": 1e9, "hop": 0.0, "unpack": 0.0}


def case(chip="RTX-4090", **change):
    start = StreamCase(LLAMA, load_chip(chip), "llamacpp", "cuda", get_format("f16"))
    return dataclasses.replace(start, **change)


def test_without_losses_a_token_takes_its_bytes_over_the_bandwidth():
    columns = generation_columns(case(prompt_tokens=0.0, gen_tokens=2.0))
    # All matrices but the input embedding, once, and one cached token of 32 layers, 8 heads.
    weights = 2 * (LLAMA.total_params - LLAMA.vocab_size * LLAMA.d_model)
    seconds = generation_seconds(columns, IDEAL_GENERATION)
    assert seconds == pytest.approx(weights / 1.008e12, rel=0.01)


def test_a_file_size_sets_the_bits_and_a_mixture_reads_its_active_experts():
    half = generation_columns(case(file_bytes=LLAMA.total_params * 1.0))
    full = generation_columns(case(file_bytes=LLAMA.total_params * 2.0))
    assert full["dense_bytes"] == pytest.approx(2 * half["dense_bytes"])
    mixture = load_architecture("Qwen/Qwen3-30B-A3B")
    columns = generation_columns(case(architecture=mixture))
    active = mixture.active_params - mixture.vocab_size * mixture.d_model
    assert columns["dense_bytes"] + columns["expert_bytes"] == pytest.approx(2 * active, rel=0.01)


def test_a_prompt_is_cut_into_passes_and_attends_to_what_is_before():
    short = prompt_columns(case(prompt_tokens=512.0))
    long = prompt_columns(case(prompt_tokens=4096.0))
    deep = prompt_columns(case(prompt_tokens=512.0, depth=8192.0))
    assert (short["passes"], long["passes"], deep["passes"]) == (1.0, 8.0, 1.0)
    assert long["dense_flop"] == pytest.approx(short["dense_flop"])
    assert deep["attention_flop"] > 20 * short["attention_flop"]
    # Attention of a whole prompt: 4 * layers * heads * head_dim * tokens^2 / 2.
    whole = long["attention_flop"] * long["passes"]
    assert whole == pytest.approx(2 * 32 * 32 * 128 * 4096**2, rel=0.15)


def test_latent_attention_of_ggml_engines_is_absorbed():
    glm = load_architecture("zai-org/GLM-4.7-Flash")
    mixer = glm.blocks[0][0].mixer
    at = {"architecture": glm, "depth": 32768.0, "ubatch": 512}
    absorbed, expanded = (prompt_columns(case(engine=e, **at)) for e in ("llamacpp", "mlc"))
    wide = 2 * mixer.kv_lora_rank + mixer.qk_rope_head_dim
    heads = mixer.qk_nope_head_dim + mixer.qk_rope_head_dim + mixer.v_head_dim
    assert absorbed["attention_flop"] / expanded["attention_flop"] == pytest.approx(wide / heads)
    # The expansion of 33,280 cached tokens shrinks to that of the 512 new ones.
    up = (2 * mixer.kv_lora_rank * mixer.n_heads * (mixer.qk_nope_head_dim + mixer.v_head_dim)
          * glm.n_layers)
    assert expanded["dense_flop"] - absorbed["dense_flop"] == pytest.approx(up * 32768)


@pytest.mark.parametrize(("tokens", "matrices"), [(128.0, 0), (512.0, 1), (2048.0, 3)])
def test_sixteen_bit_experts_are_calls_of_their_own_beyond_some_tokens(tokens, matrices):
    qwen = load_architecture("Qwen/Qwen3-30B-A3B")     # experts 768 wide, states 2,048
    change = {"architecture": qwen, "prompt_tokens": tokens, "ubatch": 2048, "backend": "rocm"}
    columns = prompt_columns(case(**change))
    touched = 128 * (1 - (1 - 8 / 128) ** tokens)
    assert columns["expert_calls"] == pytest.approx(48 * touched * matrices)
    for other in ({"backend": "vulkan"}, {"format": get_format("q8_0")}, {"engine": "vllm"}):
        assert prompt_columns(case(**{**change, **other}))["expert_calls"] == 0.0


def test_rows_and_ramp_of_experts():
    qwen = load_architecture("Qwen/Qwen3-30B-A3B")
    columns = prompt_columns(case(architecture=qwen))
    assert columns["expert_rows"] == 512 * 8 / 128
    assert columns["expert_ramp"] == pytest.approx(
        columns["expert_flop"] * (2 / 2048 + 1 / 768) / 3)


def test_keys_are_read_again_for_heads_a_kernel_cannot_pack():
    def reread(name, **change):
        return prompt_columns(case(architecture=load_architecture(name), **change))["reread"]

    # Query heads a key head: 6 (packs 2), 8, 4.
    names = "MiniMaxAI/MiniMax-M2.5", "openai/gpt-oss-120b", "meta-llama/Meta-Llama-3-8B"
    assert [reread(n, backend="rocm") for n in names] == [3.0, 0.0, 1.0]
    assert reread(names[0]) == reread(names[0], backend="rocm", flash_attention=False) == 0.0


def test_experts_are_never_faster_than_the_peak():
    columns = prompt_columns(case(architecture=load_architecture("Qwen/Qwen3-30B-A3B")))
    least = {c.name: c.low for c in PROMPT} | {"step": 0.0, "launch": 0.0, "overlap": 0.0}
    flop = columns["dense_flop"] + columns["expert_flop"] + columns["attention_flop"]
    assert prompt_seconds(columns, least) > flop / columns["peak"]


def test_settings_of_a_variant_are_levels_of_their_own():
    keys = stream_keys(case(backend="rocm", variant="rocm/rocwmma+hblt0"))
    assert (keys["variant"], keys["blas"]) == ("rocm/rocwmma", "rocm/hblt0")
    assert (stream_keys(case())["variant"], stream_keys(case())["blas"]) == ("", "")


def test_forms_take_arrays():
    one = generation_columns(case())
    both = {k: np.array([v, v]) for k, v in one.items()}
    constants = {c.name: c.start for c in GENERATION}
    assert generation_seconds(both, constants) == pytest.approx(
        [generation_seconds(one, constants)] * 2)
    prompt = prompt_columns(case())
    starts = {c.name: c.start for c in PROMPT}
    assert prompt_seconds({k: np.array([v]) for k, v in prompt.items()}, starts) == pytest.approx(
        prompt_seconds(prompt, starts))


@pytest.mark.parametrize("what", ["generation", "prompt"])
def test_no_device_is_faster_than_its_bytes_and_flop_allow(what):
    for name in list_names("chips"):
        chip = load_chip(name)
        backend = default_backend(chip)
        for quant in ("f16", "q4_k_m", "iq2_xs"):
            found = timed(dataclasses.replace(case(), chip=chip, backend=backend,
                                              format=get_format(quant)), what)
            assert found.rate(1.0).high <= 1.0 / found.floor * (1 + 1e-9), (name, quant)
            assert found.seconds >= 0.999 * found.floor, (name, quant)


@settings(max_examples=25, deadline=None)
@given(st.floats(1.0, 20000.0), st.floats(1.0, 4.0))
def test_rates_fall_with_depth_and_grow_with_bandwidth(depth, faster):
    near = timed(case(), "generation").seconds
    assert timed(case(depth=depth), "generation").seconds >= near
    quick = dataclasses.replace(load_chip("RTX-4090"),
                                memory_bandwidth=faster * 1.008e12)
    assert timed(dataclasses.replace(case(), chip=quick), "generation").seconds <= near


def test_distance_says_how_far_the_measurements_are_and_strangers_are_least_sure():
    known = timed(case("RTX-4090"), "generation")
    kin = timed(case("RTX-4060"), "generation")
    assert (known.distance, kin.distance) == ("device", "architecture")
    stranger = timed(case(engine="my-own"), "generation")
    assert stranger.distance == "pooled"
    for near in (known, kin):
        assert near.ends[2] / near.ends[1] < stranger.ends[2] / stranger.ends[1]


def test_rates_have_intervals_around_them():
    rates = single_stream_rates(LLAMA, load_chip("RTX-4090"), quant="q4_k_m")
    for rate in (rates.prompt, rates.generation):
        assert rate.low < rate.value < rate.high and rate.unit == "token/s"
    # Published runs of this pair give 90 to 160 tokens a second, prompts several thousand.
    assert 90 < rates.generation.value < 160
    assert 3000 < rates.prompt.value < 12000


def test_a_driver_not_named_is_the_usual_one():
    strix = load_chip("Ryzen-AI-Max-395")
    plain, named, other = (single_stream_rates(LLAMA, strix, variant=v).prompt.value
                           for v in ("", "vulkan/radv", "vulkan/amdvlk"))
    assert plain == named != other


def test_more_devices_in_a_row_do_not_speed_up_a_single_token():
    one = single_stream_rates(LLAMA, load_chip("RTX-4090"), quant="f16")
    four = single_stream_rates(LLAMA, load_chip("RTX-4090"), quant="f16", n_devices=4)
    assert four.generation.value <= one.generation.value
    long = {"quant": "f16", "prompt_tokens": 8192.0}
    assert (single_stream_rates(LLAMA, load_chip("RTX-4090"), n_devices=4, **long).prompt.value
            > 1.5 * single_stream_rates(LLAMA, load_chip("RTX-4090"), **long).prompt.value)


def test_bad_input_is_named():
    with pytest.raises(UnknownName, match="number format"):
        single_stream_rates(LLAMA, load_chip("RTX-4090"), quant="q9_z")
    with pytest.raises(BadInput, match="prompt_tokens"):
        single_stream_rates(LLAMA, load_chip("RTX-4090"), prompt_tokens=0.0)


def test_kinds_of_formats_and_backends():
    kinds = [quant_kind(get_format(f)) for f in ("bf16", "q4_k_m", "iq3_s", "q8_0", "gguf_mxfp4")]
    assert kinds == ["f16", "k", "iq", "legacy", "mxfp4"]
    assert [default_backend(load_chip(c)) for c in ("RTX-4090", "Apple-M2-Ultra", "RX-7900-XTX",
                                                    "MI300X", "Raspberry-Pi-5")] == [
        "cuda", "metal", "vulkan", "rocm", "cpu"]
    assert stream_keys(case())["arch"] == "cuda/NVIDIA/Ada"
