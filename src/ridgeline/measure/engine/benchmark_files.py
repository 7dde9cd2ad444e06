"""Reads what other load generators wrote: vLLM, SGLang, AIPerf, GenAI-Perf, GuideLLM, llama-bench.

A file is recognised by its keys, never by its name. JSON, JSON lines and (llama-bench) CSV are
read; every run in a file becomes one record.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ridgeline.errors import BadInput

__all__ = ["BenchRun", "StreamRun", "read_benchmark"]

Data = Mapping[str, Any]
_LARGEST = 1 << 30


@dataclass(frozen=True)
class BenchRun:
    """One run of a load generator.

    Attributes:
        tool: "vllm", "sglang", "genai-perf", "guidellm" or "ridgeline".
        model: as the file names it, "" when it does not.
        date: of the run, "" when unknown.
        prompt, output: mean tokens of a request.
        concurrency: requests in flight: as set, or by Little's law of an open load.
        rate: arrivals a second of an open load, None of a closed loop.
        ttft, tpot: means [s]; NaN when not measured.
        latency: mean [s]; NaN when not measured.
        output_tokens_per_s, requests_per_s: of the run.
        completed, failed: requests.
        engine: the server's name where the file tells, else "".
    """

    tool: str
    model: str
    date: str
    prompt: float
    output: float
    concurrency: float
    rate: float | None
    ttft: float
    tpot: float
    latency: float
    output_tokens_per_s: float
    requests_per_s: float
    completed: int
    failed: int = 0
    engine: str = ""


@dataclass(frozen=True)
class StreamRun:
    """One test of llama-bench.

    Attributes:
        model, quant: as its "llama 7B Q4_0" says.
        file_bytes: size of the weights [bytes].
        device, backend: where it ran.
        threads: of the processor.
        prompt, output, depth: tokens of the test and in the cache before it.
        rate: tokens a second, mean.
        flash_attention: whether it was on.
        build: of llama.cpp.
        date: of the test.
    """

    model: str
    quant: str
    file_bytes: float
    device: str
    backend: str
    threads: int
    prompt: int
    output: int
    depth: int
    rate: float
    flash_attention: bool
    build: str
    date: str


def read_benchmark(path: str | Path) -> list[BenchRun | StreamRun]:
    """Every run of a benchmark file.

    Raises:
        BadInput: unreadable, of no known tool, or a run without what it needs; names the key.
    """
    target = Path(path)
    try:
        if target.stat().st_size > _LARGEST:
            raise BadInput(f"{path} is larger than 1 GiB; no benchmark file is")
        text = target.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise BadInput(f"cannot read {path}: not a text file in UTF-8") from None
    runs: list[BenchRun | StreamRun] = []
    for number, data in enumerate(_objects(text, str(path)), 1):
        try:
            runs.extend(_reader_of(data, str(path))(data))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            if isinstance(error, BadInput):
                raise
            what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise BadInput(f"{path}: run {number} cannot be read: {what}") from None
    if not runs:
        raise BadInput(f"{path} holds no run")
    return runs


def _objects(text: str, where: str) -> list[Data]:
    """The runs of a file as mappings, whichever of the three forms it has."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, dict):
        return [whole]
    if isinstance(whole, list):
        return [row for row in whole if isinstance(row, dict)]
    found = []
    for line in text.splitlines():
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                break
            found.append(row)
    else:
        if found and all(isinstance(row, dict) for row in found):
            return found
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    if rows and {"avg_ts", "n_prompt"} <= set(rows[0]):
        return list(rows)
    raise BadInput(f"{where} is neither JSON nor JSON lines nor a llama-bench table")


def _reader_of(data: Data, where: str) -> Callable[[Data], Sequence[BenchRun | StreamRun]]:
    """The tool that wrote a run, by its keys."""
    keys = set(data)
    if data.get("kind") == "ridgeline-engine":
        return _ridgeline
    if {"avg_ts", "n_prompt", "n_gen"} <= keys:
        return _llama_bench
    if "benchmarks" in keys:
        return _guidellm
    if {"time_to_first_token", "request_throughput"} <= keys or {
            "request_latency", "request_throughput"} <= keys:
        return _genai_perf
    if {"mean_ttft_ms", "mean_tpot_ms", "completed"} <= keys:
        return _serve_bench
    raise BadInput(f"{where} is no benchmark file known here (vLLM bench serve, SGLang "
                   "bench_serving, AIPerf, GenAI-Perf, GuideLLM, llama-bench, ridgeline); its "
                   f"keys are {', '.join(sorted(map(str, keys))[:8]) or 'missing'}")


