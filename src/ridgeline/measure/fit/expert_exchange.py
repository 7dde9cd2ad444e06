"""Fit the exchange of tokens between experts (DeepEP) to measured tables.

Closed form per chip, mode and phase, each near the constants of all chips; then one bounded
network per mode and phase over all chips. Held out: whole geometries (hidden, top-k, experts,
nodes) and whole machines. Tables that repeat another card's numbers line for line (H200 repeats
H100) are dropped from checks of unseen machines, where they would give the answer away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.machine.chip import Link
from ridgeline.measure.fit.collective import MACHINES
from ridgeline.measure.fit.fitting import (
    Training,
    conformal,
    group_folds,
    group_ids,
    take,
    train_residual,
)
from ridgeline.timing.kernels.expert_exchange import (
    DEFAULT_SMS,
    Exchange,
    exchange_seconds,
    exchanged_bytes,
    features,
    phase_seconds,
)
from ridgeline.timing.kernels.residual import Residual, Spread

Array = NDArray[np.floating[Any]]
Rows = Mapping[str, NDArray[Any]]

_START: Mapping[str, float] = {"launch": 25e-6, "hop": 5e-6, "per_token": 2e-9,
                               "link_fraction": 0.8, "net_fraction": 0.9, "sm_rate": 25e9}
_NETWORK = Link("network", 50e9, 5e-6)  # the nodes measured have one 400 Gbit/s port a device
_BITS = {"dispatch": 8.0, "combine": 16.0}  # DeepEP's tests: FP8 there, BF16 back
_HOW = Training(hidden=(24, 24), bound=1.0, steps=3000, decay=1e-2, knee=0.05)
_TWINS = {"H200-SXM": "H100-SXM"}


def cases(rows: Rows) -> dict[str, NDArray[Any]]:
    """Columns of a DeepEP table as the forms want them, with `seconds` and text labels."""
    sms = np.array([float(s) if str(s).strip() not in ("", "nan") else float(DEFAULT_SMS)
                    for s in rows["sms"]])
    out: dict[str, NDArray[Any]] = {
        "tokens": rows["tokens"], "hidden": rows["hidden"], "top_k": rows["topk"],
        "experts": rows["experts"], "group": rows["n_gpus"], "nodes": rows["nodes"],
        "seconds": rows["time_us"]}
    out = {k: np.asarray(v, float) for k, v in out.items()}
    out["seconds"] = out["seconds"] * 1e-6
    out |= {"sms": sms, "bits": np.array([_BITS[str(p)] for p in rows["phase"]])}
    out |= {k: np.array([str(v) for v in rows[k]]) for k in ("gpu", "mode", "phase")}
    known = np.isin(out["gpu"], list(MACHINES))
    return take(out, np.flatnonzero(known))


def _link(gpu: str) -> Link:
    return Link("nvlink", MACHINES[gpu][1], 0.0)


def _form(p: Mapping[str, float], mode: str, c: Rows) -> Array:
    inside, across = exchanged_bytes(mode=mode, tokens=c["tokens"], hidden=c["hidden"],
                                     top_k=c["top_k"], group=c["group"], nodes=c["nodes"],
                                     bits=c["bits"])
    speed = np.array([MACHINES[g][1] for g in c["gpu"].tolist()])
    return np.asarray(exchange_seconds(
        mode=mode, tokens=c["tokens"], nodes=c["nodes"], link_bytes=inside, network_bytes=across,
        sms=c["sms"], link_bandwidth=speed, network_bandwidth=_NETWORK.bandwidth, p=p))


def _solve(start: Mapping[str, float], width: float, mode: str, c: Rows) -> dict[str, float]:
    """Constants nearest the rows in robust log error, pulled towards `start`."""
    from scipy.optimize import least_squares

    names = list(start)
    centre = np.log([start[n] for n in names])
    some = take(c, np.arange(0, len(c["seconds"]), 1 + len(c["seconds"]) // 3000))
    target = np.log(some["seconds"])

    def residuals(x: Array) -> Array:
        p = dict(zip(names, np.exp(x), strict=True))
        return np.concatenate([np.log(_form(p, mode, some)) - target, (x - centre) / width])

    # A fraction of a link is at most 1; a start on the bound would not move.
    most = np.array([0.0 if n.endswith("fraction") else np.inf for n in names])
    fit = least_squares(residuals, np.minimum(centre, most - 1e-3), bounds=(-np.inf, most),
                        loss="soft_l1", f_scale=0.1, max_nfev=60)
    return {n: float(v) for n, v in zip(names, np.exp(fit.x), strict=True)}


def _fit(c: Rows) -> dict[str, Any]:
    """Constants by target and residual networks of a set of cases."""
    constants: dict[str, dict[str, float]] = {}
    nets: dict[str, Any] = {}
    for mode, phase in sorted(set(zip(c["mode"].tolist(), c["phase"].tolist(), strict=True))):
        part = take(c, np.flatnonzero((c["mode"] == mode) & (c["phase"] == phase)))
        key = f"{mode}|{phase}"
        constants[f"*|{key}"] = _solve(_START, 1.0, mode, part)
        families = np.array([MACHINES[g][0] for g in part["gpu"].tolist()])
        for column, below in ((families, "*"), (part["gpu"], "")):
            for target in sorted(set(column.tolist())):
                own = take(part, np.flatnonzero(column == target))
                base = below or MACHINES[target][0]
                constants[f"{target}|{key}"] = _solve(constants[f"{base}|{key}"], 0.5, mode, own)
        nets[key] = _train(part, mode, constants, key).to_json()
    return {"constants": constants, "residuals": nets}


def _train(part: Rows, mode: str, constants: Mapping[str, Mapping[str, float]],
           key: str) -> Residual:
    seen, ratio, weight = [], [], []
    for gpu in sorted(set(part["gpu"].tolist())):
        own = take(part, np.flatnonzero(part["gpu"] == gpu))
        p = constants[f"{gpu}|{key}"]
        form = _form(p, mode, own)
        seen.append(features({**own, "form": form, "launch": np.asarray(p["launch"])}))
        ratio.append(np.log(own["seconds"] / form))
        # A geometry is one voice however many settings were swept for it.
        ids = group_ids(own["hidden"], own["top_k"], own["experts"], own["nodes"])
        weight.append(1 / np.sqrt(np.bincount(ids)[ids]))
    return train_residual(np.concatenate(seen), np.concatenate(ratio), _HOW,
                          np.concatenate(weight))


def _predict(content: Mapping[str, Any], c: Rows) -> tuple[Array, NDArray[Any]]:
    """Seconds of every case and the distance of its constants."""
    seconds, distance = np.zeros(len(c["seconds"])), np.empty(len(c["seconds"]), dtype="U12")
    keys = sorted(set(zip(*(c[k].tolist() for k in ("gpu", "mode", "phase")), strict=True)))
    for gpu, mode, phase in keys:
        at = np.flatnonzero((c["gpu"] == gpu) & (c["mode"] == mode) & (c["phase"] == phase))
        targets = ((gpu, "table"), (MACHINES[gpu][0], "architecture"), ("*", "pooled"))
        target, far = next((t, d) for t, d in targets
                           if f"{t}|{mode}|{phase}" in content["constants"])
        found = Exchange(content["constants"][f"{target}|{mode}|{phase}"],
                         Residual.from_json(content["residuals"][f"{mode}|{phase}"]),
                         Spread(np.zeros(0), np.zeros((1, 4))), "table")
        seconds[at] = phase_seconds(found, mode, take(c, at), _link(gpu), _NETWORK)
        distance[at] = far
    return seconds, distance


def fit_exchange(rows: Rows) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """The exchange part of the collective data file, and its errors on what was left out."""
    c = cases(rows)
    content = _fit(c)
    geometry = group_ids(c["hidden"], c["top_k"], c["experts"], c["nodes"])
    held = [_left_out(c, group_folds(geometry, 5)), _left_out(c, _machine_folds(c))]
    content["spreads"] = _spreads(c, held)
    report = {}
    for name, (predicted, _, known) in zip(("unseen geometry", "unseen machine"), held,
                                           strict=True):
        for mode in sorted(set(c["mode"].tolist())):
            at = known & (c["mode"] == mode)
            report[f"exchange, {name}: {mode}"] = _errors(predicted[at], c["seconds"][at])
    return content, report


def _machine_folds(c: Rows) -> NDArray[np.int64]:
    """One fold a machine; a table that repeats another's goes with it."""
    names = np.array([_TWINS.get(g, g) for g in c["gpu"].tolist()])
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.int64)


