"""Runs a design of measurements, keeps rows, and compares them with what is predicted."""

from __future__ import annotations

import csv
import importlib.metadata
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ridgeline.errors import BadInput
from ridgeline.files import write_atomically
from ridgeline.measure.retrieval.constants import (
    cache_bytes,
    cpu_name,
    encoder_architecture,
    rescaled,
)
from ridgeline.measure.retrieval.encoder import (
    EncoderShape,
    NumpyEncoder,
    load_encoder,
    measure_encoder,
    random_encoder,
)
from ridgeline.measure.retrieval.fit import plan_of
from ridgeline.measure.retrieval.indexes import Build, measure_build
from ridgeline.quantity import Quantity
from ridgeline.questions.answer import Answer, Cell, Table
from ridgeline.retrieval.cpu_time import CpuConstants, family, search_time
from ridgeline.retrieval.encoder_time import encoder_counts, encoder_seconds

__all__ = ["Measured", "find_encoder", "measure", "measured_answer", "to_csv"]

MINILM = EncoderShape(6, 384, 12, 1536)
_PASSES = ((1, 16), (1, 128), (8, 64), (8, 256), (32, 64), (4, 512))

Say = Callable[[int, int, str], None]


@dataclass
class Measured:
    """What was measured, also when it was interrupted.

    Attributes:
        searches, passes: rows of indexes and of encoders.
        complete: nothing was left out.
        encoder: what was run.
    """

    searches: list[dict[str, Any]] = field(default_factory=list)
    passes: list[dict[str, Any]] = field(default_factory=list)
    complete: bool = True
    encoder: str = ""

    def constants(self, base: CpuConstants) -> CpuConstants:
        """Constants of this CPU, from these rows and those of the shipped one.

        Raises:
            BadInput: nothing was measured.
        """
        if not self.searches:
            raise BadInput("nothing was measured; no constants to write")
        return rescaled(base, self.searches, self.passes, cpu=cpu_name(), l3_bytes=cache_bytes(),
                        source="measured here by `ridgeline measure retrieval`, one thread")


def find_encoder(ref: str | None) -> tuple[str, NumpyEncoder]:
    """An encoder to run: a folder, an installed package that holds one, or random weights.

    Raises:
        BadInput: neither a folder nor a package with config.json and model.safetensors.
    """
    if ref is None:
        return "random weights, all-MiniLM-L6-v2 shape", random_encoder(MINILM)
    if Path(ref).is_dir():
        return Path(ref).name, load_encoder(ref)
    try:
        files = importlib.metadata.distribution(ref).files or []
    except (importlib.metadata.PackageNotFoundError, ValueError) as error:
        raise BadInput(f"encoder {ref!r} is neither a folder nor an installed package; give a "
                       "folder with config.json and model.safetensors") from error
    found = [f for f in files if f.name == "model.safetensors"]
    if not found:
        raise BadInput(f"the package {ref} holds no model.safetensors")
    return ref, load_encoder(Path(str(found[0].locate())).parent)


def measure(design: Sequence[Build], encoder: tuple[str, NumpyEncoder] | None,
            say: Say = lambda done, total, step: None) -> Measured:
    """Run everything; an interruption keeps what was done until then.

    Args:
        design: indexes to build and ask.
        encoder: name and encoder to run; None: none.
        say: told (done, of how many, what is next).
    """
    from ridgeline.measure.retrieval.data import vectors

    out = Measured(encoder=encoder[0] if encoder else "")
    total = len(design) + len(_PASSES) * (encoder is not None)
    stored, of = None, None
    try:
        for done, build in enumerate(design):
            say(done, total, f"{build.index} {build.n:,} x {build.dim}")
            if (build.n, build.dim, build.kind) != of:
                stored, of = None, (build.n, build.dim, build.kind)
                stored = vectors(build.n, build.dim, kind=build.kind)
            out.searches += measure_build(build, stored)
        for at, (texts, tokens) in enumerate(_PASSES if encoder else ()):
            say(len(design) + at, total, f"encoder {texts} x {tokens} tokens")
            assert encoder is not None
            row = measure_encoder(encoder[1], texts=texts, tokens=tokens)
            out.passes.append({"model": encoder[0], **row})
    except KeyboardInterrupt:
        out.complete = False
    return out


