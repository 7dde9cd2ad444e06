"""Rebuilds every fitted constant from measured tables, and says what it was built from.

Each recipe names the tables it needs and the function that fits them:

    fit(rows, ..., [chips], [say]) -> content | (content, report)

with one `rows` (columns as arrays) for each table, the catalog's chips by the name the
measurements use, and a function to tell progress, where it has parameters of these names. The
content becomes `<family>.json`. `fingerprint.json` holds a SHA-256 over the tables and one of
every file written; `accuracy.json` the errors on groups and machines that a fit did not see.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ridgeline.errors import BadInput, RidgelineError
from ridgeline.files import write_atomically
from ridgeline.measure.truth.reader import Table, read_table
from ridgeline.timing.constants import ENVIRONMENT

if TYPE_CHECKING:
    import numpy as np

    from ridgeline.machine.chip import Chip

    Array = np.ndarray[Any, Any]
    Rows = dict[str, Array]


@dataclass(frozen=True)
class Recipe:
    """How one file of constants is made: `function` of `module` from `tables`."""

    tables: tuple[str, ...]
    module: str
    function: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def find(self) -> Callable[..., Any]:
        """The fit function."""
        found: Callable[..., Any] = getattr(importlib.import_module(self.module), self.function)
        return found


_FIT = "ridgeline.measure.fit"
RECIPES = {
    "gemm": Recipe(("gemm",), f"{_FIT}.gemm", "fit_gemm"),
    "moe": Recipe(("moe",), f"{_FIT}.moe", "fit_moe"),
    "attention_prefill": Recipe(("attention_prefill",), f"{_FIT}.attention", "fit_prefill"),
    "attention_decode": Recipe(("attention_decode",), f"{_FIT}.attention", "fit_decode"),
    "attention_mixed": Recipe(("attention_mixed",), f"{_FIT}.attention_mixed", "fit_mixed"),
    "mla_prefill": Recipe(("mla",), f"{_FIT}.mla", "fit_mla", {"phase": "prefill"}),
    "mla_decode": Recipe(("mla",), f"{_FIT}.mla", "fit_mla", {"phase": "decode"}),
    "mla_bmm": Recipe(("mla_bmm",), f"{_FIT}.mla", "fit_bmm"),
    "attention_module": Recipe(("attention_module",), f"{_FIT}.attention_module", "fit_module"),
    "linear_attention": Recipe(("linear_attention",), f"{_FIT}.linear_attention", "fit_linear"),
    "elementwise": Recipe(("elementwise", "quantize"), f"{_FIT}.elementwise", "fit_elementwise"),
    "collective": Recipe(("collective", "ep_a2a"), f"{_FIT}.collective", "fit_collective"),
    "engines": Recipe(("serving_latency",), f"{_FIT}.engine", "fit_engines"),
    "single_stream": Recipe(("single_stream",), f"{_FIT}.single_stream", "fit_single_stream"),
    "throughput": Recipe(("serving_throughput",), f"{_FIT}.throughput", "fit_throughput"),
    "training": Recipe(("training_throughput",), f"{_FIT}.training", "fit_training"),
}


def calibrate(folder: str | Path, extra: Sequence[str | Path] = (),
              families: Iterable[str] = (), say: Callable[[str], None] = lambda _: None
              ) -> dict[str, Any]:
    """Fit every family from the shipped tables and write the constants to a folder.

    Args:
        folder: where the files go; made when missing.
        extra: a user's own tables of the same kinds; their rows are added to ours.
        families: only these; when empty, all, or with `extra` those its tables serve.
        say: told what is being fitted.

    Returns:
        the fingerprint written.

    Raises:
        BadInput: unknown family, unreadable table, a table no family is fitted from, or a folder
            that cannot be made or written.
    """
    own = [read_table(path) for path in extra]
    chosen = _chosen(families, own)
    target = _made(Path(folder))
    tables = gather(own, [t for f in chosen for t in RECIPES[f].tables])
    old = _read(target / "accuracy.json")
    accuracy = {f: e for f, e in old.items() if f in RECIPES}
    for family in chosen:
        rows = [merged(tables[t]) for t in RECIPES[family].tables]
        say(f"{family}: " + " and ".join(f"{len(next(iter(r.values()))):,} rows" for r in rows))
        content, errors = fit_family(RECIPES[family], rows, say)
        write_atomically(target / f"{family}.json", dump(content))
        accuracy[family] = errors
    write_atomically(target / "accuracy.json", dump(accuracy))
    before = _read(target / "fingerprint.json").get("inputs", {})
    mark = fingerprint(tables, target, before)
    write_atomically(target / "fingerprint.json", dump(mark))
    return mark


def _made(folder: Path) -> Path:
    """The folder, made and found writable before hours of fitting go into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot make the folder {folder}: {error.strerror or error}") from error
    if not os.access(folder, os.W_OK):
        raise BadInput(f"cannot write into the folder {folder}")
    return folder


def _chosen(families: Iterable[str], own: Sequence[Table]) -> list[str]:
    """Families to fit.

    Raises:
        BadInput: an unknown family, or a user's table from which none of them is fitted.
    """
    wanted = list(families)
    for name in wanted:
        if name not in RECIPES:
            raise BadInput(f"no fitted family {name!r}; there are: {', '.join(RECIPES)}")
    usable = {t: f for f in wanted or RECIPES for t in RECIPES[f].tables}
    for table in own:
        if table.schema.name not in usable:
            raise BadInput(f"{table.name}: nothing here is fitted from {table.schema.name} tables; "
                           f"accepted: {', '.join(usable)}")
    kinds = {table.schema.name for table in own}
    return wanted or [f for f, r in RECIPES.items() if not kinds or kinds.intersection(r.tables)]


