"""One family of kernels as the rest sees it: a physical form, its features, its floor.

A family (GEMM, MoE, ...) supplies three functions; prediction, fitting and intervals are shared.
Law of the house: a prediction is never below the floor the family states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.machine.chip import Chip
from ridgeline.timing.kernels.result import Distance, KernelTime
from ridgeline.timing.kernels.store import EAGER, Entry, Store, kernel_family

Array = NDArray[np.floating[Any]]
Cases = Mapping[str, NDArray[Any]]
REFERENCE_CLOCK = 1.83e9


@dataclass(frozen=True)
class Constant:
    """First guess and allowed range of one constant of a physical form."""

    start: float
    low: float
    high: float


@dataclass(frozen=True)
class Family:
    """What a family of kernels must supply.

    Attributes:
        name: of its data file.
        constants: by name, in the order they are fitted. All positive.
        physical: (chip, format, constants, cases, warm) -> seconds, shape (N,).
        features: (chip, format, constants, cases) -> inputs of the residual, shape (N, F).
        floor: (chip, format, cases, warm) -> least seconds, shape (N,).
        group: columns of the cases that make a shape group, held out together.
        with_kin: whether times in servers, whose shapes are seldom those of the tables, are
            halfway (in log) between what the chip's own rows and those of its whole family say:
            their corrections err differently where neither was measured.
    """

    name: str
    constants: Mapping[str, Constant]
    physical: Callable[[Chip, str, Mapping[str, float], Cases, bool], Array]
    features: Callable[[Chip, str, Mapping[str, float], Cases], Array]
    floor: Callable[[Chip, str, Cases, bool], Array]
    group: Sequence[str]
    with_kin: bool = False


def evaluate(family: Family, entry: Entry, chip: Chip, format: str, cases: Cases,
             warm: bool) -> Array:
    """Seconds of an entry's constants on a chip, at least the floor, shape (N,)."""
    format = entry.extra.get("format", format)
    seconds = family.physical(chip, format, entry.constants, cases, warm)
    if entry.residual is not None:
        seconds = seconds * np.exp(
            entry.residual(family.features(chip, format, entry.constants, cases)))
    least: Array = np.maximum(seconds, family.floor(chip, format, cases, warm))
    return least


def kernel_time(family: Family, store: Store, chip: Chip, *, formats: Sequence[str],
                backend: str, cases: Mapping[str, Any], warm: bool) -> KernelTime:
    """Predicted times of any broadcastable cases, with intervals and the distance.

    Args:
        family: what kernel.
        store: its constants.
        chip: what it runs on.
        formats: the format wanted, then those whose kernels may stand in.
        backend: engine whose kernels run.
        cases: the family's columns, scalars or arrays.
        warm: predict what kernel benchmarks measure (see `gemm.gemm_time`).
    Raises:
        BadInput: no constants for any of the formats.
    """
    names = list(cases)
    columns = np.broadcast_arrays(*(np.asarray(cases[name]) for name in names))
    shape = columns[0].shape
    flat = {name: column.ravel() for name, column in zip(names, columns, strict=True)}
    entry, distance = _find(store, chip, formats, backend, warm)
    seconds = evaluate(family, entry, chip, formats[0], flat, warm)
    if family.with_kin and not warm and distance == "table":
        kin = store.get(("architecture", kernel_family(chip), entry.backend, entry.format))
        if kin is not None:
            seconds = np.sqrt(seconds * evaluate(family, kin, chip, formats[0], flat, warm))
    quantiles = entry.spread(distance)(seconds)
    return KernelTime(seconds.reshape(shape), quantiles.reshape(*shape, -1), distance,
                      note=_note(entry, distance, formats[0], backend))


def _find(store: Store, chip: Chip, formats: Sequence[str], backend: str, warm: bool
          ) -> tuple[Entry, Distance]:
    # A benchmark table taken without CUDA graphs is matched as it was measured; an engine that
    # captures its steps runs the bare kernel, so there the nearest sane backend answers.
    if warm and store.holds(backend + EAGER, formats[0]):
        return store.find(chip, backend + EAGER, formats)
    return store.find(chip, backend, formats)


def _note(entry: Entry, distance: Distance, format: str, backend: str) -> str:
    said = [entry.note] if entry.note else []
    if distance == "backend" and not backend.endswith(EAGER):
        said.append(f"no {backend} table for {format} on this chip; {entry.backend} kernels used")
    if entry.format != format:
        said.append(f"timed as {entry.format}")
    return "; ".join(said)


def latency_scale(chip: Chip) -> float:
    """Launch and pipeline latencies are cycles: the reference clock over the chip's."""
    return REFERENCE_CLOCK / chip.clock if chip.clock else 1.0


def with_latency(chip: Chip, constants: Mapping[str, float], *names: str) -> dict[str, float]:
    """The constants with the named latencies scaled to the chip's clock."""
    scale = latency_scale(chip)
    return {k: v * scale if k in names else v for k, v in constants.items()}