def _number(value: Any, name: str = "") -> float:
    """A number that is one, or NaN for none.

    Raises:
        ValueError: text that is no number.
    """
    if value is None or value == "":
        return math.nan
    if isinstance(value, bool):
        raise ValueError(f"{name or 'a number'} is {value}")
    return float(value)


def _in_flight(concurrency: float, requests_per_s: float, latency: float) -> float:
    """As set; else by Little's law: arrivals a second times the time each stays."""
    if concurrency == concurrency and 0 < concurrency < math.inf:
        return concurrency
    return max(1.0, requests_per_s * latency) if requests_per_s * latency > 0 else math.nan


def _serve_bench(data: Data) -> list[BenchRun]:
    """`vllm bench serve --save-result` and SGLang's bench_serving share most keys."""
    done = int(_number(data["completed"]))
    if done < 1:
        raise ValueError("no request was completed")
    sglang = "mean_e2e_latency_ms" in data and "num_prompts" not in data
    prompt = _number(data["total_input_tokens"]) / done
    output = _number(data["total_output_tokens"]) / done
    ttft, tpot = _number(data["mean_ttft_ms"]) / 1e3, _number(data["mean_tpot_ms"]) / 1e3
    latency = _number(data.get("mean_e2el_ms", data.get("mean_e2e_latency_ms"))) / 1e3
    if latency != latency:
        latency = ttft + max(0.0, output - 1) * tpot
    per_s = _number(data["request_throughput"])
    rate = _rate(data.get("request_rate"))
    asked = _number(data.get("max_concurrency"))
    return [BenchRun(
        "sglang" if sglang else "vllm", str(data.get("model_id") or data.get("model") or ""),
        str(data.get("date") or ""), prompt, output,
        _in_flight(asked, per_s, latency), rate if asked != asked else None, ttft, tpot, latency,
        _number(data["output_throughput"]), per_s, done,
        max(0, int(_number(data.get("num_prompts", done))) - done),
        str(data.get("backend") or data.get("endpoint_type") or "").split("-")[0])]


def _rate(value: Any) -> float | None:
    """Arrivals a second; "inf" means all at once, which is no rate."""
    number = _number(value)
    return number if math.isfinite(number) else None


