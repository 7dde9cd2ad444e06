"""What a truth table of each kind holds, and how a file is recognised by its columns.

A file's name says nothing: the columns decide. Every schema names the columns it cannot do
without; the one with the most of them present is taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ridgeline.errors import BadInput

Family = Literal["kernel", "serving", "model", "training", "memory", "retrieval"]


@dataclass(frozen=True)
class Measure:
    """A measured column and the metric it stands for.

    Attributes:
        metric: name in the report ("tpot").
        column: column of the file.
        scale: factor to the SI unit.
        unit: SI unit of the scaled value.
    """

    metric: str
    column: str
    scale: float
    unit: str


@dataclass(frozen=True)
class Schema:
    """The columns of one kind of table.

    Attributes:
        name: "gemm", "serving_latency", ...
        family: which predictors answer it.
        text: text columns it cannot do without.
        positive: number columns it cannot do without, above zero in every row.
        optional: number columns that may be absent, or empty in a row; never negative.
        measures: the measured columns; all are optional in a row, the first must be a column.
        key: columns that name a row to a reader.
        always_by: columns by which groups are always reported.
    """

    name: str
    family: Family
    text: tuple[str, ...]
    positive: tuple[str, ...]
    measures: tuple[Measure, ...]
    optional: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    always_by: tuple[str, ...] = ()

    @property
    def required(self) -> tuple[str, ...]:
        """Columns a file must have to be of this kind."""
        return (*self.text, *self.positive, self.measures[0].column)

    @property
    def numbers(self) -> tuple[str, ...]:
        """All number columns, measured ones too."""
        return (*self.positive, *self.optional, *(m.column for m in self.measures))


def _kernel(name: str, text: str, positive: str, optional: str = "") -> Schema:
    """A table of kernel times in microseconds."""
    keys = (*(t for t in text.split() if t not in ("source", "version")), *positive.split())
    return Schema(name, "kernel", tuple(text.split()), tuple(positive.split()),
                  (Measure("time", "time_us", 1e-6, "s"),), tuple(optional.split()), keys,
                  ("gpu",))


_KERNELS = (
    _kernel("gemm", "source gpu backend dtype", "m n k"),
    _kernel("attention_prefill", "source gpu backend kernel dtype kv_dtype",
            "batch seq_len q_heads kv_heads head_dim", "window"),
    _kernel("attention_decode", "source gpu backend kernel dtype kv_dtype",
            "batch kv_len q_heads kv_heads head_dim", "window"),
    _kernel("attention_mixed", "source gpu backend kernel dtype kv_dtype",
            "prompt_tokens batch kv_len q_heads kv_heads head_dim"),
    _kernel("attention_module", "source gpu backend kernel op model dtype kv_dtype gemm_dtype",
            "heads batch q_len", "past_len compress_ratio"),
    _kernel("mla", "source gpu backend kernel phase dtype kv_dtype",
            "batch q_len kv_len q_heads", "model_heads"),
    _kernel("mla_bmm", "source gpu backend kernel op dtype", "tokens heads k n"),
    _kernel("moe", "source gpu backend kernel dtype routing",
            "tokens hidden inter topk experts tp ep", "gated"),
    _kernel("wideep_moe", "source gpu backend kernel op dtype routing",
            "tokens rank0_tokens hidden inter topk experts slots tp ep"),
    _kernel("linear_attention", "source gpu backend op kernel phase",
            "batch seq_len d_model d_conv k_heads k_dim v_heads v_dim"),
    _kernel("elementwise", "source gpu op dtype", "rows width"),
    _kernel("quantize", "source gpu backend kernel op dtype", "m k"),
    _kernel("collective", "source gpu link kernel op dtype", "n_gpus gpus_per_node bytes"),
    _kernel("ep_a2a", "source gpu backend mode phase",
            "nodes n_gpus tokens hidden topk experts", "sms notify_us"),
    _kernel("grouped_gemm", "source gpu kernel dtype", "groups m_per_group n k"),
)

_POOLS = tuple(f"{pool}_{degree}" for pool in ("prefill", "decode")
               for degree in ("batch_size", "num_workers", "tp_size", "pp_size",
                              "attention_dp_size", "moe_tp_size", "moe_ep_size"))

_SYSTEMS = (
    Schema("serving_latency", "serving",
           ("id", "protocol", "backend", "model_path", "system", "mode"), ("isl", "osl"),
           (Measure("ttft", "silicon_ttft_ms", 1e-3, "s"),
            Measure("tpot", "silicon_tpot_ms", 1e-3, "s")),
           ("concurrency", "batch_size", "tp_size", "pp_size", "attention_dp_size",
            "moe_tp_size", "moe_ep_size", *_POOLS),
           ("id",), ("protocol",)),
    Schema("serving_throughput", "serving",
           ("source", "gpu", "engine", "model", "weight_dtype", "concurrency_or_mode"), (),
           (Measure("output_tokens_per_s", "output_tokens_per_s", 1.0, "token/s"),
            Measure("total_tokens_per_s", "total_tokens_per_s", 1.0, "token/s"),
            Measure("ttft", "ttft_ms", 1e-3, "s"), Measure("tpot", "tpot_ms", 1e-3, "s"),
            Measure("e2e_latency", "e2e_latency_ms", 1e-3, "s"),
            Measure("requests_per_s", "requests_per_s", 1.0, "1/s")),
           ("n_gpus", "tp", "pp", "ep", "dp", "isl_tokens", "osl_tokens"),
           ("gpu", "n_gpus", "engine", "model", "weight_dtype", "isl_tokens", "osl_tokens",
            "concurrency_or_mode"), ("regime",)),
    Schema("serving_replay", "serving",
           ("run", "gpu", "engine", "engine_version", "model", "clock", "requests"), ("n_gpus",),
           tuple(Measure(f"{name}_{part}", f"{name}_{part}_s", 1.0, "s")
                 for name in ("ttft", "tpot", "latency") for part in ("mean", "p90")),
           ("tp", "ep", "attention_dp", "max_num_seqs", "max_num_batched_tokens",
            "max_model_len"), ("run",), ("run",)),
    Schema("single_stream", "serving", ("source", "device", "engine", "model", "quant"), (),
           (Measure("gen_tps", "gen_tokens_per_s", 1.0, "token/s"),
            Measure("prompt_tps", "prompt_tokens_per_s", 1.0, "token/s")),
           ("n_devices", "model_size_gib", "prompt_tokens", "gen_tokens", "context_depth_tokens"),
           ("device", "engine", "model", "quant", "prompt_tokens", "gen_tokens"),
           ("device_class",)),
    Schema("training_throughput", "training", ("source", "gpu", "framework", "model", "task"), (),
           (Measure("tokens_per_s_per_gpu", "tokens_per_s_per_gpu", 1.0, "token/s"),
            Measure("model_flops_per_gpu", "model_tflops_per_gpu", 1e12, "FLOP/s"),
            Measure("mfu", "mfu_pct", 0.01, "1"), Measure("hfu", "hfu_pct", 0.01, "1"),
            Measure("memory", "memory_gib", 2.0**30, "B"),
            Measure("step_time", "step_time_s", 1.0, "s")),
           ("n_gpus", "params_b", "layers", "hidden", "heads", "seq_len_tokens",
            "global_batch_seqs", "micro_batch_seqs", "tp", "pp", "dp", "cp", "ep", "vpp"),
           ("gpu", "n_gpus", "framework", "model", "precision"), ("regime",)),
    Schema("memory", "memory",
           ("source", "gpu", "framework", "model", "phase", "quantity", "unit_as_reported"), (),
           (Measure("memory", "value_gib", 2.0**30, "B"),),
           ("n_gpus", "params_b", "batch_seqs"),
           ("gpu", "framework", "model", "phase", "batch_seqs", "seq_len_tokens", "config"),
           ("phase",)),
    Schema("retrieval", "retrieval", ("index",), ("n", "dim"),
           (Measure("query", "query_us", 1e-6, "s"), Measure("build", "build_s", 1.0, "s")),
           ("nlist", "nprobe", "segments", "hnsw_m", "ef", "top_k", "batch", "threads",
            "recall_at_10"),
           ("index", "n", "dim", "nlist", "nprobe", "ef", "top_k", "batch"), ("index",)),
    Schema("encoder", "retrieval", ("model",),
           ("layers", "width", "heads", "d_ff", "texts", "tokens"),
           (Measure("tokens_per_s", "encoded_tokens_per_s", 1.0, "token/s"),), (),
           ("model", "texts", "tokens"), ("model",)),
    Schema("models", "model", ("name", "config_file"), (),
           (Measure("total_params", "total_params_exact", 1.0, "param"),
            Measure("active_params", "active_params_published", 1.0, "param")),
           ("total_params_published",), ("name",), ()),
)

SCHEMAS = {schema.name: schema for schema in (*_KERNELS, *_SYSTEMS)}


def detect_schema(columns: Iterable[str], where: str) -> Schema:
    """The schema whose needed columns are all there; the most demanding one when several are.

    Args:
        columns: header of the file.
        where: file name for the message.

    Raises:
        BadInput: no schema fits; names the closest and the columns it misses.
    """
    have = set(columns)
    fitting = [s for s in SCHEMAS.values() if have.issuperset(s.required)]
    if fitting:
        return max(fitting, key=lambda s: len(s.required))
    closest = max(SCHEMAS.values(),
                  key=lambda s: (len(have.intersection(s.required)) / len(s.required)))
    missing = [c for c in closest.required if c not in have]
    if len(missing) == len(closest.required):
        raise BadInput(f"{where}: not a truth table; its columns are "
                       f"{', '.join(list(have)[:8]) or 'missing'}; known kinds: "
                       + ", ".join(SCHEMAS))
    raise BadInput(f"{where}: no known kind of truth table; closest is {closest.name}, "
                   f"which also needs the column{'s' if len(missing) > 1 else ''} "
                   + ", ".join(missing))
