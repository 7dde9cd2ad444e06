"""Fits the constants of a kernel family: per table, per architecture, over all chips.

A table is what was measured on one chip with one backend and format. Each gets its own physical
constants and correction; every architecture and the whole set get pooled ones, which is what a
chip without a table of its own is answered with. Interval widths come from predictions of rows
the constants never saw: other shape groups ("table"), another backend ("backend"), a chip left
out ("architecture"), a whole architecture left out ("pooled").
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.machine.chip import Chip
from ridgeline.measure.fit.fitting import (
    Rows,
    Training,
    conformal,
    errors,
    fit_physical,
    group_folds,
    group_ids,
    take,
    thin,
    train_residual,
)
from ridgeline.timing.kernels.predict import Family, evaluate
from ridgeline.timing.kernels.residual import Spread
from ridgeline.timing.kernels.store import ANY, EAGER, Entry, content, kernel_family

Array = NDArray[np.floating[Any]]
OWN = Training(hidden=(32, 32), steps=5000, bound=1.2)
OWN_FOLD = replace(OWN, steps=3000)
POOLED = Training(hidden=(24, 24), steps=3000, bound=1.0)
_FOLDS = 3
_PART_ROWS = 20_000
_POOL_ROWS = 150_000
_FEWEST_ROWS = 60      # for a learned correction


@dataclass(frozen=True)
class Measured:
    """One table: what one chip did with one backend and format.

    Attributes:
        chip: from the catalog. target: its name in the measurements.
        backend, format, version: what ran; `compute` is the format whose forms apply.
        rows: the family's columns, shape (N,). seconds: measured, shape (N,).
        note: what a user of these constants should know.
    """

    chip: Chip
    target: str
    backend: str
    format: str
    version: str
    rows: Rows
    seconds: Array
    note: str = ""
    compute: str = ""

    @property
    def form_format(self) -> str:
        """The format name given to the physical form."""
        return self.compute or self.format

    @property
    def label(self) -> str:
        """For tables of errors."""
        return f"{self.target} {self.backend} {self.format}"

    def pick(self, index: NDArray[Any]) -> Measured:
        """The chosen rows."""
        return replace(self, rows=take(self.rows, index), seconds=self.seconds[index])

    def thinned(self, most: int) -> Measured:
        """At most `most` rows, by a fixed mix."""
        if len(self.seconds) <= most:
            return self
        return self.pick(thin({"i": np.arange(len(self.seconds))}, most)["i"])


@dataclass(frozen=True)
class Check:
    """Held-out predictions of one table at one distance."""

    label: str
    distance: str
    predicted: Array
    measured: Array
    groups: NDArray[Any]


def fit_pool(family: Family, parts: Sequence[Measured], how: Training) -> Entry:
    """Constants and correction that serve several tables at once (or one).

    Every table weighs the same, whatever its length.
    """
    parts = [p.thinned(min(_PART_ROWS, _POOL_ROWS // len(parts))) for p in parts]
    constants = _physical(family, parts)
    inputs, targets, weights = [], [], []
    for p in parts:
        base = family.physical(p.chip, p.form_format, constants, p.rows, True)
        inputs.append(family.features(p.chip, p.form_format, constants, p.rows))
        targets.append(np.log(p.seconds / base))
        weights.append(np.full(len(base), 1.0 / len(base)))
    weight = np.concatenate(weights) if len(parts) > 1 else None
    target = np.concatenate(targets)
    net = None if len(target) < _FEWEST_ROWS else train_residual(
        np.concatenate(inputs), target, _sized(how, len(target)), weight)
    first = parts[0]
    extra = {"format": first.compute} if first.compute else {}
    return Entry("chip", first.target, first.backend, first.format, first.version, constants,
                 net, {}, sum(len(p.seconds) for p in parts), first.note, extra)


def _sized(how: Training, n_rows: int) -> Training:
    # A small table cannot carry a wide network.
    return how if n_rows >= 1500 else replace(
        how, hidden=(12, 12) if n_rows >= 300 else (6, 6), steps=min(how.steps, 2000))


def _physical(family: Family, parts: Sequence[Measured]) -> dict[str, float]:
    names = list(family.constants)
    few = [p.thinned(max(300, 6000 // len(parts))) for p in parts]
    few = [p.thinned(2500) for p in few]
    seconds = np.concatenate([p.seconds for p in few])

    def form(logs: Array, _: Rows) -> Array:
        constants = dict(zip(names, np.exp(logs), strict=True))
        return np.concatenate([
            family.physical(p.chip, p.form_format, constants, p.rows, True) for p in few])

    limits = list(family.constants.values())
    found = fit_physical(form, {}, seconds, [float(np.log(c.start)) for c in limits],
                         [(float(np.log(c.low)), float(np.log(c.high))) for c in limits],
                         most=len(seconds))
    return {name: float(f"{np.exp(v):.6g}") for name, v in zip(names, found, strict=True)}


def predicted(family: Family, entry: Entry, table: Measured) -> Array:
    """What an entry says of a table's rows, as the benchmark measured them."""
    return evaluate(family, entry, table.chip, table.form_format, table.rows, True)


