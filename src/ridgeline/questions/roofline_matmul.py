"""At what batch does one matmul stop waiting for memory? X[B, D] @ W[D, F] -> Z[B, F]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput
from ridgeline.explain.derivation import Derivation, Given, derive
from ridgeline.quantity import Quantity, check_positive, format_si
from ridgeline.questions.answer import Answer, Table, Value, levers_table
from ridgeline.timing import bounds
from ridgeline.work import matmul_roofline as formulas
from ridgeline.work import matmul_sharding as sharding

if TYPE_CHECKING:
    from ridgeline.machine.chip import Chip
    from ridgeline.report.figure import Figure

__all__ = ["matmul_figure", "roofline_matmul"]

# Largest batch drawn when no batch is ever compute-bound.
_WIDEST_BATCH = 65536.0
# Levers below this gain are not worth a line.
_LEAST_GAIN = 1.02


@dataclass(frozen=True)
class _Case:
    """The matmul of one chip with every name resolved.

    `d_in` is the whole contracted width; `n_chips` share it.
    """

    chip: Chip
    compute: str
    d_in: float
    d_out: float
    bytes_in: float
    bytes_weight: float
    bytes_out: float
    groups: float
    per_example: bool
    n_chips: int
    network_bandwidth: float

    @property
    def ridge(self) -> float:
        return self.chip.ridge(self.compute)

    @property
    def widths(self) -> dict[str, float]:
        """Widths on one chip and bytes of an element, as the formulas call them."""
        return {"d_in": self.d_in / self.n_chips, "d_out": self.d_out, "bytes_in": self.bytes_in,
                "bytes_weight": self.bytes_weight, "bytes_out": self.bytes_out}

    def intensity(self, batch: float) -> float:
        """Operations for each byte of memory traffic on one chip [FLOP/B]."""
        if self.per_example:
            return float(formulas.per_example_intensity(**self.widths))
        return float(formulas.grouped_matmul_intensity(batch_size=batch, n_groups=self.groups,
                                                       **self.widths))

    def flop(self, batch: float) -> float:
        """Operations of one chip [FLOP]."""
        return float(sharding.sharded_matmul_flop(batch_size=batch, d_in=self.d_in,
                                                  d_out=self.d_out, n_chips=self.n_chips))

    def times(self, batch: float) -> dict[str, float]:
        """Seconds in compute, memory and network."""
        flop = self.flop(batch)
        found = {
            "compute": bounds.compute_time(flop=flop,
                                           peak_flops_per_s=self.chip.peak(self.compute)),
            "memory": bounds.memory_time(memory_bytes=flop / self.intensity(batch),
                                         memory_bandwidth=self.chip.memory_bandwidth)}
        if self.n_chips > 1:
            found["network"] = sharding.sharded_network_bytes(
                batch_size=batch, d_out=self.d_out, bytes_out=self.bytes_out,
                n_chips=self.n_chips) / self.network_bandwidth
        return {name: float(seconds) for name, seconds in found.items()}

    def critical_exact(self) -> float:
        """Batch at which compute takes as long as memory; inf when it never does."""
        if self.per_example:
            return 1.0 if self.intensity(1.0) >= self.ridge else math.inf
        one = formulas.critical_batch_exact(ridge=self.ridge, **self.widths)
        return float(formulas.grouped_critical_batch(n_groups=self.groups, critical_batch=one))

    def critical_asymptotic(self) -> float:
        """The same for very wide layers."""
        if self.per_example:
            limit = formulas.per_example_intensity_limit(bytes_weight=self.bytes_weight)
            return 1.0 if limit >= self.ridge else math.inf
        one = formulas.critical_batch_asymptotic(ridge=self.ridge, bytes_weight=self.bytes_weight)
        return float(formulas.grouped_critical_batch(n_groups=self.groups, critical_batch=one))

    def limit(self) -> float:
        """Intensity with unlimited batch [FLOP/B]."""
        if self.per_example:
            return self.intensity(1.0)
        widths = {k: v for k, v in self.widths.items() if k != "bytes_weight"}
        return float(formulas.grouped_matmul_limit(**widths))


def roofline_matmul(*, batch_size: float | None = None, d_in: float, d_out: float, chip: Chip,
                    formats: Sequence[str] = ("bf16", "bf16", "bf16"), compute: str | None = None,
                    groups: int = 1, per_example: bool = False, sharded: int | None = None,
                    network_bandwidth: float | None = None) -> Answer:
    """What bounds one matmul, and from which batch on it is compute-bound.

    Args:
        batch_size: rows B; None: answer at the first compute-bound batch.
        d_in, d_out: contracted width D and output width F.
        chip: the device.
        formats: number formats of input, weights and output.
        compute: peak that runs it; None: that of the wider operand.
        groups: groups of rows with weights of their own (experts); B counts all rows.
        per_example: every row has its own weights.
        sharded: chips that share the contraction and all-reduce the partial sums.
        network_bandwidth: one-way link of one chip [bytes/s]; None: the catalog's.

    Returns:
        an Answer with critical_batch_exact, critical_batch_asymptotic, critical_batch_integer
        (first whole batch at or above the exact one), intensity_flop_per_byte,
        ridge_flop_per_byte, t_math_s, t_memory_s, lower_bound_s, upper_bound_s, verdict; with
        `sharded` also t_network_s and critical_d_in. Numbers are of one chip.

    Raises:
        BadInput: a size that is not positive, options that exclude each other, a format or link
            the chip does not have.
    """
    case = _case(d_in=d_in, d_out=d_out, chip=chip, formats=formats, compute=compute,
                 groups=groups, per_example=per_example, sharded=sharded,
                 network_bandwidth=network_bandwidth)
    if batch_size is not None:
        check_positive(batch_size=batch_size)
    if batch_size is not None:
        check_positive(batch_size=batch_size)
    exact = case.critical_exact()
    first = math.ceil(exact) if math.isfinite(exact) else math.inf
    batch = float(batch_size or first)
    notes = ["Peaks are dense and efficiencies 1: no run is faster than the lower bound; the upper "
             "bound has nothing overlap."]
    if math.isfinite(batch):
        at_batch, levers = _at_batch(case, batch), _levers(case, batch, exact)
        if batch_size is None:
            notes.append(f"Times are at batch {batch:,.0f}, the first that is compute-bound.")
    else:
        at_batch, levers = {"bound": "memory"}, ()
    scenario = {"batch_size": batch_size, "d_in": d_in, "d_out": d_out, "chip": chip.name,
                "formats": list(formats), "compute": case.compute, "groups": groups,
                "per_example": per_example, "sharded": sharded,
                "network_bandwidth_bytes_per_s": case.network_bandwidth or None}
    quantities: dict[str, Value] = {"verdict": _verdict(case, batch, exact),
                                    **_critical(case, exact, first), **at_batch}
    return Answer("roofline_matmul", scenario, quantities, tables=levers, notes=tuple(notes),
                  derivation=_derivations(case, batch, formats))


def _case(*, d_in: float, d_out: float, chip: Chip, formats: Sequence[str], compute: str | None,
          groups: int, per_example: bool, sharded: int | None,
          network_bandwidth: float | None) -> _Case:
    """Check the arguments and look the names up."""
    from ridgeline.formats import compute_format, get_format
    from ridgeline.machine.chip import Cluster

    check_positive(d_in=d_in, d_out=d_out, groups=groups)
    if len(formats) != 3:
        raise BadInput(f"a matmul has 3 formats (input, weights, output), not {len(formats)}")
    if per_example and groups != 1:
        raise BadInput("per_example already gives every row its own weights; leave groups at 1")
    n_chips = 1 if sharded is None else sharded
    if n_chips < 1 or n_chips > d_in:
        raise BadInput(f"sharded is {n_chips}; the width {d_in:g} can be shared by 1 to "
                       f"{d_in:g} chips")
    bandwidth = network_bandwidth or 0.0
    if network_bandwidth is not None:
        check_positive(network_bandwidth=network_bandwidth)
    elif n_chips > 1:
        bandwidth = Cluster.of(chip, n_chips).link(n_chips).bandwidth
    source, weight, result = (get_format(name) for name in formats)
    rate = compute or compute_format(weight, chip, source)
    chip.peak(rate)
    return _Case(chip, rate, float(d_in), float(d_out), source.bytes, weight.bytes, result.bytes,
                 float(groups), per_example, n_chips, bandwidth)


def _critical(case: _Case, exact: float, first: float) -> dict[str, Value]:
    found: dict[str, Value] = {
        "critical_batch_exact": Quantity.exact(exact, "1"),
        "critical_batch_asymptotic": Quantity.exact(case.critical_asymptotic(), "1"),
        "critical_batch_integer": Quantity.exact(first, "1"),
        "ridge_flop_per_byte": Quantity.exact(case.ridge, "FLOP/B", "datasheet"),
        "intensity_limit_flop_per_byte": Quantity.exact(case.limit(), "FLOP/B")}
    if case.n_chips > 1:
        found["critical_d_in"] = Quantity.exact(float(sharding.critical_d_in_sharded(
            peak_flops_per_s=case.chip.peak(case.compute), bytes_out=case.bytes_out,
            network_bandwidth=case.network_bandwidth, n_chips=case.n_chips)), "1")
    return found


def _at_batch(case: _Case, batch: float) -> dict[str, Value]:
    times, flop, intensity = case.times(batch), case.flop(batch), case.intensity(batch)
    low, high = max(times.values()), sum(times.values())
    found: dict[str, Value] = {
        "bound": _bound(times), "batch_size": Quantity.exact(batch, "1"),
        "flop": Quantity.exact(flop, "FLOP"),
        "memory_bytes": Quantity.exact(flop / intensity, "B"),
        "intensity_flop_per_byte": Quantity.exact(intensity, "FLOP/B"),
        "attainable_flop_per_s": Quantity.exact(flop / low, "FLOP/s"),
        "t_math_s": Quantity.exact(times["compute"], "s"),
        "t_memory_s": Quantity.exact(times["memory"], "s")}
    if "network" in times:
        found["t_network_s"] = Quantity.exact(times["network"], "s")
    return found | {"lower_bound_s": Quantity.exact(low, "s"),
                    "upper_bound_s": Quantity.exact(high, "s")}


def _bound(times: dict[str, float]) -> str:
    """The longest of the times; equal ones count as compute."""
    slowest = max(times.values())
    return next(name for name in ("compute", "memory", "network")
                if times.get(name, 0.0) >= slowest * (1 - 1e-12))


def _verdict(case: _Case, batch: float, exact: float) -> str:
    """One sentence: what bounds it, by how much, and where that changes."""
    ridge = format_si(case.ridge, "FLOP/B")
    if math.isinf(exact):
        why = ("the batch does not change its intensity of" if case.per_example
               else "even an unlimited batch reaches only")
        return (f"never compute-bound: {why} {format_si(case.limit(), 'FLOP/B')}, "
                f"below the ridge of {ridge}")
    times = case.times(batch)
    bound = _bound(times)
    if bound == "compute":
        return f"compute-bound at batch {batch:,.6g}: the turning point is {exact:,.5g}"
    # The all-reduce and the arithmetic both grow with the batch: their ratio does not change.
    network = times.get("network", 0.0) / times["compute"]
    never = f"the all-reduce takes {network:.3g} times as long as the arithmetic at every batch"
    if bound == "network":
        return f"network-bound at batch {batch:,.6g}: {never}"
    then = f"never compute-bound: {never}" if network > 1 else (
        f"compute-bound from batch {math.ceil(exact):,}")
    return (f"memory-bound at batch {batch:,.6g}: its intensity is "
            f"{case.ridge / case.intensity(batch):.3g} times below the ridge of {ridge}; {then}")


def _levers(case: _Case, batch: float, exact: float) -> tuple[Table, ...]:
    """What would raise the rate of operations, and what it costs."""
    from dataclasses import replace

    now = max(case.times(batch).values())
    rows: list[tuple[str, float, str]] = []
    half = max(replace(case, bytes_weight=case.bytes_weight / 2).times(batch).values())
    rows.append(("weights of half the bytes", now / half, "accuracy to check"))
    if math.isfinite(exact) and batch < exact:
        larger = float(math.ceil(exact))
        later = max(case.times(larger).values())
        rows.append((f"batch {larger:,.0f}", (larger / later) / (batch / now),
                     f"each step takes {later / now:.3g} times as long"))
    peak, best = case.chip.peak(case.compute), max(case.chip.peaks, key=case.chip.peak)
    if case.chip.peak(best) > peak:
        faster = max(replace(case, compute=best).times(batch).values())
        rows.append((f"multiply in {best}", now / faster, "both operands in that format"))
    rows = [row for row in rows if row[1] > _LEAST_GAIN]
    return (levers_table(rows),) if rows else ()


def _derivations(case: _Case, batch: float, formats: Sequence[str]) -> tuple[Derivation, ...]:
    """Ridge, critical batch and intensity, with where each input came from."""
    sheet = f"catalog entry of {case.chip.name}"
    peak = Given(case.chip.peak(case.compute), "datasheet", sheet)
    found = [derive(bounds.ridge_point, {
        "peak_flops_per_s": peak,
        "memory_bandwidth": Given(case.chip.memory_bandwidth, "datasheet", sheet)})]
    names = dict(zip(("bytes_in", "bytes_weight", "bytes_out"), formats, strict=True))
    widths: dict[str, Any] = {
        name: Given(value, "derived", f"number format {names[name]}") if name in names
        else Given(value, "assumed", f"1/{case.n_chips} of it on each chip"
                   if name == "d_in" and case.n_chips > 1 else "")
        for name, value in case.widths.items()}
    if case.per_example:
        return (*found, derive(formulas.per_example_intensity, widths))
    ridge = Given(case.ridge, "derived", "ridge_point")
    found.append(derive(formulas.critical_batch_exact, {"ridge": ridge, **widths}))
    found.append(derive(formulas.critical_batch_asymptotic,
                        {"ridge": ridge, "bytes_weight": widths["bytes_weight"]}))
    if math.isfinite(batch):
        found.append(derive(formulas.grouped_matmul_intensity, {
            "batch_size": batch, "n_groups": case.groups, **widths}))
    return tuple(found)


def matmul_figure(*, chip: Chip, batch_size: float | None = None, **options: Any) -> Figure:
    """Attainable rate against the batch, with the chip's peak and the turning point.

    Args:
        chip: the device.
        batch_size: the batch to mark; None: only the turning point.
        options: as for `roofline_matmul`.

    Raises:
        BadInput: as `roofline_matmul`.
    """
    from ridgeline.report.figure import Axis, Figure, Line, Scatter

    defaults: dict[str, Any] = {"formats": ("bf16",) * 3, "compute": None, "groups": 1,
                                "per_example": False, "sharded": None, "network_bandwidth": None}
    case = _case(chip=chip, **{**defaults, **options})
    exact = case.critical_exact()
    end = max(4 * exact if math.isfinite(exact) else _WIDEST_BATCH, 2 * (batch_size or 1.0))
    batches = [2.0 ** (i / 8) for i in range(int(8 * math.log2(end)) + 1)]
    marked = [b for b in (exact, batch_size) if b is not None and math.isfinite(b)]
    batches = sorted({*batches, *marked})

    def rate(batch: float) -> float:
        return case.flop(batch) / max(case.times(batch).values())

    peak = chip.peak(case.compute)
    dots = Scatter(marked, [rate(b) for b in marked], name="turning point and batch", size=9,
                   hover=[f"batch {b:,.5g}: {format_si(rate(b), 'FLOP/s')}" for b in marked])
    roof = Line([batches[0], batches[-1]], [peak, peak], dash=True, color="#333333",
                name=f"{chip.name} {case.compute} {format_si(peak, 'FLOP/s')}")
    curve = Line(batches, [rate(b) for b in batches], name="attainable")
    return Figure(f"Matmul {case.d_in:g} x {case.d_out:g} on {chip.name}",
                  Axis("Batch", "1", log=True), Axis("Attainable rate of one chip", "FLOP/s",
                                                     log=True), (roof, curve, dots))
