"""From measured rows to the constants that `retrieve` uses, with held-out intervals."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ridgeline.files import write_atomically
from ridgeline.measure.retrieval.fit import (
    Row,
    fit_distances,
    fit_searches,
    held_out,
    imbalance,
    nonnegative,
    plan_of,
)
from ridgeline.retrieval.build_time import build_counts
from ridgeline.retrieval.cpu_time import CpuConstants, family, search_time
from ridgeline.retrieval.encoder_time import encoder_counts, encoder_seconds

if TYPE_CHECKING:
    from ridgeline.model.architecture import Architecture

__all__ = ["cache_bytes", "cpu_name", "encoder_architecture", "fit_constants", "fit_laws",
           "rescaled",
           "write_constants"]

_FAMILIES = ("flat", "flat_batched", "sq8", "ivf", "hnsw", "pq", "ivfpq")
_SYSTEM = Path("/sys/devices/system/cpu/cpu0/cache")
_USUAL_CACHE = 32.0 * 2**20


def cpu_name() -> str:
    """The processor as the system names it."""
    import platform

    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unnamed CPU"


def cache_bytes() -> float:
    """Largest cache of the first core [bytes]; 32 MiB where the system does not say."""
    found = []
    for file in sorted(_SYSTEM.glob("index*/size")):
        text = file.read_text(encoding="utf-8").strip()
        scale = {"K": 2.0**10, "M": 2.0**20}.get(text[-1:])
        if scale and text[:-1].isdigit():
            found.append(int(text[:-1]) * scale)
    return max(found, default=_USUAL_CACHE)


def fit_constants(rows: Sequence[Row], encoder_rows: Sequence[Row], *, cpu: str, l3_bytes: float,
                  source: str) -> CpuConstants:
    """Every constant from measurements alone.

    Args:
        rows: measured searches.
        encoder_rows: measured passes of encoders.
        cpu, l3_bytes, source: what was measured, where and when.
    """
    empty = CpuConstants(cpu, l3_bytes, {}, dict.fromkeys((*_FAMILIES, "encoder"), (0.0, 0.0)),
                         {}, 1.0, (), {}, {}, source)

    def fit(some: Sequence[Row]) -> CpuConstants:
        return fit_laws(some, empty)

    whole = fit(rows)
    spread: dict[str, list[float]] = {}
    for key in ("n", "dim"):
        for row, predicted in held_out(rows, empty, _column(key), fit):
            spread.setdefault(family(plan_of(row)), []).append(
                math.log(float(row["query_s"]) / predicted))
    encoder, encoder_errors = _fit_encoder(encoder_rows, l3_bytes)
    spread["encoder"] = encoder_errors
    return dataclasses.replace(
        whole, spread={name: _quantiles(errors) for name, errors in spread.items()},
        recall=tuple(_recall(rows)), builds=_fit_builds(rows, whole), encoder=encoder)


def fit_laws(rows: Sequence[Row], base: CpuConstants) -> CpuConstants:
    """Laws of visited vectors and seconds of every term from rows, the rest from `base`."""
    laws = dataclasses.replace(base, distances=fit_distances(rows), imbalance=imbalance(rows))
    return dataclasses.replace(laws, seconds=fit_searches(rows, laws))


def _column(name: str) -> Any:
    return lambda row: row[name]


def rescaled(base: CpuConstants, rows: Sequence[Row], encoder_rows: Sequence[Row], *, cpu: str,
             l3_bytes: float, source: str) -> CpuConstants:
    """Constants of another CPU from a few rows: those of `base`, moved as the rows ask.

    Families that were not measured are scaled like the nearest that was.
    """
    start = dataclasses.replace(base, cpu=cpu, l3_bytes=l3_bytes, source=source)
    fitted = fit_searches(rows, start, prior=True)
    measured = {family(plan_of(r)) for r in rows}
    like = {"sq8": "flat", "pq": "flat", "ivfpq": "ivf", "hnsw": "flat", "ivf": "flat",
            "flat_batched": "flat"}
    for name, near in like.items():
        if name not in measured and near in measured:
            by = _slower(start, rows, near)
            fitted[name] = {term: s * by for term, s in base.seconds[name].items()}
    builds = base.builds
    encoder: Mapping[str, float] = base.encoder
    if encoder_rows:
        pairs = _encoder_pairs(encoder_rows, l3_bytes)
        encoder = nonnegative([f for f, _ in pairs], [t for _, t in pairs], base.encoder)
    return dataclasses.replace(start, seconds=fitted, builds=builds, encoder=encoder)


def _slower(base: CpuConstants, rows: Sequence[Row], name: str) -> float:
    """Median of measured over predicted times of a family."""
    import statistics

    return statistics.median(
        float(r["query_s"]) / search_time(plan_of(r), base, float(r["visited"])).seconds
        for r in rows if family(plan_of(r)) == name)


def _quantiles(errors: Sequence[float]) -> tuple[float, float]:
    import numpy as np

    if not errors:
        return 0.0, 0.0
    low, high = np.quantile(errors, [0.1, 0.9])
    return round(float(low), 4), round(float(high), 4)


def _recall(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Recall by setting, once each."""
    names = ("n", "dim", "nlist", "nprobe", "segments", "hnsw_m", "ef")
    seen: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        if row["index"] == "flat":
            continue
        data = "random" if row["data"] == "gaussian" else "clustered"
        item = {"index": row["index"], "data": data, **{k: int(row[k]) for k in names},
                "recall": round(float(row["recall_at_10"]), 4)}
        seen.setdefault(tuple(item.values())[:-1], item)
    return list(seen.values())


