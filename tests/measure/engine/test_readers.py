"""Others' benchmark files and vLLM's start-up log, in the shapes their tools write."""

import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.cli import main
from ridgeline.errors import BadInput, RidgelineError
from ridgeline.measure.engine.benchmark_files import read_benchmark
from ridgeline.measure.engine.read import read_files
from ridgeline.measure.engine.read_answer import predicted_memory, read_answer
from ridgeline.measure.engine.rows import latency_row, write_rows
from ridgeline.measure.engine.startup_log import parse_startup_log
from ridgeline.measure.truth.reader import read_table
from ridgeline.measure.validate.run import validate_files
from ridgeline.scenario import Scenario

VLLM = {"date": "20260401-101500", "backend": "vllm", "model_id": "meta-llama/Llama-3.1-8B",
        "tokenizer_id": "x", "num_prompts": 210, "request_rate": "inf", "max_concurrency": 32,
        "duration": 40.0, "completed": 200, "total_input_tokens": 204800,
        "total_output_tokens": 25600, "request_throughput": 5.0, "output_throughput": 640.0,
        "total_token_throughput": 5760.0, "mean_ttft_ms": 250.0, "median_ttft_ms": 240.0,
        "p99_ttft_ms": 400.0, "mean_tpot_ms": 11.0, "median_tpot_ms": 10.9, "p99_tpot_ms": 14.0,
        "mean_itl_ms": 11.0}
SGLANG = {"backend": "sglang", "dataset_name": "random", "request_rate": 4.0,
          "max_concurrency": None, "duration": 50.0, "completed": 100,
          "total_input_tokens": 102400, "total_output_tokens": 51200, "request_throughput": 2.0,
          "input_throughput": 2048.0, "output_throughput": 1024.0, "mean_e2e_latency_ms": 8000.0,
          "mean_ttft_ms": 120.0, "mean_tpot_ms": 15.4}


def block(avg, unit, **more):
    return {"unit": unit, "avg": avg, "p50": avg, "p99": 2 * avg, **more}


AIPERF = {"request_throughput": {"unit": "requests/sec", "avg": 3.0},
          "request_latency": block(2000.0, "ms"), "time_to_first_token": block(150.0, "ms"),
          "inter_token_latency": block(14.6, "ms"), "output_sequence_length": block(128, "tokens"),
          "output_token_throughput": {"unit": "tokens/sec", "avg": 384.0},
          "input_sequence_length": block(550, "tokens"), "request_count": {"unit": "requests",
                                                                          "avg": 90.0},
          "error_request_count": {"unit": "requests", "avg": 2.0}, "start_time": "2026-05-01T10:00",
          "input_config": {"endpoint": {"model_names": ["Llama-3.1-8B"]},
                           "loadgen": {"concurrency": 6}}}


def spread(mean):
    return {"successful": {"mean": mean, "median": mean, "percentiles": {"p99": 2 * mean}}}


GUIDELLM = {"args": {"model": "Llama-3.1-8B"}, "benchmarks": [
    {"config": {"strategy": {"type_": strategy, **fields}},
     "run_stats": {"requests_made": {"successful": 50, "errored": 3, "incomplete": 1}},
     "metrics": {"requests_per_second": spread(2.5), "request_latency": spread(1.6),
                 "request_concurrency": spread(4.0), "prompt_token_count": spread(256),
                 "output_token_count": spread(100), "time_to_first_token_ms": spread(80.0),
                 "inter_token_latency_ms": spread(15.3),
                 "time_per_output_token_ms": spread(16.0),
                 "output_tokens_per_second": spread(250.0)}}
    for strategy, fields in (("concurrent", {"streams": 4}), ("constant", {"rate": 2.5}))]}
