"""A family of kernels: one physical form, constants per measured table, one learned correction.

A *unit* is everything measured of a family on one chip with one backend. It holds several
*tables* (a kernel with its number formats); each has its own constants of the physical form, and
all share one bounded network, which sees the table as one-hot features:

    t = max(floor, form(case, constants of the table) * exp(residual(features)))

All features are relative to the chip (waves, shares of L2, physical terms over launch time), so
that a unit can also speak for a chip that was not measured: the units of chips with the same
generation of matrix instructions are evaluated with the asked chip's own rates, and their
geometric mean is taken. The measurements repeat one input, so small inputs were served from L2;
the cold time is the warm one times form(cold) / form(warm).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import BadInput
from ridgeline.machine.chip import Chip
from ridgeline.timing.kernels.residual import Residual
from ridgeline.timing.kernels.result import Distance, KernelTime
from ridgeline.timing.kernels.store import Entry, Store, calibration_name, family_of, load

Array = NDArray[np.floating[Any]]
Cases = Mapping[str, Any]
Form = Callable[..., dict[str, Any]]
Features = Callable[[Cases, Cases], Sequence[Any]]

UNIT_FORMAT = "*"
# A chip whose catalog entry lacks a number gets a middling one of its kind.
_DEFAULT_L2 = 16e6
_DEFAULT_CORE_RATE = 5e12
_TENSOR_MEMORY_CORE_RATE = 8e12    # a Blackwell SM below this bf16 rate is a workstation part


@dataclass(frozen=True)
class Constant:
    """One constant of a physical form: where the search starts and its range. All positive.

    Names that end in "_time", and "launch", are latencies: on another chip they are taken to
    last as many clock cycles as on the chip they were fitted on.
    """

    name: str
    start: float
    low: float
    high: float

    @property
    def latency(self) -> bool:
        """Whether it is a time that follows the clock."""
        return self.name == "launch" or self.name.endswith("_time")


@dataclass(frozen=True)
class Family:
    """What distinguishes one family of kernels from another.

    Attributes:
        name: of its data file.
        constants: of the physical form, in the order they are stored; one is "launch".
        form: (cases, `warm`, constants, all by keyword) -> terms, with "seconds" and "floor".
        features: (cases, terms) -> columns for the network.
        bound: largest log correction of the network.
        folds: parts in which groups are held out; enough that a held-out fit sees nearly as much
            as the shipped one, or intervals come out too wide.
    """

    name: str
    constants: tuple[Constant, ...]
    form: Form
    features: Features
    bound: float = 1.5
    folds: int = 5


@dataclass(frozen=True)
class Table:
    """One measured table of a unit.

    Attributes:
        fields: what identifies it ("kernel", "dtype", "kv_dtype", "version", ...).
        covers: values it was measured at, by name ("head_dim", "windowed").
        rows: measurements behind it.
        values: constants of the physical form.
        flag: why an engine estimate must not use it, else "".
    """

    fields: Mapping[str, str]
    covers: Mapping[str, Sequence[float]]
    rows: int
    values: Sequence[float]
    flag: str = ""

    def to_json(self) -> dict[str, Any]:
        """The form kept in the data file."""
        return {"fields": dict(self.fields), "rows": self.rows,
                "covers": {k: [float(v) for v in values] for k, values in self.covers.items()},
                "values": [float(f"{v:.5g}") for v in self.values], "flag": self.flag}

    @classmethod
    def from_json(cls, form: Mapping[str, Any]) -> Table:
        """The inverse of `to_json`."""
        return cls(form["fields"], form["covers"], form["rows"], form["values"], form["flag"])


@dataclass(frozen=True)
class Wanted:
    """Which table a case asks for.

    Attributes:
        fields: wanted values in order of weight, the heaviest first; "" where anything goes.
        covers: wanted values of what tables cover.
        measured: reproduce the tables as measured, flagged ones included.
    """

    fields: Mapping[str, str]
    covers: Mapping[str, float]
    measured: bool = False

    def score(self, table: Table) -> float:
        """How well a table fits: fields first, then coverage, then rows."""
        weight, total = 2.0 ** (len(self.fields) + len(self.covers)), 0.0
        for name, value in self.fields.items():
            total += weight * (value == "" or table.fields.get(name) == value)
            weight /= 2
        for name, number in self.covers.items():
            total += weight * _closeness(number, table.covers.get(name, ()))
            weight /= 2
        return total + min(table.rows, 1e6) * 1e-7

    def shared(self, table: Table) -> float:
        """Share of the wanted fields that are the table's own, the heaviest counting most."""
        weights = [2.0**-i for i in range(len(self.fields))]
        hits = (v in ("", table.fields.get(k)) for k, v in self.fields.items())
        return sum(w * h for w, h in zip(weights, hits, strict=True)) / sum(weights)


