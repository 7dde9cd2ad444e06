"""Fit the constants of collectives to measured tables.

Rows are first reduced to one point per case and octave (the median), so that a table of a
thousand noisy sizes and one of twenty clean ones weigh the same. Closed forms are then fitted in
three rounds, each the prior of the next: all machines with one kind of link, each architecture,
each chip and library version. What remains is kept as correction curves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import BadInput
from ridgeline.machine.chip import Link
from ridgeline.timing.kernels.collective import (
    Fabric,
    case_of,
    engine_seconds,
    floor_seconds,
    form_seconds,
    library_seconds,
    network_seconds,
)
from ridgeline.timing.kernels.collective_curves import Case, Curve, measure_curve

Array = NDArray[np.floating[Any]]
Rows = Mapping[str, NDArray[Any]]

_BACKEND = {"NCCL": "nccl", "oneCCL": "oneccl", "TRTLLM": "trtllm",
            "vLLM_custom_graph": "vllm", "vLLM_custom_eager": "vllm_eager",
            "SGLang_CustomAllReduce_graph": "sglang",
            "SGLang_CustomAllReduce_eager": "sglang_eager"}
_OP = {"alltoall": "all_to_all"}

# Nominal links of the measured machines, one way per device [bytes/s] (vendors' datasheets), and
# device memory bandwidth for the copies of eager launches.
MACHINES: Mapping[str, tuple[str, float, float]] = {
    "A100-SXM-80G": ("Ampere", 300e9, 2.039e12), "H100-SXM": ("Hopper", 450e9, 3.35e12),
    "H200-SXM": ("Hopper", 450e9, 4.8e12), "B200-SXM": ("Blackwell", 900e9, 8e12),
    "B300-SXM": ("Blackwell", 900e9, 8e12), "GB300": ("Blackwell", 900e9, 8e12),
    "GB200": ("Blackwell", 900e9, 8e12), "RTX-PRO-6000-BSE": ("Blackwell", 63e9, 1.792e12),
    "Arc-Pro-B60": ("Xe2-HPG", 31.5e9, 0.456e12), "L40S": ("Ada", 31.5e9, 0.864e12),
    "A100-PCIE-PAIRNVLINK": ("Ampere", 300e9, 1.935e12),
    "H100-PCIE-PAIRNVLINK": ("Hopper", 300e9, 2.0e12)}
_HOST_BRIDGE = {"A100-PCIE-PAIRNVLINK": 31.5e9, "H100-PCIE-PAIRNVLINK": 63e9}
_PCIE = ("RTX-PRO-6000-BSE", "Arc-Pro-B60", "L40S")


@dataclass(frozen=True)
class Points:
    """One measured case: its labels, machine and one median time per octave."""

    case: Case
    where: Fabric
    op: str
    backend: str
    bytes: Array
    seconds: Array
    network: Link | None

    @property
    def group(self) -> Array:
        """Ranks, one value a point."""
        return np.full(len(self.bytes), self.case.group)

    def form(self, content: Mapping[str, Any]) -> Array:
        """The closed form at the points [s]."""
        nodes = int(self.case.nodes)
        seconds, _ = form_seconds(content, self.where, self.op, self.backend, self.case.version,
                                  self.bytes, self.group / nodes)
        seconds = np.where(self.group > nodes, seconds, 0.0)
        if self.network is not None:
            seconds = seconds + network_seconds(content, self.where, self.op, self.backend,
                                                self.bytes, self.group, nodes, self.network)
        floor = floor_seconds(self.where, self.op, self.bytes, self.group, nodes, self.network)
        return np.maximum(seconds, floor)


def machine_of(gpu: str, group: int) -> Fabric:
    """The fabric a table was measured on; paired cards leave their bridge beyond a pair.

    Raises:
        UnknownName: neither here nor in the catalog.
    """
    if gpu not in MACHINES:
        return _catalog_fabric(gpu)
    family, bandwidth, memory = MACHINES[gpu]
    bridged = gpu in _HOST_BRIDGE and group > 2
    kind = "pcie" if bridged or gpu in _PCIE else "nvlink"
    speed = _HOST_BRIDGE[gpu] if bridged else bandwidth
    switch = kind == "nvlink" and family in ("Hopper", "Blackwell") and "PCIE" not in gpu
    return Fabric(gpu, family, kind, speed, switch, memory)


def _catalog_fabric(gpu: str) -> Fabric:
    from ridgeline.catalog import load_chip
    from ridgeline.timing.kernels.collective import fabric

    chip = load_chip(gpu)
    link = chip.scale_up or chip.host
    if link is None:
        raise BadInput(f"{gpu} has no link in the catalog")
    return fabric(chip, link)


# The cloud network under the multi-node Vidur rows is not described; 100 Gbit/s a device is
# assumed, and their curves apply only to a link of this name.
VIDUR_NETWORK = Link("inter_node", 12.5e9, 5e-6)


def points_of(rows: Rows) -> list[Points]:
    """One `Points` per measured case of a collective table, in a fixed order."""
    return [_points(*key, rows, index) for key, index in case_rows(rows)]


CaseKey = tuple[str, str, str, str, int, int]


def case_rows(rows: Rows) -> Iterator[tuple[CaseKey, NDArray[Any]]]:
    """(gpu, backend, version, op, group, nodes) of each case and the rows that belong to it."""
    names = np.array([_BACKEND.get(str(k), "") for k in rows["kernel"]])
    ops = np.array([_OP.get(str(o), str(o)) for o in rows["op"]])
    versions = np.where((names == "nccl") | (names == "oneccl"), rows["version"], "")
    group = np.asarray(rows["n_gpus"], float).astype(int)
    per_node = np.asarray(rows["gpus_per_node"], float).astype(int)
    keys = [(str(g), str(b), "" if b == "oneccl" else str(v), str(o), int(n), int(n // max(p, 1)))
            for g, b, v, o, n, p in zip(rows["gpu"], names, versions, ops, group, per_node,
                                        strict=True)]
    order: dict[CaseKey, list[int]] = {}
    for i, key in enumerate(keys):
        if key[1] and key[0] in MACHINES:
            order.setdefault(key, []).append(i)
    for key in sorted(order):
        yield key, np.array(order[key])


def _points(gpu: str, backend: str, version: str, op: str, group: int, nodes: int, rows: Rows,
            index: NDArray[Any]) -> Points:
    where = machine_of(gpu, group)
    size = np.asarray(rows["bytes"], float)[index]
    time = np.asarray(rows["time_us"], float)[index] * 1e-6
    octave = np.rint(np.log2(size))
    network = VIDUR_NETWORK if nodes > 1 else None
    case = case_of(where, op, backend, version, group, nodes, network.name if network else "")
    # A median over sizes that differ within the octave would be biased: scale to the knot first.
    scaled = time * (2.0**octave / size) ** np.where(size > 4e6, 1.0, 0.0)
    knots = np.unique(octave)
    return Points(case, where, op, backend, 2.0**knots,
                  np.array([np.median(scaled[octave == o]) for o in knots]), network)


# Constants of the network part. The fraction is the bandwidth that a 16 GiB all-reduce over four
# nodes of eight H200 reached on 50e9 bytes/s ports (36.95e9; S. Bekman, Machine Learning
# Engineering, network chapter, CC-BY-SA 4.0); the hop is that of NCCL's tuning model for LL
# between nodes (E. Erdil 2025).
NETWORK: Mapping[str, float] = {"net_hop": 5e-6, "net_fraction": 0.739}

# Starting values and the width (in log) that a machine's own constants may move from them.
_LIBRARY: Mapping[str, float] = {
    "ll_launch": 6e-6, "ll_hop": 0.9e-6, "ll_fraction": 0.2,
    "mid_launch": 9e-6, "mid_hop": 1.2e-6, "mid_fraction": 0.5,
    "bulk_launch": 20e-6, "bulk_hop": 3e-6, "bulk_fraction": 0.8,
    "own_copy": 0.5, "wide": 1.0, "gather": 1.0,
    "switch_launch": 25e-6, "switch_fraction": 0.6,
    "x_ll_launch": 6e-6, "x_hop": 0.5e-6, "x_ll_fraction": 0.2,
    "x_bulk_launch": 12e-6, "x_bulk_fraction": 0.6, "x_scale": 1.1}
_ENGINE: Mapping[str, float] = {"launch": 3e-6, "hop": 0.5e-6, "extra": 2e-6, "fraction": 0.7,
                                "host_floor": 25e-6, "copy_fraction": 0.85}


def _solve(start: Mapping[str, float], width: float, data: Sequence[Points],
           predict: Any) -> dict[str, float]:
    """Constants that minimise a robust log error, pulled towards `start`."""
    from scipy.optimize import least_squares

    names = list(start)
    centre = np.log([start[n] for n in names])
    measured = [np.log(d.seconds) for d in data]

    def residuals(x: Array) -> Array:
        p = dict(zip(names, np.exp(x), strict=True))
        errors = [np.log(np.maximum(predict(p, d), 1e-9)) - m
                  for d, m in zip(data, measured, strict=True)]
        return np.concatenate([*errors, 0.3 * (x - centre) / width])

    fit = least_squares(residuals, centre, loss="soft_l1", f_scale=0.1, diff_step=1e-4,
                        max_nfev=60)
    return {n: float(v) for n, v in zip(names, np.exp(fit.x), strict=True)}


def _library_form(p: Mapping[str, float], d: Points) -> Array:
    return library_seconds(d.where, p, d.op, d.bytes, d.group)


def _lent(data: Sequence[Points]) -> list[Points]:
    """Messages that engines hand to NCCL, as evidence of NCCL's all-reduce.

    Large ones, and all of more than two cards on a host bridge, which the engines' own kernels
    do not serve.
    """
    out = []
    for d in data:
        least = {"trtllm": 2.0**22, "sglang": 2.0**25}.get(d.backend)
        if least is None or d.op != "all_reduce" or d.case.group < 8:
            continue
        least = 0.0 if d.where.link == "pcie" else least
        big = d.bytes >= least
        out.append(replace(d, bytes=d.bytes[big], seconds=d.seconds[big]))
    return out


def fit_libraries(data: Sequence[Points]) -> dict[str, dict[str, float]]:
    """Constants of NCCL and oneCCL by "<target>|<library>|<version>"."""
    inside = [d for d in data if d.network is None]
    library = [d for d in inside if d.backend in ("nccl", "oneccl")]
    clean = [d for d in library if d.case.version != "torch"] + _lent(inside)
    out: dict[str, dict[str, float]] = {}
    for link in sorted({d.where.link for d in clean}):
        some = [d for d in clean if d.where.link == link and d.backend != "oneccl"]
        if some:
            out[f"*/{link}|nccl|"] = _solve(_LIBRARY, 1.5, some, _library_form)
    for family, link in sorted({(d.where.architecture, d.where.link) for d in clean
                                if d.backend != "oneccl"}):
        some = [d for d in clean if (d.where.architecture, d.where.link) == (family, link)
                and d.backend != "oneccl"]
        out[f"{family}/{link}|nccl|"] = _solve(out[f"*/{link}|nccl|"], 1.0, some, _library_form)
    for chip, link, name, version in sorted({(d.where.chip, d.where.link, d.backend,
                                              d.case.version) for d in library}):
        own = [d for d in library if (d.where.chip, d.where.link, d.backend, d.case.version)
               == (chip, link, name, version)]
        if version == _newest(library, chip, link):
            own += [d for d in _lent(inside) if (d.where.chip, d.where.link) == (chip, link)]
        prior = (out.get(f"{own[0].where.architecture}/{link}|nccl|")
                 or out.get(f"*/{link}|nccl|") or dict(_LIBRARY))
        out[f"{chip}/{link}|{name}|{version}"] = _solve(prior, 0.7, own, _library_form)
    return out


def _newest(library: Sequence[Points], chip: str, link: str) -> str:
    return max((d.case.version for d in library
                if (d.where.chip, d.where.link) == (chip, link) and d.case.version != "torch"),
               default="")


def _engine_form(content: Mapping[str, Any], limit: float, of_group: bool) -> Any:
    """A predictor of an engine's times for constants p, with a fixed hand-over size."""
    def predict(p: Mapping[str, float], d: Points) -> Array:
        library, _ = form_seconds(content, d.where, "all_reduce", "nccl", "", d.bytes, d.group)
        full = {**p, "limit": limit, "limit_is_of_group": float(of_group)}
        seconds = engine_seconds(d.where, full, library, d.bytes, d.group)
        if d.case.launch == "eager":
            copy = 2 * d.bytes / (p["copy_fraction"] * d.where.memory_bandwidth)
            seconds = np.maximum(p["host_floor"], seconds + copy)
        return seconds
    return predict


