import pytest

from ridgeline.errors import BadInput, UnknownName
from ridgeline.measure.truth.stream_row import read_stream_row

ROW = {"source": "lab", "date": "2024-05", "device": "4090 24GB", "n_devices": 1.0,
       "engine": "llama.cpp (llama-bench)", "backend": "CUDA", "model": "Llama-3-8B",
       "quant": "Q4_K_M", "model_size_gib": 4.58, "prompt_tokens": 512.0, "gen_tokens": None,
       "context_depth_tokens": None, "prompt_tokens_per_s": 5000.0, "gen_tokens_per_s": None,
       "notes": ""}


def read(**change):
    return read_stream_row({**ROW, **change})


def test_a_prompt_row():
    case = read()
    assert (case.engine, case.backend, case.chip.name) == ("llamacpp", "cuda", "RTX-4090")
    assert case.format.name == "q4_k_m" and case.file_bytes == 4.58 * 2**30
    assert (case.prompt_tokens, case.depth, case.batch, case.ubatch) == (512.0, 0.0, 1.0, 0)
    assert not case.flash_attention


@pytest.mark.parametrize(("engine", "name"), [
    ("Exllama V2", "exllamav2"), ("exllama", "exllama"), ("ik_llama.cpp", "ik"),
    ("Ollama or llama.cpp", "ollama"), ("Hugging Face Transformers", "transformers"),
    ("gpt-fast (torch.compile, tensor parallel)", "gptfast"), ("MLC LLM", "mlc")])
def test_engines(engine, name):
    assert read(engine=engine).engine == name


def test_settings_come_from_the_backend_and_the_notes():
    strix = {"device": "AMD Ryzen AI MAX+ 395 (Radeon 8060S, 128GB LPDDR5X)"}
    case = read(**strix, backend="ROCm,RPC / rocm7_1-rocwmma", date="2025-2026",
                notes="fa1; longctx32768; hblt0; rpc")
    assert case.backend == "rocm" and case.variant == "rocm/rocwmma"
    assert case.ubatch == 2048 and case.flash_attention
    early = read(**strix, backend="llama.cpp-hip", date="2025-08", notes="hipblaslt= -fa 1")
    assert early.variant == "rocm/plain+hblt0"
    assert read(**strix, backend="llama.cpp-vulkan", notes="hipblaslt=").variant == "vulkan/radv"
    assert read(quant="AWQ int4 GEMV", engine="AutoAWQ").variant == "gemv"
    assert read(notes="-fa 1 -b 256").ubatch == 256
    assert read(notes="batch 8 (rates are batch totals)").batch == 8.0
    assert read(device="AMD Ryzen 9 7950X (DDR5)", backend="CPU, 16 threads").variant == "t16"


def test_a_backend_not_named_is_the_usual_one_of_the_chip():
    assert read(device="M2 Ultra 76-Core GPU 192GB", backend="GPU").backend == "metal"
    case = read(device="Pi CM5 - 16GB (AMD AI Pro R9700)", backend="GPU")
    assert (case.backend, case.host) == ("vulkan", "pi")


def test_what_cannot_be_read_says_why():
    with pytest.raises(BadInput, match="experts on the processor"):
        read(device="2x Xeon Gold 6454S (DDR5-4800) + RTX 4090 24GB, experts on CPU",
             backend="CUDA+CPU")
    with pytest.raises(UnknownName):
        read(device="abacus")
