"""Kernel tables: rows of one machine, backend and format are one call of a kernel model.

The measurements repeat their input, so what fits in L2 was served from there: every model is
called with `warm`, which is for such tables only.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ridgeline.errors import RidgelineError
from ridgeline.measure.truth.reader import Table
from ridgeline.measure.validate.prediction import Advance, Prediction, Predictions

if TYPE_CHECKING:
    import numpy as np

    from ridgeline.machine.chip import Chip
    from ridgeline.timing.kernels.result import KernelTime

    Array = np.ndarray[Any, Any]

Labels = Mapping[str, Any]
Columns = Mapping[str, Any]

_PLACE = ("gpu", "backend", "kernel")
# Cards the measurements name by how they are linked; the catalog knows the card itself.
_CARDS = {"A100-PCIE-PAIRNVLINK": "A100-PCIe-80GB", "H100-PCIE-PAIRNVLINK": "H100-PCIe"}


@dataclass(frozen=True)
class Call:
    """How the rows of one kind of table become calls of a kernel model.

    Attributes:
        by: columns that are one value a call.
        run: (labels, columns of the rows) -> KernelTime.
    """

    by: tuple[str, ...]
    run: Callable[[Labels, Columns], KernelTime]


@functools.cache
def chip_named(gpu: str) -> Chip:
    """The catalog's chip under the name the measurements use.

    Raises:
        UnknownName: the catalog has no such chip.
    """
    from ridgeline.catalog import load_chip

    chip = load_chip(_CARDS.get(gpu, gpu))
    return dataclasses.replace(chip, name=gpu) if gpu in _CARDS else chip


def predict(table: Table, advance: Advance) -> Predictions:
    """Kernel times of every row, or the reason why not."""
    nothing = f"no predictor yet for {table.schema.name} tables"
    prediction = Prediction.unanswered(len(table), nothing)
    call = CALLS.get(table.schema.name)
    if call is None:
        return {"time": prediction}
    for labels, where in groups(table, call.by):
        try:
            time = call.run(labels, {c: v[where] for c, v in table.columns.items()})
        except RidgelineError as error:
            prediction.refuse(where, str(error))
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("ridgeline."):
                raise
            prediction.refuse(where, nothing)
        else:
            prediction.put(where, time.seconds, *time.interval(0.8), *time.interval(0.95))
            if time.note:
                place = " ".join(str(labels[c]) for c in _PLACE if c in labels)
                prediction.remark(f"{place}: {time.note}", len(where))
        advance(len(where))
    return {"time": prediction}


def groups(table: Table, by: Sequence[str]) -> Iterator[tuple[dict[str, Any], Array]]:
    """The distinct values of the columns and the positions of their rows, in order of values."""
    import numpy as np

    code = np.zeros(len(table), np.int64)
    for column in by:
        values = table.columns[column]
        if values.dtype != object:
            values = np.nan_to_num(values, nan=-1.0)  # an empty cell is a value like another
        values = values.tolist()
        names = {v: i for i, v in enumerate(sorted(set(values)))}
        code = code * len(names) + np.fromiter((names[v] for v in values), np.int64, len(values))
    order = np.argsort(code, kind="stable")
    edges = np.flatnonzero(np.diff(code[order])) + 1
    for where in np.split(order, edges):
        yield {c: table.columns[c][where[0]] for c in by}, where


def _named(names: Mapping[str, str], name: str) -> str:
    """What the package calls something, or the name itself."""
    return names.get(name, name)


def _gemm(at: Labels, c: Columns) -> KernelTime:
    from ridgeline.timing.kernels.gemm import gemm_time

    return gemm_time(chip_named(at["gpu"]), m=c["m"], n=c["n"], k=c["k"], format=at["dtype"],
                     backend=at["backend"], warm=True)


def _moe(at: Labels, c: Columns) -> KernelTime:
    from ridgeline.timing.kernels.moe import moe_time

    return moe_time(chip_named(at["gpu"]), tokens=c["tokens"], hidden=c["hidden"],
                    inter=c["inter"], top_k=c["topk"], experts=c["experts"], tp=c["tp"],
                    ep=c["ep"], gated=c["gated"], format=at["dtype"], backend=at["backend"],
                    routing=at["routing"], kernel=at["kernel"], warm=True)


def _wideep(at: Labels, c: Columns) -> KernelTime:
    """Wide expert parallelism: the rank that the router of the table loads most.

    With a load balancer the physical slots are what tokens spread over, evenly.
    """
    from ridgeline.timing.kernels.moe import moe_time

    balanced = at["routing"].endswith("_eplb")
    return moe_time(chip_named(at["gpu"]), tokens=c["tokens"], hidden=c["hidden"],
                    inter=c["inter"], top_k=c["topk"],
                    experts=c["slots"] if balanced else c["experts"], tp=c["tp"], ep=c["ep"],
                    format=at["dtype"], backend=at["backend"], kernel=at["kernel"],
                    routing="uniform" if balanced else at["routing"], warm=True)


def _grouped(at: Labels, c: Columns) -> KernelTime:
    """Equal groups: one product of all their rows, with every group's weights read.

    The published kernels are DeepGEMM's, which among the measured engines SGLang runs.
    """
    import numpy as np

    from ridgeline.timing.kernels.gemm import gemm_time

    chip = chip_named(at["gpu"])
    time = gemm_time(chip, m=c["groups"] * c["m_per_group"], n=c["n"], k=c["k"],
                     format=at["dtype"], backend="sglang", warm=True)
    read = c["groups"] * c["n"] * c["k"] / chip.memory_bandwidth
    return dataclasses.replace(time, seconds=np.maximum(time.seconds, read),
                               note="timed as one product of all groups")


def _prefill(at: Labels, c: Columns) -> KernelTime:
    from ridgeline.timing.kernels.attention import prefill_attention_time

    return prefill_attention_time(
        chip_named(at["gpu"]), batch=c["batch"], new_tokens=c["seq_len"], q_heads=c["q_heads"],
        kv_heads=c["kv_heads"], head_dim=c["head_dim"], window=_window(c),
        format=_plain(at["dtype"]), kv_format=_plain(at["kv_dtype"]), backend=at["backend"],
        kernel=at["kernel"], version=at["version"], warm=True)


def _decode(at: Labels, c: Columns) -> KernelTime:
    from ridgeline.timing.kernels.attention import decode_attention_time

    return decode_attention_time(
        chip_named(at["gpu"]), batch=c["batch"], kv_len=c["kv_len"], q_heads=c["q_heads"],
        kv_heads=c["kv_heads"], head_dim=c["head_dim"], window=_window(c),
        format=_plain(at["dtype"]), kv_format=_plain(at["kv_dtype"]), backend=at["backend"],
        kernel=at["kernel"], version=at["version"], warm=True)


def _mixed(at: Labels, c: Columns) -> KernelTime:
    from ridgeline.timing.kernels.attention_mixed import mixed_decode_time

    return mixed_decode_time(
        chip_named(at["gpu"]), batch=c["batch"], kv_len=c["kv_len"], q_heads=c["q_heads"],
        kv_heads=c["kv_heads"], head_dim=at["head_dim"], kv_format=_plain(at["kv_dtype"]),
        backend=at["backend"])


def _window(c: Columns) -> Any:
    import numpy as np

    return np.nan_to_num(c["window"])


def _plain(format: str) -> str:
    """Format names of the tables in the package's spelling."""
    return {"bfloat16": "bf16", "float16": "fp16", "half": "fp16"}.get(format, format)


