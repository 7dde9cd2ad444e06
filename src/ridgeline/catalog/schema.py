"""What a catalog file may say: strict records, one per kind of file.

Decoding is by msgspec: an unknown key, a missing source or a value out of range is refused with
the key's path. Values are SI unless the key names another unit.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

Confidence = Literal["high", "medium", "low"]
Basis = Literal["datasheet", "measured", "estimated"]
Kind = Literal["gpu", "tpu", "npu", "apu", "cpu"]
Name = Annotated[str, Meta(min_length=1, max_length=120)]
Text = Annotated[str, Meta(min_length=3)]
Date = Annotated[str, Meta(pattern=r"^(19|20)\d\d(-\d\d(-\d\d)?)?$")]
# Bounds wide enough for a microcontroller and a wafer, narrow enough to catch a wrong unit.
Rate = Annotated[float, Meta(gt=1e6, lt=1e20)]
Bytes = Annotated[float, Meta(gt=0, lt=1e19)]
Memory = Annotated[float, Meta(gt=1e6, lt=1e15)]
Bandwidth = Annotated[float, Meta(gt=1e6, lt=1e18)]
Seconds = Annotated[float, Meta(gt=0, lt=1e5)]
Tiny = Annotated[float, Meta(gt=0, lt=1)]
Cost = Annotated[float, Meta(ge=0, lt=10)]
Count = Annotated[int, Meta(ge=1, le=10_000_000)]
Usd = Annotated[float, Meta(ge=0, lt=1e8)]
Share = Annotated[float, Meta(gt=0, le=1)]


class Provenance(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Where a group of numbers comes from; what it leaves out is as at the top of the file."""

    source: Text | None = None
    date: Date | None = None
    confidence: Confidence | None = None
    basis: Basis | None = None


class Peaks(Provenance, frozen=True):
    """Dense rates [FLOP/s or OP/s]; fp64 and fp32 are vector rates, the others matrix rates."""

    fp64: Rate | None = None
    fp64_matrix: Rate | None = None
    fp32: Rate | None = None
    tf32: Rate | None = None
    fp16: Rate | None = None
    bf16: Rate | None = None
    fp8: Rate | None = None
    fp6: Rate | None = None
    fp4: Rate | None = None
    int8: Rate | None = None
    int4: Rate | None = None


class DeviceMemory(Provenance, kw_only=True, frozen=True):
    """Device memory: size on the label (decimal), what the driver reports, and bandwidth."""

    bytes: Memory
    bandwidth: Bandwidth
    type: Name = "unknown"
    usable_bytes: Memory | None = None
    usable_source: Text | None = None
    levels: tuple[tuple[Bytes, Bandwidth], ...] = ()

    def __post_init__(self) -> None:
        """A usable size needs its own source, since no datasheet prints it."""
        if (self.usable_bytes is None) != (self.usable_source is None):
            raise ValueError("usable_bytes and usable_source go together")
        _rising("levels", [size for size, _ in self.levels])


class OnChip(Provenance, frozen=True):
    """Caches, scratch memories, cores and boost clock."""

    l2_bytes: Bytes | None = None
    sram_bytes: Bytes | None = None
    sram_note: str = ""
    n_cores: Count | None = None
    core_kind: str = ""
    clock: Annotated[float, Meta(gt=1e7, lt=1e11)] | None = None


class Power(Provenance, kw_only=True, frozen=True):
    """Board power [W]."""

    tdp: Annotated[float, Meta(gt=0, lt=1e6)]


class Network(Provenance, kw_only=True, frozen=True):
    """A link of one device: one direction, all lanes together."""

    link: Name
    bandwidth: Bandwidth
    latency: Seconds


class ScaleUp(Network, kw_only=True, frozen=True):
    """The link inside a scale-up domain, and how many devices share the domain."""

    domain_size: Count
    domain: str = ""


class Rent(Provenance, kw_only=True, frozen=True):
    """Price of an hour of one device."""

    usd_per_hour_low: Usd
    usd_per_hour_high: Usd

    def __post_init__(self) -> None:
        """The range is a range."""
        if self.usd_per_hour_low > self.usd_per_hour_high:
            raise ValueError("usd_per_hour_low is above usd_per_hour_high")


class Price(Provenance, kw_only=True, frozen=True):
    """Purchase price of one device."""

    usd: Usd