LLAMA = {"build_commit": "abc", "build_number": 5000, "cpu_info": "EPYC-9374F", "gpu_info": "",
         "backends": "CPU", "model_filename": "m.gguf", "model_type": "llama 8B Q4_K - Medium",
         "model_size": 4912898304, "n_threads": 32, "n_gpu_layers": 0, "flash_attn": False,
         "n_prompt": 512, "n_gen": 0, "n_depth": 0, "test_time": "2026-03-01T00:00:00Z",
         "avg_ts": 250.0}

LOG = """INFO 01-30 03:18:12 [core.py:54] Initializing a V1 LLM engine (v0.8.5) with config:
 model='meta-llama/Llama-3.1-8B', dtype=torch.bfloat16, max_seq_len=8192, tensor_parallel_size=1,
 pipeline_parallel_size=1, quantization=None, enforce_eager=False, kv_cache_dtype=auto
INFO [gpu_model_runner.py:1329] Model loading took 14.9889 GiB and 5.1 seconds
INFO [gpu_worker.py:349] Available KV cache memory: 54.37 GiB
INFO [kv_cache_utils.py:634] GPU KV cache size: 445,376 tokens
INFO [kv_cache_utils.py:637] Maximum concurrency for 8,192 tokens per request: 54.4x
"""


def written(tmp_path, data, name="file.json"):
    file = tmp_path / name
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    return file


def only(tmp_path, data):
    (run,) = read_benchmark(written(tmp_path, data))
    return run


def test_vllm_bench(tmp_path):
    run = only(tmp_path, VLLM)
    assert (run.tool, run.model, run.prompt, run.output) == ("vllm", "meta-llama/Llama-3.1-8B",
                                                             1024, 128)
    assert (run.concurrency, run.rate, run.ttft, run.tpot) == (32, None, 0.25, 0.011)
    assert (run.completed, run.failed, run.engine) == (200, 10, "vllm")


def test_sglang_bench_by_littles_law(tmp_path):
    first, second = read_benchmark(written(tmp_path, f"{json.dumps(SGLANG)}\n"
                                           f"{json.dumps(SGLANG)}\n", "out.jsonl"))
    assert first == second and first.tool == "sglang"
    assert first.concurrency == pytest.approx(2.0 * 8.0) and first.rate == 4.0
    assert (first.ttft, first.tpot) == (0.12, pytest.approx(0.0154))


def test_aiperf_and_genai_perf(tmp_path):
    run = only(tmp_path, AIPERF)
    assert (run.model, run.concurrency, run.prompt, run.output) == ("Llama-3.1-8B", 6, 550, 128)
    assert (run.ttft, run.tpot, run.latency) == pytest.approx((0.15, 0.0146, 2.0))
    assert (run.completed, run.failed) == (90, 2)
    other = only(tmp_path, {**AIPERF, "time_to_first_token": block(150e6, "ns")})
    assert other.ttft == pytest.approx(0.15)


def test_guidellm(tmp_path):
    closed, rate = read_benchmark(written(tmp_path, GUIDELLM))
    assert (closed.concurrency, closed.rate) == (4, None)
    assert (rate.concurrency, rate.rate) == (4, 2.5)
    # Its inter-token latency leaves the first token out, as TPOT here does.
    assert closed.tpot == pytest.approx(0.0153) and closed.failed == 3
    assert closed.model == "Llama-3.1-8B" and closed.latency == 1.6


def test_llama_bench_in_its_three_forms(tmp_path):
    as_json = only(tmp_path, [LLAMA])
    as_lines = only(tmp_path, json.dumps(LLAMA) + "\n")
    header = ",".join(LLAMA)
    as_csv = only(tmp_path, header + "\n" + ",".join(f'"{v}"' for v in LLAMA.values()) + "\n")
    assert as_json == as_lines == as_csv
    assert (as_json.model, as_json.quant, as_json.rate) == ("llama 8B", "q4_k_m", 250.0)