def _closeness(number: float, known: Sequence[float]) -> float:
    """1 where the value was measured, falling with the log distance to the nearest that was."""
    if not known:
        return 0.0
    return max(1 / (1 + abs(float(np.log2((1 + number) / (1 + k))))) for k in known)


def kernel_class(chip: Chip) -> str:
    """Chips whose matrix instructions are of one generation share kernels.

    Tensor-memory instructions (data-centre Blackwell), warp-group instructions (Hopper), warp
    instructions (the other NVIDIA chips); other vendors by architecture.
    """
    if chip.vendor.lower() != "nvidia":
        return f"{chip.vendor} {family_of(chip.architecture)}".strip()
    family = family_of(chip.architecture).lower()
    rate = chip.peaks.get("bf16", 0.0) / max(chip.n_cores, 1)
    if family == "rubin" or (family == "blackwell" and rate > _TENSOR_MEMORY_CORE_RATE):
        return "tensor-memory"
    return "warp-group" if family == "hopper" else "warp"


def chip_cases(chip: Chip, compute: str) -> dict[str, float]:
    """The chip's side of a case: rates and sizes the physical forms need.

    Args:
        chip: what the kernel runs on.
        compute: number format of the matrix products; 16 bit stands in where it has no rate.

    Raises:
        BadInput: the chip has no matrix rate at all.
    """
    peaks = chip.peaks
    base = peaks.get("bf16") or peaks.get("fp16") or peaks.get("fp32")
    if not base:
        raise BadInput(f"{chip.name} has no bf16, fp16 or fp32 rate to time a kernel with")
    return {"peak": float(peaks.get(compute) or base),
            "fastest_peak": float(max(base, peaks.get("fp8") or 0.0)),
            "memory_bandwidth": float(chip.memory_bandwidth),
            "l2_bytes": float(chip.l2_bytes or _DEFAULT_L2),
            "n_cores": float(chip.n_cores or np.ceil(base / _DEFAULT_CORE_RATE))}


def log2_of(value: Any, least: float = 1e-12) -> Any:
    """log2 of a column, safe at zero."""
    return np.log2(np.maximum(value, least))


def feature_matrix(family: Family, cases: Cases, terms: Cases, which: NDArray[np.integer[Any]],
                   n_tables: int) -> Array:
    """Columns of the network, shape (N, F): the family's, then which table it is."""
    columns = [np.broadcast_to(np.asarray(c, dtype=np.float32), which.shape)
               for c in family.features(cases, terms)]
    hot: Array = np.zeros((len(which), n_tables), dtype=np.float32)
    hot[np.arange(len(which)), which] = 1.0
    return np.concatenate([np.stack(columns, axis=1), hot], axis=1)


def bent(family: Family, values: Array, residual: Residual | None, cases: Cases,
         which: NDArray[np.integer[Any]], warm: bool) -> Array:
    """Seconds of cases, shape (N,), from constants of shape (tables, constants).

    Args:
        family: whose form to use.
        values: constants by table.
        residual: learned correction, or None.
        cases: columns of shape (N,) or scalars, with the chip's numbers.
        which: row of `values` of each case, shape (N,).
        warm: let what fits in L2 come from there, as in the measurements.
    """
    # Cases of one table share its constants as numbers.
    row = int(which[0]) if len(which) and (which == which[0]).all() else which
    constants = {c.name: values[row, i] for i, c in enumerate(family.constants)}
    hot = family.form(**cases, warm=1.0, **constants)
    cold = hot if warm else family.form(**cases, warm=0.0, **constants)
    seconds: Array = np.asarray(cold["seconds"], dtype=float)
    if residual is not None:
        terms = {**hot, "launch": constants["launch"]}
        seconds = seconds * np.exp(residual(
            feature_matrix(family, cases, terms, which, len(values))))
    out: Array = np.maximum(seconds, cold["floor"])
    return out


@dataclass(frozen=True)
class Unit:
    """An entry of the store with its tables decoded."""

    entry: Entry
    tables: tuple[Table, ...]

    @classmethod
    def of(cls, entry: Entry) -> Unit:
        """Decode an entry's tables."""
        return cls(entry, tuple(Table.from_json(t) for t in entry.extra["tables"]))

    def choose(self, wanted: Wanted) -> int | None:
        """Position of the table that fits best; None when all that are there are flagged."""
        allowed = [i for i, t in enumerate(self.tables) if wanted.measured or not t.flag]
        return max(allowed, key=lambda i: wanted.score(self.tables[i]), default=None)

    def seconds(self, family: Family, table: int, cases: Cases, size: int, warm: bool,
                clock: float = 0.0) -> Array:
        """Times of `size` cases by one table, on a chip with that clock (0: the unit's own)."""
        own = float(self.entry.extra.get("clock", 0.0))
        stretch = own / clock if own and clock else 1.0
        values = np.array([t.values for t in self.tables])
        values = values * np.where([c.latency for c in family.constants], stretch, 1.0)
        return bent(family, values, self.entry.residual, cases,
                    np.full(size, table, dtype=np.int64), warm)