def _engine_limit(content: Mapping[str, Any], start: Mapping[str, float], width: float,
                  data: Sequence[Points], of_group: bool) -> dict[str, float]:
    """Constants and hand-over size of one engine; sizes are tried octave by octave."""
    graph = [d for d in data if d.case.launch == "graph"] or list(data)
    first = {k: v for k, v in start.items() if k in _ENGINE}
    best, cost = 2.0**23, np.inf
    for octave in range(18, 26):
        predict = _engine_form(content, 2.0**octave, of_group)
        errors = np.concatenate([np.abs(np.log(predict(first, d) / d.seconds)) for d in graph])
        if errors.mean() < cost:
            best, cost = 2.0**octave, errors.mean()
    p = _solve(first, width, data, _engine_form(content, best, of_group))
    return {**p, "limit": best, "limit_is_of_group": float(of_group)}


def fit_engines(content: Mapping[str, Any],
                data: Sequence[Points]) -> dict[str, dict[str, float]]:
    """Constants of the engines' own all-reduce by "<target>|<engine>|"."""
    own = [d for d in data if d.backend not in ("nccl", "oneccl")]
    out: dict[str, dict[str, float]] = {}
    for engine in sorted({d.case.backend for d in own}):
        of_group = engine == "trtllm"
        mine = [d for d in own if d.case.backend == engine]
        for link in sorted({d.where.link for d in mine}):
            some = [d for d in mine if d.where.link == link]
            prior = _engine_limit(content, _ENGINE, 1.5, some, of_group)
            out[f"*/{link}|{engine}|"] = prior
            for family in sorted({d.where.architecture for d in some}):
                kin = [d for d in some if d.where.architecture == family]
                base = _engine_limit(content, prior, 1.0, kin, of_group)
                out[f"{family}/{link}|{engine}|"] = base
                for chip in sorted({d.where.chip for d in kin}):
                    one = [d for d in kin if d.where.chip == chip]
                    out[f"{chip}/{link}|{engine}|"] = _engine_limit(content, base, 0.7, one,
                                                                    of_group)
    return out