def _left_out(c: Rows, fold: NDArray[Any]) -> tuple[Array, NDArray[Any], NDArray[np.bool_]]:
    """Each fold predicted by a fit of the others: seconds, distance, whether it could be."""
    predicted, far = np.ones(len(fold)), np.empty(len(fold), dtype="U12")
    known = np.zeros(len(fold), bool)
    for f in np.unique(fold):
        at = np.flatnonzero(fold == f)
        content = _fit(take(c, np.flatnonzero(fold != f)))
        predicted[at], far[at] = _predict(content, take(c, at))
        known[at] = True
    return predicted, far, known


def _spreads(c: Rows, held: Sequence[tuple[Array, NDArray[Any], NDArray[np.bool_]]]
             ) -> dict[str, Any]:
    """Interval widths by mode and distance, from the rows left out."""
    out: dict[str, Any] = {}
    for mode in sorted(set(c["mode"].tolist())):
        last = None
        for distance in ("table", "architecture", "pooled"):
            parts = [(np.log(c["seconds"][at] / p[at]), p[at]) for p, far, known in held
                     for at in [known & (c["mode"] == mode) & (far == distance)] if at.any()]
            if parts and sum(len(e) for e, _ in parts) >= 40:
                last = conformal(np.concatenate([e for e, _ in parts]),
                                 np.concatenate([p for _, p in parts])).to_json()
            out[f"{mode}|{distance}"] = last
    return out


def _errors(predicted: Array, seconds: Array) -> dict[str, float]:
    ape = 100 * np.abs(predicted / seconds - 1)
    bias = 100 * (np.exp(np.median(np.log(predicted / seconds))) - 1)
    return {"n": len(ape), "median_ape_pct": round(float(np.median(ape)), 2),
            "p90_ape_pct": round(float(np.quantile(ape, 0.9)), 2),
            "bias_pct": round(float(bias), 2)}


def compact_exchange(rows: Rows) -> dict[str, NDArray[Any]]:
    """The rows that are shipped: every other token count of the wide sweeps, and no repeats.

    All rows of the default number of multiprocessors, of several nodes and of the low-latency
    mode stay; of the other settings every second one of a fixed order.
    """
    sms = np.array([str(s) for s in rows["sms"]])
    nodes = np.asarray(rows["nodes"], float)
    plain = np.isin(sms, ("", "nan", "20", "20.0")) | (nodes > 1)
    tokens = np.asarray(rows["tokens"], float)
    even = np.rint(np.log2(tokens) * 2) % 4 == np.where(np.char.str_len(sms) > 1, 0, 2)
    return take(rows, np.flatnonzero(plain | even))