_SCALE = {"ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0, "us": 1e-6, "ns": 1e-9}


def _metric(data: Data, name: str, part: str = "avg") -> float:
    """One statistic of AIPerf or GenAI-Perf in SI; NaN when the metric is absent."""
    block = data.get(name)
    if not isinstance(block, Mapping) or block.get(part) is None:
        return math.nan
    return _number(block[part], name) * _SCALE.get(str(block.get("unit", "")), 1.0)


def _genai_perf(data: Data) -> list[BenchRun]:
    """AIPerf and its forerunner GenAI-Perf; NVIDIA's inter-token latency is the field's TPOT."""
    config = data.get("input_config") or {}
    latency, per_s = _metric(data, "request_latency"), _metric(data, "request_throughput")
    asked = _find(config, ("concurrency", "request_concurrency"))
    rate = _rate(_find(config, ("request_rate",)))
    done = _metric(data, "request_count")
    failed = _metric(data, "error_request_count")
    model = _find(config, ("model_names", "model", "model_name"))
    return [BenchRun(
        "genai-perf", str(model[0] if isinstance(model, list) and model else model or ""),
        str(data.get("start_time") or "")[:10], _metric(data, "input_sequence_length"),
        _metric(data, "output_sequence_length"),
        _in_flight(_number(asked), per_s, latency), rate,
        _metric(data, "time_to_first_token"), _metric(data, "inter_token_latency"), latency,
        _metric(data, "output_token_throughput"), per_s, int(done) if done == done else 0,
        int(failed) if failed == failed else 0)]


def _find(data: Any, names: Sequence[str], depth: int = 6) -> Any:
    """The first value under one of the names anywhere in nested mappings, None when there is none.
    """
    if depth == 0 or not isinstance(data, Mapping):
        return None
    for name in names:
        if data.get(name) not in (None, "", []) and not isinstance(data[name], Mapping):
            return data[name]
    for value in data.values():
        found = _find(value, names, depth - 1)
        if found is not None:
            return found
    return None


def _guidellm(data: Data) -> list[BenchRun]:
    """Every benchmark of a GuideLLM report: means over the successful requests."""
    runs = []
    for run in data["benchmarks"]:
        metrics = run["metrics"]

        def mean(name: str, metrics: Data = metrics) -> float:
            block = metrics.get(name) or {}
            inner = block.get("successful") or block
            return _number(inner.get("mean"), name) if isinstance(inner, Mapping) else math.nan

        config = run.get("config") or run.get("args") or {}
        strategy = config.get("strategy") or {}
        per_s, latency = mean("requests_per_second"), mean("request_latency")
        asked = _number(_find(strategy, ("streams", "max_concurrency")))
        made = (run.get("run_stats") or {}).get("requests_made")
        totals = made or metrics.get("request_totals") or {}
        runs.append(BenchRun(
            "guidellm", str(_find({"a": config, "b": data.get("args") or {}}, ("model",)) or ""),
            "", mean("prompt_token_count"), mean("output_token_count"),
            _in_flight(asked if asked == asked else mean("request_concurrency"), per_s, latency),
            _rate(_find(strategy, ("rate",))), mean("time_to_first_token_ms") / 1e3,
            _first(mean("inter_token_latency_ms"), mean("time_per_output_token_ms")) / 1e3,
            latency, mean("output_tokens_per_second"), per_s,
            int(_number(totals.get("successful", 0))), int(_number(totals.get("errored", 0)))))
    return runs


def _first(*values: float) -> float:
    """The first that is a number. GuideLLM's time per output token counts the first token in, so
    its inter-token latency is the field's TPOT.
    """
    return next((v for v in values if v == v), math.nan)


def _ridgeline(data: Data) -> list[BenchRun]:
    """What `ridgeline measure engine --out` wrote."""
    numbers, settings = data["summary"], data["settings"]
    kind, _, value = str(settings["protocol"]).partition(":")
    latency, per_s = _number(numbers["latency_mean"]), _number(numbers["requests_per_s"])
    served = [r for r in data["requests"] if not r["failure"] and r["first"] >= 0]
    if not served:
        raise ValueError("no request was answered")
    return [BenchRun(
        "ridgeline", str(settings.get("model") or ""), "",
        sum(r["prompt_tokens"] for r in served) / len(served),
        sum(r["output_tokens"] for r in served) / len(served),
        _in_flight(_number(value) if kind == "closed" else math.nan, per_s, latency),
        _number(value) if kind == "rate" else None, _number(numbers["ttft_mean"]),
        _number(numbers["tpot_mean"]), latency, _number(numbers["output_tokens_per_s"]), per_s,
        int(numbers["served"]), int(numbers["failed"]))]


def _llama_bench(data: Data) -> list[StreamRun]:
    """One row of llama-bench -o json, jsonl or csv."""
    name, quant = _split_type(str(data["model_type"]))
    gpu = str(data.get("gpu_info") or "")
    layers = int(_number(data.get("n_gpu_layers", 0) or 0))
    on_gpu = bool(gpu) and layers > 0
    return [StreamRun(
        name, quant, _number(data["model_size"]),
        gpu if on_gpu else str(data.get("cpu_info") or ""),
        str(data.get("backends") or data.get("backend") or "") if on_gpu else "CPU",
        int(_number(data.get("n_threads", 0) or 0)), int(_number(data["n_prompt"])),
        int(_number(data["n_gen"])), int(_number(data.get("n_depth", 0) or 0)),
        _number(data["avg_ts"]), str(data.get("flash_attn", "0")).lower() in ("1", "true", "on"),
        str(data.get("build_number") or data.get("build_commit") or ""),
        str(data.get("test_time") or "")[:10])]


def _split_type(text: str) -> tuple[str, str]:
    """Model and format of "llama 7B Q4_K - Medium".

    >>> _split_type("llama 7B Q4_K - Medium"), _split_type("qwen2 1B F16")
    (('llama 7B', 'q4_k_m'), ('qwen2 1B', 'fp16'))
    """
    head, dash, size = text.partition(" - ")
    name, _, quant = head.rpartition(" ")
    quant = quant.lower() + (f"_{size[0].lower()}" if dash and size else "")
    return name, {"f16": "fp16", "f32": "fp32"}.get(quant, quant)