def fit_curves(content: Mapping[str, Any], data: Sequence[Points]) -> list[Curve]:
    """What the fitted forms leave over, per case."""
    found = [measure_curve(d.case, d.bytes, np.log(d.seconds / d.form(content))) for d in data]
    return [c for c in found if c is not None]


def fit_forms(data: Sequence[Points]) -> tuple[dict[str, Any], list[Curve]]:
    """Constants of the closed forms, and the curves of what they miss."""
    content: dict[str, Any] = {"libraries": fit_libraries(data), "network": dict(NETWORK)}
    content["engines"] = fit_engines(content, data)
    return content, fit_curves(content, data)


_CROWD = 9


def compact(rows: Rows) -> dict[str, NDArray[Any]]:
    """The rows that are shipped: all of the small tables, nine of a crowded octave.

    A table of many sizes an octave (framework profiles) keeps nine evenly spaced in the order of
    their size, whatever their time. A DeepEP table (`expert_exchange`) has its own rule.
    """
    if "phase" in rows:
        from ridgeline.measure.fit.expert_exchange import compact_exchange

        return compact_exchange(rows)
    size = np.asarray(rows["bytes"], float)
    keep: list[int] = []
    for _, index in case_rows(rows):
        octave = np.rint(np.log2(size[index]))
        for o in np.unique(octave):
            crowd = index[octave == o]
            if len(crowd) > _CROWD:
                crowd = crowd[np.argsort(size[crowd], kind="stable")]
                crowd = crowd[np.rint(np.linspace(0, len(crowd) - 1, _CROWD)).astype(int)]
            keep += crowd.tolist()
    return {name: column[np.array(sorted(keep))] for name, column in rows.items()}