Speakers = list[tuple[Unit, int]]


@functools.lru_cache(maxsize=32)
def units_of(store: Store) -> tuple[Unit, ...]:
    """Every unit of a store, decoded once."""
    return tuple(Unit.of(e) for e in map(store.get, store.keys()) if e is not None)


def units_for(store: Store, chip: Chip, backend: str, wanted: Wanted,
              skip: Sequence[str] = ()) -> tuple[Speakers, Distance]:
    """Units that may speak for a case, the nearest kind only, with the table of each.

    Args:
        store: of the family.
        chip, backend: what is asked for.
        wanted: which table.
        skip: chips to leave out (to measure how well the others speak for them).

    Raises:
        BadInput: no units at all.
    """
    target, alike = calibration_name(chip.name), kernel_class(chip)
    every = [u for u in units_of(store) if u.entry.target not in skip]
    kinds: list[tuple[Distance, Callable[[Entry], bool]]] = [
        ("table", lambda e: e.target == target and e.backend == backend),
        ("backend", lambda e: e.target == target),
        ("architecture", lambda e: e.extra["class"] == alike and e.backend == backend),
        ("architecture", lambda e: e.extra["class"] == alike),
        ("pooled", lambda e: e.extra["vendor"] == "NVIDIA" and e.backend == backend),
        ("pooled", lambda e: e.extra["vendor"] == "NVIDIA"),
        ("pooled", lambda e: True)]
    for distance, fits in kinds:
        # A flagged table may reproduce its own measurements; it never speaks for another case.
        seek = wanted if distance == "table" else replace(wanted, measured=False)
        found = [(u, i) for u in every if fits(u.entry) and (i := u.choose(seek)) is not None]
        if not found:
            continue
        if distance == "backend":
            found = [best(found, wanted)]
        found = _closest(found, wanted)
        unit, table = found[0]
        exact = wanted.shared(unit.tables[table]) == 1.0
        return found, "backend" if distance == "table" and not exact else distance
    raise BadInput(f"no {store.family} kernel data")


def best(found: Speakers, wanted: Wanted) -> tuple[Unit, int]:
    """The speaker whose table fits best."""
    return max(found, key=lambda f: wanted.score(f[0].tables[f[1]]))


def _closest(found: Speakers, wanted: Wanted) -> Speakers:
    """Only the units whose tables share the most of the wanted fields."""
    shared = [wanted.shared(u.tables[i]) for u, i in found]
    return [f for f, n in zip(found, shared, strict=True) if n == max(shared)]


def kernel_time(family: Family, chip: Chip, *, backend: str, wanted: Wanted, cases: Cases,
                warm: bool, store: Store | None = None, skip: Sequence[str] = ()) -> KernelTime:
    """Predict cases with the nearest constants there are.

    Args:
        family: the physical form and its features.
        chip, backend: what the kernel runs on and in which engine.
        wanted: which table.
        cases: columns that broadcast together, with the chip's numbers.
        warm: see `bent`.
        store: constants; None: the shipped ones.
        skip: see `units_for`.

    Raises:
        BadInput: sizes that do not broadcast, or no constants at all.
    """
    try:
        shape = np.broadcast_shapes(*(np.shape(v) for v in cases.values()))
    except ValueError:
        raise BadInput("sizes do not broadcast: "
                       + ", ".join(f"{k} {np.shape(v)}" for k, v in cases.items()
                                   if np.ndim(v))) from None
    flat = {k: float(v) if np.ndim(v) == 0 else np.broadcast_to(v, shape).ravel().astype(float)
            for k, v in cases.items()}
    size = int(np.prod(shape, dtype=int))
    found, distance = units_for(store or load(family.name), chip, backend, wanted, skip)
    logs = [np.log(unit.seconds(family, table, flat, size, warm, chip.clock))
            for unit, table in found]
    seconds: Array = np.exp(np.mean(logs, axis=0))
    first, table = found[0]
    quantiles = first.entry.spread(distance)(seconds)
    return KernelTime(seconds.reshape(shape), quantiles.reshape(*shape, -1), distance,
                      note=_note(found, distance, backend) or first.tables[table].flag)


def _note(found: Speakers, distance: Distance, backend: str) -> str:
    """Where the constants come from, when they are not the obvious ones."""
    unit, table = found[0]
    if distance == "table":
        return ""
    if distance == "backend":
        fields = " ".join(v for v in unit.tables[table].fields.values() if v)
        return f"timed like {fields} of {unit.entry.backend}: no such table for {backend}"
    chips = ", ".join(dict.fromkeys(u.entry.target for u, _ in found))
    return f"no measurements on this chip: scaled from {chips}"
