"""Fit a kernel family of `timing.kernels.family` from measured rows.

For every unit (chip, backend): constants of the physical form for all rows, then for each table
near those, then one bounded network. Interval widths come from predictions of head geometries
that the fit did not see; those of farther distances from predicting each chip without its own
units. Same rows, same constants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.machine.chip import Chip
from ridgeline.measure.fit.fitting import (
    Training,
    conformal,
    fit_physical,
    group_folds,
    group_ids,
    take,
    thin,
    train_residual,
)
from ridgeline.timing.kernels.family import (
    UNIT_FORMAT,
    Family,
    Table,
    Unit,
    Wanted,
    bent,
    best,
    feature_matrix,
    kernel_class,
    units_for,
    units_of,
)
from ridgeline.timing.kernels.residual import Residual, Spread
from ridgeline.timing.kernels.store import Entry, Store, calibration_name, content

Array = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Rows = Mapping[str, NDArray[Any]]

MOST_ROWS = 15000                  # of one unit, in a fit
_CLOSE = 3.0                       # tables' constants lie within this factor of their unit's
_FEW = 60                          # a table with fewer rows keeps its unit's constants
_LEAST_STEPS = 1500                # of training, for the smallest units
_IMPOSSIBLE = 0.9                  # of the physical floor: a row faster than that is not fitted
HOW = Training(hidden=(32, 32), bound=1.5, steps=4000, rate=6e-3, decay=1e-4, knee=0.03)


@dataclass(frozen=True)
class Measured:
    """Rows of a family, ready to fit.

    Attributes:
        cases: columns of the form's arguments, with the chip's numbers.
        seconds: measured.
        gpu, backend: where.
        fields, covers: columns that make tables (see `timing.kernels.family.Table`).
        groups: what is held out together.
        flags: why an engine must not use the row's table, else "".
    """

    cases: Rows
    seconds: Array
    gpu: NDArray[Any]
    backend: NDArray[Any]
    fields: Mapping[str, NDArray[Any]]
    covers: Rows
    groups: Ints
    flags: NDArray[Any]

    def pick(self, index: Any) -> Measured:
        """The chosen rows."""
        return Measured(take(self.cases, index), self.seconds[index], self.gpu[index],
                        self.backend[index], take(self.fields, index), take(self.covers, index),
                        self.groups[index], self.flags[index])

    def possible(self, family: Family) -> Measured:
        """The rows that are not faster than physics allows, with a margin for clocks."""
        floor = family.form(**self.cases, warm=1.0,
                            **{c.name: c.start for c in family.constants})["floor"]
        return self.pick(np.flatnonzero(self.seconds > _IMPOSSIBLE * floor))

    def thinned(self, most: int) -> Measured:
        """At most `most` rows, chosen by a fixed mix."""
        return self.pick(thin({"at": np.arange(len(self.seconds))}, most)["at"])

    def units(self) -> Iterable[tuple[str, str, Measured]]:
        """(chip, backend, rows) of every unit."""
        for gpu in np.unique(self.gpu):
            for backend in np.unique(self.backend[self.gpu == gpu]):
                yield str(gpu), str(backend), self.pick(
                    np.flatnonzero((self.gpu == gpu) & (self.backend == backend)))

    def tables(self) -> Ints:
        """Number of the table of each row."""
        return group_ids(*self.fields.values())


@dataclass(frozen=True)
class Fitted:
    """Constants of every table of a unit, and the network."""

    values: Array
    residual: Residual


def fit_unit(family: Family, rows: Measured, which: Ints, n_tables: int,
             how: Training = HOW) -> Fitted:
    """Constants and network of one unit.

    Args:
        family: whose form.
        rows: of the unit.
        which: table of each row, below `n_tables`.
        n_tables: tables of the unit; one without rows here keeps the unit's constants.
        how: training of the network.
    """
    start = np.log([c.start for c in family.constants])
    bounds = [(float(np.log(c.low)), float(np.log(c.high))) for c in family.constants]
    common = _constants(family, rows, start, bounds)
    near = [(max(low, c - np.log(_CLOSE)), min(high, c + np.log(_CLOSE)))
            for c, (low, high) in zip(common, bounds, strict=True)]
    logs = np.tile(common, (n_tables, 1))
    for table in range(n_tables):
        mine = np.flatnonzero(which == table)
        if len(mine) >= _FEW:
            logs[table] = _constants(family, rows.pick(mine), common, near)
    values: Array = np.exp(logs)
    return Fitted(values, _network(family, values, rows, which, how))


def _constants(family: Family, rows: Measured, start: Array,
               bounds: Sequence[tuple[float, float]]) -> Array:
    names = [c.name for c in family.constants]

    def form(logs: Array, cases: Rows) -> Array:
        constants = dict(zip(names, np.exp(logs), strict=True))
        seconds: Array = family.form(**cases, warm=1.0, **constants)["seconds"]
        return seconds

    wide = [(low, high if high > low + 1e-6 else low + 1e-6) for low, high in bounds]
    found: Array = fit_physical(_without_measurement(form), dict(rows.cases), rows.seconds,
                                list(start), wide, most=3000)
    return found


def _without_measurement(form: Callable[[Array, Rows], Array]) -> Callable[[Array, Rows], Array]:
    return lambda logs, rows: form(logs, {k: v for k, v in rows.items()
                                          if not k.startswith("__")})


def _network(family: Family, values: Array, rows: Measured, which: Ints,
             how: Training) -> Residual:
    constants = {c.name: values[which, i] for i, c in enumerate(family.constants)}
    terms = {**family.form(**rows.cases, warm=1.0, **constants), "launch": constants["launch"]}
    features = feature_matrix(family, rows.cases, terms, which, len(values))
    steps = int(np.clip(len(rows.seconds), _LEAST_STEPS, how.steps))
    return train_residual(features, np.log(rows.seconds / terms["seconds"]),
                          replace(how, bound=family.bound, steps=steps))


def held_out(family: Family, rows: Measured, which: Ints, n_tables: int,
             how: Training = HOW) -> Array:
    """Predictions of one unit's rows by fits that did not see their group."""
    folds, out = group_folds(rows.groups, family.folds), np.empty(len(rows.seconds))
    for fold in range(family.folds):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if not len(outside):
            continue
        fitted = fit_unit(family, rows.pick(inside), which[inside], n_tables, how)
        out[outside] = bent(family, fitted.values, fitted.residual,
                            take(rows.cases, outside), which[outside], warm=True)
    return out