def test_startup_logs_of_several_versions():
    log = parse_startup_log(LOG)
    assert (log.version, log.model, log.tp, log.context) == ("0.8.5", "meta-llama/Llama-3.1-8B",
                                                             1, 8192)
    assert log.weights == 14.9889 * 2**30 and log.kv_pool == 54.37 * 2**30
    assert (log.kv_tokens, log.kv_blocks) == (445376, 445376 // 16)
    old = parse_startup_log("\x1b[32mINFO\x1b[0m Loading model weights took 67.7229 GB\n"
                            "INFO # GPU blocks: 1,381\n# GPU blocks: 1400\n")
    assert old.weights == 67.7229 * 2**30 and (old.kv_blocks, old.kv_tokens) == (1381, 22096)
    oldest = parse_startup_log("model weights take 12.55GiB; the rest of the memory reserved for "
                               "KV Cache is 56.18GiB.\n# cuda blocks: 7191, # CPU blocks: 512")
    assert oldest.kv_pool == 56.18 * 2**30
    with pytest.raises(BadInput, match="no vLLM start-up log"):
        parse_startup_log("hello")


def test_a_log_beside_the_memory_predicted():
    scenario = Scenario.from_fields({"model": "Llama-3.1-8B", "machine": "H100-SXM"})
    found = predicted_memory(parse_startup_log(LOG), scenario)
    for name, tolerance in (("weights", 0.005), ("KV memory", 0.05), ("KV capacity", 0.05)):
        predicted, logged = found[name]
        assert predicted.value == pytest.approx(logged, rel=tolerance), name
    answer = read_answer([parse_startup_log(LOG)], ["log"], scenario)
    assert [t.name for t in answer.tables] == ["logs", "memory"]


def test_rows_of_load_generators_are_validated(tmp_path):
    scenario = Scenario.from_fields({"model": "Llama-3.1-8B", "machine": "H100-SXM"})
    runs = [*read_benchmark(written(tmp_path, VLLM)), *read_benchmark(written(tmp_path, AIPERF))]
    table = read_table(write_rows(runs, tmp_path / "rows.csv", scenario))
    assert table.schema.name == "serving_latency" and len(table) == 2 and not table.rejected
    assert table.columns["silicon_tpot_ms"].tolist() == pytest.approx([11.0, 14.6])
    (report,) = validate_files([tmp_path / "rows.csv"])
    assert report.predicted == 2, report.unanswered


def test_rows_of_llama_bench_are_validated(tmp_path):
    generation = {**LLAMA, "n_prompt": 0, "n_gen": 128, "avg_ts": 30.0}
    runs = read_benchmark(written(tmp_path, [LLAMA, generation]))
    scenario = Scenario.from_fields({"model": "Llama-3.1-8B", "machine": "EPYC-9374F",
                                     "engine": "llamacpp"})
    file = write_rows(runs, tmp_path / "rows.csv", scenario)
    (report,) = validate_files([file])
    assert report.schema == "single_stream" and report.predicted == 2, report.unanswered


def test_rows_of_logs_are_a_memory_table(tmp_path):
    scenario = Scenario.from_fields({"model": "Llama-3.1-8B", "machine": "H100-SXM"})
    file = write_rows([parse_startup_log(LOG)], tmp_path / "rows.csv", scenario)
    table = read_table(file)
    assert table.schema.name == "memory"
    assert table.columns["value_gib"].tolist() == pytest.approx([14.9889, 54.37])
    (report,) = validate_files([file])
    assert report.predicted == 2, report.unanswered
    assert all(g.median_ape_pct < 5 for g in report.groups if g.n)


def test_rows_need_what_files_do_not_say(tmp_path):
    runs = read_benchmark(written(tmp_path, VLLM))
    with pytest.raises(BadInput, match="--on"):
        write_rows(runs, tmp_path / "rows.csv", None)
    with pytest.raises(BadInput, match="kinds"):
        write_rows([*runs, parse_startup_log(LOG)], tmp_path / "rows.csv", None)
    scenario = Scenario.from_fields({"model": "Llama-3.1-8B", "machine": "H100-SXM"})
    without = {k: v for k, v in AIPERF.items() if k != "time_to_first_token"}
    with pytest.raises(BadInput, match="ttft"):
        latency_row(only(tmp_path, without), scenario)
    assert not (tmp_path / "rows.csv").exists()


@pytest.mark.parametrize("text", [
    "", "{", "[]", "[1, 2]", "null", '{"a": 1}', "a,b\n1,2\n", '{"benchmarks": [{}]}',
    '{"benchmarks": 3}', json.dumps({**VLLM, "completed": 0}),
    json.dumps({**VLLM, "mean_ttft_ms": "soon"}), json.dumps({**LLAMA, "model_size": None})[:-9],
    json.dumps({**VLLM, "total_input_tokens": None, "completed": "x"})])
def test_files_that_are_none(tmp_path, text):
    with pytest.raises(RidgelineError):
        read_files([written(tmp_path, text)])


@settings(max_examples=60, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(sorted({*VLLM, *AIPERF, "benchmarks"})),
                                      inner, max_size=6), max_leaves=12))
