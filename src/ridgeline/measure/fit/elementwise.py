"""Fits the constants of memory-bound kernels from small-op and quantisation timings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.machine.chip import Chip
from ridgeline.measure.fit.fitting import Rows, Training, take
from ridgeline.measure.fit.gemm import rounded
from ridgeline.measure.fit.pools import How, Measured, data_file, fit_tables, labels, report
from ridgeline.timing.kernels.elementwise import BYTES, FAMILY
from ridgeline.timing.kernels.store import EAGER

Array = NDArray[np.floating[Any]]

# What the measured operators are called here.
KINDS = {"add": "add", "attn_rope": "rope", "emb": "embedding", "input_layernorm": "norm",
         "post_attention_layernorm": "norm", "mlp_act_gated": "gated_activation",
         "softmax": "softmax", "layernorm": "norm", "gelu": "gelu"}
# Whose kernels a source timed; LLMCompass timed eager calls, host launch included.
BACKENDS = {"vidur": "vllm", "llmcompass": "torch" + EAGER}
_FEWEST = 7
_SMALL = Training(hidden=(12, 12), steps=1500, bound=0.8)
HOW = How(own=_SMALL, fold=_SMALL, pooled=_SMALL, shared=True)


def tables_of(rows: Rows, quantize: Rows | None, chips: Mapping[str, Chip]) -> list[Measured]:
    """One table per chip, backend and kind."""
    kinds = np.array([KINDS.get(o, "") for o in np.asarray(rows["op"]).tolist()])
    sources = np.array([BACKENDS.get(s, s) for s in np.asarray(rows["source"]).tolist()])
    out = _tables({**rows, "kind": kinds, "backend": sources}, "rows", "width", chips)
    if quantize is not None:
        out += _tables({**quantize, "kind": quantize["op"]}, "m", "k", chips)
    return out


def _tables(rows: Rows, long: str, wide: str, chips: Mapping[str, Chip]) -> list[Measured]:
    ids, names = labels(rows, "gpu", "backend", "kind")
    out = []
    for number, (gpu, backend, kind) in enumerate(names):
        mine = np.flatnonzero(ids == number)
        if gpu in chips and kind in BYTES and len(mine) >= _FEWEST:
            size = {c: np.asarray(rows[c], dtype=float)[mine] for c in (long, wide, "time_us")}
            cases = {"rows": size[long], "width": size[wide],
                     "bytes": size[long] * size[wide] * BYTES[kind]}
            version = str(rows["version"][mine[0]]) if "version" in rows else ""
            note = ("measured with the host launch included" if backend.endswith(EAGER) else "")
            out.append(Measured(chips[gpu], gpu, backend, kind, version, cases,
                                size["time_us"] * 1e-6, note))
    return out


def compact(rows: Rows) -> dict[str, NDArray[Any]]:
    """Every row, sorted, times to four digits: these tables are small."""
    names = ["gpu", "backend", "op", "width", "rows", "k", "m"]
    keys = [np.asarray(rows[c]) for c in names if c in rows]
    order = np.lexsort([np.unique(k, return_inverse=True)[1] for k in reversed(keys)])
    out = take(rows, order)
    out["time_us"] = rounded(np.asarray(out["time_us"], dtype=float), 4)
    return out


def fit_elementwise(rows: Rows, quantize: Rows | None = None,
                    chips: Mapping[str, Chip] | None = None,
                    say: Callable[[str], None] = lambda _: None
                    ) -> tuple[dict[str, Any], dict[str, Any]]:
    """The data file of memory-bound kernels and the errors on widths and chips not seen.

    Args:
        rows: columns source, gpu, op, rows, width, time_us.
        quantize: columns gpu, backend, version, op, m, k, time_us.
        chips: by the name used in `gpu`; the catalog's when None.
        say: told of every fit.
    """
    if chips is None:
        from ridgeline.measure.calibrate import chips_of

        chips = chips_of([dict(r) for r in (rows, quantize) if r is not None])
    tables = tables_of(rows, quantize, chips)
    entries, checks = fit_tables(FAMILY, tables, say, HOW)
    return data_file(FAMILY, entries, tables), report(checks, HOW.shared)