@dataclass
class Report:
    """Held-out predictions behind a calibration, by kind.

    Attributes:
        rows: the measurements compared, by distance ("table", "architecture", "pooled").
        predicted: the predictions, same order.
    """

    rows: dict[str, Measured] = field(default_factory=dict)
    predicted: dict[str, Array] = field(default_factory=dict)


def fit_family(family: Family, rows: Measured, chips: Mapping[str, Chip],
               how: Training = HOW) -> tuple[dict[str, Any], Report]:
    """The content of a family's data file, and the held-out predictions behind its intervals.

    Args:
        family: which.
        rows: all measurements.
        chips: by the name the measurements use.
        how: training of the networks.
    """
    entries, seen, predicted = [], [], []
    for gpu, backend, unit in rows.possible(family).units():
        unit = unit.thinned(MOST_ROWS)
        which = unit.tables()
        n_tables = int(which.max()) + 1
        guess = held_out(family, unit, which, n_tables, how)
        fitted = fit_unit(family, unit, which, n_tables, how)
        spread = conformal(np.log(unit.seconds / guess), guess, n_bins=5, least=120)
        entries.append(_entry(chips[gpu], gpu, backend, unit, which, fitted, spread))
        seen.append(unit)
        predicted.append(guess)
    report = Report({"table": _stack(seen)}, {"table": np.concatenate(predicted)})
    store = Store(content(family.name, entries, ""))
    far = _far_spreads(family, store, report, chips)
    entries = [replace(e, spreads={**e.spreads, **far[e.extra["class"]]}) for e in entries]
    return content(family.name, entries, fingerprint(rows)), report


def _entry(chip: Chip, gpu: str, backend: str, unit: Measured, which: Ints, fitted: Fitted,
           spread: Spread) -> Entry:
    tables = []
    for table in range(len(fitted.values)):
        mine = np.flatnonzero(which == table)
        part = unit.pick(mine)
        tables.append(Table(
            {k: str(v[0]) for k, v in part.fields.items()},
            {k: [float(x) for x in np.unique(v)] for k, v in part.covers.items()},
            len(mine), [float(v) for v in fitted.values[table]],
            str(part.flags[0])).to_json())
    return Entry("chip", gpu, backend, UNIT_FORMAT, "", {}, fitted.residual, {"table": spread},
                 len(unit.seconds),
                 extra={"tables": tables, "class": kernel_class(chip), "vendor": chip.vendor,
                        "clock": chip.clock})