class MatmulTimes(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Measured seconds of one weight by rows; see `machine.kernels.MatmulCurve`."""

    format: Name
    depth: Count
    set_bytes: Bytes
    rows: Annotated[tuple[Count, ...], Meta(min_length=1)]
    seconds: tuple[Tiny, ...]

    def __post_init__(self) -> None:
        """One time for each number of rows."""
        _rising("rows", self.rows, self.seconds)


class AttentionTimes(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Measured seconds of one FLOP of attention; see `machine.kernels.AttentionCurve`."""

    phase: Literal["prefill", "decode"]
    head_dim: Count
    tokens: Annotated[tuple[Count, ...], Meta(min_length=1)]
    seconds: tuple[Tiny, ...]

    def __post_init__(self) -> None:
        """One time for each number of tokens."""
        _rising("tokens", self.tokens, self.seconds)


class EngineKernels(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """An engine's own kernels on a measured machine; see `machine.kernels.KernelTimes`."""

    software: Text
    matmul: Annotated[tuple[MatmulTimes, ...], Meta(min_length=1)]
    attention: tuple[AttentionTimes, ...] = ()
    move: Cost = 0.0
    launch: Cost = 0.0
    step: Cost = 0.0
    layer: Cost = 0.0
    sequence: Cost = 0.0
    logit: Cost = 0.0
    stream: Cost = 0.0
    request: Cost = 0.0


def _rising(name: str, at: Sequence[float], values: Sequence[float] | None = None) -> None:
    """Positions of a measured curve rise, with one value each."""
    if any(a >= b for a, b in itertools.pairwise(at)):
        raise ValueError(f"{name} must rise")
    if values is not None and len(at) != len(values):
        raise ValueError(f"{len(values)} seconds for {len(at)} {name}")


class ChipFile(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """One chip: `data/chips/NAME.toml`."""

    name: Name
    vendor: Name
    architecture: Name
    source: Text
    date: Date
    confidence: Confidence
    basis: Basis
    peaks: Peaks
    memory: DeviceMemory
    kind: Kind = "gpu"
    year: Annotated[int, Meta(ge=1990, le=2100)] = 0
    aliases: tuple[Name, ...] = ()
    notes: tuple[str, ...] = ()
    on_chip: OnChip = OnChip()
    power: Power | None = None
    scale_up: ScaleUp | None = None
    scale_out: Network | None = None
    host: Network | None = None
    rent: Rent | None = None
    price: Price | None = None
    kernels: dict[Name, EngineKernels] = {}


class LinkEntry(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """One interconnect of `data/links.toml`."""

    name: Name
    kind: Name
    source: Text
    date: Date
    confidence: Confidence
    bandwidth: Bandwidth | None = None
    latency_low: Seconds | None = None
    latency_high: Seconds | None = None
    latency_source: str = ""
    year: int = 0
    lanes: str = ""
    energy: str = ""
    reach: str = ""
    status: str = ""
    aliases: tuple[Name, ...] = ()
    notes: tuple[str, ...] = ()


class TierEntry(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """One memory or storage tier of `data/tiers.toml`."""

    name: Name
    kind: Name
    source: Text
    date: Date
    confidence: Confidence
    unit: str = ""
    bytes: Bytes | None = None
    bandwidth: Bandwidth | None = None
    latency: Seconds | None = None
    usd_per_gb_low: Usd | None = None
    usd_per_gb_high: Usd | None = None
    usd_date: str = ""
    energy: str = ""
    persistence: str = ""
    device_bandwidth: Bandwidth | None = None
    year: int = 0
    notes: tuple[str, ...] = ()


class RuleEntry(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """A pricing rule of `data/prices/rules.toml`, in words."""

    name: Name
    text: Text
    source: Text
    date: Date


class ApiPrice(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """One row of `data/prices/api.csv`: list prices of one model at one provider.

    Prices are US dollars per million tokens, as their names say; `long_*` hold above
    `long_context_threshold` tokens of prompt.
    """

    provider: Name
    model: Name
    source: Text
    date: Date
    input_usd_per_mtok: Usd | None = None
    output_usd_per_mtok: Usd | None = None
    cached_read_usd_per_mtok: Usd | None = None
    cache_write_usd_per_mtok: Usd | None = None
    cache_write_1h_usd_per_mtok: Usd | None = None
    batch_cached_read_usd_per_mtok: Usd | None = None
    batch_input_usd_per_mtok: Usd | None = None
    batch_output_usd_per_mtok: Usd | None = None
    flex_input_usd_per_mtok: Usd | None = None
    flex_output_usd_per_mtok: Usd | None = None
    priority_input_usd_per_mtok: Usd | None = None
    priority_output_usd_per_mtok: Usd | None = None
    priority_cached_read_usd_per_mtok: Usd | None = None
    long_context_threshold: float | None = None
    long_input_usd_per_mtok: Usd | None = None
    long_output_usd_per_mtok: Usd | None = None
    long_cached_read_usd_per_mtok: Usd | None = None
    cache_storage_usd_per_hour: Usd | None = None
    max_input_tokens: float | None = None
    max_output_tokens: float | None = None
    prompt_cache_min_tokens: float | None = None
    deprecation_date: str = ""
    page: str = ""
    crosscheck: str = ""


class RentPrice(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """One row of `data/prices/rent.csv`: what an hour of one device costs somewhere."""

    provider: Name
    item: Name
    source: Text
    date: Text
    usd_per_hour_low: Usd
    usd_per_hour_high: Usd
    chip: str = ""
    note: str = ""


class BatchDefaults(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Scheduler limits an engine takes on devices of at least so much usable memory."""

    max_num_seqs: Count
    max_num_batched_tokens: Count
    min_memory_bytes: Annotated[float, Meta(ge=0, lt=1e15)] = 0.0
    not_chips: tuple[str, ...] = ()


class EngineFile(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """One engine: `data/engines/NAME.toml`. Measured timing constants live with calibration.

    Attributes:
        memory_fraction: share of usable device memory the engine plans with.
        memory_basis: what the fraction is of: "total", or "free" after the weights are loaded.
        kv_reserved: whether KV memory is taken at start ("start"), for the asked context
            ("context"), or as sequences grow ("growth").
        block_size: tokens in a KV block.
        defaults: scheduler limits by device memory, first match counts.
        flags: option of the launch command for each field of a deployment.
        weight_formats, kv_formats: formats it serves.
    """

    name: Name
    title: Name
    version: str
    source: Text
    date: Date
    confidence: Confidence
    memory_fraction: Share
    memory_basis: Literal["total", "free"]
    kv_reserved: Literal["start", "context", "growth"]
    block_size: Count
    defaults: tuple[BatchDefaults, ...]
    chunked_prefill: bool
    prefix_caching: bool
    continuous_batching: bool
    cuda_graphs: bool
    cuda_graph_max_batch: Annotated[int, Meta(ge=0, le=100_000)] = 0
    parallelism: tuple[Literal["tp", "pp", "ep", "dp", "cp", "attention_dp"], ...] = ()
    weight_formats: tuple[Name, ...] = ()
    kv_formats: tuple[Name, ...] = ()
    vendors: tuple[Name, ...] = ()
    command: str = ""
    flags: dict[str, str] = {}
    aliases: tuple[Name, ...] = ()
    notes: tuple[str, ...] = ()

    def limits(self, chip_name: str, memory_bytes: float) -> BatchDefaults:
        """Scheduler limits that hold on a device when the user gives none."""
        for row in self.defaults:
            if memory_bytes >= row.min_memory_bytes and not any(
                    chip_name.startswith(prefix) for prefix in row.not_chips):
                return row
        return self.defaults[-1]


class FormatEntry(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """One number format of `data/formats.toml`."""

    name: Name
    bits: Annotated[float, Meta(gt=0, le=64)]
    compute: Literal["fp32", "tf32", "fp16", "bf16", "fp8", "fp6", "fp4", "int8", "int4"]
    family: Name
    source: Text
    weight_only: bool = False
    covers_embeddings: bool = False
    aliases: tuple[Name, ...] = ()
    mix: tuple[MixRule, ...] = ()
    base: str = ""
    notes: str = ""


class MixRule(Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Which block type a file mix gives to a kind of tensor, in which layers."""

    tensor: Literal["token_embd", "output", "attn_q", "attn_k", "attn_v", "attn_output", "attn_qkv",
                    "ffn_gate", "ffn_up", "ffn_down"]
    format: Name
    layers: Literal["all", "more_bits", "first_eighth", "first_sixteenth", "first_4",
                    "first_2"] = "all"
    min_heads_per_kv: int = 1


def convert(data: object, kind: type[Struct], where: str) -> Struct:
    """Decode plain data into a record.

    Raises:
        BadInput: with the file and the key's path, one line.
    """
    from ridgeline.errors import BadInput

    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        text = str(error).replace("`$.", "`").replace("Object", "table")
        raise BadInput(f"{where}: {' '.join(text.split())}") from None