def gather(own: Sequence[Table], kinds: Iterable[str]) -> dict[str, list[Table]]:
    """The tables of each kind: the shipped one, then the user's.

    Raises:
        BadInput: a kind has no table at all.
    """
    from ridgeline.truth_data import shipped_file

    tables: dict[str, list[Table]] = {}
    for kind in dict.fromkeys(kinds):
        file = shipped_file(f"{kind}.csv.xz")
        tables[kind] = [read_table(file)] if file.is_file() else []
        tables[kind] += [table for table in own if table.schema.name == kind]
    empty = [kind for kind, found in tables.items() if not found]
    if empty:
        raise BadInput(f"no measurements to fit from: {', '.join(empty)}")
    return tables


def merged(tables: Sequence[Table]) -> Rows:
    """The columns of several tables of one kind under each other."""
    import numpy as np

    names = dict.fromkeys(c for t in tables for c in t.columns)
    return {c: np.concatenate([t.columns[c] if c in t.columns else np.full(len(t), "", object)
                               for t in tables]) for c in names}


def fit_family(recipe: Recipe, rows: Sequence[Rows], say: Callable[[str], None] = lambda _: None
               ) -> tuple[Any, dict[str, Any]]:
    """Content of one family's file, and its errors on what the fit did not see."""
    fit = recipe.find()
    accepts = inspect.signature(fit).parameters
    offered = {"chips": chips_of(rows), "say": say}
    result = fit(*rows, **{k: v for k, v in offered.items() if k in accepts}, **recipe.settings)
    content, report = result if isinstance(result, tuple) else (result, None)
    return content, errors_of(report)


def chips_of(rows: Sequence[Rows]) -> dict[str, Chip]:
    """The catalog's chips for the machines of some rows, under the measurements' names."""
    import dataclasses

    from ridgeline.measure.validate.kernels import chip_named

    found: dict[str, Chip] = {}
    for gpu in sorted({str(g) for r in rows if "gpu" in r for g in r["gpu"].tolist()}):
        try:
            found[gpu] = dataclasses.replace(chip_named(gpu), name=gpu)
        except RidgelineError:
            continue  # measured on a machine the catalog does not know: not fitted
    return found


def errors_of(report: Any) -> dict[str, Any]:
    """Errors of held-out predictions by how far the constants came from."""
    if report is None:
        return {}
    if isinstance(report, Mapping):
        return dict(report)
    return {distance: _errors(report.rows[distance], predicted)
            for distance, predicted in report.predicted.items()}


def _errors(rows: Any, predicted: Array) -> dict[str, float]:
    import numpy as np

    seconds = rows.seconds
    ape = np.abs(predicted - seconds) / seconds * 100
    bias = (np.exp(np.median(np.log(predicted / seconds))) - 1) * 100
    return {"n": len(seconds), "median_ape_pct": round(float(np.median(ape)), 2),
            "p90_ape_pct": round(float(np.percentile(ape, 90)), 2),
            "bias_pct": round(float(bias), 2),
            "coverage80_pct": round(100 * _covered(rows, predicted), 1)}


def _covered(rows: Any, predicted: Array) -> float:
    """Share of rows inside 80 % intervals whose widths were set on other groups of shapes.

    The widths come from all chips together here; the shipped ones are set for each, so this is
    the coverage of the method, on halves of the groups in turn.
    """
    import numpy as np

    from ridgeline.measure.fit.fitting import conformal, group_folds

    half, log_error = group_folds(rows.groups, 2), np.log(rows.seconds / predicted)
    inside = np.zeros(len(half), bool)
    for side in (0, 1):
        at = half == side
        if at.any() and (~at).any():
            ends = conformal(log_error[~at], predicted[~at])(predicted[at])
            inside[at] = (ends[:, 1] <= log_error[at]) & (log_error[at] <= ends[:, 2])
    return float(inside.mean())


def fingerprint(tables: Mapping[str, Sequence[Table]], folder: Path,
                before: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Digests of the tables fitted from and of the files in a folder of constants.

    Args:
        tables: by kind.
        folder: where the constants are.
        before: digests of tables of earlier fits, kept for the kinds not in `tables`.
    """
    inputs = {**(before or {}), **{kind: table_digest(merged(t)) for kind, t in tables.items()}}
    files = [folder / f"{family}.json" for family in sorted(RECIPES)]
    return {"inputs": inputs, "all_inputs": _digest(json.dumps(inputs, sort_keys=True).encode()),
            "outputs": {f.stem: _digest(f.read_bytes()) for f in files if f.is_file()}}


def table_digest(rows: Rows) -> str:
    """SHA-256 over the values of every column, whatever the file's compression."""
    import numpy as np

    digest = hashlib.sha256()
    for name in sorted(rows):
        column = rows[name]
        digest.update(name.encode())
        if column.dtype == object:
            digest.update("\0".join(str(v) for v in column.tolist()).encode())
        else:
            digest.update(np.ascontiguousarray(column, dtype="<f8").tobytes())
    return digest.hexdigest()


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def dump(content: Any) -> str:
    """JSON text that is the same for the same content."""
    return json.dumps(content, separators=(",", ":"), sort_keys=True, allow_nan=False) + "\n"


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}


def use_calibration(folder: str | Path) -> None:
    """Make this process use the constants of a folder.

    Raises:
        BadInput: not a folder that `calibrate` wrote.
    """
    if not (Path(folder) / "fingerprint.json").is_file():
        raise BadInput(f"{folder} holds no calibration; make one with "
                       "`ridgeline calibrate --out FOLDER`")
    os.environ[ENVIRONMENT] = str(folder)
