"""Number formats: real bits a weight, file sizes, and the peak that runs each."""

from __future__ import annotations

import pytest

from ridgeline.catalog import load_chip
from ridgeline.errors import BadInput, UnknownName
from ridgeline.formats import compute_format, get_format, list_formats, tensor_format
from ridgeline.machine import Chip

LLAMA_3_70B = 70_553_706_496


@pytest.mark.parametrize(("name", "low", "high"), [
    ("fp32", 32, 32), ("bf16", 16, 16), ("fp16", 16, 16), ("int8", 8, 8), ("fp8", 8, 8),
    ("Q8_0", 8.5, 8.5), ("Q6_K", 6.56, 6.57), ("Q5_K_M", 5.66, 5.7), ("Q4_K_M", 4.8, 4.85),
    ("Q3_K_M", 3.85, 3.91), ("Q2_K", 3.0, 3.4), ("GPTQ", 4.15, 4.17), ("AWQ", 4.15, 4.17),
    ("NF4", 4.12, 4.14), ("MXFP4", 4.25, 4.25), ("NVFP4", 4.5, 4.5), ("MXFP8", 8.25, 8.25),
    ("fp8_block", 8.0, 8.01), ("ternary", 1.6, 1.6), ("ternary_2bit", 2, 2),
    # ggml block structures, bytes x 8 / values.
    ("q4_0", 4.5, 4.5), ("q4_1", 5, 5), ("q5_0", 5.5, 5.5), ("q5_1", 6, 6),
    ("q3_k", 3.4375, 3.4375),
    ("q4_k", 4.5, 4.5), ("q5_k", 5.5, 5.5), ("iq1_s", 1.5625, 1.5625), ("iq2_xxs", 2.0625, 2.0625),
    ("iq3_s", 3.4375, 3.4375), ("iq4_nl", 4.5, 4.5), ("iq4_xs", 4.25, 4.25),
    ("tq1_0", 1.6875, 1.6875), ("tq2_0", 2.0625, 2.0625)])
def test_bits_of_a_weight(name: str, low: float, high: float) -> None:
    assert low <= get_format(name).bits <= high


@pytest.mark.parametrize(("name", "gigabytes"), [
    ("bf16", 141.1), ("q4_k_m", 42.5), ("fp8", 70.55), ("int4", 35.28)])
def test_size_of_llama_3_70b(name: str, gigabytes: float) -> None:
    size = LLAMA_3_70B * get_format(name).bytes / 1e9
    assert size == pytest.approx(gigabytes, rel=5e-3)