def _mla(at: Labels, c: Columns) -> KernelTime:
    from ridgeline.timing.kernels.mla import mla_time

    sizes = {"kv_len": c["kv_len"]} if at["phase"] == "decode" else {"new_tokens": c["q_len"]}
    return mla_time(chip_named(at["gpu"]), phase=at["phase"], batch=c["batch"],
                    q_heads=c["q_heads"], **sizes, format=_plain(at["dtype"]),
                    kv_format=_plain(at["kv_dtype"]), backend=at["backend"],
                    kernel=at["kernel"], version=at["version"], warm=True)


def _mla_bmm(at: Labels, c: Columns) -> KernelTime:
    from ridgeline.timing.kernels.mla import mla_bmm_time

    return mla_bmm_time(chip_named(at["gpu"]), tokens=c["tokens"], heads=c["heads"], k=c["k"],
                        n=c["n"], format=_plain(at["dtype"]), backend=at["backend"],
                        kernel=at["kernel"], version=at["version"], warm=True)


_PHASES = {"context": "prefill", "generation": "decode"}
_RULES = {"gdn": "gated_delta"}


def _linear(at: Labels, c: Columns) -> KernelTime:
    from ridgeline.timing.kernels.linear_attention import linear_attention_time

    return linear_attention_time(
        chip_named(at["gpu"]), phase=_named(_PHASES, at["phase"]), batch=c["batch"],
        new_tokens=c["seq_len"], k_heads=c["k_heads"], v_heads=c["v_heads"], k_dim=c["k_dim"],
        v_dim=c["v_dim"], conv_kernel=c["d_conv"],
        part="convolution" if "conv1d" in at["kernel"] else "scan",
        rule=_named(_RULES, at["op"]), backend=at["backend"], kernel=at["kernel"],
        version=at["version"], warm=True)