def fit_collective(rows: Rows, exchange: Rows | None = None
                   ) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """The data file of collectives from measured rows, and its errors on what was left out.

    Args:
        rows: columns of a collective table (gpu, kernel, version, op, n_gpus, gpus_per_node,
            bytes, time_us).
        exchange: columns of a DeepEP table, fitted by `expert_exchange`; None leaves it out.
    """
    from ridgeline.measure.fit import collective_folds as folds

    data = points_of(rows)
    content, curves = fit_forms(data)
    left_case = folds.held_out(rows, folds.by_case)
    left_chip = folds.held_out(rows, folds.by_chip)
    inside = folds.own_curve_error(data, rows)
    report = {**folds.report_of(inside, "measured case, other size"),
              **folds.report_of(left_case, "unseen group or operation"),
              **folds.report_of(left_chip, "unseen machine")}
    content = _rounded(content)
    content |= {"family": "collective", "format_version": 1,
                "curves": [{"case": list(asdict(c.case).values()), "start": c.start,
                            "values": list(c.values)} for c in curves],
                "spreads": folds.spreads_of(left_case, left_chip, inside)}
    if exchange is not None:
        from ridgeline.measure.fit.expert_exchange import fit_exchange

        content["exchange"], more = fit_exchange(exchange)
        report |= more
    return content, report


def _rounded(value: Any) -> Any:
    """Constants at six digits, which is far below their uncertainty."""
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return float(f"{value:.6g}")