def _far_spreads(family: Family, store: Store, report: Report, chips: Mapping[str, Chip]
                 ) -> dict[str, dict[str, Spread]]:
    """Interval widths where a chip or backend has no units of its own, by leaving them out.

    Returns:
        by class of chips (`kernel_class`), by distance.
    """
    found: dict[str, dict[str, Spread]] = {kernel_class(c): {} for c in chips.values()}
    rows = report.rows["table"]
    for distance in ("backend", "architecture", "pooled"):
        seen, guessed = [], []
        # What an estimate would use: flagged tables neither speak nor are spoken for.
        for gpu, backend, unit in rows.pick(np.flatnonzero(rows.flags == "")).units():
            unit = unit.thinned(3000)
            guess = _from_afar(family, store, unit, chips[gpu], backend, distance)
            if guess is not None:
                seen.append(unit)
                guessed.append(guess)
        if not seen:
            continue
        report.rows[distance] = every = _stack(seen)
        report.predicted[distance] = guess = np.concatenate(guessed)
        kinds = np.array([kernel_class(chips[str(g)]) for g in every.gpu])
        for kind, spreads in found.items():
            # Chips of one generation resemble each other more than those of another.
            mine = kinds == kind if distance == "architecture" else np.full(len(kinds), True)
            mine = mine if mine.any() else np.full(len(kinds), True)
            spreads[distance] = conformal(np.log(every.seconds / guess)[mine], guess[mine])
    return found


def _from_afar(family: Family, store: Store, unit: Measured, chip: Chip, backend: str,
               distance: str) -> Array | None:
    """Predictions of a unit's rows without it; None where nothing at that distance speaks."""
    which, out = unit.tables(), np.empty(len(unit.seconds))
    for table in range(int(which.max()) + 1):
        mine = np.flatnonzero(which == table)
        part = unit.pick(mine)
        wanted = Wanted({k: str(v[0]) for k, v in part.fields.items()},
                        {k: float(np.median(v)) for k, v in part.covers.items()})
        speakers = _speakers(store, chip, backend, wanted, distance)
        if not speakers:
            return None
        logs = [np.log(u.seconds(family, t, part.cases, len(mine), True, chip.clock))
                for u, t in speakers]
        out[mine] = np.exp(np.mean(logs, axis=0))
    return out


def _speakers(store: Store, chip: Chip, backend: str, wanted: Wanted, distance: str
              ) -> list[tuple[Unit, int]]:
    name, units = calibration_name(chip.name), units_of(store)
    if distance == "backend":
        choices = [(u, i) for u in units if u.entry.target == name
                   and u.entry.backend != backend and (i := u.choose(wanted)) is not None]
        return [best(choices, wanted)] if choices else []
    skip = {name}
    if distance == "pooled":
        skip |= {u.entry.target for u in units if u.entry.extra["class"] == kernel_class(chip)}
    if all(u.entry.target in skip for u in units):
        return []
    found, reached = units_for(store, chip, backend, wanted, tuple(skip))
    return found if reached == distance else []


def _stack(parts: Sequence[Measured]) -> Measured:
    def columns(pick: Callable[[Measured], Rows]) -> dict[str, NDArray[Any]]:
        return {k: np.concatenate([pick(p)[k] for p in parts]) for k in pick(parts[0])}

    def one(pick: Callable[[Measured], NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([pick(p) for p in parts])

    return Measured(columns(lambda p: p.cases), one(lambda p: p.seconds), one(lambda p: p.gpu),
                    one(lambda p: p.backend), columns(lambda p: p.fields),
                    columns(lambda p: p.covers), one(lambda p: p.groups), one(lambda p: p.flags))


def fingerprint(rows: Measured) -> str:
    """A short digest of what a calibration was fitted to."""
    digest = hashlib.sha256()
    for column in (*rows.cases.values(), rows.seconds):
        digest.update(np.ascontiguousarray(np.round(np.log(column + 1e-9), 6)).tobytes())
    for text in (rows.gpu, rows.backend, *rows.fields.values()):
        digest.update("|".join(text.astype(str)).encode())
    return digest.hexdigest()[:16]
