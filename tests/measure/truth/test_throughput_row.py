import pytest

from ridgeline.errors import BadInput, UnknownName
from ridgeline.measure.truth.throughput_row import cache_holds, read_throughput_row

ROW = {"source": "TensorRT-LLM docs performance", "date": "2025", "gpu": "NVIDIA H100 SXM 80GB",
       "n_gpus": 2.0, "engine": "TensorRT-LLM", "engine_version": "0.20",
       "model": "Llama 3.3 70B", "weight_dtype": "fp8", "kv_dtype": "fp8", "tp": 2.0, "pp": None,
       "isl_tokens": 1000.0, "osl_tokens": 1000.0, "throughput_scope": "system",
       "concurrency_or_mode": "max throughput (infinite request rate, in-flight batching)",
       "notes": ""}
MLPERF = {**ROW, "source": "MLPerf Inference v5.1", "model": "llama2-70b-99", "n_gpus": 8.0,
          "tp": None, "isl_tokens": None, "osl_tokens": 294.0, "engine": "TensorRT 10.11",
          "gpu": "NVIDIA H200-SXM-141GB", "concurrency_or_mode": "MLPerf closed datacenter Offline"}


def read(row=ROW, **change):
    return read_throughput_row({**row, **change})


def test_full_load_is_what_the_cache_holds():
    case = read()
    assert (case.engine, case.mode, case.version) == ("trtllm-max", "max", "0.20")
    assert (case.deployment.tp, case.deployment.weights, case.deployment.kv) == (2, "fp8", "fp8")
    # 2 x 80 GB less 70 GB of weights, at 80 layers * 2 * 8 heads * 128 bytes a token.
    assert 200 < case.batch < 320 and case.replicas == 1.0
    assert read(kv_dtype="fp16").batch == pytest.approx(case.batch / 2, rel=0.02)


def test_static_batches_are_as_stated():
    case = read(concurrency_or_mode="static batch 64", source="argonne LLM-Inference-Bench",
                engine="vLLM", n_gpus=4.0, tp=4.0)
    assert (case.batch, case.mode, case.replicas, case.engine) == (64.0, "static", 1.0, "vllm-2024")


@pytest.mark.parametrize(("told", "tp", "pp"), [
    ("parallelism=PP; ISL=OSL", 1, 4), ("parallelism=TP; ISL=OSL", 4, 1),
    ("parallelism=Hybrid TP = 2 and PP = 2; ISL=OSL", 2, 2), ("ISL=OSL", 4, 1)])
def test_notes_tell_the_stages_of_a_pipeline(told, tp, pp):
    plan = read(concurrency_or_mode="static batch 64", source="argonne LLM-Inference-Bench",
                engine="TensorRT-LLM", n_gpus=4.0, tp=None, notes=told).deployment
    assert (plan.tp, plan.pp) == (tp, pp)


def test_benchmark_submissions_take_the_smallest_group_that_leaves_room():
    case = read(MLPERF)
    assert case.deployment.tp == 1 and case.replicas == 8.0 and case.prompt == 294.0
    assert read(MLPERF, gpu="NVIDIA H100-SXM-80GB").deployment.tp == 2
    assert read(MLPERF, weight_dtype="fp16").deployment.weights == "fp8"


def test_a_latency_limit_bounds_the_batch():
    offline = read(MLPERF).batch
    server = read(MLPERF, concurrency_or_mode="MLPerf closed datacenter Server").batch
    interactive = read(MLPERF, concurrency_or_mode="MLPerf closed datacenter Interactive").batch
    assert interactive < server <= offline


def test_what_did_not_run_as_described_is_refused():
    with pytest.raises(BadInput, match="138 GB in bf16 do not fit"):
        read(MLPERF, gpu="NVIDIA GeForce RTX 4090", n_gpus=2.0, weight_dtype="fp32",
             engine="vLLM 0.5.2")
    with pytest.raises(BadInput, match="pruned"):
        read(MLPERF, notes="platform=H200-SXM-141GBx1_TRT_DepthPruned")
    with pytest.raises(BadInput, match="one phase"):
        read(concurrency_or_mode="prefill only")
    with pytest.raises(BadInput, match="prompt length"):
        read(isl_tokens=None)
    with pytest.raises(UnknownName):
        read(gpu="abacus")


def test_a_cache_holds_at_least_one_request():
    case = read()
    assert cache_holds(case.architecture, case.deployment, case.chip, 1e9) == 1.0
    assert cache_holds(case.architecture, case.deployment, case.chip, 16.0) == 2048.0
