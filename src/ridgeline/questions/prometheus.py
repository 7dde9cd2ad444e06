"""A vLLM server's metrics page: text exposition format into one snapshot."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ridgeline.errors import BadInput

__all__ = ["Histogram", "Snapshot", "fetch", "parse_samples", "snapshot"]

_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*$")
_LABEL = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"')
_LARGEST = 50_000_000


@dataclass(frozen=True)
class Histogram:
    """Cumulative counts under upper bounds, their sum and number.

    Attributes:
        bounds: (upper bound, cumulative count), ascending, the last bound infinite.
        total: sum of all values.
        count: how many.
    """

    bounds: tuple[tuple[float, float], ...]
    total: float
    count: float

    @property
    def mean(self) -> float | None:
        """Mean value; None without any."""
        return self.total / self.count if self.count > 0 else None

    def quantile(self, share: float) -> float | None:
        """The value below which a share lies, linear within its bucket; None without any.

        As Prometheus' histogram_quantile: in the bucket without an upper end, its lower end.
        """
        if self.count <= 0 or not self.bounds:
            return None
        wanted, lower, below = share * self.count, 0.0, 0.0
        for upper, cumulative in self.bounds:
            if cumulative >= wanted:
                if math.isinf(upper) or cumulative == below:
                    return lower
                return lower + (upper - lower) * (wanted - below) / (cumulative - below)
            lower, below = upper, cumulative
        return lower

    def minus(self, earlier: Histogram) -> Histogram:
        """What was added since; the whole when the server began anew in between."""
        before = dict(earlier.bounds)
        bounds = tuple((b, c - before.get(b, 0.0)) for b, c in self.bounds)
        if self.count < earlier.count or any(c < 0 for _, c in bounds):
            return self
        return Histogram(bounds, self.total - earlier.total, self.count - earlier.count)


@dataclass(frozen=True)
class Snapshot:
    """One reading of a server.

    Attributes:
        model: `model_name` of its metrics, "" when absent.
        engines: engine cores that reported.
        gauges: running, waiting, kv_usage; absent ones missing.
        counters: prompt_tokens, generation_tokens, preemptions, cache_queries, cache_hits,
            draft_tokens, accepted_tokens, drafts, requests.
        histograms: ttft, itl, e2e, queue, prefill, step_tokens, prompt_length, output_length.
        config: labels of the cache configuration.
    """

    model: str
    engines: int
    gauges: Mapping[str, float]
    counters: Mapping[str, float]
    histograms: Mapping[str, Histogram]
    config: Mapping[str, str] = field(default_factory=dict)

    @property
    def kv_tokens(self) -> float | None:
        """Tokens the KV cache holds, all engines; None when the server does not say."""
        try:
            blocks, size = float(self.config["num_gpu_blocks"]), float(self.config["block_size"])
        except (KeyError, ValueError):
            return None
        return blocks * size * self.engines if blocks > 0 and size > 0 else None

    def since(self, earlier: Snapshot) -> Snapshot:
        """Counters and histograms of the time between two readings; gauges averaged."""
        counters = {k: v - earlier.counters.get(k, 0.0) if v >= earlier.counters.get(k, 0.0) else v
                    for k, v in self.counters.items()}
        histograms = {k: h.minus(earlier.histograms[k]) if k in earlier.histograms else h
                      for k, h in self.histograms.items()}
        gauges = {k: (v + earlier.gauges.get(k, v)) / 2 for k, v in self.gauges.items()}
        return Snapshot(self.model, self.engines, gauges, counters, histograms, self.config)


# Names of the same thing over vLLM versions; those ending in _total are tried without it too.
_GAUGES = {"running": ("vllm:num_requests_running",),
           "waiting": ("vllm:num_requests_waiting",),
           "kv_usage": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")}
_COUNTERS = {"prompt_tokens": "vllm:prompt_tokens_total",
             "generation_tokens": "vllm:generation_tokens_total",
             "preemptions": "vllm:num_preemptions_total",
             "cache_queries": "vllm:prefix_cache_queries_total",
             "cache_hits": "vllm:prefix_cache_hits_total",
             "draft_tokens": "vllm:spec_decode_num_draft_tokens_total",
             "accepted_tokens": "vllm:spec_decode_num_accepted_tokens_total",
             "drafts": "vllm:spec_decode_num_drafts_total",
             "requests": "vllm:request_success_total"}
_HISTOGRAMS = {"ttft": ("vllm:time_to_first_token_seconds",),
               "itl": ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds",
                       "vllm:request_time_per_output_token_seconds"),
               "e2e": ("vllm:e2e_request_latency_seconds",),
               "queue": ("vllm:request_queue_time_seconds",),
               "prefill": ("vllm:request_prefill_time_seconds",),
               "step_tokens": ("vllm:iteration_tokens_total",),
               "prompt_length": ("vllm:request_prompt_tokens",),
               "output_length": ("vllm:request_generation_tokens",)}
Sample = tuple[str, dict[str, str], float]


def parse_samples(text: str) -> Iterator[Sample]:
    """(name, labels, value) of every line.

    Raises:
        BadInput: a line that is not of the exposition format, with its number.

    >>> list(parse_samples('vllm:num_requests_running{engine="0"} 3.0'))
    [('vllm:num_requests_running', {'engine': '0'}, 3.0)]
    """
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _SAMPLE.match(line)
        if match is None:
            raise BadInput(f"line {number} is not a metric: {line[:60]!r}")
        try:
            value = float(match[3])
        except ValueError:
            raise BadInput(f"line {number}: {match[3][:30]!r} is not a number") from None
        yield match[1], dict(_LABEL.findall(match[2] or "")), value


def snapshot(text: str) -> Snapshot:
    """Read a metrics page of vLLM.

    Raises:
        BadInput: not the exposition format, or no metric of vLLM in it.
    """
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    for name, labels, value in parse_samples(text):
        samples.setdefault(name, []).append((labels, value))
    if not any(name.startswith("vllm:") for name in samples):
        raise BadInput("no metric of vLLM (vllm:...) in it; is it the /metrics page of a vLLM "
                       "server?")
    models = [labels["model_name"] for rows in samples.values() for labels, _ in rows
              if labels.get("model_name")]
    engines = {labels.get("engine", "0") for labels, _ in samples.get(_GAUGES["running"][0], [])}
    config = samples.get("vllm:cache_config_info", [({}, 0.0)])[0][0]
    return Snapshot(models[0] if models else "", max(1, len(engines)), _gauges(samples),
                    _counters(samples), _histograms(samples), config)


Rows = Mapping[str, list[tuple[dict[str, str], float]]]


def _gauges(samples: Rows) -> dict[str, float]:
    """Sums over engines; the cache's share is their mean."""
    found = {}
    for key, names in _GAUGES.items():
        rows = next((samples[n] for n in names if n in samples), None)
        values = [v for _, v in rows or [] if math.isfinite(v) and v >= 0]
        if values:
            found[key] = sum(values) / (len(values) if key == "kv_usage" else 1)
    return found