def test_odd_json_never_ends_in_a_traceback(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("odd") / "odd.json"
    file.write_text(json.dumps(data))
    try:
        runs = read_files([file])
    except RidgelineError:
        return
    json.dumps(read_answer(runs, ["odd"]).to_dict(), allow_nan=False)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """The command line in this process: (exit code, output, errors)."""
    def call(*args):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["ridgeline", "measure", *args])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, *capsys.readouterr()

    return call


def test_the_command_reads_and_writes(run, tmp_path):
    written(tmp_path, VLLM)
    code, out, _ = run("read", "file.json", "--on", "H100-SXM", "--to", "rows.csv", "--json")
    assert code == 0 and json.loads(out)["tables"][0]["name"] == "runs"
    assert (tmp_path / "rows.csv").read_text().startswith("id,protocol")


@pytest.mark.parametrize("args", [
    ("read", "missing.json"), ("reed", "x"), ("read", "file.json", "--to", "no/x.csv"),
    ("read", "file.json", "--to", "rows.csv"), ("read", "file.json", "--architecture", "X"),
    ("read", "file.json", "--on", "H100-SXM", "--architecture", "no-such-model", "--to", "r.csv"),
    ("engine", "localhost:8000"), ("engine", "http://127.0.0.1:9", "--protocol", "burst:4"),
    ("engine", "http://127.0.0.1:9", "--prompt", "-4"),
    ("engine", "http://127.0.0.1:9", "--output", "nan"),
    ("engine", "http://127.0.0.1:9", "--body", "[]"),
    ("engine", "http://127.0.0.1:9", "--stall", "0s"),
    ("engine", "http://127.0.0.1:9", "--tp", "8"), ("engine", "http://127.0.0.1:9", "--on", "L4"),
    ("engine", "http://127.0.0.1:9", "--rows", "r.csv"),
    ("engine", "http://127.0.0.1:9", "--length-cv", "nan"),
    ("engine", "http://127.0.0.1:9", "--warmup", "-1"),
    ("engine", "http://127.0.0.1:9", "--requests", "0"),
    ("engine", "http://127.0.0.1:9", "--protocol", "trace:missing.csv")])
def test_bad_flags_get_one_line(args, run, tmp_path):
    written(tmp_path, VLLM)
    code, out, errors = run(*args)
    assert code == 2 and errors.count("\n") == 1 and not out
    assert [f.name for f in tmp_path.iterdir()] == ["file.json"]


def test_a_server_that_is_not_there(run):
    code, _, errors = run("engine", "http://127.0.0.1:9", "--requests", "2", "--json")
    assert code == 2 and "connect" in errors and errors.count("\n") == 1
    code, out, _ = run("engine", "http://127.0.0.1:9", "--requests", "2", "--warmup", "0", "--json")
    found = json.loads(out)["answer"]
    assert code == 1 and found["failed"]["value"] == 2 and "ttft_mean_s" not in found