def _fit_builds(rows: Sequence[Row], c: CpuConstants) -> dict[str, dict[str, float]]:
    """Seconds of the terms of building, by kind."""
    out: dict[str, dict[str, float]] = {}
    for kind in sorted({str(r["index"]) for r in rows}):
        mine = [r for r in rows if r["index"] == kind]
        out[kind] = nonnegative([build_counts(plan_of(r), c) for r in mine],
                                [float(r["train_s"]) + float(r["add_s"]) for r in mine])
    return out


def encoder_architecture(row: Row) -> Architecture:
    """The BERT shape that a measured pass was of."""
    from ridgeline.model.huggingface import architecture_from_config

    return architecture_from_config({
        "model_type": "bert", "architectures": ["BertModel"], "hidden_size": int(row["width"]),
        "num_hidden_layers": int(row["layers"]), "num_attention_heads": int(row["heads"]),
        "intermediate_size": int(row["d_ff"]), "vocab_size": 30522, "hidden_act": "gelu",
        "max_position_embeddings": 512, "type_vocab_size": 2}, "measured encoder")


def _encoder_pairs(rows: Sequence[Row], l3_bytes: float) -> list[tuple[dict[str, float], float]]:
    return [(encoder_counts(encoder_architecture(r), float(r["texts"]), float(r["tokens"]),
                            l3_bytes), float(r["pass_s"])) for r in rows]


def _fit_encoder(rows: Sequence[Row], l3_bytes: float) -> tuple[dict[str, float], list[float]]:
    """Seconds of encoder terms, and log errors on shapes left out."""
    pairs = _encoder_pairs(rows, l3_bytes)
    shapes = [(r["layers"], r["width"]) for r in rows]
    errors = []
    for left in sorted(set(shapes)):
        kept = [p for p, s in zip(pairs, shapes, strict=True) if s != left]
        if not kept:
            continue
        found = nonnegative([f for f, _ in kept], [t for _, t in kept])
        errors += [math.log(t / encoder_seconds(f, found))
                   for (f, t), s in zip(pairs, shapes, strict=True) if s == left]
    return nonnegative([f for f, _ in pairs], [t for _, t in pairs]), errors


def write_constants(constants: CpuConstants, path: str | Path) -> None:
    """Write constants as JSON, whole or not at all.

    Raises:
        BadInput: the file cannot be written.
    """
    data = dataclasses.asdict(constants)
    for part in ("seconds", "builds"):
        data[part] = {name: {t: float(f"{s:.5g}") for t, s in terms.items()}
                      for name, terms in data[part].items()}
    for part in ("encoder", "distances"):
        data[part] = {t: float(f"{s:.5g}") for t, s in data[part].items()}
    recall = data.pop("recall")
    lines = ",\n".join("  " + json.dumps(item) for item in recall)
    text = json.dumps(data, indent=1)[:-2] + ',\n "recall": [\n' + lines + "\n ]\n}\n"
    write_atomically(path, text)