def _file_bytes(name: str, layers: int, d: int, d_ff: int, heads: int, kv: int,
                vocab: int) -> float:
    """A Llama-3 GGUF file, tensor by tensor, without its metadata."""
    shapes = {"attn_q": d * d, "attn_k": d * d * kv // heads, "attn_v": d * d * kv // heads,
              "attn_output": d * d, "ffn_gate": d * d_ff, "ffn_up": d * d_ff, "ffn_down": d * d_ff}
    total = float(2 * layers * d * 4 + d * 4)  # norms stay in 32 bits
    for layer in range(layers):
        for tensor, elements in shapes.items():
            total += elements * tensor_format(name, tensor, layer=layer, n_layers=layers,
                                              heads_per_kv=heads // kv).bytes
    return total + vocab * d * (tensor_format(name, "token_embd").bytes
                                + tensor_format(name, "output").bytes)


@pytest.mark.parametrize(("name", "published"), [
    ("Q4_K_M", 42.52), ("Q5_K_M", 49.95), ("Q6_K", 57.89), ("Q8_0", 74.98), ("Q4_K_S", 40.35),
    ("Q3_K_M", 34.27), ("Q2_K", 26.38)])
def test_llama_3_70b_files_tensor_by_tensor(name: str, published: float) -> None:
    # Sizes of published Meta-Llama-3-70B-Instruct GGUF files [GB].
    size = _file_bytes(name, 80, 8192, 28672, 64, 8, 128256) / 1e9
    assert size == pytest.approx(published, rel=5e-3)


@pytest.mark.parametrize(("name", "published"), [("Q4_K_M", 4.92), ("Q5_K_M", 5.73), ("Q6_K", 6.60),
                                                 ("Q8_0", 8.54), ("Q2_K", 3.18)])
def test_llama_3_8b_files_tensor_by_tensor(name: str, published: float) -> None:
    size = _file_bytes(name, 32, 4096, 14336, 32, 8, 128256) / 1e9
    assert size == pytest.approx(published, rel=5e-3)


def test_mean_bits_of_a_mix_agree_with_its_tensors() -> None:
    for mix in (f for f in list_formats() if f.family == "gguf_mix"):
        small = _file_bytes(mix.name, 32, 4096, 14336, 32, 8, 128256) * 8 / 8_030_261_248
        large = _file_bytes(mix.name, 80, 8192, 28672, 64, 8, 128256) * 8 / LLAMA_3_70B
        assert large * 0.93 < mix.bits < small * 1.08, mix.name


@pytest.mark.parametrize(("weights", "chip", "peak"), [
    ("bf16", "H100", "bf16"), ("bf16", "V100", "fp16"), ("bf16", "Apple M2 Ultra", "fp16"),
    ("fp16", "TPU-v5e", "bf16"), ("bf16", "P40", "fp32"), ("fp32", "H100", "fp32"),
    ("fp8", "H100", "fp8"), ("fp8", "A100", "bf16"), ("fp8_block", "H200", "fp8"),
    ("fp8", "RTX 4090", "fp8"), ("fp8", "TPU-v5e", "bf16"), ("nvfp4", "B200", "fp4"),
    ("nvfp4", "H100", "bf16"), ("mxfp4", "MI355X", "fp4"), ("mxfp4", "A100", "bf16"),
    ("int8", "A100", "int8"), ("int8", "B300", "bf16"), ("awq", "B200", "bf16"),
    ("int4_g128", "T4", "fp16"), ("q4_k_m", "RTX 4090", "bf16"), ("nf4", "H100", "bf16"),
    ("w4a16_nvfp4", "B200", "bf16"), ("w4a8", "H100", "int8")])
def test_the_peak_that_runs_a_format(weights: str, chip: str, peak: str) -> None:
    assert compute_format(weights, load_chip(chip)) == peak


def test_activations_decide_when_given() -> None:
    h100, b200 = load_chip("H100"), load_chip("B200")
    assert compute_format("fp8", h100, "bf16") == "bf16"
    assert compute_format("bf16", h100, "fp8") == "bf16"
    assert compute_format("awq", h100, "fp8") == "fp8"
    assert compute_format("nvfp4", b200, "fp8") == "fp8"
    assert compute_format("nvfp4", b200, "nvfp4") == "fp4"


def test_a_format_never_runs_slower_than_16_bits() -> None:
    for name in ("H100", "B300", "A100", "MI300X", "TPU-v6e", "T4", "RTX-5090", "Apple-M4"):
        chip = load_chip(name)
        wide = chip.peaks[compute_format("bf16", chip)]
        for entry in list_formats():
            if entry.compute not in ("fp32", "tf32"):
                assert chip.peaks[compute_format(entry, chip)] >= wide


def test_a_chip_without_any_wide_rate_is_refused() -> None:
    chip = Chip("NPU", "v", "a", {"int8": 1e12}, 1e9, 1e9)
    with pytest.raises(BadInput, match="no rate for 16-bit"):
        compute_format("bf16", chip)


def test_names_are_forgiving_and_unknown_ones_helped() -> None:
    assert get_format("Q4-K-M") is get_format("q4_k_m") is get_format(" Q4_K_M ")
    assert get_format("torch.bfloat16").name == "bf16"
    assert get_format(get_format("fp8")) is get_format("e4m3")
    with pytest.raises(UnknownName, match="q4_k_m"):
        get_format("q4_k_n")


@pytest.mark.parametrize(("written", "name"), [
    ("qwen35moe 35B.A3B Q4_K - Medium", "q4_k_m"), ("IQ2_M - 2.7 bpw", "iq2_m"),
    ("IQ4_XS - 4.25 bpw", "iq4_xs"), ("Q2_K - Small", "q2_k_s"), ("F16", "fp16"),
    ("GLM-4.5-Air-UD-Q4_K_XL", "q4_k_xl"), ("int4 AWQ g128", "awq"), ("AWQ int4 GEMM", "awq"),
    ("GPTQ g128", "gptq"), ("int8 GPTQ", "gptq_int8"), ("bnb.nf4-dq", "nf4"), ("4-bit", "int4"),
    ("gpt-oss 120B MXFP4 MoE", "gguf_mxfp4"), ("EXL2 4.0 bpw", "exl2_4"), ("FP8-MX", "mxfp8"),
    ("amp_bf16/DEFAULT", "bf16"), ("int4-g32", "int4_g32"), ("fp8 rowwise", "fp8"),
    ("int4_wo", "gptq"), ("Q4_K_M default unless the linked issue says otherwise", "q4_k_m")])
def test_formats_as_measurements_print_them(written: str, name: str) -> None:
    assert get_format(written).name == name


@pytest.mark.parametrize("written", ["", "fp32 master, fp8 compute", "bf16/fp16 mixed", "UNSET",
                                     "q4_k_n", "7bit", "_", "🦙"])
def test_no_format_or_two_is_unknown(written: str) -> None:
    with pytest.raises(UnknownName) as error:
        get_format(written)
    assert "\n" not in str(error.value)


def test_spellings_are_unique_and_rules_resolve() -> None:
    seen: dict[str, str] = {}
    for entry in list_formats():
        for spelling in (entry.name, *entry.aliases):
            assert seen.setdefault(spelling, entry.name) == entry.name
        assert entry.source
        if entry.base:
            get_format(entry.base)
        for rule in entry.mix:
            assert get_format(rule.format).family == "gguf"


def test_what_covers_embeddings() -> None:
    assert get_format("q4_k_m").covers_embeddings and get_format("bf16").covers_embeddings
    assert not get_format("fp8").covers_embeddings and not get_format("awq").covers_embeddings
