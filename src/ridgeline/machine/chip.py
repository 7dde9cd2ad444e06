"""Chips, links and clusters: what the hardware can do at most, as data."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ridgeline.errors import BadInput
from ridgeline.machine.kernels import KernelTimes, between

# Engines that run on PyTorch's kernels where their own were not measured.
_ON_PYTORCH = ("transformers", "vllm", "sglang")


@dataclass(frozen=True)
class Link:
    """A connection seen from one device.

    Attributes:
        name: as in the catalog ("NVLink 4", "InfiniBand NDR").
        bandwidth: one way, all lanes of one device together [bytes/s].
        latency: one hop, small message [s].
    """

    name: str
    bandwidth: float
    latency: float


@dataclass(frozen=True)
class Chip:
    """One accelerator or processor. Peaks are dense; bandwidth is of one device.

    Attributes:
        name: catalog name ("H100-SXM").
        vendor, architecture: as the field says them ("NVIDIA", "Hopper").
        peaks: FLOP/s (or OP/s) by compute format: fp32, tf32, fp16, bf16, fp8, fp6, fp4, int8,
            int4.
        memory_bytes: nominal device memory [bytes].
        memory_bandwidth: [bytes/s].
        usable_memory_bytes: what the driver reports, when known; may exceed the decimal label
            [bytes].
        l2_bytes, sram_bytes: on-chip memories [bytes], 0 when unknown.
        n_cores: streaming multiprocessors or cores, 0 when unknown.
        clock: boost clock [Hz], 0 when unknown.
        tdp: board power [W], 0 when unknown.
        scale_up, domain_size: link inside a scale-up domain and how many chips share it.
        scale_out: share of the network of one device.
        host: link to the host's memory.
        usd_per_hour: (low, high) rent of one device, or None.
        levels: (working set, bandwidth) of a measured machine, its caches included [bytes,
            bytes/s].
        kernels: by engine, what was measured of its own kernels.
    """

    name: str
    vendor: str
    architecture: str
    peaks: Mapping[str, float] = field(hash=False)
    memory_bytes: float
    memory_bandwidth: float
    year: int = 0
    kind: str = "gpu"
    usable_memory_bytes: float | None = None
    l2_bytes: float = 0.0
    sram_bytes: float = 0.0
    n_cores: int = 0
    clock: float = 0.0
    tdp: float = 0.0
    scale_up: Link | None = None
    domain_size: int = 1
    scale_out: Link | None = None
    host: Link | None = None
    usd_per_hour: tuple[float, float] | None = None
    source: str = ""
    confidence: str = ""
    notes: tuple[str, ...] = field(default=())
    levels: tuple[tuple[float, float], ...] = ()
    kernels: Mapping[str, KernelTimes] = field(default_factory=dict, hash=False)

    def kernels_of(self, engine: str) -> KernelTimes | None:
        """Measured kernels that an engine runs, None where there are none."""
        return self._far.get(engine) or (
            self._far.get("transformers") if engine in _ON_PYTORCH else None)

    @functools.cached_property
    def _far(self) -> dict[str, KernelTimes]:
        """Kernels of models that no cache holds, unless a size was asked for."""
        return {name: kernels.holding(math.inf) for name, kernels in self.kernels.items()}

    def holding(self, set_bytes: float) -> Chip:
        """The chip as a model of so many bytes of weights meets it: caches may hold it.

        Bandwidth and kernels are those measured with such a working set; without measured levels
        nothing changes.
        """
        if not self.levels or set_bytes <= 0:
            return self
        sizes, rates = zip(*self.levels, strict=True)
        rate = between([math.log(s) for s in sizes], rates, math.log(set_bytes))
        return dataclasses.replace(
            self, memory_bandwidth=rate, levels=(),
            kernels={name: k.holding(set_bytes) for name, k in self.kernels.items()})

    def peak(self, compute: str) -> float:
        """Dense peak of a compute format [FLOP/s].

        Raises:
            BadInput: the chip has no such matrix rate.
        """
        try:
            return self.peaks[compute]
        except KeyError:
            raise BadInput(f"{self.name} has no {compute} matrix rate; it has: "
                           + ", ".join(self.peaks)) from None

    def rate(self, compute: str) -> float:
        """Peak of a compute format, or of 16 or 32 bit where the chip lacks it [FLOP/s].

        Raises:
            BadInput: the chip has no rate for 16 bits or wider.
        """
        for name in (compute, "bf16", "fp16", "fp32"):
            if name in self.peaks:
                return self.peaks[name]
        return self.peak(compute)

    def ridge(self, compute: str) -> float:
        """Arithmetic intensity at which memory and compute take equally long [FLOP/byte]."""
        return self.peak(compute) / self.memory_bandwidth


@dataclass(frozen=True)
class Cluster:
    """A number of equal chips and the links between them.

    Two chips in one scale-up domain talk over `scale_up`; chips of different domains over
    `scale_out`.
    """

    chip: Chip
    n_chips: int
    domain_size: int
    scale_up: Link | None
    scale_out: Link | None

    @classmethod
    def of(cls, chip: Chip, n_chips: int = 1, domain_size: int | None = None) -> Cluster:
        """A cluster with the chip's own links and domain.

        Raises:
            BadInput: fewer than one chip.
        """
        if n_chips < 1:
            raise BadInput(f"a machine needs at least 1 chip, not {n_chips}")
        return cls(chip, n_chips, min(domain_size or chip.domain_size, n_chips),
                   chip.scale_up, chip.scale_out)

    def link(self, group: int) -> Link:
        """The slowest link that a group of `group` neighbouring chips has to use.

        Raises:
            BadInput: the chip has no such link in the catalog.
        """
        inside = group <= self.domain_size
        link = self.scale_up if inside else self.scale_out
        if link is None:
            kind = "scale-up link" if inside else "network link"
            raise BadInput(f"{self.chip.name} has no {kind} in the catalog, "
                           f"needed for a group of {group}")
        return link