def groups_of(family: Family, table: Measured) -> NDArray[Any]:
    """Shape group of each row."""
    return group_ids(*(table.rows[name] for name in family.group))


def check_groups(family: Family, table: Measured, how: Training) -> Check:
    """Predictions of shape groups the fit never saw."""
    groups = groups_of(family, table)
    folds, out = group_folds(groups, _FOLDS), np.empty(len(table.seconds))
    for fold in range(_FOLDS):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if len(outside):
            entry = fit_pool(family, [table.pick(inside)], how)
            out[outside] = predicted(family, entry, table.pick(outside))
    return Check(table.label, "table", out, table.seconds, groups)


def check_without(family: Family, table: Measured, others: Sequence[Measured],
                  distance: str, how: Training) -> Check:
    """Predictions of a table by constants pooled over others."""
    few = table.thinned(3000)
    entry = fit_pool(family, [o.thinned(4000) for o in others],
                     replace(how, steps=how.steps * 2 // 3))
    return Check(table.label, distance, predicted(family, entry, few), few.seconds,
                 groups_of(family, few))


@dataclass(frozen=True)
class How:
    """How the networks of a family are trained, and whose residuals set the table intervals.

    Attributes:
        own, fold, pooled: of a table, of a table's check, of pooled constants.
        shared: interval widths of a table come from all tables of its format: for families
            whose tables hold only a few shape groups each.
    """

    own: Training = OWN
    fold: Training = OWN_FOLD
    pooled: Training = POOLED
    shared: bool = False


_FEWEST_GROUPS = 3


def fit_tables(family: Family, tables: Sequence[Measured],
               say: Callable[[str], None] = lambda _: None, how: How | None = None
               ) -> tuple[list[Entry], list[Check]]:
    """Every entry of a family's data file and the held-out predictions behind its intervals."""
    how = how or How()
    entries: list[Entry] = []
    checks: list[Check] = []
    for table in tables:
        entry = fit_pool(family, [table], how.own)
        if len(np.unique(groups_of(family, table))) >= _FEWEST_GROUPS:
            check = check_groups(family, table, how.fold)
            checks.append(check)
            say(f"{table.label}: {_line(check)}")
            if not how.shared:
                entry = replace(entry, spreads={"table": _spread(check)})
        entries.append(entry)
    checks += _backend_checks(family, tables, entries)
    for scope, target, members in _pools(tables):
        pooled, more = _fit_pooled(family, scope, target, members, how.pooled)
        entries.append(pooled)
        checks += more
        say(f"{scope} {target} {pooled.backend} {pooled.format}: "
            + "; ".join(f"{c.label} {_line(c)}" for c in more))
    return with_far_spreads(entries, checks), checks


def _spread(check: Check) -> Spread:
    return conformal(np.log(check.measured / check.predicted), check.predicted)


def _line(check: Check) -> str:
    e = errors(check.predicted, check.measured)
    return f"{100 * e.median_ape:.1f} % bias {100 * e.bias:+.1f} %"


def _backend_checks(family: Family, tables: Sequence[Measured], entries: Sequence[Entry]
                    ) -> list[Check]:
    """Each table by the constants of another backend on the same chip."""
    out = []
    for table in tables:
        others = [e for e in entries if e.target == table.target and e.format == table.format
                  and e.backend != table.backend
                  and not (e.backend + table.backend).count(EAGER)]
        for other in others:
            few = table.thinned(1500)
            out.append(Check(table.label, "backend", predicted(family, other, few), few.seconds,
                             groups_of(family, few)))
    return out


def _pools(tables: Sequence[Measured]) -> Iterable[tuple[str, str, list[Measured]]]:
    """(scope, target, members) of every pooled entry: by architecture, then over all.

    A table whose kernels compute in another format than their name says speaks for itself only.
    """
    tables = [t for t in tables if not t.compute]
    keys = sorted({(t.backend, t.format) for t in tables})
    for backend, format in keys:
        same = [t for t in tables if (t.backend, t.format) == (backend, format)]
        for arch in sorted({kernel_family(t.chip) for t in same}):
            yield "architecture", arch, [t for t in same if kernel_family(t.chip) == arch]
        yield "all", ANY, same


def _fit_pooled(family: Family, scope: str, target: str, members: list[Measured],
                how: Training) -> tuple[Entry, list[Check]]:
    entry = fit_pool(family, members, how)
    entry = replace(entry, scope=scope, target=target, version="", extra={})
    checks = []
    for table in members:
        arch = kernel_family(table.chip)
        near = scope == "architecture"
        others = [t for t in members if t.target != table.target
                  and (near or kernel_family(t.chip) != arch)]
        if others:
            checks.append(check_without(family, table, others,
                                        "architecture" if near else "pooled", how))
    return entry, checks


def with_far_spreads(entries: Sequence[Entry], checks: Sequence[Check]) -> list[Entry]:
    """Entries with the interval widths of every distance they may be asked at.

    Widths at a distance are those over all tables of the format; a format with too few tables
    takes those of every format, and a distance nothing was checked at takes the next nearer one,
    doubled.
    """
    out = []
    for entry in entries:
        spreads: dict[str, Spread] = dict(entry.spreads)
        last: Spread | None = None
        for distance in ("table", "backend", "architecture", "pooled"):
            found = spreads.get(distance) or _far(checks, entry.format, distance)
            if found is None and last is not None:
                found = last.widened(2.0)
            if found is not None:
                spreads[distance] = last = found
        out.append(replace(entry, spreads=spreads))
    return out


def _far(checks: Sequence[Check], format: str, distance: str) -> Spread | None:
    at = [c for c in checks if c.distance == distance]
    same = [c for c in at if c.label.split()[-1] == format]
    chosen = same if len(same) >= 3 else at
    if not chosen:
        return None
    # Each table weighs alike: one chip's many rows must not set the width for all.
    few = [thin({"p": c.predicted, "e": np.log(c.measured / c.predicted)}, 500) for c in chosen]
    return conformal(np.concatenate([f["e"] for f in few]),
                     np.concatenate([f["p"] for f in few]))


def report(checks: Sequence[Check], shared: bool = False) -> dict[str, Any]:
    """Errors by distance and by table, with the coverage of intervals set on other groups.

    Args:
        checks: held-out predictions.
        shared: whether table intervals are set over all tables of a format.
    """
    out: dict[str, Any] = {}
    for distance in dict.fromkeys(c.distance for c in checks):
        at = [c for c in checks if c.distance == distance]
        inside = _covered_together(at) if shared or distance != "table" else [
            covered(c) for c in at]
        by = {c.label: _summary([c], [i]) for c, i in zip(at, inside, strict=True)}
        out[distance] = {**_summary(at, inside), "by_table": {} if distance == "backend" else by}
    return out


def _summary(checks: Sequence[Check], inside: Sequence[NDArray[Any]]) -> dict[str, float]:
    guess = np.concatenate([c.predicted for c in checks])
    truth = np.concatenate([c.measured for c in checks])
    e = errors(guess, truth)
    return {"n": e.rows, "median_ape_pct": round(100 * e.median_ape, 2),
            "p90_ape_pct": round(100 * e.p90_ape, 2), "bias_pct": round(100 * e.bias, 2),
            "coverage80_pct": round(100 * float(np.mean(np.concatenate(inside))), 1)}


def covered(check: Check) -> NDArray[Any]:
    """Whether each row lies in the 80 % interval set by the other half of the groups."""
    half = group_folds(check.groups, 2)
    log_error = np.log(check.measured / check.predicted)
    inside = np.zeros(len(half), dtype=bool)
    for side in (0, 1):
        mine, other = half == side, half != side
        if mine.any() and other.any():
            q = conformal(log_error[other], check.predicted[other])(check.predicted[mine])
            inside[mine] = (log_error[mine] >= q[:, 1]) & (log_error[mine] <= q[:, 2])
    return inside


def _covered_together(checks: Sequence[Check]) -> list[NDArray[Any]]:
    """As `covered`, with intervals set over every other table of the format."""
    out = []
    for check in checks:
        others = [c for c in checks if c.label != check.label]
        spread = _far(others, check.label.split()[-1], check.distance)
        if spread is None:
            out.append(covered(check))
            continue
        q, log_error = spread(check.predicted), np.log(check.measured / check.predicted)
        out.append((log_error >= q[:, 1]) & (log_error <= q[:, 2]))
    return out


def data_file(family: Family, entries: Iterable[Entry], tables: Sequence[Measured]
              ) -> dict[str, Any]:
    """The content of the family's data file, with a digest of what it was fitted to."""
    digest = hashlib.sha256()
    for table in tables:
        digest.update(f"{table.label} {table.version}".encode())
        digest.update(np.ascontiguousarray(table.seconds, dtype="<f8").tobytes())
    return content(family.name, entries, digest.hexdigest()[:16])


def text(column: NDArray[Any]) -> NDArray[Any]:
    """A text column as NumPy strings."""
    return np.asarray(column).astype(str)


def labels(rows: Mapping[str, NDArray[Any]], *names: str) -> tuple[NDArray[Any], list[list[str]]]:
    """Group number of each row by some text columns, and the values of each group."""
    columns = [text(rows[name]) for name in names]
    ids = group_ids(*columns)
    first = [int(np.flatnonzero(ids == i)[0]) for i in range(int(ids.max()) + 1)]
    return ids, [[str(c[i]) for c in columns] for i in first]
