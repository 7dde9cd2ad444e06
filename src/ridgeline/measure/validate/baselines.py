"""What a simpler model would have said of a kernel table, to see what the calibrated one buys.

    roofline:        t = max(FLOP / peak, bytes / bandwidth)
    one efficiency:  t = roofline / e, with e the best single number for each chip, backend and
                     format on these very rows (so it is shown at its best)

FLOP and bytes are the ideal counts: every operand read once, every result written once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ridgeline.errors import RidgelineError
from ridgeline.measure.truth.reader import Table
from ridgeline.measure.validate.kernels import chip_named, groups

if TYPE_CHECKING:
    import numpy as np

    from ridgeline.machine.chip import Chip

    Array = np.ndarray[Any, Any]

Columns = Mapping[str, Any]

# Format name of the tables -> (bytes of a weight, bytes of an activation, matrix rates to try).
_FORMATS: dict[str, tuple[float, float, tuple[str, ...]]] = {
    "fp8": (1.0, 2.0, ("fp8", "bf16")), "fp8_block": (1.0, 2.0, ("fp8", "bf16")),
    "fp8_static": (1.0, 2.0, ("fp8", "bf16")), "nvfp4": (0.5625, 2.0, ("fp4", "fp8", "bf16")),
    "int8_wo": (1.0, 2.0, ("bf16",)), "int4_wo": (0.5625, 2.0, ("bf16",)),
    "sq": (1.0, 2.0, ("int8", "bf16")), "w4a16_mxfp4": (0.53125, 2.0, ("bf16",)),
    "w4a8_mxfp4_mxfp8": (0.53125, 2.0, ("fp8", "bf16")),
}
_SIXTEEN = (2.0, 2.0, ("bf16", "fp16"))


def roofline(table: Table) -> Array | None:
    """Datasheet roofline of every row [s]; NaN where the chip is unknown, None for kinds without.
    """
    import numpy as np

    count = _COUNTS.get(table.schema.name)
    if count is None:
        return None
    out = np.full(len(table), np.nan)
    for labels, where in groups(table, _keys(table)):
        try:
            chip = chip_named(labels["gpu"])
            columns = {c: v[where] for c, v in table.columns.items()}
            out[where] = count(chip, labels.get("dtype", "bfloat16"), columns)
        except RidgelineError:
            continue  # a chip without this rate or link: no roofline to draw
    return out


def one_efficiency(table: Table, floor: Array, seconds: Array) -> Array:
    """The roofline over the best single efficiency of each chip, backend and format [s]."""
    import numpy as np

    out = np.full(len(table), np.nan)
    for _, where in groups(table, _keys(table)):
        ratio = seconds[where] / floor[where]
        ratio = ratio[np.isfinite(ratio)]
        if len(ratio):
            out[where] = floor[where] * np.median(ratio)
    return out


def _keys(table: Table) -> tuple[str, ...]:
    return tuple(c for c in ("gpu", "backend", "dtype") if c in table.columns)


def _peak(chip: Chip, format: str) -> float:
    rates = _FORMATS.get(format, _SIXTEEN)[2]
    return next((chip.peaks[r] for r in rates if r in chip.peaks), chip.peak(rates[-1]))


def _matmul(chip: Chip, format: str, m: Any, n: Any, k: Any, copies: Any = 1.0) -> Array:
    import numpy as np

    weight, activation, _ = _FORMATS.get(format, _SIXTEEN)
    moved = weight * k * n + activation * m * (k + n)
    time: Array = np.maximum(2.0 * m * n * k / _peak(chip, format),
                             moved / chip.memory_bandwidth) * copies
    return time


def _gemm(chip: Chip, format: str, c: Columns) -> Array:
    return _matmul(chip, format, c["m"], c["n"], c["k"])


def _mla_bmm(chip: Chip, format: str, c: Columns) -> Array:
    return _matmul(chip, format, c["tokens"], c["n"], c["k"], c["heads"])


def _grouped(chip: Chip, format: str, c: Columns) -> Array:
    return _matmul(chip, format, c["m_per_group"], c["n"], c["k"], c["groups"])


def _prefill(chip: Chip, format: str, c: Columns) -> Array:
    import numpy as np

    seen = np.nan_to_num(c["window"])
    pairs = c["seq_len"] ** 2 / 2
    pairs = np.where(seen > 0, np.minimum(pairs, seen * c["seq_len"]), pairs)
    flop = 4.0 * c["batch"] * c["q_heads"] * c["head_dim"] * pairs
    moved = 2.0 * c["batch"] * c["seq_len"] * c["head_dim"] * (2 * c["q_heads"]
                                                               + 2 * c["kv_heads"])
    return np.asarray(np.maximum(flop / _peak(chip, format), moved / chip.memory_bandwidth))


def _decode(chip: Chip, format: str, c: Columns) -> Array:
    import numpy as np

    seen = np.nan_to_num(c["window"])
    length = np.where(seen > 0, np.minimum(seen, c["kv_len"]), c["kv_len"])
    size = np.where(c["kv_dtype"] == "fp8", 1.0, 2.0)
    flop = 4.0 * c["batch"] * c["q_heads"] * c["head_dim"] * length
    moved = 2.0 * size * c["batch"] * c["kv_heads"] * c["head_dim"] * length
    return np.asarray(np.maximum(flop / _peak(chip, format), moved / chip.memory_bandwidth))


def _moe(chip: Chip, format: str, c: Columns) -> Array:
    import numpy as np

    weight, activation, _ = _FORMATS.get(format, _SIXTEEN)
    matrices = np.where(np.nan_to_num(c["gated"], nan=1.0) > 0, 3.0, 2.0)
    rows, local = c["tokens"] * c["topk"] / c["ep"], c["experts"] / c["ep"]
    width = c["inter"] / c["tp"]
    read = np.minimum(local, local * (1 - (1 - c["topk"] / c["experts"]) ** c["tokens"]))
    moved = weight * matrices * read * c["hidden"] * width + activation * rows * 2 * c["hidden"]
    flop = 2.0 * matrices * rows * c["hidden"] * width
    return np.asarray(np.maximum(flop / _peak(chip, format), moved / chip.memory_bandwidth))


def _collective(chip: Chip, format: str, c: Columns) -> Array:
    import numpy as np

    if chip.scale_up is None:
        raise RidgelineError(f"{chip.name} has no scale-up link")
    n = c["n_gpus"]
    passes = np.where(c["op"] == "all_reduce", 2.0, 1.0)
    return np.asarray(passes * c["bytes"] * (n - 1) / n / chip.scale_up.bandwidth)


_COUNTS: dict[str, Callable[[Chip, str, Columns], Array]] = {
    "gemm": _gemm, "mla_bmm": _mla_bmm, "grouped_gemm": _grouped, "attention_prefill": _prefill,
    "attention_decode": _decode, "moe": _moe, "collective": _collective,
}
