"""The benchmark that would check a plan's prediction."""

from __future__ import annotations

import math

from ridgeline.search.launch.spec import PORT, LaunchSpec

__all__ = ["bench_argv"]

# The plan's requests differ by a tenth of their mean, so that they do not run in lockstep.
_SPREAD = 0.1
# Requests in all: as many waves of the concurrency as settle its mean, or minutes of a rate.
_WAVES, _FEWEST, _SECONDS = 6, 100, 180


def bench_argv(spec: LaunchSpec) -> tuple[str, ...]:
    """`vllm bench serve` with the plan's lengths and load; it speaks to any of the engines.

    Concurrency is kept full, or requests come at random at the plan's rate.
    """
    argv = ["vllm", "bench", "serve", "--backend", "openai", "--base-url", "$URL", "--model",
            "$MODEL", "--dataset-name", "random", "--random-input-len",
            str(max(1, spec.prompt - spec.prefix)), "--random-output-len", str(spec.output),
            "--random-range-ratio", f"{_SPREAD:g}", "--ignore-eos", "--seed", "0"]
    if spec.prefix:
        argv += ["--random-prefix-len", str(spec.prefix)]
    if spec.rate is None:
        count = max(_FEWEST, _WAVES * spec.concurrency)
        argv += ["--max-concurrency", str(spec.concurrency)]
    else:
        count = max(_FEWEST, math.ceil(_SECONDS * spec.rate))
        argv += ["--request-rate", f"{spec.rate:g}"]
    return (*argv, "--num-prompts", str(count), "--percentile-metrics", "ttft,tpot,itl,e2el",
            "--metric-percentiles", "50,90,99", "--save-result", "--result-filename",
            "result.json")


def url() -> str:
    """Where a server of this machine listens."""
    return f"http://127.0.0.1:{PORT}"