def to_csv(measured: Measured, path: str | Path) -> list[Path]:
    """Write rows in the form `ridgeline validate` reads; passes go beside, ending in -encoder.

    Raises:
        BadInput: a file cannot be written.
    """
    place, cpu = Path(path), cpu_name()
    files = []
    common = {"source": "measured by `ridgeline measure retrieval`", "cpu": cpu}
    for rows, file in ((search_rows(measured.searches), place),
                       (encoder_rows(measured.passes),
                        place.with_name(f"{place.stem}-encoder{place.suffix}"))):
        if rows:
            text = io.StringIO()
            lines = csv.DictWriter(text, [*common, *rows[0]], lineterminator="\n")
            lines.writeheader()
            lines.writerows({**common, **row} for row in rows)
            files.append(write_atomically(file, text.getvalue()))
    return files


def search_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of indexes as a truth table holds them."""
    keep = ("index", "data", "n", "dim", "nlist", "nprobe", "segments", "hnsw_m", "ef", "top_k",
            "batch")
    return [{**{k: _short(row[k]) for k in keep}, "threads": 1,
             "query_us": f"{1e6 * float(row['query_s']):.4g}",
             "build_s": f"{float(row['train_s']) + float(row['add_s']):.4g}",
             "vectors_compared": f"{float(row['visited']):.5g}",
             "recall_at_10": f"{float(row['recall_at_10']):.4g}"} for row in rows]


def encoder_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of passes as a truth table holds them."""
    keep = ("model", "layers", "width", "heads", "d_ff", "texts", "tokens")
    return [{**{k: _short(row[k]) for k in keep}, "executor": "NumPy, fp32", "threads": 1,
             "encoded_tokens_per_s":
                 f"{float(row['texts']) * float(row['tokens']) / float(row['pass_s']):.5g}"}
            for row in rows]


def _short(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def measured_answer(measured: Measured, before: CpuConstants, after: CpuConstants | None
                    ) -> Answer:
    """Measured beside predicted: with the constants in use, and with those fitted here."""
    rows: list[list[Cell]] = []
    for name in sorted({family(plan_of(r)) for r in measured.searches}):
        mine = [r for r in measured.searches if family(plan_of(r)) == name]
        errors = [_median([abs(search_time(plan_of(r), c).seconds / float(r["query_s"]) - 1)
                           for r in mine]) if c else None for c in (before, after)]
        rows.append([name, len(mine), *errors])
    if measured.passes:
        rows.append(["encoder", len(measured.passes),
                     *(_encoder_error(measured.passes, c) if c else None
                       for c in (before, after))])
    quick = [[_short(r["index"]), int(r["n"]), int(r["dim"]), _asked(r), float(r["query_s"]),
              search_time(plan_of(r), after or before).seconds, float(r["recall_at_10"])]
             for r in measured.searches]
    rates = [float(r["texts"]) * float(r["tokens"]) / float(r["pass_s"])
             for r in measured.passes]
    out: dict[str, Any] = {"bound": f"{len(measured.searches)} searches of real indexes on one "
                           f"thread of {cpu_name()}"}
    if rates:
        out["encoder_tokens_per_s"] = Quantity.exact(max(rates), "token/s", "measured")
        out["encoder"] = measured.encoder
    columns = {"family": "1", "rows": "1", "error_before": "1", "error_after": "1"}
    return Answer("measure_retrieval", {}, out, (
        Table.of("searches", {"index": "1", "vectors": "1", "dim": "1", "asked": "1",
                              "measured": "s", "predicted": "s", "recall_at_10": "1"}, quick,
                 title="One query, measured and predicted"),
        Table.of("errors", columns, rows,
                 title="Median error with the constants in use, and as fitted here")),
        ("The errors after are of the rows the constants were fitted to; measure more with "
         "another design to test them.",))


def _asked(row: dict[str, Any]) -> str:
    named = {"k": row["top_k"], "batch": row["batch"], "nprobe": row["nprobe"], "ef": row["ef"]}
    return " ".join(f"{k} {_short(v)}" for k, v in named.items() if v)


def _encoder_error(rows: Sequence[dict[str, Any]], c: CpuConstants) -> float:
    return _median([abs(encoder_seconds(encoder_counts(
        encoder_architecture(r), float(r["texts"]), float(r["tokens"]), c.l3_bytes),
        c.encoder) / float(r["pass_s"]) - 1) for r in rows])


def _median(values: Sequence[float]) -> float:
    import statistics

    return statistics.median(values)