def _collective(at: Labels, c: Columns) -> KernelTime:
    from ridgeline.machine.chip import Link
    from ridgeline.measure.fit.collective import _BACKEND, _OP, VIDUR_NETWORK, machine_of
    from ridgeline.timing.kernels.collective import collective_time

    group, nodes = int(at["n_gpus"]), int(at["n_gpus"] // max(at["gpus_per_node"], 1))
    place = machine_of(at["gpu"], group)
    return collective_time(
        chip_named(at["gpu"]), op=_named(_OP, at["op"]), bytes=c["bytes"], group=group,
        link=Link(place.link, place.bandwidth, 0.0), nodes=nodes,
        cross_domain_link=VIDUR_NETWORK if nodes > 1 else None,
        backend=_named(_BACKEND, at["kernel"]), version=at["version"],
        format=_plain(at["dtype"]))


def _module(at: Labels, c: Columns) -> KernelTime:
    import numpy as np

    from ridgeline.measure.fit.attention_module import shape_of
    from ridgeline.timing.kernels.attention_module import attention_module_time

    ratio = 0.0 if np.isnan(at["compress_ratio"]) else float(at["compress_ratio"])
    return attention_module_time(
        chip_named(at["gpu"]), op=at["op"], shape=shape_of(at["model"], at["op"], ratio),
        heads=c["heads"], batch=c["batch"], new_tokens=c["q_len"],
        past_tokens=np.nan_to_num(c["past_len"]), format=_plain(at["dtype"]),
        weight_format=_plain(at["gemm_dtype"]), kv_format=_plain(at["kv_dtype"]),
        backend=at["backend"], kernel=at["kernel"], version=at["version"], warm=True)


def _elementwise(at: Labels, c: Columns) -> KernelTime:
    from ridgeline.measure.fit.elementwise import BACKENDS, KINDS
    from ridgeline.timing.kernels.elementwise import BYTES, elementwise_time

    kind = _named(KINDS, at["op"])
    return elementwise_time(
        chip_named(at["gpu"]), bytes=c["rows"] * c["width"] * BYTES.get(kind, 6.0), kind=kind,
        rows=c["rows"], width=c["width"], backend=_named(BACKENDS, at["source"]),
        warm=True)


def _quantize(at: Labels, c: Columns) -> KernelTime:
    from ridgeline.timing.kernels.elementwise import quantize_time

    return quantize_time(chip_named(at["gpu"]), m=c["m"], k=c["k"], kind=at["op"],
                         backend=at["backend"], warm=True)


def _exchange(at: Labels, c: Columns) -> KernelTime:
    import numpy as np

    from ridgeline.measure.fit.expert_exchange import _NETWORK
    from ridgeline.timing.kernels.expert_exchange import DEFAULT_SMS, expert_all_to_all_time

    return expert_all_to_all_time(
        chip_named(at["gpu"]), tokens=c["tokens"], hidden=c["hidden"], top_k=c["topk"],
        experts=c["experts"], group=c["n_gpus"], nodes=c["nodes"], mode=at["mode"],
        phase=at["phase"], sms=np.nan_to_num(c["sms"], nan=DEFAULT_SMS),
        cross_domain_link=_NETWORK)


_ATTENTION = ("gpu", "backend", "version", "kernel", "dtype", "kv_dtype", "head_dim", "window")
_ENGINE = ("gpu", "backend", "version", "kernel")

CALLS = {
    "gemm": Call(("gpu", "backend", "dtype"), _gemm),
    "moe": Call(("gpu", "backend", "kernel", "dtype", "routing", "gated"), _moe),
    "wideep_moe": Call(("gpu", "backend", "kernel", "dtype", "routing"), _wideep),
    "grouped_gemm": Call(("gpu", "dtype"), _grouped),
    "attention_prefill": Call(_ATTENTION, _prefill),
    "attention_decode": Call(_ATTENTION, _decode),
    "attention_mixed": Call(("gpu", "backend", "kernel", "dtype", "kv_dtype", "head_dim"), _mixed),
    "mla": Call((*_ENGINE, "phase", "dtype", "kv_dtype"), _mla),
    "mla_bmm": Call((*_ENGINE, "op", "dtype"), _mla_bmm),
    "linear_attention": Call((*_ENGINE, "op", "phase"), _linear),
    "attention_module": Call((*_ENGINE, "op", "model", "dtype", "kv_dtype", "gemm_dtype",
                              "compress_ratio"), _module),
    "elementwise": Call(("source", "gpu", "op"), _elementwise),
    "quantize": Call(("gpu", "backend", "op"), _quantize),
    "collective": Call(("gpu", "kernel", "version", "op", "n_gpus", "gpus_per_node", "dtype"),
                       _collective),
    "ep_a2a": Call(("gpu", "mode", "phase"), _exchange),
}