def _counters(samples: Rows) -> dict[str, float]:
    found = {}
    for key, name in _COUNTERS.items():
        rows = samples.get(name) or samples.get(name.removesuffix("_total"))
        if rows:
            found[key] = sum(v for _, v in rows if math.isfinite(v) and v >= 0)
    return found


def _histograms(samples: Rows) -> dict[str, Histogram]:
    """Buckets of all engines and labels added up."""
    found = {}
    for key, names in _HISTOGRAMS.items():
        name = next((n for n in names if f"{n}_count" in samples), None)
        if name is None:
            continue
        bounds: dict[float, float] = {}
        for labels, value in samples.get(f"{name}_bucket", []):
            try:
                upper = float(labels.get("le", ""))
            except ValueError:
                raise BadInput(f"{name}: a bucket has no upper bound") from None
            bounds[upper] = bounds.get(upper, 0.0) + value
        total = sum(v for _, v in samples.get(f"{name}_sum", []))
        count = sum(v for _, v in samples[f"{name}_count"])
        found[key] = Histogram(tuple(sorted(bounds.items())), total, count)
    return found


def fetch(source: str, *, timeout: float = 10.0) -> str:
    """The text of a metrics page: a file, or an http(s) address (its /metrics when none is named).

    Raises:
        BadInput: no such file, no answer, an error of the server, or too large a page.
    """
    if not re.match(r"https?://", source):
        return _file(source)
    from urllib.error import URLError
    from urllib.parse import urlsplit, urlunsplit
    from urllib.request import Request, urlopen

    parts = urlsplit(source)
    if parts.path in ("", "/"):
        source = urlunsplit(parts._replace(path="/metrics"))
    try:
        with urlopen(Request(source, headers={"Accept": "text/plain"}), timeout=timeout) as page:
            data: bytes = page.read(_LARGEST + 1)
    except (URLError, OSError, ValueError) as error:
        status = f"{error.code} " if hasattr(error, "code") else ""
        reason = f"{status}{getattr(error, 'reason', None) or error}"
        raise BadInput(f"cannot read {source}: {reason}") from None
    return _text(data, source)


def _file(path: str) -> str:
    from pathlib import Path

    try:
        return _text(Path(path).read_bytes(), path)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}; give a file or an address such as "
                       "http://localhost:8000/metrics") from None


def _text(data: bytes, source: str) -> str:
    if len(data) > _LARGEST:
        raise BadInput(f"{source} is larger than {_LARGEST // 1_000_000} MB; not a metrics page")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadInput(f"{source} is not text") from None
